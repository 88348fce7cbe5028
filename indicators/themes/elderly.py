"""Care of the old: how soon a call for help is answered."""

from __future__ import annotations

from citytwin.indicators.api import indicator, row, tally
from citytwin.models.columns import Float64

_MINUTE_MS = 60_000


@indicator(
    "elder_sos_response_p90", theme="elderly", window="sliding 30d/1h", unit="min", better="down",
    levels="city district street community", decimals=2,
    name={"zh": "老人呼叫响应时间P90", "en": "Elder SOS response P90"},
    meaning={
        "zh": "30 天内 90% 的老人呼叫从发出到联系上老人不超过的分钟数",
        "en": "Minutes within which 90 % of the calls for help of 30 days were answered",
    },
    bands={"yellow": 5, "red": 10}, source="local default", status="L", owner="civil affairs", feeds=(("alarm", ""),),
    examples=[{"minutes": 3.5, "gives": 3.5}, {"minutes": float("nan"), "gives": None}],
)  # fmt: skip
def elder_sos_response_p90(
    minutes: Float64 = tally(
        "alarm",
        (row.contacted_at - row.sos_at) / _MINUTE_MS,
        row.contacted_at >= row.sos_at,
        at=row.sos_at,
        reduce="quantile",
        q=0.9,
    ),
) -> Float64:
    """90th percentile of the time from a call to the first contact, of the calls of 30 days, within 1 % of the value.

    A call that nobody answered yet has no time and is not in it until somebody does: the measure tells how fast the
    answers were, not how many there were. Calls are placed in the window by the time at which they were made.
    """
    return minutes


INDICATORS = (elder_sos_response_p90,)
