"""Hot spots: the figures of Getis and Ord, esda on random fields, and the false discovery rate of SciPy."""

from __future__ import annotations

import timeit
import warnings
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from citytwin.models.columns import Float64
from citytwin.models.hotspots import Neighbours, adjusted, discoveries, getis_ord

Figure = Callable[[str, float, str], None]

SIDE = 16
#: Row of the grid's 136th cell of Getis and Ord, who begin at the top left.
CELL = 119


def lattice(side: int) -> tuple[Float64, Float64]:
    """Cells 30 m apart."""
    y, x = np.divmod(np.arange(side * side), side)
    return 30.0 * x, 30.0 * y


def getis_ord_grid() -> Float64:
    """A field with the sums of the published one, which are all that the statistics of the cell depend on.

    The values of the 1996 paper are not repeated here. Their sums are: the cell 83, with its neighbours within 30, 60,
    90 and 120 m 399, 1003, 2150 and 3520, all cells 17052 and 1243322 squared. This is a field with the same sums.
    """
    x, y = lattice(SIDE)
    far = np.hypot(x - x[CELL], y - y[CELL])
    values = np.zeros(SIDE * SIDE)
    inner, before = -1.0, 0.0
    for reach, total in ((0, 83.0), (30, 399.0), (60, 1003.0), (90, 2150.0), (120, 3520.0), (1e9, 17052.0)):
        ring = (far > inner) & (far <= reach + 1e-6)
        values[ring] = (total - before) / np.sum(ring)
        inner, before = reach + 1e-6, total
    outside = np.flatnonzero(far > 120 + 1e-6)
    lack = 1243322.0 - np.sum(values**2)
    swing = np.sqrt(lack / (len(outside) // 2 * 2))
    values[outside[: len(outside) // 2]] += swing
    values[outside[len(outside) - len(outside) // 2 :]] -= swing
    return values


def test_the_figures_of_getis_and_ord() -> None:
    values = getis_ord_grid()
    assert (values.sum(), np.sum(values**2)) == pytest.approx((17052.0, 1243322.0), rel=1e-12)
    star, plain, sample = [], [], []
    for distance in (30.0, 60.0, 90.0, 120.0):
        near = Neighbours.within(*lattice(SIDE), distance + 1e-6)
        star.append(getis_ord(values, near).z[CELL])
        plain.append(getis_ord(values, near, star=False).z[CELL])
        sample.append(getis_ord(values, near, ddof=1).z[CELL])
    assert np.round(star, 7).tolist() == [1.4507798, 1.9005589, 2.0969387, 1.9819069]
    assert np.round(plain, 7).tolist() == [1.2219792, 1.7480975, 1.9861354, 1.8933738]
    assert (round(star[0], 8), round(sample[0], 8)) == (1.45077981, 1.44794348)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("star", [True, False])
def test_esda_says_the_same_of_random_fields(seed: int, star: bool) -> None:
    rng = np.random.default_rng(seed)
    n = 150
    values = rng.poisson(3, n).astype(np.float64)
    near = Neighbours.within(rng.uniform(0, 10, n), rng.uniform(0, 10, n), 2.5)
    each = {i: near.indices[near.indptr[i] : near.indptr[i + 1]].tolist() for i in range(n)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from esda.getisord import G_Local
        from libpysal.weights import W

        found = G_Local(values, W(each, silence_warnings=True), transform="B", permutations=0, star=star)
    ours = getis_ord(values, near, star=star)
    assert ours.z == pytest.approx(found.Zs, rel=1e-9)
    assert ours.p == pytest.approx(2 * found.p_norm, rel=1e-9)


@pytest.mark.parametrize("star", [True, False])
def test_moments_are_those_of_all_permutations(star: bool) -> None:
    """With weights, where esda takes the moments of the binary form: every order of the values over the places."""
    rng = np.random.default_rng(11)
    n, cell, own = 6, 2, 0.7
    values = rng.poisson(5, n).astype(np.float64)
    base = Neighbours.of_pairs(n, np.array([0, 1, 2, 2, 3]), np.array([2, 3, 3, 4, 5]))
    near = Neighbours(base.indptr, base.indices, rng.uniform(0.1, 2, len(base.indices)), own)
    row = np.zeros(n)
    part = slice(near.indptr[cell], near.indptr[cell + 1])
    row[near.indices[part]] = near.weights[part]
    if star:
        row[cell] = own
        sums = [float(row @ np.array(order)) for order in permutations(values)]
    else:
        others = np.delete(values, cell)
        sums = [float(np.delete(row, cell) @ np.array(order)) for order in permutations(others)]
    z = (row @ values - np.mean(sums)) / np.std(sums)
    assert getis_ord(values, near, star=star).z[cell] == pytest.approx(z, rel=1e-9)


@given(st.lists(st.integers(0, 9), min_size=9, max_size=9), st.floats(0.1, 100), st.floats(-50, 50), st.booleans())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_units_do_not_matter(counts: list[int], scale: float, shift: float, star: bool) -> None:
    near = Neighbours.within(*lattice(3), 31.0)
    values = np.array(counts, np.float64)
    a, b = getis_ord(values, near, star=star), getis_ord(values * scale + shift, near, star=star)
    assert a.z == pytest.approx(b.z, rel=1e-6, abs=1e-6, nan_ok=True)


def test_what_says_nothing_is_nan() -> None:
    near = Neighbours.within(*lattice(4), 31.0)
    assert np.isnan(getis_ord(np.full(16, 0.1), near).z).all()
    assert np.isnan(getis_ord(np.full(16, np.nan), near).p).all()
    alone = Neighbours(np.zeros(5, np.int64), np.zeros(0, np.int64))
    assert np.isnan(getis_ord(np.arange(4.0), alone, star=False).z).all()
    assert np.isfinite(getis_ord(np.arange(4.0), alone).z).all()
    everyone = Neighbours.within(*lattice(2), 100.0)
    assert np.isnan(getis_ord(np.arange(4.0), everyone).z).all()
    nobody = getis_ord(np.zeros(0), Neighbours(np.zeros(1, np.int64), np.zeros(0, np.int64)))
    assert len(nobody.z) == len(nobody.hot()) == 0


def test_unknown_places_are_left_out() -> None:
    rng = np.random.default_rng(9)
    values = rng.poisson(4, 36).astype(np.float64)
    values[[3, 17, 20]] = np.nan
    known = np.flatnonzero(~np.isnan(values))
    x, y = lattice(6)
    for star in (True, False):
        whole = getis_ord(values, Neighbours.within(x, y, 45.0), star=star)
        part = getis_ord(values[known], Neighbours.within(x[known], y[known], 45.0), star=star)
        assert whole.z[known] == pytest.approx(part.z, rel=1e-9)
        assert np.isnan(whole.z[[3, 17, 20]]).all()
        assert not whole.hot(1.0)[3]


def test_a_cluster_of_cases_is_hot_and_a_hole_is_not() -> None:
    x, y = lattice(20)
    values = np.full(400, 2.0) + (np.arange(400) % 3 == 0)
    middle = np.hypot(x - x[210], y - y[210]) <= 45
    values[middle] = 12
    cold = np.hypot(x - x[45], y - y[45]) <= 45
    values[cold] = 0
    found = getis_ord(values, Neighbours.within(x, y, 45.0))
    hot = found.hot()
    assert hot[middle].all()
    assert not hot[cold].any()
    assert (found.z[hot] >= 2.58).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.001, 0.5))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_false_discovery_rate_equals_scipy(ps: list[float], alpha: float) -> None:
    p = np.array(ps)
    assert adjusted(p) == pytest.approx(stats.false_discovery_control(p), rel=1e-12)
    with_gaps = np.insert(p, 0, np.nan)
    assert discoveries(with_gaps, alpha)[1:].tolist() == discoveries(p, alpha).tolist()
    # the rule as it was told: the largest k with p(k) <= k / m * alpha
    if not any(np.isclose(v, i / len(ps) * alpha, rtol=1e-9) for i, v in enumerate(sorted(ps), 1)):
        k = max((i for i, v in enumerate(sorted(ps), 1) if v <= i / len(ps) * alpha), default=0)
        assert discoveries(p, alpha).sum() == k


def test_published_example_of_benjamini_and_hochberg() -> None:
    # 1995, section 3.2: 15 comparisons, 4 discoveries at 0.05
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    assert discoveries(np.array([*p, 0.7590, 1.0]), 0.05).sum() == 4


def test_neighbours_by_pairs_go_both_ways() -> None:
    near = Neighbours.of_pairs(4, np.array([0, 1, 3, 3]), np.array([1, 0, 1, 3]))
    assert (near.indptr.tolist(), near.indices.tolist()) == ([0, 1, 3, 3, 4], [1, 0, 3, 1])
    assert len(Neighbours.of_pairs(0, np.zeros(0, np.int64), np.zeros(0, np.int64))) == 0


@pytest.mark.parametrize(
    ("indptr", "indices", "weights", "says"),
    [
        ([0, 1], [0], None, "its own"),
        ([0, 1], [5], None, "not all among"),
        ([0, 2], [0], None, "does not lead"),
        ([0, 1, 1], [1], [-1.0], "none below 0"),
        ([0, 1, 1], [1], [1.0, 2.0], "one weight"),
    ],
)
def test_matrices_that_are_none(indptr: list[int], indices: list[int], weights: list[float] | None, says: str) -> None:
    given_weights = None if weights is None else np.array(weights)
    with pytest.raises(ValueError, match=says):
        Neighbours(np.array(indptr, np.int64), np.array(indices, np.int64), given_weights)
    with pytest.raises(ValueError, match="do not go with"):
        getis_ord(np.zeros(3), Neighbours(np.zeros(2, np.int64), np.zeros(0, np.int64)))


def test_thirteen_thousand_grids_take_milliseconds(figure: Figure) -> None:
    x, y = lattice(114)
    near = Neighbours.within(x, y, 45.0)
    values = np.random.default_rng(10).poisson(2, len(x)).astype(np.float64)
    getis_ord(values, near)
    took = min(timeit.repeat(lambda: getis_ord(values, near).hot(), number=5, repeat=5)) / 5
    figure("Gi* with p and FDR of 12,996 grids", took * 1e3, "ms")
