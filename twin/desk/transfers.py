"""Reports that people handed to somebody else (转办), to 110, 119 or 120 above all, and that wait for their word.

What waits longer than its limit is an alarm until the acknowledgement comes. What other systems transfer is theirs to
follow, and not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.alarms import who
from citytwin.models.desk.event import DRILL, Draft, Event, Refusal, by_person

#: The rule of the alarm; its subject is `transfer_waiting@<case>`.
RULE = "transfer_waiting"
MINUTE_MS = 60_000
#: Lines of emergency, and how long these and all others may take to say that they have it. Local defaults.
EMERGENCY = frozenset({"110", "119", "120", "122"})
EMERGENCY_MS, OTHERS_MS = 5 * MINUTE_MS, 24 * 60 * MINUTE_MS
#: Larger (II) where somebody may be in danger, else general (IV). Local defaults.
PRIORITY, PRIORITY_OTHERS = 2, 4
#: After so long one that nobody answered is no longer waited for.
FORGET_MS = 7 * 24 * 60 * MINUTE_MS
WAITING_MAX = 10_000


class Transfers:
    """The part of the desk that knows what waits; `place`: code of the scope of a case, "" for none."""

    types: frozenset[str] = frozenset({"case.transferred", "case.acknowledged", "alarm.raised", "alarm.cleared"})

    def __init__(self, place: Callable[[str], str]) -> None:
        self._place = place
        self._waiting: dict[str, dict[str, Any]] = {}
        #: By case: id of the event that raised its alarm.
        self._raised: dict[str, str] = {}
        self._changed: dict[str, None] = {}
        self._now = MISSING

    def check(self, event: Event) -> Refusal | None:
        """Nothing is refused here: the law of the case holds."""
        del event
        return None

    def apply(self, event: Event) -> None:
        """Take in an event."""
        code = event.subject
        if event.type.startswith("alarm."):
            self._alarm(event)
        elif event.type == "case.acknowledged" or event.fields.get("receipt"):
            if self._waiting.pop(code, None) is not None:
                self._changed[code] = None
        elif by_person(event.source):
            to = str(event.fields.get("to", ""))
            limit = EMERGENCY_MS if to in EMERGENCY else OTHERS_MS
            self._waiting[code] = {"to": to, "by": who(event), "at": event.time, "due": event.time + limit}
            self._changed[code] = None
            while len(self._waiting) > WAITING_MAX:
                del self._waiting[next(iter(self._waiting))]

    def _alarm(self, event: Event) -> None:
        rule, _, code = event.subject.removeprefix(DRILL).partition("@")
        if rule != RULE:
            return
        case = DRILL + code if event.subject.startswith(DRILL) else code
        if event.type == "alarm.raised":
            self._raised[case] = event.id
        else:
            self._raised.pop(case, None)

    def tick(self, now: int) -> list[Draft]:
        """Alarms of what waits too long, and the end of those that were acknowledged or are forgotten."""
        self._now = now
        for code in [code for code, row in self._waiting.items() if now - row["at"] >= FORGET_MS]:
            del self._waiting[code]
            self._changed[code] = None
        late = [code for code, row in self._waiting.items() if row["due"] <= now and code not in self._raised]
        over = [code for code in self._raised if code not in self._waiting]
        return [*(self._raise(code) for code in late), *(self._clear(code, now) for code in over)]

    def _subject(self, code: str) -> str:
        return f"{DRILL if code.startswith(DRILL) else ''}{RULE}@{code.removeprefix(DRILL)}"

    def _raise(self, code: str) -> Draft:
        row, subject = self._waiting[code], self._subject(code)
        minutes = (row["due"] - row["at"]) // MINUTE_MS
        fields = {
            "rule": RULE, "priority": PRIORITY if row["to"] in EMERGENCY else PRIORITY_OTHERS, "group": RULE,
            "value": float(minutes), "unit": "min", "text_zh": f"{code} 转办 {row['to']} 已 {minutes} 分钟未签收",
            "text_en": f"{code} was transferred to {row['to']} {minutes} min ago and is not acknowledged",
            "evidence": json.dumps({"case": code}, ensure_ascii=False), "case": code,
        }  # fmt: skip
        place = self._place(code)
        return Draft("alarm.raised", row["due"], f"{subject}/{row['at']}", subject, fields=fields, scope=place)

    def _clear(self, code: str, now: int) -> Draft:
        subject = self._subject(code)
        return Draft("alarm.cleared", now, f"{self._raised[code]}/cleared", subject, scope=self._place(code))

    def due(self) -> int:
        """When the next one is late; the last tick where an alarm is yet to be told; MISSING for neither."""
        if any(code not in self._waiting for code in self._raised):
            return self._now
        return min(self._times(), default=MISSING)

    def _times(self) -> Iterator[int]:
        for code, row in self._waiting.items():
            yield row["at"] + FORGET_MS if code in self._raised else row["due"]

    def _row(self, code: str) -> dict[str, Any]:
        told = self._waiting.get(code, {"to": "", "by": "", "at": None, "due": None})
        return {"code": code, "scope": self._place(code) or None, "late": code in self._raised, **told}

    def take_changed(self) -> list[Mapping[str, Any]]:
        """Rows that changed since the last call."""
        changed, self._changed = self._changed, {}
        return [self._row(code) for code in changed]

    def rows(self) -> list[Mapping[str, Any]]:
        """What waits, the one that is due first at the beginning."""
        return [self._row(code) for code in sorted(self._waiting, key=lambda c: (self._waiting[c]["due"], c))]

    def state(self) -> Any:
        """Plain values for a snapshot."""
        return {
            "waiting": [[code, dict(row)] for code, row in self._waiting.items()],
            "raised": dict(sorted(self._raised.items())), "now": self._now,
        }  # fmt: skip

    def load(self, state: Any) -> None:
        """Come back to a state."""
        self._waiting = {code: dict(row) for code, row in state["waiting"]}
        self._raised, self._now = dict(state["raised"]), state["now"]
        self._changed = dict.fromkeys(self._waiting)
