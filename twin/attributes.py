"""Columns of entity attributes: one class a storage form, each with the time at which a value was said."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Bool, Coded, Int32, Int64, Strings
from citytwin.models.hashing import Allocate
from citytwin.models.vocabulary import Field, Kind
from citytwin.twin.growable import Grow, GrowText

Input = NDArray[Any] | Strings | Coded


class Stamps:
    """When each value of a column was said (ms), kept only once a value is newer or older than its row's first.

    MISSING stands for the row's `base`; a column that nobody changed costs nothing.
    """

    def __init__(self, allocate: Allocate = np.empty) -> None:
        self._allocate = allocate
        self.times: Grow | None = None

    def at(self, rows: Int32, base: Int64) -> Int64:
        """Times of the values of these rows (int64[n]); `base` is that of the rows."""
        if self.times is None:
            return base
        self.times.resize(max(self.times.n, int(rows.max(initial=-1)) + 1))
        said: Int64 = self.times.data[rows]
        return np.where(said == MISSING, base, said)

    def full(self, n: int) -> Int64:
        """The times of n rows, MISSING for the base (int64[n])."""
        if self.times is None:
            return np.full(n, MISSING, np.int64)
        self.times.resize(n)
        return self.times.data

    def set(self, rows: Int32, time: Int64, base: Int64) -> None:
        """Note the times of values just written."""
        if self.times is None:
            if (time == base).all():
                return
            self.times = Grow(np.int64, MISSING, self._allocate)
        self.times.resize(max(self.times.n, int(rows.max(initial=-1)) + 1))
        self.times.data[rows] = np.where(time == base, MISSING, time)


class Plain:
    """NUMBER as float64 in physical units, INTEGER and TIME as int64, FLAG as int8."""

    def __init__(self, field: Field, allocate: Allocate = np.empty) -> None:
        self.field = field
        forms: dict[Kind, tuple[Any, Any]] = {Kind.NUMBER: (np.float64, np.nan), Kind.FLAG: (np.int8, -1)}
        self.values = Grow(*forms.get(field.kind, (np.int64, MISSING)), allocate)
        self.stamps = Stamps(allocate)

    def read(self, column: Input) -> tuple[NDArray[Any], Bool]:
        """The input in stored form and where it is present; an integer NUMBER counts steps of the resolution."""
        if isinstance(column, Strings | Coded):
            raise TypeError(f"attribute {self.field.name} holds numbers, not texts")
        if self.field.kind is not Kind.NUMBER:
            whole = column.astype(self.values.dtype)
            return whole, whole != self.values.fill
        if column.dtype.kind in "iu":
            real = np.where(column == MISSING, np.nan, column / self.field.per_unit)
        else:
            real = column.astype(np.float64)
        return real, ~np.isnan(real)

    def known(self, rows: Int32) -> Bool:
        """Where the rows hold a value."""
        held = self.values.data[rows]
        known: Bool = ~np.isnan(held) if self.values.dtype == np.float64 else held != self.values.fill
        return known

    def write(self, rows: Int32, values: NDArray[Any]) -> None:
        """Store values in stored form."""
        self.values.data[rows] = values

    def resize(self, n: int) -> None:
        """Grow to n rows without a value."""
        self.values.resize(n)

    def view(self) -> NDArray[Any]:
        """The column as readers see it."""
        return self.values.data

    def state(self) -> dict[str, Any]:
        """Arrays of the snapshot."""
        return {"values": self.values.data.copy()}

    def load(self, state: dict[str, Any]) -> None:
        """Hold the arrays of a snapshot."""
        self.values.load(state["values"])


class Codes(Plain):
    """CODE: int32 into names that only grow."""

    def __init__(self, field: Field, allocate: Allocate = np.empty) -> None:
        super().__init__(field, allocate)
        self.values = Grow(np.int32, -1, allocate)
        self.known_names: dict[str, int] = {}
        self._names: tuple[str, ...] = ()

    def read(self, column: Input) -> tuple[NDArray[Any], Bool]:
        """Codes in this column's names; an empty text is absent."""
        if isinstance(column, Strings):
            column = Coded.of([text or None for text in column.tolist()])
        if not isinstance(column, Coded):
            raise TypeError(f"attribute {self.field.name} holds codes, not numbers")
        # Only names that occur are taken over, in order of appearance: the numbers then do not depend on how a sender
        # numbers its names or cuts its batches.
        n = len(column)
        first = np.full(len(column.names) + 1, n, np.int64)
        first[column.codes[::-1]] = np.arange(n - 1, -1, -1)
        table = np.full(len(column.names) + 1, -1, np.int32)
        seen = np.flatnonzero(first[:-1] < n)
        for code in seen[np.argsort(first[seen])].tolist():
            name = column.names[code]
            table[code] = self.known_names.setdefault(name, len(self.known_names)) if name else -1
        codes = table[column.codes]
        return codes, codes >= 0

    def view(self) -> Coded:  # type: ignore[override]
        """The column with its names."""
        if len(self._names) != len(self.known_names):
            self._names = tuple(self.known_names)
        return Coded(self.values.data, self._names)

    def state(self) -> dict[str, Any]:
        """Arrays and names of the snapshot."""
        return {"values": self.values.data.copy(), "names": list(self.known_names)}

    def load(self, state: dict[str, Any]) -> None:
        """Hold the arrays of a snapshot."""
        self.values.load(state["values"])
        self.known_names = {name: i for i, name in enumerate(state["names"])}


