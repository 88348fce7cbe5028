"""Subjects that parts keep readings of: a number for each, its name, and where it was by its newest reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin.indicators.rules.atoms import Place
from citytwin.models.columns import MISSING, Int64
from citytwin.models.hashing import HashIndex, Keys, hash_strings
from citytwin.twin.growable import Grow

if TYPE_CHECKING:
    from citytwin.indicators.rules.matchers import Told

#: Most subjects that are told apart; readings of further ones are not looked at.
SUBJECTS_MAX = 200_000


class Subjects:
    """Numbers of subjects, in the order in which they came; some 150 bytes each."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._index = HashIndex()
        self._time, self._tie = Grow(np.int64, MISSING), Grow(np.uint64, 0)
        self._scope, self._entity = Grow(np.int32, -1), Grow(np.int32, -1)
        self._lon, self._lat = Grow(np.float64, np.nan), Grow(np.float64, np.nan)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.names)

    def numbers(self, told: Told, rows: Int64) -> tuple[Int64, Int64]:
        """Rows that have a subject there is room for, and its number: int64[m] each."""
        text = told.ledger.subject.strings
        at = told.index[rows]
        rows = rows[text.offsets[at + 1] > text.offsets[at]]
        if len(rows) == 0:
            return rows, rows
        number, fresh = self._known(told.subjects(rows))
        for i in np.flatnonzero(fresh).tolist():
            self.names.append(text[int(told.index[rows[i]])])
        if len(self.names) > SUBJECTS_MAX:
            self._full()
        some = number < len(self.names)
        self.dropped += int(np.count_nonzero(~some))
        rows, number = rows[some], number[some]
        self._place(told, rows, number)
        return rows, number

    def _known(self, keys: Keys) -> tuple[Int64, Any]:
        return self._index.intern(keys, len(self.names))

    def _full(self) -> None:
        """Forget the names that came last; their numbers stay in the index, so that they are still told apart."""
        del self.names[SUBJECTS_MAX:]
        keys, values = self._index.items()
        some = values < SUBJECTS_MAX
        self._index.rebuild(keys.take(some), values[some])

    def _place(self, told: Told, rows: Int64, number: Int64) -> None:
        """Keep where each subject was by its newest reading: by time, then by source and id."""
        for column in self._columns().values():
            column.resize(len(self.names))
        time, tie = told.time[rows], told.keys(rows).a
        order = np.lexsort((tie, time, number))
        last = order[np.append(number[order][1:] != number[order][:-1], True)] if len(order) else order
        slot = number[last]
        held, held_tie = self._time.data[slot], self._tie.data[slot]
        newer = (time[last] > held) | ((time[last] == held) & (tie[last] >= held_tie))
        slot, last = slot[newer], last[newer]
        lon, lat = told.place
        for column, values in (
            (self._time, time), (self._tie, tie), (self._scope, told.scope[rows]), (self._entity, told.entity[rows]),
            (self._lon, lon[rows]), (self._lat, lat[rows]),
        ):  # fmt: skip
            column.data[slot] = values[last]

    def place(self, number: int) -> Place:
        """Where a subject is."""
        name = self.names[number]
        return Place(
            name, name, int(self._scope.data[number]), int(self._entity.data[number]), float(self._lon.data[number]),
            float(self._lat.data[number]),
        )  # fmt: skip

    def _columns(self) -> dict[str, Grow]:
        return {
            "time": self._time, "tie": self._tie, "scope": self._scope, "entity": self._entity, "lon": self._lon,
            "lat": self._lat,
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Plain values."""
        held = {n: c.data.tolist() for n, c in self._columns().items()}
        for name in ("lon", "lat"):
            held[name] = [None if v != v else v for v in held[name]]  # noqa: PLR0124  NaN is no JSON
        return {"names": list(self.names), "dropped": self.dropped, **held}

    def load(self, state: dict[str, Any]) -> None:
        """Come back to a state."""
        from citytwin.models.columns import Strings

        self.names, self.dropped = list(state["names"]), int(state["dropped"])
        self._index = HashIndex()
        self._index.put(hash_strings(Strings.of(self.names)), np.arange(len(self.names), dtype=np.int64))
        for name, column in self._columns().items():
            told = [np.nan if v is None else v for v in state[name]]
            column.load(np.array(told, column.dtype))
