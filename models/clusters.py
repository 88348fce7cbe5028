"""Clusters of incidents in space, and in space and time: DBSCAN and ST-DBSCAN with a grid of cells.

A point with at least `least` points near it (itself included) is a core; cores near each other share a cluster; a point
that only has a core near it is on the border and joins the nearest one; the rest is noise. Which points are cores, and
which cores are together, does not depend on their order. Sources: Ester et al. 1996; Birant, Kut 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from citytwin.models.columns import Bool, Float64, Int64
from citytwin.models.nearby import FOR_EVER, MOST_TIME, Index, distance2, near

NOISE = -1


@dataclass(frozen=True, slots=True)
class Rule:
    """What counts as near (`radius` in metres and `within_ms` in time) and how many near points make a core."""

    radius: float
    least: int
    within_ms: int = FOR_EVER


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Cluster of each point (int64[n], NOISE = none), numbered by their first core, and which are cores (bool[n])."""

    label: Int64
    core: Bool

    def sizes(self) -> Int64:
        """Points of each cluster (int64[number of clusters])."""
        return np.bincount(self.label[self.label != NOISE]).astype(np.int64)


class _Found:
    """`near` points of each point (itself included), its `leader` among the cores and the core that is its `anchor`."""

    def __init__(self, points: Float64, time: Int64, rule: Rule) -> None:
        index = Index(points, time, rule.radius, rule.within_ms)
        self.near = index.counts() + 1
        self.leader, self.anchor = np.arange(len(points), dtype=np.int64), np.full(len(points), NOISE, np.int64)
        core = self.near >= rule.least
        args = (index.key, index.points, index.time, index.rows, index.radius, index.within_ms)
        _join(*args, index.order, core, self.leader, self.anchor)


def st_dbscan(points: Float64, time: Int64, rule: Rule) -> Clusters:
    """Clusters of points float64[n, d] (metres, d >= 2) with times int64[n] (ms), in O(n * neighbours).

    ValueError for what has no place or time (see `nearby.Index`).
    """
    core = (found := _Found(points, time, rule)).near >= rule.least
    return Clusters(_labels(core, found.leader, found.anchor), core)


def dbscan(points: Float64, rule: Rule) -> Clusters:
    """Clusters in space alone (points float64[n, d], metres)."""
    return st_dbscan(points, np.zeros(len(points), np.int64), Rule(rule.radius, rule.least))


@njit(cache=True, nogil=True)
def _find(leader, i):  # type: ignore[no-untyped-def]
    while leader[i] != i:
        leader[i] = leader[leader[i]]
        i = leader[i]
    return i


@njit(cache=True, nogil=True)
def _unite(leader, i, j):  # type: ignore[no-untyped-def]
    """The lower row leads."""
    a, b = _find(leader, i), _find(leader, j)
    leader[max(a, b)] = min(a, b)


@njit(cache=True, nogil=True)
def _join(key, points, time, rows, radius, reach, order, core, leader, anchor):  # type: ignore[no-untyped-def]
    found = np.empty(len(key), np.int64)
    for i in range(len(key)):
        n, me = near(key, points, time, rows, radius, reach, i, found), order[i]
        best = np.inf
        for j in found[:n]:
            other = order[j]
            if not core[other]:
                continue
            if core[me]:
                _unite(leader, me, other)
                continue
            d = distance2(points, i, j)
            if d < best or (d == best and other < anchor[me]):
                best, anchor[me] = d, other


@njit(cache=True, nogil=True)
def _label(core, leader, anchor, number, label):  # type: ignore[no-untyped-def]
    n = 0
    for i in range(len(core)):
        if core[i]:
            root = _find(leader, i)
            if number[root] < 0:
                number[root] = n
                n += 1
            label[i] = number[root]
    for i in range(len(core)):
        if not core[i] and anchor[i] >= 0:
            label[i] = label[anchor[i]]


def _labels(core: Bool, leader: Int64, anchor: Int64) -> Int64:
    number, label = np.full(len(core), -1, np.int64), np.full(len(core), NOISE, np.int64)
    _label(core, leader, anchor, number, label)
    return label


