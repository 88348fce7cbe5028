"""The law of one alarm: two bits, what hides it, and how each word about it changes them.

An alarm is what needs a response (ANSI/ISA-18.2, IEC 62682); all else is a notice and never comes here. It has two
bits, `active` and `acked`; the four states follow from them. Each annunciation has a number, its occurrence:
acknowledging one never acknowledges the next. Shelved (by a person, for a time), suppressed (by design) and out of
service hide the alarm and leave both bits alone, as in OPC UA part 9, so what happened meanwhile is there when it is
seen again.

Three things are kept apart: the priority of an alarm (ours: how soon somebody must look), the grade of the event
(`grade`: how much harm was done, by the law), and public early warning (`twin.desk.warnings`), which is a public act.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import AUTO, DESK_SOURCE, DRILL, Event
from citytwin.models.vocabulary import DAY_MS

#: Longest time for which an alarm can be shelved. A local default; the standards ask for a limit.
SHELF_MAX_MS = DAY_MS

#: States of an alarm, with their titles.
STATES: dict[str, dict[str, str]] = {
    "normal": {"zh": "正常", "en": "Normal"},
    "unack": {"zh": "未确认", "en": "Unacknowledged"},
    "ack": {"zh": "已确认", "en": "Acknowledged"},
    "rtn_unack": {"zh": "已恢复未确认", "en": "Returned, unacknowledged"},
    "shelved": {"zh": "搁置", "en": "Shelved"},
    "suppressed": {"zh": "设计抑制", "en": "Suppressed by design"},
    "out_of_service": {"zh": "停用", "en": "Out of service"},
}
#: States in which an alarm is in front of the operator.
VISIBLE = frozenset({"unack", "ack", "rtn_unack"})


@dataclass(frozen=True, slots=True)
class Priority:
    """How a priority is shown: never by its colour alone."""

    numeral: str
    colour: str
    shape: str
    title: Mapping[str, str]


#: Priorities I to IV: colours by the Emergency Response Law, shapes so that nobody depends on colour.
PRIORITIES: dict[int, Priority] = {
    1: Priority("I", "red", "diamond", {"zh": "Ⅰ级（红）", "en": "I (red)"}),
    2: Priority("II", "orange", "triangle", {"zh": "Ⅱ级（橙）", "en": "II (orange)"}),
    3: Priority("III", "yellow", "square", {"zh": "Ⅲ级（黄）", "en": "III (yellow)"}),
    4: Priority("IV", "blue", "circle", {"zh": "Ⅳ级（蓝）", "en": "IV (blue)"}),
}


@dataclass(slots=True)
class Alarm:
    """What is known of one alarm. Times ms UTC, MISSING for none; `priority` 1..4, `grade` 0..4 (0: no grade).

    `first_out`: whether the newest occurrence was the first of its group, `since`: when it was annunciated,
    `active_since`: since when the alarm is active. `by`, `at`, `rev`: who changed it last, when, and how often it
    changed; a new value alone is no change.
    """

    code: str
    rule: str = ""
    scope: str = ""
    lon: float | None = None
    lat: float | None = None
    zh: str = ""
    en: str = ""
    priority: int = 0
    grade: int = 0
    value: float | None = None
    unit: str = ""
    group: str = ""
    evidence: str = ""
    active: bool = False
    acked: bool = True
    occurrence: int = 0
    first_out: bool = False
    since: int = MISSING
    active_since: int = MISSING
    cleared_at: int = MISSING
    acked_by: str = ""
    acked_at: int = MISSING
    shelved_by: str = ""
    shelved_until: int = MISSING
    shelved_why: str = ""
    suppressed_by: str = ""
    out_by: str = ""
    out_why: str = ""
    escalated_to: str = ""
    case: str = ""
    by: str = ""
    at: int = MISSING
    rev: int = 0

    @property
    def drill(self) -> bool:
        """Whether it belongs to a drill."""
        return self.code.startswith(DRILL)

    @property
    def hidden(self) -> bool:
        """Whether it is kept from the list by a person or by design, also after a shelf has run out unsaid."""
        return self.shelved_until != MISSING or bool(self.suppressed_by) or bool(self.out_by)

    @property
    def resting(self) -> bool:
        """Whether nothing is to be said of it: only its occurrence number must be remembered."""
        return not self.active and self.acked and not self.hidden

    def state(self, now: int) -> str:
        """Its state, a key of STATES. A shelf ends with the clock, whether or not its end was said yet."""
        if self.out_by:
            return "out_of_service"
        if self.suppressed_by:
            return "suppressed"
        if self.shelved_until != MISSING and now < self.shelved_until:
            return "shelved"
        if self.active:
            return "ack" if self.acked else "unack"
        return "normal" if self.acked else "rtn_unack"

    def plain(self) -> dict[str, Any]:
        """All of it as plain values, for a snapshot."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def who(event: Event) -> str:
    """Who said an event: the actor that it names, else the user of a source at the desk, else the source."""
    actor = str(event.fields.get("actor") or "")
    return actor or (event.source if event.source == AUTO else event.source.removeprefix(DESK_SOURCE))


def touch(alarm: Alarm, event: Event) -> None:
    """Note that an event changed it."""
    alarm.by, alarm.at, alarm.rev = who(event), event.time, alarm.rev + 1


