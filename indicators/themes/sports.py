"""Sports: courts in use."""

from __future__ import annotations

from citytwin.indicators.api import indicator, row, tally
from citytwin.models.columns import Float64

_HOUR_MS = 3_600_000
_HOURS = (row.end - row.start) / _HOUR_MS


@indicator(
    "sport_venue_utilisation", theme="sports", window="tumbling 1d", unit="%", better="up",
    levels="city district street", decimals=2,
    name={"zh": "体育场馆利用率", "en": "Sports venue utilisation"},
    meaning={
        "zh": "当日已开始的预订场地小时数占全天开放场地小时数的比例",
        "en": "Court hours booked that have begun today, over the court hours of the whole day",
    },
    source="report only", status="L", owner="sports", feeds=(("venue.booking", ""),),
    examples=[{"booked": 30, "open": 120, "gives": 25.0}, {"booked": 0, "open": 0, "gives": None}],
)  # fmt: skip
def sport_venue_utilisation(
    booked: Float64 = tally(
        "venue.booking", _HOURS, ~(row.cancelled == 1) & (row.end > row.start), at=row.start, per_unit=1000
    ),
    open: Float64 = tally(
        "facility", row.courts * row.open_hours, row.facility_kind == "sports_venue", start=row.since,
        end=row.valid_to, per_unit=1000,
    ),
) -> Float64:  # fmt: skip
    """Hours of the bookings that began in the local day, over courts times opening hours of the sports venues there.

    A booking belongs whole to the day in which it begins, and counts from then on: the open day grows towards its
    closed value. Cancelled ones count not at all. What is used without a booking is not known. Courts and opening hours
    are those of the register; the place of a booking is that which the event tells.
    """
    return 100 * booked / open


INDICATORS = (sport_venue_utilisation,)
