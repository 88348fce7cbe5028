"""Data governance: deliveries of data in time."""

from __future__ import annotations

from citytwin.indicators.api import indicator, row, tally
from citytwin.models.columns import Float64


@indicator(
    "data_timeliness_rate", theme="data_governance", window="tumbling 1d", unit="%", better="up",
    levels="city district", decimals=2, name={"zh": "数据汇聚及时率", "en": "Data timeliness"},
    meaning={
        "zh": "当日应到批次中按时到达的比例",
        "en": "Share of the deliveries due today that came by their deadline",
    },
    bands={"yellow": 95, "red": 90}, source="named by the project; limits are a local default", status="L",
    owner="data centre", feeds=(("data.batch", ""),),
    examples=[{"in_time": 19, "due": 20, "gives": 95.0}, {"in_time": 0, "due": 0, "gives": None}],
)  # fmt: skip
def data_timeliness_rate(
    in_time: Float64 = tally("data.batch", where=row.received_at <= row.due_at, at=row.due_at),
    due: Float64 = tally("data.batch", at=row.due_at),
) -> Float64:
    """Deliveries received by their deadline over all whose deadline has passed today; one never received is late."""
    return 100 * in_time / due


INDICATORS = (data_timeliness_rate,)
