"""What a new edition of holidays does to the deadlines of open cases: it says `case.extended`, once a case and edition.

Only a deadline that the limit of its category gave under the calendar before follows: one that a source or an extension
named stays as it was. A case on hold is told when it goes on, for a case that is deferred cannot be extended.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from citytwin.models.columns import MISSING
from citytwin.models.desk.calendar import Limit, WorkCalendar
from citytwin.models.desk.event import AUTO, Draft
from citytwin.models.lifecycle import next_state


@dataclass(frozen=True, slots=True)
class Turn:
    """An edition that came at `since` (ms), with the calendars before and after it."""

    id: str
    since: int
    before: WorkCalendar
    after: WorkCalendar


@dataclass(frozen=True, slots=True)
class Deadline:
    """What is to be known of an open case; `held_ms`: time of its deferrals, `last_at`: time of its newest event."""

    code: str
    state: str
    filed_at: int
    due_at: int
    held_ms: int
    last_at: int
    limit: Limit


def identity(turn: Turn, code: str) -> str:
    """The id of what an edition says of a case."""
    return f"edition/{turn.id}/{turn.since}/{code}"


def rescheduled(case: Deadline, turns: Iterable[Turn], done: Container[str] = ()) -> Draft | None:
    """What the first edition that moves the deadline of a case says; `done`: ids that came.

    An edition from before the filing says nothing: the case was filed under it.
    """
    if MISSING in (case.filed_at, case.due_at) or next_state(case.state, "case.extended") is None:
        return None
    for turn in turns:
        id = identity(turn, case.code)
        if turn.since < case.filed_at or id in done:
            continue
        if turn.before.due(case.filed_at, case.limit) + case.held_ms != case.due_at:
            continue
        due = turn.after.due(case.filed_at, case.limit) + case.held_ms
        if due != case.due_at:
            zh, en = (
                f"工作日历更新（{turn.id}），重新计算时限",
                f"new working calendar ({turn.id}), deadline anew",
            )
            fields = {"due_at": due, "actor": AUTO, "reason": f"{zh} / {en}"}
            return Draft("case.extended", max(turn.since, case.last_at + 1), id, case.code, fields=fields)
    return None
