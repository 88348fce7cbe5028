"""Cases: how many are accepted, filed, closed, in time and done again, by the rules of models.lifecycle.

Windows of 30 days count each case once, at the one of its times that the rate is keyed to, so that late and corrected
moves change the window they belong to.
"""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec, indicator, row, tally
from citytwin.models.columns import Float64

#: Channels by which the city finds a case itself, before anybody complains.
PROACTIVE = ("patrol", "iot", "video", "ai")
_HOUR_MS = 3_600_000

_ON_HOLD = (row.on_hold == 1) & (row.until > row.due_at)
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
    deferred: Float64 = tally("case", where=row.on_hold == 1, at=row.due_at, end=row.until),
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
    bands={"yellow": 0.01, "red": 0.05}, of="open", source="local default: 1 % and 5 % of the open cases", status="L",
    owner="command centre", feeds=(("case", ""),),
    examples=[{"overdue": 3, "open": 40, "gives": 3.0}, {"overdue": 0, "open": 0, "gives": 0.0}],
)  # fmt: skip
def case_overdue_open(
    overdue: Float64 = tally("case", where=row.open == 1, start=_OVERDUE_FROM),
    open: Float64 = tally("case", where=row.open == 1),
) -> Float64:
    """Number of open cases with now > due_at that are not on hold; the bands are shares of the open cases."""
    return overdue


@indicator(
    "case_accepted_rate_10k", theme="social_governance", window="tumbling 1d", unit="per 10k/day", better="down",
    levels="city district street community", decimals=2,
    name={"zh": "每万人受理案件数", "en": "Cases accepted per 10 000 people"},
    meaning={"zh": "当日受理案件数与常住人口（万人）之比", "en": "Cases accepted today per 10 000 residents"},
    source="report only: demand_surge_z tells of a surge", status="L", owner="supervision centre",
    feeds=(("case", ""),),
    examples=[
        {"accepted": 30, "people": 120_000, "gives": 2.5}, {"accepted": 0, "people": 500, "gives": 0.0},
        {"accepted": 2, "people": 0, "gives": None},
    ],
)  # fmt: skip
def case_accepted_rate_10k(
    accepted: Float64 = tally("case", at=row.accepted_at),
    people: Float64 = tally("grid", row.population, row.population.known() & ~row.valid_to.known()),
) -> Float64:
    """10000 * cases accepted in the day / residents of the grids that exist; no people, no number.

    The catalogue wants a robust z above 3 instead of a fixed limit; that is demand_surge_z, so there are no bands here.
    """
    return 10_000 * accepted / people


@indicator(
    "case_filing_rate", theme="social_governance", window="tumbling 30d", unit="%", better="none",
    levels="city district street", decimals=2, name={"zh": "立案率", "en": "Filing rate"},
    meaning={"zh": "当期受理案件中已立案的比例", "en": "Share of the cases accepted in the window that were filed"},
    source="GB/T 30428; report only", status="V", owner="supervision centre", feeds=(("case", ""),),
    examples=[
        {"filed": 996, "accepted": 1054, "gives": 94.5}, {"filed": 0, "accepted": 3, "gives": 0.0},
        {"filed": 0, "accepted": 0, "gives": None},
    ],
)  # fmt: skip
def case_filing_rate(
    filed: Float64 = tally("case", where=row.filed_at.known(), at=row.accepted_at),
    accepted: Float64 = tally("case", at=row.accepted_at),
) -> Float64:
    """Cases filed at any time over all accepted, of those accepted in the window: both are the same cases."""
    return 100 * filed / accepted


@indicator(
    "case_closing_rate", theme="social_governance", window="tumbling 30d", unit="%", better="up",
    levels="city district street grid", decimals=2, name={"zh": "结案率", "en": "Closing rate"},
    meaning={
        "zh": "应结案件中已结案的比例，缓办案件不计入",
        "en": "Share of the cases due in the window that are closed; deferred ones are left out",
    },
    bands={"yellow": 95, "red": 90}, source="CJ/T 292, GB/T 30428; full mark at 90 % by Jinhua's scoring rule",
    status="V", owner="supervision centre", feeds=(("case", ""),),
    examples=[
        {"closed": 911, "due": 972, "deferred": 0, "gives": 93.72},
        {"closed": 9, "due": 12, "deferred": 2, "gives": 90.0},
        {"closed": 0, "due": 0, "deferred": 0, "gives": None}, {"closed": 0, "due": 2, "deferred": 2, "gives": None},
    ],
)  # fmt: skip
def case_closing_rate(
    closed: Float64 = tally("case", where=row.done == 1, at=row.due_at),
    due: Float64 = tally("case", where=row.counted == 1, at=row.due_at),
    deferred: Float64 = tally("case", where=row.on_hold == 1, at=row.due_at, end=row.until),
) -> Float64:
    """Closed by now, in time or late, over due less those on hold; merged, voided and rejected cases are in neither."""
    return 100 * closed / (due - deferred)


