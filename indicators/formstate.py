"""What class forms ask for beside values by scope: panes by entity or own scope, and rows of tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from citytwin.indicators.api import Aggregate, Panes, Rows, Window
from citytwin.indicators.panes import Additive, PaneStore

_INSTANT = Window("instant")
#: Bits of a pane's group that are its number; above them stands the shard that said it, where shards are merged.
GROUP = (1 << 40) - 1


class Grouped(NamedTuple):
    """Panes by group: the sums and the numbers of their terms, steps of a unit, how many panes are asked for."""

    store: PaneStore
    total: Additive
    counted: Additive
    per_unit: int
    keep: int


class Listed(NamedTuple):
    """Rows that a class form asks for, and how often (ms; 0: whenever a part moved)."""

    declared: Aggregate
    every_ms: int


@dataclass(slots=True)
class FormState:
    """Declarations by name (`grouped`) or key (`listed`); `told`: rows as shards told them, where they are merged."""

    grouped: dict[str, Grouped] = field(default_factory=dict)
    listed: dict[str, Listed] = field(default_factory=dict)
    told: dict[str, Rows] = field(default_factory=dict)

    def panes(self, name: str) -> Panes:
        """Panes per entity or own scope of a declaration: see indicators.api.Panes."""
        store, total, counted, unit, keep = self.grouped[name]
        first = store.current - keep + 1
        slots = store.between(first, store.current)
        slots = slots[counted.column.data[slots] > 0]
        groups, at = np.unique(store.group.data[slots] & GROUP, return_inverse=True)
        sums, counts = np.zeros((2, len(groups), keep), np.int64)
        column = store.pane.data[slots] - first
        np.add.at(sums, (at, column), total.column.data[slots])  # what shards said of one group adds up
        np.add.at(counts, (at, column), counted.column.data[slots])
        return Panes(groups.astype(np.int32), first, store.pane_ms, sums / unit, counts)

    def list(self, agg: Aggregate, every_ms: int) -> None:
        """A class form will ask for these rows."""
        self.listed[key_of(agg)] = Listed(agg, every_ms)

    def told_of(self, agg: Aggregate) -> Rows:
        """The rows of a declaration as shards told them last; none before."""
        found = self.told.get(key_of(agg))
        return Rows.none([name for name, _ in agg.columns]) if found is None else found


def key_of(agg: Aggregate) -> str:
    """The name of declared rows, the same for equal declarations."""
    return agg.key(_INSTANT)
