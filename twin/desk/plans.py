"""Plans of the desk in the order of the log: what they are called for, their runs as checklists, their reports.

`observe` looks at indicators and alarms once a tick and suggests: an alarm where a person has to start a plan or raise
its level, the event itself where the plan is automatic. A run speaks for itself in `tick`: the city is told of its
level, a report that is overdue is an alarm until it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import AUTO, DRILL, Draft, Event, Refusal
from citytwin.models.desk.planrun import Run
from citytwin.models.desk.plans import NUMERALS, Plan
from citytwin.models.desk.planwatch import Watch
from citytwin.twin.desk.duty import actor_of
from citytwin.twin.desk.planmoves import apply_move, check
from citytwin.twin.desk.planwords import DECLARED, REPORT_RULE, announced, called_words, overdue_words, report_alarm

#: Beginning of the rule of an alarm that suggests a plan.
PLAN_RULE = "plan."
#: Runs that are over and are remembered, so that none begins twice.
OVER_MAX = 2000

T = TypeVar("T")
#: Value of an indicator at a scope by its code (NaN for none); whether an alarm of a rule is active there.
Read = Callable[[str, str], float]
Active = Callable[[str, str], bool]


def _at(ask: Callable[[str, str], T], area: str) -> Callable[[str], T]:
    return lambda name: ask(name, area)


def _plan_at(subject: str) -> tuple[str, str]:
    """Plan and scope of the subject of an alarm `plan.<plan>.<level>@<scope>`."""
    rule, _, area = subject.partition("@")
    return rule.removeprefix(PLAN_RULE).rpartition(".")[0], area


class Plans:
    """The part of the desk that knows plans; `areas`: codes of the scopes of each level at which plans are judged."""

    types: frozenset[str] = frozenset({
        "plan.started", "plan.step_done", "plan.step_undone", "plan.level_changed", "plan.draft_discarded",
        "plan.report", "plan.receipt", "plan.ended", "plan.activated", "plan.changed", "alarm.raised", "alarm.cleared",
    })  # fmt: skip

    def __init__(self, plans: Mapping[str, Plan], areas: Mapping[str, Sequence[str]]) -> None:
        self.plans, self._areas = dict(plans), areas
        self.runs: dict[str, Run] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        #: Alarms of ours that stand: subject to the id that raised it; and the last id of each, which is said once.
        self._standing: dict[str, str] = {}
        self._said: dict[str, str] = {}
        self._changed: dict[str, None] = {}
        #: What the conditions of a plan read last at a scope; a memory, no part of the state.
        self._told: dict[tuple[str, str], tuple[float | bool | None, ...]] = {}
        self._due = MISSING

    # what may be said

    def known_area(self, code: str) -> bool:
        """Whether a plan can be run at a scope of that code."""
        return any(code in codes for codes in self._areas.values())

    def running(self, plan: str, area: str, drill: bool = False) -> Run | None:
        """The active run of a plan at a scope."""
        found = (r for r in self.runs.values() if r.active and (r.plan, r.area, r.drill) == (plan, area, drill))
        return next(found, None)

    def of_case(self, case: str) -> Mapping[str, Any] | None:
        """The row of the newest run that belongs to a case."""
        code = next((c for c in reversed(self.runs) if self.runs[c].case == case), None)
        return self._row(code) if code is not None else None

    def check(self, event: Event) -> Refusal | None:
        """Whether the event may be taken now."""
        return check(self, event)

    def apply(self, event: Event) -> None:
        """Take in an event; what authorities declare of other runs changes nothing."""
        if event.type.startswith("alarm."):
            self._alarm(event)
            return
        run = self.runs.get(event.subject)
        if event.type == "plan.started":
            self._start(event)
        elif run is not None and event.type in ("plan.activated", "plan.changed"):
            run.announced = DECLARED - int(event.fields["level"])
        elif run is not None:
            apply_move(self.plans[run.plan], run, event)
        if event.subject in self.runs:
            self._changed[event.subject] = None
        self._due = 0

    def _start(self, event: Event) -> None:
        told = event.fields
        plan, by = self.plans[str(told["plan"])], actor_of(event)
        run = Run(
            event.subject, plan.id, plan.version, int(told["level"]), self.area_of(plan, str(told.get("area") or "")),
            str(told.get("case") or ""), event.time, by, why=str(told.get("reason") or ""),
        )  # fmt: skip
        run.level_at = run.changed_at = event.time
        run.changed_by = by
        self.runs[run.code] = run
        over = [code for code, old in self.runs.items() if old.over(self.plans[old.plan])]
        for code in over[: max(0, len(over) - OVER_MAX)]:
            self._said.pop(report_alarm(self.runs.pop(code)), None)

    def area_of(self, plan: Plan, told: str) -> str:
        """The scope that is told, else the only one that the plan can be run at, else none ("")."""
        codes = self._areas.get(plan.place, ())
        return told or (codes[0] if len(codes) == 1 else "")

    def _alarm(self, event: Event) -> None:
        rule = event.subject.removeprefix(DRILL).partition("@")[0]
        if rule != REPORT_RULE and not rule.startswith(PLAN_RULE):
            return
        if event.type == "alarm.raised":
            self._standing[event.subject] = self._said[event.subject] = event.id
        else:
            self._standing.pop(event.subject, None)
        self._due = 0

    # what follows from indicators

    def observe(self, now: int, read: Read, active: Active) -> list[Draft]:
        """Look at what plans are called for now, once a tick; suggestions, automatic beginnings and ends."""
        drafts: list[Draft] = []
        running = {(r.plan, r.area): r for r in self.runs.values() if r.active and not r.drill}
        called = {_plan_at(subject) for subject in self._standing}
        for plan in self.plans.values():
            for area in self._areas.get(plan.place, ()):
                watch = self._watches.setdefault((plan.id, area), Watch())
                run, value, alarm = running.get((plan.id, area)), _at(read, area), _at(active, area)
                told = plan.told(value, alarm)
                same = self._told.get((plan.id, area)) == told
                if same and run is None and watch.idle and (plan.id, area) not in called:
                    continue  # nothing moved, and nothing waits for its time
                self._told[plan.id, area] = told
                changed = watch.step(plan, now, value, alarm)
                if run is not None:
                    drafts += self._ending(plan, run, now, plan.end.when.holds(value, alarm))
                    if changed:
                        self._changed[run.code] = None
                drafts += self._called(plan, area, watch, run, now)
        return drafts

    def _called(self, plan: Plan, area: str, watch: Watch, run: Run | None, now: int) -> Iterator[Draft]:
        """Say that a plan is called for, or begin and change it where it does so by itself."""
        if plan.automatic:
            yield from self._by_itself(plan, area, watch, run)
            return
        decided = self._begun(plan.id, area, watch.since) if run is None else watch.level >= run.level
        wanted = 0 if decided else watch.level
        for level in range(1, 5):
            rule = f"{PLAN_RULE}{plan.id}.{level}"
            subject = f"{rule}@{area}"
            raised, id = self._standing.get(subject), f"plan-called/{plan.id}/{area}/{level}/{watch.since}"
            if level == wanted and raised is None and self._said.get(subject) != id:
                yield Draft(
                    "alarm.raised", watch.since, id, subject, fields=called_words(plan, level, rule), scope=area
                )
            elif level != wanted and raised is not None:
                yield Draft("alarm.cleared", now, f"plan-settled/{raised}", subject, scope=area)

    def _by_itself(self, plan: Plan, area: str, watch: Watch, run: Run | None) -> Iterator[Draft]:
        if watch.since == MISSING or watch.level == 0:
            return
        code = f"{plan.id}@{area}/{watch.since}"
        zh, en = f"达到 {NUMERALS[watch.level]} 级条件", f"level {NUMERALS[watch.level]} is reached"
        fields: dict[str, Any] = {"level": watch.level, "actor": AUTO, "reason": f"{zh} / {en}"}
        if run is None and not self._begun(plan.id, area, watch.since):
            fields |= {"plan": plan.id, "area": area}
            yield Draft("plan.started", watch.since, f"plan-started/{code}", code, fields=fields, scope=area)
        elif run is not None and run.level != watch.level and watch.since > run.level_at:
            id = f"plan-level/{run.code}/{watch.since}"
            yield Draft("plan.level_changed", watch.since, id, run.code, fields=fields, scope=area)

    def _begun(self, plan: str, area: str, since: int) -> bool:
        """Whether a run began or ended since the plan has been called for: then a person has decided."""
        return any(
            max(r.started_at, r.ended_at) >= since
            for r in self.runs.values()
            if (r.plan, r.area, r.drill) == (plan, area, False)
        )

    def _ending(self, plan: Plan, run: Run, now: int, holds: bool | None) -> Iterator[Draft]:
        """Mark whether the end condition has held for its time; end the run where it does so by itself."""
        run.ending = MISSING if not holds else now if run.ending == MISSING else run.ending
        may_end = run.ending != MISSING and now - run.ending >= plan.end.hold_ms
        if may_end != run.may_end:
            run.may_end = may_end
            self._changed[run.code] = None
        if plan.end.automatic and may_end:
            reason = f"满足终止条件：{plan.end.when.text} / end condition holds: {plan.end.when.text}"
            fields = {"actor": AUTO, "reason": reason}
            yield Draft("plan.ended", now, f"plan-ended/{run.code}", run.code, fields=fields, scope=run.area)

    # what follows from the clock

    def tick(self, now: int) -> list[Draft]:
        """Tell the city of levels, and raise and clear the alarms of overdue reports."""
        drafts: list[Draft] = []
        self._due = MISSING
        for run in self.runs.values():
            plan = self.plans[run.plan]
            drafts += announced(run)
            expected = run.expected(plan)
            if expected is not None and expected.due > now:
                self._due = min(self._due, expected.due) if self._due != MISSING else expected.due
            drafts += self._reported(run, now)
        return drafts

    def _reported(self, run: Run, now: int) -> Iterator[Draft]:
        plan, subject = self.plans[run.plan], report_alarm(run)
        expected, raised = run.expected(plan), self._standing.get(subject)
        late = expected is not None and expected.due <= now
        id = f"report-overdue/{run.code}/{expected.n}" if expected is not None and late else ""
        if raised is not None and raised != id:
            yield Draft("alarm.cleared", run.changed_at, f"report-settled/{raised}", subject, scope=run.area)
        elif raised is None and expected is not None and late and self._said.get(subject) != id:
            fields = {"rule": REPORT_RULE, "priority": run.level} | overdue_words(plan, expected.kind)
            yield Draft("alarm.raised", expected.due, id, subject, fields=fields, scope=run.area)

    def due(self) -> int:
        """When the next report is overdue; 0 after something came; MISSING for never."""
        return self._due

    # pages and snapshots

    def suggested(self, plan: str, area: str) -> int:
        """The level that a plan is called for at a scope, 0 for none."""
        watch = self._watches.get((plan, area))
        return watch.level if watch is not None else 0

    def _row(self, code: str) -> dict[str, Any]:
        run = self.runs[code]
        return run.row(self.plans[run.plan], 0 if run.drill else self.suggested(run.plan, run.area))

    def take_changed(self) -> list[Mapping[str, Any]]:
        """Runs that changed since the last call."""
        changed, self._changed = self._changed, {}
        return [self._row(code) for code in changed if code in self.runs]

    def rows(self) -> list[Mapping[str, Any]]:
        """Runs that are not over."""
        return [self._row(code) for code, run in self.runs.items() if not run.over(self.plans[run.plan])]

    def catalogue(self) -> list[dict[str, Any]]:
        """All plans with the levels that they are called for now."""
        called: dict[str, list[dict[str, Any]]] = {}
        for (plan, area), watch in self._watches.items():
            if watch.level:
                called.setdefault(plan, []).append({"area": area, "level": watch.level, "since": watch.since})
        return [{**plan.plain(), "called": called.get(plan.id, [])} for plan in self.plans.values()]

    def state(self) -> Any:
        """Plain values."""
        return {
            "runs": [run.plain() for run in self.runs.values()],
            "watches": [[plan, area, watch.plain()] for (plan, area), watch in sorted(self._watches.items())],
            "standing": dict(sorted(self._standing.items())), "said": dict(sorted(self._said.items())),
        }  # fmt: skip

    def load(self, state: Any) -> None:
        """Come back to a state; runs of plans that are no longer there are left out."""
        runs = [Run.of(plain) for plain in state["runs"]]
        self.runs = {run.code: run for run in runs if run.plan in self.plans}
        self._watches = {(plan, area): Watch.of(plain) for plan, area, plain in state["watches"] if plan in self.plans}
        self._standing, self._said = dict(state["standing"]), dict(state["said"])
        self._changed, self._told = dict.fromkeys(self.runs), {}
        self._due = 0
