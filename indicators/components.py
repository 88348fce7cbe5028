"""The components of a set of aggregates, by names that are equal wherever the same indicators are declared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.distinct import Distinct
from citytwin.indicators.formstate import Listed
from citytwin.indicators.histograms import Histograms
from citytwin.indicators.panes import PaneStore
from citytwin.indicators.rolled import Rolled, RolledExtreme


@dataclass(slots=True)
class Components:
    """What is told of aggregates: each sort of component by name."""

    sums: dict[str, Rolled] = field(default_factory=dict)
    extremes: dict[str, RolledExtreme] = field(default_factory=dict)
    histograms: dict[str, Histograms] = field(default_factory=dict)
    distincts: dict[str, Distinct] = field(default_factory=dict)
    #: Stores of panes by group and the columns of each that are told.
    panes: dict[str, tuple[PaneStore, str]] = field(default_factory=dict)
    rows: dict[str, Listed] = field(default_factory=dict)
    forms: list[Aggregates] = field(default_factory=list)

    def add(self, aggregates: Aggregates, owner: str = "") -> None:
        """Take in the components of aggregates; `owner` names the plugin file that they belong to."""
        self._add_windows(aggregates, owner)
        for key, tally in aggregates.tallies.items():
            name = short("tally", owner, key)
            if tally.spec.reduce == "sum":
                self.sums[name] = tally.rolled
            elif tally.spec.reduce == "quantile":
                self.histograms[name] = tally.histograms
            else:
                self.extremes[name] = tally.extreme
        if aggregates.streams is not None:
            for prop, inputs in aggregates.streams.inputs.items():
                for i, rolled in enumerate(inputs.rolled()):
                    self.sums[short("streams", owner, f"{prop} {i}")] = rolled
        for listed, form in aggregates.forms.listed.items():
            self.rows[listed] = form
        self.forms.append(aggregates)

    def _add_windows(self, aggregates: Aggregates, owner: str) -> None:
        for place, known in aggregates.additive.items():
            for name, measure in known.items():
                for span, view in measure.windows.items():
                    self.sums[short("sum", owner, f"{place!r} {name} {span!r}")] = view.rolled
        for key, (_, extreme) in aggregates.extremes.items():
            self.extremes[short("max", owner, key)] = extreme.rolled
        for key, (_, quantile) in aggregates.quantiles.items():
            self.histograms[short("quantile", owner, key)] = quantile.rolled
        for key, (_, distinct) in aggregates.distincts.items():
            self.distincts[short("distinct", owner, key)] = distinct
        places = {id(store): place for place, store in aggregates.stores.items()}
        for store, total, counted, _, _ in aggregates.forms.grouped.values():
            for measure in (total, counted):
                column = next(n for n, c in store.columns.items() if c is measure.column)
                name = short("panes", owner, f"{places[id(store)]!r} {column}")
                self.panes[name] = (store, column)


def short(sort: str, owner: str, declared: str) -> str:
    """A name of 16 characters for a declaration: declarations are long, and each part names hundreds."""
    return hashlib.blake2b(f"{sort}\t{owner}\t{declared}".encode(), digest_size=8).hexdigest()
