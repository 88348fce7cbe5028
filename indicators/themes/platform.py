"""The platform itself, from the events that its shell logs."""

from __future__ import annotations

from citytwin.indicators.api import col, indicator, quantile
from citytwin.models.columns import Float64


@indicator(
    "e2e_latency_p95", theme="platform", window="sliding 5m/10s", unit="ms", better="down", levels="city",
    decimals=0, name={"zh": "端到端时延P95", "en": "End-to-end latency P95"},
    meaning={
        "zh": "事件到达入口至含该事件的指标发布之间时长的 95 分位",
        "en": "95th percentile of the time from an event's arrival at the door to the publication of values with it",
    },
    bands={"yellow": 2000, "red": 5000}, source="local default", status="L", owner="platform",
    feeds=(("indicator.value", ""),),
    examples=[{"latency": 850.2, "gives": 850.0}, {"latency": float("nan"), "gives": None}],
)  # fmt: skip
def e2e_latency_p95(
    latency: Float64 = quantile("indicator.value", col.published_ts - col.event_ts, 0.95),
) -> Float64:
    """95th percentile of published_ts - event_ts, within 1 % of the value.

    `event_ts` is when the event came to the door, not its own time as the catalogue has it: a station that tells its
    hour an hour late would else look like a slow platform. How late sources are is told by their watermarks.
    """
    return latency


INDICATORS = (e2e_latency_p95,)
