"""What the desk speaks: an event that happened, a draft of one that should, and why one is refused.

The desk decides one by one, some dozens a second at most, so an object an event is no luxury; readings stay columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

#: Subjects of drills begin with it: they run the whole loop and count in no indicator.
DRILL = "drill/"
#: Source of what the desk says by itself.
AUTO = "desk/auto"
#: Sources of what people say at the desk begin with it; the user follows.
DESK_SOURCE = "desk/"
#: Source of the people that a simulator plays.
SIMULATED = "desk/cases"


def by_person(source: str) -> bool:
    """Whether a person at the desk says what comes from a source: only the door for commands writes it.

    >>> by_person("desk/anna"), by_person(AUTO), by_person("hotline")
    (True, False, False)
    """
    return source.startswith(DESK_SOURCE) and source not in (AUTO, SIMULATED)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the log: `time` ms UTC, `scope` a row of the scope tree (-1 unknown), `lon`, `lat` degrees or NaN.

    `fields` holds what was told, by the names of its type; numbers in physical units, times in ms, flags as bool.
    """

    type: str
    time: int
    source: str
    id: str
    subject: str
    scope: int = -1
    lon: float = float("nan")
    lat: float = float("nan")
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def drill(self) -> bool:
        """Whether it belongs to a drill."""
        return self.subject.startswith(DRILL)


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that the desk itself has to say; its id follows from what it is about, so that it is said once.

    `lon`, `lat` degrees, or `scope` the code of a scope: where it belongs. The source of all drafts is `AUTO`.
    """

    type: str
    time: int
    id: str
    subject: str
    lon: float = float("nan")
    lat: float = float("nan")
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event is not taken: a reason of models.batch.REASONS, the field, a sentence that says what to do.

    `known` goes to who asked, e.g. `legal` moves, or `by` and `at` of a newer revision.
    """

    reason: str
    field: str
    detail: str
    known: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Part(Protocol):
    """One of the desk's parts: a fold of some event types in the order of the log."""

    #: Event types that it folds.
    types: frozenset[str]

    def check(self, event: Event) -> Refusal | None:
        """Whether the event may be taken now; called before each `apply`."""

    def apply(self, event: Event) -> None:
        """Take in an event that was not refused."""

    def tick(self, now: int) -> list[Draft]:
        """What follows from the clock alone; a draft may be given again until its event has come."""

    def due(self) -> int:
        """Earliest time after the last tick at which `tick` would find something; MISSING for none."""

    def take_changed(self) -> list[Mapping[str, Any]]:
        """Rows for pages that changed since the last call: plain JSON values, each with `code`."""

    def rows(self) -> list[Mapping[str, Any]]:
        """All rows for pages that are not over."""

    def state(self) -> Any:
        """Plain values (dicts with text keys, lists, numbers, text) for a snapshot; equal for equal histories."""

    def load(self, state: Any) -> None:
        """Come back to a state."""
