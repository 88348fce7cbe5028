"""What the simulator needs to know of a city, as arrays: datastreams, grids, stations, units, departments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int32, Int64, Strings
from citytwin.models.vocabulary import Vocabulary
from citytwin.streams.simulator.teams import AT_STATION, Crews, crews, district_of

if TYPE_CHECKING:
    from citytwin.twin.entities import Entities
    from citytwin.twin.pack import City

#: Classes of noise zones (GB 3096), as the register of devices names them.
ZONES = ("0", "1", "2", "3", "4a", "4b")
DEPARTMENTS = (
    "城市管理执法委", "城管执法总队", "公安交管局", "城乡建设局", "路灯管理局", "市政维修处", "园林和林业局",
    "供电公司", "燃气集团", "水务局", "生态环境局", "应急管理局", "卫生健康委", "民政局", "教育局", "文化和旅游局",
    "市场监管局", "交通运输局", "数据局", "住房保障局", "气象局", "消防救援支队", "地铁集团", "公交集团",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Points with codes: `code` texts, `lon`, `lat` float64 degrees, `kind` texts (empty: all alike)."""

    code: Strings
    lon: Float64
    lat: Float64
    kind: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.code)

    def of(self, *kinds: str) -> Int64:
        """Rows whose kind is one of these (int64)."""
        return np.flatnonzero(np.isin(np.array(self.kind, dtype=str), kinds)).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """Facilities that tell of themselves: places with their kind, and numbers of each (float64[n], NaN unknown)."""

    places: Places
    capacity: Float64
    area: Float64
    courts: Float64
    hours: Float64

    def of(self, *kinds: str) -> Int64:
        """Rows whose kind is one of these (int64)."""
        return self.places.of(*kinds)


@dataclass(frozen=True, slots=True, eq=False)
class Datastreams:
    """One row for each property that a device observes: rows of `devices`, index into `properties`, ms periods.

    By datastream: `free_kmh` of the road observed, `nominal` (spaces of a car park, volts, m2 of an area, m3/h of a
    pump; NaN unknown), `always` (a lamp that burns at any hour); `zone`: index into ZONES (-1 unknown).
    """

    devices: Places
    properties: tuple[str, ...]
    device: Int64
    property: Int32
    period_ms: Int64
    free_kmh: Float64
    nominal: Float64
    always: Bool
    zone: Int64

    def __len__(self) -> int:
        return len(self.device)

    def rows(self, name: str) -> Int64:
        """Datastreams of one property (int64)."""
        if name not in self.properties:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.property == self.properties.index(name)).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Town:
    """The city as the simulator sees it."""

    vocabulary: Vocabulary
    streams: Datastreams
    grids: Places
    units: Crews
    stations: Places
    sites: Sites
    organisations: Strings
    addresses: Strings
    #: The most populous grid of each district (rows of `grids`): where what belongs to a whole district is placed.
    seats: Int64
    departments: tuple[str, ...]
    centre: tuple[float, float]
    weight: Float64
    offset_ms: int = 8 * 3_600_000
    #: Local day numbers that are free though no weekend, and working though a weekend.
    off: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    on: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, city: City) -> Town:
        """The simulator's view of a loaded city pack."""
        e = city.entities
        grids = places(e, e.of_kind("grid"))
        stations = _stations(e)
        people = e.attr("population")
        weight = np.maximum(np.asarray(people, np.float64)[e.of_kind("grid")], 1.0)
        seats = _seats(grids, weight)
        middle = float(np.average(grids.lon, weights=weight)), float(np.average(grids.lat, weights=weight))
        listed = city.calendar.days.items()
        off, on = (
            np.array([np.datetime64(d, "D") for d, w in listed if w is works], "M8[D]") for works in (False, True)
        )
        return cls(
            city.vocabulary, datastreams(e), grids, _crews(stations, grids, seats), stations, sites(e),
            e.codes.take(e.of_kind("organisation")), e.codes.take(e.of_kind("address")), seats,
            DEPARTMENTS, middle, weight,
            off=off.astype(np.int64), on=on.astype(np.int64),
        )  # fmt: skip

    def works(self, day: int) -> bool:
        """Whether local day number `day` is a working day."""
        return bool(((day + 3) % 7 < 5 and not (self.off == day).any()) or (self.on == day).any())

    def draw(self, rng: np.random.Generator, n: int) -> Int64:
        """Rows of `n` grids, drawn by weight (people make incidents)."""
        edges = np.cumsum(self.weight)
        at = np.searchsorted(edges, rng.random(n) * edges[-1], "right")
        return np.asarray(np.minimum(at, len(edges) - 1), np.int64)

    def near(self, rng: np.random.Generator, grid: Int64) -> tuple[Float64, Float64]:
        """A place close to the middle of each grid: within some 60 m, so that most stay inside."""
        turn, reach = rng.uniform(0, 2 * np.pi, len(grid)), 0.0006 * np.sqrt(rng.random(len(grid)))
        return self.grids.lon[grid] + reach * np.cos(turn), self.grids.lat[grid] + reach * np.sin(turn)


