"""Relations between entities as columns of rows; a code whose entity comes later is found when it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Bool, Coded, Int32, Strings
from citytwin.models.hashing import Allocate
from citytwin.models.vocabulary import Field, Kind
from citytwin.twin.attributes import Input, Plain
from citytwin.twin.growable import Grow, GrowText

#: Finds rows of codes, -1 where unknown or of another kind than the relation asks.
Finder = Callable[[Strings], Int32]


class Relation(Plain):
    """Row of the target (int32), -1 without one; below -1 it is place -(value + 2) of the codes that wait.

    A waiting code is looked up again at the first read after entities were added.
    """

    def __init__(self, name: str, find: Finder, allocate: Allocate = np.empty) -> None:
        super().__init__(Field(name, Kind.INTEGER), allocate)
        self._allocate = allocate
        self._find = find
        self.values = Grow(np.int32, -1, allocate)
        self.waiting = GrowText(allocate)
        self.holders = Grow(np.int32, -1, allocate)
        self._tried = 0
        self._limit = 1024

    def read(self, column: Input) -> tuple[NDArray[Any], Bool]:
        """Rows of the targets, or places of those that wait; an empty code is absent."""
        if isinstance(column, Coded):
            column = Strings.of([*column.names, ""]).take(column.codes % (len(column.names) + 1))
        if not isinstance(column, Strings):
            raise TypeError(f"relation {self.field.name} holds codes, not numbers")
        if self.holders.n > self._limit:
            self._settle()
        present = column.lengths() > 0
        rows = np.full(len(column), -1, np.int32)
        rows[present] = self._find(column.take(present))
        late = present & (rows < 0)
        count = int(late.sum())
        if count:
            rows[late] = -2 - np.arange(self.holders.n, self.holders.n + count, dtype=np.int32)
            self.waiting.extend(column.take(late))
            self.holders.resize(self.holders.n + count)
        return rows, present

    def known(self, rows: Int32) -> Bool:
        """Where the rows hold a target, found or waiting."""
        held: Bool = self.values.data[rows] != -1
        return held

    def write(self, rows: Int32, values: NDArray[Any]) -> None:
        """Store what `read` gave."""
        self.values.data[rows] = values
        late = values < -1
        self.holders.data[-2 - values[late]] = rows[late]

    def resolve(self, version: int) -> None:
        """Look waiting codes up again if `version`, the number of entities, has changed."""
        if self.holders.n and version != self._tried:
            self._tried = version
            self._settle()

    def _settle(self) -> None:
        holders, places = self.holders.data, np.arange(self.holders.n)
        # A place is dead when its value was never written or another target came meanwhile.
        alive = np.flatnonzero((holders >= 0) & (self.values.data[holders] == -2 - places))
        who, codes = holders[alive].copy(), self.waiting.strings.take(alive)
        found = self._find(codes)
        still = found < 0
        self.waiting, self.holders = GrowText(self._allocate), Grow(np.int32, -1, self._allocate)
        self.waiting.extend(codes.take(still))
        self.holders.extend(who[still])
        found[still] = -2 - np.arange(int(still.sum()), dtype=np.int32)
        self.values.data[who] = found
        self._limit = 2 * self.holders.n + 1024

    def pointing(self, rows: NDArray[np.integer], codes: Strings) -> Int32:
        """Holders of one of the target rows, and those that wait for one of the codes."""
        holds = np.isin(self.values.data, rows)
        wanted = set(codes.tolist())
        for place, code in enumerate(self.waiting.strings.tolist() if wanted and self.holders.n else ()):
            if code in wanted and self.holders.data[place] >= 0:
                holds[self.holders.data[place]] = True
        return np.flatnonzero(holds).astype(np.int32)

    def view(self) -> Int32:
        """Rows of the targets, -1 without a known one (a copy)."""
        rows: Int32 = np.maximum(self.values.data, -1)
        return rows

    def state(self) -> dict[str, Any]:
        """Arrays of the snapshot, with only what still waits."""
        self._settle()
        texts = self.waiting.strings
        return {
            "values": self.values.data.copy(),
            "holders": self.holders.data.copy(),
            "data": texts.data.copy(),
            "offsets": texts.offsets.copy(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Hold the arrays of a snapshot."""
        self.values.load(state["values"])
        self.holders.load(state["holders"])
        self.waiting.load(Strings(state["data"], state["offsets"]))
