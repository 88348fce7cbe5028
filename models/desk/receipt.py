"""Receipts that do not come: a unit that was sent says in time that it has the case, or the dispatcher is told.

The limit is that of the stage `receipt` (stages.csv, or the category's own; 2 to 30 minutes by level, local defaults),
for each unit from when it was sent. All is a function of the file and the time; ids are made of case, unit and sending.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from citytwin.models.columns import MISSING
from citytwin.models.desk.assignments import Assignment
from citytwin.models.desk.casebody import CaseFile
from citytwin.models.desk.escalation import LAST_ROLE, addressed
from citytwin.models.desk.event import AUTO, Draft
from citytwin.models.desk.roster import Roster, find

STAGE = "receipt"
#: Who is told.
ROLE = "dispatcher"
#: States in which units are under way.
UNDER_WAY: tuple[str, ...] = ("dispatched", "received", "arrived")
_MINUTE_MS = 60_000

#: When the receipt of a unit that was sent at a time is due (ms); MISSING for never.
Due = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A unit of which no receipt came yet, and when it is due (ms)."""

    unit: Assignment
    due: int


def reminder(case: str, unit: Assignment) -> str:
    """The id of the reminder of a unit: once for each case, unit and sending."""
    return f"receipt/{case}/{unit.unit}/{unit.sent}"


def waiting(file: CaseFile, due: Due) -> Iterator[Waiting]:
    """Units on a case that have said nothing yet; those that have no limit are left out."""
    if file.state not in UNDER_WAY:
        return
    for unit in file.units():
        at = due(unit.sent) if unit.state == "sent" else MISSING
        if at != MISSING:
            yield Waiting(unit, at)


def unanswered(file: CaseFile, due: Due, now: int) -> Assignment | None:
    """The unit that leads a case and gave no receipt in time: then another one may be sent; else None."""
    if file.state != "dispatched":
        return None
    late = (w.unit for w in waiting(file, due) if w.due <= now and w.unit.role == "lead")
    return next(late, None)


def reminders(
    file: CaseFile, due: Due, now: int, roster: Roster, areas: list[str], done: Container[str] = ()
) -> Iterator[Draft]:
    """What is to be said to the dispatcher by now and is not in `done` (ids that came).

    `areas`: codes of the scopes where the case lies, the smallest first.
    """
    for late in waiting(file, due):
        id = reminder(file.code, late.unit)
        if late.due > now or id in done:
            continue
        unit, minutes = late.unit.unit, (late.due - late.unit.sent) // _MINUTE_MS
        found = find(roster, areas, ROLE, LAST_ROLE, late.due)
        zh, en = f"{unit} 派出 {minutes} 分钟未签收", f"{unit} has not confirmed for {minutes} min"
        fields = {"actor": AUTO, "unit": unit, "reason": addressed(zh, en, found, areas)}
        if found.who is not None:
            fields["to"] = found.who.person
        yield Draft("case.urged", late.due, id, file.code, fields=fields)
