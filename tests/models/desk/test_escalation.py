"""Escalation: steps by hand, against minutes counted one by one, and the same from any restart."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citytwin.models.desk.calendar import CHINA_MS, WorkCalendar
from citytwin.models.desk.escalation import (
    ROLE_OF,
    STAGE_TITLES,
    STEPS,
    Clock,
    Facts,
    drafts,
    fraction,
    identity,
    reached_at,
    upcoming,
)
from citytwin.models.desk.event import AUTO, Draft
from citytwin.models.desk.holidays import china
from citytwin.models.desk.limits import STAGE_OF
from citytwin.models.desk.roles import ROLES
from citytwin.models.desk.roster import Spell, Table
from tests.conftest import Figure, proving

WORK = WorkCalendar(china())
MINUTE, HOUR = 60_000, 3_600_000
AREAS = (("grid", "G1"), ("community", "K1"), ("street", "S1"), ("district", "D1"), ("city", "C1"))


def at(text: str) -> int:
    """A time in China, ms UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) - CHINA_MS


T = at("2026-11-27T10:00")
EVER = (0, 2**60)


def post(role: str, area: str, person: str, **more: object) -> Spell:
    """A spell that never ends."""
    return Spell(f"{area}/{role}", role, area, person, *EVER, **more)  # type: ignore[arg-type]


FULL = Table([
    post("dispatcher", "S1", "wang"), post("supervisor", "S1", "li"), post("supervisor", "D1", "zhao"),
    post("supervisor", "C1", "sun"), post("commander", "C1", "zhou"),
])  # fmt: skip
DISPATCH = Facts("C-1", (Clock("dispatch", T, T + 10 * MINUTE),), areas=AREAS)


