"""Locator: the scope of a place, exact and fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numba import njit
from shapely.geometry.base import BaseGeometry

from citytwin.geo.raster import Edges, Frame, covered, touched
from citytwin.models.columns import Float64, Int32, Int64

_OUTSIDE = -1
_UNSURE = -2
#: Relative error of the orientation determinant in float64; below it the sign is not certain. GEOS uses the same.
_SAFE = 1e-15


@njit(cache=True, nogil=True)
def _hit(x, y, vx, vy, ends, lo, hi):  # type: ignore[no-untyped-def]
    """1 inside or on the border, 0 outside, -1 where float64 cannot tell."""
    inside = False
    for i in range(lo, hi):
        ax, ay = vx[i], vy[i]
        if ax == x and ay == y:
            return 1
        if ends[i]:
            continue
        bx, by = vx[i + 1], vy[i + 1]
        if ay == y and by == y:
            if min(ax, bx) <= x <= max(ax, bx):
                return 1
        elif (ay > y) != (by > y) and not (ax < x and bx < x):
            if ax > x and bx > x:
                inside = not inside
                continue
            left, right = (ax - x) * (by - y), (ay - y) * (bx - x)
            turn = left - right
            if abs(turn) <= _SAFE * (abs(left) + abs(right)):
                return -1
            if (turn > 0) == (by > ay):
                inside = not inside
    return 1 if inside else 0


@njit(cache=True, nogil=True)
def _locate(lon, lat, box, scale, raster, start, candidates, vx, vy, ends, first, out):  # type: ignore[no-untyped-def]
    """Polygon of each place into `out`; returns how many are unsure."""
    west, south, east, north = box
    pixels = raster.shape[0]
    unsure = 0
    for i in range(len(lon)):
        x, y = lon[i], lat[i]
        out[i] = _OUTSIDE
        if not (west <= x <= east and south <= y <= north):
            continue
        column = min(int((x - west) * scale[0]), pixels - 1)
        line = min(int((y - south) * scale[1]), pixels - 1)
        found = raster[line, column]
        if found >= _OUTSIDE:
            out[i] = found
            continue
        place = -2 - found
        for k in range(start[place], start[place + 1]):
            polygon = candidates[k]
            answer = _hit(x, y, vx, vy, ends, first[polygon], first[polygon + 1])
            if answer == 1:
                out[i] = polygon
                break
            if answer == -1:
                out[i] = _UNSURE
                unsure += 1
                break
    return unsure


class Locator:
    """Answers which polygon a place lies in, exactly as shapely does.

    A raster of the bounding box holds, per pixel, the polygon that covers all of it, or the list of polygons that a
    place in it must be tested against. A place on a shared border belongs to the lowest row among the polygons that
    intersect it; so does a place where polygons overlap.
    """

    def __init__(self, polygons: Sequence[BaseGeometry], rows: Int32, pixels: int = 2048) -> None:
        """`rows` int32, the answer for each polygon; `pixels` along each side of the raster (4 bytes per pixel).

        Raises ValueError for polygons that are not valid or no polygons, and for lengths that differ.
        """
        shapes = np.array(polygons, dtype=object)
        if len(shapes) != len(rows):
            raise ValueError(f"{len(shapes)} polygons have {len(rows)} rows; give one row each")
        # Stable and ascending, so that the first candidate that is hit is the lowest row.
        order = np.argsort(rows, kind="stable")
        order = order[~(shapely.is_missing(shapes[order]) | shapely.is_empty(shapes[order]))]
        self._shapes, self._rows = shapes[order], np.append(np.asarray(rows, np.int32)[order], np.int32(-1))
        _check(self._shapes, self._rows)
        self._edges = Edges.of(self._shapes)
        west, south, east, north = shapely.total_bounds(self._shapes) if len(order) else (0.0, 0.0, 1.0, 1.0)
        self._frame = Frame(float(west), float(south), float(east), float(north), pixels)
        self._raster, self._start, self._candidates = _build(self._edges, self._frame)
        shapely.prepare(self._shapes)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of all polygons, degrees."""
        return self._frame.west, self._frame.south, self._frame.east, self._frame.north

    @property
    def nbytes(self) -> int:
        """Bytes of the raster, the candidates and the vertices."""
        e = self._edges
        arrays = (self._raster, self._start, self._candidates, e.x, e.y, e.ends, e.first)
        return sum(a.nbytes for a in arrays)

    def locate(self, lon: Float64, lat: Float64) -> Int32:
        """Row of each place (degrees, float64[n]); -1 outside of all polygons or where one is NaN (int32[n])."""
        lon, lat = np.ascontiguousarray(lon, np.float64), np.ascontiguousarray(lat, np.float64)
        if len(lon) != len(lat):
            raise ValueError(f"{len(lon)} longitudes and {len(lat)} latitudes; give as many of each")
        out = np.empty(len(lon), np.int32)
        e = self._edges
        unsure = _locate(
            lon, lat, self.bounds, self._frame.scale, self._raster, self._start, self._candidates, e.x, e.y, e.ends,
            e.first, out,
        )  # fmt: skip
        if unsure:
            self._ask_shapely(lon, lat, out)
        return self._rows[out]

    def _ask_shapely(self, lon: Float64, lat: Float64, out: Int32) -> None:
        """Places so near a border that float64 cannot tell the side: GEOS decides them in double-double."""
        ask = np.flatnonzero(out == _UNSURE)
        (sx, sy), top = self._frame.scale, self._frame.pixels - 1
        column = np.minimum(((lon[ask] - self._frame.west) * sx).astype(np.int64), top)
        line = np.minimum(((lat[ask] - self._frame.south) * sy).astype(np.int64), top)
        out[ask] = _OUTSIDE
        place = -2 - self._raster[line, column].astype(np.int64)
        at, end = self._start[place].astype(np.int64), self._start[place + 1].astype(np.int64)
        while len(ask):
            polygon = self._candidates[at]
            hit = shapely.intersects_xy(self._shapes[polygon], lon[ask], lat[ask])
            out[ask[hit]] = polygon[hit]
            more = ~hit & (at + 1 < end)
            ask, at, end = ask[more], at[more] + 1, end[more]