def annunciate(alarm: Alarm, event: Event, scope: str, group: str) -> bool:
    """Take in `alarm.raised`; whether that is a new occurrence, unacknowledged again.

    It is one if the alarm was not active, or is worse than before: a lower priority is no new call, nor the same one
    said again. One from before the last return is told late: it was there, and has already returned.
    """
    told = event.fields
    priority = int(told["priority"])
    fresh = not alarm.active or priority < alarm.priority
    before = (alarm.priority, alarm.zh, alarm.en, alarm.rule, alarm.grade, alarm.scope)
    alarm.priority, alarm.rule = priority, str(told.get("rule") or "")
    alarm.zh, alarm.en = str(told.get("text_zh") or ""), str(told.get("text_en") or "")
    alarm.value, alarm.unit = told.get("value"), str(told.get("unit") or "")
    alarm.grade, alarm.evidence = int(told.get("level_of_event") or 0), str(told.get("evidence") or "")
    alarm.scope = scope
    if math.isfinite(event.lon) and math.isfinite(event.lat):
        alarm.lon, alarm.lat = event.lon, event.lat
    if fresh:
        if not alarm.active:
            alarm.active = alarm.cleared_at == MISSING or event.time >= alarm.cleared_at
            alarm.active_since = event.time if alarm.active else MISSING
        alarm.occurrence, alarm.since, alarm.group = alarm.occurrence + 1, event.time, group
        alarm.acked, alarm.acked_by, alarm.acked_at, alarm.escalated_to = False, "", MISSING, ""
    if fresh or before != (alarm.priority, alarm.zh, alarm.en, alarm.rule, alarm.grade, alarm.scope):
        touch(alarm, event)
    return fresh


def clear(alarm: Alarm, event: Event) -> None:
    """Take in `alarm.cleared`: it is no longer active; whether somebody acknowledged it stays as it was."""
    alarm.active, alarm.active_since, alarm.cleared_at = False, MISSING, event.time
    if event.fields.get("value") is not None:
        alarm.value = event.fields["value"]
    touch(alarm, event)


def acknowledge(alarm: Alarm, event: Event) -> None:
    """Take in `alarm.acknowledged` of the newest occurrence."""
    alarm.acked, alarm.acked_by, alarm.acked_at = True, who(event), event.time
    touch(alarm, event)


def shelve(alarm: Alarm, event: Event) -> None:
    """Take in `alarm.shelved`: hidden until a time, by whom and why."""
    alarm.shelved_by, alarm.shelved_until = who(event), int(event.fields["until"])
    alarm.shelved_why = str(event.fields.get("reason") or "")
    touch(alarm, event)


def unshelve(alarm: Alarm, event: Event) -> None:
    """Take in `alarm.unshelved`."""
    alarm.shelved_by, alarm.shelved_until, alarm.shelved_why = "", MISSING, ""
    touch(alarm, event)


def suppress(alarm: Alarm, event: Event) -> None:
    """Take in `alarm.suppressed` and `alarm.unsuppressed`: by what, by design."""
    alarm.suppressed_by = str(event.fields.get("by") or "") if event.type == "alarm.suppressed" else ""
    touch(alarm, event)


def put_out(alarm: Alarm, event: Event) -> None:
    """Take in `alarm.out_of_service` and `alarm.in_service`."""
    out = event.type == "alarm.out_of_service"
    alarm.out_by, alarm.out_why = (who(event), str(event.fields.get("reason") or "")) if out else ("", "")
    touch(alarm, event)


def escalate(alarm: Alarm, event: Event) -> None:
    """Take in `alarm.escalated`: who is to look at it now; it stays unacknowledged."""
    alarm.escalated_to = str(event.fields["to"])
    touch(alarm, event)


def _known(time: int) -> int | None:
    return None if time == MISSING else time


def row(alarm: Alarm, now: int) -> dict[str, Any]:
    """The alarm as pages and HTTP have it: plain JSON values, None where there is nothing."""
    shelved = alarm.shelved_until != MISSING
    return {
        "code": alarm.code,
        "rule": alarm.rule,
        "scope": alarm.scope or None,
        "title": {"zh": alarm.zh or alarm.en or alarm.code, "en": alarm.en or alarm.zh or alarm.code},
        "priority": alarm.priority,
        "active": alarm.active,
        "acked": alarm.acked,
        "state": alarm.state(now),
        "occurrence": alarm.occurrence,
        "since": _known(alarm.since),
        "acked_by": alarm.acked_by or None,
        "acked_at": _known(alarm.acked_at),
        "shelved_by": alarm.shelved_by if shelved else None,
        "shelved_until": _known(alarm.shelved_until),
        "shelved_why": alarm.shelved_why if shelved else None,
        "value": alarm.value,
        "unit": alarm.unit or None,
        "group": alarm.group,
        "first_out": alarm.first_out,
        "case": alarm.case or None,
        "drill": alarm.drill,
        "rev": alarm.rev,
    }


def more(alarm: Alarm) -> dict[str, Any]:
    """What only the page of one alarm shows beside its row; `evidence` is the JSON text of the rule."""
    return {
        "lon": alarm.lon,
        "lat": alarm.lat,
        "level_of_event": alarm.grade,
        "evidence": alarm.evidence or None,
        "active_since": _known(alarm.active_since),
        "cleared_at": _known(alarm.cleared_at),
        "suppressed_by": alarm.suppressed_by or None,
        "out_by": alarm.out_by or None,
        "out_why": alarm.out_why or None,
        "escalated_to": alarm.escalated_to or None,
        "by": alarm.by or None,
        "at": _known(alarm.at),
    }
