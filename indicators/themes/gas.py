"""Gas: the highest methane level."""

from __future__ import annotations

from citytwin.indicators.api import col, indicator, maximum
from citytwin.models.columns import Float64


@indicator(
    "gas_ch4_max", theme="gas", window="sliding 10m/1m", unit="%LEL", better="down",
    levels="city district street grid", decimals=1, name={"zh": "可燃气体最高浓度", "en": "Highest methane level"},
    meaning={
        "zh": "10 分钟内最高的可燃气体浓度（爆炸下限百分比）",
        "en": "Highest good reading of 10 minutes, in percent of the lower explosive limit",
    },
    bands={"yellow": 10, "red": 20}, source="usual alarm steps of fixed detectors, unconfirmed", status="K",
    owner="gas",
    feeds=(("obs", "gas.ch4_lel"),), examples=[{"level": 12.5, "gives": 12.5}, {"level": float("nan"), "gives": None}],
)  # fmt: skip
def gas_ch4_max(
    level: Float64 = maximum("obs", col.value, (col.property == "gas.ch4_lel") & (col.quality == "good")),
) -> Float64:
    """Largest good methane reading of the window."""
    return level


INDICATORS = (gas_ch4_max,)
