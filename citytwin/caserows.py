"""A case as plain JSON values: the short form of the queue, all the rest, and the facts that escalation needs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.models.columns import MISSING
from citytwin.models.desk.calendar import Limit
from citytwin.models.desk.casebody import ON_HOLD, CaseFile, CaseLaw, Entry
from citytwin.models.desk.categories import Category
from citytwin.models.desk.editions import Deadline
from citytwin.models.desk.escalation import Clock, Facts
from citytwin.models.desk.limits import HANDLING, Stage, handling_limit, stage_limit
from citytwin.models.desk.receipt import STAGE as RECEIPT
from citytwin.models.desk.receipt import Due, waiting

#: Levels of the scopes that name a place: district and street.
_NAMED = (1, 2)
#: Lines of the timeline that are told, the newest.
LINES = 500


def known(time: int) -> int | None:
    """A time for pages."""
    return None if time == MISSING else time


def path(scopes: ScopeTree, row: int) -> tuple[str, ...]:
    """Codes from the city down to a scope row, () for -1."""
    return tuple(scopes.code[r] for r in reversed(scopes.path(row))) if row >= 0 else ()


def where(scopes: ScopeTree, row: int) -> dict[str, str]:
    """District and street of a scope row in both languages."""
    rows = (
        [r for r in reversed(scopes.path(row)) if scopes.level[r] in _NAMED and not scopes.unlocated[r]]
        if row >= 0
        else []
    )
    return {
        "zh": " ".join(scopes.name[r] for r in rows),
        "en": ", ".join(scopes.name_en[r] or scopes.name[r] for r in reversed(rows)),
    }


def _units(file: CaseFile, law: CaseLaw) -> list[dict[str, Any]]:
    """Units on a case; `receipt_due`: until when one that said nothing yet has to."""
    due = {w.unit.unit: w.due for w in waiting(file, receipt_law(file, law))}
    return [
        {
            "unit": work.unit, "role": work.role, "state": work.state, "since": known(work.since),
            "receipt_due": due.get(work.unit),
        }
        for work in file.units()
    ]  # fmt: skip


def receipt_law(file: CaseFile, law: CaseLaw) -> Due:
    """When the receipt of a unit is due that was sent to a case at a time."""
    return lambda sent: law.limit(file.category, file.level, RECEIPT, sent)


def _transfer(file: CaseFile) -> dict[str, Any] | None:
    found = file.transfer
    if found is None:
        return None
    return {
        "to": found.to, "by": found.by or None, "at": found.at, "receipt": found.receipt or None,
        "acknowledged_at": known(found.acknowledged_at), "waits": found.waits,
    }  # fmt: skip


def short(
    file: CaseFile, law: CaseLaw, scopes: ScopeTree, title: Mapping[str, str], merged: list[str]
) -> dict[str, Any]:
    """The short form: what channel and queue show of a case."""
    owner, placed, told = file.owner(law), not math.isnan(file.lon), file.told
    return {
        "code": file.code, "rev": file.rev, "level": file.level, "category": file.category, "title": dict(title),
        "state": file.state, "open": not file.over, "stage": file.stage, "stage_due": known(file.stage_due),
        "stage_since": known(file.stage_since), "due_at": known(file.due_at), "deferred_ms": file.deferred_ms,
        "scope": file.scope if file.scope >= 0 else None, "where": where(scopes, file.scope),
        "lon": file.lon if placed else None, "lat": file.lat if placed else None,
        "reported_at": known(file.times.get("reported", MISSING)), "filed_at": known(file.times.get("filed", MISSING)),
        "since": known(file.since), "owner": None if owner is None else {"role": owner.role, "unit": owner.unit},
        "drill": file.drill, "channel": told.get("channel"), "text": told.get("text") or file.text or None,
        "address": told.get("address"), "confidential": bool(told.get("confidential")),
        "units": _units(file, law), "merged": merged, "into": file.into or None,
        "backfilled": bool(told.get("backfilled")), "happened_at": told.get("happened_at"),
        "alarm": told.get("source_alarm"), "transfer": _transfer(file),
    }  # fmt: skip


def more(file: CaseFile) -> dict[str, Any]:
    """What only the opened case shows."""
    return {
        "times": {state: known(at) for state, at in file.times.items()},
        "counts": {
            **file.counts, "returns": file.returns, "bounces": file.bounces, "rework": file.rework,
            "reopened": file.reopened, "merges": file.merges, "illegal": file.illegal,
        },
        "approvals": [{"kind": a.kind, "by": a.by, "at": a.at, "until": known(a.until)} for a in file.approvals],
        "evidence": [{"t": e.time, "actor": e.actor, "text": e.text, "hash": e.hash} for e in file.evidence],
        "notes": [{"t": e.time, "actor": e.actor, "text": e.text} for e in file.notes],
        "unlike": sorted(file.unlike), "caller": file.told.get("caller"), "timeline": timeline(file),
    }  # fmt: skip


def timeline(file: CaseFile) -> list[dict[str, Any]]:
    """The newest lines, oldest first; each hash covers its line and all before it."""
    out, chain = [], b""
    for entry in file.timeline:
        chain = hashlib.blake2b(chain + _bytes(entry), digest_size=16).digest()
        out.append(
            {
                "t": entry.time,
                "type": entry.type,
                "actor": entry.actor or entry.source,
                "text": entry.text,
                "unit": entry.unit or None,
                "id": entry.id,
                "hash": chain.hex(),
                "legal": entry.legal,
            }
        )
    return out[-LINES:]


def _bytes(entry: Entry) -> bytes:
    parts = (str(entry.time), entry.type, entry.actor, entry.source, entry.id, entry.text, entry.unit)
    return "\x1f".join(parts).encode()


def report(file: CaseFile) -> dict[str, Any]:
    """One report with its own reply, callback and satisfaction."""
    return {
        "code": file.code, "t": known(file.times.get("reported", MISSING)), "channel": file.told.get("channel"),
        "text": file.told.get("text") or file.text or None, "state": file.state,
        "replies": [{"t": e.time, "actor": e.actor, "text": e.text} for e in file.replies],
        "called_back_at": known(file.called_back_at), "satisfied": file.satisfied,
    }  # fmt: skip


def deadline(file: CaseFile, limit: Limit) -> Deadline:
    """What a new edition of the calendar must know of a case."""
    filed = file.times.get("filed", MISSING)
    return Deadline(file.code, file.state, filed, file.due_at, file.deferred_ms, file.last[0], limit)


def _in_working_time(limit: Limit | None) -> bool:
    return limit is not None and limit.unit.startswith("working")


def facts(file: CaseFile, scopes: ScopeTree, category: Category, stages: Mapping[str, Stage]) -> Facts:
    """What escalation needs: the clocks of the stage and of the whole handling, holds, areas from the smallest up."""
    clocks = []
    if file.stage and file.stage_since != MISSING and file.stage != HANDLING and file.stage_limit != MISSING:
        working = _in_working_time(stage_limit(category, file.level, file.stage, stages))
        # a stage that comes again has steps of its own: its beginning tells the entries apart
        clocks.append(Clock(file.stage, file.stage_since, file.stage_limit, working, file.stage_since))
    begin = file.times.get("filed", MISSING)
    if MISSING not in (begin, file.due_at):
        working = _in_working_time(handling_limit(category, file.level))
        clocks.append(Clock(HANDLING, begin, file.due_at, working, file.reopened + 1))
    now = ((file.since, file.until),) if file.state in ON_HOLD and file.until != MISSING else ()
    past = file.deferred_ms - sum(end - at for at, end in now)
    # where earlier holds lay does not matter to a clock, only how long they were
    holds = (((begin, begin + past),) if past > 0 and begin != MISSING else ()) + now
    rows = scopes.path(file.scope) if file.scope >= 0 else []
    areas = tuple((LEVELS[int(scopes.level[r])], scopes.code[r]) for r in rows)
    return Facts(file.code, tuple(clocks), holds, areas)
