"""What may be said of runs of plans, and what it does to a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import DESK_SOURCE, Event, Refusal
from citytwin.models.desk.planrun import Done, Report, Run
from citytwin.models.desk.plans import Plan
from citytwin.twin.desk.duty import actor_of

if TYPE_CHECKING:
    from citytwin.twin.desk.plans import Plans

#: Most reports of one run.
REPORTS_MAX = 1000


def check(plans: Plans, event: Event) -> Refusal | None:
    """Why an event about a plan may not be taken now; None if it may."""
    if event.type.startswith("alarm."):
        return None
    if event.type == "plan.started":
        return _check_start(plans, event)
    run = plans.runs.get(event.subject)
    if run is None:
        # what an authority declares is no run of the desk; a command of the desk must mean one
        others = event.type in ("plan.activated", "plan.changed", "plan.ended")
        if others and not event.source.startswith(DESK_SOURCE):
            return None
        return Refusal("unknown_case", "subject", "no run of a plan has that code")
    rev = event.fields.get("rev")
    if rev is not None and rev != run.rev:
        known = {"by": run.changed_by, "at": run.changed_at, "rev": run.rev}
        return Refusal("stale_rev", "rev", f"{run.changed_by} changed the run since then; look at it again", known)
    return _check_move(plans.plans[run.plan], run, event)


def _check_start(plans: Plans, event: Event) -> Refusal | None:
    told = event.fields
    plan = plans.plans.get(str(told["plan"]))
    if plan is None:
        return Refusal("unknown_case", "plan", f"no such plan; there are {', '.join(sorted(plans.plans))}")
    if told["level"] not in plan.allowed():
        levels = ", ".join(map(str, sorted(plan.allowed())))
        return Refusal("out_of_range", "level", f"the plan {plan.id} has the levels {levels}")
    area = plans.area_of(plan, str(told.get("area") or ""))
    if not plans.known_area(area):
        return Refusal("unknown_scope", "area", f"say the code of the {plan.place} that the plan is run in")
    run = plans.runs.get(event.subject) or plans.running(plan.id, area, event.drill)
    if run is not None:
        known = {"run": run.code, "by": run.started_by, "at": run.started_at}
        return Refusal("not_now", "subject", f"{run.code} was started; go on with that run", known)
    return None


def _check_move(plan: Plan, run: Run, event: Event) -> Refusal | None:
    if event.type in ("plan.report", "plan.receipt"):
        return _check_report(plan, run, event)
    if event.type in ("plan.activated", "plan.changed"):
        return None
    if not run.active:
        known = {"by": run.ended_by, "at": run.ended_at}
        return Refusal("not_now", "subject", "that run was ended; its reports can still be sent", known)
    if event.type in ("plan.step_done", "plan.step_undone"):
        return _check_step(plan, run, event)
    if event.type == "plan.draft_discarded":
        return _check_draft(plan, run)
    if event.type == "plan.level_changed" and event.fields["level"] not in plan.allowed():
        levels = ", ".join(map(str, sorted(plan.allowed())))
        return Refusal("out_of_range", "level", f"the plan {plan.id} has the levels {levels}")
    if event.type == "plan.level_changed" and event.fields["level"] == run.level:
        return Refusal("not_now", "level", "the run is at that level", {"by": run.changed_by, "at": run.level_at})
    return None


def _check_step(plan: Plan, run: Run, event: Event) -> Refusal | None:
    n = event.fields["step"]
    if not any(task.n == n for task in plan.tasks):
        return Refusal("out_of_range", "step", f"the plan {plan.id} has steps 1 to {len(plan.tasks)}")
    done = run.steps.get(n)
    if event.type == "plan.step_done" and done is not None:
        return Refusal("not_now", "step", f"step {n} was done by {done.by}", {"by": done.by, "at": done.at})
    if event.type == "plan.step_undone" and done is None:
        return Refusal("not_now", "step", f"step {n} was not done yet")
    return None


def _check_draft(plan: Plan, run: Run) -> Refusal | None:
    if not plan.cap:
        return Refusal("not_now", "subject", f"the plan {plan.id} has no draft of a warning")
    if run.discarded:
        known = {"by": run.changed_by, "at": run.changed_at}
        return Refusal("not_now", "subject", "the draft of this level was discarded", known)
    return None


def _check_report(plan: Plan, run: Run, event: Event) -> Refusal | None:
    if event.type == "plan.receipt":
        if not 1 <= event.fields["n"] <= len(run.reports):
            return Refusal("out_of_range", "n", f"the run has {len(run.reports)} reports")
        return None
    kind, last = event.fields["kind"], run.reports[-1] if run.reports else None
    if len(run.reports) >= REPORTS_MAX and kind != "final":
        return Refusal("not_now", "kind", f"a run has at most {REPORTS_MAX} reports; send the final one")
    if last is not None and last.kind == "final":
        return Refusal("not_now", "kind", "the final report was sent", {"by": last.by, "at": last.at})
    if (kind == "first") != (last is None):
        return Refusal(
            "not_now", "kind", "the first report comes first" if last is None else "the first report was sent"
        )
    if kind == "final" and run.active:
        return Refusal("not_now", "kind", "the final report comes when the run was ended")
    return None


def apply_move(plan: Plan, run: Run, event: Event) -> None:
    """Take a move in that was not refused."""
    told: dict[str, Any] = dict(event.fields)
    by, at = actor_of(event), event.time
    if event.type == "plan.step_done":
        run.steps[int(told["step"])] = Done(by, at)
    elif event.type == "plan.step_undone":
        run.steps.pop(int(told["step"]), None)
    elif event.type == "plan.level_changed":
        run.level, run.level_at, run.discarded = int(told["level"]), at, False
    elif event.type == "plan.draft_discarded":
        run.discarded = True
    elif event.type == "plan.report":
        to = str(told.get("to") or (plan.reports.to if plan.reports else ""))
        texts = (str(told.get(name) or "") for name in ("receipt", "text"))
        run.reports.append(Report(len(run.reports) + 1, str(told["kind"]), at, by, to, *texts))
    elif event.type == "plan.receipt":
        run.reports[int(told["n"]) - 1].receipt = str(told["receipt"])
    elif event.type == "plan.ended" and run.ended_at == MISSING:
        run.ended_at, run.ended_by, run.why = at, by, str(told.get("reason") or "")
        run.may_end = False
    run.moved(by, at)
