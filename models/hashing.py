"""128-bit keys of texts and an open-addressing index over them: the engine's dictionary, in columns.

Keys are pairs of uint64 (a, b). Two texts share a key with probability 2**-128 per pair, which is treated as never.
The hash is fixed (no seed), so state is equal between runs and machines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.models.columns import Bool, Coded, Column, Int64, Strings, UInt64

_M1 = np.uint64(0x9E3779B97F4A7C15)
_M2 = np.uint64(0xC2B2AE3D27D4EB4F)
_M3 = np.uint64(0xFF51AFD7ED558CCD)
_M4 = np.uint64(0xC4CEB9FE1A85EC53)

Allocate = Callable[..., NDArray[Any]]


@njit(cache=True, nogil=True, inline="always")
def _mix(x):  # type: ignore[no-untyped-def]
    x ^= x >> np.uint64(33)
    x *= _M3
    x ^= x >> np.uint64(33)
    x *= _M4
    x ^= x >> np.uint64(33)
    return x


@njit(cache=True, nogil=True)
def _hash_rows(data, offsets, a, b):  # type: ignore[no-untyped-def]
    for i in range(len(offsets) - 1):
        lo, hi = offsets[i], offsets[i + 1]
        x = np.uint64(hi - lo) * _M1 + _M2
        y = np.uint64(hi - lo) ^ _M4
        j = lo
        while j < hi:
            word = np.uint64(0)
            end = min(j + 8, hi)
            for k in range(j, end):
                word |= np.uint64(data[k]) << np.uint64(8 * (k - j))
            x = (x ^ word) * _M1
            x ^= x >> np.uint64(29)
            y = (y + word) * _M2
            y ^= (y >> np.uint64(31)) ^ x
            j = end
        a[i] = _mix(x)
        b[i] = _mix(y ^ (x << np.uint64(1)))


@njit(cache=True, nogil=True)
def _combine(a, b, c, d):  # type: ignore[no-untyped-def]
    for i in range(len(a)):
        x = _mix(a[i] * _M1 + c[i])
        a[i] = x
        b[i] = _mix((b[i] ^ x) * _M2 + d[i])


@njit(cache=True, nogil=True)
def _fold(acc, values):  # type: ignore[no-untyped-def]
    for i in range(len(acc)):
        acc[i] = _mix(acc[i] * _M1 + np.uint64(values[i]) + _M2)


@njit(cache=True, nogil=True)
def _find(ta, tb, tv, a, b, out):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(tv) - 1)
    for i in range(len(a)):
        j = np.int64(a[i] & mask)
        while tv[j] != -1 and not (ta[j] == a[i] and tb[j] == b[i]):
            j = (j + 1) & np.int64(mask)
        out[i] = tv[j]


@njit(cache=True, nogil=True)
def _intern(ta, tb, tv, a, b, first, out, fresh):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(tv) - 1)
    nxt = first
    for i in range(len(a)):
        j = np.int64(a[i] & mask)
        while tv[j] != -1 and not (ta[j] == a[i] and tb[j] == b[i]):
            j = (j + 1) & np.int64(mask)
        if tv[j] == -1:
            ta[j], tb[j], tv[j] = a[i], b[i], nxt
            nxt += 1
            fresh[i] = True
        out[i] = tv[j]
    return nxt - first


@njit(cache=True, nogil=True)
def _place(ta, tb, tv, a, b, v):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(tv) - 1)
    for i in range(len(a)):
        j = np.int64(a[i] & mask)
        while tv[j] != -1 and not (ta[j] == a[i] and tb[j] == b[i]):
            j = (j + 1) & np.int64(mask)
        ta[j], tb[j], tv[j] = a[i], b[i], v[i]


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """A column of 128-bit keys: `a`, `b` uint64[n]."""

    a: UInt64
    b: UInt64

    def __len__(self) -> int:
        return len(self.a)

    def take(self, rows: NDArray[np.integer] | Bool) -> Keys:
        """The given rows."""
        return Keys(self.a[rows], self.b[rows])


def hash_strings(column: Strings) -> Keys:
    """Keys of a text column.

    >>> k = hash_strings(Strings.of(["x", "y", "x"])); bool(k.a[0] == k.a[2]), bool(k.a[0] == k.a[1])
    (True, False)
    """
    n = len(column)
    a, b = np.empty(n, np.uint64), np.empty(n, np.uint64)
    _hash_rows(column.data, column.offsets, a, b)
    return Keys(a, b)


def hash_coded(column: Coded) -> Keys:
    """Keys of a coded column, equal to those of its texts; a missing code has the key of the empty text."""
    names = hash_strings(Strings.of([*column.names, ""]))
    return Keys(names.a[column.codes], names.b[column.codes])


def combine(first: Keys, *others: Keys) -> Keys:
    """Keys of pairs (or triples ...) of keys, order matters; the inputs stay as they are."""
    a, b = first.a.copy(), first.b.copy()
    for other in others:
        _combine(a, b, other.a, other.b)
    return Keys(a, b)


def fold(acc: UInt64, column: Column) -> None:
    """Mix a column into a running 64-bit hash per row, in place: the fingerprint of a row's content."""
    if isinstance(column, Strings):
        _fold(acc, hash_strings(column).a)
    elif isinstance(column, Coded):
        _fold(acc, hash_coded(column).a)
    elif column.dtype == np.float64:
        _fold(acc, (column + 0.0).view(np.uint64))
    else:
        _fold(acc, column.astype(np.int64).view(np.uint64))


