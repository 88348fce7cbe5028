"""Gas: the highest methane level, leaks that nobody has made safe."""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import col, indicator, maximum, row, tally
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


#: Methane level from which a detector is in alarm, %LEL.
ALARM_LEL = 20
_SAFE = row.sibling("gas.safe")
_LEVEL = (row.property == "gas.ch4_lel") & ~(row.quality == "bad")
_ACKNOWLEDGED = (_SAFE.value == 1) & (_SAFE.time >= row.time)


@indicator(
    "gas_leak_open", theme="gas", window="instant", unit="count", better="down", levels="city district street grid",
    decimals=0, name={"zh": "燃气泄漏未处置报警数", "en": "Open gas leak alarms"},
    meaning={
        "zh": "浓度达到 20%LEL 且未经现场确认安全的探测器数，加上非物联来源的未结燃气泄漏案件数",
        "en": "Detectors at 20 %LEL or more that nobody confirmed safe, and open leak cases of other channels",
    },
    bands={"yellow": 1, "red": 3}, source="20 %LEL: usual low alarm point (CJJ/T 146), unconfirmed; counts are local",
    status="K+L", owner="gas", feeds=(("obs", "gas.ch4_lel"),),
    examples=[
        {"alarms": 1, "cases": 2, "detectors": 240, "gives": 3.0},
        {"alarms": 0, "cases": 0, "detectors": 240, "gives": 0.0},
        {"alarms": 0, "cases": 1, "detectors": 0, "gives": 1.0},
        {"alarms": 0, "cases": 0, "detectors": 0, "gives": None},
    ],
)  # fmt: skip
def gas_leak_open(
    alarms: Float64 = tally("obs", where=_LEVEL & (row.value >= ALARM_LEL) & ~_ACKNOWLEDGED),
    cases: Float64 = tally("case", where=(row.category == "gas_leak") & (row.open == 1) & ~(row.channel == "iot")),
    detectors: Float64 = tally("obs", where=_LEVEL),
) -> Float64:
    """Detectors in alarm that nobody acknowledged, and open cases of the category gas_leak that came another way.

    A detector is in alarm while its newest reading is at or above 20 %LEL. It is acknowledged when the site was checked
    safe (`gas.safe` = 1 for the same detector) at the time of that reading or later, so a next high reading is an alarm
    again. A suspect reading raises an alarm, for a leak is worse than a false alarm; a bad one does not. The catalogue
    leaves out cases that are linked to a detector: those that the platform opened itself, channel `iot`. The desk of
    the cases is no input that blanks the number: a detector in alarm is told whether or not a desk was ever heard.
    """
    said = np.asarray(alarms) + cases
    return np.where((np.asarray(detectors) > 0) | (said > 0), said, np.nan)


INDICATORS = (gas_ch4_max, gas_leak_open)
