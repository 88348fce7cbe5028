"""Reminders and escalation: what is said when a part of the time of a stage, or of the whole handling, is used up.

Steps, local defaults without a standard: 50 % reminds, 80 % warns the supervisor, at 100 % the case is overdue and
under supervision (督办), at 150 % it goes one level up: street, district, city. Deferred and parked time is no part of
it, and a case on hold says nothing. All is a function of the facts of a case and the time: ids are made of case, stage,
entry and step, the time of a draft is that at which the step was reached. So a restart says nothing twice and forgets
nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from citytwin.models.desk.calendar import WorkCalendar
from citytwin.models.desk.event import AUTO, Draft
from citytwin.models.desk.roster import Found, Roster, find

#: Levels at which somebody is told, the lowest first; cases of communities and grids begin with their street.
LEVELS: tuple[str, ...] = ("street", "district", "city")
#: Who is told when nobody on any level has the role.
LAST_ROLE = "commander"


@dataclass(frozen=True, slots=True)
class Step:
    """At `percent` of the time an event of `type` goes to `role` ("" is that of the stage), so many levels `up`."""

    percent: int
    type: str
    role: str
    up: int
    zh: str
    en: str


STEPS: tuple[Step, ...] = (
    Step(50, "case.urged", "", 0, "催办", "reminder"),
    Step(80, "case.urged", "supervisor", 0, "预警", "warning"),
    Step(100, "case.supervised", "supervisor", 0, "超时，督办", "overdue, under supervision"),
    Step(150, "case.escalated", "supervisor", 1, "升级", "escalated"),
)
#: Role that a stage waits for.
ROLE_OF: dict[str, str] = {
    "acceptance": "acceptance_clerk", "filing": "shift_leader", "dispatch": "dispatcher", "receipt": "dispatcher",
    "handling": "dispatcher", "verification": "verifier", "closing": "shift_leader", "evaluation": "evaluator",
}  # fmt: skip
STAGE_TITLES: dict[str, tuple[str, str]] = {
    "acceptance": ("受理", "acceptance"), "filing": ("立案", "filing"), "dispatch": ("派遣", "dispatch"),
    "receipt": ("签收", "receipt"), "handling": ("处置", "handling"), "verification": ("核查", "verification"),
    "closing": ("结案", "closing"), "evaluation": ("评价", "evaluation"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock of a case: it began at `since` and is due at `due` (ms); `working`: only working time counts.

    `entry`: the how many-th time the case is in that stage, so that a stage that comes again has steps of its own.
    """

    stage: str
    since: int
    due: int
    working: bool = False
    entry: int = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """What escalation needs of a case: `clocks` that run, `holds` [from, to) in which it was or is on hold.

    `areas`: (level, code) of the scopes that it lies in, the smallest first, up to the city.
    """

    code: str
    clocks: tuple[Clock, ...] = ()
    holds: tuple[tuple[int, int], ...] = ()
    areas: tuple[tuple[str, str], ...] = ()

    def told(self) -> list[str]:
        """Codes of its areas in which somebody is told, the smallest first."""
        return [code for level in LEVELS for at, code in self.areas if at == level]

    def held(self, time: int) -> bool:
        """Whether the case is on hold at a time."""
        return any(begin <= time < end for begin, end in self.holds)


def _scale(clock: Clock, holds: Sequence[tuple[int, int]], calendar: WorkCalendar, time: int, working: bool) -> int:
    """Time used from the beginning of a clock on, without what it was on hold (ms)."""

    def span(a: int, b: int) -> int:
        return calendar.worked(b) - calendar.worked(a) if working else b - a

    used = span(clock.since, time)
    for begin, end in holds:
        a, b = max(begin, clock.since), min(end, time)
        if a < b:
            used -= span(a, b)
    return used


def fraction(clock: Clock, holds: Sequence[tuple[int, int]], calendar: WorkCalendar, time: int) -> float:
    """Share of the time of a clock that is used, 1 exactly when it is due; holds must not overlap.

    A clock that has no time at all is at 0 before it is due and at infinity from then on.
    """
    working, total = _total(clock, holds, calendar)
    if total <= 0:
        return float("inf") if time >= max(clock.since, clock.due) else 0.0
    share = _scale(clock, holds, calendar, max(time, clock.since), working) / total
    return max(share, 1.0) if time >= clock.due else share


