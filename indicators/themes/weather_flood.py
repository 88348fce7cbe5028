"""Weather and flood: rain of an hour and its signals, the river, standing water and its risk, pumps."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

from typing import Any

import numpy as np

from citytwin.indicators.api import Context, Indicator, col, ent, ind, indicator, maximum, row, rows, tally, total
from citytwin.indicators.expr import ref
from citytwin.indicators.themes.places import largest_above, largest_of_scopes
from citytwin.models.columns import Bool, Float64, Int32, Int64
from citytwin.models.runoff import Catchment, next_hour_risk

#: Depth from which a point counts as waterlogged, cm (lane depth of GB 51222, unconfirmed).
POINT_CM = 15
_RAIN_STEPS = 100  # of rain.depth: 0.01 mm


class RainHour(Indicator):
    """Largest sum of an hour among the gauges of a scope: sums are of one gauge, so they do not roll up."""

    id = "rain_1h_max"
    theme = "weather_flood"
    window = "sliding 1h/5m"
    unit = "mm"
    better = "down"
    levels = "city district street grid"
    decimals = 2
    name = {"zh": "最大小时雨量", "en": "Highest hourly rain"}
    meaning = {
        "zh": "各雨量站最近一小时累计雨量的最大值",
        "en": "Largest of the gauges' sums of the last hour, in panes of five minutes",
    }
    bands = {"yellow": 20, "red": 50}
    source = "20 mm/h: short-time heavy rain (QX/T 416); 50 is a local default"
    status = "L"
    owner = "flood control"
    feeds = (("obs", "rain.depth"),)
    aggregates = {
        "rain": total(
            "obs", col.value, (col.property == "rain.depth") & (col.quality == "good"),
            per_unit=_RAIN_STEPS, by="subject",
        )
    }  # fmt: skip

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Sum the panes of each gauge in whole steps and take the largest above."""
        panes = ctx.panes("rain")
        steps = np.rint(panes.sums * _RAIN_STEPS).sum(axis=1)
        return largest_above(ctx, panes.groups, steps / _RAIN_STEPS)


@indicator(
    "river_level", theme="weather_flood", window="instant", unit="m", better="down", levels="city", decimals=2,
    name={"zh": "长江汉口站水位", "en": "Yangtze level at Hankou"},
    meaning={
        "zh": "汉口站最新有效水位（测站基面，不同于 1985 国家高程基准）",
        "en": "Newest good reading at Hankou, in the station's own datum (not the 1985 height datum)",
    },
    bands={"blue": 25.0, "yellow": 27.3, "red": 29.73}, source="Wuhan: fortify 25.00, warning 27.30, guarantee 29.73 m",
    status="V", owner="flood control", feeds=(("obs", "river.level"),),
    examples=[{"level": 25.16, "gives": 25.16}, {"level": float("nan"), "gives": None}],
)  # fmt: skip
def river_level(
    level: Float64 = tally(
        "obs",
        row.value,
        (row.property == "river.level") & (row.quality == "good") & (ent.station == "hankou"),
        reduce="max",
        per_unit=1000,
    ),
) -> Float64:
    """Newest reading of the gauge(s) at Hankou, no data while the newest is not good; the higher of two gauges.

    The catalogue's warning and alarm (25.00 and 27.30) are the first two of three official steps; all three are shown.
    """
    return level


@indicator(
    "waterlog_points", theme="weather_flood", window="instant", unit="count", better="down",
    levels="city district street grid", decimals=0, name={"zh": "渍水点数", "en": "Waterlogged points"},
    meaning={"zh": "积水深度达到 15 厘米的监测点数", "en": "Monitored points with at least 15 cm of standing water"},
    bands={"yellow": 1, "red": 10}, source="15 cm: lane depth of GB 51222, unconfirmed", status="K",
    owner="flood control", feeds=(("obs", "waterlog.depth"),),
    examples=[
        {"deep": 2, "points": 40, "gives": 2.0}, {"deep": 0, "points": 40, "gives": 0.0},
        {"deep": 0, "points": 0, "gives": None},
    ],
)  # fmt: skip
def waterlog_points(
    deep: Float64 = tally(
        "obs", where=(row.property == "waterlog.depth") & (row.quality == "good") & (row.value >= POINT_CM)
    ),
    points: Float64 = tally("obs", where=(row.property == "waterlog.depth") & (row.quality == "good")),
) -> Float64:
    """Points whose newest reading is at least 15 cm; without a good reading of any point there is no number."""
    return np.where(np.asarray(points) > 0, deep, np.nan)


