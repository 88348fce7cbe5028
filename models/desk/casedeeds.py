"""What the moves of a case do to its file besides state and clocks: units, approvals, counts, notes, replies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from citytwin.models.columns import MISSING
from citytwin.models.desk.assignments import Assignment, open_of
from citytwin.models.desk.casebody import Approval, CaseFile, Transfer, actor_of, entry_of
from citytwin.models.desk.event import Event

Deed = Callable[[CaseFile, Event], None]


def _send(file: CaseFile, event: Event) -> None:
    designated = event.type == "case.designated"
    unit = str(event.fields.get("to" if designated else "unit", ""))
    if designated:
        file.designated = unit
    _lead(file, unit, event)


def _lead(file: CaseFile, unit: str, event: Event) -> None:
    """A unit leads; the one before, and what it had in support, ends."""
    for old in file.units():
        if old.role == "lead" or old.unit == unit:
            old.cleared = event.time
    file.lead = unit
    if unit:
        file.assignments.append(Assignment(unit, "lead", event.time, actor_of(event)))


def _assign(file: CaseFile, event: Event) -> None:
    unit = str(event.fields["unit"])
    if event.fields.get("role") == "lead":
        _lead(file, unit, event)
    elif open_of(file.assignments, unit) is None:
        file.assignments.append(Assignment(unit, "support", event.time, actor_of(event)))


def _step(name: str) -> Deed:
    def reach(file: CaseFile, event: Event) -> None:
        found = open_of(file.assignments, str(event.fields.get("unit") or file.lead))
        if found is not None:
            found.reach(name, event.time)

    return reach


def _clear(file: CaseFile, event: Event) -> None:
    """One unit is done: the one that is named, else the lead."""
    unit = str(event.fields.get("unit") or file.lead)
    found = open_of(file.assignments, unit)
    if found is not None:
        found.cleared = event.time
        if found.role == "lead" and event.type in ("case.unassigned", "case.cleared"):
            file.lead = ""


def _handle(file: CaseFile, event: Event) -> None:
    _step("handled")(file, event)
    _clear(file, event)
    if event.fields.get("evidence"):
        file.evidence.append(dataclasses.replace(entry_of(event), hash=str(event.fields["evidence"])))


def _go_back(file: CaseFile, event: Event) -> None:
    _clear(file, event)
    _free_lead(file, event)
    file.returns, file.bounces = file.returns + 1, file.bounces + 1


def _free_lead(file: CaseFile, event: Event) -> None:
    for old in file.units():
        if old.role == "lead":
            old.cleared = event.time
    file.lead = ""


def _free(file: CaseFile, event: Event) -> None:
    """Nobody has to do with the case any longer, or for the time being."""
    for old in file.units():
        old.cleared = event.time
    file.lead = ""


def _verify(file: CaseFile, event: Event) -> None:
    if not event.fields.get("passed", True):
        file.rework += 1
        _free_lead(file, event)


def _reopen(file: CaseFile, event: Event) -> None:
    del event
    file.reopened, file.bounces, file.designated = file.reopened + 1, 0, ""


def _ask(file: CaseFile, event: Event) -> None:
    kind = "deferral" if "until" in event.fields else "extension"
    until = int(event.fields.get("until", event.fields.get("due_at", MISSING)))
    others = [a for a in file.approvals if a.kind != kind]
    file.approvals = [*others, Approval(kind, actor_of(event), event.time, until)]


def _grant(kind: str, then: Deed | None = None) -> Deed:
    def grant(file: CaseFile, event: Event) -> None:
        file.approvals = [a for a in file.approvals if a.kind != kind]
        if then is not None:
            then(file, event)

    return grant


def _refuse(file: CaseFile, event: Event) -> None:
    del event
    file.approvals = []


def _count(file: CaseFile, event: Event) -> None:
    file.counts[event.type] = file.counts.get(event.type, 0) + 1


def _note(file: CaseFile, event: Event) -> None:
    file.notes.append(entry_of(event))


def _prove(file: CaseFile, event: Event) -> None:
    file.evidence.append(entry_of(event))


def _reply(file: CaseFile, event: Event) -> None:
    """What whoever reported it was told, and what they said of it."""
    file.replies.append(entry_of(event))
    if event.type in ("case.called_back", "case.evaluated"):
        file.called_back_at = event.time
        file.satisfied = event.fields.get("satisfied", file.satisfied)
    if event.type == "case.closed":
        _free(file, event)


def _transfer(file: CaseFile, event: Event) -> None:
    _reply(file, event)
    receipt = str(event.fields.get("receipt") or "")
    at = event.time if receipt else MISSING
    file.transfer = Transfer(str(event.fields.get("to", "")), actor_of(event), event.time, receipt, at)


def _acknowledge(file: CaseFile, event: Event) -> None:
    """The first word holds."""
    if file.transfer is not None and file.transfer.waits:
        receipt = str(event.fields.get("receipt") or "")
        file.transfer = dataclasses.replace(file.transfer, receipt=receipt, acknowledged_at=event.time)


def _differ(file: CaseFile, event: Event) -> None:
    file.unlike.add(str(event.fields["other"]))


#: What moves do besides state and clocks.
DEEDS: dict[str, Deed] = {
    "case.dispatched": _send, "case.designated": _send, "case.assigned": _assign, "case.unassigned": _clear,
    "case.received": _step("received"), "case.enroute": _step("enroute"), "case.arrived": _step("arrived"),
    "case.cleared": _clear, "case.handled": _handle, "case.returned": _go_back, "case.verified": _verify,
    "case.reopened": _reopen, "case.extension_asked": _ask, "case.extension_refused": _refuse,
    "case.extended": _grant("extension"), "case.deferred": _grant("deferral", _free), "case.parked": _free,
    "case.merged": _free, "case.voided": _free, "case.closed": _reply, "case.escalated": _count, "case.urged": _count,
    "case.supervised": _count, "case.instructed": _count, "case.noted": _note, "case.evidence": _prove,
    "case.answered": _reply, "case.rejected": _reply, "case.transferred": _transfer, "case.called_back": _reply,
    "case.acknowledged": _acknowledge,
    "case.evaluated": _reply, "case.unlike": _differ,
}  # fmt: skip