def said(found: list[Draft]) -> list[tuple[str, int, object]]:
    """Type, minute after T and whom of each draft."""
    return [(d.type, (d.time - T) // MINUTE, d.fields.get("to")) for d in found]


def test_steps_by_hand() -> None:
    assert drafts(DISPATCH, T + 5 * MINUTE - 1, WORK, FULL) == []
    found = drafts(DISPATCH, T + 15 * MINUTE, WORK, FULL)
    assert said(found) == [
        ("case.urged", 5, "wang"), ("case.urged", 8, "li"), ("case.supervised", 10, "li"),
        ("case.escalated", 15, "zhao"),
    ]  # fmt: skip
    assert [d.id for d in found] == [f"step/C-1/dispatch/1/{p}" for p in (50, 80, 100, 150)]
    assert {d.subject for d in found} == {"C-1"}
    assert {d.fields["actor"] for d in found} == {AUTO}
    zh, en = found[0].fields["reason"].split(" / ")
    assert zh == "派遣时限已用 50 %：催办 → wang（S1）"
    assert en == "50 % of the time for dispatch used: reminder → wang (S1)"
    assert drafts(DISPATCH, T + HOUR, WORK, FULL, {d.id for d in found}) == []


def test_deferred_time_does_not_count_and_a_case_on_hold_is_quiet() -> None:
    hold = (T + 6 * MINUTE, T + 66 * MINUTE)
    facts = Facts("C-1", (Clock("handling", T, T + 70 * MINUTE),), (hold,), AREAS)
    assert [(t - T) // MINUTE for t, _, _ in upcoming(facts, WORK)] == [5, 68, 70, 75]
    assert fraction(facts.clocks[0], facts.holds, WORK, T + 66 * MINUTE) == pytest.approx(0.6)
    assert said(drafts(facts, hold[0] - 1, WORK, FULL)) == [("case.urged", 5, "wang")]
    assert drafts(facts, hold[0], WORK, FULL) == drafts(facts, hold[1] - 1, WORK, FULL) == []
    assert said(drafts(facts, hold[1], WORK, FULL)) == [("case.urged", 5, "wang")]


def test_working_time_stands_still_at_night() -> None:
    """Friday 16:00, four working hours, due on Monday 12:00: half is used at 10:00 on Monday."""
    clock = Clock("handling", at("2026-11-27T16:00"), at("2026-11-30T12:00"), working=True)
    times = [reached_at(clock, (), WORK, s.percent) for s in STEPS]
    assert times == [at(f"2026-11-30T{t}") for t in ("10:00", "11:12", "12:00", "14:00")]


def test_nobody_on_duty_goes_up_and_is_said() -> None:
    only_city = Table([post("supervisor", "C1", "sun"), post("commander", "C1", "zhou")])
    found = drafts(DISPATCH, T + 15 * MINUTE, WORK, only_city)
    assert [d.fields["to"] for d in found] == ["zhou", "sun", "sun", "sun"]
    assert "S1, D1, C1 无人值班" in found[0].fields["reason"]
    assert "nobody on duty in S1, D1" in found[1].fields["reason"]
    assert "nobody on duty in D1" in found[3].fields["reason"]
    empty = drafts(DISPATCH, T + 15 * MINUTE, WORK, Table())
    assert [d.fields.get("to") for d in empty] == [None] * 4
    assert [d.id for d in empty] == [d.id for d in found]
    homeless = drafts(Facts("C-1", DISPATCH.clocks), T + HOUR, WORK, FULL)
    assert all("the case lies in no area" in d.fields["reason"] for d in homeless)


def test_a_deputy_stands_in() -> None:
    spells = [post("dispatcher", "S1", "wang", deputy="ma"), post("dispatcher", "S1", "", absent=True)]
    (urged, *_) = drafts(DISPATCH, T + 5 * MINUTE, WORK, Table(spells))
    assert urged.fields["to"] == "ma"
    assert "代 wang" in urged.fields["reason"]


def test_the_city_itself_has_no_level_above() -> None:
    facts = Facts("C-1", DISPATCH.clocks, areas=(("city", "C1"),))
    assert drafts(facts, T + HOUR, WORK, FULL)[-1].fields["to"] == "sun"


def test_who_is_on_duty_when_the_step_is_reached_is_told() -> None:
    change = T + 5 * MINUTE
    spells = [Spell("p", "dispatcher", "S1", "early", 0, change), Spell("q", "dispatcher", "S1", "late", change, 2**60)]
    assert drafts(DISPATCH, T + HOUR, WORK, Table(spells))[0].fields["to"] == "late"


def test_a_stage_that_comes_again_has_steps_of_its_own() -> None:
    again = Clock("dispatch", T + HOUR, T + HOUR + 10 * MINUTE, entry=2)
    ids = {identity("C-1", clock, step) for clock in (*DISPATCH.clocks, again) for step in STEPS}
    assert len(ids) == 8


@pytest.mark.parametrize("due", [T, T - HOUR])
def test_a_clock_without_time_is_overdue_at_once(due: int) -> None:
    clock = Clock("handling", T, due)
    assert {reached_at(clock, (), WORK, s.percent) for s in STEPS} == {T}
    assert fraction(clock, (), WORK, T) == float("inf")
    assert fraction(clock, (), WORK, T - 1) == 0


def test_every_stage_has_a_role_and_a_title() -> None:
    assert set(ROLE_OF) == set(STAGE_TITLES) == set(STAGE_OF.values())
    assert {*ROLE_OF.values(), *(s.role for s in STEPS if s.role)} <= set(ROLES)


CLOCKS = st.builds(
    lambda since, length, working: Clock("handling", T + since * MINUTE, T + (since + length) * MINUTE, working),
    st.integers(0, 5000), st.integers(1, 6000), st.booleans(),
)  # fmt: skip
HOLDS = st.lists(st.integers(0, 9000), max_size=6, unique=True).map(
    lambda edges: tuple(
        (T + a * MINUTE, T + b * MINUTE) for a, b in zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False)
    )
)


@given(CLOCKS, HOLDS)
def test_steps_come_in_order_and_the_third_with_the_deadline(clock: Clock, holds: tuple[tuple[int, int], ...]) -> None:
    times = [reached_at(clock, holds, WORK, s.percent) for s in STEPS]
    assert times == sorted(times)
    assert times[0] >= clock.since
    assert times[2] == clock.due
    shares = [fraction(clock, holds, WORK, t) for t in times]
    assert all(share >= s.percent / 100 - 1e-9 for share, s in zip(shares, STEPS, strict=True))
    if clock.since < times[0]:
        assert fraction(clock, holds, WORK, times[0] - 1) < 0.5


@pytest.mark.parametrize("working", [False, True])
def test_against_minutes_counted_one_by_one(working: bool) -> None:
    rng = random.Random(5)
    for _ in range(200 if proving() else 5):
        since, length = rng.randrange(4000), rng.randrange(1, 4000)
        clock = Clock("handling", T + since * MINUTE, T + (since + length) * MINUTE, working)
        edges = sorted(rng.sample(range(9000), 4))
        holds = tuple((T + a * MINUTE, T + b * MINUTE) for a, b in (edges[:2], edges[2:]))
        minutes = [
            t
            for t in range(clock.since, T + 24_000 * MINUTE, MINUTE)
            if not any(a <= t < b for a, b in holds) and (not working or WORK.worked(t + MINUTE) > WORK.worked(t))
        ]
        total = sum(t < clock.due for t in minutes)
        for percent in (50, 80, 150) if total else ():
            minute = minutes[-(-percent * total // 100) - 1]
            assert minute < reached_at(clock, holds, WORK, percent) <= minute + MINUTE


def test_a_restart_at_any_step_says_the_same(figure: Figure) -> None:
    """Ticks at chance times, the state rebuilt from what came at every one, against one look at the end."""
    runs = 2000 if proving() else 60
    total = 0
    for seed in range(runs):
        rng = random.Random(seed)
        clocks = tuple(
            Clock(stage, T + rng.randrange(300) * MINUTE, T + rng.randrange(300, 900) * MINUTE, rng.random() < 0.5)
            for stage in ("dispatch", "handling")
        )
        begin = rng.randrange(800)
        facts = Facts("C-1", clocks, ((T + begin * MINUTE, T + (begin + 90) * MINUTE),), AREAS)
        end = T + 20_000 * MINUTE
        log: list[Draft] = []
        ticks = sorted(rng.randrange(T, end) for _ in range(rng.randrange(20)))
        for now in [*ticks, end]:
            fresh = Table([s for spells in FULL.posts.values() for s in spells])
            log += drafts(facts, now, WORK, fresh, {d.id for d in log})
        assert sorted(log, key=lambda d: d.id) == sorted(drafts(facts, end, WORK, FULL), key=lambda d: d.id)
        assert len({d.id for d in log}) == len(log) == 2 * len(STEPS)
        total += len(log)
    figure("steps of escalation said once over restarts", total, "")
