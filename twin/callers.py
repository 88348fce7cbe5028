"""Which cases a caller reported, by the keyed hash that events carry; indexed when somebody asks for the first time."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Int64, Strings
from citytwin.models.hashing import hash_strings
from citytwin.twin.growable import Grow, GrowText
from citytwin.twin.ledger import Ledger


class Callers:
    """The events of a ledger that name a caller: 12 bytes each."""

    def __init__(self, ledger: Ledger, field: str = "caller") -> None:
        self._ledger, self._field = ledger, field
        self._clear()

    def _clear(self) -> None:
        self._end = 0
        self._key, self._slot = Grow(np.uint64), Grow(np.int32)

    def slots(self, caller: str) -> Int64:
        """Rows of the subjects of which an event names this caller, those told of last first (int64).

        An event may have been corrected since: what the subject says now is for the one who asks to look at.
        """
        self._follow()
        wanted = hash_strings(Strings.of([caller])).a[0]
        found: Int64 = self._slot.data[self._key.data == wanted][::-1].astype(np.int64)
        _, first = np.unique(found, return_index=True)
        newest: Int64 = found[np.sort(first)]
        return newest

    def _follow(self) -> None:
        """Take in the events that came since somebody asked last."""
        ledger, column = self._ledger, self._ledger.columns[self._field]
        if ledger.end < self._end:  # another state was loaded
            self._clear()
        assert isinstance(column, GrowText)
        at, strings = max(0, self._end - ledger.base), column.strings
        new = Strings(strings.data, strings.offsets[at:])
        told = np.flatnonzero(new.lengths())
        self._key.extend(hash_strings(new.take(told)).a)
        self._slot.extend(ledger.slot.data[at + told])
        self._end = ledger.end
