"""How well the alarms serve those who watch them, by the measures of ISA-18.2 and IEC 62682.

What can be counted from events at every scope is counted there; what needs the fold of the alarms (floods by operator,
chattering, stale, the most frequent) is said by the desk every ten minutes as `alarm.health`.
"""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import col, count, indicator, row, tally
from citytwin.indicators.expr import Expr
from citytwin.models.columns import Float64
from citytwin.models.desk.alarmhealth import PERIOD_MS, SPAN_MS, TOP_LEAST

#: A word on the health counts for two periods.
_FRESH_MS = 2 * PERIOD_MS
_END = row.time + _FRESH_MS
_ALARM = ~(col.notice == 1)
_FEEDS = (("alarm.health", ""),)
_PERIODS = SPAN_MS // PERIOD_MS


def _said(value: Expr) -> Float64:
    """A number of the newest word on the health."""
    told: Float64 = tally("alarm.health", value, end=_END, reduce="max")
    return told


@indicator(
    "alarm_rate", theme="platform", window="sliding 10m/1m", unit="per 10 min", better="down",
    levels="city district", decimals=1, name={"zh": "告警率", "en": "Alarm rate"},
    meaning={
        "zh": "10 分钟内发生的告警数，全市按值守人数平均，区按一个席位计",
        "en": "Alarms raised in 10 minutes: of the city for each operator, of a district as for one",
    },
    bands={"yellow": 3, "red": 11},
    source="ISA-18.2, IEC 62682: about 1 in 10 minutes is acceptable, about 2 manageable, more than 10 a flood",
    status="K", owner="platform", feeds=_FEEDS,
    examples=[
        {"raised": 22, "operators": 2, "gives": 11.0}, {"raised": 4, "operators": float("nan"), "gives": 4.0},
        {"raised": 0, "operators": 3, "gives": 0.0},
    ],
)  # fmt: skip
def alarm_rate(
    raised: Float64 = count("alarm.raised", where=_ALARM),
    operators: Float64 = _said(row.operators),
) -> Float64:
    """Words `alarm.raised` that are no notice, over the operators that the desk tells for the city.

    A word about an alarm that stands already counts too, and one about an alarm that is shelved; the rate that the desk
    itself tells (GET /alarms) does not have them.
    """
    return raised / np.where(operators >= 1, operators, 1)


@indicator(
    "alarm_high_priority_share", theme="platform", window="sliding 24h/10m", unit="%", better="down",
    levels="city district", decimals=1, name={"zh": "高优先级告警占比", "en": "High priority alarms"},
    meaning={
        "zh": "24 小时内 I 级和 II 级告警占全部告警的比例",
        "en": "Share of the alarms of 24 hours with priority I or II",
    },
    bands={"yellow": 5, "red": 20},
    source="ISA-18.2: about 5 % high, 15 % medium, 80 % low; 20 % is a local default", status="K+L", owner="platform",
    feeds=_FEEDS,
    examples=[{"high": 5, "raised": 100, "gives": 5.0}, {"high": 0, "raised": 0, "gives": None}],
)  # fmt: skip
def alarm_high_priority_share(
    high: Float64 = count("alarm.raised", where=_ALARM & (col.priority <= 2)),
    raised: Float64 = count("alarm.raised", where=_ALARM),
) -> Float64:
    """Alarms of priority I and II over all, by the priority with which they were raised."""
    return 100 * high / raised


@indicator(
    "alarm_flood_share", theme="platform", window="instant", unit="%", better="down", levels="city", decimals=2,
    name={"zh": "告警洪泛时间占比", "en": "Time in alarm flood"},
    meaning={
        "zh": "24 小时的 144 个 10 分钟时段中，每名值守人员告警超过 10 条的时段占比",
        "en": "Share of the 144 ten-minute periods of a day in which each operator had more than 10 alarms",
    },
    bands={"yellow": 1, "red": 5}, source="ISA-18.2, IEC 62682: below 1 %; 5 % is a local default", status="K+L",
    owner="platform", feeds=_FEEDS,
    examples=[{"flood": 36, "gives": 25.0}, {"flood": 0, "gives": 0.0}, {"flood": float("nan"), "gives": None}],
)  # fmt: skip
def alarm_flood_share(flood: Float64 = _said(row.flood)) -> Float64:
    """Periods with a flood over all periods of a day; drills and hidden alarms are not part of it."""
    return 100 * flood / _PERIODS


@indicator(
    "alarm_chattering", theme="platform", window="instant", unit="count", better="down", levels="city", decimals=0,
    name={"zh": "抖动告警数", "en": "Chattering alarms"},
    meaning={
        "zh": "24 小时内曾在 60 秒内发生 3 次及以上的告警数",
        "en": "Alarms that came three times or more within 60 seconds, in 24 hours",
    },
    bands={"yellow": 1, "red": 10}, source="ISA-18.2, IEC 62682: none; 10 is a local default", status="K+L",
    owner="platform", feeds=_FEEDS, examples=[{"n": 3, "gives": 3.0}, {"n": float("nan"), "gives": None}],
)  # fmt: skip
def alarm_chattering(n: Float64 = _said(row.chattering)) -> Float64:
    """Alarms whose delays and dead band want to be looked at: see models.desk.conditioning."""
    return n


@indicator(
    "alarm_stale", theme="platform", window="instant", unit="count", better="down", levels="city", decimals=0,
    name={"zh": "滞留告警数", "en": "Stale alarms"},
    meaning={"zh": "持续 24 小时以上的告警数", "en": "Alarms that are active for more than 24 hours"},
    bands={"yellow": 5, "red": 20}, source="ISA-18.2, IEC 62682: fewer than 5 on any day; 20 is a local default",
    status="K+L", owner="platform", feeds=_FEEDS,
    examples=[{"n": 0, "gives": 0.0}, {"n": float("nan"), "gives": None}],
)  # fmt: skip
def alarm_stale(n: Float64 = _said(row.stale)) -> Float64:
    """Alarms that stand for so long that nobody sees them any more; shelved and suppressed ones are not among them."""
    return n


@indicator(
    "alarm_top_ten_share", theme="platform", window="instant", unit="%", better="down", levels="city", decimals=1,
    name={"zh": "前十告警占比", "en": "Ten most frequent alarms"},
    meaning={
        "zh": "24 小时内发生最多的 10 个告警占全部告警的比例（不足 200 条不计）",
        "en": "Share of the alarms of 24 hours that came from the ten most frequent (from 200 alarms on)",
    },
    bands={"yellow": 5, "red": 20},
    source="ISA-18.2, IEC 62682: 1 to 5 %; 20 % and the least number of 200 are local defaults", status="K+L",
    owner="platform", feeds=_FEEDS,
    examples=[{"top": 30, "day": 300, "gives": 10.0}, {"top": 12, "day": 12, "gives": None}],
)  # fmt: skip
def alarm_top_ten_share(top: Float64 = _said(row.top), day: Float64 = _said(row.day)) -> Float64:
    """Annunciations of the ten most frequent alarms over all; with few alarms ten of them are always most of them."""
    return 100 * top / np.where(day >= TOP_LEAST, day, np.nan)


INDICATORS = (
    alarm_rate,
    alarm_high_priority_share,
    alarm_flood_share,
    alarm_chattering,
    alarm_stale,
    alarm_top_ten_share,
)
