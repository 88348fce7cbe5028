"""Education: pupils who are there."""

from __future__ import annotations

from citytwin.indicators.api import col, indicator, total
from citytwin.models.columns import Float64


@indicator(
    "school_attendance_rate", theme="education", window="tumbling 1d", unit="%", better="up",
    levels="city district street", decimals=2, name={"zh": "中小学到课率", "en": "School attendance"},
    meaning={
        "zh": "当日已上报学校的到课人数占应到人数的比例",
        "en": "Pupils present over pupils enrolled, of the schools that reported today",
    },
    bands={"yellow": 96, "red": 93}, source="local default", status="L", owner="education",
    feeds=(("school.attendance", ""),),
    examples=[{"present": 960, "enrolled": 1000, "gives": 96.0}, {"present": 0, "enrolled": 0, "gives": None}],
)  # fmt: skip
def school_attendance_rate(
    present: Float64 = total("school.attendance", col.present, per_unit=1),
    enrolled: Float64 = total("school.attendance", col.enrolled, per_unit=1),
) -> Float64:
    """Sum of present over sum of enrolled of all reports of the local day.

    The catalogue takes the newest report of a school and a window of a day at once; here every report of the day
    counts, so that a closed day keeps its number when the next one begins. A school that counts in the morning and at
    night has both in it; one that counted wrongly sends a correction.
    """
    return 100 * present / enrolled


INDICATORS = (school_attendance_rate,)
