"""Map layers of the pack: schematic water, metro, buildings and roads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from citytwin.models.columns import Float64
from citytwin.twin.build.sources import Sources, features, turn

_LON, _LAT = 114.315, 30.585
_KX, _KY = 95.84, 110.85  # kilometres per degree at that place

_LEFT_BANK = ("420102", "420103", "420104", "420105", "420114", "420113", "420112", "420116", "420117")
_RIGHT_BANK = ("420106", "420107", "420111", "420115")
_SHORE = (
    (114.368, 30.592),
    (114.3665, 30.580),
    (114.3665, 30.572),
    (114.3635, 30.565),
    (114.3600, 30.560),
    (114.3570, 30.5555),
    (114.3535, 30.5555),
    (114.3530, 30.552),
    (114.3590, 30.5515),
    (114.3625, 30.548),
    (114.3680, 30.5440),
    (114.3740, 30.5415),
    (114.3800, 30.5415),
    (114.3860, 30.5370),
    (114.42, 30.530),
    (114.46, 30.54),
    (114.46, 30.61),
    (114.40, 30.61),
)
_CAUSEWAY = ((114.3665, 30.5720), (114.382, 30.5655), (114.398, 30.5600), (114.410, 30.5535))
_MOSHAN = (
    (114.402, 30.557),
    (114.409, 30.5575),
    (114.418, 30.553),
    (114.424, 30.548),
    (114.418, 30.543),
    (114.409, 30.5455),
    (114.404, 30.551),
)

#: Lines that have a name and no number.
_LINES = {"阳逻线": "Yangluo Line", "光谷空轨旅游线": "Optics Valley Suspended Monorail"}


def _km(points: Float64) -> Float64:
    return (points - [_LON, _LAT]) * [_KX, _KY]


def _degrees(points: Float64) -> Float64:
    return turn(points / [_KX, _KY] + [_LON, _LAT])


def water(sources: Sources) -> list[dict[str, Any]]:
    """Schematic water: two rivers as the widened borders between their banks, a lake as a border and a drawn shore."""
    land = {c: shapely.transform(g, _km) for c, g in sources.raw_borders.items()}
    wide = {c: shapely.buffer(g, 0.04) for c, g in land.items()}

    def area(codes: Sequence[str]) -> Any:
        return shapely.union_all([wide[c] for c in codes])

    middle = area(_LEFT_BANK).intersection(area(_RIGHT_BANK)).buffer(0.25).buffer(-0.2)
    # South of Tianxing island a second arm runs along the border of Hongshan and Qingshan.
    arm = wide["420111"].intersection(wide["420107"]).intersection(shapely.box(2.5, 4.6, 13.2, 12))
    arm = arm.difference(shapely.box(10, 0, 20, 8.3))
    river = middle.buffer(0.5).union(arm.buffer(0.42)).buffer(0.5).buffer(-0.9).buffer(0.4)
    han = area(("420104", "420103", "420112")).intersection(wide["420105"].union(wide["420114"]))
    han = han.buffer(0.1).buffer(0.2).buffer(-0.2)
    shore = shapely.Polygon(_km(np.array(_SHORE)))
    lake = land["420106"].intersection(shore).buffer(-0.28).buffer(0.2).buffer(0.06)
    lake = max(shapely.get_parts(lake), key=lambda g: float(g.area))
    hill = shapely.Polygon(_km(np.array(_MOSHAN))).buffer(0.15)
    lake = lake.difference(shapely.LineString(_km(np.array(_CAUSEWAY))).buffer(0.05)).difference(hill)
    named = (("长江", "Yangtze River", "river", river), ("汉江", "Han River", "river", han.difference(river)),
             ("东湖", "East Lake", "lake", lake))  # fmt: skip
    return [
        feature(shapely.transform(shapely.simplify(_large(shape), 0.015), _degrees),
                name=zh, name_en=en, kind=kind, schematic=True)
        for zh, en, kind, shape in named
    ]  # fmt: skip


def _large(shape: Any) -> Any:
    """Parts of at least a quarter of a square kilometre, without holes that small."""
    parts = [p for p in shapely.get_parts(shape) if p.area >= 0.25]
    filled = [shapely.Polygon(p.exterior, [h for h in p.interiors if shapely.Polygon(h).area >= 0.25]) for p in parts]
    return shapely.union_all(filled)


def metro(sources: Sources) -> list[dict[str, Any]]:
    """Lines with colour and stations in order, and stations with the lines that stop there."""
    lines = [
        feature(
            shapely.LineString([sources.stations[s][1:] for s in stops]),
            kind="line",
            name=name,
            name_en=_LINES.get(name, f"Line {name.removesuffix('号线')}"),
            colour=colour,
        )
        for name, colour, stops in sources.lines
    ]
    stops = [
        feature(shapely.Point(lon, lat), kind="station", name=name, name_en=sources.english.get(f"metro-{number}", ""),
                lines=[ln for ln, _, where in sources.lines if number in where])
        for number, (name, lon, lat) in sources.stations.items()
    ]  # fmt: skip
    return lines + stops


def osm(path: Path, keep: Sequence[str]) -> list[dict[str, Any]]:
    """Features of an OpenStreetMap extract with the properties that a page shows."""
    return [
        feature(
            shapely.from_geojson(json.dumps(f["geometry"])),
            osm_id=f["properties"]["id"],
            **{k: f["properties"][k] for k in keep if k in f["properties"]},
        )
        for f in features(path)
    ]


def feature(shape: Any, **properties: Any) -> dict[str, Any]:
    """A GeoJSON feature with coordinates of five decimals."""
    rounded = shapely.transform(shape, lambda p: np.round(p, 5))
    return {"type": "Feature", "properties": properties, "geometry": shape_json(rounded)}


def shape_json(shape: Any) -> Any:
    """GeoJSON geometry of a shape."""
    return json.loads(shapely.to_geojson(shape))
