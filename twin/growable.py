"""Columns that grow: arrays with room to spare, doubled when full, with a base that moves when old rows are dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Int64, Strings
from citytwin.models.hashing import Allocate


class Grow:
    """One growing column of `n` values of a dtype; `data` is the filled part.

    >>> g = Grow(np.int64); g.extend(np.array([1, 2])); g.data.tolist()
    [1, 2]
    """

    __slots__ = ("_allocate", "_blank", "_clean", "_room", "dtype", "fill", "n")

    def __init__(self, dtype: Any, fill: Any = 0, allocate: Allocate = np.empty) -> None:
        self.dtype = np.dtype(dtype)
        self.fill = fill
        self.n = 0
        self._allocate = allocate
        self._room = allocate(64, self.dtype)
        #: Whether the fill is zero; whether what lies behind the values is zeros that nobody wrote to.
        self._blank, self._clean = not fill, False

    @property
    def data(self) -> NDArray[Any]:
        """The values, a view that a later growth may leave behind."""
        return self._room[: self.n]

    def _reserve(self, n: int) -> None:
        if n > len(self._room):
            size = 1 << (n - 1).bit_length()
            # memory given as zeros costs nothing before it is written to, and most scopes of most measures never are
            zeros = self._blank and self._allocate is np.empty
            room = np.zeros(size, self.dtype) if zeros else self._allocate(size, self.dtype)
            self._clean = zeros
            room[: self.n] = self.data
            self._room = room

    def extend(self, values: NDArray[Any]) -> None:
        """Append values."""
        self._reserve(self.n + len(values))
        self._room[self.n : self.n + len(values)] = values
        self.n += len(values)

    def resize(self, n: int) -> None:
        """Grow to n values, new ones hold the fill."""
        if n > self.n:
            self._reserve(n)
            if not self._clean:
                self._room[self.n : n] = self.fill
            self.n = n

    def drop(self, count: int) -> None:
        """Forget the first values."""
        self._room[: self.n - count] = self._room[count : self.n].copy()
        self.n -= count
        self._clean = False

    def load(self, values: NDArray[Any]) -> None:
        """Hold exactly these values."""
        self._clean = self._clean and len(values) >= self.n
        self.n = 0
        self.extend(values)


class GrowText:
    """A growing text column; rows as in `Strings`."""

    __slots__ = ("_data", "_ends")

    def __init__(self, allocate: Allocate = np.empty) -> None:
        self._data = Grow(np.uint8, 0, allocate)
        self._ends = Grow(np.int64, 0, allocate)
        self._ends.resize(1)

    @property
    def strings(self) -> Strings:
        """The rows as a column, a view."""
        return Strings(self._data.data, self._ends.data)

    def extend(self, values: Strings) -> None:
        """Append rows."""
        start = self._data.n - int(values.offsets[0])
        self._data.extend(values.data[values.offsets[0] : values.offsets[-1]])
        self._ends.extend(values.offsets[1:] + start)

    def drop(self, count: int) -> None:
        """Forget the first rows."""
        cut = int(self._ends.data[count])
        self._data.drop(cut)
        ends: Int64 = self._ends.data[count:] - cut
        self._ends.load(ends)

    def load(self, values: Strings) -> None:
        """Hold exactly these rows."""
        self._data.load(values.data[values.offsets[0] : values.offsets[-1]])
        self._ends.load(values.offsets - values.offsets[0])
