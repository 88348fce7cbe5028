"""What an explanation sees of an engine, and the one scope that it looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.api import Aggregate, Spec
from citytwin.indicators.board import Board
from citytwin.indicators.columns import EntityTable
from citytwin.indicators.evidence import Evidence, sorted_once
from citytwin.indicators.pulse import Pulse
from citytwin.models.columns import Bool, Int32, Int64
from citytwin.models.vocabulary import ALWAYS
from citytwin.twin.entities import Entities
from citytwin.twin.growable import Grow
from citytwin.twin.ledger import Ledger
from citytwin.twin.tables import Table

#: Kinds of aggregates that are of now, whatever the window of their indicator.
WINDOWLESS = ("ind", "rows", "datastreams")
#: Amount of an event that is read and adds nothing of its own.
READ = float("nan")


class Sight(Protocol):
    """An engine, as far as explanations look at it: at the state of its last tick."""

    now: int
    scopes: ScopeTree
    entities: Entities
    aggregates: Aggregates
    board: Board
    pulse: Pulse
    last_seen: Grow

    @property
    def ledgers(self) -> Mapping[str, Ledger]:
        """Events by type or family."""

    @property
    def tables(self) -> Mapping[str, Table]:
        """Tables that tallies read."""


class Outlook:
    """The scope (row) that is explained, what lies below it, and the evidence found so far."""

    def __init__(self, sight: Sight, row: int) -> None:
        self.sight, self.row = sight, row
        tree = sight.scopes
        #: Scopes that count: what lies below, all of the city while `wide`.
        self.below: Bool = tree.ancestors()[:, int(tree.level[row])] == row
        self._mine = self.below
        self.evidence = Evidence(sight.ledgers)
        self._notes: dict[str, None] = {}
        self._places = {id(ledger): name for name, ledger in sight.ledgers.items()}

    @property
    def wide(self) -> bool:
        """Whether all of the city counts."""
        return self.below is not self._mine

    @contextmanager
    def widened(self, whole: bool) -> Iterator[None]:
        """Look at all of the city for a while, if it is to be the whole."""
        before = self.below
        if whole and not self.wide:
            self.below = np.ones(len(before), np.bool_)
        yield
        self.below = before

    @property
    def said(self) -> Bool:
        """Scopes below, and those at which stands what was said of a scope above as a whole."""
        tree, mask = self.sight.scopes, self.below.copy()
        for above in tree.path(self.row):
            end = tree.unlocated_child(above)
            mask[above if end < 0 else end] = True
        return mask

    def note(self, text: str) -> None:
        """Say something once."""
        self._notes[text] = None

    @property
    def notes(self) -> list[str]:
        """What was said."""
        return list(self._notes)

    def inside(self, entity: Int64) -> Bool:
        """Entities (rows, -1 = none) whose place is below; one without a place is the city's."""
        place = self.sight.entities.scope[np.maximum(entity, 0)] if self.sight.entities.n else entity * 0
        found: Bool = (entity >= 0) & self.below[np.where(place < 0, 0, place)]
        return found

    def placed(self, scope: Int32) -> Int64:
        """Scope rows, of what has none that at which it is counted."""
        return np.where(scope < 0, self.sight.aggregates.unknown_scope, scope).astype(np.int64)

    def place_of(self, ledger: Ledger) -> str:
        """Name of a ledger."""
        return self._places[id(ledger)]

    def place_behind(self, table: str) -> str:
        """Name of the ledger behind a table of events; "" behind a register."""
        if isinstance(self.sight.tables[table], EntityTable):
            return ""
        return self.place_of(self.sight.aggregates.source(table).ledger)

    def forgotten(self, table: str, ledger: Ledger, start: int) -> None:
        """Say where events of a window may be out of the ledger already."""
        horizon = max(t.horizon_ms for t in ledger.types)
        if ledger.base and horizon < ALWAYS and start < self.sight.now - horizon:
            hours = horizon // 3_600_000
            self.note(f"events of {table} are kept for {hours} h; what older ones add is only in the sums")

    def follow(self, agg: Aggregate, entity: Int64, owners: set[str], space: str = "ent") -> None:
        """Facts of the entities (rows) whose attributes the expressions of an aggregate read by `ent`.

        By `row`, of a register itself: only of those that its relations lead to.
        """
        rows = sorted_once(entity)
        for path in sorted({name for where, name in refs_of(agg) if where == space}):
            if space == "ent" or "." in path:
                self._follow(rows, path.split("."), owners)

    def _follow(self, rows: Int64, path: list[str], owners: set[str]) -> None:
        """`observes.length_m` reads a relation here and an attribute there."""
        self.evidence.state(owners, "", rows, np.full(len(rows), READ), (path[0],))
        if len(path) > 1 and len(rows):
            other = np.asarray(self.sight.entities.attr(path[0]))[rows].astype(np.int64)
            self._follow(sorted_once(other), path[1:], owners)


def refs_of(agg: Aggregate) -> frozenset[tuple[str, str]]:
    """All (space, name) pairs that the expressions of an aggregate read."""
    exprs = (agg.value, agg.where, agg.start, agg.end, agg.at, agg.weight, *(e for _, e in agg.columns))
    found: Iterable[frozenset[tuple[str, str]]] = (e.refs for e in exprs if e is not None)
    return frozenset().union(*found)


def siblings_of(agg: Aggregate) -> set[str]:
    """Other properties of the same subject that its expressions read."""
    return {space[8:] for space, _ in refs_of(agg) if space.startswith("sibling:")}


def span_ms(agg: Aggregate, spec: Spec, now: int, origin: int) -> tuple[int, int] | None:
    """The window of an aggregate in force at a time, ms UTC, end excluded; None where it has none."""
    window = agg.window or spec.window
    if window.kind == "instant" or agg.kind in WINDOWLESS or (agg.kind == "tally" and agg.at is None):
        return None
    panes = agg.keep or window.panes if agg.by != "scope" else window.panes
    end = ((now - origin) // window.pane_ms + 1) * window.pane_ms + origin
    return end - panes * window.pane_ms, end
