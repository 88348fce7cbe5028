"""Units on a case: who leads it (主办) or supports (协办), and how far each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from citytwin.models.columns import MISSING

#: What a unit says on its way to a case, in the order in which it goes.
STEPS: tuple[str, ...] = ("received", "enroute", "arrived")


@dataclass(slots=True)
class Assignment:
    """One unit sent to one case by somebody: times ms UTC, MISSING for what has not come; `role` lead or support."""

    unit: str
    role: str
    sent: int
    by: str = ""
    received: int = MISSING
    enroute: int = MISSING
    arrived: int = MISSING
    handled: int = MISSING
    cleared: int = MISSING

    @property
    def reached(self) -> int:
        """How far it is on the way, as the place in STEPS of what it said last; -1 for nothing."""
        return max((i for i, step in enumerate(STEPS) if getattr(self, step) != MISSING), default=-1)

    @property
    def state(self) -> str:
        """How far it is: sent, received, en_route, on_scene or clear."""
        if self.cleared != MISSING:
            return "clear"
        if self.arrived != MISSING:
            return "on_scene"
        if self.enroute != MISSING:
            return "en_route"
        return "received" if self.received != MISSING else "sent"

    @property
    def since(self) -> int:
        """Since when it is so far."""
        known = (self.sent, self.received, self.enroute, self.arrived, self.cleared)
        reached = {"sent": 0, "received": 1, "en_route": 2, "on_scene": 3, "clear": 4}[self.state]
        return known[reached]

    def reach(self, step: str, time: int) -> None:
        """Note that it came to a step (received, enroute, arrived, handled); the first word holds."""
        if getattr(self, step) == MISSING:
            setattr(self, step, time)


def open_of(assignments: Sequence[Assignment], unit: str) -> Assignment | None:
    """The assignment of a unit that is not clear; None without one."""
    return next((a for a in reversed(assignments) if a.unit == unit and a.cleared == MISSING), None)
