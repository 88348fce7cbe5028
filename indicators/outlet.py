"""What a shard's aggregates say at a marker: totals at their own scopes that changed since the last one.

A shard does not roll up: its aggregates tick with every scope as its only ancestor, so that their totals are their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.components import Components
from citytwin.indicators.panes import PaneStore
from citytwin.indicators.rolled import Rolled, RolledExtreme
from citytwin.indicators.tablerows import keys_of
from citytwin.models.columns import Int32
from citytwin.models.part import Bunch, Columns, Share, Told

Every = Callable[[], Iterable[tuple[str, Aggregates]]]


def own_scopes(n: int) -> Int32:
    """Ancestors for a shard: every scope row is its only one (int32[n, 1])."""
    return np.arange(n, dtype=np.int32)[:, None]


class Outlet:
    """Takes from the aggregates of a shard what changed; `every` gives them, by the plugin file they belong to."""

    def __init__(self, every: Every) -> None:
        self._every = every
        self._periods: dict[str, int] = {}
        self._known: list[Aggregates] = []
        self._components = Components()
        self._refresh()

    def _refresh(self) -> Components:
        """Components of the aggregates that are counted now, told to mark what changes."""
        found = list(self._every())
        if [a for _, a in found] != self._known:
            fresh = [a for _, a in found if a not in self._known]
            self._known, self._components = [a for _, a in found], Components()
            for owner, aggregates in found:
                self._components.add(aggregates, owner)
            mark(self._components)
            for key in [k for a in fresh for k in a.forms.listed]:  # a plugin that came back: its rows are told anew
                self._periods.pop(key, None)
        return self._components

    def begin(self) -> None:
        """Mark from now on; before the first batch, and after a restore: what was told is not told again."""
        parts = self._refresh()
        for histograms in parts.histograms.values():
            histograms.marks = []
        for distinct in parts.distincts.values():
            distinct.marks = []
        for aggregates in self._known:
            aggregates.clear_changed()

    def take(self, now: int) -> Share:
        """What changed, after a tick at `now`."""
        parts = self._refresh()
        share = Share(
            Bunch.of([(k, _changed(r)) for k, r in parts.sums.items() if r.changed.stirred]),
            Bunch.of([(k, _changed(r)) for k, r in parts.extremes.items() if r.changed.stirred]),
            Bunch.of([(k, h.take_marks()) for k, h in parts.histograms.items() if h.marks]),
            Bunch.of([(k, _keys(d.marks)) for k, d in parts.distincts.items() if d.marks]),
            self._panes(parts),
            self._rows(parts, now),
        )
        for distinct in parts.distincts.values():
            distinct.marks = []
        for aggregates in self._known:
            aggregates.clear_changed()
        return share

    def _panes(self, parts: Components) -> Bunch:
        slots = {id(store): store.take_marks() for store, _ in _stores(parts)}
        out = list[tuple[str, Columns]]()
        for key, (store, column) in parts.panes.items():
            at = slots[id(store)]
            out.append((key, (store.pane.data[at], store.group.data[at], store.columns[column].data[at])))
        return Bunch.of(out)

    def _rows(self, parts: Components, now: int) -> dict[str, Told]:
        """Rows of the forms that will ask for them in this tick: when their period began."""
        out: dict[str, Told] = {}
        for key, (agg, every) in parts.rows.items():
            period = now // every if every else now
            if self._periods.get(key) == period:
                continue
            self._periods[key] = period
            holder = next(a for a in parts.forms if key in a.forms.listed)
            found = holder.rows(agg, now)
            order = keys_of(holder.table(agg.table), found.row)
            out[key] = Told(order.a, order.b, found.scope, found.entity, found.columns)
        return out

    def state(self) -> dict[str, int]:
        """In which period the rows of each form were told last."""
        return dict(self._periods)

    def load(self, state: dict[str, int]) -> None:
        """Restore."""
        self._periods = {str(k): int(v) for k, v in state.items()}


def mark(parts: Components) -> None:
    """Have components remember what changes from now on, those that do already go on."""
    for histograms in parts.histograms.values():
        histograms.marks = histograms.marks or []
    for distinct in parts.distincts.values():
        distinct.marks = distinct.marks or []


def _stores(parts: Components) -> list[tuple[PaneStore, str]]:
    return list({id(s): (s, c) for s, c in parts.panes.values()}.values())


def _changed(rolled: Rolled | RolledExtreme) -> Columns:
    rows = np.flatnonzero(rolled.changed.data)
    return rows, rolled.total.data[rows]


def _keys(marks: Sequence[Columns]) -> Columns:
    return tuple(np.concatenate(c) for c in zip(*marks, strict=True))
