"""Geometry of a city pack: polygons by scope level, and map layers as GeoJSON bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import shapely
from numpy.typing import NDArray

from citytwin.geo.scopes import LEVELS
from citytwin.models.columns import Float64, Int32
from citytwin.twin import topology
from citytwin.twin.pack_manifest import to_inside

if TYPE_CHECKING:
    from citytwin.twin.pack import City

#: Layers of the scope tree with their level.
SCOPE_LAYERS = {"districts": 1, "streets": 2, "communities": 3, "grids": 4}
#: Decimals of coordinates in layers: 1e-5 degree is about a metre.
DIGITS = 5


def read_polygons(city: City, level: int) -> tuple[Int32, NDArray[np.object_]]:
    """Rows of a level that have a polygon, ascending (int32[n]), and the polygons."""
    entry = next((g for g in city.manifest.get("geometry", ()) if g["level"] == LEVELS[level]), None)
    if entry is not None:
        return _from_file(city, entry, level)
    if level + 1 >= len(LEVELS):
        return np.zeros(0, np.int32), np.zeros(0, object)
    rows, shapes = city.polygons(level + 1)
    parents = city.scopes.parent[rows]
    order = np.argsort(parents, kind="stable")
    found, start = np.unique(parents[order], return_index=True)
    groups = np.split(shapes[order], start[1:]) if len(found) else []
    joined = np.empty(len(found), object)
    joined[:] = [shapely.union_all(g) if len(g) < 2 else shapely.coverage_union_all(g) for g in groups]
    return found.astype(np.int32), joined


def _from_file(city: City, entry: Mapping[str, Any], level: int) -> tuple[Int32, NDArray[np.object_]]:
    file = str(entry["file"])
    shapes = _shapes(city, file, str(entry.get("code", "code")))
    crs = str(entry.get("crs", city.crs))
    found: dict[int, Any] = {}
    for number, (code, shape) in enumerate(shapes, 1):
        row = city.scopes.row(code)
        if row < 0 or city.scopes.level[row] != level:
            city.files.report(file, number, "code", f"no {LEVELS[level]} with the code {code}")
        elif shape is None or shape.is_empty or shape.geom_type not in ("Polygon", "MultiPolygon"):
            city.files.report(file, number, "geometry", f"{code} needs a Polygon or MultiPolygon")
        elif row in found:
            city.files.report(file, number, "code", f"{code} stands in the file before")
        else:
            found[row] = shape if file.removesuffix(".gz").endswith(".topojson") else moved(shape, crs)
    rows = np.array(sorted(found), np.int32)
    out = np.empty(len(rows), object)
    out[:] = [found[r] for r in rows.tolist()]
    return rows, _repaired(out)


def _repaired(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """A polygon that touches itself is mended by buffer(0), which moves no area and makes no overlap."""
    broken = ~shapely.is_valid(shapes)
    shapes[broken] = shapely.buffer(shapes[broken], 0)
    return shapes


def _shapes(city: City, file: str, key: str) -> list[tuple[str, Any]]:
    """(code, geometry or None) of each feature of a GeoJSON or TopoJSON file; a problem's line is its number."""
    document = city.files.json(file)
    if not isinstance(document, dict):
        return []
    try:
        if document.get("type") == "Topology":
            return list(topology.decode(document).items())
    except (KeyError, IndexError, TypeError, ValueError) as error:
        city.files.report(file, 0, "", f"no readable TopoJSON: {error}")
        return []
    out: list[tuple[str, Any]] = []
    for number, feature in enumerate(document.get("features") or (), 1):
        try:
            named = feature["properties"][key] if key in (feature.get("properties") or {}) else feature["id"]
            out.append((str(named), shapely.from_geojson(msgspec.json.encode(feature["geometry"]))))
        except (KeyError, TypeError, AttributeError):
            city.files.report(file, number, key, "the feature has neither this property nor an id")
        except shapely.errors.GEOSException:
            city.files.report(file, number, "geometry", "no readable geometry")
    return out


def moved(shape: Any, crs: str) -> Any:
    """A geometry in CGCS2000 degrees."""

    def turn(points: Float64) -> Float64:
        return np.column_stack(to_inside(points[:, 0].copy(), points[:, 1].copy(), crs))

    return shapely.transform(shape, turn)


def layer(city: City, name: str) -> bytes:
    """GeoJSON bytes of a layer with coordinates of five decimals."""
    if name in SCOPE_LAYERS:
        return _scope_layer(city, SCOPE_LAYERS[name])
    about = city.layers[name]
    document = city.files.json(about.file)
    features = document.get("features", []) if isinstance(document, dict) else []
    kept = [_rounded(f, about.crs) for f in features if isinstance(f, dict) and f.get("geometry")]
    head = {"type": "FeatureCollection", "name": name, "title": about.title, "licence": about.licence,
            "attribution": about.attribution, "synthetic": about.synthetic}  # fmt: skip
    return msgspec.json.encode({**head, "features": kept})


def _rounded(feature: dict[str, Any], crs: str) -> dict[str, Any]:
    shape = moved(shapely.from_geojson(msgspec.json.encode(feature["geometry"])), crs)
    return {"type": "Feature", "properties": feature.get("properties") or {}, "geometry": _geojson(shape)}


def _scope_layer(city: City, level: int) -> bytes:
    tree = city.scopes
    rows, shapes = city.polygons(level)
    features = [
        {
            "type": "Feature",
            "id": row,
            "properties": {
                "row": row,
                "code": tree.code[row],
                "name": tree.name[row],
                "name_en": tree.name_en[row],
                "parent": int(tree.parent[row]),
                "synthetic": bool(tree.synthetic[row]),
            },
            "geometry": _geojson(shape),
        }
        for row, shape in zip(rows.tolist(), shapes, strict=True)
    ]
    name = LEVELS[level]
    return msgspec.json.encode({"type": "FeatureCollection", "name": name, "features": features})


def _geojson(shape: Any) -> dict[str, Any]:
    """A geometry as GeoJSON with rounded coordinates; the same point always becomes the same decimals."""
    kind = shape.geom_type
    if kind == "Point":
        return {"type": kind, "coordinates": _round(shape)[0]}
    if kind == "LineString":
        return {"type": kind, "coordinates": _round(shape)}
    if kind == "Polygon":
        return {"type": kind, "coordinates": [_round(r) for r in shapely.get_rings(shape)]}
    parts = [_geojson(part)["coordinates"] for part in shapely.get_parts(shape)]
    return {"type": kind, "coordinates": parts}


def _round(shape: Any) -> list[list[float]]:
    points: list[list[float]] = np.round(shapely.get_coordinates(shape), DIGITS).tolist()
    return points
