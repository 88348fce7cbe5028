"""Events that change the registers of the nine kinds: one type per kind and operation."""

from __future__ import annotations

from citytwin.models.vocabulary import ALWAYS, EventType, Field, Kind

_CODE, _NUMBER, _INTEGER, _TEXT, _TIME, _FLAG = (
    Kind.CODE,
    Kind.NUMBER,
    Kind.INTEGER,
    Kind.TEXT,
    Kind.TIME,
    Kind.FLAG,
)
_NAME = Field("name", _TEXT)
_STATE = Field("state", _CODE)

#: Attributes that an event of each kind may set; the subject is the entity's code, the place is in the envelope.
ATTRIBUTES: dict[str, tuple[Field, ...]] = {
    "map": (_NAME, Field("edition", _CODE), Field("crs", _CODE), Field("scale", _INTEGER, lo=1)),
    "address": (_NAME, _STATE, Field("parent", _CODE), Field("level", _CODE)),
    "building": (
        _NAME,
        _STATE,
        Field("storeys", _INTEGER, lo=0, hi=300),
        Field("height", _NUMBER, "m", 10, 0, 1500),
        Field("use", _CODE),
        Field("year", _INTEGER, lo=1000, hi=2200),
    ),
    "grid": (_NAME, _STATE, Field("manager", _CODE), Field("population", _INTEGER, lo=0, hi=10_000_000)),
    "person": (
        _STATE,
        Field("house", _CODE),
        Field("birth_year", _INTEGER, lo=1850, hi=2200),
        Field("sex", _CODE),
        Field("local", _FLAG),
        Field("category", _CODE),
    ),
    "house": (_NAME, _STATE, Field("building", _CODE), Field("use", _CODE), Field("area", _NUMBER, "m2", 10, 0, 1e6)),
    "org": (_NAME, _STATE, Field("industry", _CODE), Field("house", _CODE), Field("major_hazard", _FLAG)),
    "facility": (
        _NAME,
        _STATE,
        Field("class", _CODE),
        Field("road_class", _CODE, choices=("expressway", "arterial", "secondary", "branch")),
        Field("length_m", _NUMBER, "m", 10, 0, 1e6),
        Field("free_flow_kmh", _NUMBER, "km/h", 10, 1, 200),
    ),
    "device": (
        _NAME,
        _STATE,
        Field("class", _CODE),
        Field("role", _CODE),
        Field("facility", _CODE),
        Field("period_s", _NUMBER, "s", 1, 0.5, 31_622_400),
        Field("calibration_due", _TIME),
    ),
}

# kind: the words for "appeared", "changed", "went away"
_WORDS: dict[str, tuple[str, str, str]] = {
    "map": ("published", "changed", "superseded"),
    "address": ("named", "changed", "voided"),
    "building": ("completed", "changed", "demolished"),
    "grid": ("created", "changed", "voided"),
    "person": ("moved_in", "changed", "moved_out"),
    "house": ("registered", "changed", "demolished"),
    "org": ("registered", "changed", "cancelled"),
    "facility": ("installed", "changed", "removed"),
    "device": ("registered", "changed", "removed"),
}

OPERATIONS = ("add", "change", "remove")

_KIND_TITLES: dict[str, tuple[str, str]] = {
    "map": ("标准地图", "Map"),
    "address": ("标准地址", "Address"),
    "building": ("建筑物", "Building"),
    "grid": ("网格", "Grid"),
    "person": ("实有人口", "Person"),
    "house": ("实有房屋", "House"),
    "org": ("实有单位", "Organisation"),
    "facility": ("基础设施", "Facility"),
    "device": ("感知设备", "Device"),
}
_OPERATION_ZH = ("登记", "变更", "注销")


def register_types() -> list[EventType]:
    """One event type per kind and operation, with `register=(kind, operation)`, kept for ever."""
    return [
        EventType(
            f"{kind}.{word}",
            ATTRIBUTES[kind] if op != "remove" else (Field("why", _CODE),),
            horizon_ms=ALWAYS,
            register=(kind, op),
        )
        for kind, words in _WORDS.items()
        for word, op in zip(words, OPERATIONS, strict=True)
    ]


#: Title of each register event in both languages.
REGISTER_TITLES: dict[str, dict[str, str]] = {
    f"{kind}.{word}": {
        "zh": _KIND_TITLES[kind][0] + zh,
        "en": f"{_KIND_TITLES[kind][1]} {word.replace('_', ' ')}",
    }
    for kind, words in _WORDS.items()
    for word, zh in zip(words, _OPERATION_ZH, strict=True)
}
