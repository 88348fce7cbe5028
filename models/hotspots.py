"""Hot spots of counts: Getis-Ord Gi* and Gi over neighbours, with p values and the false discovery rate.

Sources: Getis, Ord 1996, "Local spatial statistics: an overview"; Ord, Getis 1995; Benjamini, Hochberg 1995.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from citytwin.models.columns import Bool, Float64, Int64
from citytwin.models.distributions import normal_two_sided
from citytwin.models.nearby import within


class Neighbours:
    """Who is near whom, as a sparse matrix (CSR): the neighbours of place i are `indices[indptr[i]:indptr[i + 1]]`.

    A place is not its own neighbour: Gi* adds it with the weight `own`. `weights` are float64[nnz] >= 0, by default
    ones. ValueError for a matrix that is none.
    """

    def __init__(self, indptr: Int64, indices: Int64, weights: Float64 | None = None, own: float = 1.0) -> None:
        n = len(indptr) - 1
        if n < 0 or indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
            raise ValueError(f"indptr does not lead from 0 to the {len(indices)} neighbours")
        if len(indices) and not 0 <= indices.min() <= indices.max() < n:
            raise ValueError(f"neighbours are not all among the {n} places")
        if (np.repeat(np.arange(n), np.diff(indptr)) == indices).any():
            raise ValueError("a place is its own neighbour; leave it out, Gi* adds it")
        self.weights = np.ones(len(indices)) if weights is None else np.asarray(weights, np.float64)
        if len(self.weights) != len(indices) or not (self.weights >= 0).all() or not own >= 0:
            raise ValueError("give one weight a neighbour, none below 0")
        self.indptr, self.indices, self.own = indptr.astype(np.int64), indices.astype(np.int64), own

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def of_pairs(cls, n: int, a: Int64, b: Int64) -> Neighbours:
        """Neighbours both ways of n places by pairs (int64), which may repeat.

        >>> Neighbours.of_pairs(3, np.array([0, 2]), np.array([1, 1])).indices.tolist()
        [1, 0, 2, 1]
        """
        key = np.unique(np.concatenate([a, b]) * np.int64(n) + np.concatenate([b, a]))
        row, indices = np.divmod(key[key // max(n, 1) != key % max(n, 1)], max(n, 1))
        return cls(np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))]).astype(np.int64), indices)

    @classmethod
    def within(cls, x: Float64, y: Float64, distance: float) -> Neighbours:
        """Neighbours of places (float64[n], metres) at most a distance apart."""
        return cls(*within(x, y, distance))


@dataclass(frozen=True, slots=True, eq=False)
class HotSpots:
    """z of each place (float64[n]) and its two-sided p under the normal distribution; NaN where it says nothing."""

    z: Float64
    p: Float64

    def hot(self, alpha: float = 0.01) -> Bool:
        """Places above the mean at a false discovery rate of `alpha` (bool[n])."""
        return (self.z > 0) & discoveries(self.p, alpha)


@njit(cache=True, nogil=True)
def _sums(x, indptr, indices, weights, local, total, square):  # type: ignore[no-untyped-def]
    """Sum of w * x, of w and of w * w over the neighbours that are known."""
    for i in range(len(x)):
        a = b = c = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            value, w = x[indices[k]], weights[k]
            if not np.isnan(value):
                a += w * value
                b += w
                c += w * w
        local[i], total[i], square[i] = a, b, c


def getis_ord(values: Float64, near: Neighbours, *, star: bool = True, ddof: int = 0) -> HotSpots:
    """Gi* (`star`: a place counts among its neighbours) or Gi of values (float64[n], NaN = unknown and left out).

    `ddof` 0 takes the variance over n as Getis and Ord (and esda, spdep) do, 1 that over n - 1. NaN where all values
    are equal, a place has no neighbour (Gi) or every other place as one.
    """
    x = np.ascontiguousarray(values, np.float64)
    if len(x) != len(near):
        raise ValueError(f"{len(x)} values do not go with {len(near)} places")
    local, total, square = np.empty(len(x)), np.empty(len(x)), np.empty(len(x))
    _sums(x, near.indptr, near.indices, near.weights, local, total, square)
    known = ~np.isnan(x)
    n, seen = float(np.count_nonzero(known)), np.where(known, x, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.sum(seen) / n
        off = np.where(known, seen - centre, 0.0)
        spread = np.sum(off * off)
        if star:
            local, total, square = local + near.own * x, total + near.own, square + near.own**2
            mean, variance = centre, spread / (n - ddof)
        else:  # mean and variance are those of the others
            mean = (np.sum(seen) - x) / (n - 1)
            variance = (spread - off * off * n / (n - 1)) / (n - 1 - ddof)
            n -= 1
        scale = variance * (n * square - total * total) / (n - 1)
        # what rounding leaves of a variance that is 0 is no variance
        scale = np.where(scale > 1e-12 * np.maximum(spread, 0.0) / max(n, 1.0), scale, np.nan)
        z = np.where(known, (local - total * mean) / np.sqrt(scale), np.nan)
    return HotSpots(z, normal_two_sided(z))


def adjusted(p: Float64) -> Float64:
    """Benjamini-Hochberg adjusted p values (float64[n]); NaN stays NaN and does not count.

    >>> adjusted(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
    [0.03, 0.04, nan, 0.04]
    """
    rows = np.flatnonzero(~np.isnan(p))
    rows = rows[np.argsort(p[rows], kind="stable")]
    m = len(rows)
    raised = p[rows] * m / np.arange(1, m + 1)
    out = np.full(len(p), np.nan)
    out[rows] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return out


def discoveries(p: Float64, alpha: float) -> Bool:
    """Which of the tests are discoveries at a false discovery rate of `alpha` (bool[n])."""
    return adjusted(p) <= alpha
