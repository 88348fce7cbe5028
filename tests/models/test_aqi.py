"""Air quality: the official values of a day, the editions, and exact rational arithmetic as a second opinion."""

from __future__ import annotations

import csv
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.aqi import (
    CLASSES,
    EDITIONS,
    LEVELS_OF_INDEX,
    NONE,
    POLLUTANTS,
    air_quality,
    primary_names,
    rounded_mean,
    steps,
    sub_index,
)

FILE = Path(__file__).parents[1] / "data" / "air_quality_20190718.csv"
# the feed has the columns of O3 exchanged: the concentration of the hour stands in O3_24h
COLUMNS = {"pm25": "PM2_5", "pm10": "PM10", "so2": "SO2", "no2": "NO2", "o3": "O3_24h", "co": "CO"}
DAY_2019 = int(np.datetime64("2019-07-18T04:00", "ms").astype(np.int64))
DAY_2026 = int(np.datetime64("2026-07-18T04:00", "ms").astype(np.int64))


def concentrations(rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    return {
        p: steps(p, np.array([float(r[column]) if r[column] else np.nan for r in rows]))
        for p, column in COLUMNS.items()
    }


def test_official_values_of_fifty_hours_are_reproduced() -> None:
    with FILE.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    result = air_quality(concentrations(rows), np.full(len(rows), DAY_2019), hourly=True)
    assert len(rows) == 50
    assert sum(v == "" for r in rows for v in (r[c] for c in COLUMNS.values())) == 7
    assert result.aqi.tolist() == [int(r["AQI"]) for r in rows]
    assert [CLASSES[k - 1]["zh"] for k in result.klass.tolist()] == [r["Quality"] for r in rows]
    ours = [set(primary_names(mask)) for mask in result.primary]
    assert ours == [set(filter(None, r["PrimaryPollutant"].split(","))) for r in rows]


def one(time: int, hourly: bool = False, **given: float) -> int:
    values = {p: steps(p, np.array([c])) for p, c in given.items()}
    return int(air_quality(values, np.array([time]), hourly=hourly).aqi[0])


def test_particles_changed_on_the_first_of_march_2026() -> None:
    assert one(DAY_2019, pm25=75) == 100
    assert one(DAY_2026, pm25=75) == 114
    assert one(DAY_2026, pm25=60) == one(DAY_2026, pm10=120) == 100
    assert one(DAY_2019, pm10=150) == 100
    midnight = int(np.datetime64("2026-02-28T16:00", "ms").astype(np.int64))
    assert one(midnight - 1, pm25=75) == 100
    assert one(midnight, pm25=75) == 114
    assert one(midnight - 1, pm25=75, hourly=True) == 100
    assert one(midnight, pm25=75, hourly=True) == 114


def test_tables_of_day_and_hour_differ() -> None:
    assert one(DAY_2019, so2=475) == 150
    assert one(DAY_2019, so2=475, hourly=True) == 97
    assert one(DAY_2019, o3=160) == 100
    assert one(DAY_2019, o3=160, hourly=True) == 50
    assert one(DAY_2019, co=4.0) == 100
    assert one(DAY_2019, co=4.1) == 101


def test_ends_of_the_tables_hold_their_last_index() -> None:
    assert one(DAY_2019, pm25=5000) == 500
    assert one(DAY_2019, hourly=True, so2=5000) == 200
    assert one(DAY_2019, o3=1500) == 300


def test_nothing_known_is_no_index_and_no_class() -> None:
    result = air_quality({"pm25": np.array([NONE])}, np.array([DAY_2019]), hourly=True)
    assert (int(result.aqi[0]), int(result.klass[0]), bool(result.primary.any())) == (NONE, 0, False)
    with pytest.raises(KeyError, match="unknown pollutants"):
        air_quality({"lead": np.array([1])}, np.array([DAY_2019]), hourly=True)


def test_all_that_share_the_largest_are_primary_above_fifty() -> None:
    at = np.array([DAY_2019, DAY_2019])
    result = air_quality({"pm25": np.array([75, 35]), "pm10": np.array([150, 50])}, at, hourly=False)
    assert primary_names(result.primary[0], "en") == ["PM2.5", "PM10"]
    assert primary_names(result.primary[1]) == []


@pytest.mark.parametrize("edition", range(3))
@pytest.mark.parametrize("pollutant", POLLUTANTS)
def test_every_step_equals_exact_fractions_rounded_up(edition: int, pollutant: str) -> None:
    for table in (EDITIONS.all[edition].table.daily, EDITIONS.all[edition].table.hourly):
        edges = table[pollutant]
        got = sub_index(np.arange(edges[-1] + 1), edges)
        assert (np.diff(got) >= 0).all()
        for c in range(0, edges[-1] + 1):
            k = max(i for i in range(len(edges)) if edges[i] < c) if c > 0 else 0
            lo, hi, base, top = edges[k], edges[k + 1], LEVELS_OF_INDEX[k], LEVELS_OF_INDEX[k + 1]
            assert got[c] == math.ceil(Fraction((top - base) * (c - lo), hi - lo) + base)


@given(st.integers(0, 10**9), st.integers(1, 10**4), st.sampled_from([1, 10]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_means_round_half_to_even_exactly(total: int, count: int, divisor: int) -> None:
    assert rounded_mean(np.array([total]), np.array([count]), divisor)[0] == round(Fraction(total, count * divisor))


def test_steps_round_as_stations_report() -> None:
    assert steps("co", np.array([1.4, 1.45, np.nan, -1.0])).tolist() == [14, 14, NONE, NONE]
    assert steps("pm25", np.array([34.5, 35.5])).tolist() == [34, 36]
