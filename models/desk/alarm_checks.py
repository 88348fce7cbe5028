"""Why a word about an alarm is not taken. Nothing here changes anything.

`known` of a `stale_rev` names the newest occurrence and revision, and who made them and when, so that the one who came
second sees what the first one did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk import alarm_evidence
from citytwin.models.desk.alarms import SHELF_MAX_MS, Alarm
from citytwin.models.desk.event import AUTO, Event, Refusal

Check = Callable[[Alarm, Event], Refusal | None]


def _about(alarm: Alarm) -> dict[str, Any]:
    return {"occurrence": alarm.occurrence, "rev": alarm.rev, "by": alarm.by, "at": alarm.at}


def revision(alarm: Alarm, event: Event) -> Refusal | None:
    """Whether the command knows the newest revision; one that names none is taken."""
    rev = event.fields.get("rev")
    if rev is None or int(rev) == alarm.rev:
        return None
    said = f"{alarm.code} was changed by {alarm.by} after that; look at it again"
    return Refusal("stale_rev", "rev", said, _about(alarm))


def _reason(event: Event) -> Refusal | None:
    if event.fields.get("reason"):
        return None
    return Refusal("missing", "reason", "say why: whoever takes over the shift must be able to read it")


def raised(event: Event) -> Refusal | None:
    """Whether an alarm may be raised like that."""
    priority = event.fields.get("priority")
    if priority is None:
        return Refusal("missing", "priority", "an alarm has a priority from 1 (I, the worst) to 4 (IV)")
    if not 1 <= int(priority) <= 4:
        return Refusal("out_of_range", "priority", f"a priority is 1 to 4, not {priority}")
    if not event.subject:
        return Refusal("missing", "subject", "name the alarm as <rule>@<scope or entity>")
    wrong = alarm_evidence.fault(str(event.fields.get("evidence") or ""))
    return Refusal("wrong_type", "evidence", wrong) if wrong else None


def cleared(alarm: Alarm, event: Event) -> Refusal | None:
    """An alarm can return only if it is active, and not before it was raised."""
    if not alarm.active:
        return Refusal("not_now", "subject", f"{alarm.code} is not active", _about(alarm))
    if event.time < alarm.active_since:
        return Refusal("not_now", "time", f"{alarm.code} was raised after that time", _about(alarm))
    return None


def acknowledged(alarm: Alarm, event: Event) -> Refusal | None:
    """Only the newest occurrence can be acknowledged, once; its number stands for the revision."""
    number = event.fields.get("occurrence")
    if number is None:
        return Refusal(
            "missing", "occurrence", "name the occurrence that was seen, so that no newer one is taken for it"
        )
    if int(number) > alarm.occurrence:
        return Refusal("out_of_range", "occurrence", f"the newest occurrence is {alarm.occurrence}", _about(alarm))
    if int(number) < alarm.occurrence:
        said = f"{alarm.code} was raised again since: occurrence {alarm.occurrence} is to be looked at"
        return Refusal("stale_rev", "occurrence", said, _about(alarm))
    if alarm.acked:
        known = _about(alarm) | {"by": alarm.acked_by or alarm.by, "at": alarm.at}
        if alarm.acked_at != MISSING:
            known["at"] = alarm.acked_at
        return Refusal("stale_rev", "occurrence", f"{alarm.code} is acknowledged, by {known['by']}", known)
    return None


def shelved(alarm: Alarm, event: Event) -> Refusal | None:
    """For a time that is not longer than the cap, with a reason."""
    until = event.fields.get("until")
    if until is None:
        return Refusal("missing", "until", "an alarm is shelved until a time")
    if not event.time < int(until) <= event.time + SHELF_MAX_MS:
        hours = SHELF_MAX_MS // 3_600_000
        return Refusal("out_of_range", "until", f"an alarm can be shelved for at most {hours} hours from now")
    return _reason(event) or revision(alarm, event)


def unshelved(alarm: Alarm, event: Event) -> Refusal | None:
    """Only what is shelved; the desk itself ends only the shelf whose time has passed."""
    if alarm.shelved_until == MISSING:
        return Refusal("not_now", "subject", f"{alarm.code} is not shelved", _about(alarm))
    if event.source == AUTO and event.time < alarm.shelved_until:
        return Refusal("not_now", "time", f"{alarm.code} was shelved anew", _about(alarm))
    return revision(alarm, event)


def suppressed(alarm: Alarm, event: Event) -> Refusal | None:
    """By something that is named."""
    if not event.fields.get("by"):
        return Refusal("missing", "by", "name what suppresses it: a rule, a plan, a mode of operation")
    return revision(alarm, event)


def unsuppressed(alarm: Alarm, event: Event) -> Refusal | None:
    """Only what is suppressed."""
    if not alarm.suppressed_by:
        return Refusal("not_now", "subject", f"{alarm.code} is not suppressed", _about(alarm))
    return revision(alarm, event)


def out_of_service(alarm: Alarm, event: Event) -> Refusal | None:
    """Once, with a reason."""
    if alarm.out_by:
        return Refusal("not_now", "subject", f"{alarm.code} is out of service already", _about(alarm))
    return _reason(event) or revision(alarm, event)


def in_service(alarm: Alarm, event: Event) -> Refusal | None:
    """Only what is out of service."""
    if not alarm.out_by:
        return Refusal("not_now", "subject", f"{alarm.code} is in service", _about(alarm))
    return revision(alarm, event)


def escalated(alarm: Alarm, event: Event) -> Refusal | None:
    """Only what nobody acknowledged, to somebody."""
    if not event.fields.get("to"):
        return Refusal("missing", "to", "name who is to look at it")
    if alarm.acked:
        return Refusal("not_now", "subject", f"{alarm.code} has been acknowledged", _about(alarm))
    return revision(alarm, event)


#: By event type; `alarm.raised` needs no alarm that is known.
CHECKS: dict[str, Check] = {
    f"alarm.{check.__name__}": check
    for check in (
        cleared, acknowledged, shelved, unshelved, suppressed, unsuppressed, out_of_service, in_service, escalated
    )
}  # fmt: skip
