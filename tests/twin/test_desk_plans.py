"""Plans at the desk: suggestions, runs as checklists, reports with clocks, and the same from any restart."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from citytwin.models.columns import MISSING
from citytwin.models.desk.columns import batches_of
from citytwin.models.desk.event import AUTO, Draft, Event
from citytwin.models.desk.plantoml import builtin
from citytwin.models.events import VOCABULARY
from citytwin.twin.desk.desk import Desk
from citytwin.twin.desk.plans import Plans
from tests.conftest import Figure, proving

T, MINUTE, HOUR = 1_795_000_000_000, 60_000, 3_600_000
AREAS = {"city": ["C1"], "district": ["D1", "D2"]}
NAN = float("nan")
Values = Mapping[tuple[str, str], float]


def made(automatic: str = "") -> Plans:
    """All built-in plans; one of them without a person, if named."""
    plans = dict(builtin())
    if automatic:
        plan = plans[automatic]
        plans[automatic] = replace(plan, automatic=True, end=replace(plan.end, automatic=True))
    return Plans(plans, AREAS)


def event(type_: str, minute: float, subject: str, by: str = "wang", **fields: Any) -> Event:
    """An event of a minute after T."""
    time = T + int(minute * MINUTE)
    return Event(type_, time, f"desk/{by}", f"{type_}/{minute}/{fields}", subject, fields=fields)


def heard(draft: Draft) -> Event:
    """The event that a draft becomes."""
    return Event(draft.type, draft.time, AUTO, draft.id, draft.subject, fields=draft.fields)


def taken(plans: Plans, *events: Event) -> Plans:
    """After events of which none is refused."""
    for one in events:
        assert plans.check(one) is None, (one, plans.check(one))
        plans.apply(one)
    return plans


def look(plans: Plans, minute: float, values: Values) -> list[Draft]:
    """One tick in which all drafts are heard; what was said."""
    now = T + int(minute * MINUTE)
    said: list[Draft] = []
    for _ in range(3):  # what follows from what was heard comes in the next tick
        new = plans.observe(now, lambda name, at: values.get((name, at), NAN), lambda rule, at: False) + plans.tick(now)
        said += new
        taken(plans, *map(heard, new))
    return said


def said(drafts: list[Draft]) -> list[tuple[str, str]]:
    """Type and subject."""
    return [(d.type, d.subject) for d in drafts]


def row(plans: Plans, code: str) -> dict[str, Any]:
    """The row of a run that is not over."""
    return dict(next(r for r in plans.rows() if r["code"] == code))


START = event("plan.started", 1, "R-1", plan="waterlogging", level=3, area="D1", case="C-10241")
DEEP = {("waterlog_depth_max", "D1"): 42.0, ("rain_1h_max", "D1"): 68.4}


def test_a_plan_is_suggested_and_a_person_starts_it() -> None:
    plans = made()
    assert look(plans, 0, DEEP) == []
    raised = look(plans, 1, DEEP)
    assert said(raised) == [("alarm.raised", "plan.waterlogging.1@D1")]
    assert raised[0].fields["text_zh"] == "建议启动内涝预案 I 级，请人工确认"
    assert (raised[0].fields["priority"], raised[0].scope, raised[0].time) == (1, "D1", T + MINUTE)
    assert look(plans, 2, DEEP) == [], "said once"
    taken(plans, event("plan.started", 3, "R-1", plan="waterlogging", level=1, area="D1"))
    answered = look(plans, 3, DEEP)
    assert said(answered) == [("alarm.cleared", "plan.waterlogging.1@D1"), ("plan.activated", "R-1")]
    assert answered[1].fields == {"plan": "waterlogging", "level": 4}
    assert look(plans, 4, DEEP) == []
    found = row(plans, "R-1")
    assert (found["level"], found["suggested"], found["steps_open"], found["cap"]["severity"]) == (1, 1, 7, "Extreme")
    taken(plans, event("plan.ended", 5, "R-1", reason="误报"))
    assert look(plans, 6, DEEP) == [], "who ended it has decided; it is not called for again"


def river(metres: float) -> Values:
    """The level at Hankou."""
    return {("river_level", "C1"): metres}


def test_hankou_asks_a_person_and_says_when_it_gets_worse() -> None:
    plans = made()
    look(plans, 0, river(25.2))
    assert said(look(plans, 10, river(25.2))) == [("alarm.raised", "plan.river_flood.4@C1")]
    look(plans, 20, river(27.4))
    worse = look(plans, 30, river(27.4))
    assert said(worse) == [("alarm.raised", "plan.river_flood.3@C1"), ("alarm.cleared", "plan.river_flood.4@C1")]
    assert str(worse[0].fields["text_en"]).endswith("Hankou): level II or III is called for; a person decides")
    taken(plans, event("plan.started", 31, "R-2", plan="river_flood", level=2))
    assert said(look(plans, 31, river(27.4))) == [("alarm.cleared", "plan.river_flood.3@C1"), ("plan.activated", "R-2")]
    assert plans.runs["R-2"].area == "C1", "the only scope that it can be run at"
    taken(plans, event("plan.level_changed", 40, "R-2", level=3))
    changed = look(plans, 40, river(27.4))
    assert [(d.type, d.fields) for d in changed] == [("plan.changed", {"level": 2})]
    assert len(row(plans, "R-2")["steps"]) == 5, "the evacuation is for I and II only"


def test_one_without_a_person_starts_follows_and_ends() -> None:
    plans = made("waterlogging")
    some = {("waterlog_depth_max", "D1"): 16.0, ("rain_1h_max", "D1"): 6.0}
    look(plans, 0, some)
    begun = look(plans, 3, some)
    code = f"waterlogging@D1/{T + 3 * MINUTE}"
    assert said(begun) == [("plan.started", code), ("plan.activated", code)]
    assert begun[0].fields["actor"] == AUTO
    look(plans, 4, DEEP)
    assert said(look(plans, 5, DEEP)) == [("plan.level_changed", code), ("plan.changed", code)]
    dry = {("waterlog_depth_max", "D1"): 3.0, ("rain_1h_max", "D1"): 0.0}
    look(plans, 10, dry)
    assert said(look(plans, 39, dry)) == [("alarm.raised", f"plan_report@{code}")], "nobody sent the first report"
    over = look(plans, 40, dry)
    assert ("plan.ended", code) in said(over)
    assert plans.runs[code].ended_by == AUTO
    assert "end condition holds" in plans.runs[code].why
    assert row(plans, code)["state"] == "reporting"
    assert look(plans, 41, dry) == []
    assert plans.suggested("waterlogging", "D1") == 0


def test_an_end_that_a_person_says_is_only_offered() -> None:
    plans = taken(made(), START)
    dry = {("waterlog_depth_max", "D1"): 3.0, ("rain_1h_max", "D1"): 0.0}
    for minute, may in ((2, False), (31, False), (32, True)):
        assert "plan.ended" not in [d.type for d in look(plans, minute, dry)]
        assert row(plans, "R-1")["may_end"] is may
    look(plans, 33, {})
    assert row(plans, "R-1")["may_end"] is False, "nobody knows any longer"


def test_the_checklist() -> None:
    plans = taken(made(), START)
    taken(plans, event("plan.step_done", 3, "R-1", "li", step=2), event("plan.step_done", 4, "R-1", step=1))
    found = plans.of_case("C-10241")
    assert found is not None
    assert [(s["n"], s["done_by"], s["done_at"], s["due_at"]) for s in found["steps"]][:3] == [
        (1, "wang", T + 4 * MINUTE, T + 6 * MINUTE), (2, "li", T + 3 * MINUTE, T + 6 * MINUTE),
        (3, None, None, T + 11 * MINUTE),
    ]  # fmt: skip
    assert (found["run"], found["plan"], found["title"]["en"]) == ("R-1", "waterlogging", "Waterlogging")
    assert (found["steps_open"], found["rev"]) == (5, 3)
    taken(plans, event("plan.step_undone", 5, "R-1", step=2))
    assert row(plans, "R-1")["steps_open"] == 6
    assert [r["code"] for r in plans.take_changed()] == ["R-1"]
    assert plans.take_changed() == []
    assert plans.of_case("C-1") is None


def test_a_draft_of_a_warning_is_discarded_until_the_level_changes() -> None:
    plans = taken(made(), START)
    assert row(plans, "R-1")["discarded"] is False
    taken(plans, event("plan.draft_discarded", 3, "R-1", "chief", reason="已口头通知"))
    assert (row(plans, "R-1")["discarded"], row(plans, "R-1")["rev"]) == (True, 2)
    refusal = plans.check(event("plan.draft_discarded", 4, "R-1"))
    assert refusal is not None
    assert (refusal.reason, refusal.known) == ("not_now", {"by": "chief", "at": T + 3 * MINUTE})
    again = made()
    again.load(json.loads(json.dumps(plans.state())))
    assert row(again, "R-1")["discarded"] is True
    taken(plans, event("plan.level_changed", 5, "R-1", level=2))
    assert row(plans, "R-1")["discarded"] is False, "another level has a draft of its own"
    plan = plans.plans[plans.runs["R-1"].plan]
    plans.plans[plan.id] = replace(plan, cap={})
    refusal = plans.check(event("plan.draft_discarded", 6, "R-1"))
    assert refusal is not None
    assert "has no draft" in refusal.detail


REFUSED = [
    (event("plan.started", 9, "R-9", plan="war", level=3, area="D1"), "unknown_case", "plan"),
    (event("plan.started", 9, "R-9", plan="crowd", level=4, area="D1"), "out_of_range", "level"),
    (event("plan.started", 9, "R-9", plan="crowd", level=3, area="D9"), "unknown_scope", "area"),
    (event("plan.started", 9, "R-9", plan="crowd", level=3), "unknown_scope", "area"),
    (event("plan.started", 9, "R-9", plan="waterlogging", level=2, area="D1"), "not_now", "subject"),
    (event("plan.started", 9, "R-1", plan="crowd", level=3, area="D1"), "not_now", "subject"),
    (event("plan.step_done", 9, "R-9", step=1), "unknown_case", "subject"),
    (event("plan.ended", 9, "R-9"), "unknown_case", "subject"),
    (event("plan.step_done", 9, "R-1", step=8), "out_of_range", "step"),
    (event("plan.step_done", 9, "R-1", step=1), "not_now", "step"),
    (event("plan.step_undone", 9, "R-1", step=2), "not_now", "step"),
    (event("plan.step_done", 9, "R-1", step=2, rev=1), "stale_rev", "rev"),
    (event("plan.level_changed", 9, "R-1", level=3), "not_now", "level"),
    (event("plan.report", 9, "R-1", kind="follow_up"), "not_now", "kind"),
    (event("plan.report", 9, "R-1", kind="final"), "not_now", "kind"),
    (event("plan.receipt", 9, "R-1", n=1, receipt="x"), "out_of_range", "n"),
]


@pytest.mark.parametrize(("bad", "reason", "field"), REFUSED, ids=[f"{e.type} {r} {f}" for e, r, f in REFUSED])
def test_what_cannot_be_is_refused_and_changes_nothing(bad: Event, reason: str, field: str) -> None:
    plans = taken(made(), START, event("plan.step_done", 2, "R-1", "li", step=1))
    before = json.dumps(plans.state())
    refusal = plans.check(bad)
    assert refusal is not None
    assert (refusal.reason, refusal.field) == (reason, field)
    assert len(refusal.detail) > 15
    if reason == "stale_rev":
        assert refusal.known == {"by": "li", "at": T + 2 * MINUTE, "rev": 2}
    assert json.dumps(plans.state()) == before


def test_a_run_that_was_ended_takes_reports_only() -> None:
    plans = taken(made(), START, event("plan.ended", 5, "R-1", "li", reason="水退"))
    tried: dict[str, dict[str, Any]] = {
        "plan.ended": {},
        "plan.step_done": {"step": 1},
        "plan.level_changed": {"level": 2},
    }
    for type_, fields in tried.items():
        refusal = plans.check(event(type_, 6, "R-1", **fields))
        assert refusal is not None
        assert (refusal.reason, refusal.known) == ("not_now", {"by": "li", "at": T + 5 * MINUTE})
    taken(plans, event("plan.report", 7, "R-1", kind="first"), event("plan.report", 8, "R-1", kind="final"))
    assert plans.rows() == []
    assert plans.check(event("plan.report", 9, "R-1", kind="follow_up")) is not None
    taken(plans, event("plan.started", 10, "R-2", plan="waterlogging", level=3, area="D1"))


def test_what_authorities_declare_is_none_of_our_runs() -> None:
    plans = made()
    told: dict[str, dict[str, Any]] = {
        "plan.activated": {"plan": "flood", "level": 1}, "plan.changed": {"level": 2}, "plan.ended": {},
    }  # fmt: skip
    for type_, fields in told.items():
        taken(plans, replace(event(type_, 1, "flood-1", **fields), source="emergency/bureau"))
    assert plans.rows() == []


def test_reports_have_clocks_and_receipts() -> None:
    """First after 30 minutes, follow-ups two hours after each other, the final one a day after the end."""
    plans = taken(made(), START)
    look(plans, 2, {})
    subject = "plan_report@R-1"
    assert plans.due() == T + 31 * MINUTE
    assert look(plans, 30.9, {}) == []
    late = look(plans, 40, {})
    assert [(d.type, d.subject, d.time) for d in late] == [("alarm.raised", subject, T + 31 * MINUTE)]
    assert late[0].fields["text_zh"] == "内涝预案首报超时"
    assert look(plans, 50, {}) == []
    taken(plans, event("plan.report", 51, "R-1", kind="first", text="水深 42 cm"))
    assert said(look(plans, 51, {})) == [("alarm.cleared", subject)]
    assert row(plans, "R-1")["report"] == {"kind": "follow_up", "n": 2, "due": T + 171 * MINUTE}
    assert said(look(plans, 171, {})) == [("alarm.raised", subject)]
    taken(plans, event("plan.report", 172, "R-1", kind="follow_up", receipt="W-7"), event("plan.ended", 173, "R-1"))
    assert said(look(plans, 174, {})) == [("alarm.cleared", subject)]
    taken(plans, event("plan.receipt", 175, "R-1", n=1, receipt="W-6"))
    reports = row(plans, "R-1")["reports"]
    assert [(r["n"], r["kind"], r["receipt"], r["to"]) for r in reports] == [
        (1, "first", "W-6", "emergency_bureau"), (2, "follow_up", "W-7", "emergency_bureau"),
    ]  # fmt: skip
    assert row(plans, "R-1")["report"] == {"kind": "final", "n": 3, "due": T + 173 * MINUTE + 24 * HOUR}
    assert said(look(plans, 173 + 24 * 60, {})) == [("alarm.raised", subject)]
    taken(plans, event("plan.report", 174 + 24 * 60, "R-1", kind="final"))
    assert said(look(plans, 175 + 24 * 60, {})) == [("alarm.cleared", subject)]
    assert plans.rows() == []
    assert plans.due() == MISSING


def test_a_level_that_needs_no_report_has_none() -> None:
    plans = taken(made(), event("plan.started", 1, "R-1", plan="waterlogging", level=4, area="D1"))
    look(plans, 500, {})
    assert row(plans, "R-1")["report"] is None
    taken(plans, event("plan.level_changed", 501, "R-1", level=3))
    assert ("alarm.raised", "plan_report@R-1") in said(look(plans, 502, {}))


def test_drills_run_beside_the_real_thing() -> None:
    plans = taken(made(), START, event("plan.started", 2, "drill/R-1", plan="waterlogging", level=3, area="D1"))
    drafts = look(plans, 60, {})
    assert ("alarm.raised", "drill/plan_report@R-1") in said(drafts)
    assert ("plan.activated", "drill/R-1") in said(drafts)
    assert row(plans, "drill/R-1")["drill"] is True
    assert plans.running("waterlogging", "D1", drill=True) is plans.runs["drill/R-1"]


def test_drafts_are_events_of_the_vocabulary() -> None:
    drafts = look(made("crowd"), 0, {("crowd_density_max", "D2"): 6.0, ("gas_ch4_max", "D1"): 60.0})
    plans = taken(made(), START)
    drafts += look(plans, 60, {})
    assert {d.type for d in drafts} == {"plan.started", "plan.activated", "alarm.raised"}
    batches = batches_of(drafts, VOCABULARY())
    assert sum(map(len, batches)) == len(drafts)


def _story(seed: int) -> list[tuple[int, Values, list[Event]]]:
    """Minutes with values, and what people try to do in them."""
    rng = random.Random(seed)
    depth, rain, found = 10.0, 10.0, list[tuple[int, Values, list[Event]]]()
    for minute in range(0, 400, 2):
        depth = min(60.0, max(0.0, depth + rng.uniform(-8, 8)))
        rain = min(80.0, max(0.0, rain + rng.uniform(-15, 15)))
        values = {("waterlog_depth_max", "D1"): depth, ("rain_1h_max", "D1"): rain}
        values["crowd_density_max", "D2"] = depth / 10
        kind, other = rng.choice(("first", "follow_up", "final")), f"R-{rng.randrange(0, 400, 2)}"
        tries = [
            event("plan.started", minute, f"R-{minute}", plan="waterlogging", level=rng.randrange(1, 5), area="D1"),
            event("plan.step_done", minute, f"R-{rng.randrange(0, 400, 2)}", step=rng.randrange(1, 8)),
            event("plan.ended", minute, f"R-{rng.randrange(0, 400, 2)}"),
            event("plan.report", minute, other, kind=kind),
        ]
        found.append((minute, values, [t for t in tries if rng.random() < 0.3]))
    return found


def _played(seed: int, restarts: random.Random | None) -> tuple[list[str], str]:
    """Ids of all that was said, and the state at the end; with restarts the desk is rebuilt from its state."""
    plans = made("crowd")
    desk, said_ids = Desk({"plan": plans}), list[str]()
    for minute, values, tries in _story(seed):
        now = T + minute * MINUTE
        for one in tries:
            desk.admit([one], [False])
        read = lambda name, at, v=values: v.get((name, at), NAN)  # noqa: E731
        desk.tick(now, plans.observe(now, read, lambda rule, at: False))
        if restarts is not None and restarts.random() < 0.3:
            state = json.loads(json.dumps(desk.state()))
            plans = made("crowd")
            desk = Desk({"plan": plans})
            desk.load(state)
        if restarts is None or restarts.random() < 0.9:  # what is not heard now is heard later
            for draft in list(desk.drafts.values()):
                said_ids.append(draft.id)
                assert desk.admit([heard(draft)], [False]) == [None], draft
    return said_ids, json.dumps(plans.state())


def test_restarts_at_any_step_change_nothing(figure: Figure) -> None:
    total = 0
    for seed in range(100 if proving() else 3):
        ids, state = _played(seed, None)
        assert len(ids) == len(set(ids)), "nothing is said twice"
        always = random.Random(seed)
        always.random = lambda: 0.2  # type: ignore[method-assign]
        assert _played(seed, always) == (ids, state), "a restart at every step"
        lazy, _ = _played(seed, random.Random(seed + 1))
        assert len(lazy) == len(set(lazy))
        total += len(ids)
    figure("drafts of plans said once over restarts", total, "")
    assert total > 30
