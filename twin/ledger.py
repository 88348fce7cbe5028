"""The ledger: every contribution of one event type (or family) within the horizon, as columns.

A row is one accepted event. `live` says whether it counts now: a superseded, retracted or waiting one does not. Rows
have absolute numbers that never change; old ones are dropped from the front when the horizon has passed them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Int32, Int64, Strings, physical, starts_with
from citytwin.models.desk.event import DRILL
from citytwin.models.hashing import Allocate, Keys
from citytwin.models.vocabulary import EventType, Field, Kind
from citytwin.twin.growable import Grow, GrowText

_DTYPE = {Kind.NUMBER: np.int64, Kind.INTEGER: np.int64, Kind.TIME: np.int64, Kind.FLAG: np.int8, Kind.CODE: np.int32}
_DRILL = DRILL.encode()
_ABSENT = {Kind.NUMBER: MISSING, Kind.INTEGER: MISSING, Kind.TIME: MISSING, Kind.FLAG: -1, Kind.CODE: -1}


class Names:
    """A growing dictionary of code texts shared by the columns of one field."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def recode(self, column: Coded) -> Int32:
        """Codes of a column in this dictionary."""
        return column.recode(self.known)

    @property
    def names(self) -> tuple[str, ...]:
        """All texts by code."""
        return tuple(self.known)


def absent(field: Field, n: int) -> Column:
    """A column of n absent values of a field."""
    if field.kind in (Kind.TEXT, Kind.SECRET):
        return Strings.empty(n)
    if field.kind is Kind.CODE:
        return Coded(np.full(n, 0 if field.default else -1, np.int32), (field.default,) if field.default else ())
    return np.full(n, _ABSENT[field.kind], _DTYPE[field.kind])


