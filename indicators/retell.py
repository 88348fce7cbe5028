"""Events of ledgers, newest events of tables and rows of registers as plain values, with their place in a listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.indicators.evidence import Evidence, Key, key_of
from citytwin.indicators.sight import Sight
from citytwin.indicators.told import EventTold, Fact, plain
from citytwin.models.columns import MISSING, Coded, Float64, Int64, Strings, physical
from citytwin.models.entities import KIND_NUMBER, KINDS, all_fields, all_relations
from citytwin.models.vocabulary import Field, Kind
from citytwin.twin.growable import GrowText
from citytwin.twin.ledger import Ledger
from citytwin.twin.tables import NewestTable

_KINDS = tuple(KINDS)


def events_of(sight: Sight, evidence: Evidence, place: str, index: Int64) -> list[tuple[Key, EventTold]]:
    """Events of a ledger (array indices)."""
    ledger = sight.ledgers[place]
    fields = _told(sight, ledger, index)
    out = []
    for i, said in zip(index.tolist(), fields, strict=True):
        scope, kind = int(ledger.scope.data[i]), ledger.types[int(ledger.move.data[i])]
        key = key_of(ledger, i)
        event = EventTold(
            kind.name, ledger.id.strings[i], key[1], key[0], key[3], ledger.subject.strings[i],
            sight.scopes.code[scope] if scope >= 0 else "", plain(ledger.lon.data[i]), plain(ledger.lat.data[i]),
            {f.name: said[f.name] for f in kind.fields if f.name in said}, evidence.gives(place, i),
        )  # fmt: skip
        out.append((key, event))
    return out


def _told(sight: Sight, ledger: Ledger, index: Int64) -> list[dict[str, Any]]:
    """The fields that each event has."""
    said: list[dict[str, Any]] = [{} for _ in range(len(index))]
    move = ledger.move.data[index]
    for name, field in ledger.fields.items():
        column = ledger.columns[name]
        if isinstance(column, GrowText):
            values: list[Any] = [text or None for text in column.strings.take(index).tolist()]
        else:
            steps: int | Float64 = 1
            if field.kind is Kind.NUMBER:
                steps = _steps(sight, ledger, name, move, index)
            values = _values(field, column.data[index], steps, ledger.names[name].names if name in ledger.names else ())
        for row, value in zip(said, values, strict=True):
            if value is not None:
                row[name] = value
    return said


def _steps(sight: Sight, ledger: Ledger, name: str, move: NDArray[np.int8], index: Int64) -> Float64:
    """Steps per unit of a number field of each event (float64[n])."""
    out = np.ones(len(index))
    for number in np.unique(move).tolist():
        unit = sight.aggregates.source(ledger.types[number].name).per_unit.get(name, 1)
        mine = move == number
        if isinstance(unit, int):
            out[mine] = unit
        else:
            codes = ledger.columns["property"].data[index[mine]]  # type: ignore[union-attr]
            out[mine] = np.append(unit, 1.0)[codes]
    return out


def _values(field: Field, stored: NDArray[Any], steps: int | Float64, names: Sequence[str]) -> list[Any]:
    """Stored values in units, None where absent."""
    if field.kind is Kind.CODE:
        return [names[c] if c >= 0 else None for c in stored.tolist()]
    if field.kind is Kind.FLAG:
        return [bool(v) if v >= 0 else None for v in stored.tolist()]
    if field.kind is Kind.NUMBER:
        return [plain(v) for v in physical(stored, steps).tolist()]
    return [None if v == MISSING else v for v in stored.tolist()]


def lost_of(sight: Sight, evidence: Evidence, name: str, slots: Int64) -> list[tuple[Key, EventTold]]:
    """Newest events of a table that are no longer in its ledger, as far as the table keeps them."""
    table = sight.tables[name]
    assert isinstance(table, NewestTable)
    ledger = sight.aggregates.source(name).ledger
    kind = next(t for t in ledger.types if t.name == name)
    sources = table.column("source", slots)
    assert isinstance(sources, Coded)
    columns = {f.name: table.column(f.name, slots) for f in kind.fields if f.name in table.now.columns}
    out = []
    for at, slot in enumerate(slots.tolist()):
        entity, scope = int(table.entity.data[slot]), int(table.now.scope.data[slot])
        fields = {n: _one(kind.field(n), c, at) for n, c in columns.items()}
        source, time = str(sources.tolist()[at]), int(table.now.time.data[slot])
        event = EventTold(
            name, "", source, time, 0, sight.entities.code(entity) if entity >= 0 else "",
            sight.scopes.code[scope] if scope >= 0 else "", plain(table.now.lon.data[slot]),
            plain(table.now.lat.data[slot]), {n: v for n, v in fields.items() if v is not None},
            evidence.gives(name, slot, lost=True),
        )  # fmt: skip
        tie = f"{name}/{table.key_a.data[slot]:016x}{table.key_b.data[slot]:016x}"
        out.append(((time, source, "", 0, tie), event))
    return out


def _one(field: Field, column: Float64 | Coded, at: int) -> Any:
    if isinstance(column, Coded):
        return column[at]
    value = plain(column[at])
    if value is None or field.kind is Kind.NUMBER:
        return value
    return bool(value) if field.kind is Kind.FLAG else int(value)


def facts_of(sight: Sight, evidence: Evidence, rows: Int64, owner: str | None) -> list[Fact]:
    """Rows of the registers."""
    entities = sight.entities
    out = []
    for row in rows.tolist():
        kind, scope = _KINDS[int(entities.kind[row])], int(entities.scope[row])
        names = [name for name in evidence.names_of(row, owner) if _has(kind, name)]
        said = {name: _attribute(sight, kind, name, row) for name in names}
        code = sight.scopes.code[scope] if scope >= 0 else ""
        out.append(Fact(kind, entities.code(row), code, said, evidence.says(row)))
    return out


def placed(sight: Sight, rows: Int64, after: tuple[str, str] | None, limit: int) -> list[tuple[tuple[str, str], int]]:
    """The first rows of the registers after a place in the listing: ((kind, code), row), by kind and code."""
    out: list[tuple[tuple[str, str], int]] = []
    kinds = sight.entities.kind[rows]
    for kind in sorted(_KINDS):
        mine = rows[kinds == KIND_NUMBER[kind]]
        if len(out) < limit and len(mine) and (after is None or kind >= after[0]):
            codes = sight.entities.codes.take(mine).tolist()
            found = sorted(zip(codes, mine.tolist(), strict=True))
            out += [((kind, code), row) for code, row in found if after is None or (kind, code) > after]
    return out[:limit]


def _has(kind: str, name: str) -> bool:
    """Whether entities of a kind have an attribute: expressions ask all of them alike."""
    own = KINDS[kind].field(name) is not None or name in KINDS[kind].relations
    return own or not (name in all_fields() or name in all_relations())


def _attribute(sight: Sight, kind: str, name: str, row: int) -> Any:
    """One attribute of one entity: a relation as the code that it leads to, None where it is not known."""
    column = sight.entities.attr(name)
    if isinstance(column, Coded | Strings):
        return column[row] or None
    value, field = np.asarray(column)[row], KINDS[kind].field(name)
    if name in KINDS[kind].relations:
        return sight.entities.code(int(value)) if value >= 0 else None
    if field is not None and field.kind is Kind.FLAG:
        return bool(value) if value >= 0 else None
    if np.issubdtype(np.asarray(column).dtype, np.floating):
        return plain(float(value))
    return None if value == MISSING else int(value)
