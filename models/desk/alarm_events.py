"""Event types of alarms and of public early warnings, with titles in both languages.

The subject of an `alarm.*` event is the code of the alarm, `<rule>@<scope or entity>`; that of a `warning.*` event is
the code of the warning. There is no event for silence: a client that stops its sound changes nothing for anybody else,
and acknowledges nothing.
"""

from __future__ import annotations

from citytwin.models.door_events import CAP_CATEGORY, CAP_CERTAINTY, CAP_RESPONSE, CAP_URGENCY
from citytwin.models.vocabulary import DAY_MS, EventType, Field, Kind

_CODE, _NUMBER, _INTEGER, _TIME, _TEXT, _FLAG = (
    Kind.CODE,
    Kind.NUMBER,
    Kind.INTEGER,
    Kind.TIME,
    Kind.TEXT,
    Kind.FLAG,
)
_ACTOR = (Field("actor", _CODE), Field("reason", _TEXT))
#: The revision that a command knows; an older one is refused.
_REV = Field("rev", _INTEGER, lo=0)
_MONTH_MS = 35 * DAY_MS
#: Largest count that one word on the health of alarms may tell.
_MANY = 10**9
#: Family of what is said of single alarms. Calls for help (`alarm.sos`, `alarm.contacted`) are another one.
FAMILY = "alarms"
#: Colours of a public early warning, from level I to IV (Emergency Response Law of China).
COLOURS = ("red", "orange", "yellow", "blue")
#: Fields of a public warning that hold words of CAP 1.2 with blanks between them.
WARNING_WORDS: dict[str, tuple[str, ...]] = {"category": CAP_CATEGORY, "response": CAP_RESPONSE}
#: The role under which a command was given: the door writes it down, for accounts are not in the log.
_UNDER = Field("under", _CODE)
_LONG = 4096
#: Fields of `warning.issued` besides `actor` and `reason`: texts are Chinese, English by the names with `_en`.
WARNING_FIELDS: tuple[Field, ...] = (
    Field("colour", _CODE, choices=COLOURS, required=True),
    Field("headline", _TEXT, required=True),
    Field("headline_en", _TEXT),
    Field("event", _TEXT),
    Field("event_en", _TEXT),
    Field("text", _TEXT, max_bytes=_LONG),
    Field("text_en", _TEXT, max_bytes=_LONG),
    Field("instruction", _TEXT, max_bytes=_LONG),
    Field("instruction_en", _TEXT, max_bytes=_LONG),
    Field("category", _CODE),
    Field("response", _CODE),
    Field("urgency", _CODE, choices=CAP_URGENCY),
    Field("certainty", _CODE, choices=CAP_CERTAINTY),
    Field("expires", _TIME),
    Field("run", _TEXT),  # code of the run of a plan whose draft it was
    _REV,
    _UNDER,
)

#: Fields of each `alarm.*` type besides `actor` and `reason`.
ALARM_FIELDS: dict[str, tuple[Field, ...]] = {
    "raised": (
        Field("rule", _CODE),
        Field("priority", _INTEGER, lo=1, hi=4, required=True),
        Field("value", _NUMBER, per_unit=1000),
        Field("unit", _CODE),
        Field("text_zh", _TEXT),
        Field("text_en", _TEXT),
        Field("level_of_event", _INTEGER, lo=0, hi=4),
        Field("evidence", _TEXT, max_bytes=16_384),
        Field("group", _TEXT),
        Field("notice", _FLAG),
        Field("case", _TEXT),  # the case that it is about, where one is open already
    ),
    "cleared": (Field("value", _NUMBER, per_unit=1000),),
    "acknowledged": (Field("occurrence", _INTEGER, lo=1, required=True), _REV),
    "shelved": (Field("until", _TIME, required=True), _REV),
    "unshelved": (_REV,),
    "suppressed": (Field("by", _TEXT, required=True), _REV),
    "unsuppressed": (_REV,),
    "out_of_service": (_REV,),
    "in_service": (_REV,),
    "escalated": (Field("to", _CODE, required=True), _REV),
}

#: What the desk says every ten minutes about the health of its alarms: see models.desk.alarmhealth.
HEALTH_FIELDS: tuple[Field, ...] = (
    Field("operators", _INTEGER, lo=1, hi=10_000, required=True),
    Field("recent", _INTEGER, lo=0, hi=_MANY, required=True),
    Field("day", _INTEGER, lo=0, hi=_MANY, required=True),
    Field("flood", _INTEGER, lo=0, hi=_MANY, required=True),
    Field("top", _INTEGER, lo=0, hi=_MANY, required=True),
    Field("chattering", _INTEGER, lo=0, hi=_MANY, required=True),
    Field("stale", _INTEGER, lo=0, hi=_MANY, required=True),
)


def alarm_types() -> list[EventType]:
    """What is said of alarms, of their health, and public early warnings."""
    alarms = [
        EventType(f"alarm.{name}", (*fields, *_ACTOR), family=FAMILY, horizon_ms=_MONTH_MS)
        for name, fields in ALARM_FIELDS.items()
    ]
    return [
        *alarms,
        EventType("alarm.health", HEALTH_FIELDS, key=("subject",), horizon_ms=_MONTH_MS),
        EventType("warning.issued", (*WARNING_FIELDS, *_ACTOR), family="warning", horizon_ms=_MONTH_MS),
        EventType("warning.ended", (_REV, _UNDER, *_ACTOR), family="warning", horizon_ms=_MONTH_MS),
    ]


ALARM_TITLES: dict[str, tuple[str, str]] = {
    "alarm.raised": ("告警发生", "Alarm raised"),
    "alarm.cleared": ("告警恢复", "Alarm cleared"),
    "alarm.acknowledged": ("告警确认", "Alarm acknowledged"),
    "alarm.shelved": ("告警搁置", "Alarm shelved"),
    "alarm.unshelved": ("告警解除搁置", "Alarm unshelved"),
    "alarm.suppressed": ("告警设计抑制", "Alarm suppressed by design"),
    "alarm.unsuppressed": ("告警解除抑制", "Alarm suppression ended"),
    "alarm.out_of_service": ("告警停用", "Alarm out of service"),
    "alarm.in_service": ("告警恢复启用", "Alarm back in service"),
    "alarm.escalated": ("告警升级", "Alarm escalated"),
    "alarm.health": ("告警健康度", "Alarm health"),
    "warning.issued": ("发布公共预警", "Public early warning issued"),
    "warning.ended": ("解除公共预警", "Public early warning ended"),
}
