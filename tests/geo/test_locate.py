"""The locator answers what shapely answers, for every place that can be asked."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.geo.locate import Locator
from citytwin.models.columns import Float64, Int32
from tests.conftest import Figure

PROVE = os.environ.get("CITYTWIN_TEST_PROVE") == "1"
POINTS = 1_000_000 if PROVE else 100_000
CELLS = 10_000 if PROVE else 1_500
BOX = (113.7, 29.9, 115.1, 31.4)

Polygons = np.ndarray[tuple[int, ...], np.dtype[np.object_]]


def tiling(n: int) -> Polygons:
    """Irregular cells that tile the box: Voronoi cells clipped to it, with extra vertices along their edges."""
    rng = np.random.default_rng(11)
    seeds = shapely.MultiPoint(rng.uniform(BOX[:2], BOX[2:], (n, 2)))
    cells = shapely.get_parts(shapely.voronoi_polygons(seeds, extend_to=shapely.box(*BOX)))
    return np.asarray(shapely.segmentize(shapely.intersection(cells, shapely.box(*BOX)), 0.01))


def brute(polygons: Polygons, rows: Int32, lon: Float64, lat: Float64) -> Int32:
    """Lowest row among the polygons that an STRtree of shapely says each place intersects."""
    place, polygon = shapely.STRtree(polygons).query(shapely.points(lon, lat), predicate="intersects")
    answer = np.full(len(lon), 2**31 - 1, np.int32)
    np.minimum.at(answer, place, rows[polygon])
    return np.where(answer == 2**31 - 1, np.int32(-1), answer)


def corners(polygons: Polygons) -> tuple[Float64, Float64]:
    """Every vertex, every middle of an edge, and both with the last bit of a coordinate turned."""
    points, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(polygons)), return_index=True)
    same = ring[1:] == ring[:-1]
    middles = (points[1:][same] + points[:-1][same]) / 2
    base = np.concatenate([points, middles])
    turned = [np.nextafter(base, np.inf), np.nextafter(base, -np.inf)]
    every = np.concatenate([base, *turned])
    return every[:, 0].copy(), every[:, 1].copy()


def assert_exact(locator: Locator, polygons: Polygons, rows: Int32, lon: Float64, lat: Float64) -> None:
    """No answer differs from shapely's."""
    wrong = np.flatnonzero(locator.locate(lon, lat) != brute(polygons, rows, lon, lat))
    assert len(wrong) == 0, (lon[wrong[:3]], lat[wrong[:3]])


def test_random_places_vertices_and_middles_are_exact(figure: Figure) -> None:
    polygons = tiling(CELLS)
    rows = np.random.default_rng(3).permutation(len(polygons)).astype(np.int32) + 100
    start = time.perf_counter()
    locator = Locator(polygons.tolist(), rows, 2048 if PROVE else 512)
    built = time.perf_counter() - start
    rng = np.random.default_rng(4)
    lon, lat = rng.uniform(BOX[0] - 0.02, BOX[2] + 0.02, POINTS), rng.uniform(BOX[1] - 0.02, BOX[3] + 0.02, POINTS)
    locator.locate(lon[:1], lat[:1])
    start = time.perf_counter()
    locator.locate(lon, lat)
    took = time.perf_counter() - start
    figure(f"locator of {CELLS} cells built", built, "s")
    figure(f"places located in {CELLS} cells", POINTS / took, "places/s")
    assert_exact(locator, polygons, rows, lon, lat)
    assert_exact(locator, polygons, rows, *corners(polygons))


def test_places_on_pixel_borders_are_exact() -> None:
    polygons = tiling(60)
    rows = np.arange(60, dtype=np.int32)
    locator = Locator(polygons.tolist(), rows, 32)
    lon, lat = np.meshgrid(np.linspace(BOX[0], BOX[2], 65), np.linspace(BOX[1], BOX[3], 65))
    assert_exact(locator, polygons, rows, lon.ravel(), lat.ravel())


number = st.integers(0, 12)
ring = st.lists(st.tuples(number, number), min_size=3, max_size=9, unique=True)


