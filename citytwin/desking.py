"""The desk in the engine: what it refuses of a batch, what a tick makes it say, and its rows for the pages."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin import intake, ruling
from citytwin.casework import Casework
from citytwin.geo.scopes import LEVELS
from citytwin.intake import CityLike
from citytwin.models.batch import Changes, EventBatch
from citytwin.models.columns import MISSING, Bool, Coded, Int32, Int64, Strings, unique
from citytwin.models.desk.columns import batches_of, events_of, unsayable
from citytwin.models.desk.event import AUTO, Draft, Part, Refusal, by_person
from citytwin.models.desk.holidays import base_edition
from citytwin.models.hashing import Keys, combine, hash_coded, hash_strings
from citytwin.models.shards import DESK
from citytwin.models.telling import Telling
from citytwin.models.vocabulary import EventType
from citytwin.twin.desk.alarms import Alarms
from citytwin.twin.desk.calendars import Calendars
from citytwin.twin.desk.desk import Desk
from citytwin.twin.desk.duty import Duty
from citytwin.twin.desk.plans import Plans
from citytwin.twin.desk.transfers import Transfers
from citytwin.twin.desk.units import Units
from citytwin.twin.desk.warnings import Warnings
from citytwin.twin.ledgerevents import event_at
from citytwin.twin.pack import City
from citytwin.units import origin_ms

if TYPE_CHECKING:
    from citytwin.engine import Engine

_log = logging.getLogger(__name__)
#: Commands of one batch: each is judged by what the one before it left, so that they cost more than other events.
COMMANDS_MAX = 256
#: Plans are judged at the city, its districts and streets.
_JUDGED = 3
_NOT_CORRECTED = "what the desk decided stands; say a new event instead of a correction"


def desk_of(engine: Engine) -> tuple[Desk | None, Casework | None]:
    """The desk of an engine that has the whole city, or is the desk's shard, and its cases; others have neither."""
    if (engine.own is not None and engine.own.shard != DESK) or engine.cases is None:
        return None, None
    city, scopes = engine.city, engine.scopes
    alarms, units, duty, days = Alarms(scopes), Units(), Duty(), calendars(city)
    areas = {name: _codes(engine, i) for i, name in enumerate(LEVELS[:_JUDGED])}
    plans = Plans(ruling.plans_of(city), areas)
    work = Casework(engine, days, units, alarms, plans, roster=duty)
    parts: dict[str, Part] = {"alarm": alarms, "unit": units, "plan": plans, "duty": duty, "calendar": days}
    parts |= {"warning": Warnings(scopes), "transfer": Transfers(lambda code: _place(engine, code))}
    return Desk(parts, work.check), work


def _place(engine: Engine, case: str) -> str:
    """Code of the scope row of a case, "" for none."""
    row = place_of(engine, case)[0]
    return engine.scopes.code[row] if row >= 0 else ""


def _codes(engine: Engine, level: int) -> list[str]:
    scopes = engine.scopes
    return [scopes.code[r] for r in scopes.at_level(level).tolist() if not scopes.unlocated[r]]


def calendars(city: CityLike) -> Calendars:
    """The working time of a city: days off as its pack says."""
    given = city.calendar if isinstance(city, City) else None
    days = (given.weekend, given.days) if given is not None else (frozenset({6, 7}), None)
    return Calendars(base_edition(city.timezone, *days), -origin_ms(city))


def tick(engine: Engine) -> None:
    """Let the desk do what the tick of now brings."""
    desk, work = engine.desk, engine.casework
    if desk is None or work is None:
        return
    desk.tick(engine.now, _called_for(engine, work, engine.now) + work.tick(engine.now))


def _called_for(engine: Engine, work: Casework, now: int) -> list[Draft]:
    """What rules and plans make the desk say at a tick."""
    return ruling.tick(engine, now) + work.plans.observe(now, work.read, work.alarmed)


def mark(engine: Engine, cases: Int64) -> Int64:
    """Let the desk of a city in shards do what a marker brings; rows of cases to be shown, which begin with `cases`."""
    desk, work = engine.desk, engine.casework
    if desk is None or work is None:
        return cases
    desk.tick(engine.now, work.tick(engine.now))
    return follow(engine, cases)


def follow(engine: Engine, cases: Int64) -> Int64:
    """Keep the files of cases (rows that changed); rows that are to be shown again, those included."""
    work = engine.casework
    if work is None or not work.live:
        return cases
    work.follow(cases)
    return unique(np.concatenate([cases, work.take_fresh()]))


