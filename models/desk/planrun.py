"""A run of a plan: its checklist, its level, its reports with their clocks; a fold of the events of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import DRILL
from citytwin.models.desk.plans import Plan


@dataclass(slots=True)
class Done:
    """A step that was done: who said so and when."""

    by: str
    at: int


@dataclass(slots=True)
class Report:
    """A report that was sent up: `n` is its number in the run, `receipt` what it was answered with."""

    n: int
    kind: str
    at: int
    by: str
    to: str
    receipt: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """The report that a run owes next: kind, number, due time (ms)."""

    kind: str
    n: int
    due: int


@dataclass(slots=True)
class Run:
    """A run: `level` as the desk counts, 1 is the worst; `announced` is that which the city was told, 0 none.

    `ending`: since when the end condition has held, `may_end`: it has done so for its time. `discarded`: an authorised
    person said that nobody is to be warned at this level.
    """

    code: str
    plan: str
    version: int
    level: int
    area: str
    case: str
    started_at: int
    started_by: str
    steps: dict[int, Done] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    ended_at: int = MISSING
    ended_by: str = ""
    why: str = ""
    rev: int = 1
    changed_at: int = MISSING
    changed_by: str = ""
    level_at: int = MISSING
    announced: int = 0
    ending: int = MISSING
    may_end: bool = False
    discarded: bool = False

    @property
    def drill(self) -> bool:
        """Whether it belongs to a drill."""
        return self.code.startswith(DRILL)

    @property
    def active(self) -> bool:
        """Whether it was not ended yet."""
        return self.ended_at == MISSING

    def moved(self, by: str, at: int) -> None:
        """Count a change by somebody."""
        self.rev += 1
        self.changed_by, self.changed_at = by, at

    def expected(self, plan: Plan) -> Expected | None:
        """The report that is due next, None where the plan asks for none or the final one was given."""
        clocks, last = plan.reports, self.reports[-1] if self.reports else None
        if clocks is None or (last is not None and last.kind == "final"):
            return None
        if last is None:
            owes = self.level in clocks.levels
            return Expected("first", 1, self.started_at + clocks.first_ms) if owes else None
        if self.active:
            return Expected("follow_up", last.n + 1, last.at + clocks.follow_up_ms)
        return Expected("final", last.n + 1, max(self.ended_at, last.at) + clocks.final_ms)

    def over(self, plan: Plan) -> bool:
        """Whether nothing is left to do: it was ended and owes no report."""
        return not self.active and self.expected(plan) is None

    def row(self, plan: Plan, suggested: int) -> dict[str, Any]:
        """As plain JSON values, for pages."""
        expected = self.expected(plan)
        return {
            "code": self.code, "run": self.code, "plan": self.plan, "version": self.version,
            "title": dict(plan.title), "level": self.level, "suggested": suggested, "area": self.area,
            "case": self.case or None, "drill": self.drill, "rev": self.rev,
            "state": "active" if self.active else "over" if expected is None else "reporting",
            "started_at": self.started_at, "started_by": self.started_by, "ended_at": _none(self.ended_at),
            "ended_by": self.ended_by or None, "why": self.why or None,
            "may_end": self.may_end, "steps": (steps := self.checklist(plan)),
            "steps_open": sum(step["done_at"] is None for step in steps),
            "report": asdict(expected) if expected else None, "reports": [asdict(r) for r in self.reports],
            "notify": [dict(n) for n in plan.notify if self.level in n.get("levels", (1, 2, 3, 4))],
            "resources": [dict(n) for n in plan.resources], "cap": plan.cap_fields(self.level),
            "warning": plan.warning(self.level, self.code), "discarded": self.discarded, "end": plan.end.when.text,
        }  # fmt: skip

    def checklist(self, plan: Plan) -> list[dict[str, Any]]:
        """Steps of the level, and those of others that were done: n, title, role, due, who did them and when."""
        rows = []
        for task in plan.tasks:
            done = self.steps.get(task.n)
            if self.level in task.levels or done is not None:
                due = self.started_at + task.clock_ms if task.clock_ms else None
                rows.append({
                    "n": task.n, "title": dict(task.title), "role": task.role, "due_at": due,
                    "done_by": done.by if done else None, "done_at": done.at if done else None,
                })  # fmt: skip
        return rows

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        steps = {str(n): asdict(done) for n, done in sorted(self.steps.items())}
        return {**asdict(self), "steps": steps}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Run:
        """From plain values."""
        steps = {int(n): Done(**done) for n, done in plain["steps"].items()}
        return cls(**{**plain, "steps": steps, "reports": [Report(**r) for r in plain["reports"]]})


def _none(time: int) -> int | None:
    return None if time == MISSING else time