class Incidents:
    """The same clusters, kept while points come: an insert costs O(its neighbours), a drop of old ones a new start.

    After inserts and drops `clusters()` equals `st_dbscan` of the points in the order of their insertion. The caller
    bounds them by dropping: about 150 bytes a point.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._forget()

    def _forget(self) -> None:
        self.n = 0
        self._x, self._y, self._distance = np.zeros(64), np.zeros(64), np.full(64, np.inf)
        self._time, self._near, self._leader = (np.zeros(64, np.int64) for _ in range(3))
        self._anchor = np.full(64, NOISE, np.int64)
        self._cells: dict[tuple[int, int], list[int]] = {}

    def __len__(self) -> int:
        return self.n

    def insert(self, x: float, y: float, time: int) -> int:
        """Take a point (metres, ms UTC); its row. ValueError for one without a place or a time."""
        if not (np.isfinite(x) and np.isfinite(y)) or not -MOST_TIME < time < MOST_TIME:
            raise ValueError("a point has no place or no time; leave it out")
        row = self._append(x, y, time)
        around = self._around(row)
        self._near[around] += 1
        self._near[row] = len(around) + 1
        risen = around[self._near[around] == self.rule.least]
        cores = around[self._near[around] >= self.rule.least]
        if self._near[row] >= self.rule.least:
            risen = np.append(risen, row)
        elif len(cores):
            self._anchor_at(np.array([row]), cores)
        for core in risen.tolist():
            self._rise(core)
        return row

    def _rise(self, core: int) -> None:
        """A point became a core: it joins the cores near it, the others near it may be its border."""
        around = self._around(core)
        is_core = self._near[around] >= self.rule.least
        for other in around[is_core].tolist():
            _unite(self._leader, core, other)
        self._anchor_at(around[~is_core], np.array([core]))

    def _anchor_at(self, rows: Int64, cores: Int64) -> None:
        """Anchor border points at the nearest of these cores, where none is nearer (the lower row of equal ones)."""
        for core in cores.tolist():
            d = (self._x[rows] - self._x[core]) ** 2 + (self._y[rows] - self._y[core]) ** 2
            best = (d < self._distance[rows]) | ((d == self._distance[rows]) & (core < self._anchor[rows]))
            self._distance[rows[best]], self._anchor[rows[best]] = d[best], core

    def _around(self, row: int) -> Int64:
        """Rows near a row, itself left out."""
        column, line = self._cell(row)
        cells = ((column + i, line + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
        rows = np.array([r for cell in cells for r in self._cells.get(cell, ())], np.int64)
        d = (self._x[rows] - self._x[row]) ** 2 + (self._y[rows] - self._y[row]) ** 2
        close = (d <= self.rule.radius**2) & (np.abs(self._time[rows] - self._time[row]) <= self.rule.within_ms)
        around: Int64 = rows[close & (rows != row)]
        return around

    def _cell(self, row: int) -> tuple[int, int]:
        width = self.rule.radius * (1 + 1e-9)
        return int(self._x[row] // width), int(self._y[row] // width)

    def _append(self, x: float, y: float, time: int) -> int:
        row = self.n
        if row == len(self._x):
            for name in ("_x", "_y", "_distance", "_time", "_near", "_leader", "_anchor"):
                old = getattr(self, name)
                fill = {"_distance": np.inf, "_anchor": NOISE}.get(name, 0)
                setattr(self, name, np.concatenate([old, np.full(len(old), fill, old.dtype)]))
        self._x[row], self._y[row], self._time[row], self._leader[row] = x, y, time, row
        self._cells.setdefault(self._cell(row), []).append(row)
        self.n += 1
        return row

    def drop(self, before: int) -> Bool:
        """Forget points older than a time (ms UTC); which stayed (bool[n before]). The rows of those close up."""
        stay = self._time[: self.n] >= before
        points = np.stack([self._x[: self.n], self._y[: self.n]], axis=1)[stay]
        time = self._time[: self.n][stay]
        self._forget()
        for (x, y), t in zip(points.tolist(), time.tolist(), strict=True):
            self._append(x, y, t)
        n, found = self.n, _Found(points, time, self.rule)
        self._near[:n], self._leader[:n], self._anchor[:n] = found.near, found.leader, found.anchor
        has = found.anchor != NOISE
        self._distance[:n][has] = np.sum((points[has] - points[found.anchor[has]]) ** 2, axis=1)
        return stay

    def clusters(self) -> Clusters:
        """Clusters of all points now, O(n)."""
        core = self._near[: self.n] >= self.rule.least
        return Clusters(_labels(core, self._leader[: self.n], self._anchor[: self.n]), core)
