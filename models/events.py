"""The built-in vocabulary: which events a city speaks, with fields, keys, horizons and titles in both languages."""

from __future__ import annotations

from citytwin.models.case_events import CASE_TITLES, case_types
from citytwin.models.city_events import CITY_TITLES, city_types
from citytwin.models.desk.alarm_events import ALARM_TITLES, alarm_types
from citytwin.models.desk.plan_events import PLAN_TITLES, plan_types
from citytwin.models.door_events import DOOR_TITLES, door_types
from citytwin.models.properties import PROPERTIES, PROPERTY_TITLES
from citytwin.models.registers import REGISTER_TITLES, register_types
from citytwin.models.vocabulary import DAY_MS, EventType, Field, Kind, Vocabulary

#: How far a reading can be trusted; one without the flag is taken as good.
QUALITIES = ("good", "suspect", "bad")

_CODE, _NUMBER, _INTEGER, _TIME, _TEXT, _FLAG = (
    Kind.CODE,
    Kind.NUMBER,
    Kind.INTEGER,
    Kind.TIME,
    Kind.TEXT,
    Kind.FLAG,
)
_QUALITY = Field("quality", _CODE, choices=QUALITIES, default="good")
_WEEK_MS = 7 * DAY_MS


def reading_types() -> list[EventType]:
    """Readings of sensors, states of devices and units, places of vehicles."""
    # steps of `obs.value` are those of its property, see models.properties
    value = Field("value", _NUMBER, required=True)
    state = Field("state", _CODE, required=True, choices=("online", "offline", "fault", "maintenance"))
    diagnosis = Field("diagnosis", _CODE, choices=("ok", "blurred", "blocked", "dark", "moved", "frozen"))
    unit_state = Field("state", _CODE, required=True, choices=("ready", "busy", "off"))
    kinds = ("traffic", "air", "noise", "water", "light", "bin")
    return [
        EventType(
            "obs",
            (Field("property", _CODE, required=True), value, _QUALITY, Field("unit", _CODE)),
            key=("subject", "property"),
            subject="",
        ),
        EventType("device.status", (state, diagnosis), key=("subject",), horizon_ms=_WEEK_MS, subject="device"),
        EventType(
            "unit.state",
            (
                unit_state,
                Field("kind", _CODE),
                Field("name", _TEXT),
                Field("skills", _CODE),  # words with blanks between them
                Field("capacity", _INTEGER, lo=0, hi=1_000),
                Field("home", _CODE),  # a scope
                Field("shift_until", _TIME),
            ),
            key=("subject",),
        ),
        EventType(
            "vehicle.pos",
            (
                Field("speed", _NUMBER, "km/h", 10, 0, 300),
                Field("heading", _NUMBER, "deg", 1, 0, 360),
                Field("kind", _CODE),
                Field("home", _CODE),
                Field("on_duty", _FLAG),
            ),
            key=("subject",),
        ),
        EventType(
            "bench.reading",
            (
                Field("kind", _CODE, required=True, choices=kinds),
                Field("v1", _NUMBER, per_unit=100, lo=-1e6, hi=1e6, required=True),
                Field("v2", _NUMBER, per_unit=100, lo=-1e6, hi=1e6),
                Field("q", _CODE, choices=QUALITIES, default="good"),
            ),
            key=("subject",),
            subject="",
        ),
    ]


def service_types() -> list[EventType]:
    """Hotline calls, city-code use, data deliveries."""
    caller = Field("caller", Kind.SECRET)
    wait = Field("wait_s", _NUMBER, "s", 1000, 0, 86_400, required=True)
    calls = {
        "offered": (caller, Field("line", _CODE)),
        "answered": (caller, wait, Field("line", _CODE)),
        "abandoned": (caller, wait, Field("line", _CODE)),
        "closed": (caller, Field("case", _TEXT), Field("satisfied", _FLAG)),
    }
    return [
        *(EventType(f"call.{name}", fields, family="call", horizon_ms=_WEEK_MS) for name, fields in calls.items()),
        EventType(
            "citycode.use", (Field("user", Kind.SECRET, required=True), Field("service", _CODE)), horizon_ms=2 * DAY_MS
        ),
        EventType(
            "data.batch",
            (
                Field("dataset", _CODE, required=True),
                Field("dept", _CODE),
                Field("due_at", _TIME, required=True),
                Field("received_at", _TIME),
                Field("rows", _INTEGER, lo=0),
                Field("bad_rows", _INTEGER, lo=0),
            ),
            key=("subject",),
            horizon_ms=35 * DAY_MS,
        ),
    ]


def platform_types() -> list[EventType]:
    """What the shell measures of the platform itself and logs as events, so that a replay reads it again."""
    return [
        EventType(
            "indicator.value",
            (Field("event_ts", _TIME, required=True), Field("published_ts", _TIME, required=True)),
        ),
        EventType(
            "platform.lag",
            (Field("partition", _CODE), Field("records", _INTEGER, lo=0), Field("lag_ms", _INTEGER, "ms", lo=0)),
            key=("subject", "partition"),
        ),
        EventType(
            "platform.intake",
            (
                Field("events", _INTEGER, lo=0, required=True),
                Field("late", _INTEGER, lo=0, required=True),
                Field("duplicates", _INTEGER, lo=0, required=True),
            ),
        ),
        EventType("ws.push", (Field("queued_ts", _TIME, required=True), Field("sent_ts", _TIME, required=True))),
    ]


def VOCABULARY() -> Vocabulary:
    """The built-in vocabulary, made anew at each call so that a pack may add to its own.

    >>> VOCABULARY().types["case.filed"].field("due_at").required
    True
    """
    types = [*reading_types(), *case_types(), *service_types(), *city_types(), *platform_types()]
    types += [*register_types(), *door_types(), *alarm_types(), *plan_types()]
    return Vocabulary().add(types).add(PROPERTIES)


_TITLES: dict[str, tuple[str, str]] = {
    "obs": ("观测", "Reading"),
    "device.status": ("设备状态", "Device status"),
    "unit.state": ("力量状态", "Unit state"),
    "vehicle.pos": ("车辆位置", "Vehicle position"),
    "bench.reading": ("基准观测", "Benchmark reading"),
    "call.offered": ("热线呼入", "Call offered"),
    "call.answered": ("热线接通", "Call answered"),
    "call.abandoned": ("热线放弃", "Call abandoned"),
    "call.closed": ("热线办结", "Call closed"),
    "citycode.use": ("市民码使用", "City code used"),
    "data.batch": ("数据汇聚批次", "Data delivery"),
    "indicator.value": ("指标发布", "Indicator published"),
    "platform.lag": ("平台滞后", "Platform lag"),
    "platform.intake": ("平台接入", "Platform intake"),
    "ws.push": ("大屏推送", "Dashboard push"),
}

#: Title of each event type and observed property in both languages, for the ticker and the legends.
TITLES: dict[str, dict[str, str]] = {
    **{
        name: {"zh": zh, "en": en}
        for name, (zh, en) in (_TITLES | CASE_TITLES | CITY_TITLES | DOOR_TITLES | ALARM_TITLES | PLAN_TITLES).items()
    },
    **REGISTER_TITLES,
    **PROPERTY_TITLES,
}
