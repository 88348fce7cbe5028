"""The batch optimum against all permutations, its certificate by dual prices, greedy dispatch, and whole days."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.geo.travel import Straight
from citytwin.models.columns import Float64, Int64
from citytwin.models.desk.assignment import NOBODY, Problem, batch, greedy, optimum, problem, proposal
from citytwin.models.desk.candidates import Force, Need, Policy
from citytwin.models.desk.regret import Day, offline, replay
from tests.conftest import proving

POLICY = Policy()


def scene(seed: int, n: int, m: int, open_share: float) -> tuple[list[Need], list[Force], Float64, Problem]:
    """Random cases and units, of which a share of the pairs can be."""
    rng = np.random.default_rng(seed)
    needs = [
        Need(f"C{i}", 114.0, 30.0, priority=int(rng.integers(0, 5)), limit_s=float(rng.integers(300, 3_000)),
             waiting_s=float(rng.integers(0, 4_000)))
        for i in range(n)
    ]  # fmt: skip
    forces = [Force(f"U{j}", capacity=int(rng.integers(0, 4)), load=int(rng.integers(0, 2))) for j in range(m)]
    eta = rng.uniform(30, 4_000, (n, m))
    eta[rng.random((n, m)) < 0.1] = np.inf
    able = rng.random((n, m)) < open_share
    return needs, forces, eta, problem(needs, forces, eta, able, POLICY)


def cheapest(about: Problem) -> float:
    """The least sum over every way to give places to cases or to leave them."""
    n, m = about.cost.shape
    best = float("inf")
    for ways in itertools.product((False, True), repeat=n):
        served = [i for i in range(n) if ways[i]]
        left = float(sum(about.leave[i] for i in range(n) if not ways[i]))
        for places in itertools.permutations(range(m), len(served)):
            total = sum((float(about.cost[i, j]) for i, j in zip(served, places, strict=True)), left)
            best = min(best, total)
    return best


def lawful(about: Problem, place: Int64) -> bool:
    """Whether nobody has two places, no place two cases, and no pair is one that cannot be."""
    taken = place[place >= 0]
    return len(set(taken.tolist())) == len(taken) and bool(np.isfinite(about.cost[place >= 0, taken]).all())


@settings(max_examples=400 if proving() else 60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 4), st.integers(0, 3), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_equals_brute_force_with_room_and_pairs_that_cannot_be(seed: int, n: int, m: int, share: float) -> None:
    _, _, _, about = scene(seed, n, m, share)
    place = optimum(about)
    assert lawful(about, place)
    assert about.objective(place) == pytest.approx(cheapest(about), abs=1e-9)


@pytest.mark.parametrize("seed", range(40 if proving() else 6))
def test_equals_all_permutations_of_seven(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.uniform(0, 3, (7, 7))
    cost[rng.random((7, 7)) < 0.25] = np.inf
    about = Problem(cost, np.arange(7), np.full(7, 100.0))  # left only where there is no other way
    cost = np.hstack([cost, np.full((7, 7), np.inf)])
    np.fill_diagonal(cost[:, 7:], 100.0)
    best = min(
        sum(min(cost[i, j], 100.0) for i, j in enumerate(way)) for way in itertools.permutations(range(7))
    )  # a pair that cannot be stands for a case that is left
    assert about.objective(optimum(about)) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_hundred_are_optimal_by_dual_prices(seed: int) -> None:
    """The prices of a linear programme that knows nothing of the method: what they promise, the assignment costs."""
    from scipy.optimize import linprog

    _, _, _, about = scene(seed, 100, 60, 0.4)
    place = optimum(about)
    assert lawful(about, place)
    i, j = np.nonzero(np.isfinite(about.cost))
    n, m = about.cost.shape
    x = len(i)
    price = np.concatenate([about.cost[i, j], about.leave])
    once, alone = np.zeros((n, x + n)), np.zeros((m, x + n))
    once[i, np.arange(x)] = 1.0
    once[:, x:] = np.eye(n)
    alone[j, np.arange(x)] = 1.0
    found = linprog(price, A_eq=once, b_eq=np.ones(n), A_ub=alone, b_ub=np.ones(m), method="highs")
    u, v = found.eqlin.marginals, found.ineqlin.marginals
    slack = about.cost[i, j] - u[i] - v[j]
    assert slack.min() >= -1e-9  # the prices are lawful: no pair is cheaper than they say
    assert (about.leave - u).min() >= -1e-9
    assert v.max() <= 1e-9
    assert u.sum() + v.sum() == pytest.approx(about.objective(place), abs=1e-7)  # so nothing can cost less
    served = np.flatnonzero(place >= 0)
    assert np.abs(about.cost[served, place[served]] - u[served] - v[place[served]]).max() < 1e-7
    assert np.abs(about.leave - u)[place < 0].max(initial=0) < 1e-7
    assert np.abs(v[np.setdiff1d(np.arange(m), place)]).max(initial=0) < 1e-7


@pytest.mark.parametrize("size", [(5, 3), (30, 30), (100, 60), (60, 120)])
def test_never_worse_than_the_nearest_one_by_one(size: tuple[int, int]) -> None:
    better = 0
    for seed in range(200 if proving() else 25):
        needs, _, eta, about = scene(seed, *size, 0.5)
        one_by_one = greedy(about, eta, needs)
        assert lawful(about, one_by_one)
        gain = about.objective(one_by_one) - about.objective(optimum(about))
        assert gain >= -1e-9
        better += gain > 1e-9
    assert better > 0


def test_the_unit_with_room_takes_two_and_the_worse_case_is_served_first() -> None:
    needs = [
        Need("C1", 114.3, 30.6, priority=4),
        Need("C2", 114.3, 30.6, priority=1, waiting_s=600),
        Need("C3", 114.3, 30.6),
    ]
    forces = [
        Force("U1", capacity=2, lon=114.31, lat=30.6),
        Force("U2", capacity=1, load=1, lon=114.31, lat=30.6),
        Force("U3", state="off", lon=114.31, lat=30.6),
    ]
    trips = Straight().trips(np.array([114.31] * 3), np.array([30.6] * 3), np.array([114.3] * 3), np.array([30.6] * 3))
    made = batch(needs, forces, trips, 0, POLICY)
    assert [d.chosen for d in made].count("U1") == 2
    assert made[1].chosen == "U1"
    left = next(d for d in made if not d.chosen)
    assert left.why["zh"].startswith("本批力量不足")
    assert left.suggested == "U1"
    assert {d.strategy for d in made} == {"batch"}
    assert all(len(d.candidates) == 3 for d in made)


def test_a_neighbour_helps_only_where_no_own_unit_comes_in_time() -> None:
    needs = [
        Need("C1", 114.3, 30.6, scopes=("X", "A"), limit_s=600),
        Need("C2", 114.3, 30.6, scopes=("X", "B"), limit_s=600),
    ]
    forces = [Force("B1", lon=114.31, lat=30.6, scopes=("X", "B")), Force("C1", lon=114.3, lat=30.6, scopes=("X", "C"))]
    trips = Straight().trips(
        np.array([114.31, 114.3]), np.array([30.6] * 2), np.array([114.3] * 2), np.array([30.6] * 2)
    )
    made = batch(needs, forces, trips, 0, POLICY, {"A": frozenset({"C"})})
    assert [(d.chosen, d.aid) for d in made] == [("C1", "C"), ("B1", "")]
    made = batch(needs, forces, trips, 0, POLICY, {"A": frozenset()})
    assert [(d.chosen, d.aid) for d in made] == [("", ""), ("B1", "")]


def test_a_neighbour_helps_where_the_own_unit_goes_to_another_case() -> None:
    needs = [Need(f"C{i}", 114.3, 30.6, priority=i, scopes=("X", "A"), limit_s=600) for i in (1, 3)]
    forces = [Force("A1", lon=114.3, lat=30.6, scopes=("X", "A")), Force("C1", lon=114.32, lat=30.6, scopes=("X", "C"))]
    trips = Straight().trips(np.array([114.3, 114.32]), np.full(2, 30.6), np.full(2, 114.3), np.full(2, 30.6))
    for beside, wanted in ((None, {"A1", "C1"}), ({"A": frozenset[str]()}, {"A1", ""})):
        made = proposal(needs, forces, trips, 0, POLICY, beside)
        assert {offer.decision.chosen for offer in made.offers} == wanted
        assert made.objective <= made.nearest + 1e-9
        assert made.objective == pytest.approx(sum(offer.cost for offer in made.offers))


def some_day(seed: int, n: int, m: int) -> Day:
    """A random day, short enough to try all of it."""
    rng = np.random.default_rng(seed)
    eta = rng.uniform(60, 1_500, (n, m))
    away = np.ceil((2 * eta + rng.uniform(300, 1_200, (n, m))) / 300).astype(np.int64)
    return Day(
        np.sort(rng.integers(0, 6, n)),
        eta,
        rng.random((n, m)) < 0.8,
        away,
        np.full(n, 1_440.0),
        np.full(n, 5.0),
        300.0,
        2,
    )


def every_way(day: Day) -> float:
    """The least cost of a day over all units and waits of all cases."""
    n, m = day.eta_s.shape
    best = float("inf")
    for unit in itertools.product(range(-1, m), repeat=n):
        if any(u >= 0 and not day.able[i, u] for i, u in enumerate(unit)):
            continue
        for wait in itertools.product(range(day.patience), repeat=n):
            spans = [
                (u, day.at[i] + w, day.at[i] + w + day.away[i, u])
                for i, (u, w) in enumerate(zip(unit, wait, strict=True))
                if u >= 0
            ]
            if any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a, b in itertools.combinations(spans, 2)):
                continue
            best = min(best, day.total(np.array(unit), np.array(wait)))
    return best


@pytest.mark.parametrize("seed", range(20 if proving() else 5))
def test_the_offline_optimum_is_the_best_of_all_ways(seed: int) -> None:
    day = some_day(seed, 4, 2)
    assert day.total(*offline(day)) == pytest.approx(every_way(day), abs=1e-7)


def test_a_day_as_it_comes_is_never_better_than_offline() -> None:
    for seed in range(8):
        day = some_day(seed, 12, 3)
        waited_for: list[int] = []

        def first(rows: Int64, free: Int64, waited: Int64, day: Day = day, seen: list[int] = waited_for) -> Int64:
            seen.extend(waited.tolist())
            out = np.full(len(rows), NOBODY, np.int64)
            can = np.flatnonzero(day.able[rows[0], free])
            if len(can):
                out[0] = free[can[0]]
            return out

        unit, waited = replay(day, first)
        assert max(waited_for) < day.patience
        assert day.total(unit, waited) >= day.total(*offline(day)) - 1e-9
