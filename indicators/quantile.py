"""Quantiles by a log-bucket histogram (the DDSketch form): value error <= 1 %, equal in any merge order, subtractable.

Source: Masson, Rim, Lee, "DDSketch", VLDB 2019. gamma = (1 + a) / (1 - a) with a = 0.01.
"""

from __future__ import annotations

import numpy as np

from citytwin.indicators.columns import EventColumns
from citytwin.indicators.expr import Expr, as_mask, as_numbers
from citytwin.indicators.panes import PaneStore, Span
from citytwin.models.columns import Float64, Int32, Int64
from citytwin.twin.growable import Grow

ALPHA = 0.01
GAMMA = (1 + ALPHA) / (1 - ALPHA)
#: Upper edges of buckets 1, 2, ...: bucket i holds (edge[i-2], edge[i-1]]; bucket 0 holds what is not above 1e-6.
EDGES: Float64 = 1e-6 * GAMMA ** np.arange(1, 2048, dtype=np.float64)
_SPAN = 4096


def bucket_of(values: Float64) -> Int64:
    """Bucket of each value (int64[n]); 0 for values not above 1e-6, the last one for all beyond 1e11.

    >>> bucket_of(np.array([0.0, 1.0])).tolist()
    [0, 691]
    """
    found = np.searchsorted(EDGES, values, side="left").astype(np.int64) + 1
    return np.where(values <= 1e-6, 0, np.minimum(found, len(EDGES)))


def value_of(bucket: Int64) -> Float64:
    """The value that stands for a bucket, within 1 % of all in it (float64[n])."""
    return np.where(bucket == 0, 0.0, EDGES[np.maximum(bucket - 1, 0)] * 2 / (1 + GAMMA))


def from_buckets(scope: Int64, bucket: Int64, count: Int64, q: float, n: int) -> Float64:
    """Quantile q per scope of counted buckets (pairs may repeat); float64[n scopes], NaN where nothing is counted.

    The value of rank floor(q * (N - 1)) counted from 0.
    """
    out = np.full(n, np.nan)
    if len(scope) == 0:
        return out
    pair, inverse = np.unique(scope * _SPAN + bucket, return_inverse=True)
    counted = np.zeros(len(pair), np.int64)
    np.add.at(counted, inverse, count)
    where, level = pair // _SPAN, pair % _SPAN
    cumulated = np.cumsum(counted)
    names, first = np.unique(where, return_index=True)
    before = np.where(first > 0, cumulated[first - 1], 0)
    last = np.append(first[1:], len(pair)) - 1
    total = cumulated[last] - before
    rank = np.floor(q * (total - 1)).astype(np.int64)
    at = np.searchsorted(cumulated, before + rank, side="right")
    out[names[total > 0]] = value_of(level[np.minimum(at, len(level) - 1)])[total > 0]
    return out


class Quantile:
    """Bucket counts per (pane, scope) and the quantile of a span of panes at every level."""

    def __init__(self, store: PaneStore, value: Expr, where: Expr | None, q: float, span: Span) -> None:
        self.store, self.value, self.where, self.q, self.span = store, value, where, q, span
        self.column = store.column("count")
        self.total, self.changed = Grow(np.float64, np.nan), Grow(np.bool_, False)
        self._dirty = True
        store.keep = max(store.keep, 1 - span.back)

    def apply(self, columns: EventColumns, scope: Int64, pane: Int64, sign: int) -> None:
        """Count (+1) or uncount (-1) events."""
        n = len(scope)
        mask = np.ones(n, np.bool_) if self.where is None else as_mask(self.where.evaluate(columns), n)
        number = as_numbers(self.value.evaluate(columns), n)
        rows = np.flatnonzero(mask & np.isfinite(number))
        slot = self.store.slots(pane[rows], scope[rows] * _SPAN + bucket_of(number[rows]))
        np.add.at(self.column.data, slot[slot >= 0], sign)
        self._dirty |= len(rows) > 0

    def advance(self, old: int, new: int) -> None:
        """The open pane moved."""
        self._dirty |= old != new

    def settle(self, ancestors: Int32) -> None:
        """Work the quantile out again where anything moved."""
        if not self._dirty:
            return
        self._dirty = False
        slots = self.store.between(*self.span.at(self.store.current))
        slots = slots[self.column.data[slots] > 0]
        group, count = self.store.group.data[slots], self.column.data[slots]
        scope, bucket = group // _SPAN, group % _SPAN
        parts = []
        for level in range(ancestors.shape[1]):
            up = ancestors[scope, level].astype(np.int64)
            there = up >= 0
            parts.append((up[there], bucket[there], count[there]))
        ups, buckets, counts = (np.concatenate(p) for p in zip(*parts, strict=True))
        fresh = from_buckets(ups, buckets, counts, self.q, self.total.n)
        self.changed.data[:] |= ~((fresh == self.total.data) | (np.isnan(fresh) & np.isnan(self.total.data)))
        self.total.data[:] = fresh

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        self.total.resize(n)
        self.changed.resize(n)

    def refresh(self) -> None:
        """After a restore: work everything out at the next tick."""
        self._dirty = True
        self.changed.data[:] = True
