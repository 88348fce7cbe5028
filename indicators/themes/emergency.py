"""Emergency: who lives near an ambulance station, how fast help comes, accidents, hazards, plans in force."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Context, Indicator, Spec, indicator, row, tally
from citytwin.indicators.expr import Expr, lift
from citytwin.indicators.themes.places import chord_km, lines_of_descent
from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int32, Int64

RADIUS_KM = 5.0
#: States of a station that cannot send anyone; any other, and none, is ready.
NOT_READY = frozenset({"closed", "out_of_service", "fault", "removed", "void"})
_CHUNK = 2048


class AmbulanceCoverage(Indicator):
    """Share of the population in grids whose centroid is within 5 km of a ready ambulance station, as the crow flies.

    Readiness is that of the register (state and validity of the facility), not of the single ambulance: a station with
    all units out still covers its district by the planning rule that the threshold comes from.
    """

    id = "ems_coverage_5km"
    theme = "emergency"
    window = "instant"
    unit = "%"
    better = "up"
    levels = "city district street"
    decimals = 2
    name = {"zh": "急救5公里人口覆盖率", "en": "Population within 5 km of an ambulance station"}
    meaning = {
        "zh": "网格中心 5 公里内有可用急救站的人口比例",
        "en": "Share of people in grids whose centre has a ready ambulance station within 5 km",
    }
    bands = {"yellow": 95, "red": 90}
    source = "guidance of 2020: urban service radius of at most 5 km; limits are a local default"
    status = "V"
    owner = "health"
    every = "1m"

    def __init__(self) -> None:
        self._known: tuple[bytes, Bool] = (b"", np.zeros(0, np.bool_))

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """People near a station over all people, by scope; scopes without people have no number."""
        grids, people = _grids(ctx)
        near = self._near(ctx, grids, _stations(ctx))
        covered, total = np.zeros(len(ctx.scopes), np.int64), np.zeros(len(ctx.scopes), np.int64)
        for up in lines_of_descent(ctx, grids).T:
            there = up >= 0
            np.add.at(total, up[there], people[there])
            np.add.at(covered, up[there], np.where(near, people, 0)[there])
        rows = np.flatnonzero(total > 0).astype(np.int32)
        return rows, 100 * covered[rows] / total[rows]

    def _near(self, ctx: Context, grids: Int32, stations: Int32) -> Bool:
        """Distances are worked out again only when a grid or a station was added, moved or closed."""
        rows = np.concatenate([grids, stations])
        parts = (np.array([len(grids)]), rows, ctx.entities.lon[rows], ctx.entities.lat[rows])
        asked = b"".join(part.tobytes() for part in parts)
        if asked != self._known[0]:
            self._known = (asked, _covered(ctx, grids, stations))
        return self._known[1]


def _valid(ctx: Context, rows: Int32) -> Bool:
    ends = ctx.entities.valid_to[rows]
    live: Bool = (ends == MISSING) | (ends > ctx.now)
    return live & np.isfinite(ctx.entities.lon[rows]) & np.isfinite(ctx.entities.lat[rows])


def _grids(ctx: Context) -> tuple[Int32, Int64]:
    """Grids with a centroid and a population, and that population."""
    rows = ctx.entities.of_kind("grid")
    people = np.asarray(ctx.entities.attr("population"))[rows]
    keep = _valid(ctx, rows) & (people != MISSING)
    return rows[keep], people[keep]


def _stations(ctx: Context) -> Int32:
    rows = ctx.entities.of_kind("facility")
    kind, state = ctx.entities.attr("facility_kind"), ctx.entities.attr("state")
    assert isinstance(kind, Coded)
    assert isinstance(state, Coded)
    idle = np.array([name in NOT_READY for name in state.names] + [False])
    keep = kind.equals("ems_station")[rows] & ~idle[state.codes[rows]] & _valid(ctx, rows)
    found: Int32 = rows[keep]
    return found


def _covered(ctx: Context, grids: Int32, stations: Int32) -> Bool:
    """Grids (bool[n]) that are within the radius of any station; distances through the sphere, exact to 0.5 %."""
    near = np.zeros(len(grids), np.bool_)
    if len(stations) == 0:
        return near
    lon, lat = ctx.entities.lon, ctx.entities.lat
    there = chord_km(lon[stations], lat[stations])
    limit = 2 * 6371.0088 * np.sin(RADIUS_KM / (2 * 6371.0088))
    for at in range(0, len(grids), _CHUNK):
        part = grids[at : at + _CHUNK]
        here = chord_km(lon[part], lat[part])
        square = ((here[:, None, :] - there[None, :, :]) ** 2).sum(axis=2)
        near[at : at + _CHUNK] = (square <= limit * limit).any(axis=1)
    return near


def _span(kind: str, begin: Expr, end: Expr) -> tuple[Expr, Expr]:
    """Milliseconds of a step of the runs of a kind, and which runs have it; an end before its begin is no step."""
    return end - begin, (row.kind == kind) & (end - begin >= 0)


_FIRE_ARRIVAL, _FIRE_ARRIVED = _span("fire", row.dispatched_at, row.arrived_at)
_FIRE_TOTAL, _FIRE_CAME = _span("fire", row.received_at, row.arrived_at)
_EMS_TOTAL, _EMS_CAME = _span("ems", row.received_at, row.arrived_at)
ARRIVAL_MS, TURNOUT_MS = 300_000, 180_000
_TURNOUT, _WENT_OUT = _span("ems", row.dispatched_at, row.turnout_at)
_OUT_IN_TIME = _WENT_OUT & (_TURNOUT <= TURNOUT_MS)
#: When it is known whether an order was followed in time.
_DECIDED = row.turnout_at.where(_OUT_IN_TIME, row.dispatched_at + TURNOUT_MS + 1)
_FAILED = (row.passed == 0) & (row.inspected_last > row.rectified_last)
_RECTIFIED = row.rectified_last.known() & ~_FAILED
_LATER = (row.ended_last < row.activated_last) | (row.ended_last < row.changed_last)
_IN_FORCE = row.activated_last.known() & (~row.ended_last.known() | _LATER)


@indicator(
    "fire_arrival_5min_rate", theme="emergency", window="sliding 30d/1h", unit="%", better="up",
    levels="city district street", decimals=2, name={"zh": "消防5分钟到场率", "en": "Fire arrival within 5 min"},
    meaning={
        "zh": "30 天内首车自出动命令起 5 分钟内到场的火警比例",
        "en": "Share of the fire calls of 30 days whose first unit was on scene within 5 minutes of the order",
    },
    bands={"yellow": 90, "red": 80}, source="GB 51080: 5 minutes from the order; the share is a local default",
    status="V+L", owner="fire and rescue", feeds=(("emergency", ""),),
    examples=[
        {"in_time": 18, "arrived": 20, "gives": 90.0}, {"in_time": 0, "arrived": 2, "gives": 0.0},
        {"in_time": 0, "arrived": 0, "gives": None},
    ],
)  # fmt: skip
def fire_arrival_5min_rate(
    in_time: Float64 = tally("emergency", where=_FIRE_ARRIVED & (_FIRE_ARRIVAL <= ARRIVAL_MS), at=row.arrived_at),
    arrived: Float64 = tally("emergency", where=_FIRE_ARRIVED, at=row.arrived_at),
) -> Float64:
    """Fire calls with arrived_at - dispatched_at <= 300 s over all with both times, keyed to the arrival.

    Both are the times of the first unit. A call that nobody reached has no arrival and is in neither number.
    """
    return 100 * in_time / arrived


@indicator(
    "fire_total_response_p90", theme="emergency", window="sliding 30d/1h", unit="s", better="down",
    levels="city district street", decimals=1, name={"zh": "消防总响应时间P90", "en": "Fire total response P90"},
    meaning={
        "zh": "30 天内 90% 的火警自接警至首车到场不超过的秒数",
        "en": "Seconds from the call within which 90 % of the fire calls of 30 days had their first unit on scene",
    },
    bands={"yellow": 384, "red": 480},
    source="NFPA 1710: 64 s call + 80 s turnout + 240 s travel; full alarm 480 s; ISO 37120 10.6", status="V",
    owner="fire and rescue", feeds=(("emergency", ""),),
    examples=[{"time": 371.5, "gives": 371.5}, {"time": float("nan"), "gives": None}],
)  # fmt: skip
def fire_total_response_p90(
    time: Float64 = tally("emergency", _FIRE_TOTAL / 1000, _FIRE_CAME, at=row.arrived_at, reduce="quantile", q=0.9),
) -> Float64:
    """90th percentile of arrived_at - received_at, within 1 % of the value, keyed to the arrival."""
    return time


@indicator(
    "ems_turnout_3min_rate", theme="emergency", window="sliding 24h/15m", unit="%", better="up",
    levels="city district", decimals=2, name={"zh": "120三分钟出车率", "en": "Ambulance out within 3 min"},
    meaning={
        "zh": "24 小时内派车指令中 3 分钟内出车的比例",
        "en": "Share of the orders of 24 hours after which the ambulance left within 3 minutes",
    },
    bands={"yellow": 95, "red": 90}, source="national goal: at least 95 % by 2025", status="V", owner="health",
    feeds=(("emergency", ""),),
    examples=[
        {"in_time": 57, "orders": 60, "gives": 95.0}, {"in_time": 0, "orders": 1, "gives": 0.0},
        {"in_time": 0, "orders": 0, "gives": None},
    ],
)  # fmt: skip
def ems_turnout_3min_rate(
    in_time: Float64 = tally("emergency", where=_OUT_IN_TIME, at=row.dispatched_at, start=row.turnout_at),
    orders: Float64 = tally("emergency", where=row.kind == "ems", at=row.dispatched_at, start=_DECIDED),
) -> Float64:
    """Ambulances out within 180 s of the order over all orders, keyed to the order.

    An order counts from the turnout on, or once three minutes have passed without one: until then it may yet be in
    time. One that nobody followed counts as missed, with the clock alone.
    """
    return 100 * in_time / orders


@indicator(
    "ems_response_mean", theme="emergency", window="sliding 30d/1h", unit="min", better="down",
    levels="city district street", decimals=2, name={"zh": "急救平均反应时间", "en": "Ambulance response mean"},
    meaning={
        "zh": "30 天内急救自接警至首车到达现场的平均分钟数",
        "en": "Mean minutes from the call to the first ambulance on scene, over 30 days",
    },
    bands={"yellow": 12, "red": 15}, source="ISO 37120 10.5; Shanghai 2019: 12.4 minutes; limits are local",
    status="V+L", owner="health", feeds=(("emergency", ""),),
    examples=[{"seconds": 1440.0, "runs": 2, "gives": 12.0}, {"seconds": 0.0, "runs": 0, "gives": None}],
)  # fmt: skip
def ems_response_mean(
    seconds: Float64 = tally("emergency", _EMS_TOTAL / 1000, _EMS_CAME, at=row.arrived_at, per_unit=1000),
    runs: Float64 = tally("emergency", where=_EMS_CAME, at=row.arrived_at),
) -> Float64:
    """Mean of arrived_at - received_at over ambulance runs with both times, keyed to the arrival; sums are of ms."""
    return seconds / runs / 60


_TOLL = ((30, 100, 100_000_000), (10, 50, 50_000_000), (3, 10, 10_000_000))


def accident_grade(deaths: Expr, injured: Expr, loss: Expr) -> Expr:
    """Grade 1 (general) to 4 (especially serious) of an accident at work by order 493 of the State Council.

    The higher of the grades of its deaths, seriously injured and direct loss in yuan; "and above" includes the number.
    """
    grade = lift(1)
    for k, (d, i, y) in reversed(list(enumerate(_TOLL))):
        grade = lift(4 - k).where((deaths >= d) | (injured >= i) | (loss >= y), grade)
    return grade


@indicator(
    "accident_grade_max", theme="emergency", window="sliding 30d/1h", unit="grade 0-4", better="down",
    levels="city district", decimals=0, name={"zh": "生产安全事故最高等级", "en": "Highest accident grade"},
    meaning={
        "zh": "30 天内生产安全事故的最高等级：4 特别重大，3 重大，2 较大，1 一般，0 无",
        "en": "Highest grade of the work accidents of 30 days: 4 most serious, 3 serious, 2 larger, 1 general, 0 none",
    },
    bands={"yellow": 2, "red": 3}, source="State Council order 493: edges are inclusive", status="V",
    owner="emergency bureau", feeds=(("emergency", ""),),
    examples=[{"grade": 3, "gives": 3.0}, {"grade": float("nan"), "gives": 0.0}],
)  # fmt: skip
def accident_grade_max(
    grade: Float64 = tally(
        "emergency",
        accident_grade(row.deaths, row.serious_injured, row.loss_yuan),
        row.kind == "work_safety",
        at=row.received_at,
        reduce="max",
    ),
) -> Float64:
    """Highest grade by the newest toll of each accident reported in the window; 0 for no accident.

    The toll is what the newest word says, so deaths that are told later raise the grade of the same accident; what was
    not told counts as none. Order 493 adds deaths within 30 days, which is also how long an accident counts here.
    """
    return np.where(np.isnan(grade), 0.0, grade)


@indicator(
    "hazard_rectification_rate", theme="emergency", window="tumbling 30d", unit="%", better="up",
    levels="city district street community", decimals=2,
    name={"zh": "隐患按期整改率", "en": "Hazards fixed on time"},
    meaning={
        "zh": "当期到期的隐患中按期整改的比例",
        "en": "Share of the hazards due in the window that were rectified by their deadline",
    },
    bands={"yellow": 95, "red": 90}, source="local default", status="L", owner="emergency bureau",
    feeds=(("hazard", ""),),
    examples=[
        {"fixed": 19, "due": 20, "gives": 95.0}, {"fixed": 0, "due": 3, "gives": 0.0},
        {"fixed": 0, "due": 0, "gives": None},
    ],
)  # fmt: skip
def hazard_rectification_rate(
    fixed: Float64 = tally("hazard", where=_RECTIFIED & (row.rectified_last <= row.due_at), at=row.due_at),
    due: Float64 = tally("hazard", at=row.due_at),
) -> Float64:
    """Hazards rectified by due_at over all whose deadline has passed in the window, with the clock alone.

    It counts when it was rectified last: one that failed an inspection after that is not rectified yet.
    """
    return 100 * fixed / due


@indicator(
    "response_level_active", theme="emergency", window="instant", unit="level 0-4", better="down",
    levels="city district", decimals=0, name={"zh": "应急响应级别", "en": "Active response level"},
    meaning={
        "zh": "生效预案的最高响应级别：4 为Ⅰ级，1 为Ⅳ级，0 为无",
        "en": "Highest level of the plans in force: 4 is level I, 1 is level IV, 0 none",
    },
    bands={"yellow": 1, "red": 3}, source="four levels of national plans; Wuhan, 2024-06-27: flood level IV at 25.00 m",
    status="V", owner="emergency bureau", feeds=(("plan", ""),),
    examples=[{"level": 4, "gives": 4.0}, {"level": float("nan"), "gives": 0.0}],
)  # fmt: skip
def response_level_active(
    level: Float64 = tally("plan", row.level, _IN_FORCE, reduce="max"),
) -> Float64:
    """Largest `level` of the plans in force, as events tell it (4 = I to 1 = IV); 0 where none is.

    A plan is in force from its activation until it ends; activated or changed after its end it is in force again.
    """
    return np.where(np.isnan(level), 0.0, level)


INDICATORS: tuple[Spec | type[Indicator], ...] = (
    AmbulanceCoverage,
    fire_arrival_5min_rate,
    fire_total_response_p90,
    ems_turnout_3min_rate,
    ems_response_mean,
    accident_grade_max,
    hazard_rectification_rate,
    response_level_active,
)
