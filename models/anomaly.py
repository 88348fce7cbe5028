"""Anomalies of a series: EWMA chart, two-sided CUSUM, robust z, generalised ESD.

The charts are online: O(1) a value, all series at once in columns. A missing value (NaN) leaves a series as it was.
Sources: NIST/SEMATECH e-Handbook 6.3.2.3 (CUSUM), 6.3.2.4 (EWMA), 1.3.5.17 (robust z), 1.3.5.17.3 (ESD, Rosner 1983).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from citytwin.models.columns import Bool, Float64, Int64
from citytwin.models.distributions import student_quantile

#: Makes the median absolute deviation of normal values their standard deviation: 1 / quantile(0.75).
MAD_TO_SIGMA: float = 1.4826


def ewma_limits(target: ArrayLike, sigma: ArrayLike, weight: float, width: float = 3.0) -> tuple[Float64, Float64]:
    """Lower and upper limit that the chart approaches: target -+ width * sigma * sqrt(weight / (2 - weight))."""
    half = width * np.asarray(sigma, np.float64) * np.sqrt(weight / (2.0 - weight))
    return target - half, target + half


class Ewma:
    """Exponentially weighted moving averages of n series and their alarms.

    `target` and `sigma` are the mean and standard deviation in control (scalars or float64[n], in the unit of the
    values), `weight` is that of a new value (0 < weight <= 1), `width` the half width of the limits in sigmas.
    ValueError for a weight outside.
    """

    def __init__(self, n: int, target: ArrayLike, sigma: ArrayLike, weight: float = 0.3, width: float = 3.0) -> None:
        if not 0.0 < weight <= 1.0:
            raise ValueError(f"the weight {weight} of an EWMA is not in (0, 1]; 0.2 to 0.3 is usual")
        self.weight = weight
        self.lower, self.upper = (np.broadcast_to(x, n) for x in ewma_limits(target, sigma, weight, width))
        self.value: Float64 = np.broadcast_to(np.asarray(target, np.float64), n).copy()

    def update(self, values: Float64) -> Bool:
        """Take one value a series (float64[n], NaN = none); where the average is outside of its limits (bool[n])."""
        known = np.isfinite(values)
        step = np.where(known, values, self.value) - self.value
        self.value += self.weight * step
        return (self.value < self.lower) | (self.value > self.upper)

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Arrays for a snapshot."""
        return {"value": self.value.copy()}

    def load(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Restore."""
        self.value = state["value"].copy()


class Cusum:
    """Two-sided cumulative sums of n series: `high` and `low` say how far each has drifted above and below its target.

    `slack` (k) is what a value may differ without adding up, `limit` (h) where the alarm is; both in the unit of the
    values (usual: half a sigma and four to five sigmas). Scalars or float64[n].
    """

    def __init__(self, n: int, target: ArrayLike, slack: ArrayLike, limit: ArrayLike) -> None:
        self.target, self.slack, self.limit = (np.asarray(x, np.float64) for x in (target, slack, limit))
        self.high, self.low = np.zeros(n), np.zeros(n)

    def update(self, values: Float64) -> Bool:
        """Take one value a series (float64[n], NaN = none); where either sum is above its limit (bool[n])."""
        known = np.isfinite(values)
        off = np.where(known, values - self.target, 0.0)
        self.high = np.where(known, np.maximum(0.0, self.high + off - self.slack), self.high)
        self.low = np.where(known, np.maximum(0.0, self.low - off - self.slack), self.low)
        return (self.high > self.limit) | (self.low > self.limit)

    def reset(self, which: Bool) -> None:
        """Begin anew where an alarm was dealt with."""
        self.high[which] = 0.0
        self.low[which] = 0.0

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Arrays for a snapshot."""
        return {"high": self.high.copy(), "low": self.low.copy()}

    def load(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Restore."""
        self.high, self.low = state["high"].copy(), state["low"].copy()


def median(values: Float64) -> Float64:
    """Median along the last axis of what is known (float64[...]), NaN where nothing is.

    >>> median(np.array([[3.0, np.nan, 1.0], [np.nan] * 3])).tolist()
    [2.0, nan]
    """
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    ordered = np.sort(values, axis=-1)  # NaN goes last
    n = np.count_nonzero(~np.isnan(values), axis=-1)[..., None]
    low = np.take_along_axis(ordered, np.maximum(n - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(n // 2, values.shape[-1] - 1), axis=-1)
    return np.where(n == 0, np.nan, 0.5 * (low + high))[..., 0]


def robust_scale(values: Float64) -> Float64:
    """1.4826 * median absolute deviation along the last axis (float64[...]), NaN where nothing is known."""
    return MAD_TO_SIGMA * median(np.abs(values - median(values)[..., None]))


def robust_z(values: ArrayLike, history: Float64, floor: ArrayLike = 0.0, least: int = 3) -> Float64:
    """How many robust standard deviations each value lies above the median of its history (float64[n]).

    `history` is float64[n, m] with NaN where a value is missing; NaN is the answer with fewer than `least` known. The
    scale is not taken below `floor` (unit of the values): more than half of a quiet history is often one and the same
    value, whose scale of 0 makes any other value infinitely far.
    """
    x = np.asarray(values, np.float64)
    scale = np.maximum(robust_scale(history), floor)
    off = x - median(history)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(off == 0.0, 0.0, off / scale)
    return np.where(np.count_nonzero(~np.isnan(history), axis=-1) >= least, z, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Esd:
    """Generalised ESD: statistic and critical value by number of outliers tested; outliers are rows, worst first."""

    statistic: Float64
    critical: Float64
    outliers: Int64


def generalised_esd(values: Float64, most: int, alpha: float = 0.05) -> Esd:
    """Up to `most` outliers in roughly normal values (float64[n], NaN left out), in batch: O(most * n).

    The number of outliers is the largest r whose statistic exceeds its critical value. ValueError if fewer than
    `most` + 2 values are known. Source: Rosner 1983; NIST 1.3.5.17.3.
    """
    rows = np.flatnonzero(np.isfinite(values))
    n = len(rows)
    if not 0 < most <= n - 2:
        raise ValueError(f"{n} known values allow up to {max(0, n - 2)} outliers, not {most}; give more values")
    left = values[rows].astype(np.float64)
    statistic, order = np.zeros(most), np.zeros(most, np.int64)
    for i in range(most):
        off = np.abs(left - np.mean(left))
        at = int(np.argmax(off))
        spread = np.std(left, ddof=1)
        statistic[i] = off[at] / spread if spread > 0 else 0.0
        order[i] = rows[at]
        left, rows = np.delete(left, at), np.delete(rows, at)
    rest = n - np.arange(1.0, most + 1)  # values left after each step
    t = student_quantile(1.0 - alpha / (2.0 * (rest + 1)), rest - 1)
    critical = rest * t / np.sqrt((rest - 1 + t * t) * (rest + 1))
    above = np.flatnonzero(statistic > critical)
    return Esd(statistic, critical, order[: above[-1] + 1 if len(above) else 0])
