"""Batches from columns of raw values: the same checks as the law in `streams.rules`, a column at a time.

`build` gives a batch of all rows and a mask of those that are clearly good; the others must go to the law, which tells
the reason or takes them after all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Int64, Strings, UInt8
from citytwin.models.vocabulary import EventType, Field, Kind
from citytwin.streams import convert
from citytwin.streams.convert import HERE, NONE
from citytwin.streams.rules import ENVELOPE_BYTES, Rules, convert_crs
from citytwin.streams.secrets import keyed_hash

_WHOLE_MAX = 2**53


class Cells(Protocol):
    """One column of raw values; each reading comes with a state a row (uint8: NONE, HERE, BAD)."""

    def floats(self) -> tuple[Float64, UInt8]: ...
    def integers(self) -> tuple[Int64, UInt8]: ...
    def times(self) -> tuple[Int64, UInt8]: ...
    def flags(self) -> tuple[NDArray[np.int8], UInt8]: ...
    def codes(self) -> tuple[Coded, UInt8]: ...
    def texts(self) -> tuple[Strings, UInt8]: ...


class Absent:
    """A column that holds nothing."""

    def __init__(self, n: int) -> None:
        self._n, self._state = n, np.zeros(n, np.uint8)

    def floats(self) -> tuple[Float64, UInt8]:
        """NaN."""
        return np.full(self._n, np.nan), self._state

    def integers(self) -> tuple[Int64, UInt8]:
        """MISSING."""
        return np.full(self._n, MISSING, np.int64), self._state

    times = integers

    def flags(self) -> tuple[NDArray[np.int8], UInt8]:
        """-1."""
        return np.full(self._n, -1, np.int8), self._state

    def codes(self) -> tuple[Coded, UInt8]:
        """-1."""
        return Coded(np.full(self._n, -1, np.int32), ()), self._state

    def texts(self) -> tuple[Strings, UInt8]:
        """Empty texts."""
        return Strings.empty(self._n), self._state


class Columns:
    """Cells by name; a name that is not there is absent in all rows."""

    def __init__(self, cells: Mapping[str, Cells], n: int) -> None:
        self._cells, self.n, self._absent = cells, n, Absent(n)

    def __getitem__(self, name: str) -> Cells:
        return self._cells.get(name, self._absent)

    def __contains__(self, name: str) -> bool:
        return name in self._cells


def build(event: EventType, envelope: Columns, data: Columns, rules: Rules) -> tuple[EventBatch, Bool]:
    """A batch of all rows of one type, and the mask of the rows that may be taken as they are."""
    n = envelope.n
    ok = np.ones(n, np.bool_)
    time, state = envelope["time"].times()
    ok &= state == HERE
    source = _code(envelope["source"], ENVELOPE_BYTES["source"], (), ok)
    ok &= source.codes >= 0
    text = {name: _text(envelope[name], ENVELOPE_BYTES[name], ok) for name in ("id", "subject", "gridid")}
    ok &= text["id"].lengths() > 0
    _plain(envelope, ok)
    lon, lat = _place(event, envelope, data, rules, ok)
    fields = _fields(event, data, rules, ok)
    none = np.zeros(n, np.int32), np.zeros(n, np.bool_)
    batch = EventBatch(
        event.name, time, source, text["id"], text["subject"], lon, lat, text["gridid"], Strings.empty(n), *none, fields
    )
    return batch, ok


def _plain(envelope: Columns, ok: Bool) -> None:
    """Corrections are few: the law reads them."""
    for name in ("corrects", "revision", "retracted"):
        if name in envelope:
            ok &= envelope[name].texts()[1] == NONE


def _code(cells: Cells, most: int, choices: tuple[str, ...], ok: Bool) -> Coded:
    column, state = cells.codes()
    good = [len(n) * 4 <= most or len(n.encode()) <= most for n in column.names]
    if choices:
        good = [g and n in choices for g, n in zip(good, column.names, strict=True)]
    ok &= (state == NONE) | ((state == HERE) & np.array([*good, True])[column.codes])
    return column


def _text(cells: Cells, most: int, ok: Bool) -> Strings:
    column, state = cells.texts()
    ok &= (state <= HERE) & (column.lengths() <= most)
    return column


def _place(event: EventType, envelope: Columns, data: Columns, rules: Rules, ok: Bool) -> tuple[Float64, Float64]:
    """lon and lat in CGCS2000 degrees, NaN where there is none."""
    (lon, lon_state), (lat, lat_state) = envelope["lon"].floats(), envelope["lat"].floats()
    known = {f.name for f in event.fields}
    inner = [n for n in ("lon", "lat") if n in data and n not in known]
    if inner:
        nowhere = (lon_state == NONE) & (lat_state == NONE)
        for name in inner:
            value, state = data[name].floats()
            outer, outer_state = (lon, lon_state) if name == "lon" else (lat, lat_state)
            outer[nowhere], outer_state[nowhere] = value[nowhere], state[nowhere]
    if "crs" in envelope:
        lon, lat = _converted(envelope["crs"], lon, lat, ok)
    inside = (np.abs(lon) <= 180) & (np.abs(lat) <= 90)
    if rules.box:
        x0, y0, x1, y1 = rules.box
        inside &= (lon >= x0) & (lon <= x1) & (lat >= y0) & (lat <= y1)
    ok &= (lon_state == lat_state) & ((lon_state == NONE) | ((lon_state == HERE) & inside))
    return lon, lat


def _converted(cells: Cells, lon: Float64, lat: Float64, ok: Bool) -> tuple[Float64, Float64]:
    """Degrees of the declared systems; places off the globe are left to the law."""
    systems, state = cells.codes()
    ok &= state <= HERE
    for code, name in enumerate(systems.names):
        rows = np.flatnonzero(systems.codes == code)
        if name in ("gcj02", "bd09"):
            ok[rows] &= ~((np.abs(lon[rows]) > 180) | (np.abs(lat[rows]) > 90))
            rows = rows[ok[rows] & np.isfinite(lon[rows]) & np.isfinite(lat[rows])]
            lon[rows], lat[rows] = convert_crs(lon[rows], lat[rows], name)
        elif name not in ("cgcs2000", "wgs84"):
            ok[rows] = False
    return lon, lat


def _fields(event: EventType, data: Columns, rules: Rules, ok: Bool) -> dict[str, Column]:
    fields: dict[str, Column] = {}
    for f in event.fields:
        fields[f.name] = column = _field(f, data, rules, event.name == "obs", ok)
        if f.required:
            ok &= _known(column)
    if event.name == "obs":
        _check_units(fields, rules, ok)
    return fields


def _known(column: Column) -> Bool:
    if isinstance(column, Strings):
        return column.lengths() > 0
    if isinstance(column, Coded):
        return np.asarray(column.codes >= 0)
    return np.asarray(column >= 0 if column.dtype == np.int8 else column != MISSING)


def _field(f: Field, data: Columns, rules: Rules, observed: bool, ok: Bool) -> Column:
    cells = data[f.name]
    lo, hi = -np.inf if f.lo is None else f.lo, np.inf if f.hi is None else f.hi
    if f.kind is Kind.NUMBER:
        value, state = cells.floats()
        if observed and f.name == "value":
            return _observed(value, state, data["property"], rules, ok)
        return convert.scale(value, state, f.per_unit, lo, hi, ok)
    if f.kind is Kind.INTEGER or f.kind is Kind.TIME:
        whole, state = cells.integers() if f.kind is Kind.INTEGER else cells.times()
        in_range = True if f.kind is Kind.TIME else (whole >= lo) & (whole <= hi) & (np.abs(whole) < _WHOLE_MAX)
        ok &= (state == NONE) | ((state == HERE) & in_range)
        return whole
    if f.kind is Kind.FLAG:
        flag, state = cells.flags()
        ok &= state <= HERE
        return flag
    if f.kind is Kind.CODE:
        return _filled(_code(cells, f.max_bytes, f.choices, ok), f.default)
    text = _text(cells, f.max_bytes, ok)
    return (
        Strings.of([keyed_hash(rules.secret, t) if t else "" for t in text.tolist()]) if f.kind is Kind.SECRET else text
    )


def _filled(column: Coded, default: str) -> Coded:
    """The default where a code is absent."""
    if not default or not (column.codes < 0).any():
        return column
    names = column.names if default in column.names else (*column.names, default)
    return Coded(np.where(column.codes < 0, names.index(default), column.codes).astype(np.int32), names)


def _observed(value: Float64, state: UInt8, cells: Cells, rules: Rules, ok: Bool) -> Int64:
    """`obs.value` in the steps of each row's property; rows of an unknown one are left to the law."""
    properties, _ = cells.codes()
    known = [rules.vocabulary.properties.get(n) for n in properties.names]
    ok &= np.array([*(p is not None for p in known), False])[properties.codes]
    limits = [(p.per_unit, p.lo, p.hi) if p else (1, 0, 0) for p in known] + [(1, 0, 0)]
    per_unit, lo, hi = np.array(limits, np.float64)[properties.codes].T
    return convert.scale(
        value, state, np.ascontiguousarray(per_unit), np.ascontiguousarray(lo), np.ascontiguousarray(hi), ok
    )


def _check_units(fields: Mapping[str, Column], rules: Rules, ok: Bool) -> None:
    """A told unit must be spelled as the vocabulary does; other spellings are left to the law."""
    names, units = fields.get("property"), fields.get("unit")
    if not isinstance(names, Coded) or not isinstance(units, Coded) or not units.names:
        return
    wanted = [rules.vocabulary.properties[n].unit if n in rules.vocabulary.properties else None for n in names.names]
    number = {u: i for i, u in enumerate(units.names)}
    table = np.array([*(number.get(w, -2) if w is not None else -2 for w in wanted), -2], np.int32)
    ok &= (units.codes < 0) | (units.codes == table[names.codes])
