"""Risk scores: noisy-or of logistic parts, and weights of parts by entropy or by pairwise comparison (AHP).

Sources: Pearl 1988 (noisy-or); Shannon entropy weights as in Hwang, Yoon 1981; Saaty 1980 (AHP, random index).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from citytwin.models.columns import Float64

#: Saaty's random index by the number of things compared, 1 to 10.
RANDOM_INDEX: tuple[float, ...] = (0.0, 0.0, 0.58, 0.90, 1.12, 1.24, 1.32, 1.41, 1.45, 1.49)
#: A comparison is taken as consistent up to this ratio.
CONSISTENT: float = 0.1


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a risk: probability = logistic(slope * (value - middle)), 0 where the value is not above `zero`.

    `middle` is the value of an even chance; the numbers are local defaults unless `status` says otherwise.
    """

    name: str
    middle: float
    slope: float
    zero: float = -np.inf
    status: str = "L"
    source: str = "local default"

    def probability(self, value: ArrayLike) -> Float64:
        """Probability of values (float64, 0 to 1); an unknown value (NaN) adds nothing."""
        v = np.asarray(value, np.float64)
        with np.errstate(over="ignore"):
            x = np.clip(self.slope * (v - self.middle), -500.0, 500.0)
        return np.where(np.isnan(v) | (v <= self.zero), 0.0, 1.0 / (1.0 + np.exp(-x)))


def noisy_or(parts: Sequence[ArrayLike]) -> Float64:
    """Risk from 0 to 100 of probabilities (float64 of one shape): 100 * (1 - prod(1 - p)).

    It rises with each part, is that of the only part where the others are 0, and NaN parts add nothing.

    >>> float(noisy_or([0.5, 0.5, np.nan]))
    75.0
    """
    spared: Float64 = np.ones(())
    for part in parts:
        p = np.asarray(part, np.float64)
        spared = spared * (1.0 - np.clip(np.where(np.isnan(p), 0.0, p), 0.0, 1.0))
    return 100.0 * (1.0 - spared)


def entropy_weights(table: Float64) -> Float64:
    """Weights of m criteria by how much n things differ in them (table float64[n, m], all >= 0): float64[m], sum 1.

    A criterion in which all are alike has the weight 0; where all are, all weigh the same. ValueError for a table with
    values that are below 0 or unknown, or without things.
    """
    n, m = table.shape
    if n == 0 or m == 0 or not (np.isfinite(table) & (table >= 0)).all():
        raise ValueError("entropy weights need known values >= 0; scale each criterion to that and leave rows out")
    total = table.sum(axis=0)
    share = np.where(total > 0, table / np.where(total > 0, total, 1.0), 1.0 / n)
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=0) / np.log(max(n, 2))
    differ = np.maximum(1.0 - entropy, 0.0)
    differ[differ < 1e-12] = 0.0  # what rounding leaves of none
    return differ / differ.sum() if differ.sum() > 0 else np.full(m, 1.0 / m)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Weights of an AHP (float64[m], sum 1) with its largest eigenvalue and its consistency index and ratio."""

    weights: Float64
    eigenvalue: float
    index: float
    ratio: float

    @property
    def consistent(self) -> bool:
        """Whether the ratio is at most CONSISTENT."""
        return self.ratio <= CONSISTENT


def ahp(matrix: Float64) -> Comparison:
    """Weights by pairwise comparisons float64[m, m], m 1 to 10: entry (i, j) is how much more i counts than j.

    The weights are the first eigenvector. ValueError for a matrix that is not square, has an entry that is not above
    0, or in which (j, i) is not 1 / (i, j).
    """
    a = np.asarray(matrix, np.float64)
    m = len(a)
    if a.shape != (m, m) or not 1 <= m <= len(RANDOM_INDEX):
        raise ValueError(f"compare 1 to {len(RANDOM_INDEX)} things in a square matrix, not {a.shape}")
    if not (np.isfinite(a) & (a > 0)).all() or not np.allclose(a * a.T, 1.0, rtol=1e-6):
        raise ValueError("each comparison is above 0, and the other way round it is 1 over it")
    values, vectors = np.linalg.eig(a)
    first = int(np.argmax(values.real))
    weights = np.abs(vectors[:, first].real)
    largest = float(values[first].real)
    index = max(0.0, (largest - m) / (m - 1)) if m > 1 else 0.0
    index = 0.0 if index < 1e-12 else index  # what rounding leaves of none
    ratio = index / RANDOM_INDEX[m - 1] if RANDOM_INDEX[m - 1] > 0 else 0.0
    return Comparison(weights / weights.sum(), largest, index, ratio)
