"""Parking: how full the public car parks are.

Counters say `parking.occupied` of the car park that they observe, or the car park says it itself; its `capacity` comes
from the register. A reading counts while it is fresh: two periods of the device, two hours where none was said.
"""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import ent, indicator, row, tally
from citytwin.indicators.expr import ref
from citytwin.models.columns import Float64

#: Share of the spaces, in percent, from which a car park is full.
FULL = 95
_PERIOD_S = 3600
_NONE = float("nan")

_own = ent.capacity.where(ent.facility_kind == "parking", _NONE)
_CAPACITY = ref("ent", "observes.capacity").where(ref("ent", "observes.facility_kind") == "parking", _own)
_COUNTED = (row.property == "parking.occupied") & (row.quality == "good") & (_CAPACITY > 0)
_END = row.time + ent.period_s.where(ent.period_s.known(), _PERIOD_S) * 2000


@indicator(
    "parking_occupancy", theme="parking", window="instant", unit="%", better="band",
    levels="city district street grid", decimals=1, name={"zh": "公共停车泊位占用率", "en": "Public parking occupancy"},
    meaning={
        "zh": "有新鲜数据的停车场占用泊位与总泊位之比，目标在 85% 以下而不闲置",
        "en": "Taken spaces over all spaces of the car parks with fresh data; well used, yet with room for who comes",
    },
    bands={"yellow": 85, "red": 95}, source="85 % target occupancy (Shoup); the alarm at 95 % is local", status="K",
    owner="traffic", feeds=(("obs", "parking.occupied"),),
    examples=[
        {"occupied": 425, "capacity": 500, "gives": 85.0}, {"occupied": 0, "capacity": 500, "gives": 0.0},
        {"occupied": 0, "capacity": 0, "gives": None},
    ],
)  # fmt: skip
def parking_occupancy(
    occupied: Float64 = tally("obs", row.value, _COUNTED, end=_END),
    capacity: Float64 = tally("obs", _CAPACITY, _COUNTED, end=_END),
) -> Float64:
    """sum(occupied) / sum(capacity) over car parks with a fresh good count.

    The bands are the upper edges of the target band; a lower edge is not in the catalogue. A car park has one counter:
    a second one would count its capacity again.
    """
    return 100 * occupied / capacity


@indicator(
    "parking_full_count", theme="parking", window="instant", unit="count", better="down",
    levels="city district street", decimals=0, name={"zh": "满位停车场数", "en": "Full car parks"},
    meaning={
        "zh": "占用率达到 95% 的停车场数；预警与告警按有数据停车场的占比",
        "en": "Car parks with at least 95 % of their spaces taken; the limits are shares of those with fresh data",
    },
    bands={"yellow": 0.3, "red": 0.5}, source="local default: 30 % and 50 % of the car parks", status="L",
    owner="traffic", feeds=(("obs", "parking.occupied"),), of="facilities",
    examples=[
        {"full": 3, "facilities": 12, "gives": 3.0}, {"full": 0, "facilities": 12, "gives": 0.0},
        {"full": 0, "facilities": 0, "gives": None},
    ],
)  # fmt: skip
def parking_full_count(
    full: Float64 = tally("obs", where=_COUNTED & (row.value * 100 >= _CAPACITY * FULL), end=_END),
    facilities: Float64 = tally("obs", where=_COUNTED, end=_END),
) -> Float64:
    """Number of car parks at or above 95 % of their capacity; no number where none has a fresh good count."""
    return np.where(np.asarray(facilities) > 0, full, np.nan)


INDICATORS = (parking_occupancy, parking_full_count)
