"""Runoff by the tables of TR-55, and a risk that never falls when things get worse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.runoff import (
    LOAD_MOST,
    LOCAL,
    MM_PER_INCH,
    Catchment,
    RiskCurve,
    load_ratio,
    next_hour_risk,
    next_runoff_mm,
    retention_mm,
    runoff_mm,
    volume_m3,
    waterlogging_risk,
)

#: TR-55 table 2-1: runoff in inches by rain in inches (rows) and curve number (columns).
CURVES = (70, 75, 80, 85, 90, 95, 98)
TABLE = {
    1.0: (0.00, 0.03, 0.08, 0.17, 0.32, 0.56, 0.79),
    2.0: (0.24, 0.38, 0.56, 0.80, 1.09, 1.48, 1.77),
    3.0: (0.71, 0.96, 1.25, 1.59, 1.98, 2.45, 2.77),
    4.0: (1.33, 1.67, 2.04, 2.46, 2.92, 3.43, 3.77),
    5.0: (2.04, 2.45, 2.89, 3.37, 3.88, 4.42, 4.76),
}
RAIN, CN, DEPTH = st.floats(0, 500), st.floats(1, 100), st.floats(0, 300)


@pytest.mark.parametrize(("rain", "cn", "says"), [(5.0, 80, 2.89), (4.0, 70, 1.33), (3.0, 90, 1.98)])
def test_the_published_values(rain: float, cn: int, says: float) -> None:
    assert round(float(runoff_mm(rain * MM_PER_INCH, cn)) / MM_PER_INCH, 2) == says


def test_the_table_of_tr55() -> None:
    rain = np.array(list(TABLE))[:, None]
    got = runoff_mm(rain * MM_PER_INCH, np.array(CURVES)) / MM_PER_INCH
    assert got == pytest.approx(np.array(list(TABLE.values())), abs=0.0051)


def test_little_rain_stays_and_a_sealed_place_keeps_none() -> None:
    assert retention_mm(80) == pytest.approx(63.5)
    assert runoff_mm(12.7, 80) == 0
    assert runoff_mm(12.8, 80) > 0
    assert runoff_mm([0.0, 30.0], 100).tolist() == [0.0, 30.0]
    assert runoff_mm(-5.0, 90) == 0
    assert np.isnan(runoff_mm([np.nan, 10.0], [80.0, np.nan])).all()


@given(RAIN, RAIN, CN, CN)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_runoff_grows_with_rain_and_curve_and_is_never_more_than_rain(a: float, b: float, x: float, y: float) -> None:
    low, high = sorted((a, b))
    dry, wet = sorted((x, y))
    assert 0 <= runoff_mm(low, x) <= runoff_mm(high, x) + 1e-9
    assert runoff_mm(a, dry) <= runoff_mm(a, wet) + 1e-9
    assert runoff_mm(a, x) <= a + 1e-9


@given(RAIN, RAIN, CN)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_hours_of_an_event_add_up(first: float, second: float, cn: float) -> None:
    parts = next_runoff_mm(0.0, first, cn) + next_runoff_mm(first, second, cn)
    assert parts == pytest.approx(float(runoff_mm(first + second, cn)), abs=1e-9)
    assert next_runoff_mm(first, second, cn) >= runoff_mm(second, cn) - 1e-9


def test_a_millimetre_on_a_square_kilometre() -> None:
    assert volume_m3(1.0, 1e6) == 1000.0


def test_load_is_bounded_and_no_water_is_no_load() -> None:
    volume, capacity = (
        np.array([0.0, 0, 500, 500, 1e9, np.nan, 0, 1]),
        np.array([0.0, 100, 1000, 0, 1, 1, np.nan, np.nan]),
    )
    expected = [0.0, 0.0, 0.5, LOAD_MOST, LOAD_MOST, np.nan, np.nan, np.nan]
    assert load_ratio(volume, capacity).tolist() == pytest.approx(expected, nan_ok=True)
    assert Catchment(*np.ones((4, 1))).capacity_m3().tolist() == [3601.0]


def test_the_local_curve_is_what_its_docstring_says() -> None:
    assert (LOCAL.status, LOCAL.source) == ("L", "local default")
    assert waterlogging_risk([0.0, 1.0, 0.0], [0.0, 0.0, 27.0]).round(1).tolist() == [1.8, 50.0, 80.2]


@given(st.floats(0, 10), st.floats(0, 10), DEPTH, DEPTH)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_risk_never_falls_when_things_get_worse(a: float, b: float, x: float, y: float) -> None:
    low, high = sorted((a, b))
    shallow, deep = sorted((x, y))
    assert 0 <= waterlogging_risk(low, x) <= waterlogging_risk(high, x) <= 100
    assert waterlogging_risk(a, shallow) <= waterlogging_risk(a, deep)


@given(RAIN, RAIN, RAIN, CN, st.floats(1, 1e7), st.floats(0, 1e5), st.floats(0, 20), DEPTH)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_more_rain_and_less_pumping_is_no_less_risk(
    fallen: float, a: float, b: float, cn: float, area: float, storage: float, pump: float, depth: float
) -> None:
    def risk(coming: float, pumping: float) -> float:
        place = Catchment(np.array([area]), np.array([cn]), np.array([storage]), np.array([pumping]))
        return float(next_hour_risk(place, np.array([fallen]), np.array([coming]), np.array([depth]))[0])

    low, high = sorted((a, b))
    assert risk(low, pump) <= risk(high, pump) + 1e-9
    assert risk(a, pump) <= risk(a, 0.0) + 1e-9


def test_unknown_inputs_are_an_unknown_risk() -> None:
    assert np.isnan(waterlogging_risk([np.nan, 1.0], [0.0, np.nan])).all()
    steep = RiskCurve(load=1e9, depth=1e9, base=0.0)
    assert waterlogging_risk([5.0, 0.0], 0.0, steep).tolist() == [100.0, 50.0]