def tell(engine: Engine, telling: Telling) -> bool:
    """Tell the desk a piece of what the clock found at a marker; False where it is not the next one, and nothing is.

    With the last piece rules and plans say what they said in one process at that tick.
    """
    desk, work, told = engine.desk, engine.casework, engine.told
    if desk is None or work is None or (telling.k, telling.index) != told.next:
        return False
    ruling.adopt(engine, telling)
    told.next = (telling.k + 1, 0) if telling.last else (telling.k, telling.index + 1)
    if telling.last:
        work.look_again()
        desk.say(_called_for(engine, work, telling.now))
    return True


def case_rows(engine: Engine, facts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Facts of cases with all that a queue shows of those that the desk follows."""
    work = engine.casework
    if work is None or not work.live:
        return list(facts)
    return [{**fact, **work.shown(fact["code"])} for fact in facts]


def open_rows(engine: Engine, facts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Facts of cases with what a queue shows of those that are open and followed; others stay as they are."""
    work = engine.casework
    kept = work.files if work is not None else {}
    return [{**fact, **work.short(kept[fact["code"]])} if work and fact["code"] in kept else fact for fact in facts]


def one_by_one(engine: Engine, batch: EventBatch) -> bool:
    """Whether the rows of a batch must be fed one by one: commands that know a revision build on each other."""
    return engine.desk is not None and len(batch) > 1 and _commands(batch)


def _commands(batch: EventBatch) -> bool:
    """Whether a person says any row of a batch, or one knows the revision that it builds on."""
    rev = batch.fields.get("rev")
    knows = isinstance(rev, np.ndarray) and bool(np.any(rev != MISSING))
    return knows or any(map(by_person, batch.source.names))


def admit(engine: Engine, batch: EventBatch, kind: EventType, scope: Int32, refusals: intake.Refusals) -> None:
    """Have the desk take in what of a batch is still allowed; what it refuses is refused."""
    desk = engine.desk
    if desk is None:
        return
    if desk.hears(kind.name) or _commands(batch):
        _judge(engine, desk, batch, kind, scope, refusals)
    if AUTO in batch.source.names:
        _hear(desk, batch, refusals)


def _judge(
    engine: Engine, desk: Desk, batch: EventBatch, kind: EventType, scope: Int32, refusals: intake.Refusals
) -> None:
    rows = np.flatnonzero(refusals.ok & (batch.corrects.lengths() == 0))
    if kind.family != "case" and not kind.key and not kind.folded:
        refusals.refuse(batch.corrects.lengths() > 0, "bad_correction", "corrects", _NOT_CORRECTED)
    if len(rows) == 0:
        return
    part = batch.take(rows)
    found = desk.admit(events_of(part, kind, scope[rows]), _known(engine, part).tolist())
    for row, refusal in zip(rows.tolist(), found, strict=True):
        if refusal is not None:
            _refuse(refusals, row, refusal)


def _hear(desk: Desk, batch: EventBatch, refusals: intake.Refusals) -> None:
    """What the desk said by itself came, whoever judges it: the first time, again after a crash, or refused."""
    for row, source in enumerate(batch.source.tolist()):
        if source == AUTO:
            desk.heard(batch.id[row], not refusals.ok[row])


def _known(engine: Engine, batch: EventBatch) -> Bool:
    """Rows whose id came before, in the log or in this batch."""
    keys = intake.event_keys(batch)
    known: Bool = engine.revisions.knows(keys)
    seen: set[tuple[int, int]] = set()
    for i, key in enumerate(zip(keys.a.tolist(), keys.b.tolist(), strict=True)):
        known[i] |= key in seen
        seen.add(key)
    return known


def _refuse(refusals: intake.Refusals, row: int, refusal: Refusal) -> None:
    mask = np.zeros(len(refusals.batch), np.bool_)
    mask[row] = True
    refusals.refuse(mask, refusal.reason, refusal.field, refusal.detail, refusal.known)


def batches(engine: Engine) -> list[EventBatch]:
    """What the desk has to say and was not heard yet, in order."""
    desk = engine.desk
    if desk is None or not desk.drafts:
        return []
    for draft in list(desk.drafts.values()):
        wrong = unsayable(draft, engine.vocabulary)
        if wrong:  # a fault of ours, or of a rule or plan: it must not stop the city
            desk.heard(draft.id, True)
            _log.error("the desk cannot say %s: %s", draft.id, wrong)
    return batches_of(desk.drafts.values(), engine.vocabulary)


def feed_each(engine: Engine, batch: EventBatch, position: int) -> Changes:
    """Feed the rows of a batch one after the other; their changes as those of one batch."""
    done = []
    for row in range(min(len(batch), COMMANDS_MAX)):
        one = engine.feed(batch.take(np.array([row])), position)
        done.append(replace(one, rejected=tuple(replace(r, index=row) for r in one.rejected)))
    names = ("accepted", "duplicates", "late", "corrected")
    rest = intake.Refusals(batch, np.ones(len(batch), np.bool_))
    rest.refuse(np.arange(len(batch)) >= COMMANDS_MAX, "too_large", "rev", f"at most {COMMANDS_MAX} commands at once")
    done.append(Changes(0, 0, 0, 0, tuple(rest.out)))
    counts = {name: sum(getattr(c, name) for c in done) for name in names}
    return Changes(**counts, rejected=tuple(r for c in done for r in c.rejected))


def rows(engine: Engine, part: str) -> Sequence[Mapping[str, Any]]:
    """What is open of a part of the desk, as its channel tells it."""
    found = engine.desk.parts.get(part) if engine.desk is not None else None
    return () if found is None else found.rows()


def _key(source: str, id: str) -> Keys:
    return combine(hash_coded(Coded.of([source])), hash_strings(Strings.of([id])))


def said_before(engine: Engine, source: str, id: str, type: str) -> tuple[str, int] | None:
    """Subject and time of the event of a source and id, if it came before; of another type it has no time."""
    found = engine.revisions.find(_key(source, id))
    if found is None:
        return None
    kind, at = found
    ledger = engine.ledger_of(kind)
    return (ledger.subject.strings[at], int(ledger.time.data[at])) if kind.name == type else ("", 0)


def has_case(engine: Engine, code: str) -> bool:
    """Whether there is a case of a code."""
    return engine.cases is not None and engine.cases.rev(code) > 0


def rev_of(engine: Engine, subject: str) -> int:
    """Revision of a case (how many events it had), or of a row of the desk; 0 where there is none."""
    if has_case(engine, subject):
        assert engine.cases is not None
        return engine.cases.rev(subject)
    return next((int(row.get("rev") or 0) for row in _rows_of(engine, subject)), 0)


def place_of(engine: Engine, subject: str) -> tuple[int, tuple[int, ...]]:
    """Scope row (-1: unknown) of a case or of a row of the desk, and the scopes that it was lent to."""
    if has_case(engine, subject):
        assert engine.cases is not None
        slot, work = np.array([engine.cases.slot(subject)]), engine.casework
        file = work.file(subject) if work is not None else None
        lent = work.lent(file) if work is not None and file is not None else []
        return int(engine.cases.scopes(slot)[0]), tuple(engine.scopes.row(code) for code in lent)
    for row in _rows_of(engine, subject):
        return _row(engine, row.get("scope") or row.get("home") or row.get("area")), ()
    return -1, ()


def _row(engine: Engine, scope: str | int | None) -> int:
    """Scope row of a code or row, -1 for none."""
    if isinstance(scope, str):
        return engine.scopes.row(scope)
    return -1 if scope is None else scope


def _rows_of(engine: Engine, code: str) -> Iterator[Mapping[str, Any]]:
    for part in engine.desk.parts.values() if engine.desk is not None else ():
        yield from (row for row in part.rows() if row["code"] == code)


def attend(engine: Engine) -> None:
    """The city is live: people work with its cases from now on."""
    if engine.casework is not None:
        engine.casework.attend()


def has_row(engine: Engine, code: str) -> bool:
    """Whether a part of the desk shows a row of a code."""
    return next(_rows_of(engine, code), None) is not None


def dispatch_of(
    engine: Engine, source: str, id: str, code: str, unit: str, batch: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a dispatch keeps of its decision: that of the same command if it came before, else of now.

    `batch`: what a proposal for several cases said, where it was this unit.
    """
    found = engine.revisions.find(_key(source, id))
    if found is not None and found[0].name == "case.dispatched":
        told = event_at(engine.ledger_of(found[0]), found[1]).fields
        return {name: told[name] for name in ("strategy", "score", "candidates") if name in told}
    work = engine.casework
    file = work.file(code) if work is not None else None
    return work.sending.fields(file, unit, batch) if work is not None and file is not None else {}


def due_of(engine: Engine, code: str, fields: Mapping[str, Any], filed_at: int) -> int:
    """When a case that is filed now is due: the limit of its category and level in the working time of the city."""
    work = engine.casework
    assert work is not None
    return work.due_at(code, str(fields.get("category", "")), fields.get("level"), filed_at)