def places(e: Entities, rows: Int32, kind: str = "") -> Places:
    """Entities of a kind that have a place, their kind by the code attribute of that name."""
    rows = rows[np.isfinite(e.lon[rows]) & np.isfinite(e.lat[rows])]
    coded = e.attr(kind) if kind else None
    names = tuple(v or "" for v in coded.take(rows).tolist()) if isinstance(coded, Coded) else ()
    return Places(e.codes.take(rows), e.lon[rows].copy(), e.lat[rows].copy(), names)


def datastreams(e: Entities) -> Datastreams:
    """One datastream for each property that a device in service names."""
    rows = e.of_kind("device")
    rows = rows[(np.asarray(e.attr("in_service"))[rows] != 0) & np.isfinite(e.lon[rows]) & np.isfinite(e.lat[rows])]
    said = e.attr("properties")
    named = said.take(rows) if isinstance(said, Coded) else Coded(np.full(len(rows), -1, np.int32), ())
    lists = [tuple(filter(None, re.split(r"[\s,;|+]+", text))) for text in named.names] + [()]
    properties = tuple(sorted({p for names in lists for p in names}))
    per_list = [[properties.index(p) for p in names] for names in lists]
    counts = np.array([len(v) for v in per_list], np.int64)[named.codes]
    device = np.repeat(np.arange(len(rows)), counts)
    flat = [i for code in named.codes.tolist() for i in per_list[code]]
    period = np.nan_to_num(np.asarray(e.attr("period_s"), np.float64)[rows], nan=60.0)
    road = np.asarray(e.attr("observes"))[rows]
    free = np.where(road >= 0, np.asarray(e.attr("free_flow_kmh"), np.float64)[np.maximum(road, 0)], np.nan)
    return Datastreams(
        places(e, rows, "device_kind"), properties, device.astype(np.int64), np.array(flat, np.int32),
        (np.maximum(period, 1.0) * 1000).astype(np.int64)[device], np.nan_to_num(free, nan=50.0)[device],
        _nominal(e, rows, road)[device], _schedule(e, road)[device], _zone(e, rows)[device],
    )  # fmt: skip


def _zone(e: Entities, rows: Int32) -> Int64:
    """Index into ZONES of the zone that each device stands in, -1 unknown (int64[n])."""
    zone = e.attr("zone_class")
    if not isinstance(zone, Coded):
        return np.full(len(rows), -1, np.int64)
    known = np.array([ZONES.index(name) if name in ZONES else -1 for name in zone.names] + [-1], np.int64)
    return known[zone.codes[rows]]


def _number(e: Entities, name: str) -> Float64:
    """An attribute as float64, NaN where unknown."""
    column = np.asarray(e.attr(name))
    return np.where(column == MISSING, np.nan, column) if column.dtype.kind == "i" else column.astype(np.float64)


def _nominal(e: Entities, rows: Int32, seen: Int32) -> Float64:
    """The first that is known of a device's nominal values and the size of what it observes (float64[n])."""
    out = np.full(len(rows), np.nan)
    for name in ("nominal_voltage", "nominal_flow"):
        out = np.where(np.isnan(out), _number(e, name)[rows], out)
    for name in ("capacity", "usable_area_m2"):
        size = np.where(seen >= 0, _number(e, name)[np.maximum(seen, 0)], np.nan)
        out = np.where(np.isnan(out), size, out)
    return out


def _schedule(e: Entities, seen: Int32) -> Bool:
    """Whether what each device observes must be lit at any hour (bool[n])."""
    plan = e.attr("schedule")
    if not isinstance(plan, Coded):
        return np.zeros(len(seen), np.bool_)
    always: Bool = plan.take(np.maximum(seen, 0)).equals("always") & (seen >= 0)
    return always


def sites(e: Entities) -> Sites:
    """Facilities with a place."""
    rows = e.of_kind("facility")
    rows = rows[np.isfinite(e.lon[rows]) & np.isfinite(e.lat[rows])]
    number = {n: _number(e, n)[rows] for n in ("capacity", "usable_area_m2", "courts", "open_hours")}
    return Sites(places(e, rows, "facility_kind"), *number.values())


def _seats(grids: Places, weight: Float64, most: int = 20) -> Int64:
    """The most populous grid of each of the largest districts (int64)."""
    best: dict[str, int] = {}
    for row in np.argsort(-weight, kind="stable").tolist():
        best.setdefault(district_of(grids.code[row]), row)
    return np.array(list(best.values())[:most], np.int64)


def _stations(e: Entities) -> Places:
    rows = e.of_kind("facility")
    kinds = e.attr("facility_kind")
    if isinstance(kinds, Coded):
        wanted = np.array([name in AT_STATION for name in kinds.names] + [False])
        rows = rows[wanted[kinds.codes[rows]]]
    return places(e, rows, "facility_kind")


def _crews(stations: Places, grids: Places, seats: Int64) -> Crews:
    if not len(grids):
        seats = np.zeros(0, np.int64)
    at = (stations.kind, stations.lon, stations.lat)
    return crews(at, (grids.lon[seats], grids.lat[seats]), (grids.code, grids.lon, grids.lat))
