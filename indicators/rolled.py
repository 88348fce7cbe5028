"""Totals by scope, own and rolled up to every coarser level, kept by the differences since the last tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Int32, Int64
from citytwin.twin.growable import Grow


@njit(cache=True, nogil=True)
def _move_up(own, seen, total, touched, changed, ancestors):  # type: ignore[no-untyped-def]
    for row in range(len(own)):
        if not touched[row]:
            continue
        touched[row] = False
        delta = own[row] - seen[row]
        seen[row] = own[row]
        if delta != 0:
            for level in range(ancestors.shape[1]):
                up = ancestors[row, level]
                if up >= 0:
                    total[up] += delta
                    changed[up] = True


@njit(cache=True, nogil=True)
def _maxima(scopes, values, ancestors, out):  # type: ignore[no-untyped-def]
    for i in range(len(scopes)):
        for level in range(ancestors.shape[1]):
            up = ancestors[scopes[i], level]
            if up >= 0 and values[i] > out[up]:
                out[up] = values[i]


@njit(cache=True, nogil=True)
def _raise(scopes, values, ancestors, total, changed):  # type: ignore[no-untyped-def]
    for i in range(len(scopes)):
        for level in range(ancestors.shape[1]):
            up = ancestors[scopes[i], level]
            if up >= 0 and values[i] > total[up]:
                total[up] = values[i]
                changed[up] = True


class Flags:
    """Flags by scope that know whether any may be set: most stay down in most ticks, and cost nothing then."""

    def __init__(self) -> None:
        self._column = Grow(np.bool_, False)
        self.stirred = False

    @property
    def data(self) -> NDArray[np.bool_]:
        """The flags, to read (bool[n])."""
        return self._column.data

    def open(self) -> NDArray[np.bool_]:
        """The flags, to write."""
        self.stirred = True
        return self._column.data

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        self._column.resize(n)

    def any(self) -> bool:
        """Whether a flag is set."""
        return self.stirred and bool(self._column.data.any())

    def clear(self) -> None:
        """Put all down."""
        if self.stirred:
            self._column.data[:] = False
            self.stirred = False


class Rolled:
    """`own` and `total` int64[n scopes]; `add` writes to own, then `settle` moves the difference up."""

    def __init__(self) -> None:
        self.own, self.total, self._seen = Grow(np.int64), Grow(np.int64), Grow(np.int64)
        self.touched, self.changed = Grow(np.bool_, False), Flags()
        #: Whether `settle` has something to do; set it when own and touched are written directly.
        self.waits = False

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        for column in (self.own, self.total, self._seen, self.touched, self.changed):
            column.resize(n)

    def clear(self) -> None:
        """Hold nothing; every scope counts as changed."""
        for column in (self.own, self.total, self._seen, self.touched):
            column.data[:] = 0
        self.changed.open()[:] = True

    def add(self, rows: Int32 | Int64, values: Int64) -> None:
        """Add to own totals (rows may repeat)."""
        if len(rows) == 0:
            return
        self.waits = True
        np.add.at(self.own.data, rows, values)
        self.touched.data[rows] = True

    def settle(self, ancestors: Int32) -> None:
        """Move differences up (`ancestors` int32[n, 5]); `changed` flags every scope whose total differs."""
        if not self.waits:
            return
        self.waits = False
        _move_up(self.own.data, self._seen.data, self.total.data, self.touched.data, self.changed.open(), ancestors)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        return {"own": self.own.data.copy(), "total": self.total.data.copy(), "seen": self._seen.data.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore; everything counts as changed."""
        n = len(state["own"])
        self.resize(n)
        for column, name in ((self.own, "own"), (self.total, "total"), (self._seen, "seen")):
            column.load(state[name])
        self.waits = True
        self.touched.data[:] = True
        self.changed.open()[:] = True


class RolledExtreme:
    """Largest value by scope at every level; `own` int64 with MISSING = nothing. For minima store negated values."""

    def __init__(self) -> None:
        self.total, self.changed = Grow(np.int64, MISSING), Flags()

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        self.total.resize(n)
        self.changed.resize(n)

    def raise_to(self, scopes: Int32, values: Int64, ancestors: Int32) -> None:
        """Take in values at these scopes (rows may repeat) beside those that are held."""
        if len(scopes):
            _raise(scopes, values, ancestors, self.total.data, self.changed.open())

    def settle(self, scopes: Int32, values: Int64, ancestors: Int32) -> None:
        """Replace by the maxima of these values at these scopes (rows may repeat), rolled up."""
        fresh = np.full(self.total.n, MISSING, np.int64)
        _maxima(scopes, values, ancestors, fresh)
        self.changed.open()[:] |= fresh != self.total.data
        self.total.data[:] = fresh

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        return {"total": self.total.data.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore; everything counts as changed."""
        self.resize(len(state["total"]))
        self.total.load(state["total"])
        self.changed.open()[:] = True
