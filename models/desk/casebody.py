"""What the file of one case holds, and who is responsible for it.

The responsible one of a case that is not over is exactly one: by state as `OWNERS` says, a unit where that is the
handler; without a leading unit it is the dispatcher, and the supervisor where the case went back too often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.assignments import Assignment
from citytwin.models.desk.event import DRILL, Event
from citytwin.models.desk.limits import HANDLING, STAGE_OF
from citytwin.models.lifecycle import HELD, STATES, TERMINAL

#: `limit(category, level, stage, since)`: when a stage that began at `since` is due (ms), MISSING for never.
Limit = Callable[[str, int, str, int], int]

#: Role of the responsible one by state, see models.desk.roles; of `handler` it is the leading unit.
OWNERS: dict[str, str] = {
    "reported": "acceptance_clerk", "accepted": "shift_leader", "filed": "dispatcher", "returned": "dispatcher",
    "dispatched": "handler", "received": "handler", "arrived": "handler", "handled": "verifier",
    "verified": "shift_leader", "deferred": "dispatcher", "parked": "dispatcher",
}  # fmt: skip
_OVER = frozenset(s for s, ended in zip(STATES, TERMINAL, strict=True) if ended)
ON_HOLD = frozenset(s for s, held in zip(STATES, HELD, strict=True) if held)
DAY_MS = 86_400_000


def no_limit(category: str, level: int, stage: str, since: int) -> int:
    """No stage is ever due."""
    del category, level, stage, since
    return MISSING


@dataclass(frozen=True, slots=True)
class CaseLaw:
    """Settings of the desk. The numbers are local defaults, no standard names them.

    `returns_max`: returns after which only a supervisor says who takes the case; `reopen_ms`: how long after its
    closing a case may be opened again.
    """

    limit: Limit = no_limit
    returns_max: int = 3
    reopen_ms: int = 15 * DAY_MS


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline; `unit`: whom it is about; `legal` is false for a move that the case could not make."""

    time: int
    type: str
    actor: str
    text: str
    source: str
    id: str
    hash: str = ""
    legal: bool = True
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """What was asked and not decided yet: `kind` extension or deferral, `until` the new deadline or end of the hold."""

    kind: str
    by: str
    at: int
    until: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """A report that was handed to somebody else (转办); `receipt` "" while it waits for their acknowledgement."""

    to: str
    by: str
    at: int
    receipt: str = ""
    acknowledged_at: int = MISSING

    @property
    def waits(self) -> bool:
        """Whether nobody there said that they have it."""
        return not self.receipt


@dataclass(frozen=True, slots=True)
class Owner:
    """The responsible one: a role, and the unit where it is the handler."""

    role: str
    unit: str = ""


@dataclass(slots=True)
class CaseFile:
    """A case as its events tell it; times ms UTC, MISSING where there is none.

    `rev`: events ever taken, `by` and `at`: who made it and when; `last`: place of its last event in the order of the
    fold. `times`: by state, when it was last entered. `bounces`: returns since it was filed or reopened. `designated`:
    the unit that a supervisor named. `did`: actors by event type. `merges`: how often it was merged into another.
    """

    code: str
    rev: int = 0
    by: str = ""
    at: int = MISSING
    last: tuple[int, str, str] = (MISSING, "", "")
    moves: int = 0
    illegal: int = 0
    merges: int = 0
    timeline: list[Entry] = field(default_factory=list)
    state: str = "new"
    before: str = ""
    since: int = MISSING
    times: dict[str, int] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    scope: int = -1
    lon: float = float("nan")
    lat: float = float("nan")
    due_at: int = MISSING
    unit_due_at: int = MISSING
    deferred_ms: int = 0
    until: int = MISSING
    stage: str = ""
    stage_since: int = MISSING
    stage_limit: int = MISSING
    lead: str = ""
    designated: str = ""
    assignments: list[Assignment] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    notes: list[Entry] = field(default_factory=list)
    evidence: list[Entry] = field(default_factory=list)
    replies: list[Entry] = field(default_factory=list)
    returns: int = 0
    bounces: int = 0
    rework: int = 0
    reopened: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    into: str = ""
    transfer: Transfer | None = None
    unlike: set[str] = field(default_factory=set)
    did: dict[str, set[str]] = field(default_factory=dict)
    satisfied: bool | None = None
    called_back_at: int = MISSING
    #: Events that made it what it is; a merge that was taken back is not among them.
    shaped: list[Event] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it is in a terminal state."""
        return self.state in _OVER

    @property
    def drill(self) -> bool:
        """Whether it belongs to a drill."""
        return self.code.startswith(DRILL)

    @property
    def level(self) -> int:
        """1 to 4 for I to IV, 0 for none."""
        return int(self.told.get("level", 0))

    @property
    def category(self) -> str:
        """Code of its category, "" for none."""
        return str(self.told.get("category", ""))

    @property
    def stage_due(self) -> int:
        """When the stage is due: a hold ends at `until`, handling with the unit's deadline or the case's."""
        if self.state in ON_HOLD:
            return self.until
        if self.state in STAGE_OF and self.stage == HANDLING:
            return self.unit_due_at if self.unit_due_at != MISSING else self.due_at
        return self.stage_limit

    def units(self) -> list[Assignment]:
        """Assignments that are not clear."""
        return [a for a in self.assignments if a.cleared == MISSING]

    def owner(self, law: CaseLaw) -> Owner | None:
        """The responsible one; None when the case is over or was never begun."""
        role = OWNERS.get(self.state)
        if role is None:
            return None
        if role == "handler" and self.lead:
            return Owner(role, self.lead)
        stuck = self.stuck(law) and self.state in ("returned", *ON_HOLD)
        return Owner("supervisor" if stuck else "dispatcher" if role == "handler" else role)

    def stuck(self, law: CaseLaw) -> bool:
        """Whether it went back so often that only a supervisor can say who takes it."""
        return self.bounces >= law.returns_max and not self.designated


def actor_of(event: Event) -> str:
    """Who said it, "" if nobody is named."""
    return str(event.fields.get("actor", ""))


#: What a unit says of itself: where it names none, it is the one that leads.
OF_UNIT = frozenset(f"case.{move}" for move in ("received", "enroute", "arrived", "handled", "cleared", "returned"))


def entry_of(event: Event, legal: bool = True, lead: str = "") -> Entry:
    """The line of an event of a case that this unit leads."""
    told = event.fields
    text = str(told.get("text") or told.get("reason") or "")
    return Entry(
        event.time, event.type, actor_of(event), text, event.source, event.id, str(told.get("hash", "")), legal,
        str(told.get("unit") or (lead if event.type in OF_UNIT else "")),
    )  # fmt: skip
