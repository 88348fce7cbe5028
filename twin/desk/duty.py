"""The duty roster (值班表) and the shifts, in the order of the log: who is at which post, who handed over to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import DESK_SOURCE, Draft, Event, Refusal
from citytwin.models.desk.roster import OnDuty, Spell, Table, at_post
from citytwin.models.vocabulary import DAY_MS

#: How long a spell is remembered after its end, so that steps of escalation of before find who was there.
KEEP_MS = 90 * DAY_MS
#: Shifts remembered, and spells that may stand for one post.
SHIFTS_MAX, SPELLS_MAX = 1000, 2000


@dataclass(slots=True)
class Shift:
    """A handover: who signed which page (its hash) and when, and who took it over (MISSING and "" while nobody did)."""

    code: str
    area: str
    to: str
    hash: str
    text: str
    handed_by: str
    handed_at: int
    taken_by: str = ""
    taken_at: int = MISSING

    def row(self) -> dict[str, Any]:
        """As plain JSON values, for pages."""
        taken = None if self.taken_at == MISSING else self.taken_at
        return {**asdict(self), "kind": "shift", "taken_at": taken}


def actor_of(event: Event) -> str:
    """Who said an event: its actor, else the user of its source."""
    return str(event.fields.get("actor") or event.source.removeprefix(DESK_SOURCE))


def _text(told: Mapping[str, Any], name: str) -> str:
    return str(told.get(name) or "")


class Duty:
    """The part of the desk that knows who is on duty; it is a `Roster` for escalation."""

    types: frozenset[str] = frozenset({"duty.set", "shift.handed", "shift.taken"})

    def __init__(self) -> None:
        self.now = MISSING
        self._table = Table()
        self._shifts: dict[str, Shift] = {}
        self._changed: dict[str, None] = {}

    def on_duty(self, area: str, role: str, time: int) -> OnDuty | None:
        """Who has a role for an area at a time; the deputy where the person is away."""
        return self._table.on_duty(area, role, time)

    def shift(self, code: str) -> Shift | None:
        """A shift by its code."""
        return self._shifts.get(code)

    def check(self, event: Event) -> Refusal | None:
        """Whether a spell has a length and a shift may be handed or taken now."""
        if event.type == "duty.set":
            return self._check_spell(event)
        return self._check_handed(event) if event.type == "shift.handed" else self._check_taken(event)

    def _check_spell(self, event: Event) -> Refusal | None:
        if event.fields["until"] <= event.fields["from"]:
            return Refusal("out_of_range", "until", "a spell of duty ends after it begins")
        if len(self._table.posts.get(event.subject, ())) >= SPELLS_MAX:
            return Refusal(
                "not_now", "subject", f"a post has at most {SPELLS_MAX} spells; use another code for the post"
            )
        return None

    def _check_handed(self, event: Event) -> Refusal | None:
        shift = self._shifts.get(event.subject)
        if shift is None or (shift.taken_at == MISSING and shift.handed_by == actor_of(event)):
            return None
        known = {"by": shift.taken_by or shift.handed_by, "at": max(shift.taken_at, shift.handed_at)}
        return Refusal("not_now", "subject", "that shift was handed over; the next one needs a code of its own", known)

    def _check_taken(self, event: Event) -> Refusal | None:
        shift = self._shifts.get(event.subject)
        if shift is None:
            return Refusal("unknown_case", "subject", "nobody handed over a shift of that code")
        by = {"by": shift.taken_by or shift.handed_by, "at": max(shift.taken_at, shift.handed_at)}
        if shift.taken_at != MISSING:
            return Refusal("not_now", "subject", "that shift was taken over", by)
        if actor_of(event) == shift.handed_by:
            return Refusal("not_allowed", "actor", "a shift is taken over by somebody else than who handed it over", by)
        if shift.to and actor_of(event) != shift.to:
            return Refusal("not_allowed", "actor", f"that shift was handed over to {shift.to}", by)
        if event.fields["hash"] != shift.hash:
            return Refusal("stale_rev", "hash", "another page was signed; read it again and sign that", by)
        return None

    def apply(self, event: Event) -> None:
        """Take in an event."""
        told, code = event.fields, event.subject
        if event.type == "duty.set":
            self._table.add(
                Spell(
                    code, _text(told, "role"), _text(told, "area"), _text(told, "person"), told["from"], told["until"],
                    _text(told, "deputy"), bool(told.get("absent")),
                )
            )  # fmt: skip
            self._table.forget(event.time - KEEP_MS)
        elif event.type == "shift.handed":
            self._shifts[code] = Shift(
                code, _text(told, "area"), _text(told, "to"), _text(told, "hash"), _text(told, "text"), actor_of(event),
                event.time,
            )  # fmt: skip
            if len(self._shifts) > SHIFTS_MAX:
                del self._shifts[next(iter(self._shifts))]
        else:
            shift = self._shifts[code]
            shift.taken_by, shift.taken_at = actor_of(event), event.time
        self._changed[code] = None

    def tick(self, now: int) -> list[Draft]:
        """Nothing is to be said; rows of posts at which somebody else is now are told anew."""
        before, self.now = self.now, now
        for post, spells in self._table.posts.items():
            if any(before < edge <= now for s in spells for edge in (s.begin, s.end)):
                self._changed[post] = None
        return []

    def due(self) -> int:
        """When somebody comes or goes next; MISSING for never."""
        edges = (e for spells in self._table.posts.values() for s in spells for e in (s.begin, s.end) if e > self.now)
        return min(edges, default=MISSING)

    def _row(self, code: str) -> dict[str, Any]:
        shift, spells = self._shifts.get(code), self._table.posts.get(code)
        if spells is None:
            return shift.row() if shift is not None else {"code": code, "kind": "post", "person": None}
        who, last = at_post(spells, self.now), spells[-1]
        return {
            "code": code, "kind": "post", "role": last.role, "area": last.area,
            "person": who.person if who else None, "until": who.until if who else None,
            "stands_in_for": (who.stands_in_for or None) if who else None,
            "spells": [s.plain() for s in spells if s.end > self.now],
        }  # fmt: skip

    def take_changed(self) -> list[Mapping[str, Any]]:
        """Rows that changed since the last call."""
        changed, self._changed = self._changed, {}
        return [self._row(code) for code in changed]

    def rows(self) -> list[Mapping[str, Any]]:
        """Posts with who is there, and shifts that nobody took over yet."""
        waiting = [code for code, shift in self._shifts.items() if shift.taken_at == MISSING]
        return [self._row(code) for code in (*sorted(self._table.posts), *waiting)]

    def state(self) -> Any:
        """Plain values."""
        spells = [s.plain() for post in sorted(self._table.posts) for s in self._table.posts[post]]
        return {"now": self.now, "spells": spells, "shifts": [asdict(s) for s in self._shifts.values()]}

    def load(self, state: Any) -> None:
        """Come back to a state; every row is told anew."""
        self.now = state["now"]
        self._table = Table(Spell(**s) for s in state["spells"])
        self._shifts = {s["code"]: Shift(**s) for s in state["shifts"]}
        self._changed = dict.fromkeys([*self._table.posts, *self._shifts])
