"""What all parts of a condition do: take events in, say where they hold now, say whether they hold at a place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from citytwin.indicators.rules.atoms import Finding, Ground, Place, metres_from
from citytwin.indicators.rules.matchers import Matcher, Told
from citytwin.indicators.rules.subjects import Subjects
from citytwin.models.columns import Float64, Int64
from citytwin.models.desk.rules import When

#: Nothing changes by the clock alone.
NEVER = 2**62


class Board(Protocol):
    """The newest values of indicators at all scopes."""

    def value(self, id: str) -> Float64 | None:
        """Values by scope row, NaN where none can be trusted; None for an unknown indicator."""

    def edge(self, id: str, band: str) -> tuple[Float64, bool] | None:
        """Edges of a band by scope row and whether trouble lies below them; None if the indicator has no such band."""


class NoBoard:
    """A board without indicators."""

    def value(self, id: str) -> Float64 | None:
        """None."""
        del id
        return None

    def edge(self, id: str, band: str) -> tuple[Float64, bool] | None:
        """None."""
        del id, band
        return None


@dataclass(frozen=True, slots=True)
class Setting:
    """What the parts of one rule share. `late_ms`: how late an event may come."""

    ground: Ground
    subjects: Subjects
    late_ms: int


class Part(ABC):
    """One part of a condition. `matchers`: patterns of the events that it takes in, by their number.

    What it holds is a function of the events that came and of the times of the ticks, not of the order of events
    between two ticks nor of their batches.
    """

    def __init__(self, when: When, setting: Setting, matchers: Sequence[Matcher] = ()) -> None:
        self.when, self.setting, self.matchers = when, setting, tuple(matchers)
        self.parts: tuple[Part, ...] = ()
        #: Earliest time at which the clock alone may change what it finds, after `found`.
        self.due = NEVER
        #: Atoms and subjects that it had no room for.
        self.dropped = 0
        self._held: dict[str, int] = {}

    def leaves(self) -> Iterator[Part]:
        """The parts that take events in."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()

    def note(self, number: int, told: Told, rows: Int64, sign: int) -> None:
        """Rows that match pattern `number` begin (+1) or cease (-1) to count."""
        del number, told, rows, sign

    def found(self, now: int, board: Board) -> dict[str, Finding]:
        """Where it holds, by the code of the place; called once a tick, before `at`."""
        self.due = NEVER
        return self._long_enough(self.look(now, board), now)

    @abstractmethod
    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Where it holds, whatever its hold time."""

    def _long_enough(self, found: dict[str, Finding], now: int) -> dict[str, Finding]:
        """Those places at which it held in each tick of the hold time."""
        if not self.when.hold_ms:
            return found
        self._held = {code: self._held.get(code, now) for code in found}
        for since in self._held.values():
            self.wake(since + self.when.hold_ms, now)
        return {
            code: replace(finding, since=self._held[code])
            for code, finding in found.items()
            if now - self._held[code] >= self.when.hold_ms
        }

    def wake(self, time: int, now: int) -> None:
        """A time after now at which it must be looked at again."""
        if now < time < self.due:
            self.due = time

    def at(self, now: int, place: Place, board: Board, found: Mapping[str, Finding]) -> Finding:
        """Whether it holds at a place that another part gave; `found`: what `found` gave in this tick."""
        del now, board
        if self.when.metres:
            return self._near(place, found)
        code = place.code if self.when.by == "subject" else self.setting.ground.code(place.scope, self.when.by)
        return found.get(code) or Finding(place, False)

    def _near(self, place: Place, found: Mapping[str, Finding]) -> Finding:
        """The places within the distance at which it holds, as one finding: the worst value of them."""
        all_found = [found[code] for code in sorted(found)]
        if not all_found or np.isnan(place.lon):
            return Finding(place, False)
        lon, lat = (np.array([getattr(f.place, n) for f in all_found]) for n in ("lon", "lat"))
        near = np.flatnonzero(metres_from(place, lon, lat) <= self.when.metres).tolist()
        return self.joined(place, [all_found[i] for i in near])

    def joined(self, place: Place, findings: Sequence[Finding]) -> Finding:
        """Several findings as one at a place."""
        if not findings:
            return Finding(place, False)
        worst = min if self.when.below is not None else max
        known = [f.value for f in findings if not np.isnan(f.value)]
        evidence = tuple(sorted({ref for f in findings for ref in f.evidence}))[-8:]
        count = sum(f.count for f in findings)
        since = min(f.since for f in findings)
        return Finding(place, True, worst(known, default=float("nan")), count, since, evidence)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        own = {"held": dict(self._held), "dropped": self.dropped, **self.own_state()}
        return own | ({"parts": [p.state() for p in self.parts]} if self.parts else {})

    def load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self._held, self.dropped = dict(state["held"]), int(state["dropped"])
        self.own_load(state)
        for part, known in zip(self.parts, state.get("parts", ()), strict=True):
            part.load(known)

    def own_state(self) -> dict[str, Any]:
        """What a kind of part keeps besides."""
        return {}

    def own_load(self, state: Mapping[str, Any]) -> None:
        """Come back to it."""
        del state
