"""Matchers: which events of a batch a rule looks at, as masks over columns; only those that match become atoms."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from citytwin.indicators.columns import EventColumns
from citytwin.indicators.expr import Expr, as_mask, as_numbers, pinned_code
from citytwin.indicators.onecolumns import BadExpression, column
from citytwin.indicators.rules.atoms import Atom
from citytwin.models.columns import Bool, Float64, Int32, Int64
from citytwin.models.desk.rules import Pattern
from citytwin.models.entities import all_fields, all_relations
from citytwin.models.hashing import Keys, hash_strings
from citytwin.models.vocabulary import EventType, Kind, Vocabulary
from citytwin.twin.entities import Entities
from citytwin.twin.ledger import Ledger

#: Columns that every event has.
_COMMON = frozenset({"time", "lon", "lat", "source", "scope"})


class Told:
    """Events of one type that begin (or cease) to count: array indices int64[n] of its ledger, and their columns."""

    def __init__(
        self, kind: EventType, ledger: Ledger, index: Int64, per_unit: Mapping[str, int | Float64], entities: Entities
    ) -> None:
        self.kind, self.ledger, self.index, self.entities = kind, ledger, index, entities
        self.env = EventColumns(ledger, index, per_unit, entities)

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def time(self) -> Int64:
        """ms UTC (int64[n])."""
        found: Int64 = self.ledger.time.data[self.index]
        return found

    @cached_property
    def scope(self) -> Int32:
        """Scope rows, -1 unknown (int32[n])."""
        found: Int32 = self.ledger.scope.data[self.index]
        return found

    @cached_property
    def entity(self) -> Int32:
        """Entity rows, -1 none (int32[n])."""
        found: Int32 = self.ledger.entity.data[self.index]
        return found

    @cached_property
    def place(self) -> tuple[Float64, Float64]:
        """Longitude and latitude: the event's own, else its entity's, else NaN (float64[n] each)."""
        lon, lat = self.ledger.lon.data[self.index], self.ledger.lat.data[self.index]
        if self.entities.n == 0:
            return lon, lat
        mine, safe = np.isnan(lon) & (self.entity >= 0), np.maximum(self.entity, 0)
        return np.where(mine, self.entities.lon[safe], lon), np.where(mine, self.entities.lat[safe], lat)

    def subjects(self, rows: Int64) -> Keys:
        """Keys of the subjects of some of the rows."""
        return hash_strings(self.ledger.subject.strings.take(self.index[rows]))

    def keys(self, rows: Int64) -> Keys:
        """Keys of (source, id) of some of the rows."""
        return Keys(self.ledger.key_a.data[self.index[rows]], self.ledger.key_b.data[self.index[rows]])

    def atoms(self, rows: Int64, values: Float64 | None = None) -> Iterator[Atom]:
        """Some of the rows as atoms; `values` float64[len(rows)]."""
        ledger, (lon, lat) = self.ledger, self.place
        for i, row in enumerate(rows.tolist()):
            at = int(self.index[row])
            source = ledger.sources.names[int(ledger.source.data[at])]
            yield Atom(
                int(self.time[row]), source, ledger.id.strings[at], self.kind.name, ledger.subject.strings[at],
                int(self.scope[row]), int(self.entity[row]), float(lon[row]), float(lat[row]),
                float("nan") if values is None else float(values[i]),
            )  # fmt: skip


class _Whole(dict[str, "int | Float64"]):
    """One step a unit for every field."""

    def __missing__(self, name: str) -> int:
        return 1

    def get(self, name: str, default: object = None) -> int:
        """Always 1."""
        del name, default
        return 1


class Matcher:
    """A pattern made ready: the rows it holds for, and the value that is read of them."""

    def __init__(self, pattern: Pattern, value: str, vocabulary: Vocabulary) -> None:
        """Raises BadExpression for a type, a field or an expression that cannot be."""
        self.type = pattern.type
        kinds = [t for t in vocabulary.types.values() if self.type in (t.name, t.family)]
        if not kinds:
            near = [n for n in vocabulary.types if n.split(".")[0] == self.type.split(".")[0]]
            raise BadExpression(f"there is no event type {self.type:.60}; near it are {', '.join(near) or 'none'}")
        self.where = condition(pattern.where, kinds)
        self._value = expression(value, kinds) if value else None
        self._property = pinned_code(self.where, "col", "property")
        self._try(kinds)

    def _try(self, kinds: list[EventType]) -> None:
        """Evaluate over no events at all: what compares a code with a number is seen before the first event is."""
        none = Told(kinds[0], Ledger(tuple(kinds), {}), np.zeros(0, np.int64), _Whole(), Entities())
        try:
            if self.where is not None:
                as_mask(self.where.evaluate(none.env), 0)
            if self._value is not None:
                as_numbers(self._value.evaluate(none.env), 0)
        except (TypeError, KeyError) as error:
            raise BadExpression(f"a code, a number and a text do not go together here: {error.args[0]}") from error

    def wants(self, kind: EventType) -> bool:
        """Whether it looks at events of a type."""
        return self.type in (kind.name, kind.family)

    def rows(self, told: Told) -> Int64:
        """Rows that match (int64[m])."""
        n = len(told)
        if self.where is None:
            return np.arange(n, dtype=np.int64)
        if self._property is not None and self._property not in told.ledger.names["property"].known:
            return np.zeros(0, np.int64)
        return np.flatnonzero(as_mask(self.where.evaluate(told.env), n))

    def values(self, told: Told, rows: Int64) -> Float64:
        """The value of each of these rows (float64[m], NaN missing)."""
        if self._value is None:
            return np.full(len(rows), np.nan)
        with np.errstate(all="ignore"):
            return as_numbers(self._value.evaluate(told.env), len(told))[rows]


def _read(text: str) -> Expr | float | str:
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = getattr(error, "msg", None) or "it is nested too deeply"
        raise BadExpression(f"this is no expression: {said}") from error
    return column(tree, 0)


def condition(text: str, kinds: list[EventType]) -> Expr | None:
    """A condition over events of some types; None for an empty one. Raises BadExpression."""
    return expression(text, kinds) if text else None


def expression(text: str, kinds: list[EventType]) -> Expr:
    """An expression over events of some types: col.<field> and ent.<attribute>. Raises BadExpression."""
    found = _read(text)
    if not isinstance(found, Expr):
        raise BadExpression(f"{text:.40}: an expression reads a column, as in col.value > 3")
    fields = {f.name: f for kind in kinds for f in kind.fields}
    for space, name in sorted(found.refs):
        if space == "col":
            if name not in fields and name not in _COMMON:
                raise BadExpression(f"there is no col.{name:.40}; there are {', '.join([*fields, *sorted(_COMMON)])}")
            if name in fields and fields[name].kind is Kind.SECRET:
                raise BadExpression(f"col.{name} is secret: no rule reads it")
        else:
            _check_entity(space, name)
    return found


def fact(text: str) -> Expr:
    """A condition over the attributes of an entity: ent.<attribute>. Raises BadExpression."""
    found = _read(text)
    if not isinstance(found, Expr) or not found.refs:
        raise BadExpression('a fact reads the register, as in ent.facility.facility_kind == "low_point"')
    for space, name in sorted(found.refs):
        _check_entity(space, name)
    return found


def _check_entity(space: str, name: str) -> None:
    if space != "ent":
        raise BadExpression(f"{space}.{name:.40} cannot be read here; rules read col.<field> and ent.<attribute>")
    *relations, attribute = name.split(".")
    for relation in relations:
        if relation not in all_relations():
            raise BadExpression(f"ent.{name:.60}: no kind has the relation {relation}")
    held = all_fields().get(attribute)
    if held is None and attribute not in all_relations():
        raise BadExpression(f"ent.{name:.60}: no kind of entity has the attribute {attribute}")
    if held is not None and held.kind in (Kind.TEXT, Kind.SECRET):
        raise BadExpression(f"ent.{name:.60} is text; conditions read numbers, flags and codes")


class OneEntity:
    """Columns of a single entity, for facts."""

    def __init__(self, entities: Entities, row: int) -> None:
        self._entities, self._row = entities, np.array([row], np.int32)

    def get(self, space: str, name: str):  # type: ignore[no-untyped-def]
        """An attribute of it."""
        from citytwin.indicators.columns import entity_column

        del space
        return entity_column(self._entities, name, self._row)


def holds(where: Expr, entities: Entities, row: int) -> bool:
    """Whether a fact is so of an entity row; of none (-1) it is not."""
    if row < 0:
        return False
    mask: Bool = as_mask(where.evaluate(OneEntity(entities, row)), 1)
    return bool(mask[0])
