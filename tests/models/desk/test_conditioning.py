"""Delays and dead bands: against a recount millisecond by millisecond, and the same however often ticks come."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.columns import MISSING
from citytwin.models.desk.conditioning import Change, Hold, Levels, Limit, Transition, limits_of
from tests.conftest import proving

NAN = float("nan")
END = 60
EXAMPLES = 20_000 if proving() else 300

samples = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([0.0, 4.0, 5.0, 7.0, 8.0, 9.5, 10.0, 12.0, NAN])), max_size=14
).map(lambda found: sorted(found, key=lambda s: s[0]))
limits = st.builds(
    Limit, st.integers(1, 4), st.sampled_from([5.0, 8.0, 10.0]), st.booleans(), st.integers(0, 7), st.integers(0, 7),
    st.sampled_from([0.0, 1.0, 4.5]),
)  # fmt: skip


def recount(limit: Limit, sent: list[tuple[int, float]]) -> list[Transition]:
    """Walk through every millisecond: how long has the value been on the other side?"""
    out, on, beyond, known, since = [], False, False, False, 0
    back = limit.edge - limit.dead_band if limit.high else limit.edge + limit.dead_band
    for now in range(END):
        if known and beyond != on and now - since >= (limit.off_delay_ms if on else limit.on_delay_ms):
            on = not on
            out.append(Transition(now, on))
        for _, value in [s for s in sent if s[0] == now]:
            if math.isnan(value):
                known, beyond = False, on
                continue
            edge = back if beyond else limit.edge
            there = value >= edge if limit.high else value < edge
            if there != beyond or not known:
                since = now
            beyond, known = there, True
            if beyond != on and not (limit.off_delay_ms if on else limit.on_delay_ms):
                on = not on
                out.append(Transition(now, on))
    return out


def play(machine: Any, sent: list[tuple[int, float]], ticks: list[int]) -> list[Any]:
    """Values and ticks in the order of time; a tick at the time of a value comes before it."""
    steps = sorted([(t, 0, 0.0) for t in ticks] + [(t, 1, v) for t, v in sent], key=lambda s: s[:2])
    return [x for t, kind, v in steps for x in (machine.sample(t, v) if kind else machine.tick(t))]


@settings(max_examples=EXAMPLES, deadline=None)
@given(limits, samples, st.lists(st.integers(0, END - 1), max_size=20))
def test_transitions_equal_a_recount_and_do_not_depend_on_ticks(
    limit: Limit, sent: list[tuple[int, float]], ticks: list[int]
) -> None:
    wanted = recount(limit, sent)
    assert play(Hold(limit), sent, [END - 1]) == wanted
    assert play(Hold(limit), sent, [*ticks, END - 1]) == wanted
    assert play(Hold(limit), sent, list(range(END))) == wanted


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(limits, min_size=1, max_size=4), samples, st.lists(st.integers(0, END - 1), max_size=20))
def test_the_worst_limit_is_the_priority(of: list[Limit], sent: list[tuple[int, float]], ticks: list[int]) -> None:
    changes = play(Levels(of), sent, [*ticks, END - 1])
    assert changes == play(Levels(of), sent, [END - 1])
    for before, after in itertools.pairwise(changes):
        assert before.after == after.before
        assert before.time <= after.time
    marks = [recount(limit, sent) for limit in of]
    for now in range(END):
        standing = [limit.priority for limit, m in zip(of, marks, strict=True) if [t for t in m if t.time <= now][-1:]
                    and [t for t in m if t.time <= now][-1].on]  # fmt: skip
        said = [c.after for c in changes if c.time <= now]
        assert (said[-1] if said else 0) == min(standing, default=0)


@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(st.lists(limits, min_size=1, max_size=3), samples, st.integers(0, 14))
def test_a_snapshot_goes_on_in_the_midst(of: list[Limit], sent: list[tuple[int, float]], cut: int) -> None:
    first, second = Levels(of), Levels(of)
    head = play(first, sent[:cut], [])
    second.load(first.state())
    assert second.state() == first.state()
    assert second.due() == first.due()
    assert second.priority == first.priority
    assert head + play(second, sent[cut:], [END - 1]) == play(Levels(of), sent, [END - 1])


def test_due_is_when_a_tick_finds_something() -> None:
    hold = Hold(Limit(1, 10.0, on_delay_ms=5))
    assert hold.due == MISSING
    assert hold.sample(100, 11.0) == []
    assert hold.due == 105
    assert hold.tick(104) == []
    assert hold.tick(200) == [Transition(105, True)]
    assert hold.due == MISSING


def test_an_older_value_changes_nothing_that_was_told() -> None:
    hold = Hold(Limit(1, 10.0, on_delay_ms=5))
    hold.sample(100, 11.0)
    assert hold.sample(99, 0.0) == []
    assert hold.tick(110) == [Transition(105, True)]
    assert hold.sample(103, 0.0) == [Transition(105, False)], "it counts from the transition on that was told"


def test_a_value_within_the_dead_band_is_not_back() -> None:
    hold = Hold(Limit(2, 10.0, dead_band=2.0, off_delay_ms=3))
    assert hold.sample(0, 10.0) == [Transition(0, True)]
    assert hold.sample(1, 8.0) == []
    assert hold.due == MISSING, "8.0 is still within the dead band"
    assert hold.sample(2, 7.9) == []
    assert hold.sample(4, 9.0) == [], "outside once, it must come back to the edge to count again"
    assert hold.tick(5) == [Transition(5, False)]


def test_bands_become_limits_and_unknown_values_hold() -> None:
    levels = Levels(limits_of({"blue": 80.0, "orange": 60.0}, "up", off_delay_ms=10))
    assert levels.sample(0, 59.0) == [Change(0, 0, 2)]
    assert levels.sample(5, 90.0) == []
    assert levels.sample(9, NAN) == [], "an unknown value stops the off-delay"
    assert levels.tick(60) == []
    assert levels.sample(70, 70.0) == []
    assert levels.tick(90) == [Change(80, 2, 4)]


@pytest.mark.parametrize("wrong", [{"on_delay_ms": -1}, {"dead_band": -0.1}, {"dead_band": NAN}, {"priority": 5}])
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"0 or more|is 1 to 4"):
        Limit(**{"priority": 1, "edge": 1.0, **wrong})
