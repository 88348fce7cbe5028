"""Environment: air quality by day and by hour, fine dust, surface water, noise."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from citytwin.indicators.api import Context, Indicator, Panes, col, ent, indicator, maximum, mean, total
from citytwin.indicators.expr import Expr, lift
from citytwin.indicators.themes.places import sums_above
from citytwin.models.aqi import (
    CLASSES,
    EDITIONS,
    NONE,
    POLLUTANTS,
    STEPS,
    Index,
    air_quality,
    primary_names,
    rounded_mean,
)
from citytwin.models.columns import Coded, Float64, Int32, Int64
from citytwin.models.thresholds import Threshold
from citytwin.models.water import LIMITS, MORE_IS_BETTER

_FINER = 10  # a reading has ten steps per reported step: 0.1 of 1 ug/m3, 0.01 of 0.1 mg/m3
_DAY_HOURS, _O3_HOURS = 20, 6  # least hours of a 24-hour and of an 8-hour mean (GB 3095)
_O3_SPANS = 14  # least 8-hour means of a day
_HOUR_MS = 3_600_000
Stations = tuple[Int32, Int64]


def _readings(pollutant: str) -> Any:
    prop = f"air.{pollutant}"
    where = (col.property == prop) & (col.quality == "good")
    return mean("obs", col.value, where, per_unit=_FINER * STEPS[pollutant], by="subject")


def hourly_means(panes: Panes, pollutant: str) -> Int64:
    """Reported concentration of each station and pane in steps, NONE without a good reading (int64[G, P])."""
    total = np.rint(panes.sums * (_FINER * STEPS[pollutant])).astype(np.int64)
    return rounded_mean(total, panes.counts, _FINER)


def day_means(hours: Int64) -> Int64:
    """24-hour means in steps of at least 20 hours (int64[G] of int64[G, 24])."""
    known = hours != NONE
    count = known.sum(axis=1)
    means = rounded_mean(np.where(known, hours, 0).sum(axis=1), count)
    return np.where(count >= _DAY_HOURS, means, NONE)


def largest_8h_means(hours: Int64) -> Int64:
    """Largest 8-hour mean in steps, of at least 14 means of at least 6 hours each (int64[G] of int64[G, 24])."""
    known = hours != NONE
    spans = []
    for end in range(8, hours.shape[1] + 1):
        part = slice(end - 8, end)
        count = known[:, part].sum(axis=1)
        means = rounded_mean(np.where(known, hours, 0)[:, part].sum(axis=1), count)
        spans.append(np.where(count >= _O3_HOURS, means, NONE))
    means = np.stack(spans, axis=1)
    return np.where((means != NONE).sum(axis=1) >= _O3_SPANS, means.max(axis=1), NONE)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Index of the scopes (rows) that have one, and the time (ms UTC) whose edition holds."""

    rows: Int32
    index: Index
    time: int


def over_scopes(ctx: Context, stations: Mapping[str, Stations], time: int, *, hourly: bool) -> Places:
    """Index of every scope with a station: mean concentration of its stations first, then the index (HJ 663)."""
    sums = {p: sums_above(ctx, *stations[p]) for p in stations}
    rows = np.flatnonzero(np.logical_or.reduce([count > 0 for _, count in sums.values()])).astype(np.int32)
    means = {p: rounded_mean(total[rows], count[rows]) for p, (total, count) in sums.items()}
    index = air_quality(means, np.full(len(rows), time, np.int64), hourly=hourly)
    return Places(rows, index, time)


def facts(places: Places) -> dict[int, dict[str, Any]]:
    """Class, primary pollutants, sub-indices and edition by scope row."""
    edition, index = EDITIONS.at(places.time), places.index
    return {
        int(places.rows[i]): {
            "class": CLASSES[int(index.klass[i]) - 1],
            "primary": {lang: primary_names(index.primary[i], lang) for lang in ("zh", "en")},
            "sub": {p: int(v) for p, v in zip(POLLUTANTS, index.sub[i].tolist(), strict=True) if v != NONE},
            "edition": "" if edition is None else edition.name,
        }
        for i in np.flatnonzero(index.aqi != NONE)
    }


