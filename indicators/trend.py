"""Trends: one value a minute for the last 24 hours, for the city and its districts, for the lines on the cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import Float64, Int32, Int64

if TYPE_CHECKING:
    from citytwin.indicators.board import Board

MINUTE_MS = 60_000
KEPT = 1440
_COARSE = 1


class Trend:
    """A ring of KEPT minutes by indicator and coarse scope row; 11 kB an indicator and scope."""

    def __init__(self, scopes: ScopeTree) -> None:
        self.rows: Int32 = np.flatnonzero((scopes.level <= _COARSE) & ~scopes.unlocated).astype(np.int32)
        self._minute = np.full(KEPT, -1, np.int64)
        self._rings: dict[str, Float64] = {}

    def record(self, now: int, board: Board) -> None:
        """Note the values of this minute; the last tick of a minute stays."""
        minute = now // MINUTE_MS
        at = minute % KEPT
        fresh = self._minute[at] != minute
        self._minute[at] = minute
        for id, line in board.lines.items():
            ring = self._rings.get(id)
            if ring is None:
                ring = self._rings[id] = np.full((KEPT, len(self.rows)), np.nan)
            if fresh or line.moved[self.rows].any():
                ring[at] = line.value[self.rows]

    def forget(self, ids: Iterable[str]) -> None:
        """Keep nothing of these any more: they went, or are defined otherwise now."""
        for id in ids:
            self._rings.pop(id, None)

    def series(self, id: str, row: int, since: int, until: int) -> tuple[Int64, Float64]:
        """Minutes (ms) and values of an indicator at a scope row, oldest first; empty where no trend is kept."""
        place = np.flatnonzero(self.rows == row)
        if id not in self._rings or len(place) == 0:
            return np.zeros(0, np.int64), np.zeros(0)
        time = self._minute * MINUTE_MS
        held = np.flatnonzero((self._minute >= 0) & (time >= since) & (time <= until))
        held = held[np.argsort(time[held])]
        return time[held], self._rings[id][held, place[0]]

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        return {"minute": self._minute.copy()} | {f"r.{k}": v.copy() for k, v in self._rings.items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        self._minute = state["minute"].copy()
        self._rings = {k[2:]: v.copy() for k, v in state.items() if k.startswith("r.")}