@st.composite
def shapes(draw: st.DrawFn) -> Polygons:
    """Polygons with holes and parts on a small lattice, which overlap, touch and leave gaps as they like."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        shape = shapely.Polygon(draw(ring)).buffer(0)
        if draw(st.booleans()):
            shape = shape.difference(shapely.Polygon(draw(ring)).buffer(0)).buffer(0)
        if draw(st.booleans()):
            shape = shapely.union(shape, shapely.box(*sorted((draw(number), draw(number))), 13, 13)).buffer(0)
        if shape.geom_type in ("Polygon", "MultiPolygon"):
            found.append(shape)
    return np.array(found, object)


@settings(max_examples=1000 if PROVE else 80, deadline=None)
@given(shapes(), st.sampled_from([1, 3, 12, 13, 40]), st.permutations(range(6)))
def test_overlaps_gaps_holes_and_parts_are_exact(polygons: Polygons, pixels: int, rows: list[int]) -> None:
    numbers = np.array(rows[: len(polygons)], np.int32)
    locator = Locator(polygons.tolist(), numbers, pixels)
    lattice = np.arange(-1, 14.01, 0.5)
    lon, lat = (a.ravel() for a in np.meshgrid(lattice, lattice))
    assert_exact(locator, polygons, numbers, lon, lat)
    filled = polygons[~shapely.is_empty(polygons)] if len(polygons) else polygons
    if len(filled):
        assert_exact(locator, polygons, numbers, *corners(filled))


def test_outside_nan_and_infinite_places_have_no_row() -> None:
    locator = Locator([shapely.box(0, 0, 1, 1)], np.array([7], np.int32), 16)
    lon = np.array([0.5, np.nan, 0.5, np.inf, -np.inf, 1.0, 1.0000001, 0.0, -1e-300])
    lat = np.array([0.5, 0.5, np.nan, 0.5, 0.5, 1.0, 0.5, 0.0, 0.5])
    assert locator.locate(lon, lat).tolist() == [7, -1, -1, -1, -1, 7, -1, 7, -1]
    assert locator.bounds == (0.0, 0.0, 1.0, 1.0)
    assert Locator([], np.zeros(0, np.int32)).locate(lon, lat).tolist() == [-1] * 9


def test_a_shared_border_belongs_to_the_lowest_row() -> None:
    left, right = shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)
    for rows in ([4, 9], [9, 4]):
        locator = Locator([left, right], np.array(rows, np.int32), 8)
        assert locator.locate(np.array([0.5, 1.0, 1.5]), np.array([0.5, 0.5, 0.5])).tolist() == [rows[0], 4, rows[1]]


def test_places_too_near_to_tell_are_asked_of_shapely(monkeypatch: pytest.MonkeyPatch) -> None:
    polygons, rows = tiling(40), np.arange(40, dtype=np.int32)
    locator = Locator(polygons.tolist(), rows, 16)
    asked: list[int] = []
    ask = locator._ask_shapely

    def note(lon: Float64, lat: Float64, out: Int32) -> None:
        asked.append(int(np.count_nonzero(out == -2)))
        ask(lon, lat, out)

    monkeypatch.setattr(locator, "_ask_shapely", note)
    assert_exact(locator, polygons, rows, *corners(polygons))
    assert asked[0] > 100


def test_what_is_no_valid_polygon_is_refused() -> None:
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    with pytest.raises(ValueError, match="row 5 is not valid: Self-intersection"):
        Locator([bow], np.array([5], np.int32))
    with pytest.raises(ValueError, match="row 5 is no polygon"):
        Locator([shapely.Point(0, 0)], np.array([5], np.int32))
    with pytest.raises(ValueError, match="give one row each"):
        Locator([shapely.box(0, 0, 1, 1)], np.array([1, 2], np.int32))
    with pytest.raises(ValueError, match="as many of each"):
        Locator([shapely.box(0, 0, 1, 1)], np.array([1], np.int32)).locate(np.zeros(2), np.zeros(3))
