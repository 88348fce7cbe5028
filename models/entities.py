"""The nine kinds of 四标五实: attributes, relations and names; `models.entity_rules` holds their rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from citytwin.models import entity_rules
from citytwin.models.codes import Checker
from citytwin.models.columns import Column, Strings
from citytwin.models.vocabulary import Field, Kind


@dataclass(frozen=True, slots=True)
class EntityKind:
    """One kind of entity.

    `key` names the coding of its code (`entity_rules.KEYS`); `relations` maps a column of codes to the kind it must
    point to ("" = any kind).
    """

    name: str
    zh: str
    en: str
    key: str
    fields: tuple[Field, ...]
    relations: Mapping[str, str]

    def field(self, name: str) -> Field | None:
        """The attribute of that name, None if the kind has none."""
        return next((f for f in self.fields if f.name == name), None)


def _number(name: str, unit: str, lo: float | None = None, hi: float | None = None) -> Field:
    return Field(name, Kind.NUMBER, unit, 1000, lo, hi)


def _integer(name: str, lo: float | None = 0, hi: float | None = None, unit: str = "") -> Field:
    return Field(name, Kind.INTEGER, unit, 1, lo, hi)


def _code(name: str, *choices: str, required: bool = False) -> Field:
    return Field(name, Kind.CODE, choices=choices, required=required)


def _text(name: str, max_bytes: int = 256) -> Field:
    return Field(name, Kind.TEXT, max_bytes=max_bytes)


def _flag(name: str) -> Field:
    return Field(name, Kind.FLAG)


def _time(name: str) -> Field:
    return Field(name, Kind.TIME)


#: Every kind has these.
COMMON = (_text("name"), _text("name_en"), _code("state"), _flag("synthetic"))

ADDRESS_LEVELS = (
    "province", "city", "district", "street", "community", "road", "plate", "compound", "building", "unit", "floor",
    "room",
)  # fmt: skip
FACILITY_KINDS = (
    "road", "bridge", "waste_bin", "streetlight", "underpass", "low_point", "drain_pump", "manhole", "hydrant",
    "ems_station", "fire_station", "police_station", "metro_station", "bus_stop", "parking", "park", "school",
    "hospital", "venue", "shelter", "river_section", "dma", "transformer", "gas_regulator", "signal", "elevator",
    "scenic_area", "sports_venue", "other",
)  # fmt: skip
ROAD_CLASSES = ("expressway", "arterial", "secondary", "branch")

_MAP = (
    _code("theme"), _code("edition"), _code("crs"), _integer("scale", 1), _code("source_unit"), _time("survey_date"),
    _code("geometry_type", "point", "line", "polygon", "raster"),
)  # fmt: skip
_ADDRESS = (
    _code("address_level", *ADDRESS_LEVELS, required=True),
    _text("text"),
    _text("plate_no", 64),
    _flag("primary"),
)
_BUILDING = (
    _integer("storeys", 0, 200), _number("height_m", "m", 0, 1000), _code("use"), _integer("built_year", 1000, 9999),
    _code("structure"), _code("fire_class", "1", "2", "3", "4"), _number("footprint_m2", "m2", 0, 1e7),
    _text("estate_unit", 28),
)  # fmt: skip
_GRID = (
    _code("grid_kind", "unit", "governance", "special"), _integer("population", 0, 10**7), _integer("households"),
    _number("area_m2", "m2", 0, 1e11), _text("manager", 64), _integer("workers"), _integer("power_customers"),
)  # fmt: skip
_POPULATION = (
    _integer("persons", 0, 10**7), _integer("birth_year", 1850, 9999), _code("sex", "male", "female"),
    _flag("hukou_local"), _code("category"),
)  # fmt: skip
_HOUSE = (
    _text("unit_no", 16), _integer("floor_no", -20, 200), _text("room_no", 16),
    _code("house_use", "self", "rent", "business", "vacant"), _number("area_m2", "m2", 0, 1e11),
    _integer("rooms", 0, 999), _integer("residents", 0, 9999), Field("owner_hash", Kind.SECRET, max_bytes=64),
    _flag("gas_user"), _flag("heated"), _text("estate_unit", 28),
)  # fmt: skip
_ORGANISATION = (
    _code("industry"), _code("scale_class", "micro", "small", "medium", "large"), _integer("employees"),
    _integer("licences"), _flag("major_hazard"), _code("credit_flag", "normal", "abnormal", "dishonest"),
)  # fmt: skip
_FACILITY = (
    _code("facility_kind", *FACILITY_KINDS, required=True), _code("responsible_unit"), _code("owner_unit"),
    _code("maintenance_unit"), _time("installed"), _time("checked"), _number("length_m", "m", 0, 1e7),
    _number("free_flow_kmh", "km/h", 0, 200), _code("road_class", *ROAD_CLASSES), _integer("capacity", 0, 10**7),
    _number("usable_area_m2", "m2", 0, 1e9), _code("accuracy_class", "A", "B"), _integer("courts", 0, 1000),
    _number("open_hours", "h", 0, 24), _number("catchment_m2", "m2", 0, 1e9), _number("curve_number", "", 1, 100),
    _number("storage_m3", "m3", 0, 1e9), _number("pump_m3s", "m3/s", 0, 10_000), _code("schedule", "dusk", "always"),
)  # fmt: skip
_DEVICE = (
    _code("device_kind", required=True), _code("model"), _code("vendor"), _code("firmware"),
    _number("orientation", "deg", 0, 360), _number("period_s", "s", 0, 31_622_400), _flag("in_service"),
    _flag("mandatory"), _code("role"), _code("station"), _code("properties"),
    _number("nominal_value", ""), _number("nominal_flow", "m3/h"), _number("nominal_voltage", "V"),
    _integer("phases", 1, 3),
    _number("fortify_level", ""), _number("warning_level", ""), _number("guarantee_level", ""),
    _number("alarm_level", ""), _code("zone_class", "0", "1", "2", "3", "4a", "4b"), _code("section_id"),
    _code("target_class", "I", "II", "III", "IV", "V"), _time("calibrated"), _time("calibration_due"),
)  # fmt: skip

_KINDS = (
    EntityKind("map", "标准地图", "Standard map", "map", COMMON + _MAP, {}),
    EntityKind("address", "标准地址", "Standard address", "address", COMMON + _ADDRESS,
               {"parent_address": "address", "alias_of": "address", "building": "building", "grid": "grid"}),
    EntityKind("building", "标准建筑物", "Building", "building", COMMON + _BUILDING,
               {"address": "address", "grid": "grid", "map_layer": "map"}),
    EntityKind("grid", "标准网格", "Grid", "grid", COMMON + _GRID, {"map_layer": "map"}),
    EntityKind("population", "实有人口", "Population", "population", COMMON + _POPULATION,
               {"house": "house", "works_at": "organisation", "grid": "grid"}),
    EntityKind("house", "实有房屋", "House", "house", COMMON + _HOUSE,
               {"building": "building", "address": "address", "grid": "grid"}),
    EntityKind("organisation", "实有单位", "Organisation", "organisation", COMMON + _ORGANISATION,
               {"address": "address", "house": "house", "grid": "grid"}),
    EntityKind("facility", "实有设施", "Facility", "facility", COMMON + _FACILITY,
               {"building": "building", "on_road": "facility", "owner_org": "organisation", "grid": "grid"}),
    EntityKind("device", "实有感知设备", "Device", "device", COMMON + _DEVICE,
               {"facility": "facility", "observes": "", "building": "building", "owner_org": "organisation",
                "grid": "grid"}),
)  # fmt: skip

#: The nine kinds by name, in the order of their numbers in `twin.entities`.
KINDS: dict[str, EntityKind] = {k.name: k for k in _KINDS}
#: Number of a kind as stored in columns.
KIND_NUMBER: dict[str, int] = {name: i for i, name in enumerate(KINDS)}


@cache
def all_fields() -> dict[str, Field]:
    """Every attribute of any kind by name; kinds that share a name share its storage, ValueError if they differ.

    The same dictionary each time: nobody may change it.
    """
    found: dict[str, Field] = {}
    for kind in KINDS.values():
        for item in kind.fields:
            if found.setdefault(item.name, item) != item:
                raise ValueError(f"attribute {item.name} of {kind.name} differs from that of another kind")
    return found


@cache
def all_relations() -> dict[str, str]:
    """Every relation of any kind with the kind it points to. Raises ValueError if two kinds differ.

    The same dictionary each time: nobody may change it.
    """
    found: dict[str, str] = {}
    for kind in KINDS.values():
        for name, target in kind.relations.items():
            if found.setdefault(name, target) != target:
                raise ValueError(f"relation {name} of {kind.name} points to {target}, elsewhere to {found[name]}")
    return found


def validate(
    kind: str, codes: Strings, columns: Mapping[str, Column], key: Checker | None = None
) -> list[tuple[int, str, str, str]]:
    """What breaks a rule of the kind, as (row, field, reason code, sentence), rows ascending; [] = all good.

    `columns` are attributes and relations as in a batch; absent ones are not checked unless required. `key` replaces
    the kind's own check of codes. KeyError for an unknown kind.
    """
    known, n = KINDS[kind], len(codes)
    found = list(entity_rules.check_codes(key or entity_rules.KEYS[known.key], codes))
    fields = {f.name: f for f in known.fields}
    for name in columns:
        if name not in fields and name not in known.relations:
            found += [(row, name, "unknown_field", f"a {kind} has no attribute {name}") for row in range(n)]
    for item in known.fields:
        found += entity_rules.check_field(item, columns.get(item.name), n)
    if not any(reason == "wrong_type" for _, _, reason, _ in found):
        found += entity_rules.check_rules(kind, fields, columns, n)
        found += entity_rules.check_relations(known.relations, codes, columns)
    return sorted(found, key=lambda problem: problem[0])
