"""Public transport: buses that leave in time, people in metro stations."""

from __future__ import annotations

from citytwin.indicators.api import col, indicator, maximum, row, tally
from citytwin.indicators.expr import ref
from citytwin.models.columns import Float64

#: A bus is punctual that leaves at most so early or so late.
EARLY_MS, LATE_MS = 60_000, 300_000

_NONE = float("nan")
_AREA = ref("ent", "observes.usable_area_m2")
_CANCELLED = row.cancelled == 1
_DELAY = row.actual_dep - row.sched_dep
#: What is not known to have left is open until it can no longer be punctual.
_DECIDED = row.sched_dep.where(_CANCELLED | row.actual_dep.known(), row.sched_dep + LATE_MS + 1)


@indicator(
    "bus_departure_punctuality", theme="public_transport", window="sliding 24h/1h", unit="%", better="up",
    levels="city district", decimals=2, name={"zh": "公交发车正点率", "en": "Bus departure punctuality"},
    meaning={
        "zh": "24 小时内计划班次中早发不超过 1 分钟、晚发不超过 5 分钟的比例，取消的班次计入分母",
        "en": "Share of the trips of 24 hours that left at most 1 min early or 5 min late; cancelled ones count",
    },
    bands={"yellow": 90, "red": 80},
    source="-1/+5 min after TCQSM; GB/T 22484-2025 (from 2025-11-01) is not confirmed; limits are local", status="V+K",
    owner="public transport", feeds=(("transit.trip", ""),),
    examples=[
        {"punctual": 18, "trips": 20, "gives": 90.0}, {"punctual": 1, "trips": 3, "gives": 33.33},
        {"punctual": 0, "trips": 0, "gives": None},
    ],
)  # fmt: skip
def bus_departure_punctuality(
    punctual: Float64 = tally(
        "transit.trip", where=~_CANCELLED & (_DELAY >= -EARLY_MS) & (_DELAY <= LATE_MS), at=row.sched_dep
    ),
    trips: Float64 = tally("transit.trip", start=_DECIDED, at=row.sched_dep),
) -> Float64:
    """Trips with -60 s <= actual - scheduled departure <= +300 s over the trips scheduled in the window.

    A trip counts from its scheduled time on. One of which no departure is known is late, by the clock alone, when five
    minutes have passed; until then it is in neither number. A cancelled trip is never punctual.
    """
    return 100 * punctual / trips


@indicator(
    "metro_station_density_max", theme="public_transport", window="sliding 10m/1m", unit="persons/m2", better="down",
    levels="city district grid", decimals=2, name={"zh": "轨道站点最大客流密度", "en": "Highest metro station density"},
    meaning={
        "zh": "10 分钟内轨道站点在站人数与可用面积之比的最大值",
        "en": "Highest number of people in a metro station over its usable area in 10 minutes",
    },
    bands={"yellow": 2.15, "red": 4},
    source="Fruin 1971: walkway level F begins below 5 ft2 a person (2.15/m2); 4/m2 crowd-safety literature",
    status="V+K", owner="metro", feeds=(("obs", "crowd.count"),),
    examples=[{"density": 2.4, "gives": 2.4}, {"density": float("nan"), "gives": None}],
)  # fmt: skip
def metro_station_density_max(
    density: Float64 = maximum(
        "obs",
        col.value / _AREA.where(_AREA > 0, _NONE),
        (col.property == "crowd.count")
        & (col.quality == "good")
        & (ref("ent", "observes.facility_kind") == "metro_station"),
    ),
) -> Float64:
    """Largest good count of people over the usable area of the station that the counter observes.

    A station has one counter of the people in it: two counters of halves of a station would each be held against the
    whole area. Counters of other places, and stations of unknown area, are left out.
    """
    return density


INDICATORS = (bus_departure_punctuality, metro_station_density_max)
