"""Traffic: travel time against free flow, the 0-10 index, congested length, speed, reliability, open incidents.

Readings come from a detector that `observes` a road, or from the road itself; a road's reading counts for 15 minutes
(three periods of the usual five). The catalogue gives tumbling windows of 5 and 15 minutes to what it defines over the
newest reading per road; a newest value has no window of its own, so these are instant values over fresh readings.
"""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import col, ind, indicator, quantile, row, tally
from citytwin.indicators.expr import Expr, ref
from citytwin.models.columns import Float64

FRESH_MS = 15 * 60_000
#: Upper speed (km/h) of the classes "moderate" and "severe" by road class (DB11/T 785-2011).
CONGESTED_KMH = {"expressway": 35.0, "arterial": 20.0, "secondary": 15.0, "branch": 15.0}
#: Knots of the index over the travel time index; the two end knots are ours, the inner four follow the scale.
TPI_KNOTS = ((1.0, 1.2, 1.5, 1.8, 2.1, 2.4), (0.0, 2.0, 4.0, 6.0, 8.0, 10.0))
_NO_ROAD = -1.0
_NONE = float("nan")


def _road(name: str) -> Expr:
    """An attribute of the road: of the entity that the device observes, else of the subject itself."""
    seen = ref("ent", f"observes.{name}")
    return seen.where(seen.known(), ref("ent", name))


_FLOW = row.sibling("traffic.flow")
_GOOD = (row.property == "traffic.speed") & (row.quality == "good")
_END = row.time + FRESH_MS
_LENGTH = _road("length_m")
#: The flow must be of the same time as the speed: an old one is no weight for it.
_PAIRED = _GOOD & (row.value >= 1) & (row.time - _FLOW.time <= FRESH_MS) & (_FLOW.time - row.time <= FRESH_MS)
_VKT = _FLOW.value * _LENGTH / 1000
_seen_limit = ref("ent", "observes.road_class").lookup(CONGESTED_KMH, _NO_ROAD)
_LIMIT = _seen_limit.where(_seen_limit > 0, ref("ent", "road_class").lookup(CONGESTED_KMH, _NO_ROAD))


@indicator(
    "traffic_tti", theme="traffic", window="instant", unit="ratio", better="down",
    levels="city district street grid", decimals=3, name={"zh": "行程时间比", "en": "Travel time index"},
    meaning={
        "zh": "按车公里加权的实际行程时间与自由流行程时间之比，1 为畅通",
        "en": "Travel time over free-flow time, weighted by vehicle kilometres; 1 is free flow",
    },
    bands={"yellow": 1.5, "red": 1.8}, source="GB/T 33171-2016; extra travel time classes 0.5 and 0.8", status="V",
    owner="traffic", feeds=(("obs", "traffic.speed"),),
    examples=[
        {"time": 300.0, "free": 200.0, "gives": 1.5}, {"time": 80.0, "free": 80.0, "gives": 1.0},
        {"time": 0.0, "free": 0.0, "gives": None},
    ],
)  # fmt: skip
def traffic_tti(
    time: Float64 = tally(
        "obs", _VKT * _road("free_flow_kmh") / row.value.clip(1, 1000), _PAIRED, end=_END, per_unit=1000
    ),
    free: Float64 = tally("obs", _VKT, _PAIRED & _road("free_flow_kmh").known(), end=_END, per_unit=1000),
) -> Float64:
    """sum(w * t / t_free) / sum(w) over roads, with w = flow * length; speeds below 1 km/h are standing detectors."""
    return time / free


@indicator(
    "traffic_tpi", theme="traffic", window="instant", unit="0-10", better="down", levels="city district street",
    decimals=2, name={"zh": "道路交通运行指数", "en": "Traffic performance index"},
    meaning={
        "zh": "0-2 畅通，2-4 基本畅通，4-6 轻度拥堵，6-8 中度拥堵，8-10 严重拥堵",
        "en": "0-2 smooth, 2-4 basically smooth, 4-6 slight, 6-8 moderate, 8-10 severe congestion",
    },
    bands={"yellow": 4, "red": 6}, source="GB/T 33171-2016; DB11/T 785-2011", status="V", owner="traffic",
    feeds=(("obs", "traffic.speed"),),
    examples=[{"tti": 1.0, "gives": 0.0}, {"tti": 1.65, "gives": 5.0}, {"tti": 3.0, "gives": 10.0}],
)  # fmt: skip
def traffic_tpi(tti: Float64 = ind("traffic_tti")) -> Float64:
    """The travel time index on the scale of five classes, piecewise linear and held between 0 and 10."""
    return np.interp(tti, *TPI_KNOTS)


