"""What may be said of a case next, and why a command is refused.

The law of the states is lifecycle.MOVES alone. What is added here only refuses commands, so that the fold of what was
taken never depends on it: who may do a thing, who may not do it because of what they did before, and moves that make no
sense now (`GUARDS`). A refusal names the legal moves; each of them is one that `check` lets pass for somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.assignments import STEPS, Assignment, open_of
from citytwin.models.desk.casebody import CaseFile, CaseLaw, actor_of
from citytwin.models.desk.casefile import GRANTS, column_of
from citytwin.models.desk.event import Event, Refusal
from citytwin.models.desk.roles import PERMISSIONS
from citytwin.models.lifecycle import FAILED, KEEPS, MOVE_TYPES, MOVES, STATES

#: Types that begin a case; the second is the import door, no command.
BEGIN = ("case.reported", "case.history")
#: Types by which somebody works on a case, and may not verify it.
WORK = ("case.received", "case.enroute", "case.arrived", "case.handled")
# whether a state allows a move, by state and column: plain values, for they are asked one by one
_ALLOWS: dict[str, tuple[bool, ...]] = {state: tuple((MOVES[code] >= 0).tolist()) for code, state in enumerate(STATES)}

Guard = Callable[[CaseFile, CaseLaw, int], str]


def _dispatch(file: CaseFile, law: CaseLaw, now: int) -> str:
    del now
    return f"it was returned {file.bounces} times, a supervisor must designate who takes it" if file.stuck(law) else ""


def _return(file: CaseFile, law: CaseLaw, now: int) -> str:
    del now
    if file.designated:
        return f"a supervisor designated {file.designated}"
    return f"it was returned {file.bounces} times already" if file.bounces >= law.returns_max else ""


def _reopen(file: CaseFile, law: CaseLaw, now: int) -> str:
    closed = file.times.get("closed", MISSING)
    late = MISSING not in (closed, now) and now - closed > law.reopen_ms
    return f"it was closed more than {law.reopen_ms // 86_400_000} days ago" if late else ""


def _refuse(file: CaseFile, law: CaseLaw, now: int) -> str:
    del law, now
    return "" if file.approvals else "nothing was asked for"


def _ask(file: CaseFile, law: CaseLaw, now: int) -> str:
    del law, now
    asked = {a.kind for a in file.approvals}
    left = [kind for kind, grant in GRANTS.items() if kind not in asked and _possible(file, MOVE_TYPES.index(grant))]
    return "" if left else "what can be asked for was asked for and is not decided yet"


def _acknowledge(file: CaseFile, law: CaseLaw, now: int) -> str:
    del law, now
    waits = file.transfer is not None and file.transfer.waits
    return "" if waits else "the transfer was acknowledged"


def _free(file: CaseFile, law: CaseLaw, now: int) -> str:
    del law, now
    return "" if file.units() else "no unit is on it"


def _again(step: str) -> Guard:
    """What a unit says on its way: only while there is one that did not say so, or more, before."""

    def guard(file: CaseFile, law: CaseLaw, now: int) -> str:
        del law, now
        kept, units = KEEPS[STATES.index(file.state), MOVE_TYPES.index(f"case.{step}")], file.units()
        left = any(a.reached < STEPS.index(step) for a in units)
        return "no unit is on it that did not say so before" if (kept or units) and not left else ""

    return guard


#: Why a move that the state allows makes no sense now, "" if it does.
GUARDS: Mapping[str, Guard] = {
    "case.dispatched": _dispatch, "case.returned": _return, "case.reopened": _reopen, "case.extension_asked": _ask,
    "case.extension_refused": _refuse, "case.unassigned": _free, "case.cleared": _free,
    "case.acknowledged": _acknowledge,
    "case.enroute": _again("enroute"), "case.received": _again("received"), "case.arrived": _again("arrived"),
}  # fmt: skip


def _possible(file: CaseFile, column: int) -> bool:
    return _ALLOWS[file.state][column]


def legal(
    file: CaseFile, law: CaseLaw, *, roles: Collection[str] | None = None, actor: str = "", now: int = MISSING
) -> tuple[str, ...]:
    """Event types that may be said of the case next, in the order of the table; of none that imports alone say.

    `roles`: only what one of these may say; `actor`: not what this one may not for what they did; `now` for the time
    within which a case may be reopened.
    """
    return tuple(
        op
        for column, op in enumerate(MOVE_TYPES)
        if op != "case.history"
        and (_possible(file, column) or (op == "case.verified" and _possible(file, FAILED)))
        and not (op in GUARDS and GUARDS[op](file, law, now))
        and not (roles is not None and PERMISSIONS.get(op, frozenset()).isdisjoint(roles))
        and not _own(file, op, actor)
    )


def _own(file: CaseFile, op: str, actor: str) -> str:
    """Why somebody may not do this for what they did before, "" if they may."""
    if not actor:
        return ""
    if op == "case.verified" and any(actor in file.did.get(work, ()) for work in WORK):
        return "nobody verifies their own work"
    if op == "case.parked":
        asked = {a.by for a in file.approvals if a.kind == "deferral"}
    elif op == "case.extension_refused":
        asked = {a.by for a in file.approvals}
    else:
        asked = {a.by for a in file.approvals if GRANTS[a.kind] == op}
    return "nobody decides on what they asked for" if actor in asked else ""


def check(
    file: CaseFile | None, event: Event, law: CaseLaw, *, roles: Collection[str] | None = None,
    other: CaseFile | None = None,
) -> Refusal | None:  # fmt: skip
    """Why a command is not taken, None if it is; `file` None for a code that no event ever named.

    `roles` of the actor, None where they were asked before; `other`: the case that `into` names, None for an unknown
    one. What passes is the last of the case's events in their order, so that it meets the state that was judged.
    """
    if file is None:
        return _begins(event)
    rev = event.fields.get("rev")
    if rev is not None and rev != file.rev:
        by = f"by {file.by} " if file.by else ""
        known = {"rev": file.rev, "by": file.by or None, "at": None if file.at == MISSING else file.at}
        return _refusal("stale_rev", "rev", f"it was changed {by}meanwhile: look again", file, law, event, roles, known)
    found = (
        _illegal(file, event, law) or _not_allowed(file, event, law, roles) or _not_now(file, event)
        or (_bad_merge(file, event, other) if event.type == "case.merged" else None)
    )  # fmt: skip
    return None if found is None else _refusal(*found, file, law, event, roles, {})


Found = tuple[str, str, str]


def _begins(event: Event) -> Refusal | None:
    if event.type in BEGIN:
        late = int(event.fields.get("happened_at") or MISSING) > event.time
        return Refusal("out_of_range", "happened_at", "it cannot have happened after it is reported") if late else None
    return Refusal("unknown_case", "subject", f"there is no case {event.subject}", {"legal": [BEGIN[0]]})


def _refusal(
    reason: str, field: str, detail: str, file: CaseFile, law: CaseLaw, event: Event, roles: Collection[str] | None,
    known: Mapping[str, Any],
) -> Refusal:  # fmt: skip
    may = list(legal(file, law, roles=roles, actor=actor_of(event), now=event.time))
    named = f"; legal now: {', '.join(may)}" if reason == "illegal_move" else ""
    return Refusal(reason, field, f"{detail}{named}", {**known, "legal": may})


def _illegal(file: CaseFile, event: Event, law: CaseLaw) -> Found | None:
    if not _possible(file, column_of(event)):
        return "illegal_move", "type", f"case {file.code} cannot make the move {event.type} while it is {file.state}"
    guard = GUARDS.get(event.type)
    why = guard(file, law, event.time) if guard is not None else ""
    if why:
        return "illegal_move", "type", f"case {file.code} cannot make the move {event.type}: {why}"
    return None


def _not_allowed(file: CaseFile, event: Event, law: CaseLaw, roles: Collection[str] | None) -> Found | None:
    if roles is not None and PERMISSIONS.get(event.type, frozenset()).isdisjoint(roles):
        return "not_allowed", "actor", f"{event.type} is not for the roles {', '.join(sorted(roles)) or 'of nobody'}"
    why = _own(file, event.type, actor_of(event))
    if why:
        return "not_allowed", "actor", why
    bound = file.designated or ("nobody yet" if file.stuck(law) else "")
    leads = event.type == "case.dispatched" or event.fields.get("role") == "lead"
    if leads and bound and event.fields.get("unit") != bound:
        return "not_allowed", "unit", f"a supervisor says who takes it: {bound}"
    return None


def _not_now(file: CaseFile, event: Event) -> Found | None:
    told = event.fields
    if (event.time, event.source, event.id) <= file.last:
        return "not_now", "time", "it would come before the last event of the case"
    if event.type in ("case.deferred", "case.parked") and told.get("until", MISSING) <= event.time:
        return "not_now", "until", "a hold ends after it begins"
    if event.type == "case.extension_asked":
        return _bad_request(file, event)
    unit = str(told.get("unit") or "")
    if event.type in _UNITS and (unit or file.lead or event.type not in _LED):
        return _bad_unit(file, event, unit or file.lead)
    if event.type == "case.assigned" and told.get("role") != "lead" and open_of(file.assignments, unit) is not None:
        return "not_now", "unit", f"{unit} is on it"
    return None


#: Types that a unit says of itself, and those of them that it says for the case as a whole.
_UNITS = (*WORK, "case.returned", "case.unassigned", "case.cleared")
_LED = ("case.received", "case.arrived", "case.handled", "case.returned")


def _bad_request(file: CaseFile, event: Event) -> Found | None:
    kind = "deferral" if "until" in event.fields else "extension"
    until = int(event.fields.get("until", event.fields.get("due_at", MISSING)))
    if until <= event.time:
        return "not_now", "due_at" if kind == "extension" else "until", "ask for a time that lies ahead"
    if not _possible(file, MOVE_TYPES.index(GRANTS[kind])):
        return "not_now", "type", f"no {kind} can be granted while it is {file.state}"
    if any(a.kind == kind for a in file.approvals):
        return "not_now", "type", f"a {kind} was asked for and is not decided yet"
    return None


def _bad_unit(file: CaseFile, event: Event, unit: str) -> Found | None:
    found = open_of(file.assignments, unit)
    if found is None:
        return (
            "not_now",
            "unit",
            f"{unit or 'no unit'} is not on it; there are {', '.join(a.unit for a in file.units())}",
        )
    step = event.type.removeprefix("case.")
    if step in STEPS and found.reached >= STEPS.index(step):
        return "not_now", "unit", f"{unit} is {found.state} on it; it can say: {', '.join(_next(file, found))}"
    if event.type in ("case.handled", "case.returned") and file.lead and found.role != "lead":
        return "not_now", "unit", f"{unit} does not lead it"
    return None


def _next(file: CaseFile, work: Assignment) -> list[str]:
    """What a unit on the case can still say of itself."""
    steps = [f"case.{step}" for i, step in enumerate(STEPS) if i > work.reached]
    leads = ["case.handled", "case.returned"] if work.role == "lead" else []
    return [op for op in (*steps, *leads, "case.cleared") if _possible(file, MOVE_TYPES.index(op))]


def _bad_merge(file: CaseFile, event: Event, other: CaseFile | None) -> Found | None:
    into = str(event.fields.get("into", ""))
    if into == file.code:
        return "not_now", "into", "a case cannot be merged into itself"
    if other is None:
        return "unknown_case", "into", f"there is no case {into}"
    if other.over or other.state == "new":
        return "not_now", "into", f"case {into} is {other.state}: choose one that is not over"
    if into in file.unlike or file.code in other.unlike:
        return "not_now", "into", f"somebody said that {into} is no duplicate"
    return None
