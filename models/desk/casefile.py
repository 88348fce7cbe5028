"""The file of one case: all that a dispatcher needs beyond the columns of twin.cases, as a pure fold of its events.

The events are those that count now, in the order (time, source, id, revision); legality and the handling clock are
those of models.lifecycle, so that state, `due_at` and `deferred_ms` equal the table's for every history.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

from citytwin.models.columns import MISSING
from citytwin.models.desk.casebody import ON_HOLD, CaseFile, CaseLaw, actor_of, entry_of
from citytwin.models.desk.casedeeds import DEEDS
from citytwin.models.desk.event import Event
from citytwin.models.desk.limits import HANDLING, STAGE_OF
from citytwin.models.lifecycle import BEFORE, KEEPS, MOVES, STATES, hold_ms, move_of

#: What a report or a filing says of a case; the last word holds.
_TOLD = (
    "category", "level", "channel", "component", "address", "caller", "confidential", "source_alarm", "rule",
    "backfilled", "happened_at", "customers",
)  # fmt: skip
#: What one has to have asked for, and what grants it.
GRANTS: dict[str, str] = {"extension": "case.extended", "deferral": "case.deferred"}
#: What a merge that is taken back does not take back.
_STAYS = frozenset({"code", "rev", "by", "at", "last", "moves", "illegal", "merges", "timeline"})


def fold(
    code: str, events: Sequence[Event], law: CaseLaw, *, rev: int | None = None, newest: Event | None = None
) -> CaseFile:
    """The file of a case from its events in order; those of types that are no moves of a case are a KeyError.

    `rev`: events ever taken for it, if there are others than these; `newest`: the one that came last, by arrival.
    """
    file = CaseFile(code)
    for event in events:
        take(file, event, law)
    if rev is not None:
        file.rev = rev
    if newest is not None:
        file.by, file.at = actor_of(newest), newest.time
    return file


def follow(file: CaseFile, events: Sequence[Event], law: CaseLaw) -> bool:
    """Let events that came since, in their order of arrival, change the file; whether they did.

    Only where each comes after all before it in the order of the fold; else the file stays as it was.
    """
    places = [file.last, *((e.time, e.source, e.id) for e in events)]
    if any(later <= place for place, later in pairwise(places)):
        return False
    for event in events:
        take(file, event, law)
    return True


def take(file: CaseFile, event: Event, law: CaseLaw) -> bool:
    """Let the next event of its order change the file; whether the case could make that move."""
    move = column_of(event)
    target = int(MOVES[STATES.index(file.state), move])
    file.rev += 1
    file.by, file.at, file.last = actor_of(event), event.time, (event.time, event.source, event.id)
    file.timeline.append(entry_of(event, target >= 0, file.lead))
    if target < 0:
        file.illegal += 1
        return False
    file.moves += 1
    if target == BEFORE:
        _take_back(file, law)
    else:
        shape(file, event, law)
        file.merges += event.type == "case.merged"
    return True


def column_of(event: Event) -> int:
    """Column of lifecycle.MOVES of an event. KeyError for types of other families."""
    told = event.fields
    return move_of(event.type, passed=bool(told.get("passed", True)), closed="closed_at" in told)


def _take_back(file: CaseFile, law: CaseLaw) -> None:
    """Be what the case would be if its merge had never been said: whatever was said of it meanwhile stays."""
    at = max(i for i, e in enumerate(file.shaped) if e.type == "case.merged")
    fresh = CaseFile(file.code)
    for event in (*file.shaped[:at], *file.shaped[at + 1 :]):
        shape(fresh, event, law)
    for each in dataclasses.fields(CaseFile):
        if each.name not in _STAYS:
            setattr(file, each.name, getattr(fresh, each.name))


def shape(file: CaseFile, event: Event, law: CaseLaw) -> None:
    """What one legal event, no unmerge, does to all but the timeline and the counts of moves."""
    move, state, time = column_of(event), STATES.index(file.state), event.time
    keeps = bool(KEEPS[state, move])
    file.shaped.append(event)
    _tell(file, event)
    if file.state in ON_HOLD and not keeps:
        _hold(file, -hold_ms(time, file.until))
        file.until = MISSING
    _name_due(file, event)
    if not keeps:
        _enter(file, event, STATES[int(MOVES[state, move])])
    deed = DEEDS.get(event.type)
    if deed is not None:
        deed(file, event)
    if not keeps:
        file.approvals = [a for a in file.approvals if _can(file.state, GRANTS[a.kind])]
        _begin_stage(file, event, law)


def _can(state: str, type: str) -> bool:
    return int(MOVES[STATES.index(state), move_of(type)]) >= 0


def _tell(file: CaseFile, event: Event) -> None:
    told = event.fields
    file.told.update({name: told[name] for name in _TOLD if name in told})
    if event.type == "case.reported":
        file.text = str(told.get("text", ""))
    if event.scope >= 0:
        file.scope = event.scope
    if event.lon == event.lon:
        file.lon, file.lat = event.lon, event.lat
    who = actor_of(event)
    if who:
        file.did.setdefault(event.type, set()).add(who)


def _hold(file: CaseFile, length: int) -> None:
    file.deferred_ms += length
    if file.due_at != MISSING:
        file.due_at += length
    if file.unit_due_at != MISSING:
        file.unit_due_at += length


def _name_due(file: CaseFile, event: Event) -> None:
    told = event.fields
    if event.type in ("case.filed", "case.extended", "case.reopened"):
        file.due_at = told.get("due_at", file.due_at)
        file.unit_due_at = told.get("unit_due_at", MISSING)
    elif event.type == "case.dispatched":
        file.unit_due_at = told.get("unit_due_at", file.unit_due_at)
    elif event.type == "case.history":
        file.due_at = told.get("due_at", MISSING)


def _enter(file: CaseFile, event: Event, state: str) -> None:
    """Be in the state that a move leads to."""
    if event.type == "case.history":
        file.times |= {"reported": event.fields["created_at"], "filed": event.fields["created_at"]}
        file.times["closed"] = event.fields.get("closed_at", MISSING)
    elif event.type == "case.reopened":
        file.times["closed"] = MISSING
    else:
        file.times[state] = event.time
    if state in ON_HOLD:
        file.until = int(event.fields["until"])
        _hold(file, hold_ms(event.time, file.until))
    if state != file.state:
        file.since = event.time
    if event.type == "case.merged":
        file.before, file.into = file.state, str(event.fields["into"])
    file.state = state


def _begin_stage(file: CaseFile, event: Event, law: CaseLaw) -> None:
    """The clock of a stage begins when the stage does, and anew whenever the case is sent out or put off."""
    stage = HANDLING if file.state in ON_HOLD else STAGE_OF.get(file.state, file.stage)
    again = event.type in ("case.dispatched", "case.designated", "case.reopened") or file.state in ON_HOLD
    if stage != file.stage or again:
        file.stage, file.stage_since = stage, event.time
    elif file.state in STAGE_OF:
        return
    file.stage_limit = MISSING
    if file.state in STAGE_OF:
        file.stage_limit = law.limit(file.category, file.level, stage, event.time)
