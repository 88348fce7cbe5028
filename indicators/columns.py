"""Where expressions find their columns: rows of a ledger (events), of a table of newest events, entities or cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from citytwin.indicators.expr import Array
from citytwin.models.columns import Bool, Coded, Float64, Int32, Int64, Strings, physical, unique
from citytwin.models.entities import KIND_NUMBER, all_fields, all_relations
from citytwin.models.hashing import Keys, hash_strings
from citytwin.models.shards import Ownership
from citytwin.models.vocabulary import Kind
from citytwin.twin.entities import Entities
from citytwin.twin.growable import Grow, GrowText
from citytwin.twin.ledger import Ledger
from citytwin.twin.tables import NewestTable, Table


def entity_column(entities: Entities, name: str, rows: Int32 | Int64) -> Float64 | Coded:
    """An attribute at entity rows (-1 = none): float64 in units, NaN missing, or Coded. KeyError for an unknown one.

    `relation.attribute` reads it from the entity that a relation points to.
    """
    values = entities.attr(name.partition(".")[0])
    if entities.n == 0:
        return Coded(np.full(len(rows), -1, np.int32), ()) if _is_code(name) else np.full(len(rows), np.nan)
    there = rows >= 0
    safe = np.where(there, rows, 0)
    if "." in name:
        return entity_column(entities, name.partition(".")[2], np.where(there, np.asarray(values)[safe], -1))
    if isinstance(values, Strings):
        raise KeyError(f"ent.{name} is text; conditions read numbers, flags and codes")
    if name in _RELATIONS:  # the entity row that it points to
        return np.where(there & (np.asarray(values)[safe] >= 0), np.asarray(values, np.float64)[safe], np.nan)
    if isinstance(values, Coded):
        return Coded(np.where(there, values.codes[safe], -1).astype(np.int32), values.names)
    return np.where(there, physical(values[safe], 1), np.nan)


_RELATIONS = frozenset(all_relations())


def _is_code(name: str) -> bool:
    field = all_fields().get(name.rpartition(".")[2])
    return field is not None and field.kind is Kind.CODE


class EventColumns:
    """Columns of ledger rows (array indices int64[n]) and of the entities they are about."""

    def __init__(self, ledger: Ledger, index: Int64, per_unit: Mapping[str, int | Float64], entities: Entities) -> None:
        self._ledger, self._per_unit, self._entities = ledger, per_unit, entities
        self.n = len(index)
        whole = len(index) and int(index[-1]) - int(index[0]) + 1 == len(index)
        # rows that were just appended lie side by side: a slice reads them without a copy
        self._index: Any = slice(int(index[0]), int(index[-1]) + 1) if whole else index
        self._kept: dict[tuple[str, str], Array | Coded | Strings] = {}

    def get(self, space: str, name: str) -> Array | Coded | Strings:
        """A column, computed once; texts can only be asked whether they are there or valid. KeyError if unknown."""
        key = (space, name)
        if key not in self._kept:
            self._kept[key] = self._make(space, name)
        return self._kept[key]

    def _make(self, space: str, name: str) -> Array | Coded | Strings:
        ledger, index = self._ledger, self._index
        if space == "ent":
            return entity_column(self._entities, name, ledger.entity.data[index])
        if space != "col":
            raise KeyError(f"{space}.{name}: event aggregates read col.<field> and ent.<attribute>")
        if name in ("time", "lon", "lat"):
            return physical(getattr(ledger, name).data[index], 1)
        if name == "source":
            return Coded(ledger.source.data[index], ledger.sources.names)
        if name == "scope":
            return np.asarray(ledger.scope.data[index], np.float64)
        if name not in ledger.fields:
            raise KeyError(f"col.{name}: {ledger.types[0].name} has no such field; it has {', '.join(ledger.fields)}")
        values = ledger.columns[name]
        if isinstance(values, GrowText):
            return values.strings.take(self._rows())
        if ledger.fields[name].kind is Kind.CODE:
            return Coded(values.data[index], ledger.names[name].names)
        unit = self._per_unit.get(name, 1)
        if isinstance(unit, int):
            return physical(values.data[index], unit)
        codes = ledger.columns["property"].data[index]  # type: ignore[union-attr]
        return physical(values.data[index], np.append(unit, 1.0)[codes])

    def _rows(self) -> Int64:
        index = self._index
        return np.arange(index.start, index.stop) if isinstance(index, slice) else index

    def steps(self, name: str, per_unit: int) -> Int64 | None:
        """A number field as stored (MISSING where absent), if it is stored in these steps; None if not."""
        column = self._ledger.columns.get(name)
        unit = self._per_unit.get(name)
        if not isinstance(unit, int) or unit != per_unit:
            return None
        if not isinstance(column, Grow) or column.dtype != np.int64:
            return None
        found: Int64 = column.data[self._index]
        return found

    def keys(self, name: str) -> Keys:
        """Hash keys of a text, code or the subject, for distinct counts."""
        ledger = self._ledger
        if name in ("subject", "id"):
            return hash_strings(getattr(ledger, name).strings.take(self._rows()))
        if name == "scope":
            number = ledger.scope.data[self._index].astype(np.int64)
            return Keys(number.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15), number.view(np.uint64))
        column = ledger.columns[name]
        if isinstance(column, GrowText):
            return hash_strings(column.strings.take(self._rows()))
        if ledger.fields[name].kind is Kind.CODE:
            names = hash_strings(Strings.of([*ledger.names[name].names, ""]))
            return names.take(column.data[self._index])
        values = column.data[self._index].astype(np.int64).view(np.uint64)
        return Keys(values * np.uint64(0x9E3779B97F4A7C15), values)


class Presence(Protocol):
    """A table that knows which of its rows count."""

    def present(self, rows: Int64) -> Bool: ...


class RowColumns:
    """Columns of table rows (int64[n]), of their siblings and entities."""

    def __init__(self, table: Table, rows: Int64, entities: Entities, now: int) -> None:
        self._table, self._rows, self._entities, self._now = table, rows, entities, now
        self._kept: dict[tuple[str, str], Array | Coded] = {}
        self._scopes: Int32 | None = None
        self._present: Bool | None = None

    def scopes(self) -> Int32:
        """Scope rows, read once (int32[n], -1 unknown)."""
        if self._scopes is None:
            self._scopes = self._table.scopes(self._rows)
        return self._scopes

    def present(self, table: Presence) -> Bool:
        """Which of the rows count, asked once of the table that they are of (bool[n])."""
        if self._present is None:
            self._present = table.present(self._rows)
        return self._present

    def get(self, space: str, name: str) -> Array | Coded:
        """A column, computed once. Raises KeyError for an unknown one."""
        key = (space, name)
        if key not in self._kept:
            self._kept[key] = self._make(space, name)
        return self._kept[key]

    def _make(self, space: str, name: str) -> Array | Coded:
        if space == "row":
            return self._table.column(name, self._rows)
        if space == "ent":
            return entity_column(self._entities, name, self._table.entities(self._rows))
        if space == "now":
            return np.full(len(self._rows), float(self._now))
        if space.startswith("sibling:") and isinstance(self._table, NewestTable):
            return self._sibling(space[8:], name)
        raise KeyError(f"{space}.{name}: tallies read row.<column>, ent.<attribute> and row.sibling(...)")

    def _sibling(self, prop: str, name: str) -> Array:
        table = self._table
        assert isinstance(table, NewestTable)
        slots = table.siblings(self._rows, hash_strings(Strings.of([prop])))
        there = (slots >= 0) & table.present(np.where(slots >= 0, slots, 0)) if table.n else slots >= 0
        values = table.column(name, np.where(slots >= 0, slots, 0))
        if isinstance(values, Coded):
            raise KeyError(f"sibling {prop}.{name} is a code; siblings give numbers")
        return np.where(there, values, np.nan)


class EntityTable:
    """Entities of one kind as a table for tallies; rows are entity rows.

    Besides the attributes there is `last_seen`: ms of the newest event that the entity sent, NaN for none.
    """

    def __init__(self, entities: Entities, kind: str, last_seen: Grow, own: Ownership | None = None) -> None:
        self._entities, self._kind, self._seen, self._own = entities, KIND_NUMBER[kind], last_seen, own
        self._marked: list[Int64] = []

    @property
    def n(self) -> int:
        """Number of entity rows of all kinds."""
        return self._entities.n

    def column(self, name: str, rows: Int64) -> Float64 | Coded:
        """An attribute at entity rows."""
        if name == "last_seen":
            self._seen.resize(self._entities.n)
            return physical(self._seen.data[rows], 1)
        return entity_column(self._entities, name, rows)

    def scopes(self, rows: Int64) -> Int32:
        """Scope rows."""
        found: Int32 = self._entities.scope[rows]
        return found

    def entities(self, rows: Int64) -> Int32:
        """The rows themselves."""
        return rows.astype(np.int32)

    def mark(self, rows: Int64) -> None:
        """These entities changed."""
        self._marked.append(rows)

    def marked(self) -> Int64:
        """Rows of this kind that are marked, sorted and unique; they stay marked."""
        rows = unique(np.concatenate(self._marked)) if self._marked else np.zeros(0, np.int64)
        return self.mine(rows[self._entities.kind[rows] == self._kind])

    def mine(self, rows: Int64) -> Int64:
        """Those of the rows that are counted here: of a city in shards, each counts its own."""
        return rows if self._own is None else self._own.pick(self._entities.codes, rows)

    def take_dirty(self) -> Int64:
        """Rows of this kind that are new or changed since the last call."""
        rows = self.marked()
        self._marked = []
        return rows
