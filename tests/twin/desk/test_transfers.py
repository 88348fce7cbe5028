"""Transfers to others: what is not acknowledged waits, is an alarm when it is late, and ends by a word from there."""

from __future__ import annotations

import json
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import AUTO, Draft, Event
from citytwin.twin.desk.transfers import EMERGENCY_MS, FORGET_MS, OTHERS_MS, RULE, Transfers

T0 = 1_750_000_000_000


def fresh() -> Transfers:
    part = Transfers(lambda code: "D1" if code == "C-1" else "")
    part.tick(T0)
    return part


def say(part: Transfers, move: str, code: str, at: int = 0, source: str = "desk/ann", **fields: Any) -> None:
    event = Event(f"case.{move}", T0 + at, source, f"{move}{code}{at}", code, fields={"actor": "ann", **fields})
    assert part.check(event) is None
    part.apply(event)


def hear(part: Transfers, draft: Draft) -> None:
    """A draft is said."""
    part.apply(Event(draft.type, draft.time, AUTO, draft.id, draft.subject, fields=draft.fields))


def test_what_is_not_acknowledged_waits_and_is_late_after_its_limit() -> None:
    part = fresh()
    say(part, "transferred", "C-1", to="119")
    say(part, "transferred", "C-2", to="water_bureau")
    say(part, "transferred", "C-3", to="110", receipt="110-7")
    say(part, "transferred", "C-4", source="gateway", to="110")
    assert [(r["code"], r["to"], r["by"], r["due"] - T0, r["scope"], r["late"]) for r in part.rows()] == [
        ("C-1", "119", "ann", EMERGENCY_MS, "D1", False), ("C-2", "water_bureau", "ann", OTHERS_MS, None, False),
    ]  # fmt: skip
    assert (part.tick(T0 + EMERGENCY_MS - 1), part.due()) == ([], T0 + EMERGENCY_MS)
    (raised,) = part.tick(T0 + EMERGENCY_MS)
    assert (raised.type, raised.subject, raised.scope, raised.fields["priority"]) == (
        "alarm.raised",
        f"{RULE}@C-1",
        "D1",
        2,
    )
    assert "119" in raised.fields["text_zh"]
    assert part.tick(T0 + EMERGENCY_MS + 1)[0].id == raised.id, "it is wanted until it is heard"
    hear(part, raised)
    assert (part.tick(T0 + EMERGENCY_MS + 2), part.rows()[0]["late"]) == ([], True)
    say(part, "acknowledged", "C-1", EMERGENCY_MS + 9, receipt="119-3")
    (cleared,) = part.tick(T0 + EMERGENCY_MS + 10)
    assert (cleared.type, cleared.subject) == ("alarm.cleared", raised.subject)
    hear(part, cleared)
    assert part.tick(T0 + EMERGENCY_MS + 11) == []
    assert [r["code"] for r in part.rows()] == ["C-2"]


def test_a_restart_changes_nothing_and_drills_stay_drills() -> None:
    part = fresh()
    say(part, "transferred", "drill/C-9", to="120")
    (raised,) = part.tick(T0 + EMERGENCY_MS)
    assert raised.subject == f"drill/{RULE}@C-9"
    hear(part, raised)
    again = fresh()
    again.load(json.loads(json.dumps(part.state())))
    assert (again.state(), again.rows(), again.due()) == (part.state(), part.rows(), part.due())
    assert again.tick(T0 + EMERGENCY_MS + 1) == []
    say(again, "acknowledged", "drill/C-9", EMERGENCY_MS + 2, receipt="x")
    assert [d.subject for d in again.tick(T0 + EMERGENCY_MS + 3)] == [raised.subject]


def test_what_nobody_ever_answers_is_forgotten() -> None:
    part = fresh()
    say(part, "transferred", "C-1", to="120")
    (raised,) = part.tick(T0 + EMERGENCY_MS)
    hear(part, raised)
    assert part.due() == T0 + FORGET_MS
    assert [d.type for d in part.tick(T0 + FORGET_MS)] == ["alarm.cleared"]
    assert part.rows() == []
    assert fresh().due() == MISSING
