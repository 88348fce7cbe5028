"""Water supply: pressure at the ends of the network."""

from __future__ import annotations

from citytwin.indicators.api import col, count, indicator
from citytwin.models.columns import Float64

#: Least pressure at the end of the network, MPa (CJJ 58).
LEAST_MPA = 0.14


@indicator(
    "water_pressure_compliance", theme="water", window="sliding 24h/15m", unit="%", better="up",
    levels="city district street", decimals=2, name={"zh": "供水管网压力合格率", "en": "Network pressure compliance"},
    meaning={
        "zh": "24 小时内管网末梢压力不低于 0.14 MPa 的有效读数比例",
        "en": "Share of good readings of 24 hours at network ends that are at or above 0.14 MPa",
    },
    bands={"yellow": 97.5, "red": 97}, source="CJJ 58: at least 97 % of readings", status="V", owner="water",
    feeds=(("obs", "water.pressure"),),
    examples=[{"ok": 99, "n": 100, "gives": 99.0}, {"ok": 0, "n": 0, "gives": None}],
)  # fmt: skip
def water_pressure_compliance(
    ok: Float64 = count("obs", (col.property == "water.pressure") & (col.value >= LEAST_MPA) & (col.quality == "good")),
    n: Float64 = count("obs", (col.property == "water.pressure") & (col.quality == "good")),
) -> Float64:
    """Share of good readings of `water.pressure`, the property measured at network ends, at or above 0.14 MPa.

    The catalogue names a device role; a role may change while an event keeps what it says, so the property decides.
    """
    return 100 * ok / n


INDICATORS = (water_pressure_compliance,)