def _total(clock: Clock, holds: Sequence[tuple[int, int]], calendar: WorkCalendar) -> tuple[bool, int]:
    """Whether working time is what counts, and how much of it there is; clock time where there is none of it."""
    if clock.due <= clock.since:
        return False, 0
    total = _scale(clock, holds, calendar, clock.due, clock.working)
    if total == 0 and clock.working:
        return False, _scale(clock, holds, calendar, clock.due, False)
    return clock.working, total


def reached_at(clock: Clock, holds: Sequence[tuple[int, int]], calendar: WorkCalendar, percent: int) -> int:
    """When so many percent of the time of a clock are used (ms): the earliest such time; 100 % when it is due."""
    return _reached(clock, holds, calendar, percent, *_total(clock, holds, calendar))


def _reached(
    clock: Clock, holds: Sequence[tuple[int, int]], calendar: WorkCalendar, percent: int, working: bool, total: int
) -> int:
    if percent == 100 or total <= 0:
        return max(clock.since, clock.due)
    at, left = clock.since, -(-percent * total // 100)
    for begin, end in sorted(holds):
        if end <= at:
            continue
        here = calendar.worked(max(begin, at)) - calendar.worked(at) if working else max(begin, at) - at
        if here >= left:
            break
        at, left = end, left - here
    return calendar.advance(at, left) if working else at + left


def identity(code: str, clock: Clock, step: Step) -> str:
    """The id of the draft of a step: once for each case, stage, entry and step."""
    return f"step/{code}/{clock.stage}/{clock.entry}/{step.percent}"


def upcoming(facts: Facts, calendar: WorkCalendar) -> list[tuple[int, Clock, Step]]:
    """All steps of the clocks that run with the times at which they are reached, the earliest first."""
    totals = [(clock, *_total(clock, facts.holds, calendar)) for clock in facts.clocks]
    found = [
        (_reached(clock, facts.holds, calendar, step.percent, working, total), clock, step)
        for clock, working, total in totals
        for step in STEPS
    ]
    return sorted(found, key=lambda item: (item[0], item[1].stage, item[2].percent))


def drafts(facts: Facts, now: int, calendar: WorkCalendar, roster: Roster, done: Container[str] = ()) -> list[Draft]:
    """What is to be said of a case by now and is not in `done` (ids that came), in the order of time.

    Nothing while the case is on hold: what was reached before comes when it goes on.
    """
    if facts.held(now):
        return []
    return list(_drafts(facts, now, calendar, roster, done))


def _drafts(facts: Facts, now: int, calendar: WorkCalendar, roster: Roster, done: Container[str]) -> Iterator[Draft]:
    for time, clock, step in upcoming(facts, calendar):
        id = identity(facts.code, clock, step)
        if time > now or id in done:
            continue
        found, areas = _whom(facts, clock, step, roster, time)
        fields = {"actor": AUTO, "reason": _reason(clock, step, found, areas)}
        if found.who is not None:
            fields["to"] = found.who.person
        yield Draft(step.type, time, id, facts.code, fields=fields)


def _whom(facts: Facts, clock: Clock, step: Step, roster: Roster, time: int) -> tuple[Found, list[str]]:
    areas = facts.told()
    areas = areas[min(step.up, len(areas) - 1) :] if areas else []
    return find(roster, areas, step.role or ROLE_OF.get(clock.stage, "dispatcher"), LAST_ROLE, time), areas


def _reason(clock: Clock, step: Step, found: Found, areas: Sequence[str]) -> str:
    stage = STAGE_TITLES.get(clock.stage, (clock.stage, clock.stage))
    zh, en = (
        f"{stage[0]}时限已用 {step.percent} %：{step.zh}",
        f"{step.percent} % of the time for {stage[1]} used: {step.en}",
    )
    return addressed(zh, en, found, areas)


def addressed(zh: str, en: str, found: Found, areas: Sequence[str]) -> str:
    """Why, and whom it goes to, in both languages; also who should have been there and was not."""
    if found.who is not None:
        zh, en = f"{zh} → {found.who.person}（{found.who.area}）", f"{en} → {found.who.person} ({found.who.area})"
        if found.who.stands_in_for:
            zh, en = f"{zh}，代 {found.who.stands_in_for}", f"{en}, for {found.who.stands_in_for}"
    if found.passed:
        gone = ", ".join(found.passed)
        zh, en = f"{zh}；{gone} 无人值班", f"{en}; nobody on duty in {gone}"
    elif not areas:
        zh, en = f"{zh}；案件无辖区", f"{en}; the case lies in no area"
    return f"{zh} / {en}"
