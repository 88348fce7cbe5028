"""Alarm health by the numbers of ISA-18.2, against counting by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.desk.alarm_events import HEALTH_FIELDS
from citytwin.models.desk.alarmhealth import (
    CHATTER_MS,
    FLOOD,
    PERIOD_MS,
    SPAN_MS,
    STALE_MS,
    Occurrence,
    chattering,
    floods,
    health,
    most_frequent,
    priorities,
    rate,
    report,
    stale,
    within,
)

NOW = 1_750_000_200_000 // PERIOD_MS * PERIOD_MS

occurrences = st.lists(
    st.builds(
        Occurrence,
        st.one_of(st.integers(NOW - 2 * SPAN_MS, NOW + PERIOD_MS), st.integers(NOW - 3 * CHATTER_MS, NOW + 5)),
        st.sampled_from([f"a@{i}" for i in range(14)]), st.integers(1, 4),
    ),
    max_size=80,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    occurrences, st.integers(1, 3), st.dictionaries(st.sampled_from("abcdefg"), st.integers(NOW - 3 * STALE_MS, NOW))
)
def test_health_equals_counting_by_hand(history: list[Occurrence], operators: int, active: dict[str, int]) -> None:
    day = [o for o in history if 0 <= NOW - o.time < SPAN_MS]
    told = health(history, active, NOW, operators)
    assert told.recent == sum(NOW - o.time < PERIOD_MS for o in day)
    assert told.day == len(day)
    periods = [sum(k * PERIOD_MS <= NOW - o.time < (k + 1) * PERIOD_MS for o in day) for k in range(144)]
    assert told.flood == sum(n > FLOOD * operators for n in periods)
    codes = {o.code for o in day}
    assert told.top == sum(sorted((sum(o.code == c for o in day) for c in codes), reverse=True)[:10])
    busy = {
        c for c in codes for a in day if a.code == c
        and sum(b.code == c and a.time <= b.time <= a.time + CHATTER_MS for b in day) >= 3
    }  # fmt: skip
    assert told.chattering == len(busy)
    assert told.stale == sum(NOW - t > STALE_MS for t in active.values())
    assert set(told.fields()) == {f.name for f in HEALTH_FIELDS}
    said = report(history, active, NOW, operators)
    assert said["chattering_codes"] == sorted(busy)
    assert said["by_priority"] == [sum(o.priority == p for o in day) for p in (1, 2, 3, 4)]
    assert said["rate"] == told.recent / operators
    assert len(said["stale_codes"]) == told.stale


def test_eleven_in_ten_minutes_are_a_flood_and_ten_are_none() -> None:
    times = [NOW - PERIOD_MS + 1 + i for i in range(10)]
    assert floods(times, NOW - SPAN_MS, NOW) == 0
    assert floods([*times, NOW], NOW - SPAN_MS, NOW) == 1
    assert floods([*times, NOW], NOW - SPAN_MS, NOW, operators=2) == 0
    assert rate([*times, NOW], NOW, operators=2) == 5.5


@pytest.mark.parametrize(("third", "found"), [(CHATTER_MS, ["a@1"]), (CHATTER_MS + 1, [])])
def test_three_in_a_minute_chatter(third: int, found: list[str]) -> None:
    times = (NOW + third, NOW, NOW + 5)
    assert chattering([Occurrence(t, "a@1", 1) for t in times] + [Occurrence(NOW, "b@1", 1)]) == found


def test_the_most_frequent_come_first_and_codes_decide() -> None:
    history = [Occurrence(NOW, code, 1) for code in ("b", "a", "c", "a", "b", "d")]
    assert most_frequent(history, 3) == [("a", 2), ("b", 2), ("c", 1)]
    assert priorities(history) == [6, 0, 0, 0]
    assert within(history, NOW - 1, NOW) == sorted(history)
    assert within(history, NOW, NOW + 1) == []
    assert stale({"a": NOW - STALE_MS, "b": NOW - STALE_MS - 1}, NOW) == ["b"]
