"""All aggregates of a set of indicators: built once per distinct declaration, fed by ledgers, moved by ticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.indicators.api import Aggregate, Rows, Window
from citytwin.indicators.columns import EntityTable, EventColumns
from citytwin.indicators.datastreams import Datastreams
from citytwin.indicators.distinct import Distinct
from citytwin.indicators.expr import pinned_code
from citytwin.indicators.formstate import FormState, Grouped
from citytwin.indicators.histograms import Histograms
from citytwin.indicators.memo import Memo
from citytwin.indicators.panes import Additive, Extreme, PaneStore, Span
from citytwin.indicators.params import (
    DistinctParam,
    ExtremeParam,
    MeanParam,
    Param,
    QuantileParam,
    StreamsParam,
    SumParam,
    TallyParam,
)
from citytwin.indicators.quantile import Quantile
from citytwin.indicators.recount import recount
from citytwin.indicators.rolled import Rolled
from citytwin.indicators.sources import Source
from citytwin.indicators.tablerows import rows_of
from citytwin.indicators.tally import Tally
from citytwin.models.columns import Int32, Int64
from citytwin.models.entities import KINDS, all_relations
from citytwin.models.shards import NOBODY, Ownership
from citytwin.twin.entities import Entities
from citytwin.twin.ledger import Ledger
from citytwin.twin.tables import NewestTable, Table

#: Between the name of a part and that of an array in snapshots; expressions, which are in both, have none.
_SEP = "\t"


class Aggregates:
    """State of all aggregates; `param(aggregate, window)` gives the one state that serves every equal declaration."""

    def __init__(
        self, sources: Mapping[str, Source], tables: Mapping[str, Table], entities: Entities, origin_ms: int,
        unknown_scope: int, own: Ownership | None = None,
    ) -> None:  # fmt: skip
        self._sources, self._tables, self._entities = sources, tables, entities
        #: Set where only a part of the city is counted here: what it counts of the registers.
        self.own = own
        #: Whether nothing is counted here: what shards counted is merged (indicators.inlet).
        self.merged = own is not None and own.shard == NOBODY
        self._origin, self._unknown = self.origin_ms, self.unknown_scope = origin_ms, unknown_scope
        #: Relations through which an expression reads an attribute of another entity.
        self.relations: set[str] = set()
        #: Relations that tallies over a register read: who holds one is looked at again when its target comes or goes.
        self.linked: set[str] = set()
        self.stores: dict[tuple[str, int, str], PaneStore] = {}
        self.additive: dict[tuple[str, int, str], dict[str, Additive]] = {}
        self._params: dict[str, Param] = {}
        self.extremes: dict[str, tuple[str, Extreme]] = {}
        self.quantiles: dict[str, tuple[str, Quantile]] = {}
        self.distincts: dict[str, tuple[str, Distinct]] = {}
        self.tallies: dict[str, Tally] = {}
        self.forms = FormState()
        readings = tables.get("obs")
        self.streams = None
        if isinstance(readings, NewestTable):
            self.streams = Datastreams(readings, entities, unknown_scope, own)

    # Declaring.

    def param(self, agg: Aggregate, window: Window, closed: bool = False) -> Param:
        """The state behind a declared aggregate. KeyError for an unknown type or table, ValueError for a window."""
        window = agg.window or window
        key = ("closed " if closed else "") + agg.key(window)
        if key not in self._params:
            self._params[key] = self._build(key, agg, window, closed)
        return self._params[key]

    def _note_relations(self, agg: Aggregate) -> None:
        for expr in (agg.value, agg.where, agg.start, agg.end, agg.at, agg.weight, *(e for _, e in agg.columns)):
            for space, name in expr.refs if expr is not None else ():
                if space == "ent":
                    self.relations.update(name.split(".")[:-1])
                elif agg.table in KINDS:
                    self.linked.update(all_relations().keys() & name.split("."))

    def _build(self, key: str, agg: Aggregate, window: Window, closed: bool) -> Param:
        self._note_relations(agg)
        if agg.kind == "tally":
            return TallyParam(self._tally(key, agg, window, closed))
        if agg.kind == "datastreams":
            streams = self.datastreams().want(pinned_code(agg.where, "row", "property") or "")
            return StreamsParam(getattr(streams, agg.reduce))
        if agg.table not in self._sources:
            raise KeyError(f"no event type or family {agg.table!r}; known are {', '.join(sorted(self._sources))}")
        if window.kind == "instant":
            raise ValueError(f"{agg.kind}({agg.table!r}) needs a window; instant values are tallies")
        span = Span(-1, -1) if closed else Span(1 - window.panes, 0)
        assert agg.value is not None or agg.kind == "count"
        if agg.kind in ("max", "min"):
            store = self._store(agg.table, window.pane_ms, "scope")
            extreme = Extreme(store, key, agg.value, agg.where, agg.per_unit, agg.kind == "min", span)  # type: ignore[arg-type]
            self.extremes[key] = (agg.table, extreme)
            return ExtremeParam(extreme)
        if agg.kind == "quantile":
            own = PaneStore(window.pane_ms, self._origin)
            assert agg.value is not None
            if agg.season_ms % window.pane_ms:
                raise ValueError(f"season of {agg.season_ms} ms: it must be whole panes of {window.pane_ms} ms")
            stride = max(1, agg.season_ms // window.pane_ms)
            quantile = Quantile(own, agg.value, agg.where, agg.q, span, agg.weight, stride)
            self.quantiles[key] = (agg.table, quantile)
            return QuantileParam(quantile)
        if agg.kind == "distinct":
            return DistinctParam(self._distinct(agg, window.pane_ms).window(span))
        total = self._measure(agg, window.pane_ms, "scope", counted=False)
        if agg.kind == "mean":
            counted = self._measure(agg, window.pane_ms, "scope", counted=True)
            return MeanParam(total.window(span), counted.window(span), agg.per_unit)
        return SumParam(total.window(span), agg.per_unit if agg.kind == "total" else 1)

    def _distinct(self, agg: Aggregate, pane_ms: int) -> Distinct:
        """The keys of equal declarations, shared by their windows."""
        assert agg.value is not None
        key = repr((agg.table, agg.value, agg.where, pane_ms))
        if key not in self.distincts:
            self.distincts[key] = (agg.table, Distinct(PaneStore(pane_ms, self._origin), agg.value, agg.where))
        return self.distincts[key][1]

    def _store(self, table: str, pane_ms: int, by: str) -> PaneStore:
        place = (table, pane_ms, by)
        if place not in self.stores:
            self.stores[place] = PaneStore(pane_ms, self._origin)
        return self.stores[place]

    def _measure(self, agg: Aggregate, pane_ms: int, by: str, counted: bool) -> Additive:
        """The column for a sum (or the number of its terms), shared by equal declarations."""
        place = (agg.table, pane_ms, by)
        known = self.additive.setdefault(place, {})
        where = agg.where
        if counted and agg.value is not None:
            where = agg.value.known() if where is None else where & agg.value.known()
        value, unit = (None, 1) if counted or agg.kind == "count" else (agg.value, agg.per_unit)
        name = repr((value, where, unit))
        if name not in known:
            known[name] = Additive(self._store(*place), name, value, where, unit)
        return known[name]

    def _tally(self, key: str, agg: Aggregate, window: Window, closed: bool) -> Tally:
        self.tallies[key] = Tally(self.table(agg.table), agg, window, self._origin, closed)
        return self.tallies[key]

    def tally(self, agg: Aggregate, window: Window) -> Tally:
        """The state of a declared tally, kept once."""
        param = self.param(agg, window)
        assert isinstance(param, TallyParam)
        return param.state

    def datastreams(self) -> Datastreams:
        """Which datastreams are in time. KeyError where the vocabulary has no readings."""
        if self.streams is None:
            raise KeyError("no readings: the vocabulary has no type 'obs' with a key")
        return self.streams

    def by_group(self, name: str, agg: Aggregate, window: Window) -> None:
        """Declare panes per entity or own scope for a class form, under a name of its own."""
        window = agg.window or window
        self._note_relations(agg)
        by = "subject" if agg.by == "subject" else "scope"
        total, counted = (self._measure(agg, window.pane_ms, by, c) for c in (False, True))
        keep = agg.keep or window.panes
        total.store.keep = max(total.store.keep, keep)
        if self.own is not None:
            total.store.marks = []
        unit = agg.per_unit if agg.kind != "count" else 1
        self.forms.grouped[name] = Grouped(total.store, total, counted, unit, keep)

    def rows(self, agg: Aggregate, now: int) -> Rows:
        """The rows of a table that a class form declared, as they are at `now`. KeyError for an unknown table."""
        if self.merged:
            return self.forms.told_of(agg)
        return rows_of(self.table(agg.table), agg, self._entities, now, self._unknown)

    def declare_rows(self, agg: Aggregate, every_ms: int) -> None:
        """A class form will ask for these rows, every so many ms. KeyError for an unknown table."""
        self._note_relations(agg)
        self.table(agg.table)
        self.forms.list(agg, every_ms)

    def table(self, name: str) -> Table:
        """A table by name. KeyError for an unknown one."""
        if name not in self._tables:
            raise KeyError(f"no table {name!r}; known are {', '.join(sorted(self._tables))}")
        return self._tables[name]

    def source(self, name: str) -> Source:
        """The events of a type or family. KeyError for an unknown one."""
        return self._sources[name]

    # Feeding.

    def apply(self, ledger: Ledger, index: Int64, sign: int, ancestors: Int32) -> None:
        """Ledger rows (array indices) that begin (+1) or cease (-1) to count."""
        seen: dict[str, tuple[Int64, EventColumns]] = {}
        # A batch is of one type, a family has thirty: only the sources of the types that are there are asked.
        there = {None, *np.unique(ledger.move.data[index]).tolist()}
        for name, source in self._sources.items():
            if source.ledger is ledger and source.move in there:
                picked = source.pick(index)
                seen[name] = (picked, EventColumns(ledger, picked, source.per_unit, self._entities))
        for place, store in self.stores.items():
            if place[0] in seen:
                self._apply_store(place, store, *seen[place[0]], ledger, sign)
        for table, quantile in self.quantiles.values():
            if table in seen:
                picked, columns = seen[table]
                pane = quantile.store.panes_of(ledger.time.data[picked])
                quantile.apply(columns, self._scopes(ledger, picked), pane, sign)
        for table, distinct in self.distincts.values():
            if table in seen:
                picked, columns = seen[table]
                pane = distinct.store.panes_of(ledger.time.data[picked])
                distinct.apply(columns, self._scopes(ledger, picked), pane, sign, ancestors)

    def _scopes(self, ledger: Ledger, index: Int64) -> Int64:
        scope = ledger.scope.data[index]
        return np.where(scope < 0, self._unknown, scope).astype(np.int64)

    def _apply_store(
        self, place: tuple[str, int, str], store: PaneStore, index: Int64, columns: EventColumns, ledger: Ledger,
        sign: int,
    ) -> None:  # fmt: skip
        pane = store.panes_of(ledger.time.data[index])
        by_entity = place[2] == "subject"
        group = ledger.entity.data[index].astype(np.int64) if by_entity else self._scopes(ledger, index)
        slot = store.slots(pane, group)
        if by_entity:
            slot[group < 0] = -1
        store.mark(pane, group, slot)
        for measure in self.additive.get(place, {}).values():
            measure.apply(columns, slot, group, pane, sign)
        for table, extreme in self.extremes.values():
            if extreme.store is store and table == place[0]:
                extreme.apply(columns, slot, sign)

    # Ticking.

    def tick(self, now: int, rows_by_table: Mapping[str, Int64], ancestors: Int32) -> None:
        """Move windows and clocks to `now`, take in the changed table rows, roll up."""
        if self.merged:
            self._turn(now, ancestors)
            return
        for table, extreme in self.extremes.values():
            recount(extreme, self._sources[table], self._entities, self._unknown)
        for store in self.stores.values():
            old, new = store.advance(now)
            self._advance(store, old, new)
        for _, quantile in self.quantiles.values():
            quantile.advance(*quantile.store.advance(now))
            quantile.settle(ancestors)
        for _, distinct in self.distincts.values():
            distinct.advance(*distinct.store.advance(now), ancestors)
        memo, none = Memo(self._entities, now), np.zeros(0, np.int64)
        for tally in self.tallies.values():
            rows = tally.affected(rows_by_table.get(tally.spec.table, none))
            tally.update(rows, memo, now, self._unknown)
            tally.settle(ancestors)
        if self.streams is not None:
            self.streams.update(now, rows_by_table.get("obs", np.zeros(0, np.int64)), ancestors)
        for known in self.additive.values():
            for measure in known.values():
                for view in measure.windows.values():
                    view.rolled.settle(ancestors)
        for _, extreme in self.extremes.values():
            extreme.settle(ancestors)

    def _turn(self, now: int, ancestors: Int32) -> None:
        """Move the clock and roll up what shards said; their windows have moved with the same clock."""
        for store in self.stores.values():
            store.advance(now)
        for _, distinct in self.distincts.values():
            distinct.advance(*distinct.store.advance(now), ancestors)
        self._settle_sums(ancestors)

    def settle_counts(self, now: int, ancestors: Int32) -> None:
        """After a restore as of `now`: settle what the next tick would."""
        if self.streams is not None and not self.merged:
            self.streams.update(now, np.zeros(0, np.int64), ancestors)
        for _, quantile in self.quantiles.values():
            quantile.settle(ancestors)
        self._settle_sums(ancestors)

    def _settle_sums(self, ancestors: Int32) -> None:
        for part in self._rolled():
            if isinstance(part, Rolled | Histograms) or (isinstance(part, Tally) and part.adds):
                part.settle(ancestors)

    def _advance(self, store: PaneStore, old: int, new: int) -> None:
        for place, known in self.additive.items():
            if self.stores.get(place) is store:
                for measure in known.values():
                    for view in measure.windows.values():
                        view.advance(old, new)
        for _, extreme in self.extremes.values():
            if extreme.store is store:
                extreme.advance(old, new)

    # Housekeeping.

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        for part in self._rolled():
            part.resize(n)

    def _rolled(self) -> Iterable[Any]:
        for known in self.additive.values():
            for measure in known.values():
                yield from (view.rolled for view in measure.windows.values())
        yield from (e.rolled for _, e in self.extremes.values())
        yield from (q.rolled for _, q in self.quantiles.values())
        yield from (w for _, d in self.distincts.values() for w in d.windows.values())
        yield from self.tallies.values()
        if self.streams is not None:
            yield from self.streams.rolled()

    def clear_changed(self) -> None:
        """Forget which scopes changed, after every formula has seen it."""
        for part in self._rolled():
            part.changed.clear()

    def next_due(self) -> int:
        """Earliest pane edge that a window with content will cross, or deadline of a row."""
        times = [t.deadlines.next_due() for t in self.tallies.values()]
        stores = [*self.stores.values(), *(q.store for _, q in self.quantiles.values())]
        stores += [d.store for _, d in self.distincts.values()]
        if self.streams is not None:
            times.append(self.streams.deadlines.next_due())
        times += [s.next_edge() for s in stores if s.pane.n or s.current > -(2**39)]
        return min(times, default=2**62)

    def reach_ms(self, ledger: Ledger) -> int:
        """How far before the horizon the ledger must reach so that panes of extremes can be recounted."""
        panes = [e.store.pane_ms for t, e in self.extremes.values() if self._sources[t].ledger is ledger]
        return max(panes, default=0)

    def entity_kinds(self) -> set[str]:
        """Names of the tables that are entity kinds."""
        return {name for name, table in self._tables.items() if isinstance(table, EntityTable)}

    def mark_entities(self, rows: Int64) -> None:
        """Entities changed, or sent something: tallies over their kind look at them again."""
        for name in {t.spec.table for t in self.tallies.values()}:
            table = self._tables[name]
            if isinstance(table, EntityTable):
                table.mark(rows)
        if self.streams is not None:
            self.streams.mark(rows)

    def _named(self) -> dict[str, Any]:
        parts: dict[str, Any] = {f"store {k!r}": s for k, s in self.stores.items()}
        for place, known in self.additive.items():
            for name, measure in known.items():
                parts |= {f"sum {place!r} {name} {s!r}": v.rolled for s, v in measure.windows.items()}
        parts |= {f"max {k}": e.rolled for k, (_, e) in self.extremes.items()}
        parts |= {f"quantile {k}": q.store for k, (_, q) in self.quantiles.items()}
        parts |= {f"distinct {k}": d for k, (_, d) in self.distincts.items()}
        parts |= {f"dstore {k}": d.store for k, (_, d) in self.distincts.items()}
        if self.streams is not None:
            parts["streams"] = self.streams
        return parts | {f"tally {k}": t for k, t in self.tallies.items()}

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot; names hold the declarations, so that a changed one is not restored into another."""
        return {f"{p}{_SEP}{k}": v for p, part in self._named().items() for k, v in part.state().items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore. Raises KeyError when a declaration is not in the snapshot."""
        grouped: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in state.items():
            part, _, key = name.rpartition(_SEP)
            grouped.setdefault(part, {})[key] = array
        for name, part in self._named().items():
            part.load(grouped[name])
        for _, distinct in self.distincts.values():
            distinct.refresh()
        if self.merged:
            return
        for _, quantile in self.quantiles.values():
            quantile.refresh()
        for _, extreme in self.extremes.values():
            extreme._dirty = True
