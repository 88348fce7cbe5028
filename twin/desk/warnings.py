"""Public early warnings (公共预警): a public act of an authorised person, and nothing that follows from an alarm.

No rule and no part of the desk can issue one. Its colour is its own: neither the priority of an alarm nor the grade of
an event makes it or changes it (Emergency Response Law of China: levels I to IV are red, orange, yellow and blue).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import MISSING
from citytwin.models.desk.alarm_events import COLOURS, WARNING_WORDS
from citytwin.models.desk.alarms import who
from citytwin.models.desk.event import DESK_SOURCE, Draft, Event, Refusal, by_person
from citytwin.models.desk.roles import PERMISSIONS

#: Warnings that are kept after their end, the newest.
ENDED = 200
#: Warnings that can be in force at once.
IN_FORCE = 1_000
_WORDS = ("headline", "event", "text", "instruction")


def allowed(event: Event) -> bool:
    """Whether a person said it, for themselves, under a role that may.

    Accounts are not in the log, so the door for commands looks there and writes down the role (`under`); nobody else
    can write events of a source of the desk. So a replay judges the same.
    """
    signed = who(event) == event.source.removeprefix(DESK_SOURCE)
    return by_person(event.source) and signed and event.fields.get("under") in PERMISSIONS.get(event.type, frozenset())


class Warnings:
    """The part of the desk that knows the public warnings."""

    types: frozenset[str] = frozenset({"warning.issued", "warning.ended"})

    def __init__(self, scopes: ScopeTree) -> None:
        self._scopes = scopes
        self._warnings: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, None] = {}

    def check(self, event: Event) -> Refusal | None:
        """Only a person with the right to, and only what makes sense."""
        if not allowed(event):
            return Refusal("not_allowed", "actor", "a public warning is issued and ended by an authorised person")
        known = self._warnings.get(event.subject)
        rev = event.fields.get("rev")
        if rev is not None and int(rev) != (known["rev"] if known else 0):
            said = {k: known[k] for k in ("rev", "by", "at")} if known else {"rev": 0}
            return Refusal("stale_rev", "rev", "the warning was changed after that; look at it again", said)
        stands = known is not None and known["in_force"]
        if known is not None and stands and event.scope >= 0 and self._place(event) != known["scope"]:
            return Refusal("not_now", "scope", f"it holds for {known['scope']}; issue another one for other places")
        return self._ends(known, event) if event.type == "warning.ended" else self._begins(known, event)

    def _place(self, event: Event) -> str:
        """Code of the scope for which it holds; the city where none is known."""
        row = max(event.scope, 0)
        while row > 0 and bool(self._scopes.unlocated[row]):  # a scope that was named stands for all of it
            row = int(self._scopes.parent[row])
        return self._scopes.code[row]

    def _begins(self, known: Mapping[str, Any] | None, event: Event) -> Refusal | None:
        told = event.fields
        if not event.subject:
            return Refusal("missing", "subject", "give the warning a code")
        if told.get("colour") not in COLOURS:
            return Refusal("bad_code", "colour", f"the colour is one of {', '.join(COLOURS)}")
        if not told.get("headline"):
            return Refusal("missing", "headline", "a warning needs a headline")
        for name, known_words in WARNING_WORDS.items():
            wrong = sorted(set(str(told.get(name) or "").split()) - set(known_words))
            if wrong:
                return Refusal("bad_code", name, f"{wrong[0][:40]!r} is none of {', '.join(known_words)}")
        if told.get("expires") is not None and told["expires"] <= event.time:
            return Refusal("out_of_range", "expires", "a warning expires after it is issued")
        if known is None and sum(w["in_force"] for w in self._warnings.values()) >= IN_FORCE:
            return Refusal("not_now", "subject", f"{IN_FORCE} warnings are in force, which is the most")
        return None

    @staticmethod
    def _ends(known: Mapping[str, Any] | None, event: Event) -> Refusal | None:
        if known is None:
            return Refusal("unknown_case", "subject", f"there is no warning {event.subject}")
        if not known["in_force"]:
            said = {k: known[k] for k in ("rev", "by", "at")}
            return Refusal("not_now", "subject", f"{event.subject} was ended by {known['by']}", said)
        return None

    def apply(self, event: Event) -> None:
        """Take in an event that was not refused; one that is issued again while it stands is an update."""
        row = self._warnings.pop(event.subject, None) or {"code": event.subject, "rev": 0, "in_force": False}
        if event.type == "warning.issued":
            stands = row["in_force"]
            row |= self._told(event) | {
                "issued_at": row["issued_at"] if stands else event.time, "issued_by": who(event),
                "scope": row["scope"] if stands else self._place(event), "in_force": True, "ended_at": None,
                "ended_by": None,
            }  # fmt: skip
        else:
            row |= {"in_force": False, "ended_at": event.time, "ended_by": who(event)}
        row |= {"by": who(event), "at": event.time, "rev": row["rev"] + 1}
        self._warnings[event.subject] = row
        self._changed[event.subject] = None
        self._forget()

    def _told(self, event: Event) -> dict[str, Any]:
        told = event.fields
        words = {name: {"zh": told.get(name), "en": told.get(f"{name}_en") or told.get(name)} for name in _WORDS}
        return {
            "level": COLOURS.index(told["colour"]) + 1, "colour": told["colour"], **words,
            "expires": told.get("expires"), "lapsed": False, "run": told.get("run"), "under": told["under"],
            "drill": event.drill,
        }  # fmt: skip

    def _forget(self) -> None:
        over = [code for code, w in self._warnings.items() if not w["in_force"]]
        for code in over[: max(0, len(over) - ENDED)]:
            del self._warnings[code]
            self._changed.pop(code, None)

    def tick(self, now: int) -> list[Draft]:
        """Nothing to say: a warning ends when somebody ends it. What is over by its own word is marked `lapsed`."""
        for code, row in self._warnings.items():
            if row["in_force"] and not row["lapsed"] and row["expires"] is not None and row["expires"] <= now:
                row["lapsed"] = True
                self._changed[code] = None
        return []

    def due(self) -> int:
        """When the next one lapses; MISSING for never."""
        waiting = (w["expires"] for w in self._warnings.values() if w["in_force"] and not w["lapsed"] and w["expires"])
        return min(waiting, default=MISSING)

    def rows(self) -> list[Mapping[str, Any]]:
        """The warnings in force, the worst and newest first."""
        found = [dict(w) for w in self._warnings.values() if w["in_force"]]
        return sorted(found, key=lambda w: (w["level"], -w["issued_at"], w["code"]))

    def take_changed(self) -> list[Mapping[str, Any]]:
        """Rows that changed since the last call, also of those that ended."""
        changed, self._changed = self._changed, {}
        return [dict(self._warnings[code]) for code in changed]

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return {"warnings": [dict(w) for w in self._warnings.values()], "changed": list(self._changed)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self._warnings = {w["code"]: dict(w) for w in state["warnings"]}
        self._changed = dict.fromkeys(state["changed"])
