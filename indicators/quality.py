"""Quality of values by scope: which of the expected inputs were in time, and what that makes of the value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numba import njit

from citytwin.models.columns import Bool, Float64, Int32, Int64, UInt8
from citytwin.models.frame import Quality

#: What is silent for so many of its periods is stale.
PERIODS = 2
#: Period of a device or source of which none was said: two hours of silence make it stale, never none at all.
DEFAULT_PERIOD_S = 3600.0
# Plain numbers: NumPy asks an enum for a dozen attributes at every comparison.
_GOOD, _PROVISIONAL, _PARTIAL = int(Quality.GOOD), int(Quality.PROVISIONAL), int(Quality.PARTIAL)
_STALE, _NODATA, _ERROR = int(Quality.STALE), int(Quality.NODATA), int(Quality.ERROR)
#: A composite of which more than this share of the weight is missing has no number.
MISSING_LIMIT = 0.5


class Inputs(Protocol):
    """The inputs of one feed: how many were in time, ever heard and expected, by scope (int64[n])."""

    #: Whether a number is false where nothing was ever heard: a count of zero is one, an extreme of nothing is not.
    blank: bool

    def look(self, now: int) -> None: ...

    def counts(self) -> tuple[Int64, Int64, Int64]: ...

    def moved(self) -> bool: ...


@dataclass(slots=True, eq=False)
class Coverage:
    """Inputs in time, ever heard, and expected by scope (int32[n]); `blank`: scopes whose number would be false."""

    fresh: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    heard: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    expected: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    blank: Bool = field(default_factory=lambda: np.zeros(0, np.bool_))

    @classmethod
    def of(cls, feeds: Sequence[Inputs], n: int) -> Coverage:
        """Sum over feeds."""
        sums = np.zeros((3, n), np.int64)
        blank = np.zeros(n, np.bool_)
        for feed in feeds:
            found = feed.counts()
            for row, part in enumerate(found):
                sums[row] += part
            if feed.blank:
                blank |= found[1] == 0
        fresh, heard, expected = sums.astype(np.int32)
        return cls(fresh, heard, expected, blank)


@njit(cache=True, nogil=True)
def grade(value, fresh, heard, expected, provisional, covered):  # type: ignore[no-untyped-def]
    """Quality of one value by its own inputs; `covered`: whether inputs are counted at all.

    One silent input of a hundred makes it partial: there is no tolerance, for nobody can tell from the number which
    one it was. Stale is what was heard and is silent now; what never said anything has no data.
    """
    if covered and fresh == 0 and heard > 0:
        return _STALE
    if np.isnan(value):
        return _NODATA
    if covered and fresh < expected:
        return _PARTIAL
    return _PROVISIONAL if provisional else _GOOD


@njit(cache=True, nogil=True)
def settle(rows, touched, value, closed, has_closed, provisional, cover, covered, line, out):  # type: ignore[no-untyped-def]
    """Take new values over into a line at some scopes, graded; in one pass, since a tick does it for every indicator.

    `value`, `closed` count where `touched`. `cover`: fresh, heard, expected, blank; `line`: value, closed, quality,
    fresh, expected as they stand and are replaced; `out`: flags moved, altered, restated, changed that are set.
    """
    fresh, heard, expected, blank = cover
    old, old_closed, quality, old_fresh, old_expected = line
    moved, altered, restated, changed = out
    for r in rows:
        v = value[r] if touched[r] else old[r]
        c = closed[r] if has_closed and touched[r] else old_closed[r]
        f = e = h = 0
        if covered:
            f, h, e = fresh[r], heard[r], expected[r]
            if blank[r]:
                v = np.nan
                if has_closed:
                    c = np.nan
        q = grade(v, f, h, e, provisional, covered)
        same = v == old[r] or (np.isnan(v) and np.isnan(old[r]))
        same_closed = c == old_closed[r] or (np.isnan(c) and np.isnan(old_closed[r]))
        counts = f != old_fresh[r] or e != old_expected[r]
        moved[r] = not same
        restated[r] = not same_closed and not np.isnan(old_closed[r])
        altered[r] = not same or q != quality[r] or counts
        changed[r] = not same or not same_closed or q != quality[r] or (counts and q == _PARTIAL)
        old[r], old_closed[r], quality[r], old_fresh[r], old_expected[r] = v, c, q, f, e


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """How far other indicators may count on one, at some scopes: arrays side by side.

    `known`: it has a value that is not stale. `missing`: it has none or a stale one although something should have
    said it. Neither: there is nothing to measure at that scope.
    """

    value: Float64
    quality: UInt8
    fresh: Int32
    expected: Int32
    known: Bool
    missing: Bool

    @classmethod
    def of(cls, value: Float64, quality: UInt8, fresh: Int32, expected: Int32) -> Standing:
        """By the quality of the value and its inputs."""
        known = ~np.isnan(value) & (quality <= _PARTIAL)
        missing = ~known & ((quality == _STALE) | (quality == _ERROR) | (fresh < expected))
        return cls(value, quality, fresh, expected, known, missing)


_SOME_KNOWN, _SOME_STALE, _SOME_LESS, _SOME_OPEN = 1, 2, 4, 8


@njit(cache=True, nogil=True)
def _look(quality, known, missing, part_fresh, part_expected, seen, fresh, expected):  # type: ignore[no-untyped-def]
    """Note what one part is like at each scope, and add its inputs up."""
    for i in range(len(seen)):
        bits = 0
        if known[i]:
            bits |= _SOME_KNOWN
            if quality[i] == _PROVISIONAL:
                bits |= _SOME_OPEN
        if quality[i] == _STALE:
            bits |= _SOME_STALE
        if missing[i] or quality[i] == _PARTIAL:
            bits |= _SOME_LESS
        seen[i] |= np.uint8(bits)
        fresh[i] += part_fresh[i]
        expected[i] += part_expected[i]


@njit(cache=True, nogil=True)
def _add(score, known, missing, sums):  # type: ignore[no-untyped-def]
    """Add one part to (total, known, old, stale, missing) of each scope."""
    for i in range(len(score)):
        scored = not np.isnan(score[i])
        if known[i] and scored:
            sums[0, i] += score[i]
            sums[1, i] += 1
        if missing[i]:
            sums[4, i] += 1
            if scored:
                sums[2, i] += score[i]
                sums[3, i] += 1


def inherit(value: Float64, parts: Sequence[Standing]) -> tuple[UInt8, Int32, Int32]:
    """Quality of values made of other indicators, and the inputs of the parts in time and expected, summed."""
    n = len(value)
    seen, fresh, expected = np.zeros(n, np.uint8), np.zeros(n, np.int32), np.zeros(n, np.int32)
    for part in parts:
        _look(part.quality, part.known, part.missing, part.fresh, part.expected, seen, fresh, expected)
    out = np.full(n, _GOOD, np.uint8)
    out[(seen & _SOME_OPEN) > 0] = _PROVISIONAL
    out[(seen & _SOME_LESS) > 0] = _PARTIAL
    out[np.isnan(value)] = _NODATA
    out[(seen & (_SOME_STALE | _SOME_KNOWN)) == _SOME_STALE] = _STALE
    return out, fresh, expected


def weigh(scores: Sequence[Float64], parts: Sequence[Standing], n: int) -> tuple[Float64, Float64]:
    """Mean of the scores whose parts are known, equally weighted, and the share of the weight that is missing.

    A part without a score (a share of nothing) has no weight. NaN where more than MISSING_LIMIT is missing. Where no
    part is known any more but some are stale: the mean of those, which is then stale itself.
    """
    sums = np.zeros((5, n))
    for score, part in zip(scores, parts, strict=True):
        _add(score, part.known, part.missing, sums)
    total, known, old, stale, missing = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(known + missing > 0, missing / (known + missing), 1.0)
        mean = np.where(known > 0, total / known, old / stale)
    return np.where((known > 0) & (share > MISSING_LIMIT), np.nan, mean), share
