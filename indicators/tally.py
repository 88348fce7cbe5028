"""Row aggregates: sum, largest or smallest of what the rows of a table contribute now, by events and the clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.indicators.api import Aggregate, Window
from citytwin.indicators.buckets import bucket_of
from citytwin.indicators.columns import RowColumns
from citytwin.indicators.expr import Expr, as_mask, as_numbers, pinned_code
from citytwin.indicators.histograms import Histograms
from citytwin.indicators.memo import Memo
from citytwin.indicators.rolled import Flags, Rolled, RolledExtreme
from citytwin.models.columns import MISSING, Bool, Float64, Int32, Int64, Strings, unique
from citytwin.models.hashing import hash_strings
from citytwin.twin.cases import CaseTable
from citytwin.twin.deadlines import NEVER, Deadlines
from citytwin.twin.growable import Grow
from citytwin.twin.journeys import JourneyTable
from citytwin.twin.tables import NewestTable, Table


class Tally:
    """Contributions per table row: `contrib` int64 (MISSING = none) at scope `where_at`; totals by scope in `rolled`.

    `closed`: over the last closed tumbling window instead of the open one; without `at`, as it stood at the end of it.
    """

    def __init__(self, table: Table, spec: Aggregate, window: Window, origin_ms: int, closed: bool = False) -> None:
        self.table, self.spec, self.window, self.origin_ms, self.closed = table, spec, window, origin_ms, closed
        self.contrib, self.where_at = Grow(np.int64, MISSING), Grow(np.int32, -1)
        self.rolled = Rolled()
        self.extreme = RolledExtreme()
        self.histograms = Histograms(spec.q)
        parts: dict[str, Rolled | RolledExtreme | Histograms] = {"sum": self.rolled, "quantile": self.histograms}
        #: The one of the three that is in use.
        self._part = parts.get(spec.reduce, self.extreme)
        self.deadlines = Deadlines()
        self._sign = -1 if spec.reduce == "min" else 1
        self._moved = False
        exprs = [e for e in (spec.value, spec.where, spec.start, spec.end, spec.at) if isinstance(e, Expr)]
        self.siblings = {s[8:] for e in exprs for s, _ in e.refs if s.startswith("sibling:")}
        self.pinned = pinned_code(spec.where, "row", "property")

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        self._part.resize(n)

    def relevant(self, rows: Int64, memo: Memo) -> Int64:
        """Those of the rows that can contribute at all, by the property the condition pins."""
        if self.pinned is None or not isinstance(self.table, NewestTable) or len(rows) == 0:
            return rows
        mine, gone = memo.of_property(self.table, rows, self.pinned)
        # A slot keeps its property; one whose every event was retracted has none, and may have counted before.
        gone = gone[gone < self.contrib.n]
        gone = gone[self.contrib.data[gone] != MISSING]
        return unique(np.concatenate([mine, gone])) if len(gone) else mine

    def affected(self, rows: Int64) -> Int64:
        """Rows to look at when these changed: those that read one of them as a sibling too."""
        table = self.table
        if not self.siblings or not isinstance(table, NewestTable) or len(rows) == 0:
            return rows
        codes, names = table.codes("property")
        wanted = [names.index(s) for s in self.siblings if s in names]
        # A sibling of which every event was retracted has no property any more.
        moved = rows[np.isin(codes[rows], [*wanted, -1])]
        if self.pinned is None:
            return unique(np.concatenate([rows, table.of_subjects(moved)]))
        main = table.siblings(moved, hash_strings(Strings.of([self.pinned])))
        return unique(np.concatenate([rows, main[main >= 0]]))

    def update(self, rows: Int64, memo: Memo, now: int, unknown_scope: int) -> None:
        """Work out again what these rows (sorted, unique) and those whose deadline passed contribute."""
        due = self.deadlines.due(now)
        rows = self.relevant(rows, memo)
        if len(due):
            rows = unique(np.concatenate([rows, due]))
        if len(rows) == 0:
            return
        self.contrib.resize(int(rows.max()) + 1)
        self.where_at.resize(int(rows.max()) + 1)
        columns = memo.columns(self.table, rows)
        amount, ok = self._amounts(columns, rows)
        start, end = self._interval(columns, len(rows))
        ok &= ~np.isnan(start)
        active = ok & (start <= now) & ~(end <= now)
        self._plan(rows, ok, start, end, now)
        scope = columns.scopes()
        self._move(rows, np.where(active, amount, MISSING), np.where(scope < 0, unknown_scope, scope).astype(np.int32))

    def _amounts(self, columns: RowColumns, rows: Int64) -> tuple[Int64, Bool]:
        n = len(rows)
        ok = np.ones(n, np.bool_) if self.spec.where is None else as_mask(self.spec.where.evaluate(columns), n)
        if isinstance(self.table, NewestTable | JourneyTable | CaseTable):
            ok = ok & columns.present(self.table)
        assert self.spec.value is not None
        value = self.spec.value.evaluate(columns)
        number = value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype == np.bool_ else value
        amount = as_numbers(number, n) * self.spec.per_unit
        ok = ok & np.isfinite(amount)
        if self.spec.reduce == "quantile":
            return bucket_of(np.where(ok, amount / self.spec.per_unit, 0.0)), ok
        return np.rint(np.where(ok, amount, 0.0)).astype(np.int64) * self._sign, ok

    def _interval(self, columns: RowColumns, n: int) -> tuple[Float64, Float64]:
        """Start and end (float64 ms; NaN start = never, NaN end = for ever) of each contribution."""
        start, end = np.full(n, float(-NEVER)), np.full(n, np.nan)
        if self.spec.start is not None:
            start = as_numbers(self.spec.start.evaluate(columns), n)
        if self.spec.end is not None:
            end = as_numbers(self.spec.end.evaluate(columns), n)
        if self.spec.at is None:
            return (self._edge(start), self._edge(end)) if self.closed else (start, end)
        if self.window.kind == "instant":
            return start, end
        at, pane = as_numbers(self.spec.at.evaluate(columns), n), self.window.pane_ms
        edge = self._edge(at)
        begin, stop = at, edge + self.window.length_ms - pane
        if self.closed:
            begin, stop = edge, edge + self.window.length_ms
        # fmax keeps the later start when only one is known; a missing `at` never counts
        return np.where(np.isnan(at), np.nan, np.fmax(start, begin)), np.fmin(end, stop)

    def _edge(self, time: Float64) -> Float64:
        """End of the pane that holds each time: from then on a closed window, as it stood at its end, knows of it."""
        pane, origin = self.window.pane_ms, self.origin_ms
        edge: Float64 = (np.floor((time - origin) / pane) + 1) * pane + origin
        return edge

    def _plan(self, rows: Int64, ok: Bool, start: Float64, end: Float64, now: int) -> None:
        """Wake a row at its next start or end after now."""
        following = np.where(start > now, start, np.where(end > now, end, np.nan))
        want = ok & ~np.isnan(following)
        self.deadlines.plan(rows[want], np.ceil(following[want]).astype(np.int64))

    def _move(self, rows: Int64, amount: Int64, scope: Int32) -> None:
        old, was = self.contrib.data[rows], self.where_at.data[rows]
        changed = (old != amount) | ((was != scope) & (amount != MISSING))
        rows, amount, scope, old, was = rows[changed], amount[changed], scope[changed], old[changed], was[changed]
        gone, come = old != MISSING, amount != MISSING
        if self.spec.reduce == "sum":
            self.rolled.add(was[gone], -old[gone])
            self.rolled.add(scope[come], amount[come])
        elif self.spec.reduce == "quantile":
            self._recount(was[gone], old[gone], -1)
            self._recount(scope[come], amount[come], 1)
        self.contrib.data[rows], self.where_at.data[rows] = amount, scope
        self._moved |= len(rows) > 0

    def _recount(self, scope: Int32, bucket: Int64, sign: int) -> None:
        self.histograms.add(scope.astype(np.int64), bucket, np.full(len(scope), sign, np.int64))

    def settle(self, ancestors: Int32) -> None:
        """Roll up what moved."""
        if self.spec.reduce == "sum":
            self.rolled.settle(ancestors)
        elif self.spec.reduce == "quantile":
            self.histograms.settle(ancestors)
        elif self._moved:
            rows = np.flatnonzero(self.contrib.data != MISSING)
            self.extreme.settle(self.where_at.data[rows], self.contrib.data[rows], ancestors)
        self._moved = False

    def values(self) -> Float64:
        """Totals in units by scope (float64[n]); a largest or smallest of nothing is NaN, a sum of nothing 0."""
        if self.spec.reduce == "sum":
            return self.rolled.total.data / self.spec.per_unit
        if self.spec.reduce == "quantile":
            return self.histograms.total.data
        total = self.extreme.total.data
        return np.where(total == MISSING, np.nan, total * self._sign / self.spec.per_unit)

    def counting(self, below: Bool) -> int:
        """How many rows contribute at these scopes (bool[n scopes])."""
        rows = np.flatnonzero(self.contrib.data != MISSING)
        return int(np.count_nonzero(below[self.where_at.data[rows]]))

    @property
    def adds(self) -> bool:
        """Whether its totals add up; else they are a largest or smallest."""
        return self.spec.reduce in ("sum", "quantile")

    @property
    def changed(self) -> Flags:
        """Flags of scopes whose total differs since they were last cleared."""
        return self._part.changed

    def moved_now(self) -> bool:
        """Whether any scope's total differs since flags were last cleared."""
        return self.changed.any()

    def _parts(self) -> dict[str, Any]:
        named = {"sum": {"r": self.rolled}, "quantile": {}}.get(self.spec.reduce, {"x": self.extreme})
        return {**named, "d": self.deadlines}

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        out = {"contrib": self.contrib.data.copy(), "where_at": self.where_at.data.copy()}
        return out | {f"{p}.{k}": v for p, part in self._parts().items() for k, v in part.state().items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        self.contrib.load(state["contrib"])
        self.where_at.load(state["where_at"])
        for p, part in self._parts().items():
            part.load({k[2:]: v for k, v in state.items() if k.startswith(f"{p}.")})
        self._moved = True
        if self.spec.reduce == "quantile":
            rows = np.flatnonzero(self.contrib.data != MISSING)
            self.histograms.clear()
            self._recount(self.where_at.data[rows], self.contrib.data[rows], 1)
            self.histograms.changed.open()[:] = True
