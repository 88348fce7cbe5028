"""Culture and tourism: visitors against what a scenic area can hold."""

from __future__ import annotations

from citytwin.indicators.api import col, ent, indicator, maximum
from citytwin.models.columns import Float64

_HERE = (col.entered - col.left).clip(0, 1e9)


@indicator(
    "scenic_load_ratio", theme="culture_tourism", window="sliding 10m/1m", unit="ratio", better="down",
    levels="city district grid", decimals=3, name={"zh": "景区瞬时承载率", "en": "Scenic area load ratio"},
    meaning={
        "zh": "10 分钟内各景区在园人数与瞬时最大承载量之比的最大值",
        "en": "Largest ratio of visitors inside to instant capacity of any scenic area in 10 minutes",
    },
    bands={"yellow": 0.8, "red": 1.0}, source="LB/T 034-2014: early warning at 80 % of the capacity, unconfirmed",
    status="K", owner="culture and tourism", feeds=(("venue.gate", ""),),
    examples=[{"load": 0.8, "gives": 0.8}, {"load": float("nan"), "gives": None}],
)  # fmt: skip
def scenic_load_ratio(
    load: Float64 = maximum(
        "venue.gate", _HERE / ent.capacity, (ent.facility_kind == "scenic_area") & (ent.capacity > 0)
    ),
) -> Float64:
    """Largest of (entered - left) / capacity over what the gates of scenic areas told in the window.

    A gate tells how many entered and left since the day began, not single passages, so a lost message costs one count
    and not one visitor for ever. More left than entered is a miscount and no visitor. Venues with gates that are no
    scenic areas are not in it; a scenic area without a capacity in the register has no load.
    """
    return load


INDICATORS = (scenic_load_ratio,)
