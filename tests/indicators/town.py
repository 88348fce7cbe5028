"""A town of 16 grids with a device of every sort: as the engine's City, and as plain data for the oracle."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import shapely

from citytwin.geo.locate import Locator
from citytwin.geo.scopes import ScopeTree
from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Coded, Strings
from citytwin.models.entities import all_fields
from citytwin.models.events import VOCABULARY
from citytwin.models.vocabulary import Kind
from citytwin.twin.entities import Entities
from tests.indicators import recounts

FIELDS = all_fields()
WEST, SOUTH, SIDE = 114.0, 30.5, 0.05
TYPES = VOCABULARY().types
STEPS = {name: p.per_unit for name, p in VOCABULARY().properties.items()}

# code, grid number, period in seconds (None: not said), in service, other attributes
DEVICES: tuple[tuple[str, int, float | None, int | None, dict[str, Any]], ...] = (
    ("T1", 0, 300, 1, {"observes": "R1", "properties": "traffic.speed traffic.flow"}),
    ("T2", 3, 300, 1, {"observes": "R2", "properties": "traffic.speed traffic.flow"}),
    ("T3", 9, 60, 1, {"observes": "R3"}),
    ("P1", 1, 900, 1, {"properties": "water.pressure"}),
    ("P2", 12, 900, 1, {"properties": "water.pressure"}),
    ("G1", 2, 60, 1, {"properties": "gas.ch4_lel"}),
    ("G2", 2, 60, 1, {"properties": "gas.ch4_lel device.battery"}),
    ("A1", 4, 3600, 1, {"properties": "air.pm25 air.pm10 air.o3 air.co"}),
    ("A2", 5, 3600, 1, {}),
    ("A3", 14, 3600, 1, {"properties": "air.pm25"}),
    ("W1", 6, 14400, 1, {"properties": "wq.do wq.nh3n wq.tp wq.cod"}),
    ("W2", 11, 14400, 0, {"properties": "wq.do wq.nh3n"}),
    ("N1", 7, 300, 1, {"properties": "rain.depth"}),
    ("N2", 7, 300, 1, {"properties": "rain.depth"}),
    ("H1", 8, 600, 1, {"station": "hankou", "properties": "river.level"}),
    ("H2", 8, 600, 1, {"station": "other"}),
    ("L1", 10, 300, 1, {"properties": "waterlog.depth"}),
    ("L2", 10, 300, None, {"properties": "waterlog.depth"}),
    ("L3", 15, None, 1, {"properties": "waterlog.depth"}),
    ("L4", 15, 300, 1, {"properties": "waterlog.depth"}),
)
# code, grid number, attributes
FACILITIES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("R1", 0, {"facility_kind": "road", "length_m": 812.5, "free_flow_kmh": 80.0, "road_class": "expressway"}),
    ("R2", 3, {"facility_kind": "road", "length_m": 430.0, "free_flow_kmh": 60.0, "road_class": "arterial"}),
    ("R3", 9, {"facility_kind": "road", "length_m": 250.3, "free_flow_kmh": 40.0, "road_class": "branch"}),
    ("R4", 9, {"facility_kind": "road", "length_m": 99.9}),
    ("E1", 1, {"facility_kind": "ems_station", "state": "ready"}),
    ("E2", 14, {"facility_kind": "ems_station", "state": "closed"}),
)
PEOPLE = (120, 0, 333, 57, 1200, 81, 9, 640, 77, 410, 3, 250, 88, 19, 500, 1)
# source: period in seconds, patterns of what it says; "s2" and "s" of the histories are not declared, "s9" is silent
SOURCES: dict[str, tuple[float, list[str]]] = {
    "s1": (1200, ["case.*", "indicator.value", "obs", "hazard.*", "service.*"]), "s9": (60, ["citycode.use"]),
    "desk": (86_400, ["case.*"]),
}  # fmt: skip
TIMEZONE, OFFSET_MS = "Asia/Shanghai", 8 * 3_600_000


@dataclass
class World:
    """What the oracle knows of the town: plain lists and dictionaries."""

    parent: list[int]
    level: list[int]
    row: dict[str, int]
    grids: list[int]
    unlocated: list[int]
    entities: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, tuple[float, list[str]]] = field(default_factory=dict)

    def path(self, row: int) -> list[int]:
        """The row and all above it."""
        out = []
        while row >= 0:
            out.append(row)
            row = self.parent[row]
        return out

    def locate(self, lon: float, lat: float) -> int:
        """Grid row of a place inside a square, -1 elsewhere; the tests send no place on a border."""
        x, y = (lon - WEST) // SIDE, (lat - SOUTH) // SIDE
        return self.grids[int(4 * y + x)] if 0 <= x < 4 and 0 <= y < 4 else -1


def centre(grid: int) -> tuple[float, float]:
    """Middle of a grid's square."""
    return WEST + (grid % 4 + 0.5) * SIDE, SOUTH + (grid // 4 + 0.5) * SIDE


def tree() -> tuple[ScopeTree, list[int]]:
    """Two districts of two streets of two communities of two grids, with all unlocated rows."""
    scopes = ScopeTree()
    city = scopes.add("C", "city", -1)
    grids = []
    for d in range(2):
        district = scopes.add(f"C{d}", f"district {d}", city)
        for s in range(2):
            street = scopes.add(f"C{d}{s}", f"street {s}", district)
            for c in range(2):
                community = scopes.add(f"C{d}{s}{c}", f"community {c}", street)
                grids += [scopes.add(f"C{d}{s}{c}{g}", f"grid {g}", community) for g in range(2)]
    scopes.complete()
    return scopes, grids


def _register(entities: Entities, kind: str, code: str, row: int, grid: int, attrs: dict[str, Any]) -> None:
    columns: dict[str, Any] = {}
    for name, value in attrs.items():
        stored = FIELDS[name].kind if name in FIELDS else Kind.TEXT
        if stored is Kind.TEXT:  # relations are codes of entities
            columns[name] = Strings.of([value])
        elif stored is Kind.CODE:
            columns[name] = Coded.of([value])
        else:
            form = {Kind.FLAG: np.int8, Kind.NUMBER: np.float64}.get(stored, np.int64)
            columns[name] = np.array([value], form)
    lon, lat = centre(grid)
    entities.upsert(
        kind, Strings.of([code]), np.array([row], np.int32), np.array([lon]), np.array([lat]), columns,
        np.zeros(1, np.int64),
    )  # fmt: skip


def town() -> tuple[Any, World]:
    """The town as a City for the engine, and as a World; both one's own, for an engine changes them."""
    shared, scopes, entities, world = _built()
    city = SimpleNamespace(
        **shared, scopes=deepcopy(scopes), entities=Entities.from_state(entities), vocabulary=VOCABULARY(), problems=[],
        sources=[SimpleNamespace(id=i, period_s=p, types=t) for i, (p, t) in SOURCES.items()],
    )  # fmt: skip
    return city, deepcopy(world)


@cache
def _built() -> tuple[dict[str, Any], ScopeTree, dict[str, Any], World]:
    """Once: what nobody changes, and what is copied: the scopes, the state of the registers, the world."""
    scopes, grids = tree()
    entities = Entities()
    world = World(
        scopes.parent.tolist(), scopes.level.tolist(), {scopes.code[i]: i for i in range(len(scopes))}, grids,
        [scopes.unlocated_child(i) for i in range(len(scopes))], sources=SOURCES,
    )  # fmt: skip

    def put(kind: str, code: str, grid: int, attrs: dict[str, Any]) -> None:
        said = {k: v for k, v in attrs.items() if v is not None}
        _register(entities, kind, code, grids[grid], grid, said)
        world.entities[code] = {"kind": kind, "scope": grids[grid], "lonlat": centre(grid), **said}

    for code, at, attrs in (*FACILITIES, *(f for found in recounts.of("FACILITIES", ()) for f in found)):
        put("facility", code, at, attrs)
    for code, at, period, in_service, attrs in (*DEVICES, *(d for found in recounts.of("DEVICES", ()) for d in found)):
        put("device", code, at, {"period_s": period, "in_service": in_service, **attrs})
    for kind, code, at, attrs in (e for found in recounts.of("ENTITIES", ()) for e in found):
        put(kind, code, at, attrs)
    for i, people in enumerate(PEOPLE):
        put("grid", scopes.code[grids[i]], i, {"population": people, "power_customers": people // 3})
    boxes = [shapely.box(x - SIDE / 2, y - SIDE / 2, x + SIDE / 2, y + SIDE / 2) for x, y in map(centre, range(16))]
    shared = {
        "timezone": TIMEZONE, "name": "town", "locator": Locator(boxes, np.array(grids, np.int32), pixels=32),
        "box": (113.9, 30.4, 114.3, 30.8), "edition": "1", "calendar": None, "title": {"en": "Town", "zh": "镇"},
    }  # fmt: skip
    return shared, scopes, entities.state(), world


def batches(events: list[dict[str, Any]]) -> list[EventBatch]:
    """Raw events as one batch per type, in order of first appearance."""
    types = TYPES
    out = []
    for name in dict.fromkeys(e["type"] for e in events):
        rows = [e for e in events if e["type"] == name]
        fields: dict[str, Any] = {}
        for f in types[name].fields:
            given = [e.get(f.name) for e in rows]
            if all(v is None for v in given):
                continue
            if f.kind is Kind.CODE:
                fields[f.name] = Coded.of(given)
            elif f.kind in (Kind.TEXT, Kind.SECRET):
                fields[f.name] = Strings.of([v or "" for v in given])
            elif f.kind is Kind.FLAG:
                fields[f.name] = np.array([-1 if v is None else int(v) for v in given], np.int8)
            else:
                scale = [STEPS[e["property"]] if name == "obs" and f.name == "value" else f.per_unit for e in rows]
                fields[f.name] = np.array(
                    [MISSING if v is None else round(v * s) for v, s in zip(given, scale, strict=True)], np.int64
                )
        out.append(
            EventBatch.of(
                name, [e["time"] for e in rows], [e["id"] for e in rows], [e["source"] for e in rows],
                [e["subject"] for e in rows], [e.get("lon", np.nan) for e in rows],
                [e.get("lat", np.nan) for e in rows],
                [e.get("scope", "") for e in rows], [e.get("corrects", "") for e in rows],
                [e.get("revision", 0) for e in rows], [e.get("retracted", False) for e in rows], fields,
            )
        )  # fmt: skip
    return out