@indicator(
    "case_rework_rate", theme="social_governance", window="tumbling 30d", unit="%", better="down",
    levels="city district street", decimals=2, name={"zh": "返工率", "en": "Rework rate"},
    meaning={
        "zh": "当期核查通过的案件中曾有核查不通过的比例",
        "en": "Share of the cases that passed verification in the window which had failed it before",
    },
    bands={"yellow": 5, "red": 10}, source="CJ/T 292 for the measure; limits are a local default", status="L",
    owner="supervision centre", feeds=(("case", ""),),
    examples=[
        {"failed": 2, "verified": 40, "gives": 5.0}, {"failed": 0, "verified": 7, "gives": 0.0},
        {"failed": 0, "verified": 0, "gives": None},
    ],
)  # fmt: skip
def case_rework_rate(
    failed: Float64 = tally("case", where=row.rework >= 1, at=row.verified_at),
    verified: Float64 = tally("case", at=row.verified_at),
) -> Float64:
    """Cases with at least one failed verification over all cases verified, keyed to the newest verification passed.

    A case that failed and has not passed yet counts when it passes: until then nobody can say how often it fails.
    """
    return 100 * failed / verified


_HANDLING_MS = row.handled_at - row.dispatched_at
_LIMIT_MS = row.due_at - row.filed_at - row.deferred_ms
_HANDLED = (_HANDLING_MS >= 0) & (_LIMIT_MS > 0)


@indicator(
    "case_handling_time_p90", theme="social_governance", window="sliding 30d/1h", unit="h", better="down",
    levels="city district street", decimals=2, name={"zh": "处置时长P90", "en": "Handling time P90"},
    meaning={
        "zh": "30 天内 90% 的案件从派遣到处置完成不超过的小时数，与同批案件时限的同一分位数相比",
        "en": "Hours from dispatch within which 90 % of the cases of 30 days were handled, against that of limits",
    },
    bands={"yellow": 0.8, "red": 1}, of="limit", source="GB/T 30428.8: limits by category; 0.8 is a local default",
    status="V+L", owner="supervision centre", feeds=(("case", ""),),
    examples=[
        {"time": 20.5, "limit": 24.0, "gives": 20.5}, {"time": 0.25, "limit": 8.0, "gives": 0.25},
        {"time": float("nan"), "limit": float("nan"), "gives": None},
    ],
)  # fmt: skip
def case_handling_time_p90(
    time: Float64 = tally("case", _HANDLING_MS / _HOUR_MS, _HANDLED, at=row.handled_at, reduce="quantile", q=0.9),
    limit: Float64 = tally("case", _LIMIT_MS / _HOUR_MS, _HANDLED, at=row.handled_at, reduce="quantile", q=0.9),
) -> Float64:
    """90th percentile of handled_at - dispatched_at in hours, within 1 %; its bands are shares of that of the limits.

    The catalogue wants it per category, against the category's limit. A scope has one number here, over all
    categories, so it is compared with the same quantile of the limits of the same cases (due_at - filed_at less
    holds): where every case takes all of its limit the two are equal. Both are hours of the clock: a limit in working
    time is long over nights and weekends in the same way as the handling. A case sent out again counts from its newest
    dispatch, and again when that was handled; a hold ends with a dispatch, so none lies within.
    """
    return time


@indicator(
    "proactive_discovery_rate", theme="social_governance", window="tumbling 30d", unit="%", better="up",
    levels="city district street", decimals=2, name={"zh": "主动发现率", "en": "Proactive discovery rate"},
    meaning={
        "zh": "当期立案案件中由巡查、物联、视频或智能识别发现的比例",
        "en": "Share of the cases filed in the window that patrols, sensors, video or its analysis found",
    },
    bands={"yellow": 60, "red": 40}, source="the project asks for an engine that finds events; limits are local",
    status="S+V", owner="supervision centre", feeds=(("case", ""),),
    examples=[
        {"found": 953, "filed": 996, "gives": 95.68}, {"found": 0, "filed": 4, "gives": 0.0},
        {"found": 0, "filed": 0, "gives": None},
    ],
)  # fmt: skip
def proactive_discovery_rate(
    found: Float64 = tally("case", where=row.channel.isin(PROACTIVE), at=row.filed_at),
    filed: Float64 = tally("case", at=row.filed_at),
) -> Float64:
    """Filed cases whose channel is patrol, iot, video or ai, over all filed in the window."""
    return 100 * found / filed


INDICATORS: tuple[Spec | type[Indicator], ...] = (
    case_on_time_closing_rate,
    case_backlog,
    case_overdue_open,
    case_accepted_rate_10k,
    case_filing_rate,
    case_closing_rate,
    case_rework_rate,
    case_handling_time_p90,
)
