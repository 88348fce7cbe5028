"""Anomaly charts against the published examples of the NIST handbook, and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from citytwin.models.anomaly import (
    MAD_TO_SIGMA,
    Cusum,
    Ewma,
    ewma_limits,
    generalised_esd,
    median,
    robust_scale,
    robust_z,
)


def numbers(text: str) -> np.ndarray:
    return np.array(text.split(), np.float64)


# NIST/SEMATECH e-Handbook of Statistical Methods 6.3.2.4
EWMA_DATA = numbers(
    """52.0 47.0 53.0 49.3 50.1 47.0 51.0 50.1 51.2 50.5 49.6 47.6 49.9 51.3 47.8 51.2 52.6 52.4 53.6 52.1"""
)
EWMA_SAYS = numbers(
    """50.60 49.52 50.56 50.18 50.16 49.21 49.75 49.85 50.26 50.33 50.11 49.36 49.52 50.05 49.38 49.92 50.73 51.23
    51.94 51.99"""
)
# NIST/SEMATECH e-Handbook 6.3.2.3: means of 20 groups, target 325, k = 0.3175, h = 4.1959
CUSUM_DATA = numbers(
    """324.925 324.675 324.725 324.350 325.350 325.225 324.125 324.525 325.225 324.600 324.625 325.150 328.325 327.250
    327.825 328.500 326.675 327.775 326.875 328.350"""
)
CUSUM_HIGH = numbers("0 0 0 0 0.03 0 0 0 0 0 0 0 3.01 4.94 7.45 10.63 11.99 14.44 16.00 19.04")
CUSUM_LOW = numbers("0 0.01 0 0.33 0 0 0.56 0.72 0.17 0.26 0.31 0 0 0 0 0 0 0 0 0")
# Rosner 1983; NIST/SEMATECH e-Handbook 1.3.5.17.3: 54 values
ROSNER = numbers(
    """-0.25 0.68 0.94 1.15 1.20 1.26 1.26 1.34 1.38 1.43 1.49 1.49 1.55 1.56 1.58 1.65 1.69 1.70 1.76 1.77 1.81 1.91
    1.94 1.96 1.99 2.06 2.09 2.10 2.14 2.15 2.23 2.24 2.26 2.35 2.37 2.40 2.47 2.54 2.62 2.64 2.90 2.92 2.92 2.93 3.21
    3.26 3.30 3.59 3.68 4.30 4.64 5.34 5.42 6.01"""
)


def test_ewma_of_the_handbook() -> None:
    chart = Ewma(1, 50.0, 2.0539, weight=0.3)
    got, alarm = [], []
    for value in EWMA_DATA:
        alarm.append(bool(chart.update(np.array([value]))[0]))
        got.append(float(chart.value[0]))
    assert got == pytest.approx(EWMA_SAYS, abs=0.00501)
    assert not any(alarm)
    limits = np.array([chart.upper[0], chart.lower[0]])
    assert (np.floor(limits * 1e4) / 1e4).tolist() == [52.5884, 47.4115]  # the handbook cuts the digits off


def test_ewma_alarms_outside_of_its_limits_by_series() -> None:
    chart = Ewma(3, np.array([0.0, 0.0, 100.0]), np.array([1.0, 1.0, 10.0]), weight=0.2)
    for _ in range(30):
        alarm = chart.update(np.array([0.5, 2.0, 60.0]))
    assert alarm.tolist() == [False, True, True]
    lower, upper = ewma_limits(0.0, 1.0, 0.2)
    assert (float(lower), float(upper)) == pytest.approx((-1.0, 1.0))


def test_a_missing_value_leaves_the_charts_as_they_were() -> None:
    for chart in (Ewma(2, 0.0, 1.0), Cusum(2, 0.0, 0.5, 4.0)):
        chart.update(np.array([3.0, 3.0]))
        before = {k: v[1] for k, v in chart.state().items()}
        chart.update(np.array([3.0, np.nan]))
        assert {k: v[1] for k, v in chart.state().items()} == before


def test_a_chart_goes_on_from_its_state() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.3, 1, (40, 5))
    for make in (lambda: Ewma(5, 0.0, 1.0), lambda: Cusum(5, 0.0, 0.5, 4.0)):
        whole, half, rest = make(), make(), make()
        seen = [whole.update(v).tolist() for v in values]
        assert [half.update(v).tolist() for v in values[:20]] == seen[:20]
        rest.load(half.state())
        assert [rest.update(v).tolist() for v in values[20:]] == seen[20:]


def test_a_weight_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not in"):
        Ewma(1, 0.0, 1.0, weight=0.0)


def test_cusum_of_the_handbook_alarms_at_group_14() -> None:
    chart = Cusum(1, 325.0, 0.3175, 4.1959)
    high, low, alarm = [], [], []
    for value in CUSUM_DATA:
        alarm.append(bool(chart.update(np.array([value]))[0]))
        high.append(float(chart.high[0]))
        low.append(float(chart.low[0]))
    assert alarm.index(True) + 1 == 14
    assert high == pytest.approx(CUSUM_HIGH, abs=0.00501)
    assert low == pytest.approx(CUSUM_LOW, abs=0.00501)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_cusum_is_the_largest_sum_that_ends_now(values: list[float]) -> None:
    chart = Cusum(1, 0.25, 0.5, 3.0)
    for i, value in enumerate(values):
        chart.update(np.array([value]))
        ends = [sum(v - 0.75 for v in values[j : i + 1]) for j in range(i + 1)]
        assert float(chart.high[0]) == pytest.approx(max(0.0, *ends), abs=1e-9)
    mirrored = Cusum(1, -0.25, 0.5, 3.0)
    for value in values:
        mirrored.update(np.array([-value]))
    assert float(mirrored.low[0]) == pytest.approx(float(chart.high[0]))


def test_a_cusum_that_was_dealt_with_begins_anew() -> None:
    chart = Cusum(2, 0.0, 0.5, 1.0)
    assert chart.update(np.array([9.0, 9.0])).all()
    chart.reset(np.array([True, False]))
    assert chart.update(np.array([0.0, 0.0])).tolist() == [False, True]


def test_robust_scale_equals_scipy() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(10, 3, (50, 28))
    values[rng.random(values.shape) < 0.3] = np.nan
    assert np.allclose(median(values), np.nanmedian(values, axis=1))
    expected = stats.median_abs_deviation(values, axis=1, nan_policy="omit") * MAD_TO_SIGMA
    assert np.allclose(robust_scale(values), expected)


def test_robust_z_of_a_history() -> None:
    history = np.array([[1.0, 2, 3, 4, 5], [7, 7, 7, 7, 9], [np.nan, np.nan, np.nan, 1, 2], [np.nan] * 5])
    z = robust_z(np.array([6.0, 8.0, 1.0, 1.0]), history, floor=0.5)
    assert z.tolist() == pytest.approx([3 / MAD_TO_SIGMA, 2.0, np.nan, np.nan], nan_ok=True)
    flat = robust_z(np.array([7.0, 8.0, 6.0]), np.full((3, 4), 7.0))
    assert flat.tolist() == [0.0, np.inf, -np.inf]
    assert np.isnan(robust_z(np.array([1.0]), np.zeros((1, 0))))[0]


def test_one_wild_value_does_not_hide_another() -> None:
    history = np.array([[10.0, 11, 9, 10, 12, 8, 10, 500]])
    assert robust_z(np.array([30.0]), history)[0] > 10
    assert (30.0 - history.mean()) / history.std() < 0


def test_esd_of_rosner_finds_three() -> None:
    found = generalised_esd(ROSNER, most=10)
    assert found.statistic[:4].round(3).tolist() == [3.119, 2.943, 3.179, 2.810]
    assert found.critical[:4].round(3).tolist() == [3.159, 3.151, 3.144, 3.136]
    assert sorted(ROSNER[found.outliers].tolist()) == [5.34, 5.42, 6.01]
    assert found.outliers.tolist() == [53, 52, 51]


def test_esd_of_values_without_outliers_and_of_equal_ones() -> None:
    assert len(generalised_esd(np.linspace(-1, 1, 30), most=5).outliers) == 0
    assert len(generalised_esd(np.full(10, 4.0), most=3).outliers) == 0
    with_gaps = np.concatenate([[np.nan, 99.0, np.nan], ROSNER[:50]])
    assert generalised_esd(with_gaps, most=3).outliers.tolist() == [1]
    with pytest.raises(ValueError, match="give more values"):
        generalised_esd(np.array([1.0, 2.0, np.nan, 3.0]), most=2)
