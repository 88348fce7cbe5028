"""Entities of all nine kinds in one space of rows: what is known of each, since when, and what it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int32, Int64, Strings
from citytwin.models.entities import KIND_NUMBER, KINDS, all_fields, all_relations
from citytwin.models.hashing import Allocate, HashIndex, hash_strings
from citytwin.models.vocabulary import Field, Kind
from citytwin.twin.attributes import Input, Plain, Texts, column_of
from citytwin.twin.growable import Grow, GrowText
from citytwin.twin.relations import Relation

_NAMES = tuple(KINDS)
_PLACE = ("lon", "lat")


class Entities:
    """Struct of arrays over all entities; a row is never renumbered or reused.

    `valid_from` is the time of the newest change that counts, `since` that of the oldest, `valid_to` MISSING while the
    entity exists, `recorded` when the newest change became known: int64 ms UTC. Each attribute keeps the value with
    the newest valid_from, whatever order the changes come in; of equal times the one that comes later wins.
    """

    def __init__(self, allocate: Allocate = np.empty) -> None:
        self._allocate = allocate
        self._codes = GrowText(allocate)
        self._index = HashIndex(1024, allocate)
        self._own = {
            "kind": Grow(np.int8, -1, allocate),
            **{name: Grow(np.int64, MISSING, allocate) for name in ("valid_from", "valid_to", "recorded", "since")},
            "base": Grow(np.int64, MISSING, allocate),
        }
        self._dirty = Grow(np.bool_, True, allocate)
        self._fields = {name: _field(name) for name in (*_PLACE, "scope")} | all_fields()
        self._targets = all_relations()
        self._columns: dict[str, Plain] = {}
        self._edges = {name: Grow(np.int64, 0, allocate) for name in ("old", "new", "at")}
        for name in (*_PLACE, "scope"):
            self._column(name)

    def __len__(self) -> int:
        return self.n

    @property
    def n(self) -> int:
        """Number of rows, entities that ended included."""
        return self._own["kind"].n

    @property
    def kind(self) -> NDArray[np.int8]:
        """Number of the kind (int8[n], `models.entities.KIND_NUMBER`)."""
        return self._own["kind"].data

    @property
    def scope(self) -> Int32:
        """Scope row (int32[n]), -1 where none was said."""
        return self._columns["scope"].values.data

    @property
    def lon(self) -> Float64:
        """Longitude, CGCS2000 degrees (float64[n]), NaN without a place."""
        return self._columns["lon"].values.data

    @property
    def lat(self) -> Float64:
        """Latitude, CGCS2000 degrees (float64[n]), NaN without a place."""
        return self._columns["lat"].values.data

    @property
    def valid_from(self) -> Int64:
        """Time of the newest change that counts (int64[n])."""
        return self._own["valid_from"].data

    @property
    def valid_to(self) -> Int64:
        """End of the entity (int64[n]), MISSING while it exists."""
        return self._own["valid_to"].data

    @property
    def recorded(self) -> Int64:
        """When the newest change became known (int64[n])."""
        return self._own["recorded"].data

    @property
    def since(self) -> Int64:
        """Time of the oldest change that was said (int64[n])."""
        return self._own["since"].data

    def row(self, code: str) -> int:
        """Row of the code, -1 if unknown."""
        return int(self.rows_of(Strings.of([code]))[0])

    def rows_of(self, codes: Strings) -> Int32:
        """Rows of the codes, -1 where unknown (int32[n])."""
        return self._index.find(hash_strings(codes)).astype(np.int32)

    def code(self, row: int) -> str:
        """Code of a row."""
        return self._codes.strings[row]

    @property
    def codes(self) -> Strings:
        """Codes of all rows, a view."""
        return self._codes.strings

    def name(self, row: int) -> str:
        """Name of a row, its code if it has none."""
        held = self._columns.get("name")
        return (held.text(row) if isinstance(held, Texts) else "") or self.code(row)

    def attr(self, name: str) -> NDArray[Any] | Coded | Strings:
        """An attribute over all rows, missing where a kind has none; KeyError for a name that no kind has.

        NUMBER float64, INTEGER and TIME int64, FLAG int8, CODE Coded, TEXT Strings (a copy), a relation int32 rows
        (a copy); `kind` is Coded, `valid_from` and the other columns of the class answer too. A view is valid until
        the next upsert.
        """
        if name == "kind":
            return Coded(self.kind.astype(np.int32), _NAMES)
        if name in self._own:
            return self._own[name].data
        column = self._column(name)
        if isinstance(column, Relation):
            column.resolve(self.n)
        return column.view()

    def pointing(self, relation: str, rows: NDArray[np.integer], codes: Strings) -> Int32:
        """Rows whose relation leads to one of the rows, or waits for an entity of one of the codes (int32)."""
        column = self._columns.get(relation)
        if not isinstance(column, Relation):
            return np.zeros(0, np.int32)
        column.resolve(self.n)
        return column.pointing(rows, codes)

    def of_kind(self, kind: str) -> Int32:
        """Rows of a kind in ascending order, those that ended included (int32)."""
        return np.flatnonzero(self.kind == KIND_NUMBER[kind]).astype(np.int32)

    def dirty(self) -> Int64:
        """Rows that are marked as changed; they stay marked."""
        return np.flatnonzero(self._dirty.data)

    def mark(self, rows: NDArray[np.integer]) -> None:
        """Mark these rows as changed, as when what they point to came or went."""
        self._dirty.data[rows] = True

    def only_dirty(self, rows: Int64) -> None:
        """Mark these rows as changed and no others: what a snapshot says, after `from_state`."""
        self._dirty.data[:] = False
        self._dirty.data[rows] = True

    def take_dirty(self) -> Int64:
        """Rows that changed since the last call, in ascending order (int64); all of them after `from_state`."""
        dirty = self._dirty.data
        rows = np.flatnonzero(dirty)
        dirty[rows] = False
        return rows

    def _column(self, name: str) -> Plain:
        column = self._columns.get(name)
        if column is None:
            target = self._targets.get(name)
            if target is not None:
                column = Relation(name, lambda codes: self._rows_of_kind(codes, target), self._allocate)
            else:
                column = column_of(self._fields[name], self._allocate)
                if name == "scope":
                    column.values = Grow(np.int32, -1, self._allocate)
            column.resize(self.n)
            self._columns[name] = column
        return column

    def _rows_of_kind(self, codes: Strings, kind: str) -> Int32:
        rows = self.rows_of(codes)
        if kind:
            rows[rows >= 0] = np.where(self.kind[rows[rows >= 0]] == KIND_NUMBER[kind], rows[rows >= 0], -1)
        return rows

    def upsert(
        self,
        kind: str,
        codes: Strings,
        scope: Int32,
        lon: Float64,
        lat: Float64,
        attrs: Mapping[str, Input],
        valid_from: Int64,
        recorded: Int64 | None = None,
    ) -> Int32:
        """Register or change entities; returns their rows, -1 for an empty code or one that another kind has.

        What is present replaces what is older; absent (missing, NaN, scope -1) leaves it. Relations are given as
        codes. KeyError for an attribute that the kind lacks, TypeError for a column of the wrong form.
        """
        known = KINDS[kind]
        for name in attrs:
            if known.field(name) is None and name not in known.relations:
                raise KeyError(f"a {kind} has no attribute {name}")
        rows = self._intern(codes, KIND_NUMBER[kind], valid_from)
        taken = np.flatnonzero(rows >= 0)
        order = _newest_last(rows[taken], valid_from[taken])
        pick = taken[order]
        self._touch(rows[pick], valid_from[pick], valid_from[pick] if recorded is None else recorded[pick])
        everything: dict[str, Input] = {"scope": scope, "lon": lon, "lat": lat, **attrs}
        for name, values in everything.items():
            column = self._column(name)
            # Read in order of arrival, so that names get the same numbers whatever the cut into batches.
            stored, present = column.read(_taken(values, taken, len(rows)))
            self._assign(column, stored[order], present[order], rows[pick], valid_from[pick])
        return rows

    def _intern(self, codes: Strings, kind: int, valid_from: Int64) -> Int32:
        filled = np.flatnonzero(codes.lengths() > 0)
        given = codes if len(filled) == len(codes) else codes.take(filled)
        keys = hash_strings(given)
        found = self._index.find(keys)
        new = np.flatnonzero(found < 0)
        rows = np.full(len(codes), -1, np.int32)
        rows[filled] = found
        if len(new):
            start = self.n
            found[new], fresh = self._index.intern(keys.take(new), start)
            new = new[fresh]
            self._codes.extend(given.take(new))
            self._dirty.resize(start + len(new))
            for own in self._own.values():
                own.resize(start + len(new))
            for column in self._columns.values():
                column.resize(start + len(new))
            self.kind[start:] = kind
            # The first to arrive, not the oldest: the cut into batches must not show.
            self._own["base"].data[start:] = self.since[start:] = valid_from[filled[new]]
        rows[filled] = np.where(self.kind[found] == kind, found, -1)
        return rows

    def _touch(self, rows: Int32, time: Int64, recorded: Int64) -> None:
        """Rows come sorted by row and time, so that of several changes of a row the newest is written last."""
        newer = (time >= self.valid_from[rows]) & (time != MISSING)
        self.valid_from[rows[newer]] = time[newer]
        self.recorded[rows[newer]] = recorded[newer]
        np.minimum.at(self.since, rows, time)
        back = rows[self.valid_to[rows] < self.valid_from[rows]]
        self.valid_to[back] = MISSING
        self._dirty.data[rows] = True

    def _assign(self, column: Plain, values: NDArray[Any], present: Bool, rows: Int32, time: Int64) -> None:
        if not present.any():
            return
        values, rows, time = values[present], rows[present], time[present]
        last = np.ones(len(rows), np.bool_)
        last[:-1] = rows[1:] != rows[:-1]
        values, rows, time = values[last], rows[last], time[last]
        base = self._own["base"].data[rows]
        wins = ~column.known(rows) | (time >= column.stamps.at(rows, base))
        column.write(rows[wins], values[wins])
        column.stamps.set(rows[wins], time[wins], base[wins])

    def remove(self, codes: Strings, valid_to: Int64, recorded: Int64 | None = None) -> Int32:
        """End entities at a time unless something newer is known of them; returns their rows, -1 where unknown.

        The row stays, its code is not given to another entity; a later upsert of the same code brings it back.
        """
        rows = self.rows_of(codes)
        known = np.flatnonzero(rows >= 0)
        pick = known[_newest_last(rows[known], valid_to[known])]
        ends = pick[valid_to[pick] >= self.valid_from[rows[pick]]]
        ends = ends[valid_to[ends] >= self.valid_to[rows[ends]]]  # MISSING is the least int64
        self.valid_to[rows[ends]] = valid_to[ends]
        self.recorded[rows[ends]] = valid_to[ends] if recorded is None else recorded[ends]
        self._dirty.data[rows[ends]] = True
        return rows

    def alive(self, now: int) -> Bool:
        """Entities that exist at a time, as far as is known now (bool[n])."""
        lives: Bool = (self.since <= now) & ((self.valid_to == MISSING) | (self.valid_to > now))
        return lives

    def succeed(self, old: Int32, new: Int32, at: Int64) -> None:
        """Note that entities (grids as a rule) went over into others: a split is one old with several new, a merge
        the reverse; an edge that is known is not noted twice."""
        seen = set(zip(*(self._edges[k].data.tolist() for k in ("old", "new", "at")), strict=True))
        edges = zip(old.tolist(), new.tolist(), at.tolist(), strict=True)
        fresh = [e for e in dict.fromkeys(edges) if e not in seen]
        for i, name in enumerate(("old", "new", "at")):
            self._edges[name].extend(np.array([e[i] for e in fresh], np.int64))

    def succession(self) -> tuple[Int64, Int64, Int64]:
        """All edges of succession: old rows, new rows, times (int64 each)."""
        return self._edges["old"].data, self._edges["new"].data, self._edges["at"].data

    def state(self) -> dict[str, Any]:
        """Arrays and lists of a snapshot; equal contents in equal rows give equal states."""
        texts = self._codes.strings
        out: dict[str, Any] = {"codes.data": texts.data.copy(), "codes.offsets": texts.offsets.copy()}
        out |= {f"own.{name}": own.data.copy() for name, own in self._own.items()}
        out |= {f"edges.{name}": edge.data.copy() for name, edge in self._edges.items()}
        for name, column in sorted(self._columns.items()):
            if not column.known(np.arange(self.n, dtype=np.int32)).any():
                continue  # a reader may have asked for it: reading must not change the state
            out |= {f"attr.{name}.{part}": value for part, value in column.state().items()}
            stamps = column.stamps.full(self.n)
            if (stamps != MISSING).any():
                out[f"attr.{name}.stamps"] = stamps.copy()
        return out

    @classmethod
    def from_state(cls, state: Mapping[str, Any], allocate: Allocate = np.empty) -> Entities:
        """The entities that `state` was taken of."""
        found = cls(allocate)
        found._codes.load(Strings(state["codes.data"], state["codes.offsets"]))
        found._index.rebuild(hash_strings(found.codes), np.arange(len(found.codes), dtype=np.int64))
        for prefix, grows in (("own", found._own), ("edges", found._edges)):
            for name, grow in grows.items():
                grow.load(state[f"{prefix}.{name}"])
        found._dirty.resize(found.n)
        parts: dict[str, dict[str, Any]] = {}
        for key, value in state.items():
            if key.startswith("attr."):
                _, name, part = key.split(".")
                parts.setdefault(name, {})[part] = value
        for column in found._columns.values():
            column.resize(found.n)
        for name, held in parts.items():
            column = found._column(name)
            column.load(held)
            if "stamps" in held:
                column.stamps.times = Grow(np.int64, MISSING, allocate)
                column.stamps.times.load(held["stamps"])
        return found

    def nbytes(self) -> dict[str, int]:
        """Bytes of the filled parts by column, and of the index (a copy is made: for reports)."""
        return {"index": self._index.nbytes()} | {
            key: value.nbytes for key, value in self.state().items() if isinstance(value, np.ndarray)
        }


def _field(name: str) -> Field:
    return Field(name, Kind.INTEGER if name == "scope" else Kind.NUMBER)


def _newest_last(rows: Int32, time: Int64) -> Int64:
    """Order by row, then time, then arrival."""
    if (rows[1:] > rows[:-1]).all():
        return np.arange(len(rows), dtype=np.int64)
    return np.lexsort((time, rows))


def _taken(values: Input, pick: Int64, n: int) -> Input:
    if len(values) != n:
        raise ValueError(f"a column has {len(values)} rows, the codes have {n}")
    if len(pick) == n:
        return values
    return values.take(pick) if isinstance(values, Strings | Coded) else values[pick]
