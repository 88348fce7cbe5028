"""Social governance: the clocks of cases, by the rules of models.lifecycle."""

from __future__ import annotations

from citytwin.indicators.api import indicator, row, tally
from citytwin.models.columns import Float64

_ON_HOLD = (row.state == "deferred") & (row.until > row.due_at)
#: A case is overdue after its due time; while it is on hold beyond that time its clock stands still.
_OVERDUE_FROM = row.until.where(_ON_HOLD, row.due_at + 1)


@indicator(
    "case_on_time_closing_rate", theme="social_governance", window="tumbling 30d", unit="%", better="up",
    levels="city district street grid", decimals=2, name={"zh": "按期结案率", "en": "On-time closing rate"},
    meaning={
        "zh": "应结案件中按期结案的比例，缓办案件不计入",
        "en": "Share of the cases due in the window that were closed by their deadline; deferred ones are left out",
    },
    bands={"yellow": 90, "red": 70}, source="CJ/T 292; full mark at 70 % by Jinhua's scoring rule", status="V",
    owner="supervision centre", feeds=(("case", ""),),
    examples=[
        {"on_time": 737, "due": 972, "deferred": 0, "gives": 75.82},
        {"on_time": 902, "due": 960, "deferred": 4, "gives": 94.35},
        {"on_time": 0, "due": 0, "deferred": 0, "gives": None}, {"on_time": 0, "due": 2, "deferred": 2, "gives": None},
    ],
)  # fmt: skip
def case_on_time_closing_rate(
    on_time: Float64 = tally("case", where=(row.done == 1) & (row.closed_at <= row.due_at), at=row.due_at),
    due: Float64 = tally("case", where=row.counted == 1, at=row.due_at),
    deferred: Float64 = tally("case", where=row.state == "deferred", at=row.due_at, end=row.until),
) -> Float64:
    """Closed on time over due less those on hold; merged, voided and rejected cases are in neither.

    A case is due once its deadline (less what a hold added) has passed in the window; a reopened one is due again.
    """
    return 100 * on_time / (due - deferred)


@indicator(
    "case_backlog", theme="social_governance", window="instant", unit="count", better="down",
    levels="city district street community grid", decimals=0, name={"zh": "在办案件数", "en": "Open case backlog"},
    meaning={"zh": "已立案未结案、未作废的案件数", "en": "Cases filed and neither closed, merged nor voided"},
    source="local: report only, limits depend on capacity", status="L", owner="command centre", feeds=(("case", ""),),
    examples=[{"open": 12, "gives": 12.0}, {"open": 0, "gives": 0.0}],
)  # fmt: skip
def case_backlog(open: Float64 = tally("case", where=row.open == 1)) -> Float64:
    """Number of open cases now; none is a true zero as long as a desk is heard, and no data before one ever was."""
    return open


@indicator(
    "case_overdue_open", theme="social_governance", window="instant", unit="count", better="down",
    levels="city district street community grid", decimals=0,
    name={"zh": "超期未结案件数", "en": "Overdue open cases"},
    meaning={"zh": "已超过时限仍未结案的案件数", "en": "Open cases beyond their deadline, by the clock alone"},
    source="local: limits depend on the backlog", status="L", owner="command centre", feeds=(("case", ""),),
    examples=[{"overdue": 3, "gives": 3.0}, {"overdue": 0, "gives": 0.0}],
)  # fmt: skip
def case_overdue_open(overdue: Float64 = tally("case", where=row.open == 1, start=_OVERDUE_FROM)) -> Float64:
    """Number of open cases with now > due_at that are not on hold."""
    return overdue


INDICATORS = (case_on_time_closing_rate, case_backlog, case_overdue_open)
