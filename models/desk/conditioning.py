"""From a value that moves to an alarm that stands: on-delay, off-delay and dead band, exact in event time.

A value holds until the next one comes. An alarm begins when its value was beyond the edge for the whole on-delay, and
at the very moment at which that was so; it ends when the value was back, beyond the dead band too, for the whole
off-delay. Ticks only make that known: however often they come, the transitions and their times are the same, as long
as no value comes that is older than a transition which a tick has told. Sources: ANSI/ISA-18.2 and IEC 62682 (terms),
OPC UA part 9 (each limit has its own dead band and delays).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from citytwin.models.columns import MISSING

#: Priority of each band: I is the worst.
PRIORITY_OF_BAND = {"red": 1, "orange": 2, "yellow": 3, "blue": 4}


@dataclass(frozen=True, slots=True)
class Limit:
    """An edge of a value: reached at or above it, or below it where `high` is False, as bands of indicators are.

    `dead_band`: how far back beyond the edge the value must come before it counts as returned (units of the value).
    Delays in ms. `priority` 1..4. Raises ValueError for a negative delay or dead band.
    """

    priority: int
    edge: float
    high: bool = True
    on_delay_ms: int = 0
    off_delay_ms: int = 0
    dead_band: float = 0.0

    def __post_init__(self) -> None:
        if self.on_delay_ms < 0 or self.off_delay_ms < 0 or not self.dead_band >= 0:
            raise ValueError("delays and dead bands are 0 or more")
        if self.priority not in PRIORITY_OF_BAND.values():
            raise ValueError(f"a priority is 1 to 4, not {self.priority}")

    def beyond(self, value: float, before: bool) -> bool:
        """Whether a value is beyond the edge, if it was (not) so before: within the dead band nothing changes."""
        if self.high:
            return value >= self.edge or (before and value >= self.edge - self.dead_band)
        return value < self.edge or (before and value < self.edge + self.dead_band)


class Transition(NamedTuple):
    """An alarm began (`on`) or ended at a time (ms UTC)."""

    time: int
    on: bool


class Hold:
    """One limit on one signal: values in, transitions out."""

    __slots__ = ("at", "due", "limit", "on", "raw", "settled")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        #: Whether the alarm stands, and whether the newest value is beyond the edge.
        self.on = self.raw = False
        #: When the alarm begins or ends if no other value comes (MISSING: not so), newest value, last transition.
        self.due = self.at = self.settled = MISSING

    def sample(self, time: int, value: float) -> list[Transition]:
        """A value at a time (ms). One that is older than the newest changes nothing; NaN stops both delays.

        An unknown value neither begins nor ends an alarm: the delay begins anew with the next known one.
        """
        if time < self.at:
            return []
        out = self.tick(time)
        self.at = time
        if math.isnan(value):
            self.due, self.raw = MISSING, self.on
            return out
        self.raw = self.limit.beyond(value, self.raw)
        if self.raw == self.on:
            self.due = MISSING
        elif self.due == MISSING:
            delay = self.limit.on_delay_ms if self.raw else self.limit.off_delay_ms
            self.due = max(time, self.settled) + delay
        return out + self.tick(time)

    def tick(self, now: int) -> list[Transition]:
        """What came to be known by `now`: at most one transition, at the time at which its delay was over.

        A value older than a transition that a tick told counts from that transition on.
        """
        if self.due == MISSING or self.due > max(now, self.settled):
            return []
        self.on, self.settled, self.due = not self.on, self.due, MISSING
        return [Transition(self.settled, self.on)]

    def state(self) -> list[Any]:
        """Plain values for a snapshot."""
        return [self.on, self.raw, self.due, self.at, self.settled]

    def load(self, state: Sequence[Any]) -> None:
        """Come back to a state."""
        self.on, self.raw, self.due, self.at, self.settled = state


class Change(NamedTuple):
    """The worst standing priority changed at a time (ms UTC): 1..4, 0 for none."""

    time: int
    before: int
    after: int


class Levels:
    """All limits on one signal: the worst that stands is the priority of its alarm."""

    __slots__ = ("_standing", "holds", "priority")

    def __init__(self, limits: Sequence[Limit]) -> None:
        self.holds = tuple(Hold(limit) for limit in limits)
        self._standing = [False] * len(self.holds)
        #: Worst priority that stands, 0 for none.
        self.priority = 0

    def sample(self, time: int, value: float) -> list[Change]:
        """A value at a time: see Hold.sample. What was due by then comes first, as if a tick had told it."""
        return self.tick(time) + self._changes([hold.sample(time, value) for hold in self.holds])

    def tick(self, now: int) -> list[Change]:
        """What came to be known by `now`."""
        return self._changes([hold.tick(now) for hold in self.holds])

    def _changes(self, found: Sequence[Sequence[Transition]]) -> list[Change]:
        """Transitions of all limits in the order of time; those of one moment are one change."""
        moves = sorted((t.time, i, t.on) for i, of in enumerate(found) for t in of)
        out: list[Change] = []
        for time, of in itertools.groupby(moves, key=lambda move: move[0]):
            for _, i, on in of:
                self._standing[i] = on
            standing = (h.limit.priority for h, on in zip(self.holds, self._standing, strict=True) if on)
            worst = min(standing, default=0)
            if worst != self.priority:
                out.append(Change(time, self.priority, worst))
                self.priority = worst
        return out

    def due(self) -> int:
        """When a tick would find something if no value comes; MISSING for never."""
        return min((hold.due for hold in self.holds if hold.due != MISSING), default=MISSING)

    def state(self) -> list[Any]:
        """Plain values for a snapshot."""
        return [hold.state() for hold in self.holds]

    def load(self, state: Sequence[Sequence[Any]]) -> None:
        """Come back to a state of the same limits."""
        for hold, of in zip(self.holds, state, strict=True):
            hold.load(of)
        self._standing = [hold.on for hold in self.holds]
        self.priority = min((hold.limit.priority for hold in self.holds if hold.on), default=0)


def limits_of(
    bands: Mapping[str, float], better: str, *, on_delay_ms: int = 0, off_delay_ms: int = 0, dead_band: float = 0.0
) -> tuple[Limit, ...]:
    """The bands of an indicator as limits with the same delays and dead band; KeyError for an unknown colour.

    >>> [(x.priority, x.edge) for x in limits_of({"yellow": 60, "red": 80}, "down")]
    [(1, 80), (3, 60)]
    """
    made = (
        Limit(PRIORITY_OF_BAND[colour], edge, better != "up", on_delay_ms, off_delay_ms, dead_band)
        for colour, edge in bands.items()
    )
    return tuple(sorted(made, key=lambda limit: limit.priority))
