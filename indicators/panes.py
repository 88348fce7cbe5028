"""Event aggregates in panes: sparse (pane, group) slots, windows as running sums that subtract what leaves.

Pane p covers [origin + p * length, origin + (p + 1) * length). A group is a scope row, or an entity row. Only touched
(pane, group) pairs cost memory: 24 bytes a slot and 8 a measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.indicators.columns import EventColumns
from citytwin.indicators.expr import Expr, as_mask, as_numbers
from citytwin.indicators.rolled import Rolled, RolledExtreme
from citytwin.models.columns import MISSING, Bool, Int32, Int64, unique
from citytwin.models.hashing import HashIndex, Keys
from citytwin.twin.growable import Grow

_NONE = -(2**40)


class Batch(Protocol):
    """What measures need of the events that begin or cease to count."""

    index: Int64
    columns: EventColumns
    sign: int


@njit(cache=True, nogil=True)
def _sum(slot, mask, values, sign, sums):  # type: ignore[no-untyped-def]
    for i in range(len(slot)):
        if mask[i] and slot[i] >= 0:
            sums[slot[i]] += sign * values[i]


@njit(cache=True, nogil=True)
def _add(slot, group, pane, mask, values, sign, own, touched, lo, hi):  # type: ignore[no-untyped-def]
    for i in range(len(slot)):
        if mask[i] and slot[i] >= 0 and lo <= pane[i] <= hi:
            own[group[i]] += sign * values[i]
            touched[group[i]] = True


#: From so many entries on, those that no window reaches are dropped once they are more than half.
FORGET_FROM = 4096


class PaneStore:
    """Slots of (pane, group) for one event type, pane length and kind of group; measures add columns to it."""

    def __init__(self, pane_ms: int, origin_ms: int) -> None:
        self.pane_ms, self.origin_ms = pane_ms, origin_ms
        self.keep = 1
        self.current = self._newest = _NONE
        self._index = HashIndex()
        self.pane, self.group = Grow(np.int64), Grow(np.int64)
        self.columns: dict[str, Grow] = {}
        #: Pairs that changed, where somebody is to be told of them.
        self.marks: list[tuple[Int64, Int64]] | None = None

    def mark(self, pane: Int64, group: Int64, slot: Int64) -> None:
        """What lies in these slots changes (-1: it lies in none)."""
        if self.marks is not None and len(pane):
            held = slot >= 0
            self.marks.append((pane[held], group[held]))

    def take_marks(self) -> Int64:
        """Slots that changed since the last call, sorted and unique (int64)."""
        marks, self.marks = self.marks or [], []
        if not marks:
            return np.zeros(0, np.int64)
        slots = unique(self.find(np.concatenate([p for p, _ in marks]), np.concatenate([g for _, g in marks])))
        return slots[slots >= 0]

    def column(self, name: str, fill: int = 0) -> Grow:
        """A measure's column, made when first asked for."""
        if name not in self.columns:
            self.columns[name] = Grow(np.int64, fill)
            self.columns[name].resize(self.pane.n)
        return self.columns[name]

    def panes_of(self, time: Int64) -> Int64:
        """Pane numbers of times in ms."""
        return (time - self.origin_ms) // self.pane_ms

    def slots(self, pane: Int64, group: Int64) -> Int64:
        """Slots of the pairs, made where needed; -1 for panes that no window can reach any more."""
        live = pane > self.current - self.keep
        slot = np.full(len(pane), -1, np.int64)
        rows = slice(None) if live.all() else np.flatnonzero(live)
        keys = Keys(self._mix(pane[rows], group[rows]), pane[rows].view(np.uint64))
        found, fresh = self._index.intern(keys, self.pane.n)
        slot[rows] = found
        if fresh.any():
            self.pane.extend(pane[rows][fresh])
            self.group.extend(group[rows][fresh])
            self.reach(pane[rows][fresh])
            for column in self.columns.values():
                column.resize(self.pane.n)
        return slot

    def find(self, pane: Int64, group: Int64) -> Int64:
        """Slots of the pairs, -1 where there is none; makes none."""
        return self._index.find(Keys(self._mix(pane, group), pane.view(np.uint64)))

    def span_ms(self, pane: Int64) -> tuple[int, int]:
        """First moment of the earliest of these panes and the end of the latest."""
        first, last = int(pane.min()), int(pane.max())
        return self.origin_ms + first * self.pane_ms, self.origin_ms + (last + 1) * self.pane_ms

    @staticmethod
    def _mix(pane: Int64, group: Int64) -> NDArray[np.uint64]:
        x = group.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + pane.astype(np.uint64)
        x ^= x >> np.uint64(29)
        x = x * np.uint64(0xBF58476D1CE4E5B9)
        return x ^ (x >> np.uint64(32))

    def between(self, lo: int, hi: int) -> Int64:
        """Slots of the panes lo..hi."""
        pane = self.pane.data
        return np.flatnonzero((pane >= lo) & (pane <= hi))

    def advance(self, now: int) -> tuple[int, int]:
        """Move the open pane to the one of `now`; returns (old, new). Forgets panes out of reach now and then.

        Out of reach of the windows as they stood: what leaves them by this move must still be subtracted.
        """
        old, new = self.current, max(self.current, (now - self.origin_ms) // self.pane_ms)
        if new != old:
            dead = self.pane.data <= old - self.keep
            if self.pane.n > FORGET_FROM and np.count_nonzero(dead) * 2 > self.pane.n:
                self._compact(np.flatnonzero(~dead))
        self.current = new
        return old, new

    def _compact(self, rows: Int64) -> None:
        for column in (self.pane, self.group, *self.columns.values()):
            column.load(column.data[rows].copy())
        pane, group = self.pane.data, self.group.data
        self._index.rebuild(Keys(self._mix(pane, group), pane.view(np.uint64)), np.arange(len(rows), dtype=np.int64))

    def reach(self, pane: Int64) -> None:
        """Note that something lies in these panes."""
        self._newest = max(self._newest, int(pane.max(initial=_NONE)))

    def next_edge(self) -> int:
        """Time of the next pane edge; never (2**62) where no window holds anything that an edge could move."""
        if self._newest <= self.current - self.keep:
            return 2**62
        return self.origin_ms + (self.current + 1) * self.pane_ms

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        out = {"pane": self.pane.data.copy(), "group": self.group.data.copy(), "current": np.array([self.current])}
        return out | {f"c.{k}": v.data.copy() for k, v in self.columns.items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        self.current = int(state["current"][0])
        self.pane.load(state["pane"])
        self.group.load(state["group"])
        for name, column in self.columns.items():
            column.load(state[f"c.{name}"])
        pane, group = self.pane.data, self.group.data
        self.reach(pane)
        rows = np.arange(self.pane.n, dtype=np.int64)
        self._index.rebuild(Keys(self._mix(pane, group), pane.view(np.uint64)), rows)


class Span:
    """The panes of a window: from `back` panes before the open one to `ahead` (0 the open one, -1 the last closed)."""

    def __init__(self, back: int, ahead: int) -> None:
        self.back, self.ahead = back, ahead

    def at(self, current: int) -> tuple[int, int]:
        """First and last pane."""
        return current + self.back, current + self.ahead


class SumWindow:
    """A running sum of one measure over a span of panes, by scope and rolled up."""

    def __init__(self, store: PaneStore, column: Grow, span: Span) -> None:
        self.store, self.column, self.span = store, column, span
        self.rolled = Rolled()
        store.keep = max(store.keep, 1 - span.back)

    def advance(self, old: int, new: int) -> None:
        """Subtract the panes that leave and add those that enter."""
        if old == new:
            return
        before, after = self.span.at(old), self.span.at(new)
        for (lo, hi), sign, other in ((before, -1, after), (after, 1, before)):
            slots = self.store.between(lo, hi)
            pane = self.store.pane.data[slots]
            slots = slots[(pane < other[0]) | (pane > other[1])]
            values = self.column.data[slots]
            some = values != 0
            self.rolled.add(self.store.group.data[slots[some]], sign * values[some])


class Additive:
    """A count or an exact integer sum per (pane, group), with its running windows."""

    def __init__(self, store: PaneStore, name: str, value: Expr | None, where: Expr | None, per_unit: int) -> None:
        self.store, self.value, self.where, self.per_unit = store, value, where, per_unit
        self.column = store.column(name)
        self.windows: dict[tuple[int, int], SumWindow] = {}

    def window(self, span: Span) -> SumWindow:
        """The running sum over a span, kept once."""
        key = (span.back, span.ahead)
        if key not in self.windows:
            self.windows[key] = SumWindow(self.store, self.column, span)
        return self.windows[key]

    def apply(self, columns: EventColumns, slot: Int64, group: Int64, pane: Int64, sign: int) -> None:
        """Add (+1) or subtract (-1) events."""
        mask, values = contributions(columns, self.value, self.where, self.per_unit, len(slot))
        _sum(slot, mask, values, sign, self.column.data)
        for view in self.windows.values():
            lo, hi = view.span.at(self.store.current)
            rolled = view.rolled
            rolled.waits = True
            _add(slot, group, pane, mask, values, sign, rolled.own.data, rolled.touched.data, lo, hi)


def contributions(
    columns: EventColumns, value: Expr | None, where: Expr | None, per_unit: int, n: int
) -> tuple[Bool, Int64]:
    """Which events count, and with which integer (rint(value * per_unit); 1 without a value)."""
    mask = np.ones(n, np.bool_) if where is None else as_mask(where.evaluate(columns), n)
    if value is None:
        return mask, np.ones(n, np.int64)
    stored = columns.steps(value.text[4:], per_unit) if value.text.startswith("col.") else None
    if stored is not None:
        return mask & (stored != MISSING), stored
    number = as_numbers(value.evaluate(columns), n) * per_unit
    mask = mask & np.isfinite(number)
    return mask, np.where(mask, np.rint(np.where(mask, number, 0.0)), 0.0).astype(np.int64)


class Extreme:
    """Largest (or, negated, smallest) integer per (pane, group); a retraction has the touched pairs counted again."""

    def __init__(
        self, store: PaneStore, name: str, value: Expr, where: Expr | None, per_unit: int, negate: bool, span: Span
    ) -> None:
        self.store, self.value, self.where, self.per_unit, self.span = store, value, where, per_unit, span
        self.sign = -1 if negate else 1
        self.column = store.column(name, MISSING)
        self.rolled = RolledExtreme()
        self.stale: list[Int64] = []
        self._raised: list[Int64] = []
        self._dirty = True
        store.keep = max(store.keep, 1 - span.back)

    def apply(self, columns: EventColumns, slot: Int64, sign: int) -> None:
        """Take events in (+1), or note the slots whose extreme is retracted (-1)."""
        mask, values = contributions(columns, self.value, self.where, self.per_unit, len(slot))
        mask &= slot >= 0
        slot, values = slot[mask], values[mask] * self.sign
        if sign > 0:
            np.maximum.at(self.column.data, slot, values)
            self._raised.append(slot)
        else:
            self.stale.append(unique(slot[values >= self.column.data[slot]]))
            self._dirty |= len(slot) > 0

    def waiting(self) -> Int64:
        """Slots that wait to be counted again, sorted and unique."""
        return unique(np.concatenate(self.stale)) if self.stale else np.zeros(0, np.int64)

    def take_stale(self) -> Int64:
        """Slots to count again; they hold nothing until then."""
        slots = self.waiting()
        self.stale = []
        self.column.data[slots] = MISSING
        return slots

    def advance(self, old: int, new: int) -> None:
        """The window moved."""
        self._dirty |= old != new

    def settle(self, ancestors: Int32) -> None:
        """Take the maxima of the window: anew where it moved or lost something, else by what came."""
        raised, self._raised = self._raised, []
        lo, hi = self.span.at(self.store.current)
        if not self._dirty:
            if raised:
                slots = np.concatenate(raised)
                pane = self.store.pane.data[slots]
                slots = slots[(pane >= lo) & (pane <= hi)]
                self.rolled.raise_to(self.store.group.data[slots].astype(np.int32), self.column.data[slots], ancestors)
            return
        self._dirty = False
        slots = self.store.between(lo, hi)
        slots = slots[self.column.data[slots] != MISSING]
        self.rolled.settle(self.store.group.data[slots].astype(np.int32), self.column.data[slots], ancestors)
