"""Which events and rows of registers the aggregates of an indicator rest on, at one scope and the last tick.

Minimal: of a largest value the one event that holds it, of distinct keys the first event of each, of what is summed
only what adds something. What is put together must not mean something else than it does in the city: see `complete`
of `indicators.behind`, which holds for rows of tables.
"""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Aggregate, Spec
from citytwin.indicators.behind import Behind
from citytwin.indicators.columns import EntityTable, EventColumns
from citytwin.indicators.evidence import first_of
from citytwin.indicators.expr import as_mask, as_numbers, pinned_code
from citytwin.indicators.line import Line
from citytwin.indicators.panes import contributions
from citytwin.indicators.params import QuantileParam, TallyParam
from citytwin.indicators.sight import READ, Outlook, Sight, span_ms
from citytwin.indicators.sources import Source
from citytwin.models.columns import Bool, Float64, Int64
from citytwin.twin.growable import Grow
from citytwin.twin.ledger import Ledger


class Witness:
    """Collects the evidence of one scope: `indicator`, then `complete`; it is in `outlook.evidence`."""

    def __init__(self, sight: Sight, row: int) -> None:
        self.sight, self.outlook = sight, Outlook(sight, row)
        self.behind = Behind(self.outlook)
        self._made: dict[tuple[str, bool, bool], slice] = {}
        self._trusted: dict[tuple[str, bool, bool], slice] = {}
        self._picked: dict[tuple[str, bool, bool, int, int], Int64] = {}

    def indicator(self, spec: Spec, owners: set[str] | None = None, *, fine: bool = False) -> None:
        """Evidence of its aggregates and of the indicators that it reads.

        `owners`: parameters of the explained indicator that it stands behind (None: it is that one itself). `fine`: who
        reads it may look at every scope below, so extremes and distinct keys are those of each.
        """
        fine = fine or spec.cls is not None
        with self.outlook.widened(spec.cls is not None and spec.cls.whole):
            known = (spec.id, fine, self.outlook.wide)
            if known in self._made:
                self._share(self._made[known], owners or set())
                return
            begun = len(self.outlook.evidence.parts)
            self._parameters(spec, owners, fine)
            self._made[known] = slice(begun, len(self.outlook.evidence.parts))

    def _parameters(self, spec: Spec, owners: set[str] | None, fine: bool) -> None:
        line = self.sight.board.lines[spec.id]
        for name, agg in spec.params.items():
            mine, label = owners or {name}, name if owners is None else f"{spec.id}:{name}"
            if agg.kind == "ind":
                child = self.sight.board.lines[agg.table]
                self.indicator(child.spec, mine, fine=fine)
                self._trust(child, mine, whole=spec.cls is not None)
            else:
                self._aggregate(line, name, agg, mine, label, fine)

    def _share(self, made: slice, owners: set[str]) -> None:
        """Somebody else reads it too."""
        for part in self.outlook.evidence.parts[made]:
            part.owners = part.owners | owners

    def complete(self) -> None:
        """Add what keeps the evidence from meaning something else than it does in the city."""
        self.behind.complete()

    def _aggregate(self, line: Line, name: str, agg: Aggregate, owners: set[str], label: str, fine: bool) -> None:
        param = line.params.get(name)
        if isinstance(param, TallyParam):
            self.behind.tally(param.state, owners, label, fine)
        elif agg.kind == "rows":
            self.behind.rows(agg, owners, label)
        elif agg.kind == "datastreams":
            self.behind.datastreams(pinned_code(agg.where, "row", "property") or "", owners, label)
        else:
            phase = param.state if isinstance(param, QuantileParam) else None
            self._events(line.spec, agg, owners, label, fine, phase.inside if phase else None)

    # Events in windows.

    def _events(self, spec: Spec, agg: Aggregate, owners: set[str], label: str, fine: bool, inside: object) -> None:
        origin = self.sight.aggregates.origin_ms
        span = span_ms(agg, spec, self.sight.now, origin)
        assert span is not None
        source = self.sight.aggregates.source(agg.table)
        index = self._pick(agg, source, span)
        if callable(inside):
            pane = (agg.window or spec.window).pane_ms
            panes = (source.ledger.time.data[index] - origin) // pane
            index = index[inside(panes, (self.sight.now - origin) // pane)]
        index = _of_property(agg, source.ledger, index)
        columns = EventColumns(source.ledger, index, source.per_unit, self.sight.entities)
        chosen, amount = _amounts(agg, columns, len(index))
        index, amount = self._least(agg, source, index[chosen], amount[chosen], fine)
        self.outlook.evidence.add(owners, label, self.outlook.place_of(source.ledger), index, amount)
        self.outlook.follow(agg, source.ledger.entity.data[index].astype(np.int64), owners)
        self.outlook.forgotten(agg.table, source.ledger, span[0])

    def _pick(self, agg: Aggregate, source: Source, span: tuple[int, int]) -> Int64:
        """Live events of a span at the scopes below, or of the entities there (array indices)."""
        by_entity = agg.by == "subject"
        asked = (agg.table, by_entity, self.outlook.wide, *span)
        if asked not in self._picked:
            unknown = self.sight.aggregates.unknown_scope
            scopes = np.flatnonzero(self.outlook.below) if not by_entity else np.arange(len(self.outlook.below))
            index = source.within(*span, scopes, unknown)
            if by_entity:
                index = index[self.outlook.inside(source.ledger.entity.data[index].astype(np.int64))]
            self._picked[asked] = index
        return self._picked[asked]

    def _least(
        self, agg: Aggregate, source: Source, index: Int64, amount: Float64, fine: bool
    ) -> tuple[Int64, Float64]:
        """As few of the events that count as give the value."""
        if agg.kind in ("max", "min"):
            return self._extremes(source.ledger, index, amount, 1 if agg.kind == "max" else -1, fine)
        if agg.kind == "distinct":
            return self._keys(agg, source, index, fine)
        if agg.kind == "total" and agg.by == "scope":
            return index[amount != 0], amount[amount != 0]
        return index, amount

    def _own(self, ledger: Ledger, index: Int64) -> Int64:
        """Own scope rows of events."""
        return self.outlook.placed(ledger.scope.data[index])

    def _extremes(self, ledger: Ledger, index: Int64, amount: Float64, sign: int, fine: bool) -> tuple[Int64, Float64]:
        """The events that hold the largest (sign 1) or smallest (-1) value, at the scope or at each own scope below."""
        groups = self._own(ledger, index) if fine else np.zeros(len(index), np.int64)
        held = best_of(amount * sign, groups)
        kept = first_of(ledger, index[held], groups[held])
        return kept, amount[np.searchsorted(index, kept)]

    def _keys(self, agg: Aggregate, source: Source, index: Int64, fine: bool) -> tuple[Int64, Float64]:
        """The first event of each distinct key, at the scope or at each own scope below."""
        assert agg.value is not None
        if len(index) == 0:
            return index, np.zeros(0)
        field = next(iter(agg.value.refs))[1]
        keys = EventColumns(source.ledger, index, source.per_unit, self.sight.entities).keys(field)
        groups = [keys.a.view(np.int64), keys.b.view(np.int64)]
        groups += [self._own(source.ledger, index)] if fine else []
        kept = first_of(source.ledger, index, np.stack(groups, axis=1))
        return kept, np.ones(len(kept))

    # How far a value that is read can be trusted.

    def _trust(self, line: Line, owners: set[str], *, whole: bool) -> None:
        """The newest events of the inputs of an indicator that is read: its reader may leave out a stale one.

        Not `whole`: only of inputs without which it would have no number. Sources are told beside, by their last time.
        """
        known = (line.spec.id, whole, self.outlook.wide)
        if known in self._trusted:
            self._share(self._trusted[known], owners)
            return
        begun = len(self.outlook.evidence.parts)
        for table, prop in line.spec.feeds:
            if table == "obs" and whole:
                slots = self.behind.streams(prop)
                self.behind.newest("obs", slots, np.full(len(slots), READ), owners, "")
            elif isinstance(self.sight.tables.get(table), EntityTable):
                rows = self.sight.entities.of_kind(table).astype(np.int64)
                self.behind.last_words(rows[self.outlook.inside(rows)], owners)
        for child in line.children if whole else ():
            self._trust(self.sight.board.lines[child], owners, whole=True)
        self._trusted[known] = slice(begun, len(self.outlook.evidence.parts))


def _of_property(agg: Aggregate, ledger: Ledger, index: Int64) -> Int64:
    """Those of the one property that the condition asks for: no need to look at what the others say."""
    prop = pinned_code(agg.where, "col", "property")
    if prop is None or "property" not in ledger.names:
        return index
    code = ledger.names["property"].known.get(prop, -2)
    held = ledger.columns["property"]
    assert isinstance(held, Grow)
    mine: Int64 = index[held.data[index] == code]
    return mine


def best_of(value: Float64, groups: Int64) -> Bool:
    """Which values are the largest of their group (bool[n])."""
    best = np.full(int(groups.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, groups, value)
    held: Bool = value == best[groups]
    return held


def _amounts(agg: Aggregate, columns: EventColumns, n: int) -> tuple[Bool, Float64]:
    """Which events count, and what each adds, in units."""
    if agg.kind in ("quantile", "distinct"):
        mask = np.ones(n, np.bool_) if agg.where is None else as_mask(agg.where.evaluate(columns), n)
        if agg.kind == "distinct":
            return mask, np.ones(n)
        assert agg.value is not None
        number = as_numbers(agg.value.evaluate(columns), n)
        if agg.weight is not None:
            mask = mask & (np.rint(as_numbers(agg.weight.evaluate(columns), n)) > 0)
        return mask & np.isfinite(number), number
    value = None if agg.kind == "count" else agg.value
    mask, stored = contributions(columns, value, agg.where, agg.per_unit, n)
    return mask, stored / (agg.per_unit if value is not None else 1)
