"""Folded families: one row per subject, folded from all its live events in the order (time, source, id, revision).

A run of an ambulance is told move by move (`emergency.received`, `emergency.arrived`); its row has the time of each
move and the newest known value of each field. There is no law of what may follow what: cases have one, in `twin.cases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Coded, Float64, Int32, Int64, physical, unique
from citytwin.models.hashing import HashIndex, Keys, fold
from citytwin.models.vocabulary import Kind
from citytwin.twin.growable import Grow
from citytwin.twin.ledger import Ledger, comes_after, hang
from citytwin.twin.tables import Dirty


@njit(cache=True, nogil=True)
def _fold(slots, head, prev, live, order, move, scope, entity, told, fields, first, last, picked, place, who, count):  # type: ignore[no-untyped-def]
    """Fold each subject: bit f of `told[e]` says whether event e has field f, `picked[s, f]` whose value holds."""
    time = order[0]
    for k in range(len(slots)):
        s = slots[k]
        first[s, :] = MISSING
        last[s, :] = MISSING
        picked[s, :] = -1
        placed = -1
        known = -1
        n = 0
        i = head[s]
        while i >= 0:
            if live[i]:
                n += 1
                m, t = move[i], time[i]
                if first[s, m] == MISSING or t < first[s, m]:
                    first[s, m] = t
                if last[s, m] == MISSING or t > last[s, m]:
                    last[s, m] = t
                for f in range(fields):
                    if told[i] >> f & 1 and (picked[s, f] < 0 or comes_after(order, i, picked[s, f])):
                        picked[s, f] = i
                if scope[i] >= 0 and (placed < 0 or comes_after(order, i, placed)):
                    placed = i
                if entity[i] >= 0 and (known < 0 or comes_after(order, i, known)):
                    known = i
            i = prev[i]
        place[s] = scope[placed] if placed >= 0 else -1
        who[s] = entity[known] if known >= 0 else -1
        count[s] = n


class JourneyTable:
    """All subjects of a folded family as a table: `<move>_at`, `<move>_last`, and every field by column."""

    def __init__(self, ledger: Ledger, per_unit: Mapping[str, int | Float64]) -> None:
        self._ledger, self._per_unit = ledger, per_unit
        self._words = [t.name.rpartition(".")[2] for t in ledger.types]
        self._fields = [f for f, s in ledger.fields.items() if s.kind not in (Kind.TEXT, Kind.SECRET)]
        self._index = HashIndex()
        self.key_a, self.key_b = Grow(np.uint64), Grow(np.uint64)
        self._head, self._prev, self._told = Grow(np.int64, -1), Grow(np.int64, -1), Grow(np.int64)
        self._place, self._who, self._count = Grow(np.int32, -1), Grow(np.int32, -1), Grow(np.int32, 0)
        self._first = np.full((64, len(self._words)), MISSING, np.int64)
        self._last = self._first.copy()
        self._picked = np.full((64, len(self._fields)), -1, np.int64)
        self.todo, self.dirty = Dirty(), Dirty()
        self.n = 0

    def slots(self, keys: Keys) -> Int32:
        """Rows of the subjects, new ones for unknown subjects (int32[n])."""
        slot, fresh = self._index.intern(keys, self.n)
        if fresh.any():
            self.key_a.extend(keys.a[fresh])
            self.key_b.extend(keys.b[fresh])
            self.n = self.key_a.n
            for column in (self._head, self._place, self._who, self._count):
                column.resize(self.n)
            self._room()
        return slot.astype(np.int32)

    def _room(self) -> None:
        if self.n <= len(self._first):
            return
        more = 1 << (self.n - 1).bit_length()
        for name, fill in (("_first", MISSING), ("_last", MISSING), ("_picked", -1)):
            old = getattr(self, name)
            new = np.full((more, old.shape[1]), fill, np.int64)
            new[: len(old)] = old
            setattr(self, name, new)

    def link(self, index: Int64) -> None:
        """Hang new ledger rows (array indices, in order) on their subjects."""
        self._prev.resize(self._ledger.end)
        self._told.extend(self._ledger.told(self._fields, index))
        hang(index, self._ledger.slot.data, self._head.data, self._prev.data)

    def apply(self, index: Int64) -> None:
        """Ledger rows began or ceased to count: their subjects are folded again at the next `settle`."""
        self.todo.mark(unique(self._ledger.slot.data[index].astype(np.int64)))

    def settle(self) -> Int64:
        """Fold the subjects whose events changed; returns them."""
        slots = self.todo.take()
        if len(slots) == 0:
            return slots
        ledger = self._ledger
        _fold(
            slots, self._head.data, self._prev.data, ledger.live.data, ledger.order_columns(), ledger.move.data,
            ledger.scope.data, ledger.entity.data, self._told.data, len(self._fields), self._first, self._last,
            self._picked, self._place.data, self._who.data, self._count.data,
        )  # fmt: skip
        self.dirty.mark(slots)
        return slots

    def column(self, name: str, rows: Int64) -> Float64 | Coded:
        """A column at the given rows: float64 in units (NaN missing, times in ms), or Coded. KeyError if unknown."""
        word, _, kind = name.rpartition("_")
        if kind in ("at", "last") and word in self._words:
            times = self._first if kind == "at" else self._last
            return physical(times[rows, self._words.index(word)], 1)
        if name not in self._fields:
            known = [*(f"{w}_at" for w in self._words), *(f"{w}_last" for w in self._words), *self._fields]
            raise KeyError(f"row.{name}: this table has {', '.join(known)}")
        unit = self._per_unit.get(name, 1)
        at = self._picked[rows, self._fields.index(name)]
        return self._ledger.values_at(name, at, unit if isinstance(unit, int) else 1)

    def scopes(self, rows: Int64) -> Int32:
        """Scope row of each subject: of its newest event that has one (int32[n], -1 unknown)."""
        found: Int32 = self._place.data[rows]
        return found

    def entities(self, rows: Int64) -> Int32:
        """Entity row of each subject (int32[n], -1 none)."""
        found: Int32 = self._who.data[rows]
        return found

    def present(self, rows: Int64) -> NDArray[np.bool_]:
        """Whether any event of the subject counts; drills count in nothing."""
        mask: NDArray[np.bool_] = self._count.data[rows] > 0
        some = np.flatnonzero(mask)
        mask[some] = ~self._ledger.drill.data[self._head.data[rows[some]]]
        return mask

    def events(self, rows: Int64) -> Int64:
        """Ledger rows (array indices) of the live events of these subjects, subject by subject."""
        out, head, prev, live = list[int](), self._head.data, self._prev.data, self._ledger.live.data
        for s in rows.tolist():
            i = int(head[s])
            while i >= 0:
                if live[i]:
                    out.append(i)
                i = int(prev[i])
        return np.array(out, np.int64)

    def take_dirty(self) -> Int64:
        """Rows that changed since the last call."""
        return self.dirty.take()

    def digest(self) -> int:
        """Sum of row hashes, free of row order."""
        rows = np.arange(self.n, dtype=np.int64)
        acc = self.key_a.data ^ self.key_b.data
        names = [*(f"{w}_at" for w in self._words), *(f"{w}_last" for w in self._words), *self._fields]
        for name in names:
            fold(acc, self.column(name, rows))
        return int(acc.sum(dtype=np.uint64))

    def _grown(self) -> dict[str, Grow]:
        return {
            "ka": self.key_a, "kb": self.key_b, "head": self._head, "prev": self._prev, "told": self._told,
            "place": self._place, "who": self._who, "count": self._count,
        }  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot; the marks `todo` and `dirty` are kept beside them."""
        out = {k: v.data.copy() for k, v in self._grown().items()}
        return out | {name: getattr(self, f"_{name}")[: self.n].copy() for name in ("first", "last", "picked")}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        for name, column in self._grown().items():
            column.load(state[name])
        self.n = self.key_a.n
        self._index.rebuild(Keys(self.key_a.data, self.key_b.data), np.arange(self.n, dtype=np.int64))
        self._room()
        for name in ("first", "last", "picked"):
            getattr(self, f"_{name}")[: self.n] = state[name]
