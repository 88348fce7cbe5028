"""Roads of a city pack as a graph: the layer `roads`, by the classes of OpenStreetMap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from citytwin.geo.travel import Straight, Travel
from citytwin.models.columns import Float64

if TYPE_CHECKING:
    from citytwin.twin.pack import City

LAYER = "roads"
#: Mean speeds of units by class of road, km/h, where the road names none: local defaults below the usual limits.
KMH: dict[str, float] = {
    "motorway": 80.0, "trunk": 50.0, "primary": 40.0, "secondary": 35.0, "tertiary": 30.0, "unclassified": 25.0,
    "residential": 20.0, "living_street": 15.0, "service": 15.0,
}  # fmt: skip
#: A unit drives below a stated limit by this share, for it stops and turns.
_OF_LIMIT = 0.7


def _speed(about: Mapping[str, Any]) -> float:
    """Speed of a road in km/h, 0 for what no vehicle drives on."""
    name = str(about.get("highway") or about.get("kind_detail") or "").removesuffix("_link")
    if name not in KMH:
        return 0.0
    limit = str(about.get("maxspeed") or "").removesuffix("km/h").strip()
    return float(limit) * _OF_LIMIT if limit.isdigit() and int(limit) > 0 else KMH[name]


def _lines(shape: Mapping[str, Any]) -> list[Float64]:
    points = shape.get("coordinates") or []
    parts = {"LineString": [points], "MultiLineString": points}.get(str(shape.get("type")), [])
    return [np.asarray(part, np.float64)[:, :2] for part in parts if len(part) > 1]


def _roads(document: Mapping[str, Any]) -> Iterator[tuple[Float64, float, bool]]:
    """Line, speed and whether it is one way of each road of a layer."""
    for feature in document["features"]:
        about = feature.get("properties") or {}
        speed, way = _speed(about), str(about.get("oneway") or "no")
        for line in _lines(feature["geometry"]) if speed else ():
            yield (line[::-1] if way == "-1" else line), speed, way in ("yes", "true", "1", "-1")


def travel_of(city: City, straight: Straight | None = None) -> Travel:
    """How one travels in a city: on its roads where the pack has some, else by distance (`straight`)."""
    plain = straight or Straight()
    if LAYER not in city.layer_names():
        return plain
    found = list(_roads(msgspec.json.decode(city.layer(LAYER))))
    if not found:
        return plain
    from citytwin.geo.roads import Roads  # brings SciPy, which takes long to load: only where roads are asked for

    lines, kmh, oneway = zip(*found, strict=True)
    return Roads(lines, kmh, oneway, plain)
