"""Log-bucket histograms by scope at every level, kept by what comes and goes, and a quantile of each."""

from __future__ import annotations

import numpy as np
from numba import njit

from citytwin.indicators.buckets import SPAN, value_of
from citytwin.indicators.rolled import Flags
from citytwin.models.columns import Int32, Int64, unique
from citytwin.twin.growable import Grow

#: Buckets are added in blocks of so many: values of one measure spread over a few hundred.
_BLOCK = 64


@njit(cache=True, nogil=True)
def _tally(scope, bucket, count, ancestors, slot_of, taken, lo, held, number, touched):  # type: ignore[no-untyped-def]
    """Count entries at their scope and all above; returns the number of slots then in use, or -1 - need for room."""
    for i in range(len(scope)):
        for level in range(ancestors.shape[1]):
            up = ancestors[scope[i], level]
            if up < 0:
                continue
            if slot_of[up] < 0:
                slot_of[up] = taken
                taken += 1
            s = slot_of[up]
            held[s, bucket[i] - lo] += count[i]
            number[s] += count[i]
            touched[up] = True
    return taken


@njit(cache=True, nogil=True)
def _rank(q, slot_of, held, number, touched, out):  # type: ignore[no-untyped-def]
    """Column of rank floor(q * (N - 1)) at each touched scope, -1 where nothing is counted."""
    for r in range(len(touched)):
        if not touched[r] or slot_of[r] < 0:
            continue
        s = slot_of[r]
        if number[s] <= 0:
            out[r] = -1
            continue
        rank = np.int64(np.floor(q * (number[s] - 1)))
        seen = 0
        for b in range(held.shape[1]):
            seen += held[s, b]
            if seen > rank:
                out[r] = b
                break


class Histograms:
    """Quantile q by scope: `total` float64[n scopes] (NaN = nothing counted), `changed` since flags were last cleared.

    8 bytes for each bucket in use and scope that counts anything, at any level: some 3 kB a scope.
    """

    def __init__(self, q: float) -> None:
        self.q = q
        self.total, self.changed = Grow(np.float64, np.nan), Flags()
        self._slot, self._touched = Grow(np.int64, -1), Grow(np.bool_, False)
        self._waiting: list[tuple[Int64, Int64, Int64]] = []
        #: Codes (scope * SPAN + bucket) that changed, where somebody is to be told of them.
        self.marks: list[Int64] | None = None
        self.clear()

    def clear(self) -> None:
        """Count nothing any more; every scope that had a value is worked out at the next `settle`."""
        self._lo = self._taken = 0
        self._held = np.zeros((0, 0), np.int64)
        self._number = np.zeros(0, np.int64)
        self._touched.data[:] |= self._slot.data >= 0
        self._slot.data[:] = -1
        self._waiting = []
        self._cleared = True

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        for column in (self.total, self.changed, self._slot, self._touched):
            column.resize(n)

    def add(self, scope: Int64, bucket: Int64, count: Int64) -> None:
        """Count (or, negative, uncount) entries at their own scopes; settled at the next `settle`."""
        if len(scope):
            self._waiting.append((scope, bucket, count))

    def settle(self, ancestors: Int32) -> None:
        """Take in what waits and work the quantile out again where anything moved."""
        if self._waiting:
            scope, bucket, count = (np.concatenate(p) for p in zip(*self._waiting, strict=True))
            self._waiting = []
            if self.marks is not None:
                self.marks.append(unique(scope * SPAN + bucket))
            self._make_room(scope, bucket, ancestors)
            self._taken = _tally(
                scope, bucket, count, ancestors, self._slot.data, self._taken, self._lo, self._held, self._number,
                self._touched.data,
            )  # fmt: skip
        elif not self._cleared:
            return
        self._cleared = False
        rows = np.flatnonzero(self._touched.data)
        found = np.full(self.total.n, -1, np.int64)
        _rank(self.q, self._slot.data, self._held, self._number, self._touched.data, found)
        at = found[rows]
        fresh = np.where(at < 0, np.nan, value_of(np.maximum(at, 0) + self._lo))
        old = self.total.data[rows]
        self.changed.open()[rows] |= ~((fresh == old) | (np.isnan(fresh) & np.isnan(old)))
        self.total.data[rows] = fresh
        self._touched.data[:] = False

    def take_marks(self) -> tuple[Int64, Int64]:
        """Codes (scope * SPAN + bucket) that changed since the last call, and their counts at that scope now."""
        marks, self.marks = self.marks or [], []
        codes = unique(np.concatenate(marks)) if marks else np.zeros(0, np.int64)
        slot = self._slot.data[codes // SPAN]
        counts = (
            np.where(slot >= 0, self._held[np.maximum(slot, 0), codes % SPAN - self._lo], 0) if len(codes) else codes
        )
        return codes, counts

    def _make_room(self, scope: Int64, bucket: Int64, ancestors: Int32) -> None:
        """Rows for the scopes that begin to count and columns for the buckets that are new."""
        ups = np.unique(ancestors[np.unique(scope)])
        new = int(np.count_nonzero(self._slot.data[ups[ups >= 0]] < 0))
        width = self._held.shape[1]
        lo, hi = int(bucket.min()) // _BLOCK * _BLOCK, (int(bucket.max()) // _BLOCK + 1) * _BLOCK
        if width:
            lo, hi = min(lo, self._lo), max(hi, self._lo + width)
        rows = len(self._number)
        while rows < self._taken + new:
            rows = max(64, 2 * rows)
        if rows == len(self._number) and (lo, hi) == (self._lo, self._lo + width):
            return
        held, number = np.zeros((rows, hi - lo), np.int64), np.zeros(rows, np.int64)
        if width:
            held[: len(self._number), self._lo - lo : self._lo - lo + width] = self._held
        number[: len(self._number)] = self._number
        self._held, self._number, self._lo = held, number, lo
