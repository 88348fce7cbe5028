"""Events of city services beyond readings, cases and calls: emergencies, hazards, schools, permits, data, credit.

A folded family is told move by move (`hazard.found`, `hazard.rectified`) and read as one row per subject.
"""

from __future__ import annotations

from citytwin.models.vocabulary import ALWAYS, DAY_MS, EventType, Field, Kind

_CODE, _NUMBER, _INTEGER, _TIME, _TEXT, _FLAG = (
    Kind.CODE,
    Kind.NUMBER,
    Kind.INTEGER,
    Kind.TIME,
    Kind.TEXT,
    Kind.FLAG,
)
_MONTH_MS = 35 * DAY_MS
#: Most people, beds or pupils that one event may tell of.
_MANY = 1_000_000


def _folded(family: str, moves: dict[str, tuple[Field, ...]]) -> list[EventType]:
    """Types of a family that is read as one row per subject; kept always, as a row may be about any time."""
    return [
        EventType(f"{family}.{name}", fields, family=family, horizon_ms=ALWAYS, folded=True)
        for name, fields in moves.items()
    ]


def emergency_types() -> list[EventType]:
    """Runs of fire brigade and ambulances, accidents at work, hazards, plans in force, calls for help of the old."""
    run = (Field("kind", _CODE), Field("unit", _CODE), Field("severity", _INTEGER, lo=1, hi=4))
    toll = (
        Field("deaths", _INTEGER, lo=0, hi=_MANY),
        Field("serious_injured", _INTEGER, lo=0, hi=_MANY),
        Field("loss_yuan", _INTEGER, "yuan", lo=0, hi=10**12),
    )
    level = Field("level", _INTEGER, lo=1, hi=4, required=True)
    said = (Field("actor", _CODE), Field("reason", _TEXT), Field("rev", _INTEGER, lo=0))
    runs = ("received", "dispatched", "turnout", "arrived", "controlled", "closed")
    sos = (Field("person", Kind.SECRET),)
    return [
        *_folded("emergency", {name: (*run, *toll) if name in ("received", "closed") else run for name in runs}),
        *_folded(
            "hazard",
            {
                "found": (Field("due_at", _TIME, required=True), Field("grade", _CODE, choices=("general", "major"))),
                "inspected": (Field("passed", _FLAG),),
                "rectified": (),
            },
        ),
        *_folded("plan", {"activated": (Field("plan", _CODE), level), "changed": (level,), "ended": said}),
        *_folded("alarm", {"sos": sos, "contacted": sos}),
    ]


def office_types() -> list[EventType]:
    """Applications, inspections, items, applications of the office, services of the city code."""
    state = Field("state", _CODE, required=True, choices=("online", "offline", "draft"))
    live = Field("state", _CODE, required=True, choices=("live", "testing", "retired"))
    return [
        *_folded(
            "service",
            {
                "apply": (
                    Field("item", _CODE),
                    Field("due_at", _TIME, required=True),
                    Field("licences_needed", _INTEGER, lo=0, hi=100),
                    Field("licences_reused", _INTEGER, lo=0, hi=100),
                ),
                "done": (Field("result", _CODE, choices=("granted", "refused", "withdrawn")),),
            },
        ),
        *_folded(
            "inspection",
            {
                "planned": (Field("due_at", _TIME, required=True), Field("plan", _CODE)),
                "done": (Field("result", _CODE, choices=("passed", "failed")),),
            },
        ),
        EventType("service.item", (state, Field("full_online", _FLAG)), key=("subject",), horizon_ms=ALWAYS),
        EventType("office.app", (live,), key=("subject",), horizon_ms=ALWAYS),
        EventType("citycode.service", (live,), key=("subject",), horizon_ms=ALWAYS),
    ]


