"""Air quality index by HJ 633: sub-indices by edition, rounded up, with primary pollutants and class.

Concentrations are whole steps of what stations report (1 ug/m3; 0.1 mg/m3 for CO), so every index is integer
arithmetic: no binary fraction can push a value over the next whole number. The daily index uses 24-hour means (O3: the
largest 8-hour mean), the real-time one the concentrations of the last hour (PM by the 24-hour table, as the official
feed does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Float64, Int64
from citytwin.models.thresholds import Edition, Editions

POLLUTANTS: tuple[str, ...] = ("pm25", "pm10", "so2", "no2", "o3", "co")
#: Steps per unit of a reported concentration.
STEPS: dict[str, int] = {"pm25": 1, "pm10": 1, "so2": 1, "no2": 1, "o3": 1, "co": 10}
#: Marks a missing concentration (in steps) and a missing index.
NONE: int = -1

LEVELS_OF_INDEX: tuple[int, ...] = (0, 50, 100, 150, 200, 300, 400, 500)
#: Upper edges of the classes 1 to 5; above is class 6.
CLASS_EDGES: tuple[int, ...] = (50, 100, 150, 200, 300)

CLASSES: tuple[dict[str, str], ...] = (
    {"zh": "优", "en": "Excellent"},
    {"zh": "良", "en": "Good"},
    {"zh": "轻度污染", "en": "Lightly polluted"},
    {"zh": "中度污染", "en": "Moderately polluted"},
    {"zh": "重度污染", "en": "Heavily polluted"},
    {"zh": "严重污染", "en": "Severely polluted"},
)
POLLUTANT_TITLES: dict[str, dict[str, str]] = {
    "pm25": {"zh": "细颗粒物(PM2.5)", "en": "PM2.5"},
    "pm10": {"zh": "颗粒物(PM10)", "en": "PM10"},
    "so2": {"zh": "二氧化硫(SO2)", "en": "SO2"},
    "no2": {"zh": "二氧化氮(NO2)", "en": "NO2"},
    "o3": {"zh": "臭氧(O3)", "en": "O3"},
    "co": {"zh": "一氧化碳(CO)", "en": "CO"},
}

Breakpoints = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Tables:
    """Breakpoints in steps for the daily and the real-time index, by pollutant, one per entry of LEVELS_OF_INDEX."""

    daily: Breakpoints
    hourly: Breakpoints


def _tables(pm25: tuple[int, ...], pm10: tuple[int, ...]) -> Tables:
    # an 8-hour mean of O3 above 800 ug/m3 has no index of its own (300 is its last); SO2 of one hour above 800: 200
    daily = {
        "pm25": pm25,
        "pm10": pm10,
        "so2": (0, 50, 150, 475, 800, 1600, 2100, 2620),
        "no2": (0, 40, 80, 180, 280, 565, 750, 940),
        "o3": (0, 100, 160, 215, 265, 800),
        "co": (0, 20, 40, 140, 240, 360, 480, 600),
    }
    hourly = {
        "pm25": pm25,
        "pm10": pm10,
        "so2": (0, 150, 500, 650, 800),
        "no2": (0, 100, 200, 700, 1200, 2340, 3090, 3840),
        "o3": (0, 160, 200, 300, 400, 800, 1000, 1200),
        "co": (0, 50, 100, 350, 600, 900, 1200, 1500),
    }
    return Tables(daily, hourly)


def _china(text: str) -> int:
    """Local midnight in China as ms UTC (UTC+8, no summer time)."""
    return int(np.datetime64(text, "ms").astype(np.int64)) - 8 * 3_600_000


_ENDS = (350, 420, 500, 600)

#: HJ 633 by event time. The particle limits of 2026 fall in two stages; the second stage's PM10 value is not settled.
EDITIONS: Editions[Edition[Tables]] = Editions(
    [
        Edition(
            "HJ 633-2012",
            _china("1970-01-01"),
            _china("2026-03-01"),
            "HJ 633-2012; GB 3095-2012",
            "V",
            _tables((0, 35, 75, 115, 150, 250, 350, 500), (0, 50, 150, 250, *_ENDS)),
        ),
        Edition(
            "HJ 633-2026",
            _china("2026-03-01"),
            _china("2031-01-01"),
            "HJ 633-2026; GB 3095-2026, first stage",
            "V",
            _tables((0, 35, 60, 115, 150, 250, 350, 500), (0, 50, 120, 250, *_ENDS)),
        ),
        Edition(
            "HJ 633-2026/2031",
            _china("2031-01-01"),
            2**62,
            "GB 3095-2026, second stage: PM2.5 50; PM10 kept until it is settled",
            "K",
            _tables((0, 35, 50, 115, 150, 250, 350, 500), (0, 50, 120, 250, *_ENDS)),
        ),
    ]
)


def steps(pollutant: str, concentration: Float64) -> Int64:
    """Concentrations in whole steps (half to even, as GB/T 8170 rounds), NONE where NaN or negative (int64[n])."""
    scaled = np.asarray(concentration, np.float64) * STEPS[pollutant]
    known = scaled >= 0
    return np.where(known, np.rint(np.where(known, scaled, 0.0)), NONE).astype(np.int64)


def rounded_mean(total: Int64, count: Int64, divisor: int = 1) -> Int64:
    """Exact total / (count * divisor), half to even; NONE where the count is 0 (int64[n]).

    >>> rounded_mean(np.array([5, 7, 0]), np.array([2, 2, 0])).tolist()
    [2, 4, -1]
    """
    by = np.where(count > 0, count * divisor, 1)
    whole, rest = np.divmod(total, by)
    up = (2 * rest > by) | ((2 * rest == by) & (whole % 2 == 1))
    return np.where(count > 0, whole + up, NONE)


def sub_index(concentration: Int64, breakpoints: tuple[int, ...]) -> Int64:
    """IAQI of concentrations in steps: linear between breakpoints, rounded up, capped at the last; or NONE."""
    edges = np.array(breakpoints, np.int64)
    index = np.array(LEVELS_OF_INDEX[: len(edges)], np.int64)
    c = np.clip(concentration, 0, edges[-1])
    hi = np.clip(np.searchsorted(edges, c, side="left"), 1, len(edges) - 1)
    lo = hi - 1
    rise = (index[hi] - index[lo]) * (c - edges[lo])
    value = index[lo] - (-rise // (edges[hi] - edges[lo]))
    return np.where(concentration == NONE, NONE, value)


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Air quality index of n places: `aqi` int64 (NONE = no pollutant known), `primary` bool[n, 6] over POLLUTANTS,
    `klass` int64 1 to 6 (0 = none), `sub` int64[n, 6] the IAQI of each pollutant."""

    aqi: Int64
    primary: NDArray[np.bool_]
    klass: Int64
    sub: NDArray[np.int64]


