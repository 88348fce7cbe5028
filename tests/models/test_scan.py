"""The scan against brute force, and the sudden infant deaths of North Carolina that Kulldorff scanned first."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.columns import Float64, Int64
from citytwin.models.scan import Circles, likelihood, prospective, scan

Figure = Callable[[str, float, str], None]

# County seats of North Carolina: degrees north and west, to 0.01.
SEATS = """
    Alamance 36.07 79.40, Alexander 35.92 81.18, Alleghany 36.51 81.12, Anson 34.97 80.08, Ashe 36.42 81.47,
    Avery 36.09 81.93, Beaufort 35.55 77.05, Bertie 36.00 76.95, Bladen 34.63 78.61, Brunswick 34.06 78.16,
    Buncombe 35.60 82.55, Burke 35.75 81.68, Cabarrus 35.41 80.58, Caldwell 35.91 81.54, Camden 36.33 76.17,
    Carteret 34.72 76.66, Caswell 36.40 79.34, Catawba 35.66 81.22, Chatham 35.72 79.18, Cherokee 35.09 84.03,
    Chowan 36.06 76.61, Clay 35.05 83.82, Cleveland 35.29 81.54, Columbus 34.34 78.70, Craven 35.11 77.04,
    Cumberland 35.05 78.88, Currituck 36.45 76.02, Dare 35.91 75.68, Davidson 35.82 80.25, Davie 35.89 80.56,
    Duplin 34.96 77.96, Durham 35.99 78.90, Edgecombe 35.90 77.54, Forsyth 36.10 80.24, Franklin 36.10 78.30,
    Gaston 35.26 81.19, Gates 36.40 76.75, Graham 35.32 83.81, Granville 36.31 78.59, Greene 35.45 77.67,
    Guilford 36.07 79.79, Halifax 36.33 77.59, Harnett 35.40 78.82, Haywood 35.49 82.99, Henderson 35.32 82.46,
    Hertford 36.39 76.94, Hoke 34.98 79.22, Hyde 35.41 76.33, Iredell 35.78 80.89, Jackson 35.37 83.22,
    Johnston 35.51 78.34, Jones 35.06 77.36, Lee 35.48 79.18, Lenoir 35.26 77.58, Lincoln 35.47 81.25,
    Macon 35.18 83.38, Madison 35.80 82.68, Martin 35.85 77.06, McDowell 35.68 82.01, Mecklenburg 35.23 80.84,
    Mitchell 36.01 82.16, Montgomery 35.36 79.89, Moore 35.35 79.42, Nash 35.97 77.97, New_Hanover 34.23 77.94,
    Northampton 36.39 77.42, Onslow 34.75 77.43, Orange 36.08 79.10, Pamlico 35.14 76.77, Pasquotank 36.30 76.25,
    Pender 34.55 77.93, Perquimans 36.19 76.47, Person 36.39 78.98, Pitt 35.61 77.37, Polk 35.25 82.20,
    Randolph 35.71 79.81, Richmond 34.94 79.77, Robeson 34.62 79.01, Rockingham 36.40 79.77, Rowan 35.67 80.47,
    Rutherford 35.37 81.96, Sampson 35.00 78.32, Scotland 34.77 79.46, Stanly 35.35 80.20, Stokes 36.42 80.20,
    Surry 36.40 80.72, Swain 35.43 83.45, Transylvania 35.23 82.73, Tyrrell 35.92 76.25, Union 34.98 80.55,
    Vance 36.33 78.40, Wake 35.78 78.64, Warren 36.40 78.16, Washington 35.87 76.75, Watauga 36.22 81.67,
    Wayne 35.38 77.99, Wilkes 36.15 81.15, Wilson 35.72 77.92, Yadkin 36.13 80.66, Yancey 35.92 82.30
