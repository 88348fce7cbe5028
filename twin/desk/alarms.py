"""All alarms in the order of the log, with their groups, notices and health.

Bounds: at most MOST_ALARMS codes are kept. Those that rest go first, the longest resting before the others; what goes
leaves the highest of its occurrence numbers behind, below which no new alarm begins, so that an acknowledgement of an
old one can never meet a new one. If none rests, one more alarm is refused, with a reason. The history of annunciations
holds a day, at most HISTORY of them; NOTICES are kept. An alarm that rests and made no case has no evidence
any longer: its events are in the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import MISSING
from citytwin.models.desk import alarm_checks, alarms
from citytwin.models.desk.alarm_events import ALARM_FIELDS
from citytwin.models.desk.alarmhealth import PERIOD_MS, SPAN_MS, Health, Occurrence, health, report
from citytwin.models.desk.alarms import VISIBLE, Alarm
from citytwin.models.desk.event import AUTO, DRILL, Draft, Event, Refusal
from citytwin.models.desk.grouping import MOST, default_group, groups
from citytwin.twin.desk.firstout import FirstOut

MOST_ALARMS = 20_000
HISTORY = 20_000
NOTICES = 200
#: Subject of what is said about all alarms together.
ALL = "alarms"
#: Levels of the scopes that make the group of an alarm whose rule names none: district and street.
_GROUP_LEVELS = (1, 2)
#: What may be said of an alarm that was never raised: to keep quiet what is known to be worked on.
_BEFOREHAND = frozenset({"alarm.suppressed", "alarm.out_of_service"})
_Fold = Callable[[Alarm, Event], None]
_FOLDS: dict[str, _Fold] = {
    "alarm.cleared": alarms.clear,
    "alarm.acknowledged": alarms.acknowledge,
    "alarm.shelved": alarms.shelve,
    "alarm.unshelved": alarms.unshelve,
    "alarm.suppressed": alarms.suppress,
    "alarm.unsuppressed": alarms.suppress,
    "alarm.out_of_service": alarms.put_out,
    "alarm.in_service": alarms.put_out,
    "alarm.escalated": alarms.escalate,
}


class Alarms:
    """The part of the desk that knows the alarms; `operators`: how many share them, for the health."""

    types: frozenset[str] = frozenset({f"alarm.{name}" for name in ALARM_FIELDS} | {"alarm.health", "case.reported"})

    def __init__(self, scopes: ScopeTree, *, operators: int = 1, most: int = MOST_ALARMS) -> None:
        self._scopes, self._operators, self._most = scopes, operators, most
        self._now, self._said = MISSING, MISSING
        self._alarms: dict[str, Alarm] = {}
        #: Codes that rest, the longest first, and the highest occurrence of those that were forgotten.
        self._resting: dict[str, None] = {}
        self._floor = 0
        #: Shelved codes, with the end of their time.
        self._shelves: dict[str, int] = {}
        self._first_out = FirstOut()
        self._notices: dict[str, dict[str, Any]] = {}
        self._history: deque[Occurrence] = deque(maxlen=HISTORY)
        self._changed: dict[str, Mapping[str, Any] | None] = {}
        self._new_notices: dict[str, None] = {}

    def check(self, event: Event) -> Refusal | None:
        """Why an event about an alarm is not taken."""
        if event.type == "case.reported":
            return None
        if event.type == "alarm.health":
            return None if event.source == AUTO else Refusal("not_allowed", "source", "only the desk itself says that")
        code, known = event.subject, self._alarms.get(event.subject)
        if event.type == "alarm.raised":
            return alarm_checks.raised(event) or (None if known or event.fields.get("notice") else self._room(code))
        if known is None and event.type in _BEFOREHAND and code:
            return alarm_checks.CHECKS[event.type](Alarm(code), event) or self._room(code)
        if known is None and code in self._notices:
            if event.type == "alarm.cleared":
                return None
            return Refusal("not_now", "subject", f"{code} is a notice: it needs no response")
        if known is None:
            return Refusal("unknown_case", "subject", f"there is no alarm {code}")
        return alarm_checks.CHECKS[event.type](known, event)

    def _room(self, code: str) -> Refusal | None:
        if len(self._alarms) < self._most or self._resting:
            return None
        return Refusal("not_now", "subject", f"{code}: {self._most} alarms stand already, which is the most")

    def apply(self, event: Event) -> None:
        """Take in an event that was not refused."""
        if event.type == "alarm.health":
            self._said = max(self._said, event.time)
        elif event.type == "case.reported":
            self._link(event)
        elif event.type == "alarm.raised":
            self._raise(event)
        elif event.subject in self._alarms or event.type in _BEFOREHAND:
            alarm = self._alarm(event.subject)
            if event.scope >= 0 and not alarm.scope:
                alarm.scope = self._place(event.scope)
            _FOLDS[event.type](alarm, event)
            self._settle(alarm)
        else:  # the end of a notice
            self._notices[event.subject]["active"] = False
            self._new_notices[event.subject] = None

    def _raise(self, event: Event) -> None:
        place = self._place(event.scope)
        if event.fields.get("notice"):
            self._note(event, place)
            return
        alarm = self._alarm(event.subject)
        group = str(event.fields.get("group") or "") or self._group(str(event.fields.get("rule") or ""), event.scope)
        seen, alarm.case = not alarm.hidden, str(event.fields.get("case") or alarm.case)
        if alarms.annunciate(alarm, event, place, DRILL + group if event.drill else group):
            for other in self._first_out.join(alarm):
                self._demote(other)
            if seen and not alarm.drill:
                self._history.append(Occurrence(event.time, alarm.code, alarm.priority))
        self._settle(alarm)

    def _demote(self, code: str) -> None:
        """Another alarm of the group turned out to be the first."""
        if code in self._alarms:
            self._alarms[code].first_out = False
            self._changed[code] = None

    def _note(self, event: Event, place: str) -> None:
        told = event.fields
        zh, en = str(told.get("text_zh") or ""), str(told.get("text_en") or "")
        self._notices.pop(event.subject, None)
        self._notices[event.subject] = {
            "code": event.subject, "t": event.time, "rule": str(told.get("rule") or ""), "scope": place,
            "title": {"zh": zh or en or event.subject, "en": en or zh or event.subject}, "value": told.get("value"),
            "unit": told.get("unit"), "active": True, "drill": event.drill,
        }  # fmt: skip
        self._new_notices[event.subject] = None
        if len(self._notices) > NOTICES:
            oldest = next(iter(self._notices))
            del self._notices[oldest]
            self._new_notices.pop(oldest, None)

    def _link(self, event: Event) -> None:
        """A case was opened for an alarm."""
        alarm = self._alarms.get(str(event.fields.get("source_alarm") or ""))
        if alarm is not None:
            alarm.case = event.subject
            self._changed[alarm.code] = None

    def _alarm(self, code: str) -> Alarm:
        """The alarm of a code; a new one takes the place of the one that rests longest, if there is no other."""
        if code not in self._alarms:
            if len(self._alarms) >= self._most:
                gone = self._alarms[next(iter(self._resting))]
                self._floor = max(self._floor, gone.occurrence)
                if gone.code in self._changed:
                    self._changed[gone.code] = alarms.row(gone, self._now)
                del self._alarms[gone.code], self._resting[gone.code]
            self._alarms[code] = Alarm(code, occurrence=self._floor)
            self._changed.pop(code, None)
        return self._alarms[code]

    def _settle(self, alarm: Alarm) -> None:
        """After each word about an alarm: what else must know of it."""
        self._changed[alarm.code] = None
        self._shelves.pop(alarm.code, None)
        if alarm.shelved_until != MISSING:
            self._shelves[alarm.code] = alarm.shelved_until
        self._resting.pop(alarm.code, None)
        if alarm.resting:
            self._resting[alarm.code] = None
            if not alarm.case:
                alarm.evidence = ""
            self._first_out.leave(alarm)

    def _place(self, scope: int) -> str:
        """Code of the scope that an event was about: above the rows that stand for an unknown place."""
        tree = self._scopes
        while scope >= 0 and tree.unlocated[scope] and tree.parent[scope] >= 0:
            scope = int(tree.parent[scope])
        return tree.code[scope] if scope >= 0 else ""

    def _group(self, rule: str, scope: int) -> str:
        tree = self._scopes
        path = reversed(tree.path(scope)) if scope >= 0 else ()
        return default_group(
            rule, [tree.code[r] for r in path if tree.level[r] in _GROUP_LEVELS and not tree.unlocated[r]]
        )

    def tick(self, now: int) -> list[Draft]:
        """Shelves whose time is over end; from the first alarm on their health is said every ten minutes."""
        before, self._now = self._now, max(self._now, now)
        out = []
        for code, until in sorted(self._shelves.items(), key=lambda item: item[::-1]):
            if until <= self._now:
                out.append(Draft("alarm.unshelved", until, f"alarm.unshelved/{code}/{until}", code, fields=_OVER))
                if until > before:
                    self._changed[code] = None
        period = self._now - self._now % PERIOD_MS
        if period > self._said and self._speaks:
            while self._history and self._history[0].time < period - SPAN_MS - PERIOD_MS:
                self._history.popleft()
            said = self.health(period).fields()
            out.append(Draft("alarm.health", period, f"alarm.health/{period}", ALL, fields=said))
        return out

    def due(self) -> int:
        """When the next shelf ends or the next word on the health is to be said."""
        if self._now == MISSING:
            return MISSING
        ends = [until for until in self._shelves.values() if until > self._now]
        if self._speaks:
            ends.append(self._now - self._now % PERIOD_MS + PERIOD_MS)
        return min(ends, default=MISSING)

    @property
    def _speaks(self) -> bool:
        """Whether there was ever an alarm: a city without any has no health of alarms to tell."""
        return bool(self._alarms) or self._floor > 0

    def health(self, now: int) -> Health:
        """The health of the alarms at a time (ms UTC); drills and hidden alarms are not part of it."""
        return health(self._history, self._active(), now, self._operators)

    def report(self, now: int) -> dict[str, Any]:
        """The health with the codes behind its numbers, for a page."""
        return report(self._history, self._active(), now, self._operators)

    def _active(self) -> dict[str, int]:
        return {a.code: a.active_since for a in self._alarms.values() if a.active and not a.hidden and not a.drill}

    def history(self) -> list[Occurrence]:
        """The annunciations that are remembered, in the order of the log."""
        return list(self._history)

    def alarm(self, code: str) -> Alarm | None:
        """The alarm of a code, None if it is not known; not to be written to."""
        return self._alarms.get(code)

    def row(self, code: str) -> dict[str, Any] | None:
        """The row of an alarm for pages, also of one that rests."""
        alarm = self._alarms.get(code)
        return None if alarm is None else alarms.row(alarm, self._now)

    def detail(self, code: str) -> dict[str, Any] | None:
        """The row, and what only the page of one alarm shows: place, grade of the event, evidence, what hides it."""
        alarm = self._alarms.get(code)
        return None if alarm is None else alarms.row(alarm, self._now) | alarms.more(alarm)

    def rows(self) -> list[Mapping[str, Any]]:
        """Rows of all alarms that are not normal, the worst and newest first."""
        found = [a for a in self._alarms.values() if not a.resting and a.state(self._now) != "normal"]
        found.sort(key=lambda a: (a.priority or len(alarms.PRIORITIES) + 1, -a.since if a.occurrence else 0, a.code))
        return [alarms.row(a, self._now) for a in found]

    def groups(self, most: int = MOST) -> list[dict[str, Any]]:
        """The alarms that are in front of the operators as at most `most` groups: see models.desk.grouping."""
        return groups([r for r in self.rows() if r["state"] in VISIBLE], most)

    def take_changed(self) -> list[Mapping[str, Any]]:
        """Rows that changed since the last call; one that is over comes once more, as normal."""
        changed, self._changed = self._changed, {}
        return [alarms.row(self._alarms[code], self._now) if gone is None else gone for code, gone in changed.items()]

    def notices(self) -> list[Mapping[str, Any]]:
        """The newest notices, oldest first: they are told, and wait for nobody."""
        return [dict(n) for n in self._notices.values()]

    def take_notices(self) -> list[Mapping[str, Any]]:
        """Notices that came or ended since the last call, for the ticker."""
        new, self._new_notices = self._new_notices, {}
        return [dict(self._notices[code]) for code in new]

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return {
            "now": self._now, "said": self._said, "floor": self._floor, "resting": list(self._resting),
            "alarms": [a.plain() for a in self._alarms.values()], "first_out": self._first_out.state(),
            "notices": self.notices(), "new_notices": list(self._new_notices),
            "history": [list(o) for o in self._history],
            "changed": [[code, None if gone is None else dict(gone)] for code, gone in self._changed.items()],
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self._now, self._said, self._floor = state["now"], state["said"], state["floor"]
        self._alarms = {a["code"]: Alarm(**a) for a in state["alarms"]}
        self._resting = dict.fromkeys(state["resting"])
        self._shelves = {a.code: a.shelved_until for a in self._alarms.values() if a.shelved_until != MISSING}
        self._first_out.load(state["first_out"])
        self._notices = {n["code"]: dict(n) for n in state["notices"]}
        self._new_notices = dict.fromkeys(state["new_notices"])
        self._history = deque((Occurrence(*o) for o in state["history"]), HISTORY)
        self._changed = dict(state["changed"])


_OVER = {"actor": "auto", "reason": "the time is over"}
