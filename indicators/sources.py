"""What event aggregates read: the events of one type, or of a whole family, in a ledger."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba import njit

from citytwin.models.columns import Float64, Int64
from citytwin.twin.ledger import Ledger

PerUnit = Mapping[str, int | Float64]


@njit(cache=True, nogil=True)
def _within(time, scope, move, live, start, end, want, wanted, unknown, out):  # type: ignore[no-untyped-def]
    for i in range(len(time)):
        if live[i] and start <= time[i] < end and (want < 0 or move[i] == want):
            at = scope[i] if scope[i] >= 0 else unknown
            out[i] = at < len(wanted) and wanted[at]


class Source:
    """A ledger under a name that aggregates use: a family, or the one type of it with the number `move`."""

    def __init__(self, ledger: Ledger, move: int | None, per_unit: PerUnit) -> None:
        self.ledger, self.move, self.per_unit = ledger, move, per_unit

    def pick(self, index: Int64) -> Int64:
        """Those array indices that this source is about; drills are about nothing."""
        found = index if self.move is None else index[self.ledger.move.data[index] == self.move]
        drill = self.ledger.drill.data[found]
        return found[~drill] if drill.any() else found

    def within(self, start_ms: int, end_ms: int, scopes: Int64, unknown: int) -> Int64:
        """Array indices of live events of a time span at some scopes; events without one are at `unknown`."""
        ledger = self.ledger
        wanted = np.zeros(int(scopes.max(initial=unknown)) + 1, np.bool_)
        wanted[scopes] = True
        out = np.zeros(ledger.time.n, np.bool_)
        move = -1 if self.move is None else self.move
        columns = (ledger.time.data, ledger.scope.data, ledger.move.data, ledger.live.data)
        _within(*columns, start_ms, end_ms, move, wanted, unknown, out)
        return np.flatnonzero(out & ~ledger.drill.data)
