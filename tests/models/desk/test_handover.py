"""The page of a handover: what is on it, in which order, and what its hash covers."""

from __future__ import annotations

import json
from typing import Any

from citytwin.models.desk.handover import ROWS_MAX, SOON_MS, digest, handover

NOW = 1_795_000_000_000


def case(code: str, due: int | None, **more: Any) -> dict[str, Any]:
    """A case in its short form."""
    return {
        "code": code, "title": {"zh": "积水", "en": "Water"}, "level": 3, "state": "dispatched", "stage": "receipt",
        "stage_due": None, "due_at": due, "owner": "wang", "scope": "420102",
    } | more  # fmt: skip


def alarm(code: str, state: str, priority: int = 2, **more: Any) -> dict[str, Any]:
    """A row of an alarm."""
    return {"code": code, "title": {}, "priority": priority, "state": state, "since": NOW} | more


CASES = [
    case("C-3", NOW + SOON_MS), case("C-2", NOW - 1), case("C-1", NOW + 9 * SOON_MS, stage_due=NOW - 5),
    case("C-4", NOW), case("C-5", None, state="deferred"), case("drill/C-6", NOW - 1, drill=True),
]  # fmt: skip
ALARMS = [
    alarm("a", "ack", 3), alarm("b", "shelved", shelved_by="li", shelved_until=NOW + 1, shelved_why="维修"),
    alarm("c", "unack", 4), alarm("d", "rtn_unack", 1), alarm("e", "out_of_service"), alarm("f", "normal"),
]  # fmt: skip
NOTES = [
    {"t": NOW - 1, "actor": "wang", "text": "泵站已通知", "code": "C-2"},
    {"t": NOW - 10, "actor": "x", "text": "old"},
]


def codes(part: dict[str, Any]) -> list[str]:
    """Codes of the rows of a part."""
    return [row["code"] for row in part["rows"]]


def test_what_the_next_shift_must_know() -> None:
    plans: list[dict[str, Any]] = [{"run": "R1", "level": 2, "steps_open": 3}, {"run": "R0", "level": 4}]
    plans.append({"run": "drill/R", "level": 1, "drill": True})
    duty = [{"code": "p2", "role": "dispatcher", "person": "ma"}, {"code": "p1", "role": "supervisor", "person": "li"}]
    page = handover(NOW, CASES, ALARMS, plans, NOTES, duty, since=NOW - 5)
    assert page["cases"]["open"] == 5
    assert page["cases"]["by_stage"] == {"receipt": 5}
    assert codes(page["cases"]["late"]) == ["C-1", "C-2"]
    assert codes(page["cases"]["soon"]) == ["C-4"], "just due is not late; two hours ahead is not soon"
    assert codes(page["cases"]["held"]) == ["C-5"]
    assert codes(page["alarms"]["unacknowledged"]) == ["d", "c"]
    assert [codes(page["alarms"][k]) for k in ("active", "shelved", "out_of_service")] == [["a"], ["b"], ["e"]]
    assert page["alarms"]["shelved"]["rows"][0]["shelved_why"] == "维修"
    assert [row["run"] for row in page["plans"]["rows"]] == ["R1", "R0"]
    assert [row["text"] for row in page["notes"]["rows"]] == ["泵站已通知"]
    assert codes(page["duty"]) == ["p1", "p2"]
    assert json.loads(json.dumps(page)) == page


def test_the_hash_is_that_of_the_facts_in_any_order() -> None:
    page = handover(NOW, CASES, ALARMS, [], NOTES)
    assert page["hash"] == digest(page)
    assert handover(NOW, CASES[::-1], ALARMS[::-1], [], NOTES[::-1])["hash"] == page["hash"]
    assert handover(NOW, CASES[1:], ALARMS, [], NOTES)["hash"] != page["hash"]
    assert handover(NOW, CASES, ALARMS, [], NOTES[1:])["hash"] != page["hash"]


def test_the_page_is_bounded_and_counts_all() -> None:
    page = handover(NOW, [case(f"C-{i}", NOW - i) for i in range(1, 1000)], [], [], [])
    late = page["cases"]["late"]
    assert (late["n"], len(late["rows"])) == (999, ROWS_MAX)
    assert late["rows"][0]["code"] == "C-999"
    assert handover(NOW, [], [], [], [])["cases"]["open"] == 0
