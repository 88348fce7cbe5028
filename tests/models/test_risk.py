"""Risk scores and weights: their laws, and the published examples of AHP and noisy-or."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.risk import RANDOM_INDEX, Part, ahp, entropy_weights, noisy_or

CHANCE = st.floats(0, 1)
CHANCES = st.lists(CHANCE, min_size=1, max_size=7)


@given(CHANCES, st.integers(0, 6), CHANCE)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_risk_rises_with_each_part(parts: list[float], at: int, value: float) -> None:
    i = at % len(parts)
    low, high = sorted((parts[i], value))
    risks = [float(noisy_or([*parts[:i], v, *parts[i + 1 :]])) for v in (low, high)]
    assert 0 <= risks[0] <= risks[1] <= 100
    assert risks[1] >= 100 * high - 1e-9


@given(CHANCE, st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_part_alone_is_the_risk(value: float, before: int, after: int) -> None:
    alone = noisy_or([0.0] * before + [value] + [0.0] * after)
    assert float(alone) == pytest.approx(100 * value, abs=1e-9)
    assert float(noisy_or([np.nan] * before + [value] + [np.nan] * after)) == float(alone)


@given(CHANCES, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_order_of_parts_does_not_matter(parts: list[float], random: object) -> None:
    other = list(parts)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert float(noisy_or(parts)) == pytest.approx(float(noisy_or(other)), abs=1e-9)


def test_risk_is_the_chance_that_any_part_comes_true() -> None:
    rng = np.random.default_rng(1)
    parts = np.array([0.1, 0.35, 0.02, 0.2])
    happened = (rng.random((200_000, 4)) < parts).any(axis=1).mean()
    assert float(noisy_or(list(parts))) == pytest.approx(100 * happened, abs=0.5)
    assert noisy_or([np.array([0.0, 2.0]), np.array([-1.0, 0.5])]).tolist() == [0.0, 100.0]
    assert float(noisy_or([])) == 0.0


def test_a_part_is_even_in_its_middle_and_nothing_below_its_zero() -> None:
    part = Part("overdue cases", middle=5.0, slope=1.0, zero=0.0)
    got = part.probability(np.array([0.0, 5.0, 1e9, np.nan, -3.0]))
    assert got.tolist() == [0.0, 0.5, 1.0, 0.0, 0.0]
    assert float(part.probability(5.0 + np.log(3))) == pytest.approx(0.75)
    assert (part.status, part.source) == ("L", "local default")


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-100, 100), st.floats(0.001, 100))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_part_never_falls(a: float, b: float, middle: float, slope: float) -> None:
    low, high = Part("x", middle, slope).probability(np.array(sorted((a, b)))).tolist()
    assert 0 <= low <= high <= 1


def test_entropy_weighs_what_differs() -> None:
    table = np.array([[1.0, 5, 0], [1, 5, 0], [1, 6, 9]])
    weights = entropy_weights(table)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == 0
    assert 0 < weights[1] < weights[2]
    # by hand for two things: e = -(p ln p + q ln q) / ln 2
    weights = entropy_weights(np.array([[1.0, 1], [3, 1e9 - 1]]))
    first = 1 + (0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)
    assert weights == pytest.approx([first / (first + 1), 1 / (first + 1)], abs=1e-6)
    assert entropy_weights(np.full((4, 5), 0.1)).tolist() == [0.2] * 5
    assert entropy_weights(np.zeros((3, 2))).tolist() == [0.5, 0.5]
    assert entropy_weights(np.array([[3.0, 1.0]])).tolist() == [0.5, 0.5]


@given(st.lists(st.lists(st.floats(0.01, 100), min_size=3, max_size=3), min_size=2, max_size=8), st.floats(0.01, 100))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_units_do_not_change_the_weights(rows: list[list[float]], scale: float) -> None:
    table = np.array(rows)
    weights = entropy_weights(table)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    if np.ptp(table, axis=0).max() > 0.1:
        assert weights == pytest.approx(entropy_weights(table * [1, scale, 1]), abs=1e-6)


@pytest.mark.parametrize("table", [np.zeros((0, 2)), np.array([[1.0, -1.0]]), np.array([[np.nan, 1.0]])])
def test_tables_without_weights(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="known values"):
        entropy_weights(table)


def test_the_random_index_of_saaty() -> None:
    assert RANDOM_INDEX[2:5] == (0.58, 0.90, 1.12)


def test_comparisons_that_agree_give_the_weights_they_came_from() -> None:
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    found = ahp(weights[:, None] / weights)
    assert found.weights == pytest.approx(weights)
    assert (found.index, found.ratio, found.consistent) == (0.0, 0.0, True)
    assert found.eigenvalue == pytest.approx(4)


def test_three_comparisons_by_hand() -> None:
    # of three things the first eigenvector is the geometric mean of the rows, and n - 1 times 0.58 scales the ratio
    a = np.array([[1, 3, 5], [1 / 3, 1, 3], [1 / 5, 1 / 3, 1]])
    means = np.prod(a, axis=1) ** (1 / 3)
    weights = means / means.sum()
    largest = float(np.mean(a @ weights / weights))
    found = ahp(a)
    assert found.weights == pytest.approx(weights, rel=1e-9)
    assert found.eigenvalue == pytest.approx(largest, rel=1e-9)
    assert found.ratio == pytest.approx((largest - 3) / 2 / 0.58, rel=1e-9)
    assert found.weights.round(3).tolist() == [0.637, 0.258, 0.105]  # the textbook's
    assert (round(found.eigenvalue, 3), round(found.ratio, 3)) == (3.039, 0.033)


def test_comparisons_that_go_in_a_circle_are_not_consistent() -> None:
    found = ahp(np.array([[1, 5, 1 / 5], [1 / 5, 1, 5], [5, 1 / 5, 1]]))
    assert not found.consistent
    assert found.ratio > 1
    assert ahp(np.array([[1.0]])).weights.tolist() == [1.0]
    assert ahp(np.array([[1.0, 4.0], [0.25, 1.0]])).weights == pytest.approx([0.8, 0.2])


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones((11, 11)), "1 to 10"),
        (np.zeros((2, 2)), "above 0"),
        (np.array([[1.0, 3.0], [1.0, 1.0]]), "1 over it"),
    ],
)
def test_matrices_that_compare_nothing(matrix: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ahp(matrix)
