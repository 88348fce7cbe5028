"""Public early warnings (公共预警): a public act of an authorised person, and nothing that follows from an alarm.

No rule and no part of the desk can issue one. Its colour is its own: neither the priority of an alarm nor the grade of
an event makes it or changes it (Emergency Response Law of China: levels I to IV are red, orange, yellow and blue).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import MISSING
from citytwin.models.desk.alarm_events import COLOURS
from citytwin.models.desk.alarms import who
from citytwin.models.desk.event import AUTO, Draft, Event, Refusal

#: Whether an actor may say an event of a type.
May = Callable[[str, str], bool]
#: Warnings that are kept after their end, the newest.
ENDED = 200
#: Warnings that can be in force at once.
IN_FORCE = 1_000


class Warnings:
    """The part of the desk that knows the public warnings.

    `may(actor, op)` must answer the same when the log is read again, so it asks what the log told of people.
    """

    types: frozenset[str] = frozenset({"warning.issued", "warning.ended"})

    def __init__(self, scopes: ScopeTree, may: May) -> None:
        self._scopes, self._may = scopes, may
        self._warnings: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, None] = {}

    def check(self, event: Event) -> Refusal | None:
        """Only a person with the right to, and only what makes sense."""
        if event.source == AUTO or not self._may(who(event), event.type):
            return Refusal("not_allowed", "actor", "a public warning is issued and ended by an authorised person")
        known = self._warnings.get(event.subject)
        rev = event.fields.get("rev")
        if rev is not None and int(rev) != (known["rev"] if known else 0):
            said = {k: known[k] for k in ("rev", "by", "at")} if known else {"rev": 0}
            return Refusal("stale_rev", "rev", "the warning was changed after that; look at it again", said)
        return self._ends(known, event) if event.type == "warning.ended" else self._begins(known, event)

    def _begins(self, known: Mapping[str, Any] | None, event: Event) -> Refusal | None:
        if not event.subject:
            return Refusal("missing", "subject", "give the warning a code")
        if event.fields.get("colour") not in COLOURS:
            return Refusal("bad_code", "colour", f"the colour is one of {', '.join(COLOURS)}")
        if not event.fields.get("headline"):
            return Refusal("missing", "headline", "a warning needs a headline")
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
        """Take in an event that was not refused; one that is issued again has another colour or headline."""
        row = self._warnings.pop(event.subject, None) or {"code": event.subject, "issued_at": event.time, "rev": 0}
        if event.type == "warning.issued":
            begun = row["issued_at"] if row.get("in_force") else event.time
            row |= {
                "level": COLOURS.index(event.fields["colour"]) + 1, "colour": event.fields["colour"],
                "headline": event.fields["headline"], "issued_at": begun, "in_force": True, "drill": event.drill,
                "scope": self._scopes.code[event.scope] if event.scope >= 0 else "",
            }  # fmt: skip
        else:
            row["in_force"] = False
        row |= {"by": who(event), "at": event.time, "rev": row["rev"] + 1}
        self._warnings[event.subject] = row
        self._changed[event.subject] = None
        over = [code for code, w in self._warnings.items() if not w["in_force"]]
        for code in over[: max(0, len(over) - ENDED)]:
            del self._warnings[code]
            self._changed.pop(code, None)

    def tick(self, now: int) -> list[Draft]:
        """Nothing: a warning ends when somebody ends it."""
        del now
        return []

    def due(self) -> int:
        """Never."""
        return MISSING

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
