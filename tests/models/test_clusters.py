"""Clusters against scikit-learn, and the clusters that grow against those of a whole."""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.clusters import NOISE, Clusters, Incidents, Rule, dbscan, st_dbscan
from citytwin.models.columns import Float64, Int64

Figure = Callable[[str, float, str], None]


def same_groups(a: Int64, b: Int64) -> bool:
    """Whether two labellings say the same up to the names."""
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def sklearn_labels(distances: Float64, radius: float, least: int) -> tuple[Int64, Int64]:
    """Labels and rows of the cores."""
    from sklearn.cluster import DBSCAN

    fit = DBSCAN(eps=radius, min_samples=least, metric="precomputed").fit(distances)
    return fit.labels_.astype(np.int64), np.sort(fit.core_sample_indices_)


def agree(ours: Clusters, distances: Float64, radius: float, least: int) -> None:
    """Cores, their groups and the noise are those of scikit-learn; borders have the cluster of their nearest core."""
    labels, cores = sklearn_labels(distances, radius, least)
    assert np.flatnonzero(ours.core).tolist() == cores.tolist()
    assert same_groups(ours.label[ours.core], labels[cores])
    assert (ours.label == NOISE).tolist() == (labels == NOISE).tolist()
    for i in np.flatnonzero(~ours.core & (ours.label != NOISE)):
        d = np.where(ours.core, distances[i], np.inf)
        assert ours.label[i] in ours.label[d == d.min()]


def test_iris_has_two_clusters_and_17_of_noise() -> None:
    from sklearn.datasets import load_iris

    found = dbscan(load_iris().data, Rule(0.5, 5))
    assert (sorted(found.sizes().tolist()), int(np.sum(found.label == NOISE))) == ([49, 84], 17)


@pytest.mark.parametrize("seed", range(20))
def test_space_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 4000, (6, 2))
    points = np.concatenate(
        [centres[rng.integers(0, 6, 150)] + rng.normal(0, 120, (150, 2)), rng.uniform(0, 4000, (60, 2))]
    )
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    agree(dbscan(points, Rule(150.0, 5)), distances, 150.0, 5)


@pytest.mark.parametrize("seed", range(20))
def test_space_and_time_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    points = rng.uniform(0, 1500, (200, 2))
    time = rng.integers(0, 20 * 3_600_000, 200)
    near = np.abs(time[:, None] - time) <= 3_600_000 * 4
    distances = np.where(near, np.linalg.norm(points[:, None] - points, axis=2), 1e12)
    agree(st_dbscan(points, time, Rule(220.0, 4, 4 * 3_600_000)), distances, 220.0, 4)


def test_without_a_limit_in_time_it_is_dbscan() -> None:
    rng = np.random.default_rng(1)
    points, time = rng.uniform(0, 1000, (300, 2)), rng.integers(-(2**60), 2**60, 300)
    a, b = st_dbscan(points, time, Rule(60.0, 5)), dbscan(points, Rule(60.0, 5))
    assert a.label.tolist() == b.label.tolist()
    assert a.core.tolist() == b.core.tolist()


GRID = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 6))


@given(st.lists(GRID, min_size=1, max_size=50), st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_cores_do_not_depend_on_the_order(rows: list[tuple[int, int, int]], random: object, least: int) -> None:
    points, time = np.array([r[:2] for r in rows], np.float64), np.array([r[2] for r in rows], np.int64)
    order = np.arange(len(rows))
    random.shuffle(order)  # type: ignore[attr-defined]
    rule = Rule(1.5, least, 2)
    a, b = st_dbscan(points, time, rule), st_dbscan(points[order], time[order], rule)
    assert a.core[order].tolist() == b.core.tolist()
    assert same_groups(a.label[order][b.core], b.label[b.core])
    assert (a.label[order] == NOISE).tolist() == (b.label == NOISE).tolist()


@given(st.lists(GRID, min_size=1, max_size=60), st.integers(1, 5), st.integers(0, 6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_growing_clusters_equal_those_of_the_whole(rows: list[tuple[int, int, int]], least: int, before: int) -> None:
    rule = Rule(1.5, least, 2)
    kept = Incidents(rule)
    points, time = np.array([r[:2] for r in rows], np.float64), np.array([r[2] for r in rows], np.int64)

    def equal(points: Float64, time: Int64) -> None:
        whole, got = st_dbscan(points, time, rule), kept.clusters()
        assert got.label.tolist() == whole.label.tolist()
        assert got.core.tolist() == whole.core.tolist()

    for i, (x, y, t) in enumerate(rows):
        assert kept.insert(float(x), float(y), t) == i
        equal(points[: i + 1], time[: i + 1])
    stay = kept.drop(before)
    assert stay.tolist() == (time >= before).tolist()
    equal(points[stay], time[stay])
    for x, y, t in rows[:20]:
        kept.insert(float(x), float(y), t)
    equal(np.concatenate([points[stay], points[:20]]), np.concatenate([time[stay], time[:20]]))
    assert len(kept) == int(stay.sum()) + len(rows[:20])


@pytest.mark.parametrize("order", [1, -1])
def test_a_point_between_two_clusters_joins_the_nearer(order: int) -> None:
    x = np.array([-4.0, -3, -2, -1, 0, 5, 9, 11, 12, 13, 14])
    found = dbscan(np.stack([x, np.zeros(11)], axis=1)[::order], Rule(5.0, 6))
    label, core = found.label[::order].tolist(), found.core[::order]
    assert x[core].tolist() == [0.0, 9.0]
    assert label[5] == label[6] != label[4]
    assert sorted(found.sizes().tolist()) == [5, 6]


def test_nothing_and_bad_places() -> None:
    found = dbscan(np.zeros((0, 2)), Rule(1.0, 3))
    assert (len(found.label), found.sizes().tolist()) == (0, [])
    kept = Incidents(Rule(100.0, 3))
    for x, y, t in ((np.nan, 0.0, 0), (0.0, np.inf, 0), (0.0, 0.0, -(2**63))):
        with pytest.raises(ValueError, match="no place or no time"):
            kept.insert(x, y, t)
    assert len(kept.clusters().label) == 0
    assert len(kept.drop(0)) == 0


def test_many_incidents_are_clustered_fast(figure: Figure) -> None:
    rng = np.random.default_rng(8)
    n, day = 20_000, 86_400_000
    points, time = rng.uniform(0, 60_000, (n, 2)), rng.integers(0, 7 * day, n)
    rule = Rule(500.0, 5, day)
    took = min(timeit.repeat(lambda: st_dbscan(points, time, rule), number=1, repeat=3))
    figure("ST-DBSCAN of 20,000 incidents of a week", took * 1e3, "ms")
    kept = Incidents(rule)
    rows = [(float(x), float(y), int(t)) for (x, y), t in zip(points[:5000], time[:5000], strict=True)]
    took = timeit.timeit(lambda: [kept.insert(*row) for row in rows], number=1)
    figure("incremental insert of an incident", took / len(rows) * 1e6, "us")
