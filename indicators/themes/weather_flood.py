"""Weather and flood: rain of an hour, the river, standing water."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Context, Indicator, col, ent, indicator, maximum, row, tally, total
from citytwin.indicators.themes.places import largest_above
from citytwin.models.columns import Float64, Int32

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


INDICATORS = (RainHour, river_level, waterlog_points, waterlog_depth_max)
