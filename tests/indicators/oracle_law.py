"""The laws as the oracle knows them, written down a second time: horizons, moves of a case, tables, scales."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from fractions import Fraction

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
HORIZON = {"obs": DAY, "device.status": 7 * DAY, "citycode.use": 2 * DAY, "data.batch": 35 * DAY, "unit.state": DAY}
HORIZON |= {f"call.{k}": 7 * DAY for k in ("offered", "answered", "abandoned", "closed")} | {"indicator.value": DAY}
MESSAGES = ("obs", "device.status")

#: from state: move to state; `verified-` is a failed check, `history` and `history-` closed and open records, "<" the
#: state before the merge, "=" that nothing but a word was said: the state and every clock stay
MOVES = {
    "new": {"reported": "reported", "history": "closed", "history-": "filed"},
    "reported": {"accepted": "accepted", "rejected": "rejected", "merged": "merged"},
    "accepted": {"filed": "filed", "rejected": "rejected", "merged": "merged"},
    "handled": {"verified": "verified", "verified-": "returned"},
    "verified": {"closed": "closed"},
    "closed": {"evaluated": "evaluated", "reopened": "filed"},
    "evaluated": {"reopened": "filed"},
    "deferred": {"deferred": "deferred"},
    "parked": {},
    "merged": {"unmerged": "<"},
    "rejected": {}, "voided": {}, "answered": {}, "transferred": {"acknowledged": "="}, "withdrawn": {},
}  # fmt: skip
_WORKING = ("filed", "dispatched", "received", "arrived", "returned")
for _state in _WORKING:
    MOVES[_state] = {"deferred": "deferred"}
for _state in (*_WORKING, "deferred", "parked"):
    MOVES[_state] |= {"dispatched": "dispatched", "designated": "dispatched", "parked": "parked", "merged": "merged"}
for _state in ("reported", "accepted"):
    MOVES[_state] |= {"answered": "answered", "transferred": "transferred", "withdrawn": "withdrawn"}
for _state in ("dispatched", "received", "arrived"):
    MOVES[_state]["returned"] = "returned"
MOVES["dispatched"] |= {"received": "received", "arrived": "arrived"}
MOVES["received"] |= {"received": "=", "arrived": "arrived", "handled": "handled"}
MOVES["arrived"] |= {"received": "=", "arrived": "=", "handled": "handled"}
for _state in (*_WORKING, "handled", "deferred", "parked"):
    MOVES[_state]["voided"] = "voided"
OPEN = (*_WORKING, "handled", "verified", "deferred", "parked")
_SAID = {
    "extended": (*_WORKING, "handled"), "extension_asked": (*_WORKING, "handled", "deferred"),
    "extension_refused": (*_WORKING, "handled", "deferred"), "assigned": ("filed", "dispatched", "received", "arrived"),
    "enroute": ("filed", "dispatched", "received", "arrived"), "unassigned": OPEN, "cleared": OPEN,
    **dict.fromkeys(("escalated", "urged", "supervised", "instructed", "unlike"), ("reported", "accepted", *OPEN)),
    **dict.fromkeys(("noted", "evidence", "called_back"), tuple(s for s in MOVES if s != "new")),
}  # fmt: skip
for _move, _states in _SAID.items():
    for _state in _states:
        MOVES[_state][_move] = "="
HELD = ("deferred", "parked")
DONE = ("closed", "evaluated")

CONGESTED = {"expressway": 35, "arterial": 20, "secondary": 15, "branch": 15}
TPI = ((1.0, 0.0), (1.2, 2.0), (1.5, 4.0), (1.8, 6.0), (2.1, 8.0), (2.4, 10.0))
WATER = {
    "do": (7.5, 6, 5, 3, 2), "codmn": (2, 4, 6, 10, 15), "cod": (15, 15, 20, 30, 40), "bod5": (3, 3, 4, 6, 10),
    "nh3n": (0.15, 0.5, 1.0, 1.5, 2.0), "tp": (0.02, 0.1, 0.2, 0.3, 0.4),
}  # fmt: skip

IAQI = (0, 50, 100, 150, 200, 300, 400, 500)
PM_TAIL, CHANGE_2026 = (350, 420, 500, 600), 1_772_294_400_000  # 2026-03-01 00:00 in China
DAY_TABLE = {
    "so2": (0, 50, 150, 475, 800, 1600, 2100, 2620), "no2": (0, 40, 80, 180, 280, 565, 750, 940),
    "o3": (0, 100, 160, 215, 265, 800), "co": (0, 2, 4, 14, 24, 36, 48, 60),
}  # fmt: skip
HOUR_TABLE = {
    "so2": (0, 150, 500, 650, 800), "no2": (0, 100, 200, 700, 1200, 2340, 3090, 3840),
    "o3": (0, 160, 200, 300, 400, 800, 1000, 1200), "co": (0, 5, 10, 35, 60, 90, 120, 150),
}  # fmt: skip
POLLUTANTS = ("pm25", "pm10", "so2", "no2", "o3", "co")

#: Themes in the order in which the city's index adds them up.
THEMES = (
    "traffic", "public_transport", "parking", "water", "power", "gas", "heating", "environment", "weather_flood",
    "sanitation", "lighting", "social_governance", "livelihood", "emergency", "safe_city", "economy", "market",
    "health", "education", "elderly", "culture_tourism", "sports", "gov_service", "data_governance", "credit", "iot",
    "platform",
)  # fmt: skip
#: theme, indicator, best, warning, alarm
SCALES = (
    ("traffic", "traffic_tti", 1.2, 1.5, 1.8), ("traffic", "traffic_tpi", 2, 4, 6),
    ("traffic", "congested_length_ratio", 5, 15, 25), ("water", "water_pressure_compliance", 98, 97.5, 97),
    ("gas", "gas_ch4_max", 0, 10, 20), ("environment", "aqi", 1, 101, 201), ("environment", "aqi_hourly", 1, 101, 201),
    ("environment", "surface_water_class", 2, 4, 6), ("weather_flood", "rain_1h_max", 0, 20, 50),
    ("weather_flood", "river_level", 25.0 + (25.0 - 29.73), 25.0, 29.73),
    ("weather_flood", "waterlog_points", 0, 1, 10),
    ("weather_flood", "waterlog_depth_max", 3, 15, 27), ("social_governance", "case_on_time_closing_rate", 100, 90, 70),
    ("livelihood", "hotline_answer_rate", 100, 95, 90), ("livelihood", "hotline_wait_p95", 0, 30, 60),
    ("emergency", "ems_coverage_5km", 100, 95, 90), ("data_governance", "data_timeliness_rate", 100, 95, 90),
    ("iot", "device_online_rate", 100, 95, 90), ("iot", "obs_valid_rate", 100, 98, 95),
    ("platform", "e2e_latency_p95", 0, 2000, 5000),
)  # fmt: skip

#: Period of a device or source that says none, in seconds.
SILENT_S = 3600
_CASES, _CALLS = (("case", ""),), (("call", ""),)
_AIR = tuple(("obs", f"air.{p}") for p in POLLUTANTS)
#: indicator: what feeds it, its finest level (0 the city, 4 a grid), whether its window is open until it closes
FEEDS: dict[str, tuple[tuple[tuple[str, str], ...], int, bool]] = {
    "traffic_tti": ((("obs", "traffic.speed"),), 4, False),
    "traffic_tpi": ((("obs", "traffic.speed"),), 2, False),
    "congested_length_ratio": ((("obs", "traffic.speed"),), 4, False),
    "water_pressure_compliance": ((("obs", "water.pressure"),), 2, False),
    "gas_ch4_max": ((("obs", "gas.ch4_lel"),), 4, False),
    "aqi": (_AIR, 2, False),
    "aqi_hourly": (_AIR, 4, False),
    "surface_water_class": (tuple(("obs", f"wq.{f}") for f in WATER), 2, True),
    "rain_1h_max": ((("obs", "rain.depth"),), 4, False),
    "river_level": ((("obs", "river.level"),), 0, False),
    "waterlog_points": ((("obs", "waterlog.depth"),), 4, False),
    "waterlog_depth_max": ((("obs", "waterlog.depth"),), 4, False),
    "case_on_time_closing_rate": (_CASES, 4, True),
    "case_backlog": (_CASES, 4, False),
    "case_overdue_open": (_CASES, 4, False),
    "hotline_answer_rate": (_CALLS, 0, False),
    "hotline_wait_p95": (_CALLS, 0, False),
    "citycode_active_users": ((("citycode.use", ""),), 1, True),
    "ems_coverage_5km": ((), 2, False),
    "data_timeliness_rate": ((("data.batch", ""),), 1, True),
    "device_online_rate": ((("device", ""),), 4, False),
    "obs_valid_rate": ((("obs", ""),), 4, False),
    "e2e_latency_p95": ((("indicator.value", ""),), 0, False),
}


def rounded(value: float, decimals: int) -> float:
    """Rounded half to even at a number of decimals."""
    scale = float(10**decimals)
    return round(value * scale) / scale


def interpolate(x: float, knots: Iterable[tuple[float, float]]) -> float:
    """Piecewise linear, held at the ends."""
    points = sorted(knots)
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x < x1:
            return (y1 - y0) / (x1 - x0) * (x - x0) + y0
    return points[-1][1]


def iaqi(concentration: Fraction, table: tuple[float, ...]) -> int:
    """Sub-index, rounded up in exact fractions."""
    for k in range(len(table) - 1):
        if concentration <= table[k + 1]:
            slope = Fraction(IAQI[k + 1] - IAQI[k]) / (Fraction(table[k + 1]) - Fraction(table[k]))
            return math.ceil(slope * (concentration - Fraction(table[k])) + IAQI[k])
    return IAQI[len(table) - 1]