class Ledger:
    """Columns of one event type; for a family the fields of all its types, and `move` = the type's number in it."""

    def __init__(self, types: tuple[EventType, ...], names: dict[str, Names], allocate: Allocate = np.empty) -> None:
        self.types = types
        self.fields: dict[str, Field] = {}
        for kind in types:
            for field in kind.fields:
                self.fields.setdefault(field.name, field)
        self.base = 0
        self.names = {f: names.setdefault(f, Names()) for f, s in self.fields.items() if s.kind is Kind.CODE}
        self.sources = names.setdefault("source", Names())

        def made(dtype: Any, fill: Any = 0) -> Grow:
            return Grow(dtype, fill, allocate)

        self.time, self.content = made(np.int64), made(np.uint64)
        self.key_a, self.key_b = made(np.uint64), made(np.uint64)
        self.slot, self.entity, self.scope = made(np.int32), made(np.int32), made(np.int32)
        self.source, self.move, self.live = made(np.int32), made(np.int8), made(np.bool_)
        self.revision = made(np.int32)
        self.lon, self.lat = made(np.float64), made(np.float64)
        #: Rows of drills: they lie here and are folded, and no aggregate counts them.
        self.drill = made(np.bool_, False)
        self.id, self.subject = GrowText(allocate), GrowText(allocate)
        self.columns: dict[str, Grow | GrowText] = {
            f: GrowText(allocate) if s.kind in (Kind.TEXT, Kind.SECRET) else made(_DTYPE[s.kind], _ABSENT[s.kind])
            for f, s in self.fields.items()
        }

    @property
    def end(self) -> int:
        """Absolute number of the next row."""
        return self.base + self.time.n

    def append(
        self, batch: EventBatch, keys: Keys, content: NDArray[np.uint64], slot: Int32, entity: Int32, scope: Int32,
        live: Bool,
    ) -> Int64:  # fmt: skip
        """Add the rows of a batch; returns their absolute numbers (int64[n])."""
        n, first = len(batch), self.end
        move = next(i for i, t in enumerate(self.types) if t.name == batch.type)
        for column, values in (
            (self.time, batch.time), (self.content, content), (self.key_a, keys.a), (self.key_b, keys.b),
            (self.slot, slot), (self.entity, entity), (self.scope, scope), (self.live, live),
            (self.source, self.sources.recode(batch.source)), (self.move, np.full(n, move, np.int8)),
            (self.revision, batch.revision), (self.lon, batch.lon), (self.lat, batch.lat),
            (self.drill, starts_with(batch.subject, _DRILL)),
        ):  # fmt: skip
            column.extend(values)
        self.id.extend(batch.id)
        self.subject.extend(batch.subject)
        for name, field in self.fields.items():
            self._extend(name, field, batch.fields.get(name), n)
        return np.arange(first, first + n, dtype=np.int64)

    def _extend(self, name: str, field: Field, values: Column | None, n: int) -> None:
        column, given = self.columns[name], absent(field, n) if values is None else values
        stored = self.names[name].recode(given) if isinstance(given, Coded) else given
        column.extend(stored)  # type: ignore[arg-type]

    def at(self, rows: Int64) -> Int64:
        """Array indices of absolute rows."""
        return rows - self.base

    def told(self, names: Sequence[str], index: Int64) -> Int64:
        """Which of the fields each row (array index) has: bit f stands for names[f]; at most 63 fields (int64[n])."""
        mask = np.zeros(len(index), np.int64)
        for f, name in enumerate(names):
            column = self.columns[name]
            assert isinstance(column, Grow)
            mask |= (column.data[index] != column.fill).astype(np.int64) << f
        return mask

    def values_at(self, name: str, at: Int64, per_unit: int) -> Float64 | Coded:
        """A field at array indices (-1 = absent): float64 in units, NaN missing, or Coded. Not for texts."""
        held = self.columns[name]
        assert isinstance(held, Grow)
        values = held.data[np.maximum(at, 0)] if held.n else np.full(len(at), held.fill, held.dtype)
        values = np.where(at >= 0, values, held.fill).astype(held.dtype)
        if self.fields[name].kind is Kind.CODE:
            return Coded(values, self.names[name].names)
        return physical(values, per_unit)

    def source_ranks(self) -> Int32:
        """Rank of each source code by its text, for the order of equal times."""
        names = self.sources.names
        ranks = np.empty(len(names), np.int32)
        ranks[np.argsort(np.array(names, dtype=object), kind="stable")] = np.arange(len(names), dtype=np.int32)
        return ranks

    def order_columns(self) -> tuple[NDArray[Any], ...]:
        """What `comes_after` needs: time, source, source ranks, id bytes and offsets, revision (array indices)."""
        ids = self.id.strings
        return (self.time.data, self.source.data, self.source_ranks(), ids.data, ids.offsets, self.revision.data)

    def drop_before(self, cut: int) -> Int64:
        """Absolute rows at the front whose time is before `cut`, up to the first that is not: what `drop` may take."""
        old = self.time.data < cut
        count = int(np.argmin(old)) if not old.all() else len(old)
        return np.arange(self.base, self.base + count, dtype=np.int64)

    def drop(self, count: int) -> None:
        """Forget the first rows; absolute numbers of the others stay."""
        for column in self._all():
            column.drop(count)
        self.base += count

    def _all(self) -> list[Grow | GrowText]:
        fixed: list[Grow | GrowText] = [
            self.time, self.content, self.key_a, self.key_b, self.slot, self.entity, self.scope, self.source, self.move,
            self.live, self.revision, self.lon, self.lat, self.drill, self.id, self.subject,
        ]  # fmt: skip
        return [*fixed, *self.columns.values()]

    def state(self) -> dict[str, NDArray[Any]]:
        """All columns as arrays, for a snapshot."""
        out: dict[str, NDArray[Any]] = {"base": np.array([self.base])}
        for i, column in enumerate(self._all()):
            if isinstance(column, GrowText):
                text = column.strings
                out[f"{i}.data"], out[f"{i}.ends"] = text.data.copy(), text.offsets.copy()
            else:
                out[f"{i}"] = column.data.copy()
        return out

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state` gave."""
        self.base = int(state["base"][0])
        for i, column in enumerate(self._all()):
            if isinstance(column, GrowText):
                column.load(Strings(state[f"{i}.data"], state[f"{i}.ends"]))
            else:
                column.load(state[f"{i}"])


@njit(cache=True, nogil=True)
def comes_after(order, i, j):  # type: ignore[no-untyped-def]
    """Whether row i comes after row j by (time, source, id, revision); indices into the ledger's arrays."""
    time, source, rank, data, ends, revision = order
    if time[i] != time[j]:
        return time[i] > time[j]
    if source[i] != source[j]:
        return rank[source[i]] > rank[source[j]]
    a, b = ends[i], ends[j]
    while a < ends[i + 1] and b < ends[j + 1]:
        if data[a] != data[b]:
            return data[a] > data[b]
        a += 1
        b += 1
    left, right = ends[i + 1] - a, ends[j + 1] - b
    if left != right:
        return left > right
    return revision[i] > revision[j]


@njit(cache=True, nogil=True)
def hang(index, slot, head, prev):  # type: ignore[no-untyped-def]
    """Hang new rows (array indices, in order) on the lists of their slots: `head` the newest, `prev` the one before."""
    for i in index:
        prev[i] = head[slot[i]]
        head[slot[i]] = i
