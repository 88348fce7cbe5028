"""Polygons and circles of CAP messages, checked before anybody relies on them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import shapely

from citytwin.streams.capdoc import Area, LatLon
from citytwin.streams.rules import Box, Refusal

MAX_POINTS = 5_000
#: A warning must come within so many degrees of the city; further away its coordinates are taken as wrong.
FAR_DEGREES = 10.0
#: Half of the earth's circumference in km.
_HALF_ROUND_KM = 20_038.0


def _numbers(text: str, field: str, parts: int) -> tuple[float, ...]:
    raw = text.split(",")
    try:
        numbers = tuple(float(p) for p in raw)
    except ValueError:
        numbers = ()
    if len(raw) != parts or len(numbers) != parts or not all(map(math.isfinite, numbers)):
        raise Refusal("bad_number", field, f"{text[:60]!r} is not latitude,longitude in degrees")
    return numbers


def point(text: str, field: str) -> LatLon:
    """A point `lat,lon`. Raises Refusal: bad_number, swapped_lonlat, out_of_range."""
    lat, lon = _numbers(text, field, 2)
    if abs(lat) > 90 and abs(lon) <= 90 and abs(lat) <= 180:
        raise Refusal("swapped_lonlat", field, f"{text[:60]}: a latitude beyond 90; CAP writes latitude,longitude")
    if abs(lat) > 90 or abs(lon) > 180:
        raise Refusal("out_of_range", field, f"{text[:60]}: latitude goes to 90 degrees, longitude to 180")
    return lat, lon


def polygon(text: str) -> tuple[LatLon, ...]:
    """A closed polygon of at least 4 points, the last equal to the first (section 3.2.4). Raises Refusal."""
    words = text.split()
    if len(words) > MAX_POINTS:
        raise Refusal("too_large", "polygon", f"the polygon has {len(words)} points, at most {MAX_POINTS} are taken")
    ring = tuple(point(w, "polygon") for w in words)
    if len(ring) < 4:
        raise Refusal(
            "bad_polygon", "polygon", f"a polygon has at least 4 points, the last equal to the first; {len(ring)} came"
        )
    if ring[0] != ring[-1]:
        raise Refusal("bad_polygon", "polygon", "the polygon is not closed: its last point is not its first")
    shape = shapely.Polygon([(lon, lat) for lat, lon in ring])
    if not shape.is_valid or not shape.area > 0:
        raise Refusal("bad_polygon", "polygon", "the polygon crosses itself, or all of its points lie on a line")
    return ring


def circle(text: str) -> tuple[float, float, float]:
    """A circle `lat,lon km`. Raises Refusal."""
    words = text.split()
    if len(words) != 2:
        raise Refusal("bad_number", "circle", "a circle is `latitude,longitude radius`, the radius in km")
    lat, lon = point(words[0], "circle")
    (km,) = _numbers(words[1], "circle", 1)
    if not 0 <= km <= _HALF_ROUND_KM:
        raise Refusal("out_of_range", "circle", f"a radius of {km:g} km is none on earth")
    return lat, lon, km


def check_near(areas: Iterable[Area], box: Box | None) -> None:
    """Raise Refusal where all shapes lie far from the city, swapped_lonlat where they would be near the other way."""
    spots = [p for a in areas for ring in a.polygons for p in ring] + [(c[0], c[1]) for a in areas for c in a.circles]
    wide = max((km / 111.0 for a in areas for _, _, km in a.circles), default=0.0)
    if box is None or not spots:
        return
    lats, lons = [p[0] for p in spots], [p[1] for p in spots]

    def near(x: list[float], y: list[float], margin: float) -> bool:
        west, south, east, north = box
        return (
            max(x) >= west - margin
            and min(x) <= east + margin
            and max(y) >= south - margin
            and min(y) <= north + margin
        )

    if near(lons, lats, FAR_DEGREES + wide):
        return
    if near(lats, lons, FAR_DEGREES + wide):
        raise Refusal(
            "swapped_lonlat", "polygon", "longitude and latitude are exchanged; CAP writes latitude,longitude"
        )
    raise Refusal("outside_city", "polygon", f"the area lies more than {FAR_DEGREES:g} degrees away from the city")


def middle(areas: Iterable[Area], box: Box | None) -> tuple[float, float] | None:
    """A point (longitude, latitude) inside the first polygon, or the first circle's centre, if the city holds it."""
    for area in areas:
        for ring in area.polygons:
            inside = shapely.Polygon([(lon, lat) for lat, lon in ring]).representative_point()
            return _held(float(inside.x), float(inside.y), box)
        for lat, lon, _ in area.circles:
            return _held(lon, lat, box)
    return None


def _held(lon: float, lat: float, box: Box | None) -> tuple[float, float] | None:
    held = box is None or (box[0] <= lon <= box[2] and box[1] <= lat <= box[3])
    return (lon, lat) if held else None


def rings_of(shape: Any, points: int = 200, parts: int = 8) -> tuple[tuple[LatLon, ...], ...]:
    """Outer rings of a shape (shapely, longitude and latitude) as closed polygons, simplified to some 200 points each.

    The `parts` largest pieces; holes are left out, for a polygon of CAP has none.
    """
    pieces = [p for p in getattr(shape, "geoms", [shape]) if p.geom_type == "Polygon" and p.area > 0]
    found = []
    for piece in sorted(pieces, key=lambda p: -p.area)[:parts]:
        outer, step = shapely.Polygon(piece.exterior), 1e-5
        while len(outer.exterior.coords) > points and step < 1.0:
            outer, step = outer.simplify(step), 2 * step
        ring = tuple((round(y, 6), round(x, 6)) for x, y, *_ in outer.exterior.coords)
        if len(ring) >= 4 and shapely.Polygon(ring).is_valid:
            found.append(ring)
    return tuple(found)
