"""Health: beds in use."""

from __future__ import annotations

from citytwin.indicators.api import indicator, row, tally
from citytwin.models.columns import Float64


@indicator(
    "bed_occupancy", theme="health", window="instant", unit="%", better="band", levels="city district", decimals=2,
    name={"zh": "医院床位使用率", "en": "Hospital bed occupancy"},
    meaning={
        "zh": "各医院最新占用床位之和占开放床位之和的比例，目标区间在预警线以下",
        "en": "Occupied beds over open beds by the newest count of each hospital; good is below the warning",
    },
    bands={"yellow": 85, "red": 93},
    source="85 %: safe occupancy (literature); 93 %: upper planning limit, unconfirmed", status="K", owner="health",
    feeds=(("bed.change", ""),),
    examples=[
        {"occupied": 850, "beds": 1000, "gives": 85.0}, {"occupied": 12, "beds": 10, "gives": 120.0},
        {"occupied": 0, "beds": 0, "gives": None},
    ],
)  # fmt: skip
def bed_occupancy(
    occupied: Float64 = tally("bed.change", row.occupied), beds: Float64 = tally("bed.change", row.open)
) -> Float64:
    """Sum of occupied over sum of open beds, each by the newest count that a hospital told.

    The catalogue has changes (`delta`) and takes the open beds from the register; a count needs no unbroken series, and
    beds are opened and closed from day to day. Above 100 means beds in corridors, so it is not cut off.
    """
    return 100 * occupied / beds


INDICATORS = (bed_occupancy,)
