"""Polygons as a raster of pixels: which pixels a polygon covers, and which its edges touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from citytwin.models.columns import Bool, Float64, Int32, Int64

#: Edges are widened by this part of a pixel: more than the rounding of any coordinate to its pixel.
_MARGIN = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Vertices of many polygons in a row: `x`, `y` float64[v]; `first` int64[p + 1] cuts them by polygon.

    Edge i goes from vertex i to i + 1 unless `ends[i]`: then vertex i closes its ring.
    """

    x: Float64
    y: Float64
    ends: Bool
    first: Int64

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> Edges:
        """Vertices of all rings of the polygons and multipolygons."""
        parts, owner = shapely.get_parts(polygons, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        ends = np.ones(len(ring), np.bool_)
        ends[:-1] = ring[1:] != ring[:-1]
        counts = np.bincount(owner[part[ring]], minlength=len(polygons)) if len(ring) else np.zeros(len(polygons), int)
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1]), ends, first)

    def pairs(self) -> tuple[Int64, Int32]:
        """First vertex of every edge (int64) and the polygon it belongs to (int32)."""
        start = np.flatnonzero(~self.ends)
        owner = np.searchsorted(self.first, start, side="right") - 1
        return start, owner.astype(np.int32)


@dataclass(frozen=True, slots=True)
class Frame:
    """A box of `pixels` x `pixels` pixels; all in degrees."""

    west: float
    south: float
    east: float
    north: float
    pixels: int

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels per degree along x and y."""
        return self.pixels / (self.east - self.west), self.pixels / (self.north - self.south)


def _spread(first: Int64, last: Int64) -> tuple[Int64, Int64]:
    """Every whole number of every range first..last: index of the range, and the number."""
    size = np.maximum(last - first + 1, 0)
    which = np.repeat(np.arange(len(size)), size)
    start = np.cumsum(size) - size
    return which, np.arange(len(which)) - start[which] + first[which]


def touched(edges: Edges, frame: Frame) -> tuple[Int64, Int32]:
    """Pairs (pixel, polygon) where an edge of the polygon comes into the pixel or within the margin of it."""
    sx, sy = frame.scale
    start, owner = edges.pairs()
    ax, ay = (edges.x[start] - frame.west) * sx, (edges.y[start] - frame.south) * sy
    bx, by = (edges.x[start + 1] - frame.west) * sx, (edges.y[start + 1] - frame.south) * sy
    top = frame.pixels - 1
    low, high = np.minimum(ay, by) - _MARGIN, np.maximum(ay, by) + _MARGIN
    edge, line = _spread(
        np.clip(np.floor(low), 0, top).astype(np.int64), np.clip(np.floor(high), 0, top).astype(np.int64)
    )
    ax, ay, bx, by = ax[edge], ay[edge], bx[edge], by[edge]
    # The part of the edge inside this line of pixels; an edge that runs along the line is all of it.
    run = np.where(by == ay, 1.0, by - ay)
    t = np.clip((np.stack([line - _MARGIN, line + 1 + _MARGIN]) - ay) / run, 0.0, 1.0)
    t[:, by == ay] = [[0.0], [1.0]]
    xs = ax + t * (bx - ax)
    left = np.clip(np.floor(xs.min(axis=0) - _MARGIN), 0, top).astype(np.int64)
    right = np.clip(np.floor(xs.max(axis=0) + _MARGIN), 0, top).astype(np.int64)
    span, column = _spread(left, right)
    return line[span] * frame.pixels + column, owner[edge[span]]


def covered(edges: Edges, frame: Frame) -> tuple[Int64, Int32]:
    """Pairs (pixel, polygon) where the polygon covers the middle of the pixel, by the even-odd rule along each line.

    Right to rounding: exact wherever no edge touches the pixel.
    """
    sx, sy = frame.scale
    start, owner = edges.pairs()
    ax, ay = (edges.x[start] - frame.west) * sx, (edges.y[start] - frame.south) * sy - 0.5
    bx, by = (edges.x[start + 1] - frame.west) * sx, (edges.y[start + 1] - frame.south) * sy - 0.5
    # A line is crossed when it lies in [lower, upper): each vertex then belongs to one of its two edges.
    first, last = np.ceil(np.minimum(ay, by)), np.ceil(np.maximum(ay, by)) - 1
    edge, line = _spread(np.maximum(first, 0).astype(np.int64), np.minimum(last, frame.pixels - 1).astype(np.int64))
    x = ax[edge] + (line - ay[edge]) / (by[edge] - ay[edge]) * (bx[edge] - ax[edge])
    order = np.lexsort((x, line, owner[edge]))
    x, line, who = x[order] - 0.5, line[order], owner[edge[order]]
    left = np.maximum(np.ceil(x[0::2]), 0).astype(np.int64)
    right = np.minimum(np.ceil(x[1::2]) - 1, frame.pixels - 1).astype(np.int64)
    span, column = _spread(left, right)
    return line[0::2][span] * frame.pixels + column, who[0::2][span]
