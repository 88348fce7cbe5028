"""Market supervision: random inspections that are done."""

from __future__ import annotations

from citytwin.indicators.api import indicator, row, tally
from citytwin.models.columns import Float64

_PLANNED = row.planned_at.known()


@indicator(
    "inspection_completion_rate", theme="market", window="tumbling 30d", unit="%", better="up",
    levels="city district street", decimals=2,
    name={"zh": "双随机抽查完成率", "en": "Random inspections done"},
    meaning={
        "zh": "30 天内到期的计划抽查中已完成的比例",
        "en": "Share of the planned inspections due in 30 days that are done",
    },
    bands={"yellow": 95, "red": 90}, source="local default", status="L", owner="market supervision",
    feeds=(("inspection", ""),),
    examples=[{"done": 57, "due": 60, "gives": 95.0}, {"done": 0, "due": 0, "gives": None}],
)  # fmt: skip
def inspection_completion_rate(
    done: Float64 = tally("inspection", where=_PLANNED & row.done_at.known(), at=row.due_at),
    due: Float64 = tally("inspection", where=_PLANNED, at=row.due_at),
) -> Float64:
    """Planned inspections whose day has passed in the window and that are done, over all whose day has passed.

    One that is done late is done: the measure is completion, not punctuality, so a closed month may still rise. What
    is due later and done already counts when it is due. An inspection that nobody planned is in neither number.
    """
    return 100 * done / due


INDICATORS = (inspection_completion_rate,)
