"""What may be said of a case next, and why a command is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from citytwin.models.batch import REASONS
from citytwin.models.desk.casebody import CaseLaw
from citytwin.models.desk.event import Event, Refusal
from citytwin.models.desk.moves import BEGIN, GUARDS, check, legal
from citytwin.models.desk.roles import PERMISSIONS
from citytwin.models.lifecycle import MOVE_TYPES
from tests.models.desk.casework import DAY, LAW, MINUTE, file_of, filed, said, sent

DONE = [*sent(), said("received", 4, "u1"), said("handled", 9, "u1")]
CLOSED = [*DONE, said("verified", 12, "val", passed=True), said("closed", 13, "leo")]
OTHER = file_of(dataclasses.replace(e, subject="K0") for e in filed())


def refused(events: list[Event], command: Event, law: CaseLaw = LAW, **more: Any) -> Refusal:
    """The refusal of a command after these events."""
    found = check(file_of(events, law), command, law, **more)
    assert found is not None
    assert found.reason in REASONS
    return found


def test_a_case_that_nobody_knows() -> None:
    found = check(None, said("dispatched", 5, "dan", unit="U1"), LAW)
    assert found is not None
    assert (found.reason, found.field, found.known["legal"]) == ("unknown_case", "subject", ["case.reported"])
    assert "K1" in found.detail
    assert [check(None, dataclasses.replace(said("noted", 0), type=type), LAW) for type in BEGIN] == [None, None]


def test_the_second_of_two_dispatchers_is_told_who_and_when() -> None:
    command = said("dispatched", 9, "eve", unit="U2", rev=3)
    found = refused(sent(), command)
    assert (found.reason, found.field) == ("stale_rev", "rev")
    assert {k: found.known[k] for k in ("rev", "by", "at")} == {"rev": 4, "by": "dan", "at": sent()[-1].time}
    assert "dan" in found.detail
    assert check(file_of(sent()), said("dispatched", 9, "eve", unit="U2", rev=4), LAW) is None
    # one who knows a revision that there is not yet does not know the case either
    assert refused(sent(), said("noted", 9, "eve", rev=5)).reason == "stale_rev"
    assert refused([said("reported", 0)], said("accepted", 1, rev=0)).known["by"] is None


def test_a_move_that_the_state_forbids_names_those_that_it_allows() -> None:
    found = refused(filed(), said("closed", 9, "leo"))
    assert (found.reason, found.field) == ("illegal_move", "type")
    assert found.known["legal"] == list(legal(file_of(filed()), LAW))
    assert "case.dispatched" in found.detail
    assert "while it is filed" in found.detail
    assert refused(filed(), said("reported", 9)).reason == "illegal_move"


def test_legal_moves_are_those_of_the_table_in_its_order() -> None:
    assert legal(file_of(filed()[:1]), LAW) == tuple(
        f"case.{move}"
        for move in (
            "accepted", "rejected", "escalated", "merged", "answered", "transferred", "withdrawn", "urged",
            "supervised", "instructed", "noted", "evidence", "unlike", "called_back",
        )
    )  # fmt: skip
    assert legal(file_of(CLOSED), LAW)[:2] == ("case.reopened", "case.evaluated")
    assert set(GUARDS) <= set(MOVE_TYPES)


def test_roles_narrow_what_is_legal() -> None:
    file = file_of(sent())
    assert set(legal(file, LAW, roles=["handler"])) == {
        op for op in legal(file, LAW) if "handler" in PERMISSIONS[op]
    } > {"case.received"}  # fmt: skip
    assert legal(file, LAW, roles=[]) == ()
    found = refused(sent(), said("received", 9, "dan"), roles=["dispatcher"])
    assert (found.reason, found.field) == ("not_allowed", "actor")
    assert "case.received" not in found.known["legal"]
    assert "case.dispatched" in found.known["legal"]


def test_nobody_verifies_their_own_work() -> None:
    for worker in ("u1", "u2"):
        events = [*sent(), said("received", 4, "u2"), said("handled", 9, "u1")]
        found = refused(events, said("verified", 12, worker, passed=True))
        assert (found.reason, found.detail) == ("not_allowed", "nobody verifies their own work")
        assert "case.verified" not in legal(file_of(events), LAW, actor=worker)
        assert "case.verified" not in found.known["legal"]
    assert check(file_of(DONE), said("verified", 12, "val", passed=True), LAW) is None
    assert check(file_of(DONE), said("verified", 12, "val", passed=False), LAW) is None


@pytest.mark.parametrize(
    ("ask", "grant"),
    [
        ({"due_at": 900}, said("extended", 9, "u1", due_at=LAW.reopen_ms)),
        ({"until": 60}, said("deferred", 9, "u1", until=10**14)),
        ({"until": 60}, said("parked", 9, "u1", until=10**14)),
        ({"due_at": 900}, said("extension_refused", 9, "u1")),
    ],
)
def test_nobody_decides_on_what_they_asked_for(ask: dict[str, int], grant: Event) -> None:
    told: dict[str, Any] = {k: sent()[0].time + v * MINUTE for k, v in ask.items()}
    asked = [*sent(), said("extension_asked", 5, "u1", **told)]
    found = refused(asked, grant)
    assert (found.reason, found.field) == ("not_allowed", "actor")
    assert grant.type not in legal(file_of(asked), LAW, actor="u1")
    by_boss = dataclasses.replace(grant, fields={**grant.fields, "actor": "boss"})
    assert check(file_of(asked), by_boss, LAW) is None


def test_returns_are_bounded_and_then_a_supervisor_designates() -> None:
    law = CaseLaw(returns_max=2)
    events = [*sent(), said("returned", 5, "u1"), said("dispatched", 6, "dan", unit="U2"), said("returned", 7, "u2")]
    found = refused(events, said("dispatched", 8, "dan", unit="U1"), law)
    assert found.reason == "illegal_move"
    assert "returned 2 times" in found.detail
    assert {"case.dispatched", "case.designated"} & set(found.known["legal"]) == {"case.designated"}
    named = [*events, said("designated", 8, "sue", to="U7")]
    assert refused(named, said("returned", 9, "u7"), law).reason == "illegal_move"
    assert "U7" in refused(named, said("returned", 9, "u7"), law).detail
    assert refused(named, said("dispatched", 9, "dan", unit="U1"), law).reason == "not_allowed"
    assert refused(named, said("assigned", 9, "dan", unit="U1", role="lead"), law).reason == "not_allowed"
    assert check(file_of(named, law), said("dispatched", 9, "dan", unit="U7"), law) is None
    assert check(file_of(named, law), said("designated", 9, "sue", to="U8"), law) is None
    assert check(file_of(events[:4]), said("dispatched", 8, "dan", unit="U1"), LAW) is None


def test_a_case_may_be_reopened_for_some_days() -> None:
    late = said("reopened", 13 + 15 * DAY / MINUTE, "val")
    assert check(file_of(CLOSED), late, LAW) is None
    after = dataclasses.replace(late, time=late.time + 1)
    found = refused(CLOSED, after)
    assert (found.reason, "15 days" in found.detail) == ("illegal_move", True)
    assert "case.reopened" not in legal(file_of(CLOSED), LAW, now=after.time)
    assert "case.reopened" in legal(file_of(CLOSED), LAW)


def test_a_command_comes_after_the_last_event() -> None:
    """So that it meets the state that was judged, and no clock that runs behind puts it before a move."""
    file = file_of(sent())
    time, source, id = file.last
    before = Event("case.received", time, source[:-1], id, "K1", fields={})
    for command in (before, dataclasses.replace(before, time=time - 1)):
        found = check(file, command, LAW)
        assert found is not None
        assert (found.reason, found.field) == ("not_now", "time")
    assert check(file, dataclasses.replace(before, time=time + 1), LAW) is None


@pytest.mark.parametrize(
    ("events", "command", "field"),
    [
        (sent(), said("deferred", 9, "boss", until=said("noted", 9).time), "until"),
        (sent(), said("parked", 9, "boss", until=1), "until"),
        (sent(), said("extension_asked", 9, "u1", due_at=1), "due_at"),
        (sent(), said("extension_asked", 9, "u1"), "due_at"),
        (DONE, said("extension_asked", 10, "u1", until=10**14), "type"),
        ([*sent(), said("extension_asked", 5, "u1", until=10**14)], said("extension_asked", 9, until=10**14), "type"),
        (sent(), said("received", 9, "u2", unit="U2"), "unit"),
        (sent(), said("unassigned", 9, "dan", unit="U2"), "unit"),
        ([*DONE[:4], said("assigned", 4.5, unit="S1")], said("handled", 9, "s1", unit="S1"), "unit"),
        ([*DONE[:5], said("assigned", 4.5, unit="S1")], said("received", 9, "u1"), "unit"),
        ([*sent(), said("assigned", 4, "dan", unit="S1")], said("assigned", 5, "dan", unit="S1"), "unit"),
    ],
)
def test_what_makes_no_sense_now(events: list[Event], command: Event, field: str) -> None:
    if command.type == "case.handled":
        events = [*events, said("received", 5, "u1")]
    found = refused(events, command)
    assert (found.reason, found.field) == ("not_now", field)
    assert command.type in found.known["legal"]


def test_moves_without_anybody_for_them_are_not_legal() -> None:
    alone = legal(file_of(filed()), LAW)
    assert not {"case.unassigned", "case.cleared", "case.enroute", "case.extension_refused"} & set(alone)
    both = [said("extension_asked", 5, "u1", until=10**14), said("extension_asked", 6, "u1", due_at=10**14)]
    assert "case.extension_asked" not in legal(file_of([*sent(), *both]), LAW)
    assert "case.extension_refused" in legal(file_of([*sent(), *both]), LAW)
    said_all = [*sent(), said("received", 4, "u1")]
    assert "case.received" not in legal(file_of(said_all), LAW)
    assert "case.received" in legal(file_of([*said_all, said("assigned", 5, "dan", unit="S1")]), LAW)


def test_a_case_is_merged_into_another_open_one() -> None:
    merge = said("merged", 9, "dan", into="K0")
    assert check(file_of(filed()), merge, LAW, other=OTHER) is None
    unknown = refused(filed(), merge, other=None)
    assert (unknown.reason, unknown.field) == ("unknown_case", "into")
    itself = refused(filed(), said("merged", 9, "dan", into="K1"), other=OTHER)
    assert (itself.reason, itself.field) == ("not_now", "into")
    over = file_of(dataclasses.replace(e, subject="K0") for e in [*filed(), said("voided", 5)])
    assert "is voided" in refused(filed(), merge, other=over).detail
    unlike = [*filed(), said("unlike", 5, "dan", other="K0")]
    assert "no duplicate" in refused(unlike, merge, other=OTHER).detail
    told = file_of([*(dataclasses.replace(e, subject="K0") for e in filed()), said("unlike", 5, other="K1")])
    assert "no duplicate" in refused(filed(), merge, other=told).detail
