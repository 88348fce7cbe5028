"""Tables of newest events: one row (slot) per key, the newest live event by (time, source, id, revision) wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Coded, Float64, Int32, Int64, UInt64, physical
from citytwin.models.hashing import HashIndex, Keys
from citytwin.models.vocabulary import Kind
from citytwin.twin.growable import Grow, GrowText
from citytwin.twin.ledger import Ledger, comes_after


class Table(Protocol):
    """What tallies read: rows with columns, a scope and an entity each, and which of them changed."""

    @property
    def n(self) -> int: ...

    def column(self, name: str, rows: Int64) -> Float64 | Coded: ...

    def scopes(self, rows: Int64) -> Int32: ...

    def entities(self, rows: Int64) -> Int32: ...

    def take_dirty(self) -> Int64: ...


class Dirty:
    """Which rows changed since they were last taken."""

    def __init__(self) -> None:
        self._flag = Grow(np.bool_, False)
        self._parts: list[Int64] = []

    def mark(self, rows: Int64) -> None:
        """Mark rows (no row twice in one call); marked again is marked once."""
        if len(rows) == 0:
            return
        self._flag.resize(int(rows.max()) + 1)
        new = rows[~self._flag.data[rows]]
        self._flag.data[new] = True
        self._parts.append(new)

    def rows(self) -> Int64:
        """The marked rows, sorted and unique; they stay marked."""
        return np.sort(np.concatenate(self._parts)) if self._parts else np.zeros(0, np.int64)

    def take(self) -> Int64:
        """The marked rows, sorted and unique; none are marked after."""
        rows = self.rows()
        self._parts = []
        self._flag.data[rows] = False
        return rows


@njit(cache=True, nogil=True)
def _live_of(slot, live, wanted, out):  # type: ignore[no-untyped-def]
    n = 0
    for i in range(len(slot)):
        if live[i] and wanted[slot[i]]:
            out[n] = i
            n += 1
    return n


@njit(cache=True, nogil=True)
def _elect(index, slot, row, time, base, order, seen, touched):  # type: ignore[no-untyped-def]
    times = order[0]
    n = 0
    for i in index:
        s = slot[i]
        held = row[s]
        if held < base:
            wins = held < 0 or times[i] >= time[s]
        else:
            wins = held == i + base or comes_after(order, i, held - base)
        if wins:
            row[s] = i + base
            time[s] = times[i]
            if not seen[s]:
                seen[s] = True
                touched[n] = s
                n += 1
    for k in range(n):
        seen[touched[k]] = False
    return n


class _Store:
    """Arrays of one event per slot."""

    def __init__(self, ledger: Ledger) -> None:
        self.row = Grow(np.int64, -1)
        self.seen = Grow(np.bool_, False)
        self.time = Grow(np.int64, MISSING)
        self.scope, self.source = Grow(np.int32, -1), Grow(np.int32, -1)
        self.lon, self.lat = Grow(np.float64, np.nan), Grow(np.float64, np.nan)
        self.columns = {
            name: Grow(c.dtype, c.fill) for name, c in ledger.columns.items() if not isinstance(c, GrowText)
        }

    def all(self) -> dict[str, Grow]:
        """Every column by name."""
        fixed = {
            "row": self.row, "time": self.time, "scope": self.scope, "source": self.source, "lon": self.lon,
            "lat": self.lat,
        }  # fmt: skip
        return fixed | {f"f.{k}": v for k, v in self.columns.items()}

    def resize(self, n: int) -> None:
        """Make room for n slots."""
        for column in (self.seen, *self.all().values()):
            column.resize(n)

    def elect(self, ledger: Ledger, index: Int64) -> Int64:
        """Let the live ledger rows (array indices) compete; returns the slots that have a new winner."""
        touched = np.empty(len(index), np.int64)
        state = (self.row.data, self.time.data, ledger.base, ledger.order_columns(), self.seen.data)
        slots = touched[: _elect(index, ledger.slot.data, *state, touched)]
        self._copy(ledger, slots, self.row.data[slots] - ledger.base)
        return slots

    def _copy(self, ledger: Ledger, slots: Int64, index: Int64) -> None:
        for mine, theirs in (
            (self.scope, ledger.scope), (self.source, ledger.source), (self.lon, ledger.lon), (self.lat, ledger.lat),
        ):  # fmt: skip
            mine.data[slots] = theirs.data[index]
        for name, column in self.columns.items():
            column.data[slots] = ledger.columns[name].data[index]  # type: ignore[union-attr]

    def clear(self, slots: Int64) -> None:
        """Hold nothing in these slots."""
        for column in self.all().values():
            column.data[slots] = column.fill

    def take(self, slots: Int64, other: _Store) -> None:
        """Hold what the other store holds in these slots."""
        for name, column in self.all().items():
            column.data[slots] = other.all()[name].data[slots]


class NewestTable:
    """The newest live event per key of one event type; a slot keeps its number for ever."""

    def __init__(self, ledger: Ledger, per_unit: Mapping[str, int | Float64]) -> None:
        self._ledger = ledger
        self.index = HashIndex()
        self.per_unit = per_unit
        self.entity = Grow(np.int32, -1)
        self.key_a, self.key_b = Grow(np.uint64), Grow(np.uint64)
        self.subject_a, self.subject_b = Grow(np.uint64), Grow(np.uint64)
        self.now = _Store(ledger)
        self._floor: _Store | None = None
        self.dirty = Dirty()
        self.n = 0

    def slots(self, keys: Keys, subject: Keys, entity: Int32) -> Int32:
        """Slots of the keys, new ones for unknown keys (int32[n])."""
        slot, fresh = self.index.intern(keys, self.n)
        if fresh.any():
            for column, values in (
                (self.key_a, keys.a), (self.key_b, keys.b), (self.subject_a, subject.a), (self.subject_b, subject.b),
                (self.entity, entity),
            ):  # fmt: skip
                column.extend(values[fresh])
            self.n = self.key_a.n
            self.now.resize(self.n)
        return slot.astype(np.int32)

    def apply(self, index: Int64, sign: int) -> Int64:
        """Ledger rows (array indices) that begin (+1) or cease (-1) to count; returns the slots that changed."""
        if sign > 0:
            slots = self.now.elect(self._ledger, index)
        else:
            slot = self._ledger.slot.data[index].astype(np.int64)
            slots = np.unique(slot[self.now.row.data[slot] == index + self._ledger.base])
            self._rebuild(slots)
        self.dirty.mark(slots)
        return slots

    def _rebuild(self, slots: Int64) -> None:
        if len(slots) == 0:
            return
        self.now.clear(slots)
        if self._floor is not None:
            self._floor.resize(self.n)
            self.now.take(slots, self._floor)
        wanted = np.zeros(self.n, np.bool_)
        wanted[slots] = True
        ledger = self._ledger
        # one pass over the ledger, however many slots are to be elected anew
        candidates = np.empty(ledger.time.n, np.int64)
        found = _live_of(ledger.slot.data, ledger.live.data, wanted, candidates)
        self.now.elect(ledger, candidates[:found])

    def drop(self, count: int) -> None:
        """The ledger is about to drop its first rows: keep the newest of them, should later ones be retracted."""
        if self._floor is None:
            self._floor = _Store(self._ledger)
        self._floor.resize(self.n)
        self._floor.elect(self._ledger, np.flatnonzero(self._ledger.live.data[:count]))

    def column(self, name: str, rows: Int64) -> Float64 | Coded:
        """A column at the given slots: float64 in units (NaN missing, times in ms), or Coded."""
        if name in ("time", "lon", "lat"):
            return physical(getattr(self.now, name).data[rows], 1)
        if name == "source":
            return Coded(self.now.source.data[rows], self._ledger.sources.names)
        values = self.now.columns[name].data[rows]
        if self._ledger.fields[name].kind is Kind.CODE:
            return Coded(values, self._ledger.names[name].names)
        unit = self.per_unit.get(name, 1)
        if isinstance(unit, int):
            return physical(values, unit)
        codes = self.now.columns["property"].data[rows]
        return physical(values, np.append(unit, 1.0)[codes])

    def codes(self, name: str) -> tuple[Int32, tuple[str, ...]]:
        """Codes of all slots of a code field, and the names."""
        return self.now.columns[name].data, self._ledger.names[name].names

    def siblings(self, rows: Int64, prop: Keys) -> Int64:
        """Slots of another property of the same subjects, -1 where there is none yet (int64[n])."""
        n = len(rows)
        subject = Keys(self.subject_a.data[rows], self.subject_b.data[rows])
        from citytwin.models.hashing import combine

        return self.index.find(combine(subject, Keys(np.full(n, prop.a[0]), np.full(n, prop.b[0]))))

    def of_subjects(self, rows: Int64) -> Int64:
        """All slots of the subjects of these slots; now and then one more, for half of the hash is compared."""
        return np.flatnonzero(np.isin(self.subject_a.data, self.subject_a.data[rows]))

    def scopes(self, rows: Int64) -> Int32:
        """Scope row of each slot (int32[n], -1 unknown)."""
        found: Int32 = self.now.scope.data[rows]
        return found

    def entities(self, rows: Int64) -> Int32:
        """Entity row of each slot (int32[n], -1 none)."""
        found: Int32 = self.entity.data[rows]
        return found

    def present(self, rows: Int64) -> NDArray[np.bool_]:
        """Whether the slot holds an event now."""
        mask: NDArray[np.bool_] = self.now.row.data[rows] >= 0
        return mask

    def take_dirty(self) -> Int64:
        """Slots that changed since the last call."""
        return self.dirty.take()

    def digest(self) -> int:
        """Sum of row hashes, free of slot order: equal states give equal digests."""
        rows = np.flatnonzero(self.now.row.data >= 0)
        acc: UInt64 = self.key_a.data[rows] ^ self.key_b.data[rows]
        from citytwin.models.hashing import fold

        acc = acc.copy()
        for name in ["time", "lon", "lat", *self.now.columns]:
            fold(acc, self.column(name, rows))
        return int(acc.sum(dtype=np.uint64))

    def _all(self) -> dict[str, Grow]:
        own = {"entity": self.entity, "ka": self.key_a, "kb": self.key_b, "sa": self.subject_a, "sb": self.subject_b}
        return own | {f"now.{k}": v for k, v in self.now.all().items()}

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        out = {k: v.data.copy() for k, v in self._all().items()}
        if self._floor is not None:
            out |= {f"floor.{k}": v.data.copy() for k, v in self._floor.all().items()}
        return out

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        for name, column in self._all().items():
            column.load(state[name])
        self.n = self.key_a.n
        self.now.resize(self.n)
        self.index.rebuild(Keys(self.key_a.data, self.key_b.data), np.arange(self.n, dtype=np.int64))
        if "floor.row" in state:
            self._floor = _Store(self._ledger)
            for name, column in self._floor.all().items():
                column.load(state[f"floor.{name}"])
            self._floor.resize(self.n)
