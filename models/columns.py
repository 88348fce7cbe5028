"""Columns that carry text: `Strings` for what is unique, `Coded` for what repeats."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
UInt8 = NDArray[np.uint8]
UInt64 = NDArray[np.uint64]

#: An integer column holds this where a value is missing.
MISSING: int = -(2**63)


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """A column of UTF-8 strings; row i is `data[offsets[i]:offsets[i + 1]]` (uint8, int64[n + 1]).

    >>> Strings.of(["a", "武汉"])[1]
    '武汉'
    """

    data: UInt8
    offsets: Int64

    @classmethod
    def of(cls, values: Iterable[str]) -> Strings:
        """Column of the given texts."""
        raw = [v.encode("utf-8", "surrogatepass") for v in values]
        offsets = np.zeros(len(raw) + 1, np.int64)
        np.cumsum([len(r) for r in raw], out=offsets[1:])
        return cls(np.frombuffer(b"".join(raw), np.uint8), offsets)

    @classmethod
    def empty(cls, n: int) -> Strings:
        """Column of `n` empty texts."""
        return cls(np.zeros(0, np.uint8), np.zeros(n + 1, np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        return self.bytes_at(row).decode("utf-8", "replace")

    def bytes_at(self, row: int) -> bytes:
        """The bytes of one row."""
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def tolist(self) -> list[str]:
        """All rows as Python strings: for edges and tests, not for the hot path."""
        blob, cut = self.data.tobytes(), self.offsets.tolist()
        return [blob[a:b].decode("utf-8", "replace") for a, b in itertools.pairwise(cut)]

    def lengths(self) -> Int64:
        """Length of each row in bytes (int64[n])."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.integer] | Bool) -> Strings:
        """The given rows (indices or mask), in that order."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        size = self.lengths()[index]
        offsets = np.zeros(len(index) + 1, np.int64)
        np.cumsum(size, out=offsets[1:])
        shift = np.repeat(self.offsets[index] - offsets[:-1], size)
        return Strings(self.data[np.arange(offsets[-1], dtype=np.int64) + shift], offsets)

    @staticmethod
    def concat(parts: Sequence[Strings]) -> Strings:
        """One column of several, in order."""
        if len(parts) == 1:
            return parts[0]
        sizes = [p.lengths() for p in parts]
        offsets = np.zeros(sum(map(len, parts)) + 1, np.int64)
        if sizes:
            np.cumsum(np.concatenate(sizes), out=offsets[1:])
        data = [p.data[p.offsets[0] : p.offsets[-1]] for p in parts]
        return Strings(np.concatenate(data) if data else np.zeros(0, np.uint8), offsets)


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column of few distinct texts: `codes[i]` (int32) indexes `names`, -1 means missing.

    >>> Coded.of(["rain", None, "rain"]).codes.tolist()
    [0, -1, 0]
    """

    codes: Int32
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Iterable[str | None]) -> Coded:
        """Column of the given texts, names in order of appearance."""
        seen: dict[str, int] = {}
        codes = [-1 if v is None else seen.setdefault(v, len(seen)) for v in values]
        return cls(np.array(codes, np.int32), tuple(seen))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> str | None:
        code = int(self.codes[row])
        return None if code < 0 else str(self.names[code])

    def tolist(self) -> list[str | None]:
        """All rows as Python strings, None where missing."""
        names = (*self.names, None)
        return [names[c] for c in self.codes.tolist()]

    def take(self, rows: NDArray[np.integer] | Bool) -> Coded:
        """The given rows (indices or mask), in that order; the names stay."""
        return Coded(self.codes[rows], self.names)

    def equals(self, name: str) -> Bool:
        """Mask of the rows that hold `name`."""
        if name not in self.names:
            return np.zeros(len(self.codes), np.bool_)
        mask: Bool = self.codes == self.names.index(name)
        return mask

    def recode(self, known: dict[str, int]) -> Int32:
        """Codes in another dictionary, which grows by the names it lacks (int32[n])."""
        # str(): names may be NumPy's own strings, which no encoder of JSON takes
        table = np.array([known.setdefault(str(n), len(known)) for n in self.names] + [-1], np.int32)
        return table[self.codes]

    @staticmethod
    def concat(parts: Sequence[Coded]) -> Coded:
        """One column of several, in order."""
        if len(parts) == 1:
            return parts[0]
        known: dict[str, int] = {}
        codes = [p.recode(known) for p in parts]
        return Coded(np.concatenate(codes) if codes else np.zeros(0, np.int32), tuple(known))


Column = Int64 | Float64 | NDArray[np.int8] | Strings | Coded


def starts_with(column: Strings, prefix: bytes) -> Bool:
    """Which texts begin with these bytes (bool[n]).

    >>> starts_with(Strings.of(["drill/C-1", "C-1", "dr"]), b"drill/").tolist()
    [True, False, False]
    """
    out: Bool = column.lengths() >= len(prefix)
    rows = np.flatnonzero(out)
    for place, byte in enumerate(prefix):
        if len(rows) == 0:
            break
        same = column.data[column.offsets[rows] + place] == byte
        out[rows[~same]] = False
        rows = rows[same]
    return out


def unique(values: NDArray[Any]) -> NDArray[Any]:
    """Sorted and without repeats, as np.unique gives it; by sorting, which is faster on the short columns of a tick.

    >>> unique(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    ordered = np.sort(values)
    keep = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=keep[1:])
    return ordered[keep]


def physical(values: NDArray[Any], per_unit: int | Float64) -> Float64:
    """Stored integers as float64 in units: value / per_unit, MISSING and negative flags as NaN."""
    if values.dtype == np.int8:
        return np.where(values < 0, np.nan, values.astype(np.float64))
    if values.dtype == np.float64:
        return values
    return np.where(values == MISSING, np.nan, values / per_unit)
