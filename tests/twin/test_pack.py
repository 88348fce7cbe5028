"""City packs: what a manifest may say, what a row may hold, and what is told of those that break a rule."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from citytwin.geo.scopes import GRID
from citytwin.twin.pack import City, PackError, load_city
from citytwin.twin.pack_manifest import dump, parse_manifest

MANIFEST = """
format = 1
name = "toy"
title = { zh = "玩具市", en = "Toy" }
timezone = "Asia/Shanghai"

[calendar]
weekend = [6, 7]
file = "calendar.csv"

[scopes]
file = "scopes.csv"

[[geometry]]
level = "district"
file = "districts.geojson"

[[entities]]
kind = "device"
file = "devices.csv"
columns = { code = "id", device_kind = "type" }
defaults = { synthetic = true, period_s = 60 }

[[sources]]
id = "toy/rain"
period_s = 60
families = ["rain"]
types = ["obs"]
"""
SCOPES = (
    "code,name,name_en,parent\n420199,东区,East,4201\n4201,玩具市,Toy,\n420198,西区,West,4201\n420197,孤区,Lost,9999\n"
)
DEVICES = "id,type,lon,lat,scope,in_service,calibrated,colour\n"


def square(west: float, south: float) -> list[list[list[float]]]:
    return [[[west, south], [west + 1, south], [west + 1, south + 1], [west, south + 1], [west, south]]]


def write(folder: Path, devices: str = "", manifest: str = MANIFEST) -> Path:
    features = [
        {"type": "Feature", "id": code, "geometry": {"type": "Polygon", "coordinates": square(west, 30)}}
        for code, west in (("420198", 114.0), ("420199", 115.0), ("420190", 116.0))
    ]
    (folder / "city.toml").write_text(manifest, "utf-8")
    (folder / "scopes.csv").write_text(SCOPES, "utf-8")
    (folder / "calendar.csv").write_text("date,working,name\n2026-01-01,0,元旦\n2026-01-04,1,调休\nsoon,0,x\n", "utf-8")
    (folder / "devices.csv").write_text(DEVICES + devices, "utf-8")
    (folder / "districts.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}), "utf-8")
    return folder


def told(city: City, file: str) -> list[tuple[int, str]]:
    return sorted((p.line, p.field) for p in city.problems if p.file == file)


def test_a_pack_loads_with_scopes_in_any_order(tmp_path: Path) -> None:
    city = load_city(write(tmp_path))
    assert city.title == {"zh": "玩具市", "en": "Toy"}
    assert city.scopes.code[:3] == ["4201", "420198", "420199"]
    assert city.scopes.unlocated_child(0) < len(city.scopes)
    assert told(city, "scopes.csv") == [(5, "parent")]
    assert [(s.id, s.period_s, s.families, s.types) for s in city.sources] == [("toy/rain", 60.0, ("rain",), ("obs",))]


def test_calendar_knows_holidays_and_working_weekends(tmp_path: Path) -> None:
    city = load_city(write(tmp_path))
    days = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")
    assert [city.calendar.working(d) for d in days] == [False, True, False, True]
    assert told(city, "calendar.csv") == [(4, "date")]


def test_entities_are_placed_by_scope_or_place(tmp_path: Path) -> None:
    rows = "a,rain_gauge,114.5,30.5,,1,2024-05-01,\nb,rain_gauge,,,420199,0,,\nc,rain_gauge,,,,,,\n"
    city = load_city(write(tmp_path, rows))
    e, tree = city.entities, city.scopes
    assert e.n == 3
    homes = [tree.code[int(e.scope[e.row(code)])] for code in "abc"]
    assert homes == ["420198~~~", "420199~~~", "4201~~~~"]
    assert np.asarray(e.attr("in_service"))[:3].tolist() == [1, 0, -1]
    assert np.asarray(e.attr("period_s"))[:3].tolist() == [60.0] * 3
    assert np.asarray(e.attr("synthetic"))[:3].tolist() == [1] * 3


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("a,rain_gauge,114.5,30.5,,1,,,extra", ""),
        (",rain_gauge,114.5,30.5,,1,,", "code"),
        ("good,rain_gauge,114.5,30.5,,1,,", "code"),
        ("a,,114.5,30.5,,1,,", "device_kind"),
        ("a,rain_gauge,east,30.5,,1,,", "lon"),
        ("a,rain_gauge,nan,30.5,,1,,", "lon"),
        ("a,rain_gauge,114.5,,,1,,", "lat"),
        ("a,rain_gauge,30.5,114.5,,1,,", "lon"),
        ("a,rain_gauge,10.0,30.5,,1,,", "lon"),
        ("a,rain_gauge,114.5,30.5,nowhere,1,,", "scope"),
        ("a,rain_gauge,114.5,30.5,,maybe,,", "in_service"),
        ("a,rain_gauge,114.5,30.5,,1,yesterday,", "calibrated"),
        ("12345,rain_gauge,114.5,30.5,,1,,", "code"),
    ],
)
def test_a_bad_row_is_told_and_its_neighbours_load(tmp_path: Path, row: str, field: str) -> None:
    city = load_city(write(tmp_path, f"good,rain_gauge,114.5,30.5,,1,,\n{row}\nlast,rain_gauge,115.5,30.5,,1,,\n"))
    assert told(city, "devices.csv") == [(1, "colour"), (3, field)]
    assert city.entities.n == 2
    assert city.entities.row("last") == 1


def test_geometry_of_an_unknown_scope_is_told(tmp_path: Path) -> None:
    city = load_city(write(tmp_path))
    rows, shapes = city.polygons(1)
    assert [city.scopes.code[r] for r in rows] == ["420198", "420199"]
    assert [round(s.bounds[0]) for s in shapes] == [114, 115]
    assert told(city, "districts.geojson") == [(3, "code")]
    assert city.polygon(city.scopes.row("420198")).area == pytest.approx(1)
    assert city.polygon(0) is None or city.polygon(0).area == pytest.approx(2)


def test_locator_finds_the_finest_scope_with_a_polygon(tmp_path: Path) -> None:
    city = load_city(write(tmp_path))
    found = city.locator.locate(np.array([114.5, 115.5, 120.0]), np.array([30.5, 30.5, 30.5]))
    assert [city.scopes.code[r] if r >= 0 else "" for r in found] == ["420198", "420199", ""]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("format = 1", "format = 2"), "format must be 1"),
        (('name = "toy"', ""), "name is missing"),
        (("Asia/Shanghai", "Asia/Atlantis"), "Asia/Atlantis is no IANA time zone"),
        (('level = "district"', 'level = "planet"'), "level is one of city, district"),
        (('kind = "device"', 'kind = "robot"'), "no kind robot"),
        (('kind = "device"\n', 'kind = "device"\ncrs = "MARS"\n'), "MARS"),
        (('file = "devices.csv"\n', ""), r"\[\[entities\]\] number 1 needs file"),
        (("[calendar]", "[calendar"), "city.toml"),
        (("weekend = [6, 7]", "weekend = [8]"), "weekend"),
        (("weekend = [6, 7]", "weekend = 6"), "weekend has the wrong form"),
        (('types = ["obs"]', 'types = "obs"'), "types has the wrong form"),
        (('types = ["obs"]', "types = [1]"), "patterns of event types are texts"),
        (("period_s = 60\nfamilies", "period_s = 0\nfamilies"), "longer than nothing"),
        (('{ zh = "玩具市", en = "Toy" }', '"Toy"'), "title has the wrong form"),
        (("period_s = 60\nfam", 'period_s = "often"\nfam'), "period_s has the wrong form"),
        (
            ("defaults = { synthetic = true, period_s = 60 }", 'columns2 = 1\ndefaults = "x"'),
            "defaults has the wrong form",
        ),
        (('name = "toy"', 'name = "toy"\nvalid_from = "once"'), "valid_from"),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(PackError, match=says):
        load_city(write(tmp_path, manifest=MANIFEST.replace(*change)))


def test_missing_and_broken_files_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "devices.csv").unlink()
    (tmp_path / "districts.geojson").write_bytes(b'{"type": ')
    city = load_city(tmp_path)
    assert city.polygons(1)[0].tolist() == []
    assert {("devices.csv", "the file is missing")} <= {(p.file, p.reason) for p in city.problems}
    assert any(p.file == "districts.geojson" and "JSON" in p.reason for p in city.problems)


def test_no_city_and_no_pack_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"built in are new_york, wuhan"):
        load_city(tmp_path)
    write(tmp_path)
    (tmp_path / "scopes.csv").write_text("code,name,parent\n", "utf-8")
    with pytest.raises(PackError, match="no city in the scopes"):
        load_city(tmp_path)


def test_a_file_outside_the_pack_is_not_read(tmp_path: Path) -> None:
    inner = tmp_path / "pack"
    inner.mkdir()
    (tmp_path / "secret.csv").write_text("id,type\nx,rain_gauge\n", "utf-8")
    city = load_city(write(inner, manifest=MANIFEST.replace("devices.csv", "../secret.csv")))
    assert city.entities.n == 0
    assert any("outside the pack" in p.reason for p in city.problems)


def test_edition_follows_contents_not_packing(tmp_path: Path) -> None:
    first = load_city(write(tmp_path)).edition
    assert load_city(tmp_path).edition == first
    (tmp_path / "devices.csv").write_text(DEVICES + "a,rain_gauge,114.5,30.5,,1,,\n", "utf-8")
    changed = load_city(tmp_path).edition
    assert changed != first
    write(tmp_path, manifest=MANIFEST.replace("devices.csv", "devices.csv.gz"))
    texts = {}
    for level in (1, 9):
        (tmp_path / "devices.csv.gz").write_bytes(gzip.compress(DEVICES.encode(), level, mtime=level))
        texts[level] = load_city(tmp_path).edition
    assert texts[1] == texts[9]


def test_manifest_text_reads_back_equal() -> None:
    manifest = parse_manifest(MANIFEST, "toy")
    manifest["title"]["en"] = 'Quote " and \\ and \x7f'
    assert parse_manifest(dump(manifest), "again") == manifest


def test_new_york_is_of_csv_alone() -> None:
    city = load_city("new_york")
    assert city.problems == []
    assert city.timezone == "America/New_York"
    boroughs = [city.scopes.code[r] for r in city.scopes.at_level(1) if not city.scopes.unlocated[r]]
    assert boroughs == ["BRONX", "BROOKLYN", "MANHATTAN", "QUEENS", "STATEN ISLAND"]
    assert city.locator.locate(np.array([-73.98]), np.array([40.75])).tolist() == [-1]
    assert city.layer_names() == []
    leaf = city.scopes.unlocated_child(city.scopes.row("QUEENS"))
    assert int(city.scopes.level[leaf]) == GRID
    assert city.scopes.path(leaf)[-2:] == [city.scopes.row("QUEENS"), 0]