@indicator(
    "waterlog_depth_max", theme="weather_flood", window="sliding 30m/1m", unit="cm", better="down",
    levels="city district street grid", decimals=1, name={"zh": "最大渍水深度", "en": "Deepest waterlogging"},
    meaning={"zh": "30 分钟内最深的有效积水读数", "en": "Deepest good reading of 30 minutes"},
    bands={"yellow": 15, "red": 27}, source="15 cm GB 51222; 27 cm closure depth of several cities; unconfirmed",
    status="K", owner="flood control", feeds=(("obs", "waterlog.depth"),),
    examples=[{"depth": 26.5, "gives": 26.5}, {"depth": float("nan"), "gives": None}],
)  # fmt: skip
def waterlog_depth_max(
    depth: Float64 = maximum("obs", col.value, (col.property == "waterlog.depth") & (col.quality == "good")),
) -> Float64:
    """Largest good depth of the window."""
    return depth


class RainstormSignal(Indicator):
    """Highest colour of the rainstorm signals that the rain of any one gauge has reached: 0 none, 1 blue to 4 red.

    4 where 3 hours brought 100 mm, 3 where 3 hours brought 50, 2 where 6 hours did, 1 where 12 hours did. This is the
    observed half of the rule; a signal may also be given for rain that is expected, which stays with the weather
    office. The catalogue warns at 2 and alarms at 3; the four levels are the four official colours, so each is its own
    band.
    """

    id = "rainstorm_signal_level"
    theme = "weather_flood"
    window = "sliding 12h/5m"
    unit = "level 0-4"
    better = "down"
    levels = "city district street"
    decimals = 0
    name = {"zh": "暴雨预警信号等级", "en": "Rainstorm warning level"}
    meaning = {
        "zh": "实测雨量达到的暴雨预警信号等级：1 蓝 2 黄 3 橙 4 红",
        "en": "Rainstorm signal that measured rain has reached: 1 blue, 2 yellow, 3 orange, 4 red",
    }
    bands = {"blue": 1, "yellow": 2, "orange": 3, "red": 4}
    source = "rainstorm signals: blue 12 h/50 mm, yellow 6 h/50, orange 3 h/50, red 3 h/100"
    status = "V"
    owner = "flood control"
    feeds = (("obs", "rain.depth"),)
    every = "10s"
    aggregates = {
        "rain": total(
            "obs", col.value, (col.property == "rain.depth") & (col.quality == "good"),
            per_unit=_RAIN_STEPS, by="subject",
        )
    }  # fmt: skip

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Level of each gauge by its last 3, 6 and 12 hours in whole steps, and the highest above."""
        panes = ctx.panes("rain")
        steps = np.rint(panes.sums * _RAIN_STEPS)
        r3, r6, r12 = (steps[:, -12 * hours :].sum(axis=1) / _RAIN_STEPS for hours in (3, 6, 12))
        level = np.select([r3 >= 100, r3 >= 50, r6 >= 50, r12 >= 50], [4.0, 3.0, 2.0, 1.0], 0.0)
        return largest_above(ctx, panes.groups, level)


@indicator(
    "river_level_margin", theme="weather_flood", window="instant", unit="m", better="up", levels="city district",
    decimals=2, name={"zh": "距警戒水位余量", "en": "Margin below warning level"},
    meaning={
        "zh": "各站警戒水位与最新有效水位之差的最小值，负值为已超警戒",
        "en": "Smallest distance of a gauge's newest good level to its warning level; below 0 it is passed",
    },
    bands={"yellow": 2.3, "red": 0}, source="Hankou: 27.30 warning less 25.00 fortify", status="V",
    owner="flood control", feeds=(("obs", "river.level"),),
    examples=[
        {"margin": 2.14, "gives": 2.14}, {"margin": -0.25, "gives": -0.25}, {"margin": float("nan"), "gives": None},
    ],
)  # fmt: skip
def river_level_margin(
    margin: Float64 = tally(
        "obs",
        ent.warning_level - row.value,
        (row.property == "river.level") & (row.quality == "good"),
        reduce="min",
        per_unit=1000,
    ),
) -> Float64:
    """Smallest warning_level - level over the gauges with a warning level, each in its own datum.

    The warning of 2.3 m is Hankou's distance from fortify to warning level, taken for all gauges. With more being
    better a value below the edge is in its band: the band begins when the level is above the official one, not at it.
    """
    return margin


#: Panes are five minutes, which every offset from UTC is whole multiples of; the window ends with whole ten minutes.
_PANE_S, _PER_STEP, _STEPS_6H = 300, 2, 36
#: Least readings of a slope; a line through two says nothing of its error. A local default.
_LEAST_READINGS = 3
_MM_S_TO_CM_H = 360
#: Whole seconds since the beginning of the pane.
_T = ((col.time / 1000).floor() - (col.time / (1000 * _PANE_S)).floor() * _PANE_S).floor()


def _river(value: Any, per_unit: int) -> Any:
    where = (col.property == "river.level") & (col.quality == "good")
    return total("obs", value, where, per_unit=per_unit, by="subject", window="sliding 6h/5m")


class RiverRise(Indicator):
    """Slope of the least-squares line of level over time of the last six hours, of the gauge that rises fastest.

    Sums of n, t, y, t*t, t*y are whole numbers (seconds and mm) and so exact in any order of arrival; a gauge needs
    three good readings at two times at least. The window moves with whole ten minutes, as the catalogue says; a reading
    that is dated ahead of the clock counts from the beginning of its five minutes on. The catalogue's aggregation
    "mean" is the line's own, not one over gauges. A falling river is negative.
    """

    id = "river_rise_rate"
    theme = "weather_flood"
    window = "sliding 6h/10m"
    unit = "cm/h"
    better = "down"
    levels = "city district"
    decimals = 1
    name = {"zh": "水位涨率", "en": "River rise rate"}
    meaning = {
        "zh": "6 小时水位线性回归斜率的最大值，下降为负",
        "en": "Steepest least-squares slope of a gauge's level over six hours; negative when it falls",
    }
    bands = {"yellow": 10, "red": 20}
    source = "local default"
    status = "L"
    owner = "flood control"
    feeds = (("obs", "river.level"),)
    every = "1m"
    aggregates = {
        "t": _river(_T, 1),
        "y": _river(col.value, 1000),
        "tt": _river(_T * _T, 1),
        "ty": _river(_T * col.value, 1000),
    }

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Slope of each gauge, exact until the last division, and the largest above."""
        panes = ctx.panes("t")
        y, tt, ty = (
            np.rint(ctx.panes(k).sums * unit).astype(np.int64) for k, unit in (("y", 1000), ("tt", 1), ("ty", 1000))
        )
        t, n = np.rint(panes.sums).astype(np.int64), panes.counts
        step = (panes.first + np.arange(n.shape[1])) // _PER_STEP
        inside = step > step[-1] - _STEPS_6H
        begin = np.arange(n.shape[1]) * _PANE_S
        slope = _slopes(
            (n * inside).sum(axis=1),
            ((t + begin * n) * inside).sum(axis=1),
            (y * inside).sum(axis=1),
            ((tt + 2 * begin * t + begin * begin * n) * inside).sum(axis=1),
            ((ty + begin * y) * inside).sum(axis=1),
        )
        known = ~np.isnan(slope)
        return largest_above(ctx, panes.groups[known], slope[known])


