"""The working calendar of the desk: the edition it begins with, and those that the log told since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.calendar import CHINA_MS, HOURS, Edition, WorkCalendar, day_number
from citytwin.models.desk.editions import Turn
from citytwin.models.desk.event import Draft, Event, Refusal
from citytwin.models.vocabulary import DAY_MS

#: Most editions remembered, and most days of one: two years of days that differ are not a hundred.
EDITIONS_MAX, DAYS_MAX = 200, 800


def _days(text: str) -> dict[int, bool]:
    """Day numbers of a JSON object of ISO dates to 1 (worked) or 0. Raises ValueError that says what is wrong."""
    told = json.loads(text)
    if not isinstance(told, dict) or len(told) > DAYS_MAX or not all(v in (0, 1) for v in told.values()):
        raise ValueError(f'write days as {{"2027-01-01": 0, "2027-01-30": 1}}, 1 is worked, at most {DAYS_MAX} of them')
    return {day_number(date.fromisoformat(day)): bool(worked) for day, worked in told.items()}


def _years(text: str) -> list[int]:
    if any(not (y.isascii() and y.isdigit() and len(y) == 4) for y in text.split()):
        raise ValueError("write years with blanks between them, as in 2027 2028")
    return [int(year) for year in text.split()]


class Calendars:
    """The part of the desk that folds `calendar.edition`; `calendar` is what holds now.

    Deadlines that nobody named follow by `models.desk.editions.rescheduled`, which reads `turns`.
    """

    types: frozenset[str] = frozenset({"calendar.edition"})

    def __init__(self, base: Edition, offset_ms: int = CHINA_MS, hours: tuple[tuple[int, int], ...] = HOURS) -> None:
        self._base, self._offset_ms, self._hours = base, offset_ms, hours
        self._told: list[dict[str, Any]] = []
        self._changed: dict[str, None] = {}
        #: The editions that came, with the calendars before and after each.
        self.turns: list[Turn] = []
        self.calendar = WorkCalendar(base, offset_ms, hours)

    @property
    def edition(self) -> str:
        """The id of the edition that holds now."""
        return self.calendar.edition.id

    def check(self, event: Event) -> Refusal | None:
        """Whether the days and years of an edition can be read."""
        for name, read in (("days", _days), ("years", _years)):
            try:
                read(str(event.fields.get(name) or ("{}" if name == "days" else "")))
            except (ValueError, RecursionError) as error:
                return Refusal("wrong_type", name, str(error)[:200])
        if len(self._told) >= EDITIONS_MAX:
            return Refusal("not_now", "subject", f"at most {EDITIONS_MAX} editions are kept; put them into the pack")
        return None

    def apply(self, event: Event) -> None:
        """Put an edition over those before it."""
        told = event.fields
        self._told.append({
            "code": event.subject, "days": str(told["days"]), "years": str(told.get("years") or ""),
            "valid_from": told.get("valid_from"), "since": event.time,
        })  # fmt: skip
        self._changed[event.subject] = None
        self._amend(self._told[-1])

    def _amend(self, told: Mapping[str, Any]) -> None:
        begin = told["valid_from"]
        first = MISSING if begin is None else (begin + self._offset_ms) // DAY_MS
        before = self.calendar
        edition = before.edition.amended(told["code"], _days(told["days"]), _years(told["years"]), first)
        self.calendar = WorkCalendar(edition, self._offset_ms, self._hours)
        self.turns.append(Turn(told["code"], told["since"], before, self.calendar))

    def tick(self, now: int) -> list[Draft]:
        """Nothing follows from the clock."""
        del now
        return []

    def due(self) -> int:
        """Never."""
        return MISSING

    def _row(self, told: Mapping[str, Any]) -> dict[str, Any]:
        return {**told, "days": len(_days(told["days"])), "years": _years(told["years"])}

    def take_changed(self) -> list[Mapping[str, Any]]:
        """Editions that came since the last call."""
        changed, self._changed = self._changed, {}
        return [self._row(told) for told in self._told if told["code"] in changed]

    def rows(self) -> list[Mapping[str, Any]]:
        """Editions that the log told, in their order."""
        return [self._row(told) for told in self._told]

    def state(self) -> Any:
        """Plain values."""
        return {"told": [dict(told) for told in self._told]}

    def load(self, state: Any) -> None:
        """Come back to a state."""
        self._told = [dict(told) for told in state["told"]]
        self._changed, self.turns = {}, []
        self.calendar = WorkCalendar(self._base, self._offset_ms, self._hours)
        for told in self._told:
            self._amend(told)