def air_quality(concentrations: Mapping[str, Int64], time: Int64, *, hourly: bool) -> Index:
    """Index from concentrations in steps by pollutant (int64[n], NONE = missing) by the edition of each time (ms UTC).

    Primary pollutants are all that share the largest IAQI when that is above 50. KeyError for an unknown pollutant.
    """
    n = len(time)
    unknown = set(concentrations) - set(POLLUTANTS)
    if unknown:
        raise KeyError(f"unknown pollutants {sorted(unknown)}; known are {POLLUTANTS}")
    sub = np.full((n, len(POLLUTANTS)), NONE, np.int64)
    edition = EDITIONS.index(time)
    for e in np.unique(edition[edition >= 0]):
        tables = EDITIONS.all[int(e)].table
        at = edition == e
        for name, values in concentrations.items():
            edges = (tables.hourly if hourly else tables.daily)[name]
            sub[at, POLLUTANTS.index(name)] = sub_index(values[at], edges)
    aqi = sub.max(axis=1, initial=NONE)
    primary = (sub == aqi[:, None]) & (aqi > CLASS_EDGES[0])[:, None]
    klass = np.where(aqi >= 0, np.searchsorted(np.array(CLASS_EDGES), aqi, side="left") + 1, 0)
    return Index(aqi, primary, klass.astype(np.int64), sub)


def primary_names(mask: NDArray[np.bool_], language: str = "zh") -> list[str]:
    """Names of the primary pollutants of one place, in the order of POLLUTANTS."""
    return [POLLUTANT_TITLES[p][language] for p, there in zip(POLLUTANTS, mask.tolist(), strict=True) if there]
