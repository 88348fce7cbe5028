"""Single events out of the engine's ledgers, for the doors."""

from __future__ import annotations

import numpy as np

from citytwin.engine import Engine
from citytwin.models.desk.event import Event
from citytwin.twin.ledgerevents import event_at

#: Newest events that are read at once: the engine waits meanwhile.
MOST = 1_000


def events(engine: Engine, family: str, most: int = MOST) -> list[Event]:
    """Live events of a family (or of a type without one), the newest `most` by arrival, in that order.

    Runs in the engine's thread.
    """
    ledger = engine.ledgers.get(family)
    if ledger is None:
        return []
    return [event_at(ledger, at) for at in np.flatnonzero(ledger.live.data)[-most:].tolist()]
