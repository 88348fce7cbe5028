"""The cases as people at the desk work with them: files of the open ones, what may be the same, who could go.

All of it follows from the engine's state and is kept in no snapshot. Files are made when they are asked for; once the
city is live (`attend`) those of the open cases are kept, followed tick by tick, and watched for what is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from citytwin import caserows
from citytwin.casefiles import CaseFiles
from citytwin.dispatching import Dispatching
from citytwin.facts import CASES_MAX, OVER
from citytwin.geo.travel import Straight, Travel
from citytwin.intake import CityLike
from citytwin.models.columns import Int64
from citytwin.models.desk import categories, escalation, moves, plantoml, receipt
from citytwin.models.desk.candidates import ARRIVE_S, Need, Policy
from citytwin.models.desk.casebody import CaseFile, CaseLaw
from citytwin.models.desk.duplicates import Likeness, Report
from citytwin.models.desk.editions import rescheduled
from citytwin.models.desk.event import Draft, Event, Refusal, by_person
from citytwin.models.desk.limits import builtin, handling_due, handling_limit, stage_due
from citytwin.models.desk.roster import Roster
from citytwin.models.frame import Quality
from citytwin.twin.desk.alarms import Alarms
from citytwin.twin.desk.calendars import Calendars
from citytwin.twin.desk.plans import Plans
from citytwin.twin.desk.tables import DeskTables, desk_tables
from citytwin.twin.desk.units import Units
from citytwin.twin.pack import City
from citytwin.twin.streets import travel_of

if TYPE_CHECKING:
    from citytwin.engine import Engine

#: Candidates and likely duplicates that a case shows.
SHOWN = 20
NEVER = 2**62


class Casework:
    """The cases of one engine, which has the whole city; every call is made in the engine's thread."""

    def __init__(
        self, engine: Engine, days: Calendars, units: Units, alarms: Alarms, plans: Plans, *, roster: Roster,
        travel: Travel | None = None, policy: Policy | None = None,
    ) -> None:  # fmt: skip
        self.engine, self.days, self.units, self.alarms, self.plans = engine, days, units, alarms, plans
        self.roster = roster
        self._travel = travel
        self.sending = Dispatching(self, policy)
        tables = _tables(engine.city)
        self.categories, self.stages = tables.categories, tables.stages
        self._edition = days.edition
        self.law = CaseLaw(limit=self._limit)
        cases = engine.cases
        self._made = None if cases is None else CaseFiles(cases, self.law, lambda: days.edition)
        self.live = False
        self.files: dict[str, CaseFile] = {}
        #: By open case: when something of it is due next.
        self._due: dict[str, int] = {}
        #: Open cases that people took into their hands: whoever only plays the city leaves them alone.
        self.in_hand: set[str] = set()
        self._fresh: set[int] = set()
        #: Rule and scope of the alarms that stand at a tick, and that tick.
        self._standing: tuple[int, set[tuple[str, str]]] = (-1, set())
        box = engine.city.box
        self.likeness = Likeness((box[1] + box[3]) / 2 if box else 30.0)

    def _limit(self, category: str, level: int, stage: str, since: int) -> int:
        return stage_due(self.categories.resolve(category), level, stage, since, self.days.calendar, self.stages)

    @property
    def travel(self) -> Travel:
        """Travel times; the roads are read when they are first asked for."""
        if self._travel is None:
            city = self.engine.city
            self._travel = travel_of(city) if isinstance(city, City) else Straight()
        return self._travel

    # one case

    def file(self, code: str) -> CaseFile | None:
        """The file of a case, None for an unknown code."""
        return None if self._made is None else self._made.file(code)

    def check(self, event: Event) -> Refusal | None:
        """Why a command about a case is not taken."""
        into = event.fields.get("into")
        other = self.file(str(into)) if into else None
        return moves.check(self.file(event.subject), event, self.law, other=other)

    def due_at(self, code: str, category: str, level: Any, filed_at: int) -> int:
        """When a case is due that is filed at a time, as this category and level or as it was reported."""
        file = self.file(code)
        known = category or (file.category if file is not None else "")
        told = level if isinstance(level, int) else file.level if file is not None else 0
        return handling_due(self.categories.resolve(known), told, filed_at, self.days.calendar)

    def need(self, file: CaseFile) -> Need:
        """What a case wants of a unit."""
        category, now = self.categories.resolve(file.category), self.engine.now
        due = file.stage_due
        # what is left of the stage, but never less than a unit needs to get anywhere
        seconds = max((due - now) / 1000, ARRIVE_S)
        return Need(
            file.code, file.lon, file.lat, frozenset(category.skills[:1]), frozenset(category.skills[1:]),
            caserows.path(self.engine.scopes, file.scope), file.level, seconds, (now - file.since) / 1000,
            category.responsible, frozenset(a.unit for a in file.assignments), file.bounces,
            str(file.told.get("rule", "")),
        )  # fmt: skip

    def duplicates(self, file: CaseFile) -> list[dict[str, Any]]:
        """Open cases that may be the same as this one, the likeliest first."""
        out = []
        for match in self.likeness.candidates(self._report(file))[:SHOWN]:
            other = self.file(match.code)
            if other is not None:
                out.append({**match.row(), "title": self.title(other), "level": other.level})
        return out

    def _report(self, file: CaseFile) -> Report:
        told = file.told
        happened = int(told.get("happened_at") or file.times.get("reported", file.since))
        return Report(
            file.code, file.category, happened, file.lon, file.lat,
            str(told.get("text") or file.text), str(told.get("address", "")), str(told.get("component", "")),
        )  # fmt: skip

    def title(self, file: CaseFile) -> Mapping[str, str]:
        """What a case is called."""
        return self.categories.resolve(file.category).title

    def why(self, file: CaseFile) -> Mapping[str, Any] | None:
        """Why a rule opened a case, None for one that people reported."""
        alarm = self.alarms.detail(str(file.told.get("source_alarm", "")))
        if alarm is None:
            return None
        try:
            told = msgspec.json.decode(str(alarm.get("evidence") or "null"))
        except msgspec.DecodeError:  # whoever raised it wrote something else
            return None
        return told if isinstance(told, Mapping) else None

    def short(self, file: CaseFile) -> dict[str, Any]:
        """A case as the queue shows it."""
        found = caserows.short(file, self.law, self.engine.scopes, self.title(file), self._merged(file))
        return found | {"lent": self.lent(file)}

    def lent(self, file: CaseFile) -> list[str]:
        """Codes of the other districts whose units work on a case (mutual aid): they see it while these do."""
        scopes, own = self.engine.scopes, caserows.path(self.engine.scopes, file.scope)
        homes = (unit.home for work in file.units() if (unit := self.units.unit(work.unit)) is not None and unit.home)
        districts = {path[1] for home in homes if len(path := caserows.path(scopes, scopes.row(home))) > 1}
        return sorted(districts - set(own))

    def shown(self, code: str) -> Mapping[str, Any]:
        """The short form of a case; nothing for an unknown one."""
        file = self.file(code)
        return {} if file is None else self.short(file)

    def _merged(self, file: CaseFile) -> list[str]:
        return self.engine.cases.children(file.code) if self.engine.cases is not None else []

    def whole(self, code: str) -> dict[str, Any] | None:
        """A case with everything that hangs on it, None for an unknown code."""
        file = self.file(code)
        if file is None:
            return None
        return {
            **self.short(file), **caserows.more(file), "legal": list(moves.legal(file, self.law, now=self.engine.now)),
            "why": self.why(file), "duplicates": [] if file.over else self.duplicates(file),
            "candidates": self.sending.rows(file), "reports": self._reports(file), "plan": self.plans.of_case(code),
        }  # fmt: skip

    def _reports(self, file: CaseFile) -> list[dict[str, Any]]:
        children = (self.file(code) for code in self._merged(file))
        return [caserows.report(f) for f in (file, *children) if f is not None]

    # all that are open

    def attend(self) -> None:
        """The city is live: keep the files of the open cases from now on."""
        cases = self.engine.cases
        if cases is None or self.live:
            return
        self.live = True
        state = cases.column("state", np.arange(cases.n, dtype=np.int64))
        self._take(np.flatnonzero(~np.isin(np.array(state.tolist(), object), OVER)))

    def follow(self, rows: Int64) -> None:
        """Cases of these rows changed."""
        if self.live:
            self._take(rows)

    def _take(self, rows: Int64) -> None:
        cases = self.engine.cases
        assert cases is not None
        for row in rows.tolist():
            code = cases.code.strings[row]
            self.files.pop(code, None)
            self._due.pop(code, None)
            self.in_hand.discard(code)
            file = self.file(code)
            if file is None or file.over or file.state == "new":
                self.likeness.remove(code)
                self.sending.follow(code, None)
                continue
            self.files[code] = file
            if any(by_person(entry.source) for entry in file.timeline):
                self.in_hand.add(code)
            self._due[code] = self._next(file, self.engine.now)
            self.sending.follow(code, file)
            self.likeness.add(self._report(file))
            for other in file.unlike:
                self.likeness.unlike(code, other)
            if len(rows) <= CASES_MAX:
                self._fresh.add(row)

    def take_fresh(self) -> Int64:
        """Rows whose short form is to be shown again (int64, sorted)."""
        rows, self._fresh = np.array(sorted(self._fresh), np.int64), set()
        return rows

    # what plans ask

    def read(self, indicator: str, area: str) -> float:
        """Value of an indicator at a scope, NaN where none can be trusted."""
        line = self.engine.board.lines.get(indicator)
        row = self.engine.scopes.row(area)
        if line is None or not 0 <= row < len(line.value) or line.quality[row] >= int(Quality.STALE):
            return float("nan")
        return float(line.value[row])

    def alarmed(self, rule: str, area: str) -> bool:
        """Whether an alarm of a rule stands at a scope or below it."""
        if self._standing[0] != self.engine.k:
            self._standing = self.engine.k, self._standing_now()
        return (rule, area) in self._standing[1]

    def look_again(self) -> None:
        """Alarms may stand otherwise than at the last tick."""
        self._standing = (-1, set())

    def _standing_now(self) -> set[tuple[str, str]]:
        active = [row for row in self.alarms.rows() if row["active"] and row["scope"] is not None]
        scopes = self.engine.scopes
        return {(row["rule"], code) for row in active for code in caserows.path(scopes, scopes.row(row["scope"]))}

    def tick(self, now: int) -> list[Draft]:
        """Reminders and escalations that are due, dispatches that a rule allows alone; only once the city is live."""
        out: list[Draft] = []
        if self.days.edition != self._edition:
            self._edition, self._due = self.days.edition, dict.fromkeys(self.files, 0)
        for code in [code for code, due in self._due.items() if due <= now]:
            file = self.file(code) or self.files[code]  # with what was said since the last tick
            found = self._wanted(file, now)
            if not found:
                self._due[code] = self._next(file, now)
            out += found
        return out + self.sending.tick(now)

    def _wanted(self, file: CaseFile, now: int) -> list[Draft]:
        """What the clocks of a case, or a new edition of the calendar, make the desk say by now."""
        done = _said(file)
        found = escalation.drafts(self._facts(file), now, self.days.calendar, self.roster, done)
        limit = handling_limit(self.categories.resolve(file.category), file.level)
        moved = rescheduled(caserows.deadline(file, limit), self.days.turns, done)
        areas = self._facts(file).told()
        found += receipt.reminders(file, caserows.receipt_law(file, self.law), now, self.roster, areas, done)
        return found if moved is None else [*found, moved]

    def _facts(self, file: CaseFile) -> escalation.Facts:
        return caserows.facts(file, self.engine.scopes, self.categories.resolve(file.category), self.stages)

    def _next(self, file: CaseFile, now: int) -> int:
        """When a step of a case is due next, at the end of its hold at the earliest."""
        if file.timeline[0].type == "case.history":  # the record of another system, which reminds its own
            return NEVER
        facts, done = self._facts(file), _said(file)
        steps = escalation.upcoming(facts, self.days.calendar)
        open = [at for at, clock, step in steps if escalation.identity(file.code, clock, step) not in done]
        sent = receipt.waiting(file, caserows.receipt_law(file, self.law))
        open += [late.due for late in sent if receipt.reminder(file.code, late.unit) not in done]
        free = max((end for begin, end in facts.holds if begin <= now < end), default=now)
        return max(min(open), free) if open else NEVER


def _tables(city: CityLike) -> DeskTables:
    """The tables of a city's desk; a city without a pack has those that are built in."""
    if isinstance(city, City):
        return desk_tables(city.files, city.manifest)
    return DeskTables(categories.builtin(), builtin(), plantoml.builtin())


def _said(file: CaseFile) -> set[str]:
    return {entry.id for entry in file.timeline}
