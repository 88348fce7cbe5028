"""Rules in the engine: a book of those that its city brings, what it hears of each feed, what a tick makes it say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from citytwin.geo.scopes import LEVELS
from citytwin.indicators.rules.book import RuleBook
from citytwin.indicators.rules.ear import Ear
from citytwin.indicators.rules.matchers import Told
from citytwin.indicators.rules.words import DueAt
from citytwin.intake import CityLike, event_keys
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Float64, Int64
from citytwin.models.desk import categories, plantoml
from citytwin.models.desk.calendar import WorkCalendar
from citytwin.models.desk.columns import events_of
from citytwin.models.desk.event import Draft
from citytwin.models.desk.holidays import base_edition
from citytwin.models.desk.limits import handling_due
from citytwin.models.desk.plans import Plan
from citytwin.models.desk.rules import Rule
from citytwin.models.frame import Quality, Values
from citytwin.models.shards import DESK, NOBODY
from citytwin.models.telling import Reading, Telling
from citytwin.models.vocabulary import EventType
from citytwin.twin.desk.units import FOLLOWED
from citytwin.twin.ledger import Ledger
from citytwin.units import PerUnit, origin_ms

if TYPE_CHECKING:
    from citytwin.engine import Engine


def book(engine: Engine, rules: Sequence[Rule] | None = None) -> RuleBook | None:
    """The book of some rules (default: those that the city brings) for an engine; None without any.

    Of a city in shards the desk has it, which is told what happens elsewhere (`tell`).
    """
    city = engine.city
    wanted = list(getattr(city, "rules", ())) if rules is None else list(rules)
    if not wanted or (engine.own is not None and engine.own.shard != DESK):
        return None
    return _made(engine, wanted)


def ear(engine: Engine) -> Ear | None:
    """What hears for the desk in a shard, the desk's included; None where all is in one process, or merged."""
    rules = list(getattr(engine.city, "rules", ()))
    if engine.own is None or engine.own.shard == NOBODY:
        return None
    return Ear(engine.rules or (_made(engine, rules) if rules else None), engine.scopes, FOLLOWED)


def _made(engine: Engine, wanted: list[Rule]) -> RuleBook:
    city = engine.city
    bands = {spec.id: tuple(spec.bands) for spec in engine.registry}
    made = RuleBook(wanted, engine.scopes, engine.entities, engine.vocabulary, bands, due_at(city))
    for problem in made.problems:
        engine.troubles[f"rule {problem.rule}"] = f"{problem.field}: {problem.what}"
    return made


def due_at(city: CityLike) -> DueAt:
    """When a case of a category and level is due: its limit, in the working time of the city."""
    calendar = getattr(city, "calendar", None)
    days = (getattr(calendar, "weekend", frozenset({6, 7})), getattr(calendar, "days", None))
    clock = WorkCalendar(base_edition(city.timezone, *days), -origin_ms(city))
    known = categories.builtin()

    def due(category: str, level: int, now: int) -> int:
        return handling_due(known.resolve(category), level, now, clock)

    return due


def note(engine: Engine, kind: EventType, ledger: Ledger, index: Int64, sign: int) -> None:
    """Tell the rules of ledger rows (array indices int64[n]) that begin (+1) or cease (-1) to count."""
    rules = engine.rules if engine.ear is None else engine.ear
    if rules is not None and rules.hears(kind):
        rules.note(Told(kind, ledger, index, engine.sources[kind.name].per_unit, engine.entities), sign)


def tick(engine: Engine, now: int) -> list[Draft]:
    """What follows from the tick of `now`."""
    return [] if engine.rules is None else engine.rules.tick(now, BoardValues(engine))


def plans_of(city: CityLike) -> Mapping[str, Plan]:
    """The plans of a city by id."""
    del city  # packs bring none of their own yet
    return plantoml.builtin()


# A city in shards: what the clock tells the desk of each marker.


def reads(engine: Engine) -> dict[str, int]:
    """Indicators that rules and plans of the city read, and the finest level at which each is read."""
    wanted = list(getattr(engine.city, "rules", ()))
    found = (engine.rules or _made(engine, wanted)).reads() if wanted else {}
    for plan in plans_of(engine.city).values():
        for name in plan.indicators():
            found[name] = max(found.get(name, 0), LEVELS.index(plan.place))
    return found


def readings(engine: Engine, values: Mapping[str, Values], wanted: Mapping[str, int]) -> dict[str, Reading]:
    """What of the values of a frame rules and plans read."""
    found = {}
    for id in sorted(wanted.keys() & values.keys()):
        told = values[id]
        mask = engine.scopes.level[told.rows] <= wanted[id]
        if mask.any():
            scale = None if told.scale is None else told.scale[mask]
            found[id] = Reading(told.rows[mask], told.value[mask], told.quality[mask], scale)
    return found


def adopt(engine: Engine, telling: Telling) -> None:
    """Take over the values that a telling brings, and hear the events that rules look at."""
    lines, n = engine.board.lines, len(engine.scopes)
    for id in reads(engine).keys() & lines.keys():
        lines[id].resize(n)  # a shard has no values, and no room for any
    for id, reading in telling.readings.items():
        if id in lines:
            lines[id].value[reading.rows], lines[id].quality[reading.rows] = reading.value, reading.quality
            if reading.scale is not None:
                lines[id].scale[reading.rows] = reading.scale
            lines[id].forget_standing()
    for heard in telling.heard:
        kind = engine.vocabulary.types.get(heard.batch.type)
        if kind is not None and heard.sign == 0 and engine.desk is not None:
            engine.desk.follow(events_of(heard.batch, kind, engine.scopes.rows_of(heard.batch.scope)))
        elif engine.rules is not None and kind is not None and engine.rules.hears(kind):
            engine.rules.note(_again(engine, kind, heard.batch), heard.sign)


def _again(engine: Engine, kind: EventType, batch: EventBatch) -> Told:
    """Events that another shard holds, as rules look at them: in a ledger of their own, with entities of here."""
    ledger, n = Ledger((kind,), {}), len(batch)
    none = np.full(n, -1, np.int32)
    entity = engine.entities.rows_of(batch.subject)
    scope = engine.scopes.rows_of(batch.scope)
    rows = ledger.append(batch, event_keys(batch), np.zeros(n, np.uint64), none, entity, scope, np.ones(n, np.bool_))
    return Told(kind, ledger, ledger.at(rows), PerUnit(engine.vocabulary, ledger, kind), engine.entities)


class BoardValues:
    """The board of an engine as rules read it: values that are stale, missing or in error are none."""

    def __init__(self, engine: Engine) -> None:
        self._board, self._now = engine.board, engine.now

    def value(self, id: str) -> Float64 | None:
        """Values by scope row, NaN where none can be trusted; None for an indicator that is not on the board."""
        line = self._board.lines.get(id)
        return None if line is None else np.where(line.quality < int(Quality.STALE), line.value, np.nan)

    def edge(self, id: str, band: str) -> tuple[Float64, bool] | None:
        """Edges of a band by scope row, as the thresholds of now say, and whether trouble lies below them."""
        line = self._board.lines.get(id)
        edge = line.spec.bands_at(self._now).get(band) if line is not None else None
        if line is None or edge is None:
            return None
        scale = line.scale if line.spec.of else np.ones(len(line.value))
        return edge * scale, line.spec.better not in ("down", "band")
