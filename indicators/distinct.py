"""Distinct counts of windows, by scope at every level: a key counts once per scope however often it comes.

They are exact while a pane holds at most EXACT_MAX entries (a key at a scope); a pane beyond it is kept as sketches, of
1.6 % standard error. A window of several panes is of one sort: with one of its panes beyond the bound all are sketches.

A key's (pane, scope) entries hang in a list of their own, which is short: whether a key is new to a scope and to those
above it is told by a walk over the key's other entries, so one probe of the index per event is enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.indicators import panes
from citytwin.indicators.columns import EventColumns
from citytwin.indicators.expr import Expr, as_mask
from citytwin.indicators.panes import PaneStore, Span
from citytwin.indicators.rolled import Flags, Rolled
from citytwin.indicators.sketched import Pane, Sketches
from citytwin.models.columns import Float64, Int32, Int64, UInt64
from citytwin.models.hashing import HashIndex, Keys
from citytwin.twin.growable import Grow

#: Entries (a key at a scope) of a pane that are counted exactly: 60 bytes each.
EXACT_MAX = 2_000_000


@njit(cache=True, nogil=True)
def _count(keys, pane, scope, sign, entries, head, n, moved, by):  # type: ignore[no-untyped-def]
    """Count events per (key, pane, scope); `moved` gets what came to life or died. Returns their numbers."""
    epane, escope, ekey, count, following = entries
    m = 0
    for i in range(len(keys)):
        k = keys[i]
        s = head[k]
        while s >= 0 and (epane[s] != pane[i] or escope[s] != scope[i]):
            s = following[s]
        if s < 0:
            s = n
            n += 1
            epane[s], escope[s], ekey[s], count[s], following[s] = pane[i], scope[i], k, 0, head[k]
            head[k] = s
        before = count[s] > 0
        count[s] += sign
        if before != (count[s] > 0):
            moved[m] = s
            by[m] = -1 if before else 1
            m += 1
    return n, m


@njit(cache=True, nogil=True)
def _shared(s, bit, escope, following, inside, first, anc):  # type: ignore[no-untyped-def]
    """How many levels from the city down entry s shares with the key's other entries in the window."""
    deepest = 0
    mine = escope[s]
    e = first
    while e >= 0 and deepest < anc.shape[1]:
        if e != s and inside[e] & bit:
            level = 0
            while level < anc.shape[1] and anc[mine, level] >= 0 and anc[mine, level] == anc[escope[e], level]:
                level += 1
            deepest = max(deepest, level)
        e = following[e]
    return deepest


@njit(cache=True, nogil=True)
def _shift(slots, by, bit, lo, hi, entries, head, inside, anc, total, changed):  # type: ignore[no-untyped-def]
    """Entries enter (+1) or leave (-1) the window of a bit: count their keys where no other entry does."""
    epane, escope, ekey, _, following = entries
    for i in range(len(slots)):
        s = slots[i]
        if by[i] > 0:
            if not lo <= epane[s] <= hi or inside[s] & bit:
                continue
            inside[s] |= bit
        elif inside[s] & bit:
            inside[s] &= ~bit
        else:
            continue
        for level in range(_shared(s, bit, escope, following, inside, head[ekey[s]], anc), anc.shape[1]):
            up = anc[escope[s], level]
            if up >= 0:
                total[up] += by[i]
                changed[up] = True


@njit(cache=True, nogil=True)
def _cross(bit, lo, hi, count, epane, inside, leave, enter):  # type: ignore[no-untyped-def]
    """Entries that leave and enter a window that now spans lo..hi, and how many stay; returns the three numbers."""
    out = into = stay = 0
    for s in range(len(count)):
        was = inside[s] & bit != 0
        will = count[s] > 0 and lo <= epane[s] <= hi
        if was and will:
            stay += 1
        elif was:
            leave[out] = s
            out += 1
        elif will:
            enter[into] = s
            into += 1
    return out, into, stay


@njit(cache=True, nogil=True)
def _link(ekey, following, head):  # type: ignore[no-untyped-def]
    for s in range(len(ekey)):
        following[s] = head[ekey[s]]
        head[ekey[s]] = s


