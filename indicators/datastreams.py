"""Datastreams by scope: which properties of which devices are expected, were ever heard, and are in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from citytwin.indicators.quality import DEFAULT_PERIOD_S, PERIODS
from citytwin.indicators.rolled import Rolled
from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int32, Int64, unique
from citytwin.models.shards import Ownership
from citytwin.twin.deadlines import Deadlines
from citytwin.twin.entities import Entities
from citytwin.twin.growable import Grow
from citytwin.twin.tables import NewestTable

#: Bits of a datastream (a slot of the table of newest readings): it counts, it is in time, no device declares it.
_HEARD, _FRESH, _EXTRA = 1, 2, 4
_T = TypeVar("_T", bound=np.generic)


class StreamInputs:
    """Totals of one property by scope; of all properties under the name ""."""

    blank = False

    def __init__(self) -> None:
        self.fresh, self.heard, self.expected = Rolled(), Rolled(), Rolled()

    def look(self, now: int) -> None:
        """Nothing to do: `Datastreams.update` counts."""

    def counts(self) -> tuple[Int64, Int64, Int64]:
        """Fresh, heard, expected (int64[n])."""
        return self.fresh.total.data, self.heard.total.data, self.expected.total.data

    def moved(self) -> bool:
        """Whether a total differs since flags were last cleared."""
        return any(r.changed.any() for r in self.rolled())

    def rolled(self) -> tuple[Rolled, Rolled, Rolled]:
        """The three totals."""
        return self.fresh, self.heard, self.expected


class Datastreams:
    """Counts datastreams at the place of their device, by differences.

    Expected are those that a device in service declares (`properties`: names with blanks between) and those that were
    heard though nobody declares them. A device that is out of service or removed counts nowhere. All of it is a
    function of tables, registers and the clock, so a snapshot holds no counts: they are made anew.
    """

    def __init__(
        self, table: NewestTable, entities: Entities, unknown_scope: int, own: Ownership | None = None
    ) -> None:
        self._table, self._entities, self._unknown, self._own = table, entities, unknown_scope, own
        self.inputs: dict[str, StreamInputs] = {}
        self.forget()

    def want(self, prop: str) -> StreamInputs:
        """The totals of a property ("" = all)."""
        if prop not in self.inputs:
            self.inputs[prop] = StreamInputs()
        return self.inputs[prop]

    def forget(self) -> None:
        """Count everything anew at the next update."""
        self._whole = True
        self._marked: list[Int64] = []
        self.deadlines = Deadlines()
        self._bits, self._at, self._prop = Grow(np.int8), Grow(np.int32, -1), Grow(np.int32, -1)
        self._said, self._said_at = Grow(np.int32, -1), Grow(np.int32, -1)
        self._declares: NDArray[np.int64] = np.zeros((1, 1), np.int64)
        for part in self.rolled():
            part.clear()

    def state(self) -> dict[str, Int64]:
        """When datastreams become stale, so that `next_due` knows before the first update."""
        return self.deadlines.state()

    def load(self, state: Mapping[str, Int64]) -> None:
        """Restore."""
        self.forget()
        self.deadlines.load(state)

    def rolled(self) -> Iterable[Rolled]:
        """All totals."""
        return (r for inputs in self.inputs.values() for r in inputs.rolled())

    def mark(self, entities: Int64) -> None:
        """These entities may have changed."""
        if self.inputs:
            self._marked.append(entities)

    def update(self, now: int, slots: Int64, ancestors: Int32) -> None:
        """Take in changed slots and entities and those whose time is over, and roll up."""
        if not self.inputs:
            return
        marked = unique(np.concatenate(self._marked)) if self._marked else np.zeros(0, np.int64)
        slots, self._marked = unique(np.concatenate([slots, self.deadlines.due(now)])), []
        if self._whole:
            slots, marked = np.arange(self._table.n), np.arange(self._entities.n)
            self._whole = False
        self._learn()
        self._register(marked if self._own is None else self._own.pick(self._entities.codes, marked))
        self._read(slots, now)
        for part in self.rolled():
            part.settle(ancestors)

    # What devices declare.

    def _texts(self) -> Coded:
        texts = self._entities.attr("properties")
        assert isinstance(texts, Coded)
        return texts

    def _learn(self) -> None:
        """`_declares[text, property]` is 1 where a text of `properties` names a property; the last row, of none, is 0.

        Its last column counts the names of the text.
        """
        texts, names = self._texts().names, self._table.codes("property")[1]
        if self._declares.shape == (len(texts) + 1, len(names) + 1):
            return
        said = [frozenset(t.split()) for t in texts]
        rows = [[*(p in names_of for p in names), len(names_of)] for names_of in said]
        self._declares = np.array([*rows, [0] * (len(names) + 1)], np.int64).reshape(len(texts) + 1, -1)

    def _weights(self, prop: str) -> Int64:
        """How many datastreams of a property each text of `properties` declares; 0 for no text, at the end."""
        if prop == "":
            return self._declares[:, -1]
        return np.array([prop in t.split() for t in self._texts().names] + [False], np.int64)

    def _serves(self, rows: Int64) -> Bool:
        """Entities that are not out of service and not removed; one that does not say is in service."""
        on = np.asarray(self._entities.attr("in_service"))[rows] != 0
        alive: Bool = on & (self._entities.valid_to[rows] == MISSING)
        return alive

    def _register(self, rows: Int64) -> None:
        self._said.resize(self._entities.n)
        self._said_at.resize(self._entities.n)
        code = np.where(self._serves(rows), self._texts().codes[rows], -1).astype(np.int32)
        place = self._placed(self._entities.scope[rows])
        old, was = self._said.data[rows], self._said_at.data[rows]
        rows, code, place, old, was = (
            a[(old != code) | ((was != place) & (code >= 0))] for a in (rows, code, place, old, was)
        )
        self._said.data[rows], self._said_at.data[rows] = code, place
        if len(rows) == 0:
            return
        for prop, inputs in self.inputs.items():
            weights = self._weights(prop)
            inputs.expected.add(was[old >= 0], -weights[old[old >= 0]])
            inputs.expected.add(place[code >= 0], weights[code[code >= 0]])

    def _placed(self, scope: Int32) -> Int32:
        return np.where(scope < 0, self._unknown, scope).astype(np.int32)

    # What is heard.

    def _read(self, slots: Int64, now: int) -> None:
        for column in (self._bits, self._at, self._prop):
            column.resize(self._table.n)
        prop, entity = self._table.codes("property")[0][slots], self._table.entities(slots)
        # A slot keeps its property; one whose every event was retracted has forgotten it.
        prop = np.where(prop >= 0, prop, self._prop.data[slots]).astype(np.int32)
        bits, until = self._bits_of(slots, prop, entity, now)
        fresh = (bits & _FRESH) > 0
        self.deadlines.plan(slots[fresh], np.ceil(until[fresh]).astype(np.int64))
        place = self._placed(self._of(entity, self._entities.scope, self._table.scopes(slots)))
        old, was = self._bits.data[slots], self._at.data[slots]
        moved = (old != bits) | ((was != place) & (bits > 0))
        change = (prop[moved], old[moved], was[moved], bits[moved], place[moved])
        self._bits.data[slots], self._at.data[slots], self._prop.data[slots] = bits, place, prop
        if moved.any():
            self._move(*change)

    def _bits_of(self, slots: Int64, prop: Int32, entity: Int32, now: int) -> tuple[NDArray[np.int8], Float64]:
        """Bits of the slots, and until when each is in time (float64 ms)."""
        known = entity >= 0
        on = np.ones(len(slots), np.bool_)
        on[known] = self._serves(entity[known].astype(np.int64))
        period = self._of(entity, np.asarray(self._entities.attr("period_s")), np.full(len(slots), np.nan))
        period = np.where(np.isnan(period), DEFAULT_PERIOD_S, period)
        until = self._table.now.time.data[slots] + period * (1000.0 * PERIODS)
        heard = on & self._table.present(slots)
        text = self._of(entity, self._texts().codes, np.full(len(slots), -1, np.int32))
        extra = heard & (self._declares[text, prop] == 0)
        bits = heard * _HEARD + (heard & (now < until)) * _FRESH + extra * _EXTRA
        return bits.astype(np.int8), until

    @staticmethod
    def _of(entity: Int32, values: NDArray[_T], other: NDArray[_T]) -> NDArray[_T]:
        """The entity's value where there is an entity, else the other (both of one length with `entity`)."""
        known = entity >= 0
        out = other.copy()
        out[known] = values[entity[known]]
        return out

    def _move(self, prop: Int32, old: NDArray[np.int8], was: Int32, bits: NDArray[np.int8], place: Int32) -> None:
        names = self._table.codes("property")[1]
        for name, inputs in self.inputs.items():
            if name and name not in names:
                continue
            mine = np.ones(len(prop), np.bool_) if name == "" else prop == names.index(name)
            if not mine.any():
                continue
            pairs = ((inputs.heard, _HEARD), (inputs.fresh, _FRESH), (inputs.expected, _EXTRA))
            for total, bit in pairs:
                gone, come = mine & ((old & bit) > 0), mine & ((bits & bit) > 0)
                total.add(was[gone], np.full(int(gone.sum()), -1, np.int64))
                total.add(place[come], np.ones(int(come.sum()), np.int64))