def _check(shapes: object, rows: Int32) -> None:
    bad = np.flatnonzero(~np.isin(shapely.get_type_id(shapes), (3, 6)))
    if len(bad):
        raise ValueError(f"the shape of row {rows[bad[0]]} is no polygon")
    bad = np.flatnonzero(~shapely.is_valid(shapes))
    if len(bad):
        reason = shapely.is_valid_reason(shapes[bad[0]])  # type: ignore[index]
        raise ValueError(f"the polygon of row {rows[bad[0]]} is not valid: {reason}; repair it with buffer(0)")


def _build(edges: Edges, frame: Frame) -> tuple[Int32, Int32, Int32]:
    """The raster (int32, polygon, -1 outside, or -2 - place of a list), the cuts of the lists, the lists."""
    size = frame.pixels * frame.pixels
    raster = np.full(size, _OUTSIDE, np.int32)
    pixel, owner = covered(edges, frame)
    # Descending, so that the lowest polygon is written last where polygons overlap.
    raster[pixel[::-1]] = owner[::-1]
    near, near_owner = touched(edges, frame)
    border = np.zeros(size, np.bool_)
    border[near] = True
    # A polygon may cover all of a pixel that only others' edges touch: it is a candidate there too.
    whole = border[pixel]
    lists = _unique(np.concatenate([near, pixel[whole]]), np.concatenate([near_owner, owner[whole]]))
    place = lists >> np.int64(32)
    places, start = np.unique(place, return_index=True)
    raster[places] = -2 - np.arange(len(places), dtype=np.int32)
    cuts = np.append(start, len(lists)).astype(np.int32)
    return raster.reshape(frame.pixels, frame.pixels), cuts, (lists & np.int64(0xFFFFFFFF)).astype(np.int32)


def _unique(pixel: Int64, owner: Int32) -> Int64:
    """Pairs as pixel * 2**32 + owner, each once, ascending."""
    pairs = (pixel << np.int64(32)) | owner
    pairs.sort()
    keep = np.ones(len(pairs), np.bool_)
    keep[1:] = pairs[1:] != pairs[:-1]
    return pairs[keep]
