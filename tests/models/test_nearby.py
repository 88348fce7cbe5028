"""Neighbours within a radius against all pairs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.nearby import FOR_EVER, Index, within

SIDE = st.integers(-30, 30)


@given(st.lists(st.tuples(SIDE, SIDE, st.integers(0, 50)), max_size=60), st.integers(1, 12), st.integers(0, 20))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_neighbours_are_all_pairs_within_reach(rows: list[tuple[int, int, int]], radius: int, reach: int) -> None:
    points = np.array([r[:2] for r in rows], np.float64).reshape(-1, 2)
    time = np.array([r[2] for r in rows], np.int64)
    index = Index(points, time, float(radius), reach)
    indptr, indices = index.pairs()
    got = [indices[a:b].tolist() for a, b in pairwise(indptr.tolist())]
    expected = [
        [
            j
            for j, (u, v, w) in enumerate(rows)
            if j != i and (x - u) ** 2 + (y - v) ** 2 <= radius**2 and abs(t - w) <= reach
        ]
        for i, (x, y, t) in enumerate(rows)
    ]
    assert got == expected
    assert index.counts().tolist() == [len(e) for e in expected]


@pytest.mark.parametrize("radius", [0.1, 0.3, 1 / 3, 7e-5, 1e6])
def test_neighbours_at_the_very_radius_are_found(radius: float) -> None:
    x = np.arange(200, dtype=np.float64) * radius
    indptr, indices = within(x, np.zeros(200), radius * (1 + 1e-12))
    assert np.diff(indptr).tolist() == [1] + [2] * 198 + [1]
    assert len(indices) == 398


def test_more_coordinates_count_in_the_distance() -> None:
    points = np.array([[0.0, 0, 0], [0, 0, 3], [0, 0, 5.5]])
    index = Index(points, np.zeros(3, np.int64), 3.0)
    assert index.counts().tolist() == [1, 2, 1]


def test_what_has_no_place_is_refused() -> None:
    one, at = np.zeros((1, 2)), np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="no place"):
        Index(np.array([[np.nan, 0.0]]), at, 1.0)
    with pytest.raises(ValueError, match="no place or no time"):
        Index(one, np.array([-(2**63)]), 1.0)
    for radius, reach in ((0.0, 0), (np.nan, 0), (1.0, -1), (1.0, 2 * FOR_EVER)):
        with pytest.raises(ValueError, match="give a radius above 0"):
            Index(one, at, radius, reach)
    with pytest.raises(ValueError, match="are they in metres"):
        within(np.array([0.0, 1e12]), np.zeros(2), 1e-3)


def test_nobody_has_no_neighbours() -> None:
    assert [a.tolist() for a in within(np.zeros(0), np.zeros(0), 1.0)] == [[0], []]
    assert [a.tolist() for a in within(np.zeros(1), np.zeros(1), 1.0)] == [[0, 0], []]
