"""Alarms: rows as pages have them, conflicts, notices, drills, groups and floods, bounds."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from citytwin.models.columns import MISSING
from citytwin.models.desk.alarm_events import ALARM_FIELDS, FAMILY
from citytwin.models.desk.alarmhealth import Occurrence
from citytwin.models.desk.event import AUTO, Event, Refusal
from citytwin.models.events import VOCABULARY
from citytwin.twin.desk.alarms import ALL, HISTORY, NOTICES, Alarms
from tests.conftest import Figure
from tests.indicators.town import tree

T0 = 1_750_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
SCOPES, GRIDS = tree()
ROW = [
    "code", "rule", "scope", "title", "priority", "active", "acked", "state", "occurrence", "since", "acked_by",
    "acked_at", "shelved_by", "shelved_until", "shelved_why", "value", "unit", "group", "first_out", "case", "drill",
    "rev",
]  # fmt: skip


def say(part: Alarms, type: str, code: str, at: int = 0, source: str = AUTO, grid: int = 0, **fields: Any
        ) -> Refusal | None:  # fmt: skip
    """Check one event, and apply it unless it is refused; `at` ms after T0."""
    event = Event(type, T0 + at, source, f"{type}/{code}/{at}", code, GRIDS[grid] if grid >= 0 else -1, fields=fields)
    refusal = part.check(event)
    if refusal is None:
        part.apply(event)
    return refusal


def raised(part: Alarms, code: str, at: int = 0, priority: int = 2, grid: int = 0, **more: Any) -> None:
    rule = code.removeprefix("drill/").partition("@")[0]
    told = {"rule": rule, "priority": priority, "text_zh": "积水", "text_en": "Water", **more}
    assert say(part, "alarm.raised", code, at, grid=grid, **told) is None


def fresh(**more: Any) -> Alarms:
    part = Alarms(SCOPES, **more)
    part.tick(T0)
    return part


def test_a_row_is_what_pages_expect() -> None:
    part = fresh()
    raised(part, "flood@C0000", value=0.42, unit="m", level_of_event=3, evidence="[]", group="flood/C0")
    row = part.rows()[0]
    assert list(row) == ROW
    assert row == {
        "code": "flood@C0000", "rule": "flood", "scope": "C0000", "title": {"zh": "积水", "en": "Water"},
        "priority": 2, "active": True, "acked": False, "state": "unack", "occurrence": 1, "since": T0,
        "acked_by": None, "acked_at": None, "shelved_by": None, "shelved_until": None, "shelved_why": None,
        "value": 0.42, "unit": "m", "group": "flood/C0", "first_out": True, "case": None, "drill": False, "rev": 1,
    }  # fmt: skip
    assert json.loads(json.dumps(row)) == row
    detail = part.detail("flood@C0000")
    assert detail is not None
    assert (detail["level_of_event"], detail["evidence"], detail["active_since"]) == (3, "[]", T0)
    assert part.detail("x") is None


def test_the_second_one_to_acknowledge_learns_who_was_first_and_when() -> None:
    part = fresh()
    raised(part, "flood@C0000")
    assert say(part, "alarm.acknowledged", "flood@C0000", 5, "desk/wang", occurrence=1) is None
    late = say(part, "alarm.acknowledged", "flood@C0000", 6, "desk/li", occurrence=1)
    assert late is not None
    assert late.reason == "stale_rev"
    assert late.known == {"occurrence": 1, "rev": 2, "by": "wang", "at": T0 + 5}


def test_an_acknowledgement_of_the_last_occurrence_is_not_one_of_the_next() -> None:
    part = fresh()
    raised(part, "flood@C0000")
    assert say(part, "alarm.cleared", "flood@C0000", 10) is None
    assert part.rows()[0]["state"] == "rtn_unack"
    raised(part, "flood@C0000", 20)
    missed = say(part, "alarm.acknowledged", "flood@C0000", 21, "desk/wang", occurrence=1)
    assert missed is not None
    assert (missed.reason, missed.known["occurrence"], missed.known["at"]) == ("stale_rev", 2, T0 + 20)
    assert part.rows()[0]["state"] == "unack"


def test_worse_is_a_new_call_and_milder_is_none() -> None:
    part = fresh()
    raised(part, "flood@C0000", priority=3)
    assert say(part, "alarm.acknowledged", "flood@C0000", 1, "desk/wang", occurrence=1) is None
    raised(part, "flood@C0000", 2, priority=4)
    assert [(r["priority"], r["state"], r["occurrence"]) for r in part.rows()] == [(4, "ack", 1)]
    raised(part, "flood@C0000", 3, priority=2)
    assert [(r["priority"], r["state"], r["occurrence"]) for r in part.rows()] == [(2, "unack", 2)]
    assert part.alarm("flood@C0000").active_since == T0  # type: ignore[union-attr]


def test_a_new_value_alone_is_no_new_revision() -> None:
    part = fresh()
    raised(part, "flood@C0000", value=0.4)
    raised(part, "flood@C0000", 1, value=0.5)
    assert [(r["value"], r["rev"]) for r in part.rows()] == [(0.5, 1)]
    raised(part, "flood@C0000", 2, text_en="Deep water")
    assert [r["rev"] for r in part.rows()] == [2]


def test_a_command_on_an_old_revision_says_what_it_missed() -> None:
    part = fresh()
    raised(part, "flood@C0000")
    assert say(part, "alarm.escalated", "flood@C0000", 5, "desk/wang", to="chief", rev=1) is None
    until: dict[str, Any] = {"until": T0 + HOUR, "reason": "works"}
    old = say(part, "alarm.shelved", "flood@C0000", 6, "desk/li", rev=1, **until)
    assert old is not None
    assert (old.reason, old.known["by"], old.known["rev"]) == ("stale_rev", "wang", 2)
    assert say(part, "alarm.shelved", "flood@C0000", 6, "desk/li", rev=2, **until) is None
    assert (part.detail("flood@C0000") or {})["escalated_to"] == "chief"


def test_a_shelf_has_a_reason_and_ends_with_the_clock() -> None:
    part = fresh()
    raised(part, "flood@C0000")
    assert say(part, "alarm.shelved", "flood@C0000", 5, "desk/wang", until=T0 + HOUR, reason="pump repair") is None
    row = part.rows()[0]
    assert (row["state"], row["shelved_by"], row["shelved_why"]) == ("shelved", "wang", "pump repair")
    assert part.groups() == []
    part.take_changed()
    assert [d.type for d in part.tick(T0 + HOUR - 1)] == ["alarm.health"]
    drafts = [d for d in part.tick(T0 + HOUR) if d.type == "alarm.unshelved"]
    assert [(d.subject, d.time) for d in drafts] == [("flood@C0000", T0 + HOUR)]
    assert [r["state"] for r in part.take_changed()] == ["unack"]
    assert say(part, "alarm.shelved", "flood@C0000", HOUR, "desk/li", until=T0 + 2 * HOUR, reason="again") is None
    again = Event("alarm.unshelved", T0 + HOUR, AUTO, drafts[0].id, "flood@C0000", fields=drafts[0].fields)
    refusal = part.check(again)
    assert refusal is not None
    assert refusal.reason == "not_now", "the end of the first shelf does not end the second"


def test_what_happens_while_it_is_hidden_is_there_afterwards() -> None:
    part = fresh()
    assert say(part, "alarm.out_of_service", "gas@G1", 0, "desk/wang", reason="new sensor") is None
    raised(part, "gas@G1", 5)
    assert part.groups() == []
    assert part.history() == [], "what nobody was called for is no load"
    assert say(part, "alarm.in_service", "gas@G1", 10, "desk/wang") is None
    assert [(r["state"], r["occurrence"]) for r in part.rows()] == [("unack", 1)]


def test_notices_are_told_and_never_enter_the_list() -> None:
    part = fresh()
    raised(part, "calm@C0000", notice=True, value=1.0)
    assert part.rows() == []
    assert part.take_changed() == []
    assert [(n["code"], n["title"]["en"], n["active"]) for n in part.take_notices()] == [("calm@C0000", "Water", True)]
    refusal = say(part, "alarm.acknowledged", "calm@C0000", 1, "desk/wang", occurrence=1)
    assert refusal is not None
    assert refusal.reason == "not_now"
    assert say(part, "alarm.cleared", "calm@C0000", 2) is None
    assert [n["active"] for n in part.take_notices()] == [False]
    for i in range(2 * NOTICES):
        raised(part, f"calm@{i}", notice=True)
    assert len(part.notices()) == NOTICES
    assert part.history() == []


def test_drills_stand_in_the_list_and_count_in_nothing() -> None:
    part = fresh()
    raised(part, "flood@C0000", group="flood")
    raised(part, "drill/flood@C0000", 1, group="flood")
    assert [(r["code"], r["drill"], r["first_out"]) for r in part.rows()] == [
        ("drill/flood@C0000", True, True), ("flood@C0000", False, True),
    ]  # fmt: skip
    assert len(part.groups()) == 2
    assert [o.code for o in part.history()] == ["flood@C0000"]
    assert part.health(T0 + 30 * HOUR).stale == 1


def test_a_case_that_was_opened_for_it_is_named() -> None:
    part = fresh()
    raised(part, "flood@C0000")
    part.take_changed()
    assert say(part, "case.reported", "C-1", 5, source_alarm="flood@C0000") is None
    assert say(part, "case.reported", "C-2", 5) is None
    assert [r["case"] for r in part.take_changed()] == ["C-1"]


def test_evidence_is_kept_while_somebody_may_ask_for_it() -> None:
    part = fresh()
    for code in ("flood@C0000", "flood@C0001"):
        raised(part, code, evidence='["e1"]')
    assert say(part, "case.reported", "C-1", 5, source_alarm="flood@C0000") is None
    for code in ("flood@C0000", "flood@C0001"):
        assert say(part, "alarm.cleared", code, 6) is None
        assert (part.detail(code) or {})["evidence"] == '["e1"]'
        assert say(part, "alarm.acknowledged", code, 7, "desk/wang", occurrence=1) is None
    assert (part.detail("flood@C0000") or {})["evidence"] == '["e1"]', "the case asks why it was opened"
    assert (part.detail("flood@C0001") or {})["evidence"] is None


def test_the_first_of_a_group_stays_the_first() -> None:
    part = fresh()
    for at, code in ((0, "a@1"), (1, "b@1"), (2, "c@1")):
        raised(part, code, at * MINUTE, group="pipe/C0")
    assert [r["code"] for r in part.rows() if r["first_out"]] == ["a@1"]
    raised(part, "z@1", -MINUTE, group="pipe/C0")
    assert [r["code"] for r in part.rows() if r["first_out"]] == ["z@1"], "told late, but it was before"
    assert [g["first_out"] for g in part.groups()] == ["z@1"]
    raised(part, "d@1", 13 * MINUTE, group="pipe/C0")
    assert [r["code"] for r in part.rows() if r["first_out"]] == ["d@1", "z@1"], "after a gap it begins anew"
    assert [(g["first_out"], g["count"]) for g in part.groups()] == [("d@1", 1), ("z@1", 4)]


def test_the_group_follows_from_rule_and_place_where_the_rule_names_none() -> None:
    part = fresh()
    raised(part, "flood@C0000")
    raised(part, "flood@nowhere", grid=-1)
    assert [r["group"] for r in part.rows()] == ["flood/C0/C00", "flood"]
    assert [r["scope"] for r in part.rows()] == ["C0000", None]


def test_a_flood_of_1000_alarms_in_a_minute_is_20_groups_and_none_is_lost(figure: Figure) -> None:
    part, chance = fresh(), random.Random(7)
    codes = [f"r{i % 40}@place{i}" for i in range(1000)]
    for i, code in enumerate(codes):
        raised(part, code, i * 60, priority=1 + chance.randrange(4), grid=chance.randrange(16))
    begun = time.perf_counter()
    found = part.groups()
    figure("groups of 1,000 alarms", 1000 * (time.perf_counter() - begun), "ms")
    assert len(found) <= 20
    assert sorted(code for g in found for code in g["members"]) == sorted(codes)
    assert sum(g["count"] for g in found) == sum(sum(g["by_priority"]) for g in found) == 1000
    assert [g["priority"] for g in found] == sorted(g["priority"] for g in found)
    assert {r["code"] for r in part.take_changed()} == set(codes)
    health = part.health(T0 + 10 * MINUTE)
    assert (health.recent, health.flood) == (999, 1), "the one at T0 itself is of the ten minutes before"


def test_the_number_of_alarms_is_bounded_and_numbers_go_on() -> None:
    part = fresh(most=3)
    for at, code in enumerate(("a@1", "b@1", "a@1")):
        raised(part, code, 10 * at)
        assert say(part, "alarm.cleared", code, 10 * at + 1) is None
    number = (part.row("a@1") or {})["occurrence"]
    assert say(part, "alarm.acknowledged", "b@1", 50, "desk/wang", occurrence=1) is None
    assert say(part, "alarm.acknowledged", "a@1", 51, "desk/wang", occurrence=number) is None
    raised(part, "c@1", 60)
    raised(part, "d@1", 61)
    raised(part, "e@1", 62)
    assert sorted(r["code"] for r in part.rows()) == ["c@1", "d@1", "e@1"]
    forgotten = say(part, "alarm.acknowledged", "a@1", 70, "desk/wang", occurrence=number)
    full = say(part, "alarm.raised", "a@1", 71, priority=1)
    assert forgotten is not None
    assert full is not None
    assert (forgotten.reason, full.reason) == ("unknown_case", "not_now")
    raised(part, "calm@1", 72, notice=True)
    assert say(part, "alarm.cleared", "c@1", 80) is None
    assert say(part, "alarm.acknowledged", "c@1", 81, "desk/wang", occurrence=part.row("c@1")["occurrence"]) is None  # type: ignore[index]
    raised(part, "a@1", 83)
    assert (part.row("a@1") or {})["occurrence"] > number, "an old acknowledgement can never meet the new occurrence"


def test_the_history_is_bounded_and_holds_a_day() -> None:
    part = fresh()
    for i in range(HISTORY + 50):
        raised(part, f"a@{i % 50}", i, priority=1 + (i // 50 + 1) % 2)
        if i // 50 % 2:
            say(part, "alarm.cleared", f"a@{i % 50}", i)
    assert len(part.history()) <= HISTORY
    part.tick(T0 + 30 * HOUR)
    assert part.history() == []


def test_the_desk_says_every_ten_minutes_how_its_alarms_are() -> None:
    part = Alarms(SCOPES, operators=2)
    assert part.due() == MISSING
    assert part.tick(T0) == [], "without any alarm there is nothing to say"
    assert part.due() == MISSING
    raised(part, "first@C0001", 0)
    first = part.tick(T0)
    assert [(d.type, d.subject, d.time % (10 * MINUTE)) for d in first] == [("alarm.health", ALL, 0)]
    assert part.tick(T0 + 1) == first, "until it was heard"
    assert say(part, "alarm.health", ALL, first[0].time - T0, **first[0].fields) is None
    assert part.tick(T0 + 2) == []
    due = part.due()
    assert due == first[0].time + 10 * MINUTE
    raised(part, "flood@C0000", due - T0 - 5)
    told = part.tick(due)[0].fields
    assert told == {"operators": 2, "recent": 2, "day": 2, "flood": 0, "top": 2, "chattering": 0, "stale": 0}
    assert set(told) == {f.name for f in VOCABULARY().types["alarm.health"].fields}
    refusal = say(part, "alarm.health", ALL, 0, "desk/wang", **told)
    assert refusal is not None
    assert refusal.reason == "not_allowed"
    report = part.report(due)
    assert (report["rate"], report["most_frequent"], report["by_priority"]) == (
        1.0,
        [["first@C0001", 1], ["flood@C0000", 1]],
        [0, 2, 0, 0],
    )
    assert part.history() == [Occurrence(T0, "first@C0001", 2), Occurrence(due - 5, "flood@C0000", 2)]


@pytest.mark.parametrize(
    ("type", "code", "fields", "reason"),
    [
        ("alarm.raised", "a@1", {}, "missing"),
        ("alarm.raised", "a@1", {"priority": 5}, "out_of_range"),
        ("alarm.raised", "", {"priority": 1}, "missing"),
        ("alarm.cleared", "x@1", {}, "unknown_case"),
        ("alarm.acknowledged", "flood@C0000", {}, "missing"),
        ("alarm.shelved", "flood@C0000", {"until": T0 + HOUR}, "missing"),
        ("alarm.shelved", "flood@C0000", {"reason": "x"}, "missing"),
        ("alarm.suppressed", "", {"by": "mode"}, "unknown_case"),
        ("alarm.suppressed", "a@1", {}, "missing"),
        ("alarm.out_of_service", "a@1", {}, "missing"),
        ("alarm.escalated", "flood@C0000", {}, "missing"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    type: str, code: str, fields: dict[str, Any], reason: str
) -> None:
    part = fresh()
    raised(part, "flood@C0000")
    before = part.state()
    refusal = say(part, type, code, 5, "desk/wang", **fields)
    assert refusal is not None
    assert refusal.reason == reason
    assert refusal.detail
    assert part.state() == before


def test_silence_is_no_event() -> None:
    names = {t.name for t in VOCABULARY().types.values() if t.family == FAMILY}
    assert names == {f"alarm.{name}" for name in ALARM_FIELDS} <= Alarms.types
    assert not any("silen" in name or "mute" in name for name in names)
