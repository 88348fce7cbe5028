"""Fruin's levels, the textbook corridor, hysteresis and the time to a limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.crowd import (
    EDGES,
    EDGES_FT2,
    LEVELS,
    NONE,
    SQUARE_FOOT,
    density,
    density_of_flow,
    level,
    seconds_to,
    steady_level,
)

FOOT = 0.3048


def test_the_corridor_of_the_textbook_has_level_c() -> None:
    # 30 ft wide, 300 persons a minute at 3 ft/s: 18 square feet a person
    d = density_of_flow(300, 30 * FOOT, 3 * FOOT)
    assert 1 / float(d) / SQUARE_FOOT == pytest.approx(18.0)
    assert LEVELS[int(level(d))] == "C"


def test_levels_by_square_feet_a_person() -> None:
    feet = np.array([100.0, 35.1, 34.9, 25.1, 24.9, 15.1, 14.9, 10.1, 9.9, 5.1, 4.9, 1.0])
    assert "".join(LEVELS[k] for k in level(1 / (feet * SQUARE_FOOT))) == "AABBCCDDEEFF"
    on_the_edge = level(1 / (np.array(EDGES_FT2) * SQUARE_FOOT))
    assert "".join(LEVELS[k] for k in on_the_edge) == "BCDEF"
    assert EDGES.round(2).tolist() == [0.31, 0.43, 0.72, 1.08, 2.15]
    assert level([0.0, np.nan, 1e9]).tolist() == [0, NONE, 5]


def test_densities_of_what_has_no_area() -> None:
    assert density([30, 30, 30, np.nan], [20.0, 0.0, np.nan, 5.0]).tolist() == pytest.approx(
        [1.5, np.nan, np.nan, np.nan], nan_ok=True
    )
    assert np.isnan(density_of_flow([60, 60, 60], [3.0, 0.0, -2.0], [0.0, 1.0, -1.0])).all()


def test_a_level_falls_only_when_the_edge_is_well_behind() -> None:
    edge = EDGES[2]  # D begins
    now = np.array([NONE])
    seen = []
    for share in (0.95, 1.0, 0.99, 0.91, 1.05, 0.89, 0.95, 0.5, 0.1):
        now = steady_level(np.array([edge * share]), now)
        seen.append(LEVELS[int(now[0])])
    assert seen == ["C", "D", "D", "D", "D", "C", "C", "B", "A"]
    assert steady_level(np.array([np.nan, 3.0]), np.array([5, NONE])).tolist() == [NONE, 5]


@given(st.floats(0, 6), st.integers(0, 5), st.floats(0, 0.5))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_hysteresis_never_hides_a_worse_level(d: float, before: int, margin: float) -> None:
    plain, steady = int(level(d)), int(steady_level(d, np.array(before), margin))
    assert plain <= steady <= max(plain, before)
    assert int(steady_level(d, np.array(before), 0.0)) == plain
    if steady > plain:
        assert d >= EDGES[steady - 1] * (1 - margin) * (1 - 1e-9)


def test_time_to_a_limit_is_on_the_straight_line() -> None:
    limit = 4.0
    before, now = np.array([1.0, 2.0, 3.0, 1.0, np.nan, 1.0, 1.0]), np.array([2.0, 1.0, 4.5, 1.0, 1.0, np.nan, 1.001])
    left = seconds_to(limit, before, now, 60.0)
    assert left.tolist() == pytest.approx([120.0, np.inf, 0.0, np.inf, np.nan, np.nan, np.inf], nan_ok=True)
    assert np.isnan(seconds_to(limit, 1.0, 2.0, 0.0))
    assert np.isnan(seconds_to(np.nan, 1.0, 2.0, 10.0))


@given(st.floats(0, 4), st.floats(0.01, 4), st.floats(1, 600))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_after_that_time_the_limit_is_reached(before: float, rise: float, elapsed: float) -> None:
    now, limit = before + rise, before + 2 * rise + 1
    left = float(seconds_to(limit, before, now, elapsed, most_s=np.inf))
    assert now + rise / elapsed * left == pytest.approx(limit)
