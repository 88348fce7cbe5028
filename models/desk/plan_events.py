"""Event types of plans, of the duty roster, of shifts and of the working calendar, with titles in both languages.

`plan.started` and what follows are about a run of a plan at the desk (subject: code of the run); its levels are those
of the desk, 1 (I, the worst) to 4. What an authority declares are `plan.activated`, `plan.changed` and `plan.ended` of
models.city_events, whose level is 4 for I; the desk says them too when a run begins and its level changes.
"""

from __future__ import annotations

from citytwin.models.vocabulary import ALWAYS, EventType, Field, Kind

_CODE, _INTEGER, _TIME, _TEXT, _FLAG = Kind.CODE, Kind.INTEGER, Kind.TIME, Kind.TEXT, Kind.FLAG
_COMMON = (Field("actor", _CODE), Field("reason", _TEXT), Field("rev", _INTEGER, lo=0))
_SAYS = Field("text", _TEXT, max_bytes=4096)
_STEP = Field("step", _INTEGER, lo=1, hi=1000, required=True)
_LEVEL = Field("level", _INTEGER, lo=1, hi=4, required=True)
#: Kinds of reports (信息报送) in the order in which they are due.
REPORTS: tuple[str, ...] = ("first", "follow_up", "final")

#: Fields of each type besides `actor`, `reason` and `rev`.
FIELDS: dict[str, tuple[Field, ...]] = {
    "plan.started": (Field("plan", _CODE, required=True), _LEVEL, Field("case", _TEXT), Field("area", _CODE)),
    "plan.step_done": (_STEP, _SAYS),
    "plan.step_undone": (_STEP, _SAYS),
    "plan.level_changed": (_LEVEL,),
    # the draft of a public warning at the level of now: nobody is to be warned
    "plan.draft_discarded": (),
    "plan.report": (
        Field("kind", _CODE, choices=REPORTS, required=True),
        Field("to", _CODE),
        Field("receipt", _TEXT),
        _SAYS,
    ),
    # what a report was answered with, when that comes later
    "plan.receipt": (Field("n", _INTEGER, lo=1, required=True), Field("receipt", _TEXT, required=True)),
    "duty.set": (
        Field("role", _CODE, required=True),
        Field("area", _CODE, required=True),
        Field("person", _CODE),
        Field("from", _TIME, required=True),
        Field("until", _TIME, required=True),
        Field("deputy", _CODE),
        Field("absent", _FLAG),
    ),
    "shift.handed": (Field("hash", _TEXT, required=True), Field("area", _CODE), Field("to", _CODE), _SAYS),
    "shift.taken": (Field("hash", _TEXT, required=True), _SAYS),
    # JSON, ISO date to 1 (worked) or 0; `years` that the edition tells whole, with blanks
    "calendar.edition": (
        Field("days", _TEXT, max_bytes=16_384, required=True),
        Field("years", _TEXT),
        Field("valid_from", _TIME),
    ),
}


def plan_types() -> list[EventType]:
    """What is said of plans at the desk, of duty, of shifts and of the calendar."""
    return [EventType(name, (*own, *_COMMON), horizon_ms=ALWAYS) for name, own in FIELDS.items()]


PLAN_TITLES: dict[str, tuple[str, str]] = {
    "plan.started": ("预案执行开始", "Plan run started"),
    "plan.step_done": ("预案步骤完成", "Plan step done"),
    "plan.step_undone": ("预案步骤撤销完成", "Plan step not done after all"),
    "plan.level_changed": ("预案执行级别变更", "Level of plan run changed"),
    "plan.draft_discarded": ("预警草稿弃用", "Draft of a warning discarded"),
    "plan.report": ("信息报送", "Report sent up"),
    "plan.receipt": ("报送回执", "Receipt of a report"),
    "duty.set": ("值班安排", "Duty roster set"),
    "shift.handed": ("交班", "Shift handed over"),
    "shift.taken": ("接班", "Shift taken over"),
    "calendar.edition": ("工作日历更新", "Working calendar edition"),
}
