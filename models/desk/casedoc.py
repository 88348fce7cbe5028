"""The file of a case as pages read it: plain JSON values, None for what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.casebody import CaseFile, CaseLaw, Entry


def _known(time: int) -> int | None:
    return None if time == MISSING else time


def short(file: CaseFile, law: CaseLaw) -> dict[str, Any]:
    """What a list of cases shows of one, without titles and words for places."""
    owner, placed = file.owner(law), file.lon == file.lon
    return {
        "code": file.code, "rev": file.rev, "level": file.level, "category": file.category or None,
        "state": file.state, "stage": file.stage or None, "stage_due": _known(file.stage_due),
        "stage_since": _known(file.stage_since), "due_at": _known(file.due_at), "deferred_ms": file.deferred_ms,
        "scope": file.scope, "lon": file.lon if placed else None, "lat": file.lat if placed else None,
        "reported_at": _known(file.times.get("reported", MISSING)),
        "filed_at": _known(file.times.get("filed", MISSING)), "since": _known(file.since),
        "owner": None if owner is None else owner.unit or owner.role,
        "owner_role": None if owner is None else owner.role, "drill": file.drill,
        "channel": file.told.get("channel"), "text": file.text or None, "address": file.told.get("address"),
        "units": [{"unit": a.unit, "role": a.role, "state": a.state, "since": a.since} for a in file.units()],
        "into": file.into or None,
    }  # fmt: skip


def full(file: CaseFile, law: CaseLaw, legal: Sequence[str], children: Sequence[CaseFile]) -> dict[str, Any]:
    """All that the file holds; `children`: the files of the cases that are merged into it."""
    return {
        **short(file, law), "merged": [child.code for child in children], "legal": list(legal),
        "until": _known(file.until), "confidential": bool(file.told.get("confidential", False)),
        "rule": file.told.get("rule"), "source_alarm": file.told.get("source_alarm"),
        "designated": file.designated or None, "returns": file.returns, "rework": file.rework,
        "reopened": file.reopened, "merges": file.merges, "unlike": sorted(file.unlike),
        "approvals": [{"kind": a.kind, "by": a.by, "at": a.at, "until": a.until} for a in file.approvals],
        "urged": file.counts.get("case.urged", 0), "supervised": file.counts.get("case.supervised", 0),
        "instructed": file.counts.get("case.instructed", 0), "escalated": file.counts.get("case.escalated", 0),
        "timeline": [_line(entry) for entry in file.timeline],
        "reports": reports(file, children),
    }  # fmt: skip


def _line(entry: Entry) -> dict[str, Any]:
    return {
        "t": entry.time, "type": entry.type, "actor": entry.actor or None, "text": entry.text or None, "id": entry.id,
        "hash": entry.hash or None, "legal": entry.legal,
    }  # fmt: skip


def reports(file: CaseFile, children: Sequence[CaseFile]) -> list[dict[str, Any]]:
    """Every report of the case: its own, then those merged into it, each with its own reply, callback and satisfaction.

    `owed`: the case is over and whoever made this report was not called back since.
    """
    return [_report(file, file), *(_report(child, file) for child in children)]


def _report(file: CaseFile, parent: CaseFile) -> dict[str, Any]:
    reply = next((entry for entry in reversed(file.replies) if entry.text), None)
    over = parent.times.get(parent.state, MISSING) if parent.over else MISSING
    return {
        "code": file.code, "reported_at": _known(file.times.get("reported", MISSING)),
        "merged_at": None if file is parent else _known(file.times.get("merged", MISSING)),
        "channel": file.told.get("channel"), "text": file.text or None, "caller": file.told.get("caller"),
        "confidential": bool(file.told.get("confidential", False)), "reply": reply.text if reply is not None else None,
        "replied_at": reply.time if reply is not None else None, "called_back_at": _known(file.called_back_at),
        "satisfied": file.satisfied, "owed": parent.over and file.called_back_at < over,
    }  # fmt: skip
