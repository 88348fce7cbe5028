"""The page of a shift handover (交班): what the next shift must know, made of the facts, with a hash that both sign."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

#: Most rows of one list of the page; `n` beside it counts all.
ROWS_MAX = 200
#: A case that is due within so many ms is told as soon due.
SOON_MS = 2 * 3_600_000

Fact = Mapping[str, Any]
_CASE = ("code", "title", "level", "state", "stage", "stage_due", "due_at", "owner", "scope")
_ALARM = (
    "code",
    "title",
    "priority",
    "state",
    "since",
    "shelved_by",
    "shelved_until",
    "shelved_why",
    "acked_by",
    "case",
)
_PLAN = ("run", "plan", "title", "level", "area", "started_at", "steps_open", "report", "case")
_NOTE = ("t", "actor", "text", "code")


def _part(rows: Sequence[Fact], names: Sequence[str]) -> dict[str, Any]:
    return {"n": len(rows), "rows": [{name: row.get(name) for name in names} for row in rows[:ROWS_MAX]]}


def deadline(case: Fact) -> int | None:
    """The earlier of the deadlines of a case and of its stage, None without any."""
    return min((t for t in (case.get("stage_due"), case.get("due_at")) if t is not None), default=None)


def _worst(case: Fact) -> tuple[int, int, str]:
    """By time left, then level; those without a deadline at the end."""
    due = deadline(case)
    return (2**62 if due is None else due, case.get("level") or 9, str(case["code"]))


def handover(
    now: int,
    cases: Iterable[Fact],
    alarms: Iterable[Fact],
    plans: Iterable[Fact],
    notes: Iterable[Fact],
    duty: Iterable[Fact] = (),
    since: int | None = None,
) -> dict[str, Any]:
    """The page at `now`, as plain JSON values: late and soon due cases, cases by stage, alarms, plans, notes, duty.

    `cases`: the short form of those that are open; `alarms`: rows of the channel; `plans`: rows of runs; `notes`:
    {t, actor, text, code}, those from `since` on are taken; drills are left out. `hash` is over all the rest.
    """
    true: Callable[[Fact], bool] = lambda row: not row.get("drill")  # noqa: E731
    open_cases = sorted(filter(true, cases), key=_worst)
    dues = [(deadline(case), case) for case in open_cases]
    ranked = sorted(filter(true, alarms), key=lambda a: (a["priority"], a["since"] or 0, a["code"]))
    page: dict[str, Any] = {
        "at": now,
        "since": since,
        "cases": {
            "open": len(open_cases),
            "by_stage": dict(sorted(Counter(str(c.get("stage")) for c in open_cases).items())),
            "late": _part([c for due, c in dues if due is not None and due < now], _CASE),
            "soon": _part([c for due, c in dues if due is not None and now <= due < now + SOON_MS], _CASE),
            "held": _part([c for c in open_cases if c.get("state") in ("deferred", "parked")], _CASE),
        },
        "alarms": {
            "unacknowledged": _part([a for a in ranked if a["state"] in ("unack", "rtn_unack")], _ALARM),
            "active": _part([a for a in ranked if a["state"] == "ack"], _ALARM),
            "shelved": _part([a for a in ranked if a["state"] == "shelved"], _ALARM),
            "out_of_service": _part([a for a in ranked if a["state"] == "out_of_service"], _ALARM),
        },
        "plans": _part(sorted(filter(true, plans), key=lambda p: (p["level"], p["run"])), _PLAN),
        "notes": _part(sorted((n for n in notes if since is None or n["t"] >= since), key=lambda n: n["t"]), _NOTE),
        "duty": _part(
            sorted(duty, key=lambda d: str(d["code"])), ("code", "role", "area", "person", "until", "deputy")
        ),
    }
    return page | {"hash": digest(page)}


def digest(page: Fact) -> str:
    """SHA-256 of a page without its hash, over JSON with sorted keys."""
    plain = {k: v for k, v in page.items() if k != "hash"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
