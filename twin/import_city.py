"""Make a city pack of GeoJSON and CSV files: what `citytwin city import` does.

The manifest of an import is that of a pack, but `[[scopes]]` is a list of files, coarse to fine, each with a `level`;
scopes and entities come from CSV or GeoJSON, with `columns` naming the column or property of each attribute.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from citytwin.geo.scopes import LEVELS
from citytwin.twin.pack import load_city
from citytwin.twin.pack_files import PackFiles, Problem
from citytwin.twin.pack_layers import moved
from citytwin.twin.pack_manifest import FORMAT, PackError, dump, parse_manifest

#: What may be copied into a pack beside the rows.
_PLAIN = ("name", "title", "timezone", "grid_scheme", "valid_from", "calendar", "sources")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import made: the pack's folder, rows taken by file, what was left out, and the edition."""

    folder: Path
    rows: Mapping[str, int]
    problems: Sequence[Problem]
    edition: str

    def lines(self) -> list[str]:
        """The report as lines for people."""
        taken = [f"{name}: {count} rows" for name, count in self.rows.items()]
        return [*taken, *map(str, self.problems), f"{self.folder}: edition {self.edition[:12]}"]


def import_city(manifest: str | Path, out: str | Path) -> ImportReport:
    """Read an import manifest and write a pack below `out`, which must not exist or be empty.

    Bad rows are left out and told by file, line (of CSV; number of the feature in GeoJSON), field and reason. Raises
    PackError where nothing can be made: a bad manifest, no city, a folder that is in use.
    """
    path, folder = Path(manifest), Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise PackError(f"{folder} is not empty; name a new folder")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise PackError(f"{path}: {error}") from error
    work = _Import(PackFiles(path.parent), parse_manifest(text, str(path), need_scopes=False), folder)
    created = not folder.exists()
    try:
        return work.run()
    except PackError:
        if created:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@dataclass(slots=True)
