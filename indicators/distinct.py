"""Exact distinct counts of a window, by scope at every level: a key counts once per scope however often it comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.indicators.columns import EventColumns
from citytwin.indicators.expr import Expr, as_mask
from citytwin.indicators.panes import PaneStore, Span
from citytwin.indicators.rolled import Rolled
from citytwin.models.columns import Int32, Int64
from citytwin.models.hashing import HashIndex, Keys
from citytwin.twin.growable import Grow


@njit(cache=True, nogil=True, inline="always")
def _slot(ta, tb, tv, a, b):  # type: ignore[no-untyped-def]
    """Place of a key in an open-addressing table: where it is, or the empty place where it belongs."""
    mask = len(tv) - 1
    j = np.int64(a & np.uint64(mask))
    while tv[j] != -1 and not (ta[j] == a and tb[j] == b):
        j = (j + 1) & mask
    return j


@njit(cache=True, nogil=True, inline="always")
def _key(a, b, x, y):  # type: ignore[no-untyped-def]
    a = (a ^ (np.uint64(x) * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xC2B2AE3D27D4EB4F)
    a ^= a >> np.uint64(31)
    a = (a + np.uint64(y)) * np.uint64(0xFF51AFD7ED558CCD)
    a ^= a >> np.uint64(29)
    return a, b ^ (np.uint64(x) << np.uint64(32)) ^ np.uint64(y)


@njit(cache=True, nogil=True)
def _shift(ra, rb, scope, by, anc, table, refs, ka, kb, n, total, changed):  # type: ignore[no-untyped-def]
    """Keys enter (+1) or leave (-1) the window: count each at every level; returns the number of window keys."""
    ta, tb, tv = table
    for i in range(len(ra)):
        for level in range(anc.shape[1]):
            up = anc[scope[i], level]
            if up < 0:
                continue
            a, b = _key(ra[i], rb[i], up, 1)
            j = _slot(ta, tb, tv, a, b)
            if tv[j] == -1:
                ta[j], tb[j], tv[j] = a, b, n
                ka[n], kb[n], refs[n] = a, b, 0
                n += 1
            s = tv[j]
            before = refs[s] > 0
            refs[s] += by[i]
            after = refs[s] > 0
            if before != after:
                total[up] += 1 if after else -1
                changed[up] = True
    return n


@njit(cache=True, nogil=True)
def _count(ra, rb, pane, scope, sign, table, counts, columns, n, moved, by):  # type: ignore[no-untyped-def]
    """Count events per (key, pane, scope); `moved` gets what came to life or died. Returns their numbers."""
    ta, tb, tv = table
    epane, escope, era, erb, ka, kb = columns
    m = 0
    for i in range(len(ra)):
        a, b = _key(ra[i], rb[i], pane[i], scope[i])
        j = _slot(ta, tb, tv, a, b)
        if tv[j] == -1:
            ta[j], tb[j], tv[j] = a, b, n
            epane[n], escope[n], era[n], erb[n], ka[n], kb[n], counts[n] = pane[i], scope[i], ra[i], rb[i], a, b, 0
            n += 1
        s = tv[j]
        before = counts[s] > 0
        counts[s] += sign
        if before != (counts[s] > 0):
            moved[m] = s
            by[m] = -1 if before else 1
            m += 1
    return n, m


class _Counter:
    """Counts per key with the raw table beside them; `room` makes space for n more before a kernel runs."""

    def __init__(self) -> None:
        self.index = HashIndex()
        self.count, self.key_a, self.key_b = Grow(np.int64), Grow(np.uint64), Grow(np.uint64)

    def room(self, extra: int) -> tuple[int, tuple[NDArray[Any], ...]]:
        """Entries held, and the table to probe."""
        n = self.count.n
        for column in (self.count, self.key_a, self.key_b):
            column.resize(n + extra)
        return n, self.index.tables(extra)

    def trim(self, n: int, before: int) -> None:
        """Give back what the kernel did not use."""
        for column in (self.count, self.key_a, self.key_b):
            column.n = n
        self.index.used += n - before

    def state(self) -> dict[str, NDArray[Any]]:
        return {"count": self.count.data.copy(), "a": self.key_a.data.copy(), "b": self.key_b.data.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        for column, name in ((self.count, "count"), (self.key_a, "a"), (self.key_b, "b")):
            column.load(state[name])
        self.index.rebuild(Keys(self.key_a.data, self.key_b.data), np.arange(self.count.n, dtype=np.int64))

    def compact(self, rows: Int64) -> None:
        self.load({k: v[rows] for k, v in self.state().items()})


class Distinct:
    """Distinct keys of one event type over a span of panes; `rolled.total` holds the counts at every level."""

    def __init__(self, store: PaneStore, key: Expr, where: Expr | None, span: Span) -> None:
        self.store, self.where, self.span = store, where, span
        self.field = next(iter(key.refs))[1]
        self.rolled = Rolled()
        self._entries, self._window = _Counter(), _Counter()
        self._pane, self._scope = Grow(np.int64), Grow(np.int64)
        self._raw_a, self._raw_b = Grow(np.uint64), Grow(np.uint64)
        store.keep = max(store.keep, 1 - span.back)

    def apply(self, columns: EventColumns, scope: Int64, pane: Int64, sign: int, ancestors: Int32) -> None:
        """Add (+1) or remove (-1) events."""
        mask = (
            np.ones(len(scope), np.bool_) if self.where is None else as_mask(self.where.evaluate(columns), len(scope))
        )
        mask = mask & (pane > self.store.current - self.store.keep)
        rows = np.flatnonzero(mask)
        if len(rows) == 0:
            return
        raw = columns.keys(self.field).take(rows)
        n, table = self._entries.room(len(rows))
        for column in (self._pane, self._scope, self._raw_a, self._raw_b):
            column.resize(n + len(rows))
        moved, by = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        kept = (self._pane, self._scope, self._raw_a, self._raw_b, self._entries.key_a, self._entries.key_b)
        after, m = _count(
            raw.a, raw.b, pane[rows], scope[rows], sign, table, self._entries.count.data,
            tuple(c.data for c in kept), n, moved, by,
        )  # fmt: skip
        self._entries.trim(after, n)
        for column in (self._pane, self._scope, self._raw_a, self._raw_b):
            column.n = after
        lo, hi = self.span.at(self.store.current)
        inside = (self._pane.data[moved[:m]] >= lo) & (self._pane.data[moved[:m]] <= hi)
        self._shift(moved[:m][inside], by[:m][inside], ancestors)

    def _shift(self, slots: Int64, by: Int64, ancestors: Int32) -> None:
        """Entries that enter (+1) or leave (-1) the window: count their keys at every level."""
        n, table = self._window.room(len(slots) * ancestors.shape[1])
        window = self._window
        after = _shift(
            self._raw_a.data[slots], self._raw_b.data[slots], self._scope.data[slots], by, ancestors, table,
            window.count.data, window.key_a.data, window.key_b.data, n, self.rolled.total.data,
            self.rolled.changed.data,
        )  # fmt: skip
        window.trim(after, n)

    def advance(self, old: int, new: int, ancestors: Int32) -> None:
        """The open pane moved."""
        if old == new:
            return
        before, after = self.span.at(old), self.span.at(new)
        live = self._entries.count.data > 0
        pane = self._pane.data
        was, will = (live & (pane >= lo) & (pane <= hi) for lo, hi in (before, after))
        self._shift(np.flatnonzero(was & ~will), np.full(int((was & ~will).sum()), -1, np.int64), ancestors)
        self._shift(np.flatnonzero(will & ~was), np.full(int((will & ~was).sum()), 1, np.int64), ancestors)
        self._forget()

    def _forget(self) -> None:
        dead = self._pane.data <= self.store.current - self.store.keep
        if np.count_nonzero(dead) * 2 > max(len(dead), 4096):
            rows = np.flatnonzero(~dead)
            self._entries.compact(rows)
            for column in (self._pane, self._scope, self._raw_a, self._raw_b):
                column.load(column.data[rows].copy())
            self._window.compact(np.flatnonzero(self._window.count.data > 0))

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        out = {f"e.{k}": v for k, v in self._entries.state().items()}
        out |= {f"w.{k}": v for k, v in self._window.state().items()}
        out |= {f"r.{k}": v for k, v in self.rolled.state().items()}
        own = {"pane": self._pane, "scope": self._scope, "ra": self._raw_a, "rb": self._raw_b}
        return out | {k: v.data.copy() for k, v in own.items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        for prefix, part in (("e.", self._entries), ("w.", self._window), ("r.", self.rolled)):
            part.load({k[2:]: v for k, v in state.items() if k.startswith(prefix)})
        own = {"pane": self._pane, "scope": self._scope, "ra": self._raw_a, "rb": self._raw_b}
        for name, column in own.items():
            column.load(state[name])
