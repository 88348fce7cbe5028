"""Travel on roads: a graph of lines with speeds, shortest times by Dijkstra, and distance where no road is near.

Lines are cut at every vertex and into pieces of at most `PIECE_M`; two lines meet where they share a vertex. An end of
a trip that lies within `SNAP_M` of the graph goes to its nearest vertex, straight on, at the speed of `Straight`. A
trip whose end does not, or that no road connects, is answered by distance, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from citytwin.geo.travel import METRES, Straight, Trips, apart
from citytwin.models.columns import Bool, Float64, Int64

#: A place is on the graph when a vertex lies within this distance; a local default.
SNAP_M = 150.0
PIECE_M = 60.0
#: Searches run for so many places at a time, which bounds their memory.
_AT_ONCE = 16


@njit(cache=True, nogil=True)
def _along(before, x, y, start, stop, out):  # type: ignore[no-untyped-def]
    """Metres of the way from `start` to each of `stop`, by the vertex before each vertex; those without a way stay."""
    for k in range(len(stop)):
        at, total = stop[k], 0.0
        if at != start and before[at] < 0:
            continue
        while at != start:
            last = before[at]
            total += np.hypot(x[at] - x[last], y[at] - y[last])
            at = last
        out[k] = total


def _pieces(line: Float64) -> tuple[Float64, Bool]:
    """Vertices of a line (degrees, [n, 2]) with others between those that are far apart; which of them are its own."""
    far = apart(line[:-1, 0], line[:-1, 1], line[1:, 0], line[1:, 1])
    cuts = np.maximum(np.ceil(far / PIECE_M), 1).astype(np.int64)
    share = np.concatenate([np.arange(c) / c for c in cuts.tolist()])
    first = np.repeat(line[:-1], cuts, axis=0)
    inner = first + share[:, None] * (np.repeat(line[1:], cuts, axis=0) - first)
    return np.concatenate([inner, line[-1:]]), np.append(share == 0, True)


def _vertices(points: Float64, own: Bool) -> tuple[Float64, Int64]:
    """Places of the vertices, and the vertex of each point: lines meet in points of their own, in no other."""
    places, at = np.unique(np.round(points[own], 7), axis=0, return_inverse=True)
    vertex = np.empty(len(points), np.int64)
    vertex[own], vertex[~own] = at.ravel(), len(places) + np.arange(int((~own).sum()))
    return np.concatenate([places, points[~own]]), vertex


class Roads:
    """A road graph; `lines` float64[n, 2] degrees each, `kmh` of each, `oneway`: only in the order of its vertices.

    ValueError for a speed that is not above 0. `straight` answers where no road does.
    """

    def __init__(
        self, lines: Sequence[Float64], kmh: Sequence[float], oneway: Sequence[bool], straight: Straight | None = None
    ) -> None:
        if any(not speed > 0 for speed in kmh):
            raise ValueError("a road has no speed; give each one above 0 km/h")
        self.straight = straight or Straight()
        some = [(*_pieces(line), v, one) for line, v, one in zip(lines, kmh, oneway, strict=True) if len(line) > 1]
        points = np.concatenate([np.zeros((0, 2)), *(line for line, *_ in some)])
        own = np.concatenate([np.zeros(0, np.bool_), *(mine for _, mine, *_ in some)])
        kept = [(len(line), v, one) for line, _, v, one in some]
        places, vertex = _vertices(points, own)
        self.lon, self.lat = places[:, 0].copy(), places[:, 1].copy()
        self._shrink = float(np.cos(np.radians(self.lat.mean()))) if len(places) else 1.0
        self._x, self._y = self._plane(self.lon, self.lat)
        self.forth = self._graph(vertex, kept)
        self.back = csr_array(self.forth.T)
        self._tree = cKDTree(np.stack([self._x, self._y], axis=1)) if len(places) else None

    def __len__(self) -> int:
        return len(self.lon)

    def _plane(self, lon: Float64, lat: Float64) -> tuple[Float64, Float64]:
        return np.asarray(lon) * METRES * self._shrink, np.asarray(lat) * METRES

    def _graph(self, vertex: Int64, kept: Sequence[tuple[int, float, bool]]) -> Any:
        """Seconds from vertex to vertex; of two roads between the same vertices the faster one."""
        size = np.array([n for n, _, _ in kept], np.int64)
        inner = np.ones(len(vertex), np.bool_)
        inner[np.cumsum(size) - 1] = False
        speed = np.repeat([v for _, v, _ in kept], size)[inner] / 3.6
        one = np.repeat(np.array([o for _, _, o in kept], np.bool_), size)[inner]
        a, b = vertex[np.flatnonzero(inner)], vertex[np.flatnonzero(inner) + 1]
        seconds = np.hypot(self._x[a] - self._x[b], self._y[a] - self._y[b]) / speed
        a, b = np.concatenate([a, b[~one]]), np.concatenate([b, a[~one]])
        seconds = np.concatenate([seconds, seconds[~one]])
        order = np.lexsort((seconds, b, a))
        a, b, seconds = a[order], b[order], seconds[order]
        new = (np.diff(a, prepend=-1) != 0) | (np.diff(b, prepend=-1) != 0)
        new &= a != b
        return csr_array((seconds[new], (a[new], b[new])), shape=(len(self), len(self)))

    def snap(self, lon: Float64, lat: Float64) -> tuple[Int64, Float64]:
        """Nearest vertex of places (int64[n], -1 for none within SNAP_M) and the metres to it."""
        lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
        known: Bool = ~(np.isnan(lon) | np.isnan(lat))
        vertex, off = np.full(len(lon), -1, np.int64), np.full(len(lon), np.inf)
        if self._tree is not None and known.any():
            away, at = self._tree.query(np.stack(self._plane(lon[known], lat[known]), axis=1))
            vertex[known] = np.where(away <= SNAP_M, at, -1)
            off[known] = np.where(away <= SNAP_M, away, np.inf)
        return vertex, off

    def trips(self, lon: Float64, lat: Float64, to_lon: Float64, to_lat: Float64) -> Trips:
        """By road where both ends are on the graph and a road connects them, else by distance."""
        plain = self.straight.trips(lon, lat, to_lon, to_lat)
        (here, off), (there, to_off) = self.snap(lon, lat), self.snap(to_lon, to_lat)
        i, j = np.flatnonzero(here >= 0), np.flatnonzero(there >= 0)
        if not len(i) or not len(j):
            return plain
        seconds, metres = self._ways(here[i], there[j])
        ends = off[i][:, None] + to_off[j]
        seconds, metres = seconds + ends * 3.6 / self.straight.kmh, metres + ends
        found, block = np.isfinite(seconds), np.ix_(i, j)
        plain.seconds[block] = np.where(found, seconds, plain.seconds[block])
        plain.metres[block] = np.where(found, metres, plain.metres[block])
        plain.road[block] = found
        return plain

    def _ways(self, here: Int64, there: Int64) -> tuple[Float64, Float64]:
        """Seconds and metres between vertices [n, m], inf where there is no way; searched from the fewer ends."""
        if len(there) < len(here):
            seconds, metres = self._search(self.back, there, here)
            return seconds.T, metres.T
        return self._search(self.forth, here, there)

    def _search(self, graph: Any, starts: Int64, stops: Int64) -> tuple[Float64, Float64]:
        seconds, metres = np.empty((len(starts), len(stops))), np.full((len(starts), len(stops)), np.inf)
        for first in range(0, len(starts), _AT_ONCE):
            some = starts[first : first + _AT_ONCE]
            time, before = dijkstra(graph, directed=True, indices=some, return_predecessors=True)
            seconds[first : first + len(some)] = time[:, stops]
            for k, start in enumerate(some.tolist()):
                _along(before[k], self._x, self._y, start, stops, metres[first + k])
        return seconds, metres