class Texts(Plain):
    """TEXT and SECRET: an arena of texts and the place of each row's newest one in it."""

    def __init__(self, field: Field, allocate: Allocate = np.empty) -> None:
        super().__init__(field, allocate)
        self._allocate = allocate
        self.values = Grow(np.int32, -1, allocate)
        self.arena = GrowText(allocate)
        self.arena.extend(Strings.empty(1))  # place 0, the empty text, is what a missing row shows
        self.live = 0

    def read(self, column: Input) -> tuple[NDArray[Any], Bool]:
        """Places of the texts in the arena, which is packed first when most of it is dead; an empty text is absent."""
        if isinstance(column, Coded):
            column = Strings.of([*column.names, ""]).take(column.codes % (len(column.names) + 1))
        if not isinstance(column, Strings):
            raise TypeError(f"attribute {self.field.name} holds texts, not numbers")
        if len(self.arena.strings) > 2 * self.live + 1024:
            self._pack()
        start = len(self.arena.strings)
        self.arena.extend(column)
        return np.arange(start, start + len(column), dtype=np.int32), column.lengths() > 0

    def write(self, rows: Int32, values: NDArray[Any]) -> None:
        """Store places that `read` gave."""
        self.live += len(rows) - int(np.count_nonzero(self.known(rows)))
        self.values.data[rows] = values

    def _pack(self) -> None:
        rows = np.flatnonzero(self.values.data >= 0)
        kept = self.arena.strings.take(self.values.data[rows])
        self.arena = GrowText(self._allocate)
        self.arena.extend(Strings.empty(1))
        self.arena.extend(kept)
        self.values.data[rows] = np.arange(1, len(rows) + 1, dtype=np.int32)

    def view(self) -> Strings:  # type: ignore[override]
        """All rows as texts: a copy, O(n)."""
        return self.arena.strings.take(np.maximum(self.values.data, 0))

    def text(self, row: int) -> str:
        """One row's text, "" if it has none."""
        return self.arena.strings[max(int(self.values.data[row]), 0)]

    def state(self) -> dict[str, Any]:
        """Arrays of the snapshot, without dead texts: equal contents give equal states."""
        self._pack()
        texts = self.arena.strings
        return {"values": self.values.data.copy(), "data": texts.data.copy(), "offsets": texts.offsets.copy()}

    def load(self, state: dict[str, Any]) -> None:
        """Hold the arrays of a snapshot."""
        self.values.load(state["values"])
        self.arena.load(Strings(state["data"], state["offsets"]))
        self.live = int(np.count_nonzero(self.values.data >= 0))


def column_of(field: Field, allocate: Allocate = np.empty) -> Plain:
    """The storage that suits a field."""
    form = {Kind.CODE: Codes, Kind.TEXT: Texts, Kind.SECRET: Texts}.get(field.kind, Plain)
    return form(field, allocate)