def _unique_counts(values: Int64) -> tuple[list[int], list[int]]:
    found, count = np.unique(values, return_counts=True)
    return found.tolist(), count.tolist()


class DistinctWindow:
    """The counts of one span of panes; entries inside have its `bit` set."""

    def __init__(self, span: Span, bit: int) -> None:
        self.span, self.bit = span, bit
        self.rolled = Rolled()
        #: Estimates by scope, in force where the window is made of sketches.
        self.estimate, self.sketched = Grow(np.float64), False

    def panes(self, current: int) -> range:
        """The panes of the window."""
        lo, hi = self.span.at(current)
        return range(lo, hi + 1)

    @property
    def changed(self) -> Flags:
        """Flags of scopes whose count differs since they were last cleared."""
        return self.rolled.changed

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        self.rolled.resize(n)
        self.estimate.resize(n)

    def values(self) -> Float64:
        """Counts by scope (float64[n])."""
        if self.sketched:
            return self.estimate.data
        return self.rolled.total.data.astype(np.float64)


class Distinct:
    """Distinct keys of one event type; `rolled.total` of each window holds the counts at every level."""

    def __init__(self, store: PaneStore, key: Expr, where: Expr | None) -> None:
        self.store, self.where = store, where
        self.field = next(iter(key.refs))[1]
        self.windows: dict[tuple[int, int], DistinctWindow] = {}
        self._index = HashIndex()
        self._raw_a, self._raw_b, self._head = Grow(np.uint64), Grow(np.uint64), Grow(np.int64, -1)
        self._pane, self._scope, self._key = Grow(np.int64), Grow(np.int32), Grow(np.int64)
        self._count, self._next, self._inside = Grow(np.int64), Grow(np.int64, -1), Grow(np.int32)
        self.sketches, self._held = Sketches(), Counter[int]()
        #: Entries that came (+1) or went (-1), where somebody is to be told of them: key, pane, scope, sign.
        self.marks: list[tuple[UInt64, UInt64, Int64, Int64, Int64]] | None = None

    def window(self, span: Span) -> DistinctWindow:
        """The counts over a span, kept once."""
        key = (span.back, span.ahead)
        if key not in self.windows:
            self.windows[key] = DistinctWindow(span, 1 << len(self.windows))
            self.store.keep = max(self.store.keep, 1 - span.back)
        return self.windows[key]

    def _entries(self) -> tuple[NDArray[Any], ...]:
        return self._pane.data, self._scope.data, self._key.data, self._count.data, self._next.data

    def _columns(self) -> tuple[Grow, ...]:
        return self._pane, self._scope, self._key, self._count, self._next, self._inside

    def apply(self, columns: EventColumns, scope: Int64, pane: Int64, sign: int, ancestors: Int32) -> None:
        """Add (+1) or remove (-1) events."""
        mask = pane > self.store.current - self.store.keep
        if self.where is not None:
            mask &= as_mask(self.where.evaluate(columns), len(scope))
        raw = columns.keys(self.field)
        if not mask.all():
            rows = np.flatnonzero(mask)
            raw, pane, scope = raw.take(rows), pane[rows], scope[rows]
        if len(pane) == 0:
            return
        self.store.reach(pane)
        over = self.sketches.over(pane)
        if over.any():
            if sign > 0:
                self._sketch(pane[over], scope[over], raw.a[over], ancestors)
            rows = np.flatnonzero(~over)
            raw, pane, scope = raw.take(rows), pane[rows], scope[rows]
        self._count_in(raw, pane, scope, sign, ancestors)

    def _count_in(self, raw: Keys, pane: Int64, scope: Int64, sign: int, ancestors: Int32) -> None:
        """Count events exactly; panes that then hold too much become sketches."""
        keys = self._keys(raw)
        n = self._count.n
        for column in self._columns():
            column.resize(n + len(keys))
        moved, by = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
        after, m = _count(keys, pane, scope, sign, self._entries(), self._head.data, n, moved, by)
        self._inside.data[n:after] = 0
        for column in self._columns():
            column.n = after
        for window in self.windows.values():
            self._shift(window, moved[:m], by[:m], ancestors)
        self._held.update(self._pane.data[n:after].tolist())
        if self.marks is not None:  # a shard stays exact: who merges has the bound
            self._mark(moved[:m], by[:m])
        elif any(held > EXACT_MAX for held in self._held.values()):
            self._convert(ancestors)

    def _mark(self, slots: Int64, by: Int64) -> None:
        assert self.marks is not None
        if len(slots):
            key, scope = self._key.data[slots], self._scope.data[slots].astype(np.int64)
            self.marks.append((self._raw_a.data[key], self._raw_b.data[key], self._pane.data[slots], scope, by.copy()))

    def put(self, raw: Keys, pane: Int64, scope: Int64, sign: Int64, ancestors: Int32) -> None:
        """Take in what a shard told: keys that came to (+1) or went from (-1) a pane and scope of its own."""
        reachable = pane > self.store.current - self.store.keep
        for by in (1, -1):
            rows = np.flatnonzero(reachable & (sign == by))
            if len(rows) == 0:
                continue
            self.store.reach(pane[rows])
            over = self.sketches.over(pane[rows])
            if by > 0 and over.any():
                self._sketch(pane[rows[over]], scope[rows[over]], raw.a[rows[over]], ancestors)
            rows = rows[~over]
            self._count_in(raw.take(rows), pane[rows], scope[rows], by, ancestors)

    def _convert(self, ancestors: Int32) -> None:
        """Panes beyond the bound become sketches; in windows of several panes so do all that are held."""
        several = any(window.span.ahead > window.span.back for window in self.windows.values())
        gone = [p for p, held in self._held.items() if several or held > EXACT_MAX]
        mine = np.isin(self._pane.data, gone)
        rows = np.flatnonzero(mine & (self._count.data > 0))
        for window in self.windows.values():
            self._shift(window, rows, np.full(len(rows), -1, np.int64), ancestors)
        pane, scope = self._pane.data[rows], self._scope.data[rows].astype(np.int64)
        keys = self._raw_a.data[self._key.data[rows]]
        for p in gone:
            self.sketches.panes.setdefault(p, Pane())
            del self._held[p]
        self._keep(np.flatnonzero(~mine))
        self._sketch(pane, scope, keys, ancestors)

    def _sketch(self, pane: Int64, scope: Int64, keys: UInt64, ancestors: Int32) -> None:
        touched = self.sketches.add(pane, scope, keys, ancestors)
        for window in self.windows.values():
            self._estimate(window, touched)

    def _estimate(self, window: DistinctWindow, scopes: Int64) -> None:
        """Work the estimates of a window out again at some scopes."""
        panes = [p for p in window.panes(self.store.current) if p in self.sketches]
        window.sketched = bool(panes)
        fresh = self.sketches.estimate(panes, scopes)
        window.changed.open()[scopes] |= fresh != window.estimate.data[scopes]
        window.estimate.data[scopes] = fresh

    def _keys(self, raw: Keys) -> Int64:
        """Numbers of keys, new ones for unknown keys."""
        number, fresh = self._index.intern(raw, self._head.n)
        if fresh.any():
            self._raw_a.extend(raw.a[fresh])
            self._raw_b.extend(raw.b[fresh])
            self._head.resize(self._raw_a.n)
        return number

    def _shift(self, window: DistinctWindow, slots: Int64, by: Int64, ancestors: Int32) -> None:
        """Entries that enter (+1) or leave (-1) a window: count their keys at every level."""
        rolled = window.rolled
        if len(slots) == 0:
            return
        _shift(
            slots, by, window.bit, *window.span.at(self.store.current), self._entries(), self._head.data,
            self._inside.data, ancestors, rolled.total.data, rolled.changed.open(),
        )  # fmt: skip

    def advance(self, old: int, new: int, ancestors: Int32) -> None:
        """The open pane moved."""
        if old == new:
            return
        spans = {w.span.at(old): (w.bit, w.rolled.total.data.copy()) for w in self.windows.values()}
        bits = self._inside.data.copy()
        for window in self.windows.values():
            before = spans.get(window.span.at(new))
            if before is not None and before[0] != window.bit:
                self._take_over(window, bits & before[0] != 0, before[1])
            else:
                self._move(window, ancestors)
        if self.sketches.panes:
            self._advance_sketches(old)
        self._forget()

    def _advance_sketches(self, old: int) -> None:
        """Windows that held or hold sketches are worked out anew; in those of several panes a new pane is one too."""
        self.sketches.forget(self.store.current - self.store.keep)
        for window in self.windows.values():
            if window.sketched:
                window.changed.open()[:] = True
            window.estimate.data[:] = 0.0
            if window.span.ahead > window.span.back and any(p in self.sketches for p in window.panes(old)):
                self.sketches.panes.setdefault(self.store.current, Pane())
            self._estimate(window, self.sketches.scopes(window.panes(self.store.current)))

    def _take_over(self, window: DistinctWindow, inside: NDArray[np.bool_], total: Int64) -> None:
        """The window now spans just what another did: it takes over that one's counts."""
        held = window.rolled.total.data
        window.rolled.changed.open()[:] |= held != total
        held[:] = total
        np.bitwise_and(self._inside.data, ~window.bit, out=self._inside.data)
        self._inside.data[inside] |= window.bit

    def _move(self, window: DistinctWindow, ancestors: Int32) -> None:
        leave, enter = np.empty(self._count.n, np.int64), np.empty(self._count.n, np.int64)
        span = window.span.at(self.store.current)
        out, into, stay = _cross(window.bit, *span, self._count.data, self._pane.data, self._inside.data, leave, enter)
        if out and not stay:  # nothing stays: no need to take keys out one by one
            rolled = window.rolled
            rolled.changed.open()[:] |= rolled.total.data != 0
            rolled.total.data[:] = 0
            np.bitwise_and(self._inside.data, ~window.bit, out=self._inside.data)
        else:
            self._shift(window, leave[:out], np.full(out, -1, np.int64), ancestors)
        self._shift(window, enter[:into], np.ones(into, np.int64), ancestors)

    def _forget(self) -> None:
        """Now and then drop the entries that no window can reach any more, and keys without entries."""
        dead = self._pane.data <= self.store.current - self.store.keep
        if np.count_nonzero(dead) * 2 <= max(len(dead), panes.FORGET_FROM):
            return
        self._keep(np.flatnonzero(~dead))

    def _keep(self, rows: Int64) -> None:
        """Drop all other entries, and keys without entries."""
        for column in self._columns():
            column.load(column.data[rows].copy())
        self._held = Counter(dict(zip(*_unique_counts(self._pane.data), strict=True)))
        used, key = np.unique(self._key.data, return_inverse=True)
        if len(used) * 2 < self._head.n:
            self._key.data[:] = key
            for raw in (self._raw_a, self._raw_b):
                raw.load(raw.data[used].copy())
        self._relink()

    def _relink(self) -> None:
        """Index and lists from the columns; the numbers of keys are right already."""
        n = self._raw_a.n
        if n != len(self._index):
            self._index.rebuild(Keys(self._raw_a.data, self._raw_b.data), np.arange(n, dtype=np.int64))
        self._head.load(np.full(n, -1, np.int64))
        _link(self._key.data, self._next.data, self._head.data)

    def _kept(self) -> dict[str, Grow]:
        return {
            "pane": self._pane, "scope": self._scope, "key": self._key, "count": self._count, "inside": self._inside,
            "ra": self._raw_a, "rb": self._raw_b,
        }  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        out = {k: v.data.copy() for k, v in self._kept().items()}
        for span, window in self.windows.items():
            out |= {f"r{span}.{k}": v for k, v in window.rolled.state().items()}
        return out | self.sketches.state()

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        for name, column in self._kept().items():
            column.load(state[name])
        self.store.reach(self._pane.data)
        self._next.resize(self._count.n)
        self._index = HashIndex()
        self._relink()
        for span, window in self.windows.items():
            prefix = f"r{span}."
            window.rolled.load({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
            window.resize(window.rolled.total.n)
        self._held = Counter(dict(zip(*_unique_counts(self._pane.data), strict=True)))
        self.sketches.load(state)

    def refresh(self) -> None:
        """After a restore, when the store knows its open pane again."""
        for window in self.windows.values():
            self._estimate(window, self.sketches.scopes(window.panes(self.store.current)))
