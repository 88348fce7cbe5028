"""Between the engine's thread and the dead letters: what cannot be kept now waits here, bounded, and is kept later."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Sequence

from citytwin.models.batch import Rejection
from citytwin.streams.deadletters import DeadLetters
from citytwin.streams.store import StoreUnavailable

_log = logging.getLogger(__name__)
#: Log records whose refusals may wait for room; beyond it a replay from the last snapshot brings them back.
_WAITING = 10_000


class Letterbox:
    """Keeps refusals in the order of the log; used by one thread at a time. Without a store it only counts."""

    def __init__(self, letters: DeadLetters | None = None) -> None:
        self.letters = letters
        self._waiting: deque[tuple[int, Sequence[Rejection], int]] = deque(maxlen=_WAITING)

    @property
    def waiting(self) -> int:
        """Log records whose refusals are not kept yet: no snapshot may be taken meanwhile."""
        return len(self._waiting)

    @property
    def open(self) -> int:
        """Letters that wait for somebody to look at them."""
        return self.letters.total() if self.letters else 0

    def add(self, door: str, place: str, rejections: Sequence[Rejection], now_ms: int) -> int:
        """Keep what a door refused; how many were new. Raises StoreUnavailable."""
        return self.letters.add(door, place, rejections, now_ms) if self.letters else 0

    def from_log(self, position: int, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Keep what the state refused of the record at `position`, now or as soon as there is room."""
        if self.letters is None:
            return
        # What a tick refuses has no row of its own; its place in the tick's list is the same in every replay.
        numbered = [r if r.index >= 0 else dataclasses.replace(r, index=i) for i, r in enumerate(rejections)]
        self._waiting.append((position, numbered, now_ms))
        self.flush()

    def flush(self) -> None:
        """Keep what waits, oldest first, as far as there is room."""
        while self.letters and self._waiting:
            position, rejections, now_ms = self._waiting[0]
            try:
                self.letters.add_from_log(position, rejections, now_ms)
            except StoreUnavailable as error:
                _log.warning("dead letters of position %d wait: %s", position, error)
                return
            self._waiting.popleft()
