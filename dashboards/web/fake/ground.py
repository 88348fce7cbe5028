"""Geometry of the fake city: the real districts, made-up cells below them. Only for development and tests of the page."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import MultiPoint, shape

SOURCE = Path(__file__).resolve().parents[3] / "twin" / "cities" / "wuhan" / "source"
LEFT = {"江岸区", "江汉区", "硚口区", "汉阳区", "蔡甸区", "汉南区", "东西湖区", "黄陂区", "新洲区"}


def rows_of(name: str) -> list[dict[str, str]]:
    """Rows of a source table."""
    with (SOURCE / name).open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def split(area: Any, n: int, rng: np.random.Generator, stations: Any) -> list[Any]:
    """`area` cut into n cells, small where metro stations are."""
    if n <= 1:
        return [area]
    x0, y0, x1, y1 = area.bounds
    kept: list[Any] = []
    while len(kept) < n:
        points = rng.uniform([x0, y0], [x1, y1], (4000, 2))
        near = np.min(np.hypot(points[:, None, 0] - stations[None, :, 0], points[:, None, 1] - stations[None, :, 1]), axis=1)
        points = points[rng.uniform(0, 1, len(points)) < 0.02 + np.exp(-near / 0.012)]
        kept += [p for p in points[shapely.contains_xy(area, points[:, 0], points[:, 1])]]
    cells = shapely.voronoi_polygons(MultiPoint(kept[:n]), extend_to=area.envelope)
    return [c for c in (shapely.intersection(cell, area) for cell in cells.geoms) if not c.is_empty]


class Ground:
    """Scope rows with polygons: parallel lists `code name name_en parent level`, `polygon[row]`, `centre[row]`."""

    def __init__(self, seed: int = 7, share: float = 1.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.share = share
        self.code, self.name, self.name_en = ["420100"], ["武汉市"], ["Wuhan"]
        self.parent, self.level = [-1], [0]
        self.polygon: list[Any] = [None]
        metro = json.loads((SOURCE / "metro_gcj02.json").read_text(encoding="utf-8"))
        self.stations = {s["id"]: (s["name"], float(s["lng"]), float(s["lat"])) for s in metro["stationList"]}
        self.lines = [(line["name"], line["stations"]) for line in metro["lineList"]]
        self._fill()
        self.centre = [(114.3, 30.6) if p is None else (p.representative_point().x, p.representative_point().y) for p in self.polygon]

    def _add(self, code: str, name: str, name_en: str, parent: int, level: int, polygon: Any) -> int:
        self.code.append(code)
        self.name.append(name)
        self.name_en.append(name_en)
        self.parent.append(parent)
        self.level.append(level)
        self.polygon.append(polygon)
        return len(self.code) - 1

    def _fill(self) -> None:
        spots = np.array([s[1:] for s in self.stations.values()])
        english = {r["code"]: r.get("name_en", "") for r in rows_of("names_en.csv")}
        found = json.loads((SOURCE / "districts_gcj02.geojson").read_text(encoding="utf-8"))["features"]
        shapes = {f["properties"]["name"]: shape(f["geometry"]).buffer(0) for f in found}
        self.water = self._water(shapes)
        streets, communities = rows_of("streets.csv"), rows_of("communities.csv")
        below: dict[str, list[dict[str, str]]] = {}
        for c in communities:
            below.setdefault(c["code"][:9], []).append(c)
        for d in rows_of("districts.csv"):
            land = shapely.set_precision(shapes[d["name"]].difference(self.water), 1e-6)
            here = self._add(d["code"], d["name"], english.get(d["code"], d["name"]), 0, 1, shapes[d["name"]])
            own = [s for s in streets if s["code"].startswith(d["code"][:6])]
            for s, area in zip(own, split(land, len(own), self.rng, spots), strict=False):
                street = self._add(s["code"], s["name"], english.get(s["code"], ""), here, 2, area)
                inside = below.get(s["code"][:9], [])
                inside = inside[: max(1, int(len(inside) * self.share))]
                for c, cell in zip(inside, split(area, len(inside), self.rng, spots), strict=False):
                    self._add(c["code"], c["name"], "", street, 3, cell)

    def _water(self, shapes: dict[str, Any]) -> Any:
        left = shapely.union_all([shapes[n].buffer(0.0005) for n in shapes if n in LEFT])
        right = shapely.union_all([shapes[n].buffer(0.0005) for n in shapes if n not in LEFT])
        river = left.intersection(right).buffer(0.0065).buffer(-0.002)
        return river.intersection(shapely.box(113.9, 30.2, 114.8, 30.9))

    def layer(self, name: str) -> dict[str, Any]:
        """GeoJSON of a layer by its name on the wire."""
        if name == "water":
            return collection([feature(-1, self.water, {"name": "长江", "name_en": "Yangtze"})])
        if name == "metro":
            return collection(self._metro())
        if name in ("buildings", "roads"):
            path = SOURCE / f"guanggu_{name}.geojson"
            return json.loads(path.read_text(encoding="utf-8")) if path.exists() else collection([])
        level = {"districts": 1, "streets": 2, "communities": 3, "grids": 4}[name]
        rows = [r for r in range(len(self.code)) if self.level[r] == level]
        return collection([feature(r, self.polygon[r], {"code": self.code[r], "name": self.name[r]}) for r in rows])

    def _metro(self) -> Iterator[dict[str, Any]]:
        for name, stops in self.lines:
            yield feature(-1, shapely.LineString([self.stations[i][1:] for i in stops if i in self.stations]), {"name": name})
        for name, lon, lat in self.stations.values():
            yield feature(-1, shapely.Point(lon, lat), {"name": name})


def feature(row: int, geometry: Any, properties: dict[str, Any]) -> dict[str, Any]:
    """One GeoJSON feature with the row as id."""
    shape_ = json.loads(shapely.to_geojson(shapely.set_precision(geometry, 1e-6)))
    return {"type": "Feature", "id": row, "geometry": shape_, "properties": properties}


def collection(features: Any) -> dict[str, Any]:
    """A feature collection."""
    return {"type": "FeatureCollection", "features": list(features)}
