"""Coordinates: CGCS2000 inside; GCJ-02, BD-09 and Gauss-Kruger metres are converted at the edge.

CGCS2000 (EPSG:4490) and WGS-84 differ by centimetres and are taken as one. GCJ-02 has no published definition; the
formula here is the one that public implementations share. It is a smooth shift, so its inverse is found by iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from citytwin.models.columns import Float64

if TYPE_CHECKING:
    from pyproj import Transformer

Pair = tuple[Float64, Float64]

#: Krasovsky 1940: semi-major axis in metres and squared eccentricity, as GCJ-02 uses them.
_AXIS, _ECCENTRICITY_2 = 6378245.0, 0.00669342162296594323
#: Where GCJ-02 shifts: west, south, east, north in degrees; outside it equals WGS-84.
CHINA_BOX = (72.004, 0.8293, 137.8347, 55.8271)
_BD_WAVES = np.pi * 3000.0 / 180.0
#: Each round of the inverse shrinks the error at least 50-fold; 12 are far below 1e-9 degrees from any start.
_ROUNDS = 12


def _in_china(lon: Float64, lat: Float64) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    west, south, east, north = CHINA_BOX
    return (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)


def _gcj_shift(lon: Float64, lat: Float64) -> Pair:
    """Shift in degrees at a WGS-84 place, wherever it lies."""
    x, y = lon - 105.0, lat - 35.0
    root, pi = np.sqrt(np.abs(x)), np.pi
    short = (20.0 * np.sin(6.0 * x * pi) + 20.0 * np.sin(2.0 * x * pi)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + short
    north += (20.0 * np.sin(y * pi) + 40.0 * np.sin(y / 3.0 * pi)) * 2.0 / 3.0
    north += (160.0 * np.sin(y / 12.0 * pi) + 320.0 * np.sin(y * pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + short
    east += (20.0 * np.sin(x * pi) + 40.0 * np.sin(x / 3.0 * pi)) * 2.0 / 3.0
    east += (150.0 * np.sin(x / 12.0 * pi) + 300.0 * np.sin(x / 30.0 * pi)) * 2.0 / 3.0
    phi = lat / 180.0 * pi
    magic = 1.0 - _ECCENTRICITY_2 * np.sin(phi) ** 2
    meridian = _AXIS * (1.0 - _ECCENTRICITY_2) / (magic * np.sqrt(magic)) * pi / 180.0
    parallel = _AXIS / np.sqrt(magic) * np.cos(phi) * pi / 180.0
    return east / parallel, north / meridian


def wgs84_to_gcj02(lon: Float64, lat: Float64) -> Pair:
    """Degrees WGS-84 to GCJ-02, float64 arrays of any shape; NaN stays NaN."""
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    east, north = _gcj_shift(lon, lat)
    inside = _in_china(lon, lat)
    return np.where(inside, lon + east, lon), np.where(inside, lat + north, lat)


def gcj02_to_wgs84(lon: Float64, lat: Float64) -> Pair:
    """Degrees GCJ-02 to WGS-84, the inverse to below 1e-9 degrees (not unique within 0.01 degrees of CHINA_BOX)."""
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    inside = _in_china(lon, lat)
    x, y = lon, lat
    for _ in range(_ROUNDS):
        east, north = _gcj_shift(x, y)
        x, y = lon - east, lat - north
    return np.where(inside, x, lon), np.where(inside, y, lat)


def _bd_waves(lon: Float64, lat: Float64) -> Pair:
    """Change of radius (degrees) and angle (radians) at a GCJ-02 place."""
    return 0.00002 * np.sin(lat * _BD_WAVES), 0.000003 * np.cos(lon * _BD_WAVES)


def gcj02_to_bd09(lon: Float64, lat: Float64) -> Pair:
    """Degrees GCJ-02 to BD-09, float64 arrays of any shape; NaN stays NaN."""
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    far, turn = _bd_waves(lon, lat)
    radius, angle = np.hypot(lon, lat) + far, np.arctan2(lat, lon) + turn
    return radius * np.cos(angle) + 0.0065, radius * np.sin(angle) + 0.006


def bd09_to_gcj02(lon: Float64, lat: Float64) -> Pair:
    """Degrees BD-09 to GCJ-02, the inverse to below 1e-9 degrees."""
    east, north = np.asarray(lon, np.float64) - 0.0065, np.asarray(lat, np.float64) - 0.006
    radius, angle = np.hypot(east, north), np.arctan2(north, east)
    x, y = east, north
    for _ in range(_ROUNDS):
        far, turn = _bd_waves(x, y)
        x, y = (radius - far) * np.cos(angle - turn), (radius - far) * np.sin(angle - turn)
    return x, y


def wgs84_to_bd09(lon: Float64, lat: Float64) -> Pair:
    """Degrees WGS-84 to BD-09."""
    return gcj02_to_bd09(*wgs84_to_gcj02(lon, lat))


def bd09_to_wgs84(lon: Float64, lat: Float64) -> Pair:
    """Degrees BD-09 to WGS-84, the inverse to below 1e-9 degrees."""
    return gcj02_to_wgs84(*bd09_to_gcj02(lon, lat))


@cache
def _transformer(source: str, target: str) -> Transformer:
    from pyproj import Transformer  # takes 0.2 s: only who needs metres pays

    return Transformer.from_crs(source, target, always_xy=True)


def to_metres(lon: Float64, lat: Float64, epsg: int = 4547) -> Pair:
    """Easting and northing in metres of CGCS2000 degrees; EPSG:4547 is 3-degree Gauss-Kruger on 114 E, for Wuhan."""
    x, y = _transformer("EPSG:4490", f"EPSG:{epsg}").transform(lon, lat)
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def from_metres(east: Float64, north: Float64, epsg: int = 4547) -> Pair:
    """CGCS2000 degrees of easting and northing in metres."""
    x, y = _transformer(f"EPSG:{epsg}", "EPSG:4490").transform(east, north)
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _same(lon: Float64, lat: Float64) -> Pair:
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


_TO_CGCS2000: dict[str, Callable[[Float64, Float64], Pair]] = {
    "CGCS2000": _same,
    "EPSG4490": _same,
    "WGS84": _same,
    "EPSG4326": _same,
    "GCJ02": gcj02_to_wgs84,
    "BD09": bd09_to_wgs84,
    "EPSG4547": from_metres,
}
#: Names a source may declare; case, hyphens, colons and blanks do not matter.
CRS_NAMES = ("CGCS2000", "EPSG:4490", "WGS-84", "EPSG:4326", "GCJ-02", "BD-09", "EPSG:4547")


def to_cgcs2000(lon: Float64, lat: Float64, crs: str) -> Pair:
    """CGCS2000 degrees of coordinates in the declared system (EPSG:4547: easting, northing); ValueError if unknown.

    >>> [round(float(v), 6) for v in to_cgcs2000(np.array(116.404), np.array(39.915), "GCJ-02")]
    [116.397756, 39.913596]
    """
    convert = _TO_CGCS2000.get("".join(c for c in crs.upper() if c.isalnum()))
    if convert is None:
        raise ValueError(f"{crs!r} is no known coordinate system; write one of {', '.join(CRS_NAMES)}")
    return convert(lon, lat)
