"""Travel times on road graphs against a plain search, one way streets, ends off the roads, and the real pack."""

from __future__ import annotations

import heapq
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.geo.roads import PIECE_M, SNAP_M, Roads
from citytwin.geo.travel import METRES, Straight, apart
from citytwin.models.columns import Float64
from citytwin.twin.pack import load_city
from citytwin.twin.streets import travel_of
from tests.conftest import Figure

LON, LAT = 114.3, 30.6
EAST = METRES * np.cos(np.radians(LAT))


def at(*metres: tuple[float, float]) -> Float64:
    """Degrees of places in metres east and north of a corner."""
    return np.array([(LON + x / EAST, LAT + y / METRES) for x, y in metres])


def trip(roads: Roads | Straight, a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float, bool]:
    """Seconds, metres and whether by road between two places in metres."""
    one, other = at(a), at(b)
    made = roads.trips(one[:, 0], one[:, 1], other[:, 0], other[:, 1])
    return float(made.seconds[0, 0]), float(made.metres[0, 0]), bool(made.road[0, 0])


def test_a_street_takes_its_length_at_its_speed() -> None:
    roads = Roads([at((0, 0), (1_000, 0), (1_000, 500))], [36.0], [False])
    seconds, metres, road = trip(roads, (0, 0), (1_000, 500))
    assert road
    assert (metres, seconds) == pytest.approx((1_500, 150), rel=1e-3)
    assert trip(roads, (1_000, 500), (0, 0)) == pytest.approx((seconds, metres, True))


def test_one_way_streets_are_left_by_the_longer_way() -> None:
    ring = [at((0, 0), (400, 0)), at((400, 0), (400, 400), (0, 400), (0, 0))]
    roads = Roads(ring, [36.0, 36.0], [True, True])
    assert trip(roads, (0, 0), (400, 0))[1] == pytest.approx(400, rel=1e-3)
    assert trip(roads, (400, 0), (0, 0))[1] == pytest.approx(1_200, rel=1e-3)
    dead = Roads(ring[:1], [36.0], [True])
    assert trip(dead, (400, 0), (0, 0))[2] is False  # no way back: by distance


def test_the_faster_way_is_taken_and_its_metres_are_told() -> None:
    roads = Roads([at((0, 0), (1_000, 0)), at((0, 0), (500, 700), (1_000, 0))], [10.0, 80.0], [False, False])
    seconds, metres, _ = trip(roads, (0, 0), (1_000, 0))
    assert metres == pytest.approx(2 * np.hypot(500, 700), rel=1e-3)
    assert seconds == pytest.approx(metres / (80 / 3.6), rel=1e-3)


def test_ends_off_the_road_are_driven_to_and_far_ones_go_by_distance() -> None:
    roads = Roads([at((0, 0), (1_000, 0))], [36.0], [False], Straight(1.4, 24.0))
    seconds, metres, road = trip(roads, (0, 100), (1_000, 0))
    assert road
    assert (metres, seconds) == pytest.approx((1_100, 100 + 15), rel=1e-3)
    assert trip(roads, (0, SNAP_M + 10), (1_000, 0)) == trip(Straight(1.4, 24.0), (0, SNAP_M + 10), (1_000, 0))
    here, lost = at((0, 0)), np.array([np.nan])
    made = roads.trips(np.append(here[:, 0], lost), np.append(here[:, 1], lost), here[:, 0], here[:, 1])
    assert made.seconds[:, 0].tolist() == [0.0, np.inf]


def test_a_graph_of_nothing_goes_by_distance_and_no_road_stands_still() -> None:
    assert trip(Roads([], [], []), (0, 0), (500, 0)) == trip(Straight(), (0, 0), (500, 0))
    with pytest.raises(ValueError, match="speed"):
        Roads([at((0, 0), (1, 0))], [0.0], [False])