def _slopes(n: Int64, t: Int64, y: Int64, tt: Int64, ty: Int64) -> Float64:
    """Slopes in cm/h by sums in seconds and mm; NaN for too few readings. Python's integers never overflow."""
    out = np.full(len(n), np.nan)
    for i, (k, a, b, aa, ab) in enumerate(zip(*(x.tolist() for x in (n, t, y, tt, ty)), strict=True)):
        spread = k * aa - a * a
        if k >= _LEAST_READINGS and spread > 0:
            out[i] = _MM_S_TO_CM_H * (k * ab - a * b) / spread
    return out


def _point(name: str) -> Any:
    return ref("ent", f"observes.{name}")


class WaterlogRisk(Indicator):
    """Risk from 0 to 100 that a point stands under water within the hour, by runoff, storage, pumps and the depth now.

    Points are gauges of `waterlog.depth` with a good newest reading that observe a facility with a catchment. Runoff is
    by the curve number (SCS-CN, TR-55) from the rain that is to come, on ground that the rain of the last hour has
    wetted; against it stand the facility's storage and an hour of its pumps. All coefficients are a local default, see
    models.runoff. The rain of the last hour is that of the finest scope around the point that has a gauge; the rain to
    come is the largest `rain.forecast_1h` of the finest scope that has one of the last two hours, else the rain of the
    last hour goes on. The catalogue's formula lacks a constant: without one a dry city would be at 50. Its tumbling ten
    minutes are a publishing period. Pumps count as the register has them; whether they run is `pump_availability`.
    """

    id = "waterlog_risk_max"
    theme = "weather_flood"
    window = "instant"
    unit = "0-100"
    better = "down"
    levels = "city district street grid"
    decimals = 1
    name = {"zh": "渍水风险指数", "en": "Waterlogging risk index"}
    meaning = {
        "zh": "各易渍点未来一小时渍水风险的最大值（SCS-CN 产流、调蓄、泵排、现有积水）",
        "en": "Highest risk of standing water in the next hour among the points (SCS-CN runoff, storage, pumps, depth)",
    }
    bands = {"yellow": 60, "red": 80}
    source = "SCS-CN: TR-55; coefficients and limits are a local default"
    status = "L"
    owner = "flood control"
    feeds = (("obs", "waterlog.depth"), ("obs", "rain.depth"))
    every = "10s"
    whole = True
    aggregates = {
        "rain": ind("rain_1h_max"),
        "forecast": tally(
            "obs", row.value, (row.property == "rain.forecast_1h") & (row.quality == "good"),
            end=row.time + 2 * 3_600_000, reduce="max", per_unit=_RAIN_STEPS,
        ),
        "points": rows(
            "obs", (row.property == "waterlog.depth") & (row.quality == "good") & _point("catchment_m2").known(),
            depth=row.value, area=_point("catchment_m2"), cn=_point("curve_number"), storage=_point("storage_m3"),
            pump=_point("pump_m3s"),
        ),
    }  # fmt: skip

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Risk of each point, and the largest above."""
        points = ctx.rows("points")
        above = ctx.scopes.ancestors()[points.scope]
        fallen, forecast = _finest(ctx.value("rain_1h_max"), above), _finest(ctx.tally("forecast"), above)
        coming = np.where(np.isnan(forecast), fallen, forecast)
        catchment = Catchment(*(points.number(name) for name in ("area", "cn", "storage", "pump")))
        risk = next_hour_risk(catchment, fallen, coming, points.number("depth"))
        known: Bool = ~np.isnan(risk)
        return largest_of_scopes(ctx, points.scope[known], risk[known])


def _finest(values: Float64, above: Int32) -> Float64:
    """Value of the finest known scope of each line of descent (int32[n, 5], coarsest first; -1 = none)."""
    found = np.full(len(above), np.nan)
    for up in above.T:
        value = np.append(values, np.nan)[up]
        found = np.where(np.isnan(value), found, value)
    return found


_PUMP = (ent.device_kind == "drain_pump") & ~(ent.in_service == 0)


@indicator(
    "pump_availability", theme="weather_flood", window="instant", unit="%", better="up", levels="city district",
    decimals=2, name={"zh": "排涝泵站可用率", "en": "Drainage pump availability"},
    meaning={
        "zh": "在线（运行或待机）排涝泵的额定流量占已上报状态的全部排涝泵额定流量的比例",
        "en": "Rated flow of the drainage pumps that are online over that of all that told their state",
    },
    bands={"yellow": 95, "red": 90}, source="local default", status="L", owner="flood control",
    feeds=(("device.status", ""),),
    examples=[{"ready": 95_000, "capacity": 100_000, "gives": 95.0}, {"ready": 0, "capacity": 0, "gives": None}],
)  # fmt: skip
def pump_availability(
    ready: Float64 = tally("device.status", ent.nominal_flow, _PUMP & (row.state == "online"), per_unit=10),
    capacity: Float64 = tally("device.status", ent.nominal_flow, _PUMP, per_unit=10),
) -> Float64:
    """Capacity (`nominal_flow`, m3/h) of pumps that run or are ready over the capacity of all, by their newest state.

    A pump is ready while its newest `device.status` is online; offline, fault and maintenance are not. A pump that
    never told its state is in neither number, as one that was taken out of service: it would say nothing of
    availability.
    """
    return 100 * ready / capacity


INDICATORS = (
    RainHour,
    river_level,
    waterlog_points,
    waterlog_depth_max,
    RainstormSignal,
    river_level_margin,
    RiverRise,
    WaterlogRisk,
    pump_availability,
)
