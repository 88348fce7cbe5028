"""Rows of a table for class forms: those that fulfil a condition now, with a column for each declared expression."""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Aggregate, Rows
from citytwin.indicators.columns import EntityTable, RowColumns
from citytwin.indicators.expr import Value, as_mask, as_numbers
from citytwin.models.columns import Coded, Float64, Int64
from citytwin.models.hashing import Keys
from citytwin.twin.cases import CaseTable
from citytwin.twin.entities import Entities
from citytwin.twin.journeys import JourneyTable
from citytwin.twin.tables import NewestTable, Table


def rows_of(table: Table, agg: Aggregate, entities: Entities, now: int, unknown_scope: int) -> Rows:
    """The rows of a declaration as they are at `now`; what has no place is at `unknown_scope`."""
    rows = np.arange(table.n, dtype=np.int64)
    if isinstance(table, EntityTable):
        rows = table.mine(entities.of_kind(agg.table).astype(np.int64))
    elif isinstance(table, NewestTable | JourneyTable | CaseTable):
        rows = rows[table.present(rows)]
    rows = _pinned(table, agg, rows, entities, now)
    if agg.where is not None and len(rows):
        rows = rows[as_mask(agg.where.evaluate(RowColumns(table, rows, entities, now)), len(rows))]
    rows = _ordered(table, rows)
    columns = RowColumns(table, rows, entities, now)
    scope = table.scopes(rows)
    found = {name: _column(expr.evaluate(columns), len(rows)) for name, expr in agg.columns}
    placed = np.where(scope < 0, unknown_scope, scope).astype(np.int32)
    return Rows(rows, placed, table.entities(rows), found)


def keys_of(table: Table, rows: Int64) -> Keys:
    """What orders the rows of a table however they came to be numbered: keys of entities are their rows."""
    if isinstance(table, NewestTable | JourneyTable | CaseTable):
        return Keys(table.key_a.data[rows], table.key_b.data[rows])
    return Keys(rows.astype(np.uint64), np.zeros(len(rows), np.uint64))


def _ordered(table: Table, rows: Int64) -> Int64:
    """The rows in an order that does not depend on how they arrived: a model may read them one by one."""
    keys = keys_of(table, rows)
    return rows[np.lexsort((keys.b, keys.a))]


def _pinned(table: Table, agg: Aggregate, rows: Int64, entities: Entities, now: int) -> Int64:
    """Those of the rows whose codes are what the condition pins them to: of many cases only few are outages."""
    for space, name, code in sorted(agg.where.pins) if agg.where is not None else ():
        if space == "row" and len(rows):
            column = RowColumns(table, rows, entities, now).get(space, name)
            rows = rows[column.equals(code)] if isinstance(column, Coded) else rows
    return rows


def _column(value: Value, n: int) -> Float64 | Coded:
    if isinstance(value, Coded):
        return value
    if isinstance(value, np.ndarray) and value.dtype == np.bool_:
        return value.astype(np.float64)
    return as_numbers(value, n)
