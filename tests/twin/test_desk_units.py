"""Units of the desk: what they do by the moves of cases, who fell silent, and the same state by any way to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.columns import MISSING
from citytwin.models.desk.columns import batches_of
from citytwin.models.desk.event import Event
from citytwin.models.desk.units import MINUTE_MS, QUIET_MS, STATES
from citytwin.models.events import VOCABULARY
from citytwin.twin.desk.units import PRIORITY, Units
from tests.conftest import proving

T = 1_795_000_000_000


NOWHERE = float("nan")


def event(
    type_: str, minute: float, subject: str, lon: float = NOWHERE, lat: float = NOWHERE, /, **fields: Any
) -> Event:
    """An event of a minute after T."""
    return Event(type_, T + int(minute * MINUTE_MS), "x", f"{type_}{minute}{subject}", subject, -1, lon, lat, fields)


def told(*events: Event) -> Units:
    """Units after some events."""
    units = Units()
    for one in events:
        units.apply(one)
    return units


READY = event(
    "unit.state", 0, "U7", 114.3, 30.6, state="ready", kind="drainage_team", name="排水1队", skills="pump drainage",
    capacity=2, home="420102", shift_until=T + 600 * MINUTE_MS,
)  # fmt: skip
SENT = event("case.dispatched", 1, "C1", 114.31, 30.61, unit="U7")


def row(units: Units, code: str = "U7") -> dict[str, Any]:
    """The row of one unit."""
    return dict(next(r for r in units.rows() if r["code"] == code))


def test_a_row_has_what_pages_read() -> None:
    assert row(told(READY)) == {
        "code": "U7", "name": "排水1队", "kind": "drainage_team", "skills": ["drainage", "pump"], "state": "ready",
        "case": None, "lon": 114.3, "lat": 30.6, "load": 0, "capacity": 2, "home": "420102",
        "shift_until": T + 600 * MINUTE_MS, "seen": T,
    }  # fmt: skip


def test_what_a_state_leaves_out_stays_and_an_old_one_changes_nothing() -> None:
    units = told(READY, event("unit.state", 2, "U7", state="busy"), event("unit.state", 1, "U7", state="off"))
    assert (row(units)["state"], row(units)["name"], row(units)["seen"]) == ("busy", "排水1队", T + 2 * MINUTE_MS)


@pytest.mark.parametrize(
    ("moves", "state", "load"),
    [
        ((), "busy", 1),
        (("received",), "busy", 1),
        (("enroute",), "en_route", 1),
        (("received", "enroute", "arrived"), "on_scene", 1),
        (("arrived", "handled"), "ready", 0),
        (("returned",), "ready", 0),
        (("closed",), "ready", 0),
        (("merged",), "ready", 0),
        (("deferred",), "ready", 0),
        (("deferred", "dispatched"), "busy", 1),
        (("arrived", "cleared"), "ready", 0),
    ],
)
def test_moves_of_the_case_move_its_lead(moves: tuple[str, ...], state: str, load: int) -> None:
    units = told(READY, SENT)
    for i, move in enumerate(moves):
        more = {"unit": "U7"} if move in ("dispatched", "cleared", "enroute") else {}
        units.apply(event(f"case.{move}", 2 + i, "C1", 114.31, 30.61, **more))
    assert (row(units)["state"], row(units)["load"]) == (state, load)
    assert row(units)["lon"] == (114.31 if "arrived" in moves else 114.3)


def test_support_goes_on_when_the_lead_is_done_and_a_new_lead_takes_over() -> None:
    units = told(
        READY, event("unit.state", 0, "U8", state="ready"), event("unit.state", 0, "U9", state="ready"), SENT,
        event("case.assigned", 2, "C1", unit="U8", role="support"), event("case.arrived", 3, "C1", unit="U8"),
    )  # fmt: skip
    assert [row(units, c)["state"] for c in ("U7", "U8", "U9")] == ["busy", "on_scene", "ready"]
    units.apply(event("case.dispatched", 4, "C1", unit="U9"))
    assert [row(units, c)["state"] for c in ("U7", "U8", "U9")] == ["ready", "on_scene", "busy"]
    units.apply(event("case.handled", 5, "C1"))
    assert [u.code for u in units.units_of("C1")] == ["U8"]
    units.apply(event("case.closed", 6, "C1"))
    assert units.units_of("C1") == []


def test_a_designated_unit_leads_and_who_failed_the_check_does_not() -> None:
    units = told(READY, event("unit.state", 0, "U8", state="ready"), SENT, event("case.designated", 2, "C1", to="U8"))
    assert [row(units, c)["load"] for c in ("U7", "U8")] == [0, 1]
    units.apply(event("case.verified", 3, "C1", passed=True))
    assert row(units, "U8")["load"] == 1
    units.apply(event("case.verified", 4, "C1", passed=False))
    assert row(units, "U8")["load"] == 0


def test_what_support_gives_back_the_lead_does_not_keep() -> None:
    units = told(READY, event("unit.state", 0, "U8", state="ready"), SENT)
    units.apply(event("case.assigned", 2, "C1", unit="U8", role="support"))
    units.apply(event("case.returned", 3, "C1", unit="U8"))
    assert [row(units, c)["load"] for c in ("U7", "U8")] == [0, 0]


def test_moves_that_come_late_give_nobody_work() -> None:
    closed = event("case.closed", 5, "C1")
    assert row(told(READY, closed, SENT))["load"] == 0
    again = event("case.dispatched", 9, "C1", unit="U7")
    assert row(told(READY, SENT, again, closed))["load"] == 1  # reopened and sent after that
    assert row(told(READY, SENT, closed, again))["load"] == 1


def test_a_department_has_work_but_no_row() -> None:
    units = told(event("case.dispatched", 1, "C1", unit="水务局"))
    assert units.rows() == []
    assert units.take_changed() == []
    assert units.load_of("水务局") == 1
    assert units.tick(T + 10**9) == []
    units.apply(event("case.closed", 2, "C1"))
    assert units.load_of("水务局") == 0
    assert units.state()["units"] == []


def test_the_case_shown_is_the_one_it_is_farthest_with() -> None:
    units = told(READY, SENT, event("case.dispatched", 2, "C2", unit="U7"), event("case.enroute", 3, "C2", unit="U7"))
    assert (row(units)["case"], row(units)["load"]) == ("C2", 2)


def alarmed(units: Units, now: int) -> list[tuple[str, str, str]]:
    """Type, subject and id of the drafts of a tick."""
    return [(d.type, d.subject, d.id) for d in units.tick(now)]


def test_a_unit_that_falls_silent_is_told_once_and_cleared_when_heard() -> None:
    units = told(READY, SENT)
    limit = QUIET_MS[""]
    due = T + MINUTE_MS + limit
    assert units.due() == due
    assert units.tick(due - 1) == []
    assert row(units)["state"] == "busy"
    (draft,) = units.tick(due)
    assert (draft.type, draft.subject, draft.id) == (
        "alarm.raised",
        "unit_silent@U7",
        f"unit_silent@U7/{T + MINUTE_MS}",
    )
    assert (draft.fields["priority"], draft.fields["case"], draft.scope) == (PRIORITY, "C1", "")
    assert "排水1队" in draft.fields["text_zh"]
    assert json.loads(draft.fields["evidence"]) == {"unit": "U7", "seen": T, "cases": ["C1"]}
    assert (draft.lon, row(units)["state"]) == (114.3, "silent")
    assert len(batches_of([draft], VOCABULARY())) == 1  # every field is one that the log knows
    (again,) = units.tick(due + 500)
    assert again.id == draft.id  # until it has come
    units.apply(Event("alarm.raised", due, "desk/auto", draft.id, draft.subject))
    assert units.tick(due + 1_000) == []
    units.apply(event("vehicle.pos", 30, "U7", 114.4, 30.7))
    assert row(units)["state"] == "busy"
    assert alarmed(units, due + 9 * MINUTE_MS) == [("alarm.cleared", "unit_silent@U7", f"{draft.id}/cleared")]
    units.apply(Event("alarm.cleared", due, "desk/auto", f"{draft.id}/cleared", draft.subject))
    assert alarmed(units, due + 9 * MINUTE_MS) == []
    (later,) = units.tick(T + 60 * MINUTE_MS)
    assert later.id != draft.id


def test_work_taken_away_clears_the_alarm_and_a_drill_is_marked() -> None:
    units = told(READY, event("case.dispatched", 1, "drill/C1", unit="U7"))
    (draft,) = units.tick(T + 60 * MINUTE_MS)
    assert draft.subject == "drill/unit_silent@U7"
    units.apply(Event("alarm.raised", T, "desk/auto", draft.id, draft.subject))
    units.apply(event("case.unassigned", 61, "drill/C1", unit="U7"))
    assert alarmed(units, T + 62 * MINUTE_MS) == [("alarm.cleared", "drill/unit_silent@U7", f"{draft.id}/cleared")]


def test_limits_are_by_kind_and_a_unit_without_work_may_say_nothing() -> None:
    units = Units({"drainage_team": MINUTE_MS})
    units.apply(READY)
    assert (units.tick(T), units.due()) == ([], MISSING)
    units.apply(SENT)
    assert units.due() == T + 2 * MINUTE_MS
    assert len(units.tick(T + 3 * MINUTE_MS)) == 1
    assert units.due() == T + 3 * MINUTE_MS  # the alarm has not come yet


_MOVES = (
    "dispatched", "assigned", "received", "enroute", "arrived", "handled", "returned", "cleared", "closed", "deferred",
)  # fmt: skip
_STEPS = st.lists(
    st.tuples(st.integers(0, len(_MOVES) + 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 40)), max_size=40
)


def history(steps: list[tuple[int, int, int, int]]) -> list[Event | int]:
    """Events and ticks (ms) of random steps; the times of events go forth and back."""
    out: list[Event | int] = []
    for i, (what, case, unit, minute) in enumerate(steps):
        if what < len(_MOVES):
            fields: dict[str, Any] = {"unit": f"U{unit}", "role": "support"} if minute % 3 else {}
            out.append(event(f"case.{_MOVES[what]}", minute, f"C{case}", **fields))
        elif what == len(_MOVES):
            out.append(event("unit.state", minute, f"U{unit}", 114.0, 30.0, state=("ready", "busy", "off")[case]))
        else:
            out.append(T + i * MINUTE_MS)
    return out


@settings(max_examples=2_000 if proving() else 100, deadline=None)
@given(_STEPS, st.integers(0, 40))
def test_a_snapshot_anywhere_comes_to_the_same_state(steps: list[tuple[int, int, int, int]], cut: int) -> None:
    one, other = Units(), Units()
    for i, what in enumerate(history(steps)):
        if i == cut:
            plain = json.loads(json.dumps(other.state()))
            other = Units()
            other.load(plain)
        if isinstance(what, int):
            assert one.tick(what) == other.tick(what)
            assert one.due() == other.due()
        else:
            one.apply(what)
            other.apply(what)
    assert one.state() == other.state()
    assert one.rows() == other.rows()
    for unit in one.known():
        assert unit.state in STATES
        assert all(unit in one.units_of(case) for case in unit.work)
    for case in ("C0", "C1", "C2"):
        assert [u.work[case].role for u in one.units_of(case)].count("lead") <= 1
