"""Exact distinct counts of a window, by scope at every level: a key counts once per scope however often it comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.indicators.columns import EventColumns
from citytwin.indicators.expr import Expr, as_mask
from citytwin.indicators.panes import PaneStore, Span
from citytwin.indicators.rolled import Rolled
from citytwin.models.columns import Int32, Int64
from citytwin.models.hashing import HashIndex, Keys, combine
from citytwin.twin.growable import Grow


def _number_keys(values: Int64) -> Keys:
    bits = values.astype(np.int64).view(np.uint64)
    return Keys(bits * np.uint64(0x9E3779B97F4A7C15), bits)


class _Counter:
    """Reference counts per key; `add` tells which keys came to life (+1) and which died (-1)."""

    def __init__(self) -> None:
        self.index = HashIndex()
        self.count, self.key_a, self.key_b = Grow(np.int64), Grow(np.uint64), Grow(np.uint64)

    def add(self, keys: Keys, by: Int64) -> tuple[Int64, Int64]:
        """Returns (slot of each key, change -1/0/+1 of each distinct slot as a column over slots)."""
        slot, fresh = self.index.intern(keys, self.count.n)
        self.key_a.extend(keys.a[fresh])
        self.key_b.extend(keys.b[fresh])
        self.count.resize(self.key_a.n)
        touched = np.unique(slot)
        before = self.count.data[touched] > 0
        np.add.at(self.count.data, slot, by)
        change = np.zeros(self.count.n, np.int64)
        change[touched] = (self.count.data[touched] > 0).astype(np.int64) - before
        return slot, change

    def state(self) -> dict[str, NDArray[Any]]:
        return {"count": self.count.data.copy(), "a": self.key_a.data.copy(), "b": self.key_b.data.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        for column, name in ((self.count, "count"), (self.key_a, "a"), (self.key_b, "b")):
            column.load(state[name])
        rows = np.arange(self.count.n, dtype=np.int64)
        self.index.rebuild(Keys(self.key_a.data, self.key_b.data), rows)

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
        keys = combine(raw, _number_keys(pane[rows]), _number_keys(scope[rows]))
        known = self._entries.count.n
        slot, change = self._entries.add(keys, np.full(len(rows), sign, np.int64))
        self._note(slot, known, raw, pane[rows], scope[rows])
        lo, hi = self.span.at(self.store.current)
        moved = np.flatnonzero(change)
        moved = moved[(self._pane.data[moved] >= lo) & (self._pane.data[moved] <= hi)]
        self._shift(moved, change[moved], ancestors)

    def _note(self, slot: Int64, known: int, raw: Keys, pane: Int64, scope: Int64) -> None:
        fresh, first = np.unique(slot, return_index=True)
        new = first[fresh >= known]
        self._pane.extend(pane[new])
        self._scope.extend(scope[new])
        self._raw_a.extend(raw.a[new])
        self._raw_b.extend(raw.b[new])

    def _shift(self, slots: Int64, by: Int64, ancestors: Int32) -> None:
        """Entries that enter (+1) or leave (-1) the window: count their keys at every level."""
        raw = Keys(self._raw_a.data[slots], self._raw_b.data[slots])
        for level in range(ancestors.shape[1]):
            up = ancestors[self._scope.data[slots], level].astype(np.int64)
            there = np.flatnonzero(up >= 0)
            if len(there) == 0:
                continue
            keys = combine(raw.take(there), _number_keys(up[there]))
            slot, change = self._window.add(keys, by[there])
            scopes = np.zeros(len(change), np.int64)
            scopes[slot] = up[there]
            moved = np.flatnonzero(change)
            np.add.at(self.rolled.total.data, scopes[moved], change[moved])
            self.rolled.changed.data[scopes[moved]] = True

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
