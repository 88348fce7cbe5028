"""The platform itself, from the events that its shell logs."""

from __future__ import annotations

from citytwin.indicators.api import col, indicator, quantile, row, tally, total
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


#: What a consumer told of a partition counts for so long: one that was handed over would else lag for ever.
_LAG_MS = 10 * 60_000


@indicator(
    "consumer_lag_max", theme="platform", window="instant", unit="messages", better="down", levels="city",
    decimals=0, name={"zh": "最大消费积压", "en": "Largest consumer lag"},
    meaning={
        "zh": "各分区尚未消费的消息数的最大值",
        "en": "Largest number of messages of a partition that wait to be consumed",
    },
    bands={"yellow": 10_000, "red": 100_000}, source="local default", status="L", owner="platform",
    feeds=(("platform.lag", ""),),
    examples=[{"lag": 12, "gives": 12.0}, {"lag": float("nan"), "gives": None}],
)  # fmt: skip
def consumer_lag_max(
    lag: Float64 = tally("platform.lag", row.records, end=row.time + _LAG_MS, reduce="max"),
) -> Float64:
    """Largest of end offset less position over partitions, by the newest word on each of the last ten minutes.

    `platform.lag` is said by the shell for each consumer (subject) and partition. No word at all is no data.
    """
    return lag


@indicator(
    "late_event_ratio", theme="platform", window="sliding 5m/10s", unit="%", better="down", levels="city", decimals=2,
    name={"zh": "迟到事件占比", "en": "Late event ratio"},
    meaning={
        "zh": "5 分钟内接入事件中事件时间早于水位线的比例",
        "en": "Share of the events taken in within 5 minutes that were older than the watermark of their source",
    },
    bands={"yellow": 1, "red": 5}, source="local default", status="L", owner="platform",
    feeds=(("platform.intake", ""),),
    examples=[{"late": 3, "events": 1000, "gives": 0.3}, {"late": 0, "events": 0, "gives": None}],
)  # fmt: skip
def late_event_ratio(
    late: Float64 = total("platform.intake", col.late, per_unit=1),
    events: Float64 = total("platform.intake", col.events, per_unit=1),
) -> Float64:
    """Late events over all events that came to the door, by what the shell counts and logs every few seconds.

    The window goes by the time at which the shell counted, not by the times of the events: late ones would else be
    spread over the past.
    """
    return 100 * late / events


@indicator(
    "duplicate_event_ratio", theme="platform", window="sliding 5m/10s", unit="%", better="down", levels="city",
    decimals=2, name={"zh": "重复事件占比", "en": "Duplicate event ratio"},
    meaning={
        "zh": "5 分钟内接入事件中来源与编号已出现过的比例",
        "en": "Share of the events taken in within 5 minutes whose source and id came before",
    },
    bands={"yellow": 1, "red": 5},
    source="CloudEvents 1.0: the same source and id is a duplicate; limits are a local default", status="V+L",
    owner="platform", feeds=(("platform.intake", ""),),
    examples=[{"duplicates": 10, "events": 1000, "gives": 1.0}, {"duplicates": 0, "events": 0, "gives": None}],
)  # fmt: skip
def duplicate_event_ratio(
    duplicates: Float64 = total("platform.intake", col.duplicates, per_unit=1),
    events: Float64 = total("platform.intake", col.events, per_unit=1),
) -> Float64:
    """Events that came before over all events that came to the door, duplicates included."""
    return 100 * duplicates / events


@indicator(
    "ws_push_latency_p95", theme="platform", window="sliding 5m/10s", unit="ms", better="down", levels="city",
    decimals=0, name={"zh": "大屏推送时延P95", "en": "Dashboard push latency P95"},
    meaning={
        "zh": "变化排队到写入大屏连接之间时长的 95 分位",
        "en": "95th percentile of the time from queuing a change to writing it to a screen's connection",
    },
    bands={"yellow": 500, "red": 2000}, source="local default", status="L", owner="platform",
    feeds=(("ws.push", ""),),
    examples=[{"latency": 41.7, "gives": 42.0}, {"latency": float("nan"), "gives": None}],
)  # fmt: skip
def ws_push_latency_p95(latency: Float64 = quantile("ws.push", col.sent_ts - col.queued_ts, 0.95)) -> Float64:
    """95th percentile of sent_ts - queued_ts, within 1 % of the value.

    The catalogue wants the time until the screen acknowledges; a browser's clock and its sleeping tabs would be in
    that, so it ends when the socket has taken the bytes, which waits for a slow reader too.
    """
    return latency


INDICATORS = (e2e_latency_p95, consumer_lag_max, late_event_ratio, duplicate_event_ratio, ws_push_latency_p95)
