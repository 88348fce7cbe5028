"""`import_city` makes a pack of GeoJSON and CSV and tells what it left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citytwin.geo.crs import wgs84_to_gcj02
from citytwin.twin.import_city import import_city
from citytwin.twin.pack import PackError, load_city

MANIFEST = """
name = "port"
code = "4299"
title = { zh = "港市", en = "Port" }
timezone = "Asia/Shanghai"
crs = "GCJ-02"
licence = "CC0"

[calendar]
weekend = [7]
file = "days.csv"

[[scopes]]
level = "street"
file = "streets.geojson"
columns = { code = "id", name = "title", parent = "in" }
synthetic = true

[[scopes]]
level = "district"
file = "districts.csv"

[[entities]]
kind = "device"
file = "gauges.csv"
columns = { code = "no", device_kind = "type", lon = "x", lat = "y", period_s = "every" }

[[entities]]
kind = "building"
file = "houses.geojson"
columns = { code = "ref", storeys = "levels", name = "name" }

[[layers]]
name = "parks"
file = "parks.geojson"
title = { zh = "公园", en = "Parks" }
licence = "CC0"

[[sources]]
id = "port/water"
"""


def shifted(*points: tuple[float, float]) -> list[list[float]]:
    lon, lat = wgs84_to_gcj02(np.array([p[0] for p in points]), np.array([p[1] for p in points]))
    return [[float(x), float(y)] for x, y in zip(lon, lat, strict=True)]


def square(west: float, size: float = 0.1) -> dict[str, Any]:
    ring = [(west, 30.0), (west + size, 30.0), (west + size, 30.0 + size), (west, 30.0 + size), (west, 30.0)]
    return {"type": "Polygon", "coordinates": [shifted(*ring)]}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def write(folder: Path, manifest: str = MANIFEST) -> Path:
    folder.mkdir(exist_ok=True)
    collections = {
        "streets": [
            feature(square(114.0), id="s1", title="一街", **{"in": "d1"}),
            feature(square(114.1), id="s2", title="二街", **{"in": "d1"}),
            feature(square(114.2), id="s2", title="again", **{"in": "d1"}),
            feature(square(114.3), id="s4", title="lost", **{"in": "d9"}),
            feature({"type": "Point", "coordinates": [114, 30]}, id="s5", title="point", **{"in": "d1"}),
            feature({"type": "Polygon", "coordinates": "?"}, id="s6", title="broken", **{"in": "d1"}),
            {"type": "Feature", "geometry": None},
        ],
        "houses": [
            feature(square(114.02, 0.001), ref="b1", levels=3, name="甲\n楼"),
            feature(square(114.12, 0.001), ref="b2", levels="many", name="乙楼"),
            feature(square(114.12, 0.001), ref="b3", levels=7, name="丙楼"),
        ],
        "parks": [feature(square(114.05, 0.01), name="东园")],
    }
    for name, features in collections.items():
        document = {"type": "FeatureCollection", "features": features}
        (folder / f"{name}.geojson").write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    (folder / "districts.csv").write_text("code,name\nd1,一区\n,nameless\nd1,twice\n", "utf-8")
    x, y = shifted((114.05, 30.05))[0]
    rows = (f"g1,rain_gauge,{x},{y},60", "g2,rain_gauge,1,2,60", f"g3,rain_gauge,{x},{y},never", f"g4,,{x},{y},60")
    gauges = "\n".join(("no,type,x,y,every", *rows, ""))
    (folder / "gauges.csv").write_text(gauges, "utf-8")
    (folder / "days.csv").write_text("date,working,name\n2026-10-01,0,国庆节\n", "utf-8")
    (folder / "import.toml").write_text(manifest, "utf-8")
    return folder / "import.toml"


def test_good_rows_become_a_pack_and_bad_ones_are_told(tmp_path: Path) -> None:
    report = import_city(write(tmp_path / "in"), tmp_path / "out")
    told = sorted((p.file, p.line, p.field) for p in report.problems)
    assert told == [
        ("districts.csv", 3, "code"),
        ("districts.csv", 4, "code"),
        ("gauges.csv", 3, "lon"),
        ("gauges.csv", 4, "period_s"),
        ("gauges.csv", 5, "device_kind"),
        ("houses.geojson", 2, "storeys"),
        ("streets.geojson", 3, "code"),
        ("streets.geojson", 4, "parent"),
        ("streets.geojson", 5, "geometry"),
        ("streets.geojson", 6, "geometry"),
        ("streets.geojson", 7, "properties"),
    ]
    assert all(p.reason for p in report.problems)
    assert dict(report.rows) == {
        "scopes.csv": 4, "layers/parks.geojson": 1, "entities/device_1.csv": 1, "entities/building_2.csv": 2,
    }  # fmt: skip
    assert any("gauges.csv:4: period_s: never is no number" in line for line in report.lines())


def test_the_pack_loads_clean_in_cgcs2000(tmp_path: Path) -> None:
    report = import_city(write(tmp_path / "in"), tmp_path / "out")
    city = load_city(tmp_path / "out")
    assert city.problems == []
    assert city.edition == report.edition
    assert city.title == {"zh": "港市", "en": "Port"}
    assert city.calendar.working("2026-10-01") is False
    assert city.calendar.working("2026-10-03") is True
    street = city.polygon(city.scopes.row("s1"))
    assert np.allclose(street.bounds, (114.0, 30.0, 114.1, 30.1), atol=1e-6)
    assert city.polygon(city.scopes.row("d1")).area == pytest.approx(0.02, rel=1e-4)
    e = city.entities
    assert city.scopes.code[int(e.scope[e.row("g1")])] == "s1~~"
    assert (round(float(e.lon[e.row("g1")]), 6), round(float(e.lat[e.row("g1")]), 6)) == (114.05, 30.05)
    assert city.scopes.code[int(e.scope[e.row("b3")])] == "s2~~"
    assert e.name(e.row("b1")) == "甲 楼"
    parks = json.loads(city.layer("parks"))
    assert parks["licence"] == "CC0"
    assert np.allclose(parks["features"][0]["geometry"]["coordinates"][0][0], [114.05, 30.0], atol=1e-5)
    assert [f["properties"]["code"] for f in json.loads(city.layer("streets"))["features"]] == ["s1", "s2"]


def test_an_import_is_the_same_twice(tmp_path: Path) -> None:
    source = write(tmp_path / "in")
    assert import_city(source, tmp_path / "a").edition == import_city(source, tmp_path / "b").edition


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("GCJ-02", "MOON"), "MOON"),
        (('level = "street"', 'level = "orbit"'), "level"),
        (('kind = "device"', 'kind = "robot"'), "no kind robot"),
        (('name = "port"\n', ""), "name is missing"),
        (("[[scopes]]", "[[scopes]"), "import.toml"),
    ],
)
def test_a_bad_manifest_makes_nothing(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    source = write(tmp_path / "in", MANIFEST.replace(*change))
    with pytest.raises(PackError, match=says):
        import_city(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_and_a_missing_manifest_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in")
    with pytest.raises(PackError, match="is not empty"):
        import_city(source, tmp_path / "in")
    with pytest.raises(PackError, match=r"none\.toml"):
        import_city(tmp_path / "none.toml", tmp_path / "out")


def test_missing_files_are_told(tmp_path: Path) -> None:
    source = write(tmp_path / "in")
    for name in ("gauges.csv", "parks.geojson", "days.csv"):
        (source.parent / name).unlink()
    report = import_city(source, tmp_path / "out")
    assert {p.file for p in report.problems if p.reason == "the file is missing"} == {
        "gauges.csv",
        "parks.geojson",
        "days.csv",
    }
    assert load_city(tmp_path / "out").entities.n == 2
