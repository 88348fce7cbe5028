"""Tails of the normal and of Student's t distribution, which the models need at run time (no SciPy there)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from citytwin.models.columns import Float64

#: Halvings of a bracket until no double lies between its ends.
_HALVINGS = 200
#: Terms of the continued fraction; it needs about sqrt(degrees of freedom) of them.
_TERMS = 10_000


@njit(cache=True, nogil=True)
def _normal_upper(z, out):  # type: ignore[no-untyped-def]
    for i in range(len(z)):
        out[i] = 0.5 * math.erfc(z[i] / math.sqrt(2.0))


def normal_upper(z: Float64) -> Float64:
    """P(Z > z) of the standard normal, exact in the far tail (float64, shape of `z`); NaN stays NaN.

    >>> normal_upper(np.array([0.0, 1.959963984540054])).round(6).tolist()
    [0.5, 0.025]
    """
    z = np.ascontiguousarray(z, np.float64)
    out = np.empty(z.size)
    _normal_upper(z.ravel(), out)
    return out.reshape(z.shape)


def normal_two_sided(z: Float64) -> Float64:
    """P(|Z| > |z|) of the standard normal (float64, shape of `z`); NaN stays NaN."""
    return 2.0 * normal_upper(np.abs(z))


@njit(cache=True, nogil=True)
def _beta_fraction(a, b, x):  # type: ignore[no-untyped-def]
    """Continued fraction of the incomplete beta function by Lentz's rule."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    h = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        step = 1.0
        for term in (even, odd):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            step = d * c
            h *= step
        if abs(step - 1.0) < 1e-16:
            break
    return h


@njit(cache=True, nogil=True)
def _student_upper(t, df):  # type: ignore[no-untyped-def]
    """P(T > t) for t >= 0."""
    a, b = df / 2.0, 0.5
    x = df / (df + t * t)
    y = t * t / (df + t * t)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    if y == 0.0:
        return 0.5
    front = math.exp(front + a * math.log(x) + b * math.log(y))
    if x < (a + 1.0) / (a + b + 2.0):
        return 0.5 * front * _beta_fraction(a, b, x) / a
    return 0.5 - 0.5 * front * _beta_fraction(b, a, y) / b


@njit(cache=True, nogil=True)
def _student_quantile(p, df):  # type: ignore[no-untyped-def]
    if not (0.0 < p < 1.0 and df > 0.0):
        return math.nan
    tail = min(p, 1.0 - p)
    lo, hi = 0.0, 1.0
    while _student_upper(hi, df) > tail and hi < 1e150:
        lo, hi = hi, hi * 2.0
    for _ in range(_HALVINGS):
        mid = 0.5 * (lo + hi)
        if mid in (lo, hi):
            break
        if _student_upper(mid, df) > tail:
            lo = mid
        else:
            hi = mid
    return hi if p > 0.5 else -hi


@njit(cache=True, nogil=True)
def _student_quantiles(p, df, out):  # type: ignore[no-untyped-def]
    for i in range(len(p)):
        out[i] = _student_quantile(p[i], df[i])


def student_quantile(p: Float64 | float, df: Float64 | float) -> Float64:
    """t with P(T <= t) = p for `df` degrees of freedom (float64, broadcast); NaN outside 0 < p < 1 and df > 0.

    >>> float(student_quantile(0.975, 10.0).round(6))
    2.228139
    """
    ps, dfs = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(df, np.float64))
    out = np.empty(ps.size)
    _student_quantiles(ps.ravel(), dfs.ravel(), out)
    return out.reshape(ps.shape)
