"""The seeded partition tiles each district exactly and groups its cells by the plan."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from citytwin.geo.partition import Graph, Partition, partition, shared_edges, split
from citytwin.models.columns import Float64

# Two neighbours with a bay, a common winding border and an island.
_WEST = shapely.MultiPolygon(
    [
        shapely.Polygon(
            [(0, 0), (5000, 0), (5300, 900), (4800, 2100), (5000, 4000), (2000, 4000), (2000, 1500), (0, 4000)]
        ),
        shapely.box(300, 4400, 900, 4900),
    ]
)  # fmt: skip
_EAST = shapely.Polygon([(5000, 0), (9000, 500), (8700, 4000), (5000, 4000), (4800, 2100), (5300, 900)])


def even(at: Float64) -> Float64:
    return np.ones(len(at))


def dense_in_the_east(at: Float64) -> Float64:
    out: Float64 = 0.05 + np.exp(-np.hypot(at[:, 0] - 7000, at[:, 1] - 2000) / 800)
    return out


def make(seed: int = 3) -> Partition:
    return partition([_WEST, _EAST], [[3, 5, 1], [4, 4]], [40, 60], dense_in_the_east, aspect=0.86, seed=seed)


def twice_area(shape: shapely.Geometry) -> int:
    """Twice the area in whole lattice units, exact; a ring's orientation decides the sign of holes."""
    total = 0
    for part in shapely.get_parts(shapely.normalize(shape)):
        for ring in shapely.get_rings(part):
            xy = [(int(x), int(y)) for x, y in shapely.get_coordinates(ring)]
            loop = sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(xy))
            total += -loop
    return total


def assert_exact_tiling(cells: NDArray[np.object_]) -> None:
    """No two cells overlap, and together they have the area of their union."""
    assert shapely.is_valid(cells).all()
    tree = shapely.STRtree(cells)
    a, b = tree.query(cells, predicate="overlaps")
    assert not len(a)
    a, b = tree.query(cells, predicate="intersects")
    assert shapely.area(shapely.intersection(cells[a[a < b]], cells[b[a < b]])).sum() == 0
    whole = shapely.union_all(cells)
    assert sum(map(twice_area, cells)) == twice_area(whole)


def test_cells_tile_exactly() -> None:
    made = make()
    xy = shapely.get_coordinates(made.cells)
    assert (xy == np.rint(xy)).all()
    assert_exact_tiling(made.cells)
    for i, district in enumerate((_WEST, _EAST)):
        whole = shapely.coverage_union_all(made.cells[made.district == i])
        # Snapping moves the border by less than a lattice unit.
        assert whole.symmetric_difference(district).area < district.length


def test_neighbouring_districts_share_their_border() -> None:
    made = make()
    west, east = (shapely.coverage_union_all(made.cells[made.district == i]) for i in (0, 1))
    assert west.intersection(east).area == 0
    assert west.intersection(east).length == pytest.approx(_WEST.intersection(_EAST).length, rel=1e-3)


def test_groups_follow_the_plan() -> None:
    made = make()
    for district, plan in enumerate([[3, 5, 1], [4, 4]]):
        for street, communities in enumerate(plan):
            here = (made.district == district) & (made.street == street)
            assert np.unique(made.community[here]).tolist() == list(range(communities))
    rows = np.lexsort((made.community, made.street, made.district))
    assert (rows == np.arange(len(rows))).all()


def test_streets_hang_together() -> None:
    east = make().cells[make().district == 1]
    street = make().street[make().district == 1]
    for s in (0, 1):
        assert shapely.coverage_union_all(east[street == s]).geom_type == "Polygon"


def test_same_seed_same_cells_other_seed_other_cells() -> None:
    first, again, other = make(3), make(3), make(4)
    assert [c.wkb for c in first.cells] == [c.wkb for c in again.cells]
    assert [c.wkb for c in first.cells] != [c.wkb for c in other.cells]


def test_cells_are_small_where_the_city_is_dense() -> None:
    made = make()
    east = made.cells[made.district == 1]
    far = shapely.distance(east, shapely.Point(7000, 2000))
    assert np.median(shapely.area(east[far < 600])) < np.median(shapely.area(east[far > 1500])) / 2


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="district 0: 3 cells cannot hold 4"):
        partition([_EAST], [[2, 2]], [3], even)


def test_shared_edges_counts_parts_and_lengths() -> None:
    left = shapely.MultiPolygon([shapely.box(0, 0, 10, 10), shapely.box(30, 0, 40, 10)])
    cells = np.array([left, shapely.box(10, 0, 30, 10), shapely.box(50, 0, 60, 10)], object)
    a, b, length = shared_edges(cells)
    assert (a.tolist(), b.tolist(), length.tolist()) == ([0], [1], [20.0])


@given(st.integers(2, 7), st.integers(2, 7), st.lists(st.integers(1, 4), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_split_gives_every_group_its_least(width: int, height: int, sizes: list[int]) -> None:
    cells = np.array([shapely.box(x, y, x + 1, y + 1) for x in range(width) for y in range(height)], object)
    if len(cells) < sum(sizes):
        sizes = [1] * min(len(sizes), len(cells))
    groups = split(Graph.of(cells), np.arange(len(cells)), sizes)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(cells)))
    assert all(len(g) >= n for g, n in zip(groups, sizes, strict=True))