class _AirQuality(Indicator):
    """What the daily and the real-time index share."""

    theme = "environment"
    unit = "index"
    better = "down"
    decimals = 0
    bands = {"yellow": 101, "orange": 151, "red": 201}
    status = "V"
    owner = "environment"
    feeds = tuple(("obs", f"air.{p}") for p in POLLUTANTS)
    aggregates = {p: _readings(p) for p in POLLUTANTS}

    def __init__(self) -> None:
        self._last: Places | None = None

    def places(self, ctx: Context) -> Places:
        """The index of every scope with a station."""
        raise TypeError(f"{type(self).__name__} has no places(ctx)")

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """AQI of every scope that has one."""
        self._last = self.places(ctx)
        known = self._last.index.aqi != NONE
        return self._last.rows[known], self._last.index.aqi[known].astype(np.float64)

    def detail(self, ctx: Context) -> Mapping[int, Mapping[str, Any]]:
        """Class, primary pollutants, sub-indices and edition by scope row, of the values just given."""
        return facts(self._last or self.places(ctx))


class AirQualityDay(_AirQuality):
    """Daily index over the last 24 hours: 24-hour means, O3 by its largest 8-hour mean; the edition is that of now."""

    id = "aqi"
    window = "sliding 24h/1h"
    levels = "city district street"
    name = {"zh": "空气质量指数AQI", "en": "Air quality index"}
    meaning = {
        "zh": "24 小时滑动平均（臭氧为 8 小时最大平均）的空气质量指数，先求各站浓度均值",
        "en": "Index of 24-hour means (O3: largest 8-hour mean); concentrations are averaged over stations first",
    }
    source = "HJ 633-2012 to 2026-02-28, HJ 633-2026 from 2026-03-01; HJ 663; GB 3095"
    every = "1m"

    def places(self, ctx: Context) -> Places:
        """Means of stations with enough hours."""
        stations: dict[str, Stations] = {}
        for p in POLLUTANTS:
            panes = ctx.panes(p)
            hours = hourly_means(panes, p)
            stations[p] = (panes.groups, largest_8h_means(hours) if p == "o3" else day_means(hours))
        return over_scopes(ctx, stations, ctx.now, hourly=False)


class AirQualityHour(_AirQuality):
    """Real-time index by the table of one hour, of a station's newest hour with readings: this one or the one before.

    The catalogue has only the daily index. The edition is that in force in the station's hour, so a replay of old
    readings uses the table of their date. A pollutant without a reading in that hour is left out, as the official feed
    does; it is not carried over from an earlier hour.
    """

    id = "aqi_hourly"
    window = "sliding 2h/1h"
    levels = "city district street community grid"
    name = {"zh": "实时空气质量指数", "en": "Real-time air quality index"}
    meaning = {
        "zh": "最近一小时浓度的实时空气质量指数，附首要污染物与级别",
        "en": "Index of the concentrations of the newest hour, with primary pollutants and class",
    }
    source = "HJ 633 real-time table, edition by the date of the readings"
    every = "10s"

    def places(self, ctx: Context) -> Places:
        """Each station by its newest hour; the edition is that of the newest hour of all."""
        found = {p: ctx.panes(p) for p in POLLUTANTS}
        groups = np.unique(np.concatenate([p.groups for p in found.values()]))
        newest = np.full(len(groups), NONE)
        for panes in found.values():
            at = np.searchsorted(groups, panes.groups)
            last = panes.counts.shape[1] - 1 - np.argmax(panes.counts[:, ::-1] > 0, axis=1)
            newest[at] = np.maximum(newest[at], last)
        stations: dict[str, Stations] = {}
        for p, panes in found.items():
            hour = newest[np.searchsorted(groups, panes.groups)]
            stations[p] = (panes.groups, hourly_means(panes, p)[np.arange(len(hour)), hour])
        time = ctx.now - (_HOUR_MS if newest.max(initial=NONE) == 0 else 0)
        return over_scopes(ctx, stations, time, hourly=True)


