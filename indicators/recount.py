"""Counting again what no subtraction can mend: pairs of pane and scope whose largest value was retracted."""

from __future__ import annotations

import numpy as np

from citytwin.indicators.columns import EventColumns
from citytwin.indicators.panes import Extreme, contributions
from citytwin.indicators.sources import Source
from citytwin.twin.entities import Entities


def recount(extreme: Extreme, source: Source, entities: Entities, unknown_scope: int) -> None:
    """Take the largest of what is live in the pairs that wait: one pass over the ledger, however many they are."""
    slots = extreme.take_stale()
    if len(slots) == 0:
        return
    store, ledger = extreme.store, source.ledger
    pane, group = store.pane.data[slots], store.group.data[slots]
    live = source.within(*store.span_ms(pane), group, unknown_scope)
    scope = ledger.scope.data[live]
    placed = np.where(scope < 0, unknown_scope, scope).astype(np.int64)
    slot = store.find(store.panes_of(ledger.time.data[live]), placed)
    hit = np.isin(slot, slots)
    columns = EventColumns(ledger, live[hit], source.per_unit, entities)
    mask, values = contributions(columns, extreme.value, extreme.where, extreme.per_unit, int(hit.sum()))
    np.maximum.at(extreme.column.data, slot[hit][mask], values[mask] * extreme.sign)
