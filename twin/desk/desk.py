"""The desk: its parts together, what they may refuse, and what it has to say by itself.

One owner decides in the order of the log. What follows from a tick is a draft; it stays here until the event of its id
has come, so that a crash between saying and hearing neither loses nor doubles it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import AUTO, Draft, Event, Part, Refusal, by_person

#: Drafts that wait to be written; beyond it no part is asked for more until some are.
DRAFTS_MAX = 10_000
#: Refused drafts that are remembered, so that a part that still wants one does not say it again and again.
REFUSED_MAX = 10_000

#: Whether a move of a case may be taken now; asked for what people say, and for events that know a revision.
CheckCase = Callable[[Event], Refusal | None]


def _plain(draft: Draft) -> dict[str, Any]:
    plain = asdict(draft)
    if draft.lon != draft.lon:
        plain["lon"] = plain["lat"] = None
    return plain


class Desk:
    """Alarms, units, plans and people by name of their part, folded in the order of the log."""

    def __init__(self, parts: Mapping[str, Part], check_case: CheckCase | None = None) -> None:
        """`check_case`: the law of the cases, which are kept elsewhere (twin.cases)."""
        self.parts = dict(parts)
        self._check_case = check_case
        self._of: dict[str, list[Part]] = {}
        for part in self.parts.values():
            for type in part.types:
                self._of.setdefault(type, []).append(part)
        #: What is to be said and was not heard yet, by id, in the order in which it is to be said.
        self.drafts: dict[str, Draft] = {}
        self._refused: dict[str, None] = {}
        self._due = 0
        #: Whether it says nothing by itself.
        self.quiet = False

    def hears(self, type: str) -> bool:
        """Whether a part of the desk folds events of a type."""
        return type in self._of

    def admit(self, events: Sequence[Event], known: Sequence[bool]) -> list[Refusal | None]:
        """Take in events in order; why each was refused, None if it was not.

        `known`: events that came before; they are neither judged nor taken again.
        """
        return [None if seen else self._admit(event) for event, seen in zip(events, known, strict=True)]

    def _admit(self, event: Event) -> Refusal | None:
        refusal = self._judge(event)
        if event.source == AUTO:
            self.heard(event.id, refusal is not None)
        return refusal

    def heard(self, id: str, refused: bool) -> None:
        """The event of a draft came; one that was refused is not said again."""
        self.drafts.pop(id, None)
        if refused:
            self._refused[id] = None
            if len(self._refused) > REFUSED_MAX:
                del self._refused[next(iter(self._refused))]

    def follow(self, events: Iterable[Event]) -> None:
        """Take in events that are judged and kept elsewhere, as the whereabouts of units are."""
        for event in events:
            for part in self._of.get(event.type, ()):
                part.apply(event)
                self._due = 0

    def _judge(self, event: Event) -> Refusal | None:
        commanded = "rev" in event.fields or by_person(event.source)
        if self._check_case is not None and commanded and event.type.startswith("case."):
            refusal = self._check_case(event)
            if refusal is not None:
                return refusal
        parts = self._of.get(event.type, ())
        for part in parts:
            refusal = part.check(event)
            if refusal is not None:
                return refusal
        for part in parts:
            part.apply(event)
        if parts:
            self._due = 0
        return None

    def tick(self, now: int, drafts: Iterable[Draft] = ()) -> None:
        """Move the clock; `drafts`: what others found that is to be said."""
        self.say(drafts)
        if now < self._due or len(self.drafts) >= DRAFTS_MAX:
            return
        for part in self.parts.values():
            self.say(part.tick(now))
        dues = [due for part in self.parts.values() if (due := part.due()) != MISSING]
        self._due = min(dues, default=2**62)

    def say(self, drafts: Iterable[Draft]) -> None:
        """Have something said; what was refused or waits already is not said again."""
        for draft in () if self.quiet else drafts:
            if draft.id not in self._refused:
                self.drafts.setdefault(draft.id, draft)

    def due(self) -> int:
        """Earliest time at which a tick finds something; 2**62 for never."""
        return self._due

    def changed(self) -> dict[str, tuple[Mapping[str, Any], ...]]:
        """Rows for pages that changed since the last call, by part; `open`: whether it is still shown."""
        found: dict[str, tuple[Mapping[str, Any], ...]] = {}
        for name, part in self.parts.items():
            rows = part.take_changed()
            if rows:
                shown = {row["code"] for row in part.rows()}
                found[name] = tuple({**row, "open": row["code"] in shown} for row in rows)
        return found

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return {
            "parts": {name: part.state() for name, part in self.parts.items()},
            "drafts": [_plain(draft) for draft in self.drafts.values()],
            "refused": list(self._refused),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state; a part that the state does not know begins anew."""
        for name, known in state["parts"].items():
            if name in self.parts:
                self.parts[name].load(known)
        self.drafts = {d["id"]: Draft(**{k: v for k, v in d.items() if v is not None}) for d in state["drafts"]}
        self._refused = dict.fromkeys(state["refused"])
        self._due = 0