#: Second grade of the 24-hour mean, and what stands behind it, in the editions of models.aqi.
_SECOND_GRADE = (
    (75, "GB 3095-2012", "GB 3095-2012 second grade, until 2026-02-28"),
    (60, "GB 3095-2026", "GB 3095-2026 second grade, first stage until 2030-12-31"),
    (50, "GB 3095-2026/2031", "GB 3095-2026 second grade, second stage from 2031-01-01"),
)
_DUST_EDITIONS = tuple(
    Threshold({"yellow": warn, "red": 115}, name, e.valid_from, e.valid_to, f"{source}; alarm at AQI 150", "V")
    for (warn, name, source), e in zip(_SECOND_GRADE, EDITIONS.all, strict=True)
)


class FineDustDay(Indicator):
    """Mean of the hourly means of 24 hours of each station with at least 20 of them, then over the stations of a scope.

    Hourly means are in whole ug/m3 and means round half to even, as in the daily index, so that both tell of the same
    concentration. The bands are those of the edition in force: 75 ug/m3 (GB 3095-2012) before 2026-03-01, 60 to
    2030-12-31, 50 from 2031-01-01. The catalogue's warning of 60 alone would be wrong for older and later times.
    """

    id = "pm25_24h"
    theme = "environment"
    window = "sliding 24h/1h"
    unit = "ug/m3"
    better = "down"
    levels = "city district street grid"
    decimals = 0
    name = {"zh": "PM2.5 24小时均值", "en": "PM2.5 24-hour mean"}
    meaning = {
        "zh": "24 小时内至少 20 个有效小时均值的平均，各站取平均",
        "en": "Mean of at least 20 hourly means of 24 hours, averaged over stations",
    }
    editions = _DUST_EDITIONS
    source = "GB 3095-2012, GB 3095-2026 second grade; ISO 37120:2014 8.1"
    status = "V"
    owner = "environment"
    feeds = (("obs", "air.pm25"),)
    every = "1m"
    aggregates = {"pm25": _readings("pm25")}

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Mean over the stations of each scope."""
        panes = ctx.panes("pm25")
        sums, count = sums_above(ctx, panes.groups, day_means(hourly_means(panes, "pm25")))
        rows = np.flatnonzero(count > 0).astype(np.int32)
        return rows, rounded_mean(sums[rows], count[rows]).astype(np.float64)


#: Limits of the equivalent level by zone class, day and night, dB(A).
NOISE_LIMITS = {"0": (50, 40), "1": (55, 45), "2": (60, 50), "3": (65, 55), "4a": (70, 55), "4b": (70, 60)}
_DAY_FROM, _DAY_TO, _HOURS = 6, 22, 24


class NoiseCompliance(Indicator):
    """100 * station-periods of the local day within their limit / station-periods with readings.

    The level of a period is the energy mean 10 * lg(mean of 10^(L/10)) of the station's good readings of `noise.laeq`
    in it, to 0.1 dB, and the limit that of the station's zone class (GB 3096-2008). Energies are summed as whole
    numbers, which changes a level by less than 0.03 dB from 20 dB on. Day is 06:00 to 22:00, night the other eight
    hours of the same local day: a day's number must rest on its own readings alone, so its night is what lies before 06
    and after 22 o'clock, not the night from one day to the next. A station without a zone class is left out.
    """

    id = "noise_compliance"
    theme = "environment"
    window = "tumbling 1d"
    unit = "%"
    better = "up"
    levels = "city district street"
    decimals = 2
    name = {"zh": "声环境功能区达标率", "en": "Noise compliance by zone class"}
    meaning = {
        "zh": "当日各测点昼间、夜间等效声级达到功能区限值的比例",
        "en": "Share of the day's station-periods (day, night) whose equivalent level keeps the limit of its zone",
    }
    bands = {"yellow": 90, "red": 80}
    source = "limits of GB 3096-2008 (4b unconfirmed); ISO 37120:2014 8.7; 90 and 80 % are a local default"
    status = "V+L"
    owner = "environment"
    feeds = (("obs", "noise.laeq"),)
    every = "1m"
    aggregates = {
        "energy": total(
            "obs", (col.value / 10).clip(0, 15).exp10(),
            (col.property == "noise.laeq") & (col.quality == "good") & ent.zone_class.known(),
            per_unit=1, by="subject", window="sliding 24h/1h",
        )
    }  # fmt: skip

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Kept over all station-periods, by scope."""
        panes, zones = ctx.panes("energy"), ctx.entities.attr("zone_class")
        assert isinstance(zones, Coded)
        pane = panes.first + np.arange(panes.sums.shape[1])
        today, hour = pane // _HOURS == pane[-1] // _HOURS, pane % _HOURS
        day = (hour >= _DAY_FROM) & (hour < _DAY_TO)
        limits = np.array([NOISE_LIMITS.get(name, (np.nan, np.nan)) for name in zones.names] + [(np.nan, np.nan)])
        groups, kept = [], []
        for period, hours in enumerate((today & day, today & ~day)):
            energy, count = panes.sums[:, hours].sum(axis=1), panes.counts[:, hours].sum(axis=1)
            limit = limits[zones.codes[panes.groups], period]
            with np.errstate(all="ignore"):
                level = np.round(10 * np.log10(energy / count), 1)
            said = (count > 0) & ~np.isnan(limit)
            groups.append(panes.groups[said])
            kept.append((level <= limit)[said].astype(np.int64))
        ok, n = sums_above(ctx, np.concatenate(groups), np.concatenate(kept))
        rows = np.flatnonzero(n > 0).astype(np.int32)
        return rows, 100 * ok[rows] / n[rows]


