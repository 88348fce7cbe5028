"""Sanitation: bins that are full."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec, indicator, row, tally
from citytwin.models.columns import Float64

#: From this filling level on, percent, a bin is full: what is put beside it lies in the street.
FULL = 90
#: A reading of a filling level counts for an hour: a bin fills within hours.
FRESH_MS = 3_600_000

_BIN = (row.property == "bin.fill") & (row.quality == "good")
_END = row.time + FRESH_MS


@indicator(
    "bin_overflow_ratio", theme="sanitation", window="instant", unit="%", better="down",
    levels="city district street grid", decimals=2, name={"zh": "垃圾箱满溢率", "en": "Overflowing bins"},
    meaning={
        "zh": "满溢度达到 90% 的垃圾箱占有新鲜有效读数的垃圾箱的比例",
        "en": "Share of the bins with a fresh good reading that are at least 90 % full",
    },
    bands={"yellow": 5, "red": 10}, source="local default: limits and the level of 90 %", status="L",
    owner="sanitation", feeds=(("obs", "bin.fill"),),
    examples=[
        {"full": 3, "bins": 60, "gives": 5.0}, {"full": 0, "bins": 8, "gives": 0.0},
        {"full": 0, "bins": 0, "gives": None},
    ],
)  # fmt: skip
def bin_overflow_ratio(
    full: Float64 = tally("obs", where=_BIN & (row.value >= FULL), end=_END),
    bins: Float64 = tally("obs", where=_BIN, end=_END),
) -> Float64:
    """Bins whose newest good reading is at least 90 % over all whose newest reading is good and not older than an hour.

    The catalogue gives the level as a share (0.9); `bin.fill` is in percent here. A bin that is silent for an hour is
    in neither number, and the quality of the value tells of it.
    """
    return 100 * full / bins


INDICATORS: tuple[Spec | type[Indicator], ...] = (bin_overflow_ratio,)
