"""Source files of the `wuhan` pack as they came, turned to CGCS2000."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from citytwin.geo.crs import gcj02_to_wgs84
from citytwin.models.columns import Float64

#: Steps of the lattice per degree, all made geometry lies on it: 1e-5 degree is about a metre.
STEPS = 100_000
#: Width of a step over its height at 30.6 degrees north.
ASPECT = 0.8607
#: Kilometres per step, south to north.
KM = 1.1085e-3


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Districts by code (GCJ-02 as read and on the lattice), the code tables, and the metro."""

    districts: Mapping[str, str]
    streets: Mapping[str, str]
    communities: Mapping[str, str]
    english: Mapping[str, str]
    raw_borders: Mapping[str, BaseGeometry]
    borders: Mapping[str, BaseGeometry]
    stations: Mapping[int, tuple[str, float, float]]
    lines: tuple[tuple[str, str, tuple[int, ...]], ...]
    air: Mapping[str, tuple[str, float, float]]


def turn(points: Float64) -> Float64:
    """GCJ-02 to CGCS2000 degrees (float64[n, 2])."""
    return np.column_stack(gcj02_to_wgs84(points[:, 0], points[:, 1]))


def read_sources(folder: Path, only: Sequence[str] = ()) -> Sources:
    """Read all tables below `folder`; `only` leaves nothing but the districts of these codes."""

    def wanted(table: dict[str, Any]) -> dict[str, Any]:
        return {code: value for code, value in table.items() if not only or code[:6] in only}

    raw = {}
    for feature in json.loads((folder / "districts_gcj02.geojson").read_text("utf-8"))["features"]:
        # Every district touches itself; buffer(0) mends that without moving area.
        raw[str(feature["id"])] = shapely.buffer(shapely.from_geojson(json.dumps(feature["geometry"])), 0)
    raw = dict(sorted(raw.items()))
    metro = json.loads((folder / "metro_gcj02.json").read_text("utf-8"))
    at = turn(np.array([[float(s["lng"]), float(s["lat"])] for s in metro["stationList"]]))
    stations = {
        int(s["id"]): (str(s["name"]), float(p[0]), float(p[1])) for s, p in zip(metro["stationList"], at, strict=True)
    }
    return Sources(
        wanted(_table(folder / "districts.csv")), wanted(_table(folder / "streets.csv")),
        wanted(_table(folder / "communities.csv")),
        _table(folder / "names_en.csv", "name_en"), raw,
        {code: shapely.transform(shape, lambda p: turn(p) * STEPS) for code, shape in wanted(raw).items()},
        stations, tuple((ln["name"], ln["color"], tuple(ln["stations"])) for ln in metro["lineList"]),
        _air(folder / "air_quality_20190718.csv"),
    )  # fmt: skip


def features(path: Path) -> list[dict[str, Any]]:
    """Features of a GeoJSON file."""
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["features"]
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _table(path: Path, column: str = "name") -> dict[str, str]:
    return dict(sorted((r["code"], r[column]) for r in _rows(path)))


def _air(path: Path) -> dict[str, tuple[str, float, float]]:
    return {r["StationCode"]: (r["PositionName"], float(r["Longitude"]), float(r["Latitude"])) for r in _rows(path)}
