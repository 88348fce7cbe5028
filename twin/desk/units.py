"""Units in the order of the log: where they are, what they do, and which of them fell silent with work to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import DRILL, Draft, Event, Refusal, by_person
from citytwin.models.desk.units import MINUTE_MS, QUIET_MS, STAGES, Task, Unit, quiet_limit

#: The rule of the alarm; its subject is `unit_silent@<unit>`.
RULE = "unit_silent"
#: A unit in the field of which nobody knows: larger (III). A local default.
PRIORITY = 3
#: How long a case that is over is remembered, so that a move that comes late gives nobody work (ms).
_OVER_MS = 24 * 60 * MINUTE_MS
#: Moves that bring a unit further, to this stage.
_STAGE = {"case.received": "received", "case.enroute": "en_route", "case.arrived": "on_scene"}
#: Moves by which one unit is done with a case: the one that is named, else the lead.
_ONE_DONE = frozenset({"case.handled", "case.returned", "case.cleared", "case.unassigned"})
#: Moves by which nobody has to do with a case any longer, or for the time being.
_ALL_DONE = frozenset({
    "case.closed", "case.rejected", "case.merged", "case.voided", "case.withdrawn", "case.answered",
    "case.transferred", "case.deferred", "case.parked",
})  # fmt: skip
#: Moves that send a unit to a case.
_SENDS = frozenset({"case.dispatched", "case.designated", "case.assigned"})
#: Events that are kept elsewhere in a city of shards, and of which the desk needs the newest of each unit.
FOLLOWED = frozenset({"vehicle.pos"})
#: Cases and units that a refusal names.
_NAMED = 10
_PUTS_OFF = frozenset({"case.deferred", "case.parked"})


class Units:
    """The part of the desk that knows the units; `limits`: how long one with work may be silent, as QUIET_MS.

    A name that only cases speak of, such as a department, has work but no row and is not watched.
    """

    types: frozenset[str] = frozenset(
        {
            "unit.state", "case.dispatched", "case.designated", "case.assigned", "case.verified",
            "alarm.raised", "alarm.cleared",
        }
        | FOLLOWED | _STAGE.keys() | _ONE_DONE | _ALL_DONE
    )  # fmt: skip

    def __init__(self, limits: Mapping[str, int] | None = None) -> None:
        self.limits = QUIET_MS if limits is None else {**QUIET_MS, **limits}
        self.now = MISSING
        self._units: dict[str, Unit] = {}
        self._of_case: dict[str, list[str]] = {}
        self._over: dict[str, int] = {}
        #: By unit: id and subject of the event that raised its alarm.
        self._raised: dict[str, tuple[str, str]] = {}
        self._changed: dict[str, None] = {}
        self._folds = self._by_type()

    def unit(self, code: str) -> Unit | None:
        """The unit of that code, None if it never told its state."""
        unit = self._units.get(code)
        return unit if unit is not None and unit.said else None

    def known(self) -> list[Unit]:
        """All units that told their state, by code."""
        return [self._units[code] for code in sorted(self._units) if self._units[code].said]

    def load_of(self, code: str) -> int:
        """Cases that a unit has, also one that is known from cases alone."""
        unit = self._units.get(code)
        return unit.load if unit is not None else 0

    def units_of(self, case: str) -> list[Unit]:
        """Those that have to do with a case, in the order in which they got it."""
        return [self._units[code] for code in self._of_case.get(case, ())]

    def check(self, event: Event) -> Refusal | None:
        """What people say against what a unit does: nobody who is off duty is sent, nobody with work goes off duty.

        What vehicles and other systems say is taken as it is; the laws of the case hold for the moves of cases.
        """
        if not by_person(event.source):
            return None
        if event.type == "unit.state":
            return self._check_off(event)
        if event.type in _SENDS:
            return self._check_sent(str(event.fields.get("to" if event.type == "case.designated" else "unit") or ""))
        return None

    def _check_off(self, event: Event) -> Refusal | None:
        unit = self._units.get(event.subject)
        if unit is None or not unit.work or event.fields.get("state") != "off":
            return None
        cases = ", ".join(sorted(unit.work)[:_NAMED])
        legal = ["ready", "busy"]
        said = f"{unit.name or unit.code} has {cases}: clear it or give it back first; legal now: {', '.join(legal)}"
        return Refusal("not_now", "state", said, {"legal": legal, "cases": sorted(unit.work)[:_NAMED]})

    def _check_sent(self, code: str) -> Refusal | None:
        unit = self.unit(code)
        if unit is None or unit.said != "off":
            return None
        ready = [u.code for u in self.known() if u.state == "ready"][:_NAMED]
        others = f"ready are {', '.join(ready)}" if ready else "none is ready"
        return Refusal("not_now", "unit", f"{unit.name or code} is off duty; {others}", {"ready": ready})

    def apply(self, event: Event) -> None:
        """Take in one event; those of types or units that are of no concern change nothing."""
        fold = self._folds.get(event.type)
        if fold is not None:
            fold(event)

    def _by_type(self) -> dict[str, Callable[[Event], None]]:
        return {
            "unit.state": self._say, "vehicle.pos": self._move, "case.dispatched": self._give,
            "case.designated": self._give, "case.assigned": self._give, "case.verified": self._verify,
            "alarm.raised": self._alarm, "alarm.cleared": self._alarm,
            **dict.fromkeys(_STAGE, self._advance), **dict.fromkeys(_ONE_DONE, self._one_done),
            **dict.fromkeys(_ALL_DONE, self._all_done),
        }  # fmt: skip

    def _say(self, event: Event) -> None:
        unit = self._units.setdefault(event.subject, Unit(event.subject))
        unit.say(event.time, event.fields)
        unit.hear(event.time, event.lon, event.lat)
        self._judge(unit)

    def _move(self, event: Event) -> None:
        unit = self._units.get(event.subject)
        if unit is not None and unit.said:
            unit.hear(event.time, event.lon, event.lat)
            self._judge(unit)

    def _give(self, event: Event) -> None:
        """A unit gets a case: as its lead, who takes the place of another one, or in support."""
        designated = event.type == "case.designated"
        code, case = str(event.fields.get("to" if designated else "unit", "")), event.subject
        if not code or event.time < self._over.get(case, MISSING):
            return
        role = str(event.fields.get("role", "support")) if event.type == "case.assigned" else "lead"
        if role == "lead":
            old = self._lead(case)
            if old is not None and event.time < old.work[case].given:
                return
            if old is not None and old.code != code:
                self._drop(old, case, event.time)
        unit = self._units.setdefault(code, Unit(code))
        held = unit.work.get(case)
        if held is not None and event.time < held.given:
            return
        unit.work[case] = Task(role, "sent", event.time, event.time)
        if code not in self._of_case.setdefault(case, []):
            self._of_case[case].append(code)
        self._judge(unit)

    def _advance(self, event: Event) -> None:
        """The unit that is named, else the lead, received the case, left for it or is there."""
        unit = self._who(event)
        task = unit.work.get(event.subject) if unit is not None else None
        if unit is None or task is None or event.time < task.since:
            return
        if STAGES.index(_STAGE[event.type]) > STAGES.index(task.stage):  # nobody comes back to where they were before
            task.stage, task.since = _STAGE[event.type], event.time
        there = event.type == "case.arrived"  # of the other moves the place is that of the case
        unit.hear(event.time, *((event.lon, event.lat) if there else ()))
        self._judge(unit)

    def _one_done(self, event: Event) -> None:
        unit = self._who(event)
        if unit is None or event.subject not in unit.work:
            return
        if event.type != "case.unassigned":  # somebody else says that
            unit.hear(event.time)
        self._drop(unit, event.subject, event.time)
        lead = self._lead(event.subject)
        if lead is not None and event.type == "case.returned":  # whoever gives it back, it waits for another one
            self._drop(lead, event.subject, event.time)

    def _verify(self, event: Event) -> None:
        """Work that does not pass goes to whom it is sent next."""
        lead = self._lead(event.subject)
        if lead is not None and not event.fields.get("passed", True):
            self._drop(lead, event.subject, event.time)

    def _all_done(self, event: Event) -> None:
        for code in list(self._of_case.get(event.subject, ())):
            self._drop(self._units[code], event.subject, event.time)
        if event.type not in _PUTS_OFF:
            self._over[event.subject] = max(event.time, self._over.get(event.subject, MISSING))

    def _alarm(self, event: Event) -> None:
        """Take note of which alarms stand, so that none is given twice or cleared twice."""
        rule, _, code = event.subject.removeprefix(DRILL).partition("@")
        if rule != RULE:
            return
        if event.type == "alarm.raised":
            self._raised[code] = (event.id, event.subject)
        else:
            self._raised.pop(code, None)

    def _lead(self, case: str) -> Unit | None:
        return next((u for u in self.units_of(case) if u.work[case].role == "lead"), None)

    def _who(self, event: Event) -> Unit | None:
        code = str(event.fields.get("unit", ""))
        return self._units.get(code) if code else self._lead(event.subject)

    def _drop(self, unit: Unit, case: str, time: int) -> None:
        """A unit is done with a case, unless it got it later than that."""
        if time < unit.work[case].given:
            return
        del unit.work[case]
        left = [code for code in self._of_case[case] if code != unit.code]
        if left:
            self._of_case[case] = left
        else:
            del self._of_case[case]
        self._judge(unit)
        if not unit.said and not unit.work:
            del self._units[unit.code]

    def _judge(self, unit: Unit) -> None:
        """Whether a unit is silent as of the last tick; its row is told anew."""
        due = self._due_of(unit)
        unit.silent = due != MISSING and due <= self.now
        if unit.said:
            self._changed[unit.code] = None

    def _due_of(self, unit: Unit) -> int:
        """When a unit becomes silent, unless it is heard; MISSING for one without work or that is not watched."""
        since = unit.quiet_since()
        if since == MISSING or not unit.said:
            return MISSING
        return since + quiet_limit(unit.kind, self.limits)

    def tick(self, now: int) -> list[Draft]:
        """Alarms of units that have been silent for too long, and the end of those that were heard or have no work."""
        self.now = now
        while self._over and now - next(iter(self._over.values())) >= _OVER_MS:
            del self._over[next(iter(self._over))]
        drafts = []
        for unit in self.known():
            if unit.work and not unit.silent and MISSING != self._due_of(unit) <= now:
                self._judge(unit)
            if unit.silent and unit.code not in self._raised:
                drafts.append(self._raise(unit, now))
            elif not unit.silent and unit.code in self._raised:
                drafts.append(self._clear(unit, now))
        return drafts

    def _raise(self, unit: Unit, now: int) -> Draft:
        since = unit.quiet_since()
        subject = f"{DRILL if unit.case.startswith(DRILL) else ''}{RULE}@{unit.code}"
        minutes, name = (now - since) // MINUTE_MS, unit.name or unit.code
        evidence = {"unit": unit.code, "seen": unit.row()["seen"], "cases": sorted(unit.work)}
        home = unit.home if unit.placed == MISSING else ""  # who answers for a place must see it
        fields = {
            "rule": RULE, "case": unit.case, "priority": PRIORITY, "value": float(minutes), "group": RULE,
            "text_zh": f"{name} 执行 {unit.case} 期间已 {minutes} 分钟无回报",
            "text_en": f"{name} on {unit.case} has said nothing for {minutes} min",
            "evidence": json.dumps(evidence, ensure_ascii=False, separators=(",", ":")),
        }  # fmt: skip
        return Draft("alarm.raised", now, f"{subject}/{since}", subject, unit.lon, unit.lat, fields, home)

    def _clear(self, unit: Unit, now: int) -> Draft:
        raised, subject = self._raised[unit.code]
        home = unit.home if unit.placed == MISSING else ""
        return Draft("alarm.cleared", now, f"{raised}/cleared", subject, unit.lon, unit.lat, {"value": 0.0}, home)

    def due(self) -> int:
        """When the next unit becomes silent, the last tick where an alarm is yet to be told; MISSING for neither."""
        units = self.known()
        if any(unit.silent != (unit.code in self._raised) for unit in units):
            return self.now
        due = [self._due_of(u) for u in units if not u.silent]
        return min((t for t in due if t != MISSING), default=MISSING)

    def take_changed(self) -> list[Mapping[str, Any]]:
        """Rows of the units that changed since the last call."""
        changed, self._changed = self._changed, {}
        return [self._units[code].row() for code in changed]

    def rows(self) -> list[Mapping[str, Any]]:
        """Rows of all units."""
        return [unit.row() for unit in self.known()]

    def state(self) -> Any:
        """Plain values for a snapshot."""
        return {
            "now": self.now,
            "units": [_plain(self._units[code]) for code in sorted(self._units)],
            "cases": {case: list(self._of_case[case]) for case in sorted(self._of_case)},
            "over": [[case, time] for case, time in self._over.items()],
            "raised": {code: list(self._raised[code]) for code in sorted(self._raised)},
        }

    def load(self, state: Any) -> None:
        """Come back to a state; all rows are told anew."""
        self.now = state["now"]
        self._units = {u["code"]: _unit(u) for u in state["units"]}
        self._of_case = {case: list(codes) for case, codes in state["cases"].items()}
        self._over = dict(state["over"])
        self._raised = {code: (raised[0], raised[1]) for code, raised in state["raised"].items()}
        self._changed = dict.fromkeys(u.code for u in self.known())


_PLAIN = (
    "code", "kind", "name", "capacity", "home", "shift_until", "said", "said_at", "placed", "seen", "silent",
)  # fmt: skip


def _plain(unit: Unit) -> dict[str, Any]:
    place = None if unit.placed == MISSING else [unit.lon, unit.lat]
    work = {case: [t.role, t.stage, t.given, t.since] for case, t in sorted(unit.work.items())}
    return {name: getattr(unit, name) for name in _PLAIN} | {
        "skills": list(unit.skills),
        "place": place,
        "work": work,
    }


def _unit(plain: Mapping[str, Any]) -> Unit:
    unit = Unit(**{name: plain[name] for name in _PLAIN}, skills=tuple(plain["skills"]))
    if plain["place"] is not None:
        unit.lon, unit.lat = plain["place"]
    unit.work = {case: Task(*told) for case, told in plain["work"].items()}
    return unit
