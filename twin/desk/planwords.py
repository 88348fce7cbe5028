"""What the desk says of plans by itself: that one is called for, a report is overdue, the city is at a level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from citytwin.models.desk.event import DRILL, Draft
from citytwin.models.desk.planrun import Run
from citytwin.models.desk.plans import NUMERALS, Plan

#: Rule of the alarm of an overdue report.
REPORT_RULE = "plan_report"
#: Less a level of the desk it is the level of `plan.activated`, which is 4 for I.
DECLARED = 5
_REPORTS = {
    "first": ("首报", "first report"),
    "follow_up": ("续报", "follow-up report"),
    "final": ("终报", "final report"),
}


def report_alarm(run: Run) -> str:
    """Subject of the alarm of an overdue report of a run."""
    return f"{DRILL if run.drill else ''}{REPORT_RULE}@{run.code.removeprefix(DRILL)}"


def overdue_words(plan: Plan, kind: str) -> dict[str, str]:
    """What the alarm of an overdue report says."""
    zh, en = _REPORTS[kind]
    return {"text_zh": f"{plan.title['zh']}预案{zh}超时", "text_en": f"{plan.title['en']} plan: {en} overdue"}


def called_words(plan: Plan, level: int, rule: str) -> dict[str, Any]:
    """What the alarm says that suggests a plan; a person decides, also on the level where the plan leaves that open."""
    row = plan.at(level)
    choose = row.choose if row is not None and row.choose else (level,)
    zh, en = (word.join(NUMERALS[n] for n in choose) for word in (" 或 ", " or "))
    return {
        "rule": rule, "priority": level, "level_of_event": level,
        "text_zh": f"建议启动{plan.title['zh']}预案 {zh} 级，请人工确认",
        "text_en": f"Plan {plan.title['en']}: level {en} is called for; a person decides",
    }  # fmt: skip


def announced(run: Run) -> Iterator[Draft]:
    """Tell the city of the level of a run that it was not told of yet."""
    if not run.active or run.announced == run.level:
        return
    level = DECLARED - run.level
    if run.announced == 0:
        id = f"plan-activated/{run.code}"
        fields: dict[str, Any] = {"plan": run.plan, "level": level}
        yield Draft("plan.activated", run.started_at, id, run.code, fields=fields, scope=run.area)
    else:
        id = f"plan-changed/{run.code}/{run.level_at}"
        yield Draft("plan.changed", run.level_at, id, run.code, fields={"level": level}, scope=run.area)