@indicator(
    "congested_length_ratio", theme="traffic", window="instant", unit="%", better="down",
    levels="city district street grid", decimals=2, name={"zh": "拥堵里程比例", "en": "Congested road length"},
    meaning={
        "zh": "处于中度或严重拥堵的道路里程占有新鲜车速里程的比例",
        "en": "Share of road length with fresh speeds that is moderately or severely congested",
    },
    bands={"yellow": 15, "red": 25}, source="speed classes DB11/T 785-2011; limits are a local default", status="L",
    owner="traffic", feeds=(("obs", "traffic.speed"),),
    examples=[{"jammed": 250, "length": 1000, "gives": 25.0}, {"jammed": 0, "length": 0, "gives": None}],
)  # fmt: skip
def congested_length_ratio(
    jammed: Float64 = tally(
        "obs", _LENGTH.where((_LIMIT > 0) & (row.value <= _LIMIT), _NONE), _GOOD, end=_END, per_unit=10
    ),
    length: Float64 = tally("obs", _LENGTH.where(_LIMIT > 0, _NONE), _GOOD, end=_END, per_unit=10),
) -> Float64:
    """Length of roads at or below the speed of "moderate" for their class, over the length of all with fresh speeds."""
    return 100 * jammed / length


@indicator(
    "network_mean_speed", theme="traffic", window="instant", unit="km/h", better="up", levels="city district street",
    decimals=1, name={"zh": "路网平均行程速度", "en": "Network mean speed"},
    meaning={
        "zh": "按车公里加权的空间平均速度：总车公里除以总车小时",
        "en": "Space mean speed of the network: vehicle kilometres over vehicle hours",
    },
    bands={"yellow": 25, "red": 20},
    source="DB11/T 785-2011: 30 and 20 km/h bound the arterial classes; the warning at 25 between them is local",
    status="V+L", owner="traffic", feeds=(("obs", "traffic.speed"),),
    examples=[
        {"distance": 120.0, "hours": 4.0, "gives": 30.0}, {"distance": 90.0, "hours": 4.0, "gives": 22.5},
        {"distance": 0.0, "hours": 0.0, "gives": None},
    ],
)  # fmt: skip
def network_mean_speed(
    distance: Float64 = tally("obs", _VKT, _PAIRED, end=_END, per_unit=1000),
    hours: Float64 = tally("obs", _VKT / row.value.clip(1, 1000), _PAIRED, end=_END, per_unit=1_000_000),
) -> Float64:
    """sum(flow * length) / sum(flow * length / v) over roads: a slow road weighs with the time that is spent on it.

    Each road has its newest good speed and the flow of the same time, as in the travel time index; the catalogue's five
    minutes are a publishing period.
    """
    return distance / hours


@indicator(
    "travel_time_reliability_p95", theme="traffic", window="sliding 7d/1h", unit="ratio", better="down",
    levels="city district street", decimals=2, name={"zh": "行程时间可靠性指数", "en": "Planning time index"},
    meaning={
        "zh": "七天内同一小时的行程时间与自由流行程时间之比的 95 分位，按道路长度加权",
        "en": "95th percentile of travel time over free-flow time at this hour of seven days, weighted by road length",
    },
    bands={"yellow": 1.8, "red": 2.5}, source="definition after the FHWA planning time index; limits are local",
    status="K+L", owner="traffic", feeds=(("obs", "traffic.speed"),),
    examples=[{"p95": 1.75, "gives": 1.75}, {"p95": float("nan"), "gives": None}],
)  # fmt: skip
def travel_time_reliability_p95(
    p95: Float64 = quantile(
        "obs", _road("free_flow_kmh") / col.value.clip(1, 1000), 0.95,
        (col.property == "traffic.speed") & (col.quality == "good") & (col.value >= 1),
        weight=_LENGTH, season="1d",
    ),
) -> Float64:  # fmt: skip
    """P95 of t / t_free over the good readings of this hour of seven days, each as heavy as its road is long.

    The catalogue weighs by vehicle kilometres, but a reading of speed does not carry the flow of its moment, and the
    newest flow is not that of a reading of last week; so the weight is the length of the road in whole metres.
    """
    return p95


@indicator(
    "traffic_incidents_open", theme="traffic", window="instant", unit="count", better="down",
    levels="city district street grid", decimals=0, name={"zh": "未结交通事件数", "en": "Open traffic incidents"},
    meaning={
        "zh": "类别为交通（traffic.*）的已立案未结案件数",
        "en": "Cases of a category traffic.* that were filed and are not closed, merged nor voided",
    },
    bands={"yellow": 20, "red": 50}, source="local default for a city; a district sets its own", status="L",
    owner="traffic", feeds=(("case", ""),), examples=[{"open": 7, "gives": 7.0}, {"open": 0, "gives": 0.0}],
)  # fmt: skip
def traffic_incidents_open(
    open: Float64 = tally("case", where=row.category.startswith("traffic.") & (row.open == 1)),
) -> Float64:
    """Number of open cases whose category begins with "traffic.".

    The catalogue counts all that are neither closed nor voided; here a report counts once it is filed, and one that was
    rejected or merged into another does not, as in `case_backlog`.
    """
    return open


INDICATORS = (
    traffic_tti,
    traffic_tpi,
    congested_length_ratio,
    network_mean_speed,
    travel_time_reliability_p95,
    traffic_incidents_open,
)
