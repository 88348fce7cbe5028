"""Events that change the registers of the nine kinds, and what follows from a changed attribute."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from citytwin import intake
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Int32, Int64
from citytwin.models.entities import KIND_NUMBER, KINDS, all_relations, validate
from citytwin.models.vocabulary import EventType, Vocabulary
from citytwin.revisions import Change
from citytwin.twin.entities import Entities
from citytwin.twin.ledger import Ledger

_TARGETS = all_relations()


class Registers:
    """Applies register events to the entities; `keyed` are the ledgers of types whose newest events are kept.

    `relations`: names of those through which an expression reads (`observes` in `ent.observes.road_class`); `linked`:
    of those by which rows of a register count, so that who holds one is looked at when its target comes or goes.
    """

    def __init__(
        self, entities: Entities, vocabulary: Vocabulary, keyed: Mapping[str, Ledger], change: Change,
        relations: Callable[[], Collection[str]], linked: Callable[[], Collection[str]],
    ) -> None:  # fmt: skip
        self._entities, self._vocabulary, self._keyed, self._change = entities, vocabulary, keyed, change
        self._relations, self._linked = relations, linked

    def check(self, batch: EventBatch, kind: EventType, refusals: intake.Refusals) -> None:
        """Refuse entries that break a rule of their kind, and changes of what is not registered."""
        assert kind.register is not None
        name, operation = kind.register
        if operation != "add":
            rows = self._entities.rows_of(batch.subject)
            known = (rows >= 0) & (self._entities.kind[rows] == KIND_NUMBER[name]) if self._entities.n else rows >= 0
            refusals.refuse(~known, "unknown_subject", "subject", f"no {name} of this code is registered")
            return
        for row, column, reason, detail in validate(name, batch.subject, dict(batch.fields)):
            mask = np.zeros(len(batch), np.bool_)
            mask[row] = True
            refusals.refuse(mask, "invalid_entity", column, f"{reason}: {detail}")

    def apply(self, batch: EventBatch, kind: EventType, scope: Int32, now: int) -> None:
        """Change the entities; readings that count by changed attributes are counted again with the new ones."""
        assert kind.register is not None
        name, operation = kind.register
        recorded = np.full(len(batch), now, np.int64)
        known = self._entities.rows_of(batch.subject)
        rows, new = np.unique(known[known >= 0]), batch.subject.take(np.flatnonzero(known < 0))
        readers = [self._entities.pointing(r, rows, new) for r in sorted(self._relations())]
        links = [self._entities.pointing(r, rows, new) for r in sorted(self._linked()) if _TARGETS[r] in ("", name)]
        again = self._readings_of(np.unique(np.concatenate([rows, *readers])))
        for reading, ledger, index in again:
            self._change(reading, ledger, index, -1)
        if operation == "remove":
            self._entities.remove(batch.subject, batch.time, recorded)
        else:
            fields = {f.name for f in KINDS[name].fields} | set(KINDS[name].relations)
            attrs = {k: v for k, v in batch.fields.items() if k in fields}
            said = ~np.isnan(batch.lon) | (batch.scope.lengths() > 0)
            place = np.where(said, scope, -1).astype(np.int32)
            self._entities.upsert(name, batch.subject, place, batch.lon, batch.lat, attrs, batch.time, recorded)
        for holders in links:
            self._entities.mark(holders)
        for reading, ledger, index in again:
            self._change(reading, ledger, index, 1)

    def _readings_of(self, entities: NDArray[np.integer]) -> list[tuple[EventType, Ledger, Int64]]:
        """Live readings of entities, by type (array indices)."""
        out: list[tuple[EventType, Ledger, Int64]] = []
        for name, ledger in self._keyed.items():
            index = np.flatnonzero(ledger.live.data & np.isin(ledger.entity.data, entities))
            if len(entities) and len(index):
                out.append((self._vocabulary.types[name], ledger, index))
        return out
