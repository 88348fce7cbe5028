"""The pack of Wuhan: real codes, an exact tiling, valid entities, layers that a page can draw."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from citytwin.models.codes import check_uscc
from citytwin.models.columns import MISSING, Coded, Strings
from citytwin.models.entities import KINDS
from citytwin.twin.build_wuhan import PACK, build
from citytwin.twin.pack import City, load_city
from tests.conftest import Figure, proving

AIR = ("1325A", "1326A", "1327A", "1328A", "1329A", "1330A", "1331A", "1333A", "1334A", "3153A")


@pytest.fixture(scope="module")
def wuhan() -> City:
    return load_city("wuhan")


def codes(city: City, kind: str) -> list[str]:
    return city.entities.codes.take(city.entities.of_kind(kind)).tolist()


def text(city: City, attribute: str, kind: str) -> list[str]:
    column = city.entities.attr(attribute)
    assert isinstance(column, Coded)
    return [v or "" for v in column.take(city.entities.of_kind(kind)).tolist()]


def test_scopes_are_the_real_ones(wuhan: City) -> None:
    tree = wuhan.scopes
    real = [r for r in range(len(tree)) if not tree.unlocated[r]]
    assert Counter(tree.level[real].tolist()) == {0: 1, 1: 13, 2: 193, 3: 3495, 4: 10_000}
    assert wuhan.problems == []
    for row in real:
        if tree.level[row] > 1:
            assert tree.code[row].startswith(tree.code[int(tree.parent[row])])
        assert bool(tree.synthetic[row]) is bool(tree.level[row] == 4)
        assert tree.name_en[row]
    assert (tree.name[tree.row("420102002003")], tree.name_en[tree.row("420102")]) == ("保成社区", "Jiang'an District")


def test_grids_tile_the_city_without_gap_or_overlap(wuhan: City) -> None:
    rows, grids = wuhan.polygons(4)
    assert len(rows) == 10_000
    assert shapely.is_valid(grids).all()
    tree = shapely.STRtree(grids)
    for predicate in ("overlaps", "covered_by"):
        a, b = tree.query(grids, predicate=predicate)
        assert (a == b).all()
    a, b = tree.query(grids, predicate="touches")
    near = shapely.area(shapely.intersection(grids[a[a < b]], grids[b[a < b]]))
    assert near.sum() == 0
    for level in (1, 2, 3):
        own, shapes = wuhan.polygons(level)
        assert len(own) == (0, 13, 193, 3495)[level]
        assert shapely.is_valid(shapes).all()
        parts = np.bincount(np.searchsorted(own, wuhan.scopes.ancestors()[rows, level]), shapely.area(grids), len(own))
        np.testing.assert_allclose(parts, shapely.area(shapes), rtol=1e-9)


def test_districts_are_the_source_turned_to_wgs84(wuhan: City) -> None:
    from citytwin.geo.crs import gcj02_to_wgs84

    for feature in json.loads((PACK / "source" / "districts_gcj02.geojson").read_text("utf-8"))["features"]:
        shape = shapely.from_geojson(json.dumps(feature["geometry"])).buffer(0)
        turned = shapely.transform(shape, lambda p: np.column_stack(gcj02_to_wgs84(p[:, 0], p[:, 1])))
        have = wuhan.polygon(wuhan.scopes.row(feature["id"]))
        assert have.symmetric_difference(turned).area < turned.length * 1e-5


def test_every_kind_is_there_and_valid(wuhan: City) -> None:
    e = wuhan.entities
    count = {kind: len(e.of_kind(kind)) for kind in KINDS}
    assert count["grid"] == 10_000
    assert 4000 <= count["device"] <= 5000
    assert 3000 <= count["facility"] <= 4000
    assert count["building"] == 4600 + 237
    assert min(count.values()) >= 6
    assert check_uscc(e.codes.take(e.of_kind("organisation"))).all()
    assert int(np.asarray(e.attr("population"))[e.of_kind("grid")].sum()) == 13_774_000
    assert all(len(code) == 32 for code in codes(wuhan, "population"))


def test_entities_stand_in_their_grid(wuhan: City) -> None:
    e = wuhan.entities
    rows = np.flatnonzero(np.isfinite(e.lon) & (e.kind != list(KINDS).index("grid")))
    found = wuhan.locator.locate(e.lon[rows], e.lat[rows])
    inside = found >= 0
    # A metro line ends in the next city: its last station belongs to the nearest grid.
    assert inside.mean() > 0.999
    assert (found[inside] == e.scope[rows][inside]).mean() > 0.999


def test_relations_lead_somewhere(wuhan: City) -> None:
    e = wuhan.entities
    for relation, kind in (("building", "house"), ("house", "population"), ("grid", "device"), ("building", "address")):
        targets = np.asarray(e.attr(relation))[e.of_kind(kind)]
        assert (targets >= 0).mean() > (0.2 if kind == "address" else 0.99)
    named = np.array(text(wuhan, "facility_kind", "facility"))
    roads = e.of_kind("facility")[named == "road"]
    watched = np.asarray(e.attr("observes"))[e.of_kind("device")]
    assert set(roads.tolist()) <= set(watched.tolist())
    assert (np.asarray(e.attr("free_flow_kmh"))[roads] > 0).all()
    assert (np.asarray(e.attr("length_m"))[roads] > 0).all()


def test_devices_say_what_they_observe(wuhan: City) -> None:
    e = wuhan.entities
    said = {p for line in set(text(wuhan, "properties", "device")) for p in line.split()}
    assert said <= set(wuhan.vocabulary.properties)
    assert {"traffic.speed", "water.pressure", "air.pm25", "gas.ch4_lel", "river.level", "crowd.count", "wq.do"} <= said
    assert set(AIR) <= set(codes(wuhan, "device"))
    gauge = e.row("RL-HK")
    levels = [float(np.asarray(e.attr(n))[gauge]) for n in ("fortify_level", "warning_level", "guarantee_level")]
    assert levels == [25.0, 27.3, 29.73]
    assert 0.98 < (np.asarray(e.attr("in_service"))[e.of_kind("device")] == 1).mean() < 1


def number(city: City, attribute: str) -> NDArray[np.float64]:
    column = np.asarray(city.entities.attr(attribute))
    return np.where(column == MISSING, np.nan, column) if column.dtype.kind == "i" else column.astype(np.float64)


def test_facilities_have_what_indicators_divide_by(wuhan: City) -> None:
    e, rows = wuhan.entities, wuhan.entities.of_kind("facility")
    kind = np.array(text(wuhan, "facility_kind", "facility"))
    needs = {
        "scenic_area": ("capacity", "usable_area_m2"), "sports_venue": ("courts", "open_hours"),
        "hospital": ("capacity",), "school": ("capacity",), "parking": ("capacity",),
        "metro_station": ("usable_area_m2",),
        "low_point": ("catchment_m2", "curve_number", "storage_m3", "pump_m3s"),
        "underpass": ("catchment_m2", "curve_number", "storage_m3", "pump_m3s"),
    }  # fmt: skip
    for name, attributes in needs.items():
        mine = rows[kind == name]
        assert len(mine) >= 12, name
        for attribute in attributes:
            assert (number(wuhan, attribute)[mine] > 0).all(), (name, attribute)
    lamps = rows[kind == "streetlight"]
    plan = e.attr("schedule")
    assert isinstance(plan, Coded)
    always = lamps[plan.take(lamps).equals("always")]
    assert (plan.codes[lamps] >= 0).all()
    assert len({e.code(r)[:6] for r in always.tolist()}) == 13
    customers = number(wuhan, "power_customers")[e.of_kind("grid")]
    assert customers.sum() == pytest.approx(13_774_000 / 2.6, rel=1e-3)


def test_meters_and_room_sensors_know_what_they_measure(wuhan: City) -> None:
    e = wuhan.entities
    said = np.array(text(wuhan, "properties", "device"))
    devices = e.of_kind("device")
    volts, phases = number(wuhan, "nominal_voltage"), number(wuhan, "phases")
    meters = devices[said == "power.voltage"]
    assert {(v, p) for v, p in zip(volts[meters].tolist(), phases[meters].tolist(), strict=True)} == {
        (220.0, 1.0), (10_000.0, 3.0),
    }  # fmt: skip
    rooms = devices[said == "heat.indoor_temp"]
    homes = np.asarray(e.attr("observes"))[rooms]
    assert len(rooms) == 60
    assert (np.asarray(e.attr("heated"))[homes] == 1).all()
    for name in ("water.turbidity water.chlorine water.ph", "manhole.open manhole.tilt"):
        assert name in said
    assert (number(wuhan, "nominal_flow")[devices[said == "pump.state pump.flow"]] > 0).all()


def test_ambulances_reach_most_people(wuhan: City) -> None:
    e, grids = wuhan.entities, wuhan.entities.of_kind("grid")
    kind = np.array(text(wuhan, "facility_kind", "facility"))
    at = e.of_kind("facility")[kind == "ems_station"]
    east, north = ((e.lon[grids, None] - e.lon[at]) * 95.6, (e.lat[grids, None] - e.lat[at]) * 110.9)
    people = np.asarray(e.attr("population"))[grids]
    assert 0.9 < people[np.hypot(east, north).min(axis=1) < 5].sum() / people.sum() < 1


def test_links_of_the_registers_are_nearly_complete(wuhan: City) -> None:
    e = wuhan.entities
    for relation, kind in (
        ("address", "house"), ("address", "organisation"), ("building", "facility"), ("building", "device"),
    ):  # fmt: skip
        found = np.asarray(e.attr(relation))[e.of_kind(kind)]
        assert 0.93 < (found >= 0).mean() < 1, kind


def test_layers_are_small_and_share_their_edges(wuhan: City, figure: Figure) -> None:
    assert wuhan.layer_names() == [
        "districts",
        "streets",
        "communities",
        "grids",
        "water",
        "metro",
        "buildings",
        "roads",
    ]
    data = wuhan.layer("grids")
    packed = len(gzip.compress(data, 6))
    figure("pack_wuhan_grids_geojson_gz", packed / 1e6, "MB")
    assert packed < 1_000_000
    features = json.loads(data)["features"]
    assert [f["id"] for f in features] == wuhan.polygons(4)[0].tolist()
    assert all(f["properties"]["synthetic"] for f in features)
    edges: Counter[tuple[tuple[float, float], ...]] = Counter()
    for f in features:
        polygons = (
            f["geometry"]["coordinates"] if f["geometry"]["type"] == "MultiPolygon" else [f["geometry"]["coordinates"]]
        )
        for ring in (r for p in polygons for r in p):
            points = [(x, y) for x, y in ring]
            edges.update((min(a, b), max(a, b)) for a, b in itertools.pairwise(points))
    assert set(edges.values()) == {1, 2}
    layers = {n: json.loads(wuhan.layer(n)) for n in ("water", "metro", "buildings", "roads")}
    assert {f["properties"]["name_en"] for f in layers["water"]["features"]} == {
        "Yangtze River",
        "Han River",
        "East Lake",
    }
    assert layers["water"]["synthetic"] is True
    assert "OpenStreetMap" in layers["buildings"]["attribution"]
    assert Counter(f["properties"]["kind"] for f in layers["metro"]["features"]) == {"line": 13, "station": 277}
    with pytest.raises(KeyError):
        wuhan.layer("no such layer")


def test_the_pack_is_small(figure: Figure) -> None:
    start = time.perf_counter()
    load_city("wuhan")
    took = time.perf_counter() - start
    size = sum(p.stat().st_size for p in PACK.rglob("*") if p.is_file())
    figure("pack_wuhan_load", took, "s")
    figure("pack_wuhan_size", size / 1e6, "MB")
    assert size < 4_000_000


@pytest.mark.slow
def test_the_builder_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    only, grids = ((), 10_000) if proving() else (("420103",), 300)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        build(folder, grids=grids, only=only)
    names = sorted(p.relative_to(folders[0]).as_posix() for p in folders[0].rglob("*") if p.is_file())
    assert "geometry/grids.topojson.gz" in names
    assert [n for n in names if (folders[0] / n).read_bytes() != (folders[1] / n).read_bytes()] == []
    part = load_city(folders[0])
    assert part.problems == []
    if not only:
        assert part.edition == load_city("wuhan").edition


def test_everything_named_is_named_in_both_languages(wuhan: City) -> None:
    e = wuhan.entities
    named = e.attr("name_en")
    assert isinstance(named, Strings)
    english = named.lengths()
    for kind in ("map", "grid", "address", "house", "organisation", "facility", "device"):
        assert (english[e.of_kind(kind)] > 0).all(), kind
    assert (e.name(e.row("RL-HK")), named[e.row("RL-HK")]) == ("汉口（武汉关）水位站", "Hankou River Gauge")
