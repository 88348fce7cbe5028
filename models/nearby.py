"""Who is near whom in the plane and in time: neighbours within a radius by a grid of cells, O(n * neighbours)."""

from __future__ import annotations

import numpy as np
from numba import njit

from citytwin.models.columns import Float64, Int64

#: Times lie within 2**61 ms of 1970, a reach in time is at most twice that: no difference of two overflows.
MOST_TIME = 2**61
FOR_EVER = 2**62
#: Columns and rows of cells are at most this many each, so that a cell has an int64 number.
_MOST_CELLS = 2**30
#: Cells are wider than the radius by this share: no rounding puts two neighbours two cells apart.
_WIDER = 1 + 1e-9


class Index:
    """Points float64[n, d] (d >= 2, in metres) with times int64[n] (ms), sorted by cell of the first two coordinates.

    Neighbours lie at most `radius` (all d coordinates, Euclidean) and `within_ms` apart. ValueError for places or
    times that are missing, a radius that is not above 0, or points too far apart for it.
    """

    def __init__(self, points: Float64, time: Int64, radius: float, within_ms: int = FOR_EVER) -> None:
        if not (radius > 0 and np.isfinite(radius)) or not 0 <= within_ms <= FOR_EVER:
            raise ValueError(
                f"nothing lies within {radius} m and {within_ms} ms; give a radius above 0 and 0 to 2^62 ms"
            )
        if not np.isfinite(points).all() or (len(time) and not (-MOST_TIME < time.min() <= time.max() < MOST_TIME)):
            raise ValueError("a point has no place or no time; leave out what is NaN or missing")
        self.radius, self.within_ms, width = radius, within_ms, radius * _WIDER
        corner = points[:, :2].min(axis=0) if len(points) else np.zeros(2)
        cell = np.floor((points[:, :2] - corner) / width)
        if len(points) and cell.max() > _MOST_CELLS:
            raise ValueError(f"points lie too far apart for a radius of {radius} m; are they in metres?")
        whole = cell.astype(np.int64) + 1
        self.rows = int(whole[:, 1].max(initial=0)) + 2  # an empty row on either side: no cell's neighbour wraps around
        key = whole[:, 0] * self.rows + whole[:, 1]
        self.order: Int64 = np.lexsort((time, key)).astype(np.int64)
        self.key, self.time = key[self.order], time[self.order]
        self.points = np.ascontiguousarray(points[self.order], np.float64)

    def counts(self) -> Int64:
        """Neighbours of each point, itself left out (int64[n])."""
        out = np.empty(len(self.order), np.int64)
        _count(self.key, self.points, self.time, self.order, self.rows, self.radius, self.within_ms, out)
        return out

    def pairs(self) -> tuple[Int64, Int64]:
        """Neighbours of each point in ascending order, itself left out: indptr int64[n + 1], indices int64[nnz]."""
        indptr = np.zeros(len(self.order) + 1, np.int64)
        np.cumsum(self.counts(), out=indptr[1:])
        out = np.empty(indptr[-1], np.int64)
        _pairs(self.key, self.points, self.time, self.order, self.rows, self.radius, self.within_ms, indptr, out)
        return indptr, out


def within(x: Float64, y: Float64, radius: float) -> tuple[Int64, Int64]:
    """Neighbours of places (float64[n], metres) at most `radius` apart, without themselves: indptr, indices (int64).

    >>> [a.tolist() for a in within(np.array([0.0, 3.0, 9.0]), np.zeros(3), 5.0)]
    [[0, 1, 2, 2], [1, 0]]
    """
    points = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], axis=1)
    return Index(points, np.zeros(len(points), np.int64), radius).pairs()


@njit(cache=True, nogil=True)
def _nearest(x, y, order, k, out):  # type: ignore[no-untyped-def]
    """Walk from each place to both sides in the order of x until no place there can be nearer."""
    n = len(order)
    far = np.empty(k, np.int64)
    for at in range(n):
        i, held = order[at], 0
        for step in (-1, 1):
            j = at + step
            while 0 <= j < n:
                other = order[j]
                dx, dy = x[other] - x[i], y[other] - y[i]
                if held == k and dx * dx > far[k - 1]:
                    break
                d = dx * dx + dy * dy
                p = held if held < k else k - 1
                if held < k or d < far[p] or (d == far[p] and other < out[i, p]):
                    while p > 0 and (far[p - 1] > d or (far[p - 1] == d and out[i, p - 1] > other)):
                        far[p], out[i, p] = far[p - 1], out[i, p - 1]
                        p -= 1
                    far[p], out[i, p] = d, other
                    held = min(held + 1, k)
                j += step


def nearest(x: Int64, y: Int64, k: int) -> Int64:
    """The k nearest others of each place (whole metres, int64[n]) by distance, then row (int64[n, min(k, n - 1)]).

    >>> nearest(np.array([0, 3, 9]), np.array([0, 0, 0]), 1).tolist()
    [[1], [0], [1]]
    """
    out = np.empty((len(x), max(0, min(k, len(x) - 1))), np.int64)
    if out.size:
        _nearest(x, y, np.argsort(x, kind="stable").astype(np.int64), out.shape[1], out)
    return out


@njit(cache=True, nogil=True)
def _first(key, time, wanted, since):  # type: ignore[no-untyped-def]
    """First of the sorted points at or after (wanted, since)."""
    lo, hi = 0, len(key)
    while lo < hi:
        mid = (lo + hi) // 2
        if key[mid] < wanted or (key[mid] == wanted and time[mid] < since):
            lo = mid + 1
        else:
            hi = mid
    return lo


@njit(cache=True, nogil=True)
def distance2(points, i, j):  # type: ignore[no-untyped-def]
    """Squared distance of two rows."""
    total = 0.0
    for k in range(points.shape[1]):
        off = points[i, k] - points[j, k]
        total += off * off
    return total


@njit(cache=True, nogil=True)
def near(key, points, time, rows, radius, reach, i, out):  # type: ignore[no-untyped-def]
    """Write the sorted positions of the neighbours of sorted point i into `out`; how many there are."""
    limit, n = radius * radius, 0
    for column in range(-1, 2):
        for row in range(-1, 2):
            cell = key[i] + column * rows + row
            j = _first(key, time, cell, time[i] - reach)
            while j < len(key) and key[j] == cell and time[j] - time[i] <= reach:
                if j != i and distance2(points, i, j) <= limit:
                    out[n] = j
                    n += 1
                j += 1
    return n


@njit(cache=True, nogil=True)
def _count(key, points, time, order, rows, radius, reach, out):  # type: ignore[no-untyped-def]
    found = np.empty(len(key), np.int64)
    for i in range(len(key)):
        out[order[i]] = near(key, points, time, rows, radius, reach, i, found)


@njit(cache=True, nogil=True)
def _pairs(key, points, time, order, rows, radius, reach, indptr, out):  # type: ignore[no-untyped-def]
    found = np.empty(len(key), np.int64)
    for i in range(len(key)):
        n = near(key, points, time, rows, radius, reach, i, found)
        at = indptr[order[i]]
        out[at : at + n] = np.sort(order[found[:n]])