def social_types() -> list[EventType]:
    """Trips of buses, beds, pupils, visitors, bookings, the heating season."""
    people = Field("present", _INTEGER, lo=0, hi=_MANY, required=True)
    return [
        EventType(
            "transit.trip",
            (
                Field("route", _CODE),
                Field("sched_dep", _TIME, required=True),
                Field("actual_dep", _TIME),
                Field("cancelled", _FLAG),
            ),
            key=("subject",), horizon_ms=3 * DAY_MS, future_ms=DAY_MS,
        ),
        EventType(
            "bed.change",
            (
                Field("occupied", _INTEGER, lo=0, hi=_MANY, required=True),
                Field("open", _INTEGER, lo=0, hi=_MANY, required=True),
            ),
            key=("subject",), horizon_ms=_MONTH_MS,
        ),
        EventType(
            "school.attendance",
            (people, Field("enrolled", _INTEGER, lo=0, hi=_MANY, required=True)),
            key=("subject",), horizon_ms=_MONTH_MS,
        ),
        EventType(
            "venue.gate",
            (
                Field("entered", _INTEGER, lo=0, hi=10 * _MANY, required=True),
                Field("left", _INTEGER, lo=0, hi=10 * _MANY, required=True),
            ),
            key=("subject",),
        ),
        EventType(
            "venue.booking",
            (
                Field("court", _CODE),
                Field("venue", _CODE),
                Field("start", _TIME, required=True),
                Field("end", _TIME, required=True),
                Field("cancelled", _FLAG),
            ),
            key=("subject",), horizon_ms=_MONTH_MS,
        ),
        EventType("heating.season", (Field("on", _FLAG, required=True),), key=("subject",), horizon_ms=ALWAYS),
    ]  # fmt: skip


def data_types() -> list[EventType]:
    """Exchanges, the catalogue of data, records that came in, credit records."""
    return [
        EventType(
            "data.exchange",
            (Field("due_at", _TIME, required=True), Field("done_at", _TIME), Field("ok", _FLAG)),
            key=("subject",), horizon_ms=_MONTH_MS,
        ),
        *_folded("catalogue", {"entry": (Field("must_link", _FLAG, required=True),), "linked": (), "unlinked": ()}),
        EventType(
            "record.ingested",
            (
                Field("dataset", _CODE),
                Field("address_text", _TEXT),
                Field("address_id", _TEXT, max_bytes=64),
                Field("uscc", _TEXT, max_bytes=64),
            ),
            horizon_ms=2 * DAY_MS,
        ),
        EventType(
            "credit.record",
            (
                Field("kind", _CODE, choices=("permission", "penalty")),
                Field("decided_at", _TIME, required=True),
                Field("due_at", _TIME, required=True),
                Field("reported_at", _TIME),
            ),
            key=("subject",), horizon_ms=3 * _MONTH_MS,
        ),
    ]  # fmt: skip


def city_types() -> list[EventType]:
    """All of these."""
    return [*emergency_types(), *office_types(), *social_types(), *data_types()]


#: Titles of the types in Chinese and English.
CITY_TITLES: dict[str, tuple[str, str]] = {
    "emergency.received": ("紧急接警", "Emergency received"),
    "emergency.dispatched": ("紧急派警", "Emergency dispatched"),
    "emergency.turnout": ("紧急出动", "Emergency turnout"),
    "emergency.arrived": ("紧急到场", "Emergency arrival"),
    "emergency.controlled": ("紧急控制", "Emergency controlled"),
    "emergency.closed": ("紧急结束", "Emergency closed"),
    "hazard.found": ("发现隐患", "Hazard found"),
    "hazard.inspected": ("隐患复查", "Hazard inspected"),
    "hazard.rectified": ("隐患整改", "Hazard rectified"),
    "plan.activated": ("启动预案", "Plan activated"),
    "plan.changed": ("调整响应级别", "Plan level changed"),
    "plan.ended": ("终止响应", "Plan ended"),
    "alarm.sos": ("老人呼叫", "Call for help"),
    "alarm.contacted": ("呼叫已回应", "Caller contacted"),
    "service.apply": ("政务申请", "Application"),
    "service.done": ("政务办结", "Application done"),
    "service.item": ("政务事项", "Service item"),
    "inspection.planned": ("计划抽查", "Inspection planned"),
    "inspection.done": ("完成抽查", "Inspection done"),
    "office.app": ("办公应用", "Office application"),
    "citycode.service": ("一码服务", "City-code service"),
    "transit.trip": ("公交班次", "Bus trip"),
    "bed.change": ("床位变化", "Hospital beds"),
    "school.attendance": ("学校到课", "School attendance"),
    "venue.gate": ("场馆闸机", "Venue gate"),
    "venue.booking": ("场馆预订", "Venue booking"),
    "heating.season": ("供热季", "Heating season"),
    "data.exchange": ("数据交换", "Data exchange"),
    "catalogue.entry": ("目录条目", "Catalogue entry"),
    "catalogue.linked": ("目录挂接", "Catalogue linked"),
    "catalogue.unlinked": ("目录脱挂", "Catalogue unlinked"),
    "record.ingested": ("数据入库", "Record ingested"),
    "credit.record": ("信用公示", "Credit record"),
}
