"""The built-in vocabulary: which events a city speaks, with fields, keys, horizons and titles in both languages."""

from __future__ import annotations

from citytwin.models.city_events import CITY_TITLES, city_types
from citytwin.models.desk.alarm_events import ALARM_TITLES, alarm_types
from citytwin.models.door_events import DOOR_TITLES, door_types
from citytwin.models.properties import PROPERTIES, PROPERTY_TITLES
from citytwin.models.registers import REGISTER_TITLES, register_types
from citytwin.models.vocabulary import ALWAYS, DAY_MS, EventType, Field, Kind, Vocabulary

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
_ACTOR = (Field("actor", _CODE), Field("reason", _TEXT))
_WEEK_MS = 7 * DAY_MS

#: Fields of each case move besides `actor` and `reason`; the subject is the code of the case.
CASE_FIELDS: dict[str, tuple[Field, ...]] = {
    "reported": (Field("category", _CODE), Field("channel", _CODE), Field("component", _TEXT)),
    "accepted": (),
    "rejected": (),
    "filed": (
        Field("due_at", _TIME, required=True),
        Field("category", _CODE),
        Field("channel", _CODE),
        Field("component", _TEXT),
        Field("customers", _INTEGER, lo=0, hi=100_000_000),
    ),
    "dispatched": (Field("unit", _CODE),),
    "received": (),
    "arrived": (),
    "handled": (Field("evidence", _TEXT),),
    "returned": (Field("why", _CODE),),
    "verified": (Field("passed", _FLAG, required=True),),
    "closed": (),
    "reopened": (Field("due_at", _TIME),),
    "deferred": (Field("until", _TIME, required=True),),
    "extended": (Field("due_at", _TIME, required=True),),
    "escalated": (Field("to", _CODE),),
    "merged": (Field("into", _TEXT, required=True),),
    "voided": (),
    "evaluated": (Field("satisfied", _FLAG), Field("resolved", _FLAG)),
}

_HISTORY = (
    Field("created_at", _TIME, required=True),
    Field("closed_at", _TIME),
    Field("due_at", _TIME),
    Field("category", _CODE),
    Field("agency", _CODE),
    Field("status", _CODE),
    Field("channel", _CODE),
)


def case_types() -> list[EventType]:
    """The moves of a case and the import door for records of other systems, all of family `case`."""
    moves = [
        EventType(f"case.{name}", (*fields, *_ACTOR), family="case", horizon_ms=ALWAYS)
        for name, fields in CASE_FIELDS.items()
    ]
    return [*moves, EventType("case.history", _HISTORY, family="case", horizon_ms=ALWAYS)]


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
    types += [*register_types(), *door_types(), *alarm_types()]
    return Vocabulary().add(types).add(PROPERTIES)


_TITLES: dict[str, tuple[str, str]] = {
    "obs": ("观测", "Reading"),
    "device.status": ("设备状态", "Device status"),
    "unit.state": ("力量状态", "Unit state"),
    "vehicle.pos": ("车辆位置", "Vehicle position"),
    "bench.reading": ("基准观测", "Benchmark reading"),
    "case.reported": ("案件上报", "Case reported"),
    "case.accepted": ("案件受理", "Case accepted"),
    "case.rejected": ("案件不予受理", "Case rejected"),
    "case.filed": ("案件立案", "Case filed"),
    "case.dispatched": ("案件派遣", "Case dispatched"),
    "case.received": ("案件签收", "Case received"),
    "case.arrived": ("到达现场", "Unit on site"),
    "case.handled": ("处置完成", "Case handled"),
    "case.returned": ("案件退回", "Case returned"),
    "case.verified": ("案件核查", "Case verified"),
    "case.closed": ("案件结案", "Case closed"),
    "case.reopened": ("案件重开", "Case reopened"),
    "case.deferred": ("案件缓办", "Case deferred"),
    "case.extended": ("案件延期", "Case extended"),
    "case.escalated": ("案件升级", "Case escalated"),
    "case.merged": ("案件合并", "Case merged"),
    "case.voided": ("案件作废", "Case voided"),
    "case.evaluated": ("案件评价", "Case evaluated"),
    "case.history": ("历史案件", "Case record imported"),
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
    **{name: {"zh": zh, "en": en} for name, (zh, en) in (_TITLES | CITY_TITLES | DOOR_TITLES | ALARM_TITLES).items()},
    **REGISTER_TITLES,
    **PROPERTY_TITLES,
}
