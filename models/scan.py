"""Clusters of cases against a population: Kulldorff's Poisson scan, in space and prospectively in space and time.

Windows are circles around each place that hold its nearest places, up to half of the population; the cylinder form
also lets them reach back from now over whole periods. The p value is the rank of the best window among those of
random maps with the same number of cases, drawn from a given generator.
Sources: Kulldorff 1997, "A spatial scan statistic"; Kulldorff 2001, "Prospective time periodic geographical disease
surveillance using a scan statistic".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from citytwin.models.columns import Float64, Int64

#: A window never holds more than this share of the population.
SHARE = 0.5
#: More places than this are not scanned: 2 million circles take 0.1 s for each random map and period.
MOST = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A window: `places` are rows, nearest to its centre first, `periods` how many of the last periods it takes.

    `llr` is the log likelihood ratio, `p` is NaN without random maps, `relative` is the risk inside over that outside.
    """

    places: Int64
    periods: int
    cases: int
    expected: float
    llr: float
    p: float
    relative: float


@njit(cache=True, nogil=True)
def _llr(c, e, total):  # type: ignore[no-untyped-def]
    if not c > e > 0.0:
        return 0.0
    inside = c * np.log(c / e)
    return inside + (total - c) * np.log((total - c) / (total - e)) if total > c else inside


@njit(cache=True, nogil=True)
def _llrs(cases, expected, total, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = _llr(cases[i], expected[i], total)


def likelihood(cases: ArrayLike, expected: ArrayLike, total: float) -> Float64:
    """Log likelihood ratio of windows among `total` cases (float64): c ln(c / e) + (C - c) ln((C - c) / (C - e)).

    0 where there are not more cases than expected.
    """
    c, e = np.broadcast_arrays(np.asarray(cases, np.float64), np.asarray(expected, np.float64))
    out = np.empty(c.size)
    _llrs(c.ravel(), e.ravel(), float(total), out)
    return out.reshape(c.shape)


class Circles:
    """The circles around n places (float64[n], metres): nearest first, up to `share` of the population (float64[n]).

    Of places equally far the lower row is nearer. There are about n * n / 2 circles; each takes 4 bytes, and 24 more
    for each period while a scan runs. ValueError for more than MOST places, and for a place or population that is none.
    """

    def __init__(self, x: Float64, y: Float64, population: Float64, share: float = SHARE) -> None:
        n = len(population)
        if n > MOST:
            raise ValueError(f"{n} places are too many to scan; take the streets or communities instead of the grids")
        if not (np.isfinite(x).all() and np.isfinite(y).all() and np.isfinite(population).all()):
            raise ValueError("a place or its population is not known; leave it out")
        if (population < 0).any() or not population.sum() > 0:
            raise ValueError("populations are not below 0, and their sum is above 0")
        self.population = np.asarray(population, np.float64)
        most = share * self.population.sum()
        chains = []
        for i in range(n):
            order = np.argsort((x - x[i]) ** 2 + (y - y[i]) ** 2, kind="stable")
            chains.append(order[np.cumsum(self.population[order]) <= most].astype(np.int32))
        self.start = np.concatenate([[0], np.cumsum([len(c) for c in chains])]).astype(np.int64)
        self.order = np.concatenate(chains) if chains else np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self.population)

    def sums(self, values: Float64) -> Float64:
        """Sum of values (float64[n]) in every circle: centre by centre, growing (float64[all circles])."""
        out = np.empty(len(self.order))
        _sums(values, self.start, self.order, out)
        return out

    def places(self, circle: int) -> Int64:
        """Rows of a circle, nearest first."""
        centre = int(np.searchsorted(self.start, circle, side="right")) - 1
        return self.order[self.start[centre] : circle + 1].astype(np.int64)


@njit(cache=True, nogil=True)
def _sums(values, start, order, out):  # type: ignore[no-untyped-def]
    for i in range(len(start) - 1):
        total = 0.0
        for k in range(start[i], start[i + 1]):
            total += values[order[k]]
            out[k] = total


@njit(cache=True, nogil=True)
def _best(cases, base, start, order, total):  # type: ignore[no-untyped-def]
    """Largest likelihood ratio over all circles; cases and base [periods, n] are those of the last k periods."""
    top = 0.0
    for k in range(len(cases)):
        for i in range(len(start) - 1):
            c = e = 0.0
            for j in range(start[i], start[i + 1]):
                c += cases[k, order[j]]
                e += base[k, order[j]]
                top = max(top, _llr(c, e, total))
    return top


def scan(
    circles: Circles, cases: Int64, *, most: int = 1, maps: int = 0, rng: np.random.Generator | None = None
) -> list[Window]:
    """Up to `most` windows of cases (int64[n]) with the largest likelihood ratios that share no place, best first.

    Empty where no window has more cases than expected. `maps` random maps (99 or 999) give p in steps of
    1 / (maps + 1). ValueError for maps without a generator and for cases below 0.
    """
    return prospective(circles, np.asarray(cases)[None, :], most=most, maps=maps, rng=rng)


def prospective(
    circles: Circles, cases: Int64, *, most: int = 1, maps: int = 0, rng: np.random.Generator | None = None
) -> list[Window]:
    """As `scan`, over cylinders that are alive now: the last 1 to m / 2 of the periods of cases int64[m, n].

    Expected cases are by population, and the same in all periods.
    """
    periods, n = cases.shape
    if n != len(circles) or (cases < 0).any():
        raise ValueError(f"give a number of cases >= 0 for each of the {len(circles)} places")
    if maps and rng is None:
        raise ValueError("random maps need a generator; give np.random.default_rng(seed)")
    total, reach = float(cases.sum()), max(1, periods // 2)
    share = circles.population / circles.population.sum()
    base = total * share * (np.arange(1.0, reach + 1) / periods)[:, None]
    recent = np.cumsum(cases[::-1][:reach], axis=0).astype(np.float64)
    found = _apart(circles, recent, base, total, most)
    if not found or rng is None:
        return found
    cells = np.tile(share / periods, periods)
    tops = np.zeros(maps)
    for i in range(maps):
        drawn = rng.multinomial(int(total), cells / cells.sum()).reshape(periods, n)
        random = np.cumsum(drawn[:reach], axis=0).astype(np.float64)
        tops[i] = _best(random, base, circles.start, circles.order, total)
    return [replace(w, p=(1 + int(np.sum(tops >= w.llr))) / (maps + 1)) for w in found]


def _apart(circles: Circles, recent: Float64, base: Float64, total: float, most: int) -> list[Window]:
    """The best windows that share no place."""
    c = np.stack([circles.sums(row) for row in recent])
    e = np.stack([circles.sums(row) for row in base])
    llr = likelihood(c, e, total)
    found: list[Window] = []
    while len(found) < most and llr.size:
        k, circle = (int(i) for i in np.unravel_index(np.argmax(llr), llr.shape))
        if llr[k, circle] <= 0:
            break
        places = circles.places(circle)
        inside, expected = float(c[k, circle]), float(e[k, circle])
        outside = (total - inside) / (total - expected)
        relative = inside / expected / outside if outside > 0 else np.inf
        found.append(Window(places, k + 1, int(inside), expected, float(llr[k, circle]), np.nan, relative))
        taken = np.zeros(len(circles))
        taken[places] = 1.0
        llr[:, circles.sums(taken) > 0] = 0.0
    return found