def plain_search(edges: dict[int, list[tuple[int, float]]], start: int) -> dict[int, float]:
    """Least sums from a vertex, the way it stands in books."""
    best, heap = {start: 0.0}, [(0.0, start)]
    while heap:
        cost, vertex = heapq.heappop(heap)
        if cost > best[vertex]:
            continue
        for other, price in edges.get(vertex, ()):
            if cost + price < best.get(other, np.inf):
                best[other] = cost + price
                heapq.heappush(heap, (cost + price, other))
    return best


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 9), st.integers(1, 20), st.integers(1, 5), st.integers(1, 5))
def test_equals_a_plain_search(seed: int, n: int, roads: int, starts: int, stops: int) -> None:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 4_000, (n, 2))
    ends = [(int(a), int(b)) for a, b in rng.integers(0, n, (roads, 2)) if a != b]
    kmh, oneway = rng.uniform(10, 60, len(ends)), rng.random(len(ends)) < 0.4
    graph = Roads([at(tuple(xy[a]), tuple(xy[b])) for a, b in ends], kmh.tolist(), oneway.tolist())
    edges: dict[int, list[tuple[int, float]]] = {}
    place = at(*map(tuple, xy.tolist()))
    for (a, b), speed, one in zip(ends, kmh.tolist(), oneway.tolist(), strict=True):
        length = float(np.hypot(*(xy[a] - xy[b])))
        edges.setdefault(a, []).append((b, length * 3.6 / speed))
        if not one:
            edges.setdefault(b, []).append((a, length * 3.6 / speed))
    on_road = sorted({v for pair in ends for v in pair})
    if not on_road:
        return
    here, there = rng.choice(on_road, starts), rng.choice(on_road, stops)
    made = graph.trips(place[here, 0], place[here, 1], place[there, 0], place[there, 1])
    for i, start in enumerate(here.tolist()):
        best = plain_search(edges, start)
        for j, stop in enumerate(there.tolist()):
            assert bool(made.road[i, j]) == (stop in best)
            if stop in best:
                assert made.seconds[i, j] == pytest.approx(best[stop], rel=1e-3, abs=0.01)


@cache
def wuhan() -> tuple[Any, Roads]:
    """The pack of Wuhan and its roads."""
    city = load_city("wuhan")
    roads = travel_of(city)
    assert isinstance(roads, Roads)
    return city, roads


def test_the_real_roads_of_wuhan(figure: Figure) -> None:
    _, roads = wuhan()
    rng = np.random.default_rng(4)
    some = rng.choice(len(roads), 40, replace=False)
    made = roads.trips(roads.lon[some], roads.lat[some], roads.lon[some], roads.lat[some])
    straight = apart(roads.lon[some][:, None], roads.lat[some][:, None], roads.lon[some], roads.lat[some])
    assert (made.metres[made.road] >= straight[made.road] * 0.999).all()
    assert (np.diag(made.seconds) == 0).all()
    share = float(made.road.mean())
    assert share > 0.3
    off = made.road & (straight > 200)
    figure("detour of the roads of Optics Valley", float(np.median(made.metres[off] / straight[off])), "x the line")
    figure("trips between its vertices that go by road", 100 * share, "%")
    way = np.where(made.road, made.seconds, np.inf)
    through = (way[:, :, None] + way[None, :, :]).min(axis=1)
    assert (way <= through + 1e-6).all()  # no way is longer than one by another place
    far = roads.trips(np.array([114.2]), np.array([30.7]), roads.lon[:1], roads.lat[:1])
    assert not far.road.any()
    assert np.isfinite(far.seconds).all()


def test_only_what_vehicles_drive_on_is_a_road_and_pieces_are_short() -> None:
    city, roads = wuhan()
    assert 1_000 < len(roads) < 5_000
    i, j = roads.forth.nonzero()
    assert apart(roads.lon[i], roads.lat[i], roads.lon[j], roads.lat[j]).max() <= PIECE_M * 1.01
    assert isinstance(travel_of(load_city("new_york")), Straight)
    assert "roads" in city.layer_names()