def class_of(factor: str, value: Expr) -> Expr:
    """Class 1 to 6 of a reading of one factor by GB 3838-2002, as an expression."""
    result = lift(1.0)
    for k, limit in enumerate(LIMITS[factor]):
        worse = value < limit if factor in MORE_IS_BETTER else value > limit
        result = lift(k + 2.0).where(worse, result)
    return result


def _worst(factor: str) -> Any:
    where = (col.property == f"wq.{factor}") & (col.quality == "good")
    return maximum("obs", class_of(factor, col.value), where, per_unit=1)


@indicator(
    "surface_water_class", theme="environment", window="tumbling 1d", unit="class", better="down",
    levels="city district street", decimals=0, name={"zh": "地表水断面水质类别", "en": "Worst surface water class"},
    meaning={
        "zh": "当日各断面单因子评价的最差类别（1-5 为 Ⅰ-Ⅴ 类，6 为劣 Ⅴ 类）",
        "en": "Worst single-factor class of the day over all sections (1 to 5, 6 = worse than V)",
    },
    bands={"yellow": 4, "red": 6}, source="GB 3838-2002 (rivers); the step at class IV is a local default", status="V",
    owner="environment", feeds=tuple(("obs", f"wq.{f}") for f in LIMITS),
    examples=[
        {"do": 1, "codmn": 2, "cod": 1, "bod5": 1, "nh3n": 4, "tp": 3, "gives": 4.0},
        {"do": 6, "codmn": 1, "cod": 1, "bod5": 1, "nh3n": 1, "tp": 1, "gives": 6.0},
        {"do": float("nan"), "codmn": 2, "cod": 1, "bod5": 1, "nh3n": 1, "tp": float("nan"), "gives": 2.0},
        {**dict.fromkeys(LIMITS, float("nan")), "gives": None},
    ],
)  # fmt: skip
def surface_water_class(
    do: Float64 = _worst("do"), codmn: Float64 = _worst("codmn"), cod: Float64 = _worst("cod"),
    bod5: Float64 = _worst("bod5"), nh3n: Float64 = _worst("nh3n"), tp: Float64 = _worst("tp"),
) -> Float64:  # fmt: skip
    """Largest class over factors, readings of the day and sections.

    The catalogue says "newest value per entity" and "tumbling 1d max" at once; the day's maximum is a number that a
    closed day keeps. Its "target + 1" warning needs a target per section; here class IV warns.
    """
    worst = np.fmax.reduce([np.asarray(v) for v in (do, codmn, cod, bod5, nh3n, tp)])
    return np.asarray(worst)


INDICATORS = (AirQualityDay, AirQualityHour, surface_water_class, FineDustDay, NoiseCompliance)
