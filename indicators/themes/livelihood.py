"""Livelihood: the 12345 hotline and the city code."""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import col, count, distinct, indicator, quantile
from citytwin.models.columns import Float64


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


INDICATORS = (hotline_answer_rate, hotline_wait_p95, citycode_active_users)
