"""Credit: records published in time, codes that are right."""

from __future__ import annotations

from citytwin.indicators.api import col, count, indicator, row, tally
from citytwin.models.columns import Float64


@indicator(
    "credit_report_timeliness", theme="credit", window="tumbling 30d", unit="%", better="up", levels="city district",
    decimals=2, name={"zh": "信用双公示及时率", "en": "Credit reporting on time"},
    meaning={
        "zh": "30 天内应公示的行政许可与处罚中在 7 个工作日内公示的比例",
        "en": "Share of the permissions and penalties due in 30 days that were published within 7 working days",
    },
    bands={"yellow": 98, "red": 95}, source="double-publication rule: 7 working days, unconfirmed; limits local",
    status="K+L", owner="credit office", feeds=(("credit.record", ""),),
    examples=[{"in_time": 49, "due": 50, "gives": 98.0}, {"in_time": 0, "due": 0, "gives": None}],
)  # fmt: skip
def credit_report_timeliness(
    in_time: Float64 = tally("credit.record", where=row.reported_at <= row.due_at, at=row.due_at),
    due: Float64 = tally("credit.record", at=row.due_at),
) -> Float64:
    """Records reported by their due time over all whose due time passed in the window.

    The seven working days are in `due_at`, which the source works out by the calendar of the decision's place; a record
    that is not reported is due with the clock alone. Permissions and penalties count alike.
    """
    return 100 * in_time / due


@indicator(
    "uscc_valid_rate", theme="credit", window="tumbling 1d", unit="%", better="up", levels="city district",
    decimals=2, name={"zh": "统一社会信用代码合规率", "en": "Valid credit codes"},
    meaning={
        "zh": "当日入库且带统一社会信用代码的记录中代码合规的比例",
        "en": "Share of the day's records with a unified social credit code whose code is right",
    },
    bands={"yellow": 99.9, "red": 99}, source="check rule GB 32100-2015; limits are a local default", status="V+L",
    owner="credit office", feeds=(("record.ingested", ""),),
    examples=[{"valid": 999, "coded": 1000, "gives": 99.9}, {"valid": 0, "coded": 0, "gives": None}],
)  # fmt: skip
def uscc_valid_rate(
    valid: Float64 = count("record.ingested", col.uscc.valid("uscc")),
    coded: Float64 = count("record.ingested", col.uscc.known()),
) -> Float64:
    """Records of the local day whose code has 18 places of the alphabet, a known area and the right check character."""
    return 100 * valid / coded


INDICATORS = (credit_report_timeliness, uscc_valid_rate)