"""


@cache
def north_carolina() -> tuple[list[str], Circles, Int64]:
    """Counties, circles around their seats over the births of 1974-84, and the sudden infant deaths (Cressie 1993)."""
    import geopandas
    from libpysal import examples

    table = geopandas.read_file(Path(examples.__file__).with_name("sids2") / "sids2.dbf", ignore_geometry=True)
    births = (table["BIR74"] + table["BIR79"]).to_numpy(np.float64)
    deaths = (table["SID74"] + table["SID79"]).to_numpy(np.int64)
    rows = [part.split() for part in SEATS.split(",")]
    seats = {name.replace("_", " "): (float(north), float(west)) for name, north, west in rows}
    names: list[str] = table["NAME"].tolist()
    y, x = (np.array([seats[name][i] for name in names]) for i in (0, 1))
    return names, Circles(x * -111.3 * np.cos(np.radians(35.2)), y * 111.0, births), deaths


def test_north_carolina_has_the_cluster_of_kulldorff() -> None:
    names, circles, deaths = north_carolina()
    assert (len(names), int(deaths.sum()), int(circles.population.sum())) == (100, 1503, 752354)
    best = scan(circles, deaths, maps=99, rng=np.random.default_rng(1))[0]
    assert sorted(names[i] for i in best.places) == ["Bladen", "Columbus", "Hoke", "Robeson", "Scotland"]
    assert (best.cases, round(best.expected, 4), round(best.llr, 6), best.p) == (139, 72.6694, 25.380685, 0.01)
    second = [names.index(name) for name in ("Anson", "Hoke", "Richmond", "Robeson", "Scotland")]
    expected = 1503 * circles.population[second].sum() / 752354
    assert round(float(likelihood(deaths[second].sum(), expected, 1503)), 7) == 19.0600786


def test_windows_that_share_no_place() -> None:
    _, circles, deaths = north_carolina()
    found = scan(circles, deaths, most=4)
    assert len(found) == 4
    rows = np.concatenate([w.places for w in found])
    assert len(np.unique(rows)) == len(rows)
    assert [w.llr for w in found] == sorted((w.llr for w in found), reverse=True)
    assert all(np.isnan(w.p) and w.relative > 1 for w in found)


def test_likelihood_of_the_published_counts() -> None:
    assert round(float(likelihood(139, 72.66941891715868, 1503)), 6) == 25.380685
    assert likelihood([5, 2, 0, 7], [5, 3, 0, 0], 10).tolist() == [0.0, 0.0, 0.0, 0.0]
    assert float(likelihood(10, 2.5, 10)) == pytest.approx(10 * np.log(4))


def brute(x: Float64, y: Float64, population: Float64, cases: Int64) -> tuple[float, set[int], int]:
    """Largest ratio, its places and periods by trying every centre, radius and number of last periods."""
    periods, n = cases.shape
    total, people = cases.sum(), population.sum()
    best: tuple[float, set[int], int] = (0.0, set(), 0)
    for i, j, k in product(range(n), range(n), range(1, max(1, periods // 2) + 1)):
        d = np.hypot(x - x[i], y - y[i])
        inside = d <= d[j]
        if population[inside].sum() > people / 2:
            continue
        c, e = cases[-k:, inside].sum(), total * population[inside].sum() / people * k / periods
        if c > e:
            llr = c * np.log(c / e) + ((total - c) * np.log((total - c) / (total - e)) if total > c else 0.0)
            if llr > best[0] + 1e-9:
                best = (llr, set(np.flatnonzero(inside).tolist()), k)
    return best


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("periods", [1, 7])
def test_the_best_window_is_the_best_of_all(seed: int, periods: int) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    x, y = rng.uniform(0, 100, n), rng.uniform(0, 100, n)
    population = rng.integers(50, 500, n).astype(np.float64)
    cases = rng.poisson(population / 60, (periods, n)).astype(np.int64)
    cases[-2:, :3] += 6
    circles = Circles(x, y, population)
    found = prospective(circles, cases)[0] if periods > 1 else scan(circles, cases[0])[0]
    llr, places, last = brute(x, y, population, cases)
    assert found.llr == pytest.approx(llr, rel=1e-9)
    assert (set(found.places.tolist()), found.periods) == (places, last)


@given(st.lists(st.integers(0, 9), min_size=8, max_size=8), st.integers(1, 50))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_units_of_population_and_place_do_not_matter(cases: list[int], scale: int) -> None:
    x, y = np.arange(8.0), np.array([0.0, 3, 1, 5, 2, 9, 4, 7])
    population = np.array([3.0, 5, 2, 8, 1, 7, 4, 6])
    a = scan(Circles(x, y, population), np.array(cases))
    b = scan(Circles(x * scale, y * scale, population * scale), np.array(cases))
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.llr == pytest.approx(other.llr)
        assert one.expected == pytest.approx(other.expected)


def test_an_outbreak_is_found_and_a_quiet_city_has_none() -> None:
    rng = np.random.default_rng(2)
    x, y = (a.ravel() for a in np.meshgrid(np.arange(12.0), np.arange(12.0)))
    population = rng.integers(800, 1200, 144).astype(np.float64)
    cases = rng.poisson(2.0, (10, 144)).astype(np.int64)
    circles = Circles(x, y, population)
    quiet = prospective(circles, cases, maps=99, rng=np.random.default_rng(3))[0]
    assert quiet.p > 0.05
    block = np.flatnonzero(np.hypot(x - 4, y - 7) <= 1.5)
    cases[-3:, block] += 4
    loud = prospective(circles, cases, maps=99, rng=np.random.default_rng(3))[0]
    assert (loud.p, loud.periods, set(loud.places.tolist())) == (0.01, 3, set(block.tolist()))


def test_p_values_of_quiet_maps_are_uniform(figure: Figure) -> None:
    rng = np.random.default_rng(4)
    population = rng.integers(100, 1000, 30).astype(np.float64)
    circles = Circles(rng.uniform(0, 9, 30), rng.uniform(0, 9, 30), population)
    ps = []
    for _ in range(200):
        cases = rng.multinomial(120, population / population.sum())
        ps.append(scan(circles, cases, maps=49, rng=rng)[0].p)
    figure("share of quiet maps with p <= 0.1 (0.1 is right)", float(np.mean(np.array(ps) <= 0.1)), "")
    assert 0.04 < np.mean(np.array(ps) <= 0.1) < 0.17
    assert 0.40 < np.mean(ps) < 0.60


def test_the_same_generator_gives_the_same_p() -> None:
    _, circles, deaths = north_carolina()
    a, b = (scan(circles, deaths // 3, maps=49, rng=np.random.default_rng(5))[0] for _ in range(2))
    assert a.p == b.p


def test_nothing_to_scan() -> None:
    circles = Circles(np.arange(4.0), np.zeros(4), np.ones(4))
    assert scan(circles, np.zeros(4, np.int64), maps=9, rng=np.random.default_rng(6)) == []
    assert scan(circles, np.full(4, 3), most=5) == []
    lump = Circles(np.arange(2.0), np.zeros(2), np.array([1.0, 0.0]))
    assert scan(lump, np.array([3, 1])) == []


@pytest.mark.parametrize(
    ("x", "population", "says"),
    [
        ([0.0, np.nan], [1.0, 1.0], "not known"),
        ([0.0, 1.0], [1.0, -1.0], "not below 0"),
        ([0.0, 1.0], [0.0, 0.0], "above 0"),
        ([0.0] * 2001, [1.0] * 2001, "too many"),
    ],
)
def test_circles_that_cannot_be(x: list[float], population: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Circles(np.array(x), np.zeros(len(x)), np.array(population))


def test_cases_that_cannot_be() -> None:
    circles = Circles(np.arange(4.0), np.zeros(4), np.ones(4))
    for cases in (np.zeros(3, np.int64), np.array([1, -1, 0, 0])):
        with pytest.raises(ValueError, match="cases >= 0"):
            scan(circles, cases)
    with pytest.raises(ValueError, match="need a generator"):
        scan(circles, np.array([9, 0, 0, 0]), maps=9)


def test_the_streets_of_a_city_are_scanned_in_time(figure: Figure) -> None:
    rng = np.random.default_rng(7)
    circles = Circles(rng.uniform(0, 6e4, 160), rng.uniform(0, 6e4, 160), rng.uniform(2e4, 9e4, 160))
    cases = rng.poisson(3, (14, 160)).astype(np.int64)
    prospective(circles, cases, maps=1, rng=rng)
    took = timeit.timeit(lambda: prospective(circles, cases, maps=99, rng=rng), number=1)
    figure("space-time scan of 160 streets and 14 days with 99 random maps", took * 1e3, "ms")