class _Import:
    files: PackFiles
    manifest: Mapping[str, Any]
    out: Path
    rows: dict[str, int] = field(default_factory=dict)
    #: Code to (name, name_en, parent, synthetic), level by level.
    scopes: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    level_of: dict[str, int] = field(default_factory=dict)

    def run(self) -> ImportReport:
        """Write the pack, load it, and write it again without the rows that the loader refused."""
        self.out.mkdir(parents=True, exist_ok=True)
        made: dict[str, Any] = {"format": FORMAT, "crs": "EPSG:4490"}
        made |= {key: self.manifest[key] for key in _PLAIN if key in self.manifest}
        made["geometry"] = list(self._scopes())
        made["scopes"] = {"file": "scopes.csv"}
        made["entities"], origin = self._entities()
        made["layers"] = list(self._layers())
        calendar = made.get("calendar", {}).get("file")
        if calendar is not None and (text := self.files.attempt(str(calendar))) is not None:
            self._write("calendar.csv", text.encode())
            made["calendar"] = {**made["calendar"], "file": "calendar.csv"}
        self._write("city.toml", dump({k: v for k, v in made.items() if v}).encode())
        return self._settle(origin)

    def _settle(self, origin: Mapping[str, tuple[str, list[int]]]) -> ImportReport:
        found = load_city(self.out)
        bad: dict[str, set[int]] = {}
        for problem in found.problems:
            name, lines = origin.get(problem.file, (problem.file, []))
            at = lines[problem.line - 2] if 2 <= problem.line < len(lines) + 2 else problem.line
            self.files.report(name, at, problem.field, problem.reason)
            if problem.file in origin and problem.line >= 2:
                bad.setdefault(problem.file, set()).add(problem.line)
        for name, (_, lines) in origin.items():
            self.rows[name] = len(lines) - len(bad.get(name, ()))
        for name, drop in bad.items():
            kept = [row for i, row in enumerate(_read(self.out / name), 1) if i not in drop]
            self._write(name, _csv(kept))
        edition = load_city(self.out).edition if bad else found.edition
        return ImportReport(self.out, self.rows, self.files.problems, edition)

    def _scopes(self) -> Iterator[dict[str, Any]]:
        """Write scopes and their geometry; yields the entries of [[geometry]]."""
        entries = self.manifest.get("scopes", [])
        if not isinstance(entries, list) or any(e.get("level") not in LEVELS or "file" not in e for e in entries):
            raise PackError(f"[[scopes]] needs file and a level, one of {', '.join(LEVELS)}")
        city = str(self.manifest.get("code", self.manifest["name"]))
        title = self.manifest.get("title", {})
        self.scopes[city] = (title.get("zh", city), title.get("en", city), "", "0")
        self.level_of[city] = 0
        for entry in sorted(entries, key=lambda e: LEVELS.index(e["level"])):
            shapes = self._level(entry, city)
            if shapes:
                name = f"geometry/{entry['level']}.geojson"
                features = [_feature(shape, {"code": code}) for code, shape in shapes.items()]
                self._write(name, _geojson(features))
                yield {"level": entry["level"], "file": name, **_about(entry)}
        self._write("scopes.csv", _csv([
            ["code", "name", "name_en", "parent", "synthetic"], *([code, *row] for code, row in self.scopes.items())
        ]))  # fmt: skip
        self.rows["scopes.csv"] = len(self.scopes)

    def _level(self, entry: Mapping[str, Any], city: str) -> dict[str, Any]:
        """Take the scopes of one file; returns polygons by code."""
        shapes: dict[str, Any] = {}
        level, file, names = LEVELS.index(entry["level"]), str(entry["file"]), entry.get("columns", {})
        for line, row, shape in self._records(file, (names.get("code", "code"),)):
            get = {want: str(row.get(names.get(want, want)) or "") for want in ("code", "name", "name_en", "parent")}
            code, parent = get["code"], get["parent"] or city
            fault = self._scope_fault(code, parent, level, shape)
            if fault:
                self.files.report(file, line, *fault)
                continue
            self.scopes[code] = (get["name"] or code, get["name_en"], parent, str(int(bool(entry.get("synthetic")))))
            self.level_of[code] = level
            if shape is not None:
                shapes[code] = _mended(moved(shape, str(entry.get("crs", self.manifest.get("crs", "EPSG:4490")))))
        return shapes

    def _scope_fault(self, code: str, parent: str, level: int, shape: Any) -> tuple[str, str] | None:
        if not code:
            return "code", "the code is empty"
        if code in self.scopes:
            return "code", f"{code} is used twice"
        if self.level_of.get(parent) != level - 1:
            return "parent", f"{parent} is no {LEVELS[level - 1]}"
        if shape is not None and shape.geom_type not in ("Polygon", "MultiPolygon"):
            return "geometry", f"a scope needs a polygon, this is a {shape.geom_type}"
        return None

    def _records(self, file: str, needs: Sequence[str]) -> Iterator[tuple[int, dict[str, Any], Any]]:
        """(line or number of the feature, properties, geometry or None) of a CSV or GeoJSON file."""
        if not file.removesuffix(".gz").endswith(("json", "geojson")):
            yield from ((line, row, None) for line, row in self.files.rows(file, needs))
            return
        document = self.files.json(file)
        features = document.get("features") if isinstance(document, dict) else None
        if document is not None and not isinstance(features, list):
            self.files.report(file, 0, "features", "no FeatureCollection")
        for number, item in enumerate(features or [], 1):
            known = item if isinstance(item, dict) else {}
            try:
                shape = shapely.from_geojson(json.dumps(known["geometry"])) if known.get("geometry") else None
            except shapely.errors.GEOSException:
                self.files.report(file, number, "geometry", "no readable geometry")
                continue
            if isinstance(known.get("properties"), dict):
                yield number, known["properties"], shape
            else:
                self.files.report(file, number, "properties", "the feature has no properties")

    def _entities(self) -> tuple[list[dict[str, Any]], dict[str, tuple[str, list[int]]]]:
        """Entries of [[entities]], and for each written file where it comes from and the line of each row."""
        entries, origin = [], {}
        for number, entry in enumerate(self.manifest.get("entities", ()), 1):
            names, source = entry.get("columns", {}), str(entry["file"])
            name = f"entities/{entry['kind']}_{number}.csv"
            head: list[str] = []
            table: list[list[str]] = []
            lines: list[int] = []
            for line, row, shape in self._records(source, (names.get("code", "code"),)):
                wanted = _renamed(row, names)
                if shape is not None:
                    wanted |= dict(zip(("lon", "lat"), _middle(shape), strict=True))
                head = head or list(wanted)
                table.append([_cell(wanted.get(column)) for column in head])
                lines.append(line)
            self._write(name, _csv([head or ["code"], *table]))
            about = {k: entry[k] for k in ("defaults", "crs") if k in entry}
            entries.append({"kind": entry["kind"], "file": name, "crs": self._crs(), **about, **_about(entry)})
            origin[name] = (source, lines)
        return entries, origin

    def _crs(self) -> str:
        return str(self.manifest.get("crs", "EPSG:4490"))

    def _layers(self) -> Iterator[dict[str, Any]]:
        for entry in self.manifest.get("layers", ()):
            found = [
                _feature(moved(shape, str(entry.get("crs", self._crs()))), row)
                for _, row, shape in self._records(str(entry["file"]), ())
                if shape is not None
            ]
            name = f"layers/{entry['name']}.geojson"
            self._write(name, _geojson(found))
            self.rows[name] = len(found)
            title = {"title": entry["title"]} if "title" in entry else {}
            yield {"name": entry["name"], "file": name, **title, **_about(entry)}

    def _write(self, name: str, data: bytes) -> None:
        target = self.out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _about(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: entry[k] for k in ("licence", "attribution", "source", "synthetic") if k in entry}


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Properties by the names of attributes; where names are given, only those are taken."""
    return {want: row.get(have) for want, have in names.items()} if names else dict(row)


def _middle(shape: Any) -> tuple[float, float]:
    point = shapely.point_on_surface(shape)
    return float(point.x), float(point.y)


def _mended(shape: Any) -> Any:
    return shape if shape.is_valid else shapely.buffer(shape, 0)


def _feature(shape: Any, properties: Mapping[str, Any]) -> dict[str, Any]:
    rounded = shapely.transform(shape, lambda points: np.round(points, 7))
    return {"type": "Feature", "properties": properties, "geometry": json.loads(shapely.to_geojson(rounded))}


def _geojson(features: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False).encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    # A row must stay a line, so that the loader's line numbers lead back to the source.
    return str(int(value)) if isinstance(value, bool) else " ".join(str(value).splitlines())


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def _read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
