"""Livelihood: the 12345 hotline, the city code, what callers say of their cases, and surges of demands."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import (
    Context,
    Indicator,
    Spec,
    col,
    count,
    distinct,
    indicator,
    now,
    quantile,
    row,
    rows,
    tally,
)
from citytwin.models.anomaly import robust_scale
from citytwin.models.columns import Float64, Int32, Int64
from citytwin.models.forecast import LEAST, HoltWinters, Smoothing, decompose


@indicator(
    "hotline_answer_rate", theme="livelihood", window="sliding 1h/1m", unit="%", better="up", levels="city",
    decimals=2, name={"zh": "热线接通率", "en": "Hotline answer rate"},
    meaning={
        "zh": "一小时内接通的来电占呼入来电的比例",
        "en": "Share of the calls offered in the hour that were answered",
    },
    bands={"yellow": 95, "red": 90}, source="GB/T 33358; survey of 349 cities: mean 95.9 %", status="V",
    owner="hotline", feeds=(("call", ""),),
    examples=[{"answered": 48, "offered": 50, "gives": 96.0}, {"answered": 0, "offered": 0, "gives": None}],
)  # fmt: skip
def hotline_answer_rate(
    answered: Float64 = count("call.answered"), offered: Float64 = count("call.offered")
) -> Float64:
    """Answered over offered calls; at most 100, since an answer may fall into the window after its offer left it."""
    return 100 * np.minimum(answered, offered) / offered


@indicator(
    "hotline_wait_p95", theme="livelihood", window="sliding 1h/1m", unit="s", better="down", levels="city",
    decimals=2, name={"zh": "热线等待时长P95", "en": "Hotline wait P95"},
    meaning={
        "zh": "一小时内 95% 的来电等待（至接通或放弃）不超过的秒数",
        "en": "Seconds within which 95 % of the hour's calls were answered or given up",
    },
    bands={"yellow": 30, "red": 60}, source="local default", status="L", owner="hotline",
    feeds=(("call", ""),), examples=[{"wait": 12.5, "gives": 12.5}, {"wait": float("nan"), "gives": None}],
)  # fmt: skip
def hotline_wait_p95(wait: Float64 = quantile("call", col.wait_s, 0.95, col.wait_s.known())) -> Float64:
    """95th percentile of the waits of answered and abandoned calls, within 1 % of the value."""
    return wait


@indicator(
    "citycode_active_users", theme="livelihood", window="tumbling 1d", unit="count", better="up",
    levels="city district", decimals=0, name={"zh": "市民码活跃用户数", "en": "Active city-code users"},
    meaning={"zh": "当日使用市民码的不同用户数", "en": "Number of different people who used the city code today"},
    source="report only", status="L", owner="city code", feeds=(("citycode.use", ""),),
    examples=[{"users": 3, "gives": 3.0}, {"users": 0, "gives": None}],
)  # fmt: skip
def citycode_active_users(users: Float64 = distinct("citycode.use", col.user)) -> Float64:
    """Distinct hashed users of the local day; no use at all is no data, since a silent feed looks the same."""
    return np.where(np.asarray(users) > 0, users, np.nan)


@indicator(
    "demand_resolution_rate", theme="livelihood", window="tumbling 30d", unit="%", better="up",
    levels="city district street community", decimals=2, name={"zh": "诉求解决率", "en": "Demand resolution rate"},
    meaning={
        "zh": "当期回访有答复的案件中诉求人认为已解决的比例",
        "en": "Share of the answered call-backs of the window in which the caller said that it was resolved",
    },
    bands={"yellow": 90, "red": 80}, source="local default", status="L", owner="hotline", feeds=(("case", ""),),
    examples=[
        {"resolved": 45, "answered": 50, "gives": 90.0}, {"resolved": 0, "answered": 1, "gives": 0.0},
        {"resolved": 0, "answered": 0, "gives": None},
    ],
)  # fmt: skip
def demand_resolution_rate(
    resolved: Float64 = tally("case", where=row.resolved == 1, at=row.evaluated_at),
    answered: Float64 = tally("case", where=row.resolved.known(), at=row.evaluated_at),
) -> Float64:
    """Cases that the caller judged resolved over those with an answer to that question, keyed to the evaluation.

    A case counts once, with its newest answer; a call-back without an answer says nothing and is in neither number.
    """
    return 100 * resolved / answered


@indicator(
    "demand_satisfaction_rate", theme="livelihood", window="tumbling 30d", unit="%", better="up",
    levels="city district street community", decimals=2,
    name={"zh": "诉求满意率", "en": "Demand satisfaction rate"},
    meaning={
        "zh": "当期回访有答复的案件中诉求人表示满意的比例",
        "en": "Share of the answered call-backs of the window in which the caller was satisfied",
    },
    bands={"yellow": 95, "red": 85}, source="local default", status="L", owner="hotline", feeds=(("case", ""),),
    examples=[
        {"satisfied": 19, "answered": 20, "gives": 95.0}, {"satisfied": 0, "answered": 2, "gives": 0.0},
        {"satisfied": 0, "answered": 0, "gives": None},
    ],
)  # fmt: skip
def demand_satisfaction_rate(
    satisfied: Float64 = tally("case", where=row.satisfied == 1, at=row.evaluated_at),
    answered: Float64 = tally("case", where=row.satisfied.known(), at=row.evaluated_at),
) -> Float64:
    """Cases with whose handling the caller was satisfied over those with an answer, keyed to the evaluation."""
    return 100 * satisfied / answered


_HOUR_MS, _DAY_HOURS, _MOST_DAYS = 3_600_000, 24, 30
#: Days that a start of the forecast takes, and those that are needed for a spread of its errors beside it.
_START_DAYS = 2
_LEAST_DAYS = _START_DAYS + LEAST
_STREET = 2


class DemandSurge(Indicator):
    """How many robust standard deviations the cases accepted in an hour are above what was to be expected of it.

    z = (n - forecast) / max(1.4826 * MAD, sqrt(max(forecast, 1))), the forecast by Holt-Winters (additive, season of
    24 hours) over the whole days, 9 to 30, before the last full hour; MAD is that of its errors at the same hour of the
    day, 28 of 30 days. The second part of the divisor is what chance alone makes of a count: where most days have the
    same few cases, MAD is 0 and any other number would be infinitely far. The value is the larger of two: the last full
    hour, and the open hour as far as it has come, which can only understate. So a surge shows while it happens, and
    stays until an hour closes without it; the catalogue does not say which hour "now" is. History begins with the first
    case of the city; with less than 9 days of it there is no number, nor at a place below the city without any case.
    """

    id = "demand_surge_z"
    theme = "livelihood"
    window = "tumbling 1h"
    unit = "z"
    better = "down"
    levels = "city district street"
    decimals = 2
    name = {"zh": "诉求突增指数", "en": "Demand surge score"}
    meaning = {
        "zh": "每小时受理量高于同时段预测的稳健标准差倍数",
        "en": "Robust standard deviations by which the hour's accepted cases exceed their forecast",
    }
    bands = {"yellow": 3, "red": 5}
    source = "robust z convention; Holt-Winters of season 24; the least spread is a local default"
    status = "K"
    owner = "hotline"
    feeds = (("case", ""),)
    every = "1m"
    whole = True
    aggregates = {
        "cases": rows(
            "case",
            (row.accepted_at >= now - (_MOST_DAYS + 2) * _DAY_HOURS * _HOUR_MS) & (row.accepted_at <= now),
            accepted=row.accepted_at,
        )
    }

    def __init__(self) -> None:
        self._known: tuple[Float64, Float64, Float64] | None = None

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Scores of the scopes down to streets that have cases."""
        found = ctx.rows("cases")
        hour = found.number("accepted").astype(np.int64) // _HOUR_MS
        closed = ctx.now // _HOUR_MS - 1
        days = min(_MOST_DAYS, (closed - int(hour.min(initial=closed)) - 1) // _DAY_HOURS)
        if days < _LEAST_DAYS:
            return np.zeros(0, np.int32), np.zeros(0)
        hours = days * _DAY_HOURS
        at, counts = _hourly(ctx, found.scope, hour - (closed - hours), hours + 2)
        foreseen, spread = self._expected(counts[:, :hours])
        z = (counts[:, hours:] - foreseen) / np.maximum(spread, np.sqrt(np.maximum(foreseen, 1.0)))
        return at, z.max(axis=1)

    def _expected(self, history: Float64) -> tuple[Float64, Float64]:
        """Forecasts of the two hours after a history and their spread, kept until the history is another."""
        if self._known is None or not np.array_equal(self._known[0], history):
            self._known = (history, *forecast_two(history))
        return self._known[1], self._known[2]


def _hourly(ctx: Context, scopes: Int32, hour: Int64, n: int) -> tuple[Int32, Float64]:
    """Counts of places (scope rows) by hour 0 to n - 1, of the city and of each scope down to streets that has any
    (rows int32[m], counts float64[m, n])."""
    inside = (hour >= 0) & (hour < n)
    above = ctx.scopes.ancestors()[scopes[inside], : _STREET + 1].T  # what has a place has one at each of these levels
    some = np.zeros(len(ctx.scopes), np.bool_)
    some[above] = some[0] = True
    at, number = np.flatnonzero(some).astype(np.int32), np.cumsum(some) - 1
    counts = np.zeros(len(at) * n, np.int64)
    for up in above:
        counts += np.bincount(number[up] * n + hour[inside], minlength=len(counts))
    return at, counts.reshape(len(at), n).astype(np.float64)


def forecast_two(history: Float64) -> tuple[Float64, Float64]:
    """Forecasts of the two hours after whole days of hourly counts (float64[n, 24 * days]), and the robust spread of
    the one-step errors at the same hours of the days from the third on (float64[n, 2] each)."""
    period, start = _DAY_HOURS, _START_DAYS * _DAY_HOURS
    model = HoltWinters(Smoothing(period=period), *decompose(history[:, :start], period, False))
    errors = np.zeros((history.shape[1] - period, len(history)))
    for k, values in enumerate(history[:, period:].T):
        errors[k] = values - model.update(values)
    same_hour = errors[period:].T.reshape(len(history), history.shape[1] // period - _START_DAYS, period)
    foreseen = np.stack([model.expected(1), model.expected(2)], axis=1)
    return foreseen, np.stack([robust_scale(same_hour[:, :, k]) for k in range(2)], axis=1)


INDICATORS: tuple[Spec | type[Indicator], ...] = (
    hotline_answer_rate,
    hotline_wait_p95,
    citycode_active_users,
    demand_resolution_rate,
    demand_satisfaction_rate,
    DemandSurge,
)