class HashIndex:
    """Key -> int64 >= 0 by open addressing, load at most one half; grows by doubling through `allocate`."""

    def __init__(self, capacity: int = 1024, allocate: Allocate = np.empty) -> None:
        self._allocate = allocate
        self.used = 0
        self._make(capacity)

    def _make(self, capacity: int) -> None:
        self._a = self._allocate(capacity, np.uint64)
        self._b = self._allocate(capacity, np.uint64)
        self._v = self._allocate(capacity, np.int64)
        self._v[:] = -1

    def __len__(self) -> int:
        return self.used

    def _reserve(self, extra: int) -> None:
        need = 2 * (self.used + extra)
        if need <= len(self._v):
            return
        keys, values = self.items()
        self._make(1 << (need - 1).bit_length())
        _place(self._a, self._b, self._v, keys.a, keys.b, values)

    def find(self, keys: Keys) -> Int64:
        """Values of the keys, -1 where unknown (int64[n])."""
        out = np.empty(len(keys), np.int64)
        _find(self._a, self._b, self._v, keys.a, keys.b, out)
        return out

    def intern(self, keys: Keys, first: int) -> tuple[Int64, Bool]:
        """Values of the keys; unknown ones get first, first + 1, ... in order of appearance, and are marked fresh."""
        self._reserve(len(keys))
        out, fresh = np.empty(len(keys), np.int64), np.zeros(len(keys), np.bool_)
        self.used += _intern(self._a, self._b, self._v, keys.a, keys.b, first, out, fresh)
        return out, fresh

    def put(self, keys: Keys, values: Int64) -> None:
        """Set the values of new or known keys."""
        self._reserve(len(keys))
        before = int(np.count_nonzero(self.find(keys) < 0))
        _place(self._a, self._b, self._v, keys.a, keys.b, values)
        self.used += before

    def tables(self, extra: int) -> tuple[UInt64, UInt64, Int64]:
        """The raw table (a, b, value; -1 empty) with room for `extra` more, for kernels that probe it themselves."""
        self._reserve(extra)
        return self._a, self._b, self._v

    def items(self) -> tuple[Keys, Int64]:
        """All keys and values, in table order."""
        rows = np.flatnonzero(self._v >= 0)
        return Keys(self._a[rows], self._b[rows]), self._v[rows]

    def rebuild(self, keys: Keys, values: Int64) -> None:
        """Forget everything and hold these."""
        self.used = 0
        self._make(1 << max(10, (2 * len(values)).bit_length()))
        self.used = len(values)
        _place(self._a, self._b, self._v, keys.a, keys.b, values)

    def nbytes(self) -> int:
        """Bytes held."""
        return int(self._a.nbytes + self._b.nbytes + self._v.nbytes)
