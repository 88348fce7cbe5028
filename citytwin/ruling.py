"""Rules in the engine: a book of those that its city brings, what it hears of each feed, what a tick makes it say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from citytwin.indicators.rules.book import RuleBook
from citytwin.indicators.rules.matchers import Told
from citytwin.indicators.rules.words import DueAt
from citytwin.intake import CityLike
from citytwin.models.columns import Float64, Int64
from citytwin.models.desk import categories
from citytwin.models.desk.calendar import WorkCalendar
from citytwin.models.desk.event import Draft
from citytwin.models.desk.holidays import base_edition
from citytwin.models.desk.limits import handling_due
from citytwin.models.desk.rules import Rule
from citytwin.models.frame import Quality
from citytwin.models.vocabulary import EventType
from citytwin.twin.ledger import Ledger
from citytwin.units import origin_ms

if TYPE_CHECKING:
    from citytwin.engine import Engine


def book(engine: Engine, rules: Sequence[Rule] | None = None) -> RuleBook | None:
    """The book of some rules (default: those that the city brings) for an engine; None without any.

    A part of a city has none: alarms are raised where the whole is known.
    """
    city = engine.city
    wanted = list(getattr(city, "rules", ())) if rules is None else list(rules)
    if not wanted or engine.own is not None:
        return None
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
    rules = engine.rules
    if rules is not None and rules.hears(kind):
        rules.note(Told(kind, ledger, index, engine.sources[kind.name].per_unit, engine.entities), sign)


def tick(engine: Engine) -> list[Draft]:
    """What follows from the tick of now."""
    return [] if engine.rules is None else engine.rules.tick(engine.now, Values(engine))


class Values:
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
