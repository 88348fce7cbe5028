"""TopoJSON of an exact tiling: a shared border is stored once, so what is read tiles as exactly as what was written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from citytwin.models.columns import Float64, Int64

Point = tuple[int, int]
#: Segment of a ring to (arc, direction, point where the arc opens in that direction).
Steps = Mapping[tuple[Point, Point], tuple[int, bool, Point]]


def encode(polygons: Mapping[str, Any], name: str, digits: int = 5) -> dict[str, Any]:
    """A TopoJSON document with the object `name`: polygons by code, which becomes their `id`.

    Coordinates are whole steps of 10**-digits degree, and neighbours share their borders vertex for vertex.
    """
    arcs = [shapely.get_coordinates(line).astype(np.int64) for line in _arcs(np.array([*polygons.values()], object))]
    low = np.min([a.min(0) for a in arcs], 0) if arcs else np.zeros(2, np.int64)
    steps: dict[tuple[Point, Point], tuple[int, bool, Point]] = {}
    for i, arc in enumerate(arcs):
        points: list[Point] = [(x, y) for x, y in arc.tolist()]
        steps.update(dict.fromkeys(itertools.pairwise(points), (i, True, points[0])))
        steps.update(dict.fromkeys(itertools.pairwise(points[::-1]), (i, False, points[-1])))
    scale = 10.0**-digits
    return {
        "type": "Topology",
        "transform": {"scale": [scale] * 2, "translate": [round(int(v) * scale, digits) for v in low]},
        "objects": {
            name: {"type": "GeometryCollection", "geometries": [_geometry(c, g, steps) for c, g in polygons.items()]}
        },
        "arcs": [np.diff(a, axis=0, prepend=low[None]).tolist() for a in arcs],
    }


def _arcs(shapes: NDArray[np.object_]) -> list[Any]:
    """Border lines from node to node, each once, in a fixed order."""
    xy, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(shapes)), return_index=True)
    same = ring[1:] == ring[:-1]
    a, b = xy[:-1][same], xy[1:][same]
    swap = (a[:, 0] > b[:, 0]) | ((a[:, 0] == b[:, 0]) & (a[:, 1] > b[:, 1]))
    edges = np.unique(np.where(swap[:, None], np.hstack([b, a]), np.hstack([a, b])), axis=0)
    merged = shapely.line_merge(shapely.multilinestrings(shapely.linestrings(edges.reshape(-1, 2, 2))))
    return sorted(shapely.get_parts(merged), key=lambda line: shapely.get_coordinates(line)[:2].tolist())


def _geometry(code: str, shape: Any, steps: Steps) -> dict[str, Any]:
    parts = [[_ring(r, steps) for r in shapely.get_rings(p)] for p in shapely.get_parts(shape)]
    if len(parts) == 1:
        return {"type": "Polygon", "id": code, "arcs": parts[0]}
    return {"type": "MultiPolygon", "id": code, "arcs": parts}


def _ring(ring: Any, steps: Steps) -> list[int]:
    """The arcs that a ring consists of; ~i is arc i backwards."""
    points = [(int(x), int(y)) for x, y in shapely.get_coordinates(ring)]
    walk = [(p, steps[p, q]) for p, q in itertools.pairwise(points)]
    # Only where a step starts at the opening point of its arc a new arc begins; a ring may start amid one.
    return [arc if forward else ~arc for p, (arc, forward, opening) in walk if p == opening]


def decode(document: Mapping[str, Any]) -> dict[str, Any]:
    """Polygons by code (the `id`) of all objects of a TopoJSON document, in degrees.

    Raises ValueError if it is no Topology or holds other geometries than polygons.
    """
    if document.get("type") != "Topology":
        raise ValueError("the document is no TopoJSON Topology")
    found = [g for o in document["objects"].values() for g in o.get("geometries", [o])]
    other = next((g["type"] for g in found if g["type"] not in ("Polygon", "MultiPolygon")), None)
    if other:
        raise ValueError(f"the document holds a {other}; only polygons are read")
    arcs = [_line(arc, document.get("transform")) for arc in document["arcs"]]
    shapes = [g["arcs"] if g["type"] == "MultiPolygon" else [g["arcs"]] for g in found]
    return dict(zip((str(g["id"]) for g in found), _assemble(shapes, arcs), strict=True)) if found else {}


def _line(arc: Sequence[Sequence[float]], transform: Mapping[str, Any] | None) -> Float64:
    points = np.array(arc, np.float64)
    if transform is None:
        return points
    scale = np.array(transform["scale"])
    points = np.cumsum(points, axis=0) * scale + transform["translate"]
    digits = -math.log10(scale[0])
    # The same decimal must give the same float, whichever way it was reached.
    rounded: Float64 = np.round(points, round(digits)) if abs(digits - round(digits)) < 1e-9 else points
    return rounded


def _assemble(shapes: Sequence[Sequence[Sequence[Sequence[int]]]], arcs: Sequence[Float64]) -> list[Any]:
    """Polygons of lists of parts of rings of arcs; a shape of one part is a Polygon."""
    pieces: list[Float64] = []
    size: list[int] = []
    for ring in itertools.chain.from_iterable(itertools.chain.from_iterable(shapes)):
        lines = [arcs[a] if a >= 0 else arcs[~a][::-1] for a in ring]
        closed = [line[:-1] for line in lines] + [lines[0][:1]]
        pieces += closed
        size.append(sum(map(len, closed)))
    offsets = (_cuts(size), _cuts([len(p) for s in shapes for p in s]), _cuts([len(s) for s in shapes]))
    many = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, np.concatenate(pieces), offsets)
    return [
        shape if len(parts) > 1 else shapely.get_geometry(shape, 0) for shape, parts in zip(many, shapes, strict=True)
    ]


def _cuts(sizes: Sequence[int]) -> Int64:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
