"""What of the frames becomes rows: only changes, conflated to a step, and each hour a whole picture."""

from __future__ import annotations

import math

from citytwin.recorder import Recorder
from citytwin.streams.history import BEAT, Rows
from tests.history.makers import HOUR, T0, frame, sorted_rows, town, values


def beats(parts: list[Rows]) -> list[tuple[int, float]]:
    """Times of the beats, and whether each is of a whole picture."""
    return [(t, v) for r in parts for t, i, v in zip(r.time, r.indicator.tolist(), r.value, strict=True) if i == BEAT]


def fold(recorder: Recorder, now: int, **cells: dict[int, float]) -> list[Rows]:
    """A frame into the recorder."""
    return recorder.fold(now, frame(now, cells).values)


def test_the_first_block_is_a_whole_picture() -> None:
    recorder = Recorder(town(), (0, 1), 10_000)
    recorder.prime(T0 + 500, {"a": values({0: 1.0, 1: 2.0}), "b": values({2: 3.0, 0: math.nan})})
    parts = fold(recorder, T0 + 1000, a={0: 5.0})
    assert sorted_rows(parts) == [
        (T0 + 1000, "a", "42", 5.0), (T0 + 1000, "a", "4201", 2.0), (T0 + 1000, "b", "4202", 3.0),
    ]  # fmt: skip
    assert beats(parts) == [(T0 + 1000, 1.0)]


def test_changes_of_a_step_are_one_and_levels_are_chosen() -> None:
    recorder = Recorder(town(), (0, 2), 10_000)
    fold(recorder, T0 + 1000, a={0: 0.0})
    assert fold(recorder, T0 + 2000, a={0: 1.0, 1: 1.0, 3: 1.0, 4: 1.0}) == []
    assert fold(recorder, T0 + 3000, a={0: 2.0}) == []
    parts = fold(recorder, T0 + 10_000, a={0: 3.0})
    assert sorted_rows(parts) == [(T0 + 2000, "a", "420101001", 1.0), (T0 + 3000, "a", "42", 2.0)]
    assert beats(parts) == [(T0 + 3000, 0.0)]
    assert sorted_rows(recorder.flush()) == [(T0 + 10_000, "a", "42", 3.0)]
    assert recorder.flush() == []


def test_what_only_its_inputs_moved_is_no_change_and_quality_is_one() -> None:
    recorder = Recorder(town(), (0,), 0)
    fold(recorder, T0, a={0: 1.0})
    assert sorted_rows(fold(recorder, T0 + 1, a={0: 1.0})) == []
    assert sorted_rows(recorder.fold(T0 + 2, {"a": values({0: 1.0}, quality=2)})) == [(T0 + 2, "a", "42", 1.0)]
    [block] = recorder.fold(T0 + 3, {"a": values({0: math.nan})})
    assert block.quality.tolist() == [4, 0]
    assert sorted_rows(recorder.fold(T0 + 4, {"a": values({0: math.nan})})) == []


def test_each_hour_begins_with_a_whole_picture_of_what_is_in_force() -> None:
    recorder = Recorder(town(), (0,), 10_000)
    fold(recorder, T0, a={0: 1.0}, b={0: 2.0}, c={0: math.nan})
    fold(recorder, T0 + HOUR - 500, a={0: 7.0})
    parts = recorder.fold(T0 + HOUR, {}, {"a", "c"})
    assert sorted_rows(parts) == [(T0 + HOUR - 500, "a", "42", 7.0), (T0 + HOUR, "a", "42", 7.0)]
    assert beats(parts) == [(T0 + HOUR - 500, 0.0), (T0 + HOUR, 1.0)]


def test_time_does_not_go_back_and_the_tree_may_grow() -> None:
    tree = town()
    recorder = Recorder(tree, (0, 1), 0)
    fold(recorder, T0 + 5, a={0: 1.0})
    assert fold(recorder, T0 + 5, a={0: 2.0}) == []
    assert fold(recorder, T0 + 1, a={0: 2.0}) == []
    new = tree.add("4203", "三区", 0)
    assert sorted_rows(fold(recorder, T0 + 6, a={new: 4.0})) == [(T0 + 6, "a", "4203", 4.0)]
