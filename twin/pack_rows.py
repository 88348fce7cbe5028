"""Rows of a city pack: scopes and entities from CSV, checked field by field; a bad row is reported and left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin.geo.scopes import GRID, ScopeTree
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Int32, Strings
from citytwin.models.entities import KINDS, EntityKind
from citytwin.models.vocabulary import Field, Kind
from citytwin.twin.entities import Entities
from citytwin.twin.pack_files import PackFiles

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
        kind = KINDS.get(str(entry.get("kind")))
        if kind is None:
            city.files.report(
                "city.toml", 0, "entities.kind", f"no kind {entry.get('kind')}; there are {', '.join(KINDS)}"
            )
        else:
            _Reader(city, entities, kind, entry).read()
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
        self._check_codes(cells["code"])
        lon, lat = self._place(cells, len(rows))
        columns = {n: self._column(n, c) for n, c in cells.items() if n not in ("code", "scope", "lon", "lat")}
        attrs = {n: c for n, c in columns.items() if c is not None}
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

    def _check_codes(self, codes: Cells) -> None:
        seen: set[str] = set()
        for i, code in enumerate(codes):
            if not code:
                self.report(i, "code", "the code is empty")
            elif code in seen:
                self.report(i, "code", f"{code} stands in the file before")
            seen.add(code)

    def _place(self, cells: Mapping[str, Cells], n: int) -> tuple[Float64, Float64]:
        empty = ("",) * n
        lon = _numbers("lon", cells.get("lon", empty), Field("lon", Kind.NUMBER, lo=-180, hi=180), self.report)
        lat = _numbers("lat", cells.get("lat", empty), Field("lat", Kind.NUMBER, lo=-90, hi=90), self.report)
        for i in np.flatnonzero(np.isnan(lon) != np.isnan(lat)).tolist():
            self.report(i, "lat" if np.isnan(lat[i]) else "lon", "a place needs both lon and lat")
        return to_inside(lon, lat, str(self.entry.get("crs", self.city.crs)))

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
    """Cells of one column in the stored form of a field; "" is missing, what does not fit is reported."""
    if item.required:
        for i in [i for i, c in enumerate(cells) if not c]:
            report(i, item.name, "the value is required")
    if item.kind is Kind.NUMBER:
        return _numbers(item.name, cells, item, report)
    if item.kind is Kind.INTEGER:
        real = _numbers(item.name, cells, item, report)
        for i in np.flatnonzero(real != np.rint(real)).tolist():
            if not np.isnan(real[i]):
                report(i, item.name, f"{cells[i]} is no whole number")
        return np.where(np.isnan(real), MISSING, np.nan_to_num(np.rint(real))).astype(np.int64)
    if item.kind is Kind.FLAG:
        return np.array([_known(_TRUE, c, i, item, report) for i, c in enumerate(cells)], np.int8)
    if item.kind is Kind.TIME:
        return np.array([_time(c, i, item, report) for i, c in enumerate(cells)], np.int64)
    return _texts(item, cells, report)


def _texts(item: Field, cells: Cells, report: Report) -> Column:
    if item.choices:
        for i in [i for i, c in enumerate(cells) if c and c not in item.choices]:
            report(i, item.name, f"{cells[i]} is none of {', '.join(item.choices)}")
    for i in [i for i, c in enumerate(cells) if len(c) * 4 > item.max_bytes]:
        if len(cells[i].encode()) > item.max_bytes:
            report(i, item.name, f"longer than {item.max_bytes} bytes")
    if item.kind is Kind.SECRET:
        for i in [i for i, c in enumerate(cells) if c and not (len(c) == 32 and set(c) <= set("0123456789abcdef"))]:
            report(i, item.name, "must be a keyed hash of 32 hexadecimal digits, never the plain value")
    return Coded.of([c or None for c in cells]) if item.kind is Kind.CODE else Strings.of(cells)


def _numbers(name: str, cells: Cells, item: Field, report: Report) -> Float64:
    """Finite numbers within the field's range (float64[n]), NaN where missing or bad."""
    try:
        out = np.array([float(c) if c else np.nan for c in cells])
    except ValueError:
        out = np.array([_float(c, i, name, report) for i, c in enumerate(cells)])
    for i in np.flatnonzero(np.isinf(out) | (out < (-np.inf if item.lo is None else item.lo))
                            | (out > (np.inf if item.hi is None else item.hi))).tolist():  # fmt: skip
        report(i, name, f"{cells[i]} is outside {item.lo} to {item.hi}")
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


def to_inside(lon: Float64, lat: Float64, crs: str) -> tuple[Float64, Float64]:
    """Degrees of CGCS2000 from those of `crs`. Raises ValueError for an unknown one."""
    if crs in ("EPSG:4490", "EPSG:4326", "OGC:CRS84"):
        return lon, lat
    from citytwin.geo.crs import to_cgcs2000

    return to_cgcs2000(lon, lat, crs)
