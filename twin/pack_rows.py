"""Rows of a city pack: scopes and entities from CSV, checked field by field; a bad row is reported and left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin.geo.scopes import GRID, ScopeTree
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Int32, Strings
from citytwin.models.entities import KINDS, EntityKind, validate
from citytwin.models.vocabulary import Field, Kind
from citytwin.twin.entities import Entities
from citytwin.twin.pack_files import PackFiles
from citytwin.twin.pack_manifest import to_inside

if TYPE_CHECKING:
    from citytwin.twin.pack import City

_TRUE = {"1": 1, "0": 0, "true": 1, "false": 0, "": -1}
Cells = Sequence[str]
#: Notes a bad cell: index of the row, name of the field, reason.
Report = Callable[[int, str, str], None]


def read_scopes(files: PackFiles, manifest: Mapping[str, Any]) -> ScopeTree:
    """The scope tree of the file that `[scopes]` names, columns code, name, parent and if given name_en, synthetic.

    Children may stand before their parents. Rows whose parent is unknown are reported.
    """
    tree = ScopeTree()
    name = str(manifest.get("scopes", {}).get("file", "scopes.csv"))
    waiting = list(files.rows(name, ("code", "name", "parent")))
    while waiting:
        later = []
        for line, row in waiting:
            parent = tree.row(row["parent"]) if row["parent"] else -1
            if parent < 0 and row["parent"]:
                later.append((line, row))
                continue
            try:
                tree.add(row["code"], row["name"] or row["code"], parent, name_en=row.get("name_en", ""),
                         synthetic=row.get("synthetic", "") in ("1", "true"))  # fmt: skip
            except ValueError as error:
                files.report(name, line, "code", str(error))
        if len(later) == len(waiting):
            for line, row in later:
                files.report(name, line, "parent", f"no scope {row['parent']}")
            break
        waiting = later
    return tree


def read_entities(city: City) -> Entities:
    """All entities of the pack, kinds in the order of the manifest."""
    entities = Entities()
    for entry in city.manifest.get("entities", ()):
        _Reader(city, entities, KINDS[entry["kind"]], entry).read()
    return entities


class _Reader:
    """One entities file."""

    def __init__(self, city: City, entities: Entities, kind: EntityKind, entry: Mapping[str, Any]) -> None:
        self.city, self.entities, self.kind, self.entry = city, entities, kind, entry
        self.file = str(entry["file"])
        self.lines: list[int] = []
        self.bad: Bool = np.zeros(0, np.bool_)

    def report(self, index: int, name: str, reason: str) -> None:
        """Leave a row out; its first bad field is the one that is told."""
        if not self.bad[index]:
            self.bad[index] = True
            self.city.files.report(self.file, self.lines[index], name, reason)

    def read(self) -> None:
        """Take all good rows of the file."""
        names: Mapping[str, str] = self.entry.get("columns", {})
        head, self.lines, rows = self.city.files.table(self.file, (names.get("code", "code"),))
        if not rows:
            return
        self.bad = np.zeros(len(rows), np.bool_)
        raw = dict(zip(head, zip(*rows, strict=True), strict=True))
        cells = {want: raw[have] for want, have in names.items() if have in raw}
        cells |= {have: raw[have] for have in head if have not in names.values()}
        for name, value in self.entry.get("defaults", {}).items():
            cells.setdefault(name, (str(int(value) if isinstance(value, bool) else value),) * len(rows))
        lon, lat = self._place(cells, len(rows))
        columns = {n: self._column(n, c) for n, c in cells.items() if n not in ("code", "scope", "lon", "lat")}
        attrs = {n: c for n, c in columns.items() if c is not None}
        self._check(Strings.of(cells["code"]), attrs)
        self._store(cells, self._scope(cells, lon, lat), lon, lat, attrs)

    def _store(
        self, cells: Mapping[str, Cells], scope: Int32, lon: Float64, lat: Float64, attrs: dict[str, Any]
    ) -> None:
        codes = Strings.of(cells["code"])
        if "grid" in self.kind.relations and "grid" not in attrs:
            at_grid = (scope >= 0) & (self.city.scopes.level[scope] == GRID) & ~self.city.scopes.unlocated[scope]
            attrs["grid"] = Strings.of(
                [self.city.scopes.code[s] if g else "" for s, g in zip(scope.tolist(), at_grid.tolist(), strict=True)]
            )
        good = np.flatnonzero(~self.bad)
        since = np.full(len(good), _day(str(self.city.manifest.get("valid_from", "1970-01-01"))), np.int64)
        part = {n: (c.take(good) if isinstance(c, Strings | Coded) else c[good]) for n, c in attrs.items()}
        kept = self.entities.upsert(self.kind.name, codes.take(good), scope[good], lon[good], lat[good], part, since)
        for index in good[kept < 0].tolist():
            self.report(index, "code", f"{codes[index]} is the code of another kind of entity")

    def _check(self, codes: Strings, columns: Mapping[str, Column]) -> None:
        """Tell rows that break a rule of the kind, and codes that stand twice in the file."""
        for index, name, _, reason in validate(self.kind.name, codes, columns):
            self.report(index, name, reason)
        seen: set[str] = set()
        for index, code in enumerate(codes.tolist()):
            if code in seen:
                self.report(index, "code", f"{code} stands in the file before")
            seen.add(code)

    def _place(self, cells: Mapping[str, Cells], n: int) -> tuple[Float64, Float64]:
        empty = ("",) * n
        x = _numbers("lon", cells.get("lon", empty), self.report)
        y = _numbers("lat", cells.get("lat", empty), self.report)
        for i in np.flatnonzero(np.isnan(x) != np.isnan(y)).tolist():
            self.report(i, "lat" if np.isnan(y[i]) else "lon", "a place needs both lon and lat")
        lon, lat = to_inside(x, y, str(self.entry.get("crs", self.city.crs)))
        for i in np.flatnonzero((np.abs(lon) > 180) | (np.abs(lat) > 90)).tolist():
            self.report(i, "lon", "the place is not on the Earth; check the crs and the order of lon and lat")
        return lon, lat

    def _scope(self, cells: Mapping[str, Cells], lon: Float64, lat: Float64) -> Int32:
        """Grid rows: of the named scope, else of the place, else of what has no place in the city."""
        tree = self.city.scopes
        named = cells.get("scope", ("",) * len(lon))
        rows = tree.rows_of(Strings.of(named))
        for i in np.flatnonzero(rows < 0).tolist():
            if named[i]:
                self.report(i, "scope", f"no scope {named[i]}")
        asked = np.flatnonzero((rows < 0) & ~np.isnan(lon))
        if len(asked) and self.city.levels_with_geometry():
            rows[asked] = self.city.locator.locate(lon[asked], lat[asked])
            for i in asked[rows[asked] < 0].tolist():
                self.report(i, "lon", "the place is outside the city")
        rows[rows < 0] = 0
        leaf = {int(r): tree.unlocated_child(int(r)) for r in np.unique(rows)}
        return np.array([leaf[r] for r in rows.tolist()], np.int32)

    def _column(self, name: str, cells: Cells) -> Column | None:
        if name in self.kind.relations:
            return Strings.of(cells)
        item = self.kind.field(name)
        if item is None:
            self.city.files.report(
                self.file, 1, name, f"a {self.kind.name} has no attribute {name}; the column is ignored"
            )
            return None
        return parse(item, cells, self.report)


def parse(item: Field, cells: Cells, report: Report) -> Column:
    """Cells of one column in the form in which batches hold the field; "" is missing, unreadable ones are reported."""
    if item.kind is Kind.NUMBER:
        return _numbers(item.name, cells, report)
    if item.kind is Kind.INTEGER:
        real = _numbers(item.name, cells, report)
        for i in np.flatnonzero((real != np.rint(real)) & ~np.isnan(real) | (np.abs(real) > 2**53)).tolist():
            report(i, item.name, f"{cells[i][:40]} is no whole number")
            real[i] = np.nan
        return np.where(np.isnan(real), MISSING, np.nan_to_num(real)).astype(np.int64)
    if item.kind is Kind.FLAG:
        return np.array([_known(_TRUE, c, i, item, report) for i, c in enumerate(cells)], np.int8)
    if item.kind is Kind.TIME:
        return np.array([_time(c, i, item, report) for i, c in enumerate(cells)], np.int64)
    return Coded.of([c or None for c in cells]) if item.kind is Kind.CODE else Strings.of(cells)


def _numbers(name: str, cells: Cells, report: Report) -> Float64:
    """Finite numbers (float64[n]), NaN where missing or bad."""
    try:
        out = np.array([float(c) if c else np.nan for c in cells], np.float64)
    except ValueError:
        out = np.array([_float(c, i, name, report) for i, c in enumerate(cells)], np.float64)
    for i in [i for i in np.flatnonzero(~np.isfinite(out)).tolist() if cells[i]]:
        report(i, name, f"{cells[i][:40]} is no finite number")
        out[i] = np.nan
    return out


def _float(cell: str, index: int, name: str, report: Report) -> float:
    try:
        return float(cell) if cell else float("nan")
    except ValueError:
        report(index, name, f"{cell[:40]} is no number")
        return float("nan")


def _known(table: Mapping[str, int], cell: str, index: int, item: Field, report: Report) -> int:
    value = table.get(cell.lower())
    if value is None:
        report(index, item.name, f"{cell[:40]} is not 1, 0, true or false")
    return -1 if value is None else value


def _time(cell: str, index: int, item: Field, report: Report) -> int:
    try:
        return _day(cell) if cell else MISSING
    except ValueError:
        report(index, item.name, f"{cell[:40]} is no ISO date or time")
        return MISSING


def _day(text: str) -> int:
    """ms UTC of an ISO date or time; one without an offset is taken as UTC."""
    when = datetime.fromisoformat(text)
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
