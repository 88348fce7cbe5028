"""Quantiles of events in windows by a log-bucket histogram: equal in any merge order, and what leaves is subtracted."""

from __future__ import annotations

import numpy as np

from citytwin.indicators.buckets import SPAN, bucket_of
from citytwin.indicators.columns import EventColumns
from citytwin.indicators.expr import Expr, as_mask, as_numbers
from citytwin.indicators.histograms import Histograms
from citytwin.indicators.panes import PaneStore, Span
from citytwin.models.columns import Bool, Int32, Int64


class Quantile:
    """Bucket counts per (pane, scope) and the quantile of a span of panes at every level.

    `weight`: each event counts rint(weight) times. `stride` > 1: of the span only the panes at the open one's phase
    count, every `stride`-th back from it.
    """

    def __init__(
        self, store: PaneStore, value: Expr, where: Expr | None, q: float, span: Span, weight: Expr | None = None,
        stride: int = 1,
    ) -> None:  # fmt: skip
        self.store, self.value, self.where, self.weight = store, value, where, weight
        self.span, self.stride = span, stride
        self.column = store.column("count")
        self.rolled = Histograms(q)
        self._stale = False
        store.keep = max(store.keep, 1 - span.back)

    def inside(self, pane: Int64, current: int) -> Bool:
        """Which panes count while `current` is the open one."""
        lo, hi = self.span.at(current)
        fits: Bool = (pane >= lo) & (pane <= hi)
        return fits if self.stride == 1 else fits & ((hi - pane) % self.stride == 0)

    def apply(self, columns: EventColumns, scope: Int64, pane: Int64, sign: int) -> None:
        """Count (+1) or uncount (-1) events."""
        n = len(scope)
        mask = np.ones(n, np.bool_) if self.where is None else as_mask(self.where.evaluate(columns), n)
        number = as_numbers(self.value.evaluate(columns), n)
        times = np.ones(n) if self.weight is None else np.rint(as_numbers(self.weight.evaluate(columns), n))
        rows = np.flatnonzero(mask & np.isfinite(number) & (times > 0))
        bucket, count = bucket_of(number[rows]), sign * times[rows].astype(np.int64)
        slot = self.store.slots(pane[rows], scope[rows] * SPAN + bucket)
        np.add.at(self.column.data, slot[slot >= 0], count[slot >= 0])
        now = self.inside(pane[rows], self.store.current) & (slot >= 0)
        self.rolled.add(scope[rows][now], bucket[now], count[now])

    def advance(self, old: int, new: int) -> None:
        """The open pane moved: count what entered the window, uncount what left it."""
        if old == new or self._stale:
            return
        pane = self.store.pane.data
        was, will = self.inside(pane, old), self.inside(pane, new)
        slots = np.flatnonzero((was != will) & (self.column.data != 0))
        group, sign = self.store.group.data[slots], np.where(will[slots], 1, -1)
        self.rolled.add(group // SPAN, group % SPAN, sign * self.column.data[slots])

    def settle(self, ancestors: Int32) -> None:
        """Work the quantile out again where anything moved."""
        if self._stale:
            self._stale = False
            self.rolled.clear()
            slots = np.flatnonzero(self.inside(self.store.pane.data, self.store.current) & (self.column.data != 0))
            group = self.store.group.data[slots]
            self.rolled.add(group // SPAN, group % SPAN, self.column.data[slots])
        self.rolled.settle(ancestors)

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        self.rolled.resize(n)

    def refresh(self) -> None:
        """After a restore: count everything anew at the next tick."""
        self._stale = True
        self.rolled.changed.open()[:] = True
