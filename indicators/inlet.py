"""Merging what shards say: each component's absolute totals by (shard, scope), and their differences to what stood.

The algebra is the aggregates' own: sums add up, the largest wins, histograms add bucket by bucket, keys are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.api import Rows
from citytwin.indicators.buckets import SPAN
from citytwin.indicators.components import Components
from citytwin.indicators.formstate import GROUP
from citytwin.indicators.panes import PaneStore
from citytwin.models.columns import MISSING, Coded, Float64, Int32, Int64
from citytwin.models.hashing import Keys
from citytwin.models.part import Bunch, Share, Told

_SHARD_BITS = 40
Every = Callable[[], Iterable[tuple[str, Aggregates]]]


class Inlet:
    """Holds what each shard said last of the aggregates that `every` gives, and puts the sum of it into them."""

    def __init__(self, every: Every) -> None:
        self._every = every
        self._known: list[Aggregates] = []
        self._parts = Components()
        #: What was said of scopes: a slot for each (shard, scope), a column for each component.
        self._said = PaneStore(1, 0)
        self._extreme: set[str] = set()
        #: What was said of histograms, by component: a slot for each (shard, scope and bucket).
        self._buckets: dict[str, PaneStore] = {}
        self._rows: dict[str, dict[int, Told]] = {}
        self.refresh()

    def refresh(self) -> Components:
        """Follow plugins that came or went."""
        found = list(self._every())
        if [a for _, a in found] != self._known:
            fresh = Components()
            self._parts, before, self._known = Components(), self._known, [a for _, a in found]
            for owner, aggregates in found:
                self._parts.add(aggregates, owner)
                if aggregates not in before:
                    fresh.add(aggregates, owner)
            self._forget(fresh)
        return self._parts

    def _forget(self, parts: Components) -> None:
        """What was said of a plugin that was there before: the one that is there now holds none of it."""
        for key in (*parts.sums, *parts.extremes):
            self._said.columns.pop(key, None)
        for key in parts.histograms:
            self._buckets.pop(key, None)
        for key in parts.rows:
            self._rows.pop(key, None)

    def put(self, shard: int, share: Share, ancestors: Int32) -> None:
        """Take in what a shard says. Components that nobody counts here any more are left out."""
        parts = self.refresh()
        self._sums(shard, share.sums, parts)
        self._extremes(shard, share.extremes, parts)
        for key, at in share.histograms:
            if key in parts.histograms:
                code, count = (c[at] for c in share.histograms.columns)
                self._histogram(key, shard, code, count, parts)
        for key, at in share.keys:
            if key in parts.distincts:
                a, b, pane, scope, sign = (c[at] for c in share.keys.columns)
                parts.distincts[key].put(Keys(a, b), pane, scope, sign, ancestors)
        self._panes(shard, share.panes, parts)
        for key, told in share.rows.items():
            self._rows.setdefault(key, {})[shard] = told
            self._tell_rows(key, parts)

    def _slots(self, shard: int, rows: Int64) -> Int64:
        return self._said.slots(np.full(len(rows), shard, np.int64), rows)

    def _sums(self, shard: int, bunch: Bunch, parts: Components) -> None:
        if not len(bunch):
            return
        rows, values = bunch.columns
        slots = self._slots(shard, rows.astype(np.int64))
        for key, at in bunch:
            if key not in parts.sums:
                continue
            held = self._said.column(key).data
            slot, value = slots[at], values[at]
            parts.sums[key].add(rows[at], value - held[slot])
            held[slot] = value

    def _extremes(self, shard: int, bunch: Bunch, parts: Components) -> None:
        if not len(bunch):
            return
        rows, values = bunch.columns
        slots = self._slots(shard, rows.astype(np.int64))
        for key, at in bunch:
            if key in parts.extremes:
                self._said.column(key, MISSING).data[slots[at]] = values[at]
                self._extreme.add(key)

    def _histogram(self, key: str, shard: int, code: Int64, count: Int64, parts: Components) -> None:
        store = self._buckets.setdefault(key, PaneStore(1, 0))
        slot = store.slots(np.full(len(code), shard, np.int64), code)
        held = store.column("count").data
        parts.histograms[key].add(code // SPAN, code % SPAN, count - held[slot])
        held[slot] = count

    def _panes(self, shard: int, bunch: Bunch, parts: Components) -> None:
        for key, at in bunch:
            if key in parts.panes:
                pane, group, value = (c[at] for c in bunch.columns)
                store, column = parts.panes[key]
                slot = store.slots(pane, group | (shard + 2) << _SHARD_BITS)
                there = slot >= 0
                store.columns[column].data[slot[there]] = value[there]

    def _tell_rows(self, key: str, parts: Components) -> None:
        merged = _merged([self._rows[key][s] for s in sorted(self._rows[key])])
        for aggregates in parts.forms:
            if key in aggregates.forms.listed:
                aggregates.forms.told[key] = merged

    def settle(self, ancestors: Int32) -> None:
        """After all shards of a marker: extremes of all that is said."""
        parts = self._parts
        scopes = self._said.group.data.astype(np.int32)
        for key in sorted(self._extreme):
            if key in parts.extremes:
                held = self._said.column(key, MISSING).data
                some = np.flatnonzero(held != MISSING)
                parts.extremes[key].settle(scopes[some], held[some], ancestors)
        self._extreme = set()

    # Snapshots

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot; rows of class forms are kept beside them."""
        out = {f"said.{k}": v for k, v in self._said.state().items()}
        for key, store in self._buckets.items():
            out |= {f"hist.{key}.{k}": v for k, v in store.state().items()}
        return out

    def rows(self) -> dict[str, dict[int, Told]]:
        """What shards said of the rows of class forms, by declaration and shard."""
        return self._rows

    def load(self, state: Mapping[str, NDArray[Any]], rows: Mapping[str, Mapping[int, Told]]) -> None:
        """Restore, after the aggregates were: sums and histograms are made anew of what was said of them."""
        parts = self.refresh()
        known = {f"said.c.{key}" for key in (*parts.sums, *parts.extremes)}
        # what was said of a plugin that is gone is left out
        said = {
            k[5:]: v for k, v in state.items() if k.startswith("said.") and (k in known or not k.startswith("said.c."))
        }
        for name in said:
            if name.startswith("c."):
                self._said.column(name[2:], MISSING if name[2:] in parts.extremes else 0)
        self._said.load(said)
        for key, rolled in parts.sums.items():
            rolled.clear()
            if key in self._said.columns:
                rolled.add(self._said.group.data, self._said.columns[key].data)
        for key, histograms in parts.histograms.items():
            held = {k[len(key) + 6 :]: v for k, v in state.items() if k.startswith(f"hist.{key}.")}
            if not held:
                continue
            store = self._buckets[key] = PaneStore(1, 0)
            store.column("count")
            store.load(held)
            code, count = store.group.data, store.columns["count"].data
            histograms.clear()
            histograms.add(code // SPAN, code % SPAN, count)
        self._rows = {key: dict(told) for key, told in rows.items()}
        for key in self._rows:
            self._tell_rows(key, parts)


def _merged(told: list[Told]) -> Rows:
    """The rows of all shards, in one order."""
    a, b = (np.concatenate([t[i] for t in told]) for i in (0, 1))
    order = np.lexsort((b, a))
    scope, entity = (np.concatenate([t[i] for t in told])[order] for i in (2, 3))
    columns = {name: _column([t.columns[name] for t in told], order) for name in told[0].columns}
    return Rows(np.arange(len(order), dtype=np.int64), scope, entity, columns)


def _column(parts: list[Float64 | Coded], order: Int64) -> Float64 | Coded:
    if isinstance(parts[0], Coded):
        known: dict[str, int] = {}
        codes = np.concatenate([p.recode(known) for p in parts if isinstance(p, Coded)])
        return Coded(codes[order], tuple(known))
    found: Float64 = np.concatenate([p for p in parts if not isinstance(p, Coded)])[order]
    return found


assert GROUP == (1 << _SHARD_BITS) - 1
