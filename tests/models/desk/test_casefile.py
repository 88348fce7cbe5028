"""The file of a case: clocks of stages, who is responsible, units, approvals, counts, replies, merges."""

from __future__ import annotations

import dataclasses

import pytest

from citytwin.models.columns import MISSING
from citytwin.models.desk.casebody import OWNERS, CaseLaw, Owner
from citytwin.models.desk.casefile import fold
from citytwin.models.desk.event import Event
from citytwin.models.desk.roles import ROLES
from citytwin.models.lifecycle import STATES, TERMINAL
from tests.models.desk.casework import LAW, MINUTE, START, file_of, filed, said, sent


def at(minute: float) -> int:
    """Minutes after the beginning as a time."""
    return START + round(minute * MINUTE)


# stages


@pytest.mark.parametrize(
    ("events", "stage", "since", "due"),
    [
        (filed()[:1], "acceptance", 0, 60),
        (filed()[:2], "filing", 1, 61),
        (filed(), "dispatch", 2, 62),
        (sent(), "receipt", 3, 63),
        ([*sent(), said("dispatched", 9, "dan", unit="U2")], "receipt", 9, 69),
        ([*sent(), said("received", 5, "u1")], "handling", 5, 600),
        ([*sent(), said("received", 5, "u1"), said("arrived", 20, "u1")], "handling", 5, 600),
        ([*sent(), said("arrived", 6, "u1"), said("handled", 30, "u1")], "verification", 30, 90),
        ([*sent(), said("returned", 8, "u1")], "dispatch", 8, 68),
        ([*sent(), said("deferred", 8, "boss", until=at(500))], "handling", 8, 500),
        ([*sent(), said("noted", 30, "dan"), said("urged", 40, "ann")], "receipt", 3, 63),
    ],
)
def test_the_clock_of_a_stage_begins_with_it(events: list[Event], stage: str, since: int, due: int) -> None:
    file = file_of(events)
    assert (file.stage, file.stage_since, file.stage_due) == (stage, at(since), at(due))


def test_the_limit_of_a_stage_is_asked_with_category_and_level() -> None:
    file = file_of([said("reported", 0, category="fire", level=1)])
    assert file.stage_due == START + MINUTE
    asked = list[tuple[str, int, str, int]]()

    def limit(*question: *tuple[str, int, str, int]) -> int:
        asked.append(question)
        return MISSING

    file_of([said("reported", 0, category="fire", level=2), said("accepted", 1)], CaseLaw(limit=limit))
    assert asked == [("fire", 2, "acceptance", at(0)), ("fire", 2, "filing", at(1))]


def test_a_unit_may_have_a_deadline_of_its_own() -> None:
    events = [*filed(), said("dispatched", 3, "dan", unit="U1", unit_due_at=at(100)), said("received", 4, "u1")]
    assert file_of(events).stage_due == at(100)
    held = [*events, said("deferred", 10, "boss", until=at(70)), said("dispatched", 40, "dan", unit="U1")]
    file = file_of([*held, said("received", 41, "u1")])
    assert (file.stage_due, file.due_at, file.deferred_ms) == (at(130), at(630), 30 * MINUTE)
    assert file_of([*events, said("extended", 50, "boss", due_at=at(900))]).stage_due == at(900)


def test_a_case_that_is_over_has_no_stage_due() -> None:
    over = [*filed()[:2], said("answered", 3, "ann", text="done")]
    assert file_of(over).stage_due == MISSING
    assert file_of(over).owner(LAW) is None


# the responsible one


def test_every_state_that_is_not_over_has_a_role_that_exists() -> None:
    alive = {s for s, over in zip(STATES[1:], TERMINAL[1:], strict=True) if not over}
    assert set(OWNERS) == alive
    assert set(OWNERS.values()) <= set(ROLES)


def test_the_responsible_one_changes_with_the_state() -> None:
    done = [*sent(), said("received", 4, "u1"), said("handled", 9, "u1"), said("verified", 12, "val", passed=True)]
    owners = [file_of(done[:n]).owner(LAW) for n in range(1, len(done) + 1)]
    assert owners == [
        Owner("acceptance_clerk"), Owner("shift_leader"), Owner("dispatcher"), Owner("handler", "U1"),
        Owner("handler", "U1"), Owner("verifier"), Owner("shift_leader"),
    ]  # fmt: skip


def test_without_a_leading_unit_the_dispatcher_is_responsible() -> None:
    assert file_of([*filed(), said("dispatched", 3, "dan")]).owner(LAW) == Owner("dispatcher")
    assert file_of([*sent(), said("unassigned", 4, "dan", unit="U1")]).owner(LAW) == Owner("dispatcher")
    lead = [*sent(), said("assigned", 4, "dan", unit="U2", role="lead")]
    assert file_of(lead).owner(LAW) == Owner("handler", "U2")


def test_a_case_that_came_back_too_often_is_the_supervisors() -> None:
    events = sent()
    for n in range(3):
        events += [said("returned", 10 + 2 * n, "u1"), said("dispatched", 11 + 2 * n, "dan", unit="U1")]
    file = file_of(events[:-1])
    assert (file.bounces, file.returns, file.owner(LAW)) == (3, 3, Owner("supervisor"))
    assert file.owner(CaseLaw(returns_max=4)) == Owner("dispatcher")
    named = file_of([*events[:-1], said("designated", 30, "sue", to="U9")])
    assert (named.designated, named.owner(LAW), named.state) == ("U9", Owner("handler", "U9"), "dispatched")


# units


def test_every_unit_has_times_of_its_own() -> None:
    file = file_of([
        *sent(), said("assigned", 4, "dan", unit="S1"), said("received", 5, "u1"), said("enroute", 6, "u1"),
        said("enroute", 7, "s1", unit="S1"), said("arrived", 8, "s1", unit="S1"), said("arrived", 9, "u1"),
        said("cleared", 20, "s1", unit="S1"), said("handled", 30, "u1", evidence="ff00"),
    ])  # fmt: skip
    lead, support = file.assignments
    assert (lead.unit, lead.role, lead.by) == ("U1", "lead", "dan")
    assert (lead.sent, lead.received, lead.enroute, lead.arrived, lead.handled) == tuple(map(at, (3, 5, 6, 9, 30)))
    assert (support.sent, support.enroute, support.arrived, support.cleared) == tuple(map(at, (4, 7, 8, 20)))
    assert support.received == support.handled == MISSING
    assert (file.times["arrived"], file.since) == (at(8), at(30))  # the first on site counts
    assert file.units() == []
    assert [e.hash for e in file.evidence] == ["ff00"]


def test_how_far_a_unit_is() -> None:
    steps = [*sent(), said("received", 5, "u1"), said("enroute", 6, "u1"), said("arrived", 9, "u1")]
    seen = [(file_of(steps[:n]).units()[0].state, file_of(steps[:n]).units()[0].since) for n in range(4, 8)]
    assert seen == [("sent", at(3)), ("received", at(5)), ("en_route", at(6)), ("on_scene", at(9))]
    assert file_of([*steps, said("cleared", 10, "u1")]).assignments[0].state == "clear"


def test_another_lead_takes_the_place_of_the_one_before() -> None:
    file = file_of([*sent(), said("dispatched", 9, "dan", unit="U2")])
    assert [(a.unit, a.cleared) for a in file.assignments] == [("U1", at(9)), ("U2", MISSING)]
    assert file.lead == "U2"


def test_a_hold_and_an_end_free_all_units() -> None:
    busy = [*sent(), said("assigned", 4, "dan", unit="S1")]
    for move in (said("deferred", 9, "boss", until=at(90)), said("parked", 9, "boss", until=at(90)), said("voided", 9)):
        file = file_of([*busy, move])
        assert not file.units()
        assert file.lead == ""


# approvals and counts


def test_what_was_asked_is_pending_until_it_is_decided() -> None:
    asked = [*sent(), said("extension_asked", 5, "u1", due_at=at(900)), said("extension_asked", 6, "u1", until=at(99))]
    file = file_of(asked)
    assert [(a.kind, a.by, a.until) for a in file.approvals] == [
        ("extension", "u1", at(900)),
        ("deferral", "u1", at(99)),
    ]
    assert file.due_at == at(600)
    granted = file_of([*asked, said("extended", 7, "boss", due_at=at(900))])
    assert ([a.kind for a in granted.approvals], granted.due_at) == (["deferral"], at(900))
    assert file_of([*asked, said("extension_refused", 7, "boss")]).approvals == []
    # nothing can be granted any more
    assert file_of([*asked, said("voided", 7, "boss")]).approvals == []


def test_words_of_those_above_are_counted() -> None:
    words = ("urged", "supervised", "urged", "instructed", "escalated")
    file = file_of([*filed(), *(said(word, 5 + n, "sue") for n, word in enumerate(words))])
    assert file.counts == {"case.urged": 2, "case.supervised": 1, "case.instructed": 1, "case.escalated": 1}
    assert (file.state, file.since) == ("filed", at(2))


def test_rework_and_reopening_are_counted_apart() -> None:
    done = [*sent(), said("arrived", 5, "u1"), said("handled", 9, "u1"), said("verified", 12, "val", passed=False)]
    file = file_of(done)
    assert (file.state, file.rework, file.returns, file.lead) == ("returned", 1, 0, "")
    again = [
        *done, said("dispatched", 13, "dan", unit="U1"), said("arrived", 14, "u1"), said("handled", 15, "u1"),
        said("verified", 16, "val", passed=True), said("closed", 17, "leo"),
    ]  # fmt: skip
    assert file_of(again).times["closed"] == at(17)
    opened = file_of([*again, said("reopened", 99, "val", due_at=at(999))])
    assert (opened.state, opened.reopened, opened.bounces, opened.due_at) == ("filed", 1, 0, at(999))
    assert opened.times["closed"] == MISSING


def test_who_reported_has_a_reply_of_their_own() -> None:
    file = file_of([*filed(), said("called_back", 30, "eve", text="we are on it", satisfied=False)])
    assert (file.called_back_at, file.satisfied, [e.text for e in file.replies]) == (at(30), False, ["we are on it"])
    later = file_of(
        [*filed(), said("called_back", 30, "eve", satisfied=False), said("called_back", 40, satisfied=True)]
    )
    assert later.satisfied is True


# the record


def test_a_move_that_cannot_be_made_is_told_and_changes_nothing() -> None:
    file = file_of([*filed(), said("closed", 5, "leo")])
    assert (file.state, file.illegal, file.rev, file.moves) == ("filed", 1, 4, 3)
    assert [e.legal for e in file.timeline] == [True, True, True, False]


def test_the_revision_counts_what_was_taken_back_too() -> None:
    newest = dataclasses.replace(said("noted", 9, "kim"), source="desk/kim")
    file = fold("K1", filed(), LAW, rev=9, newest=newest)
    assert (file.rev, file.by, file.at) == (9, "kim", at(9))
    assert fold("K1", [], LAW).rev == 0


def test_types_of_other_families_are_no_moves() -> None:
    with pytest.raises(KeyError, match="no move of a case"):
        file_of([dataclasses.replace(said("reported", 0), type="alarm.raised")])


def test_who_did_what_is_kept_by_type() -> None:
    file = file_of([*sent(), said("received", 4, "u1"), said("handled", 9, "u2")])
    assert (file.did["case.received"], file.did["case.handled"]) == ({"u1"}, {"u2"})


# merges


def test_a_merge_out_of_a_hold_and_back_keeps_the_hold() -> None:
    held = [*sent(), said("extension_asked", 4, "u1", due_at=at(900)), said("deferred", 8, "boss", until=at(500))]
    merged = [*held, said("merged", 20, "dan", into="K9")]
    child = file_of(merged)
    assert (child.state, child.into, child.before, child.merges) == ("merged", "K9", "deferred", 1)
    assert child.deferred_ms == 12 * MINUTE
    back = file_of([*merged, said("called_back", 30, "eve", satisfied=True), said("unmerged", 40, "dan")])
    whole = file_of([*held, said("called_back", 30, "eve", satisfied=True)])
    assert (back.state, back.due_at, back.deferred_ms, back.until) == ("deferred", at(600 + 492), 492 * MINUTE, at(500))
    assert (back.stage_since, back.stage_due, back.merges, back.into) == (at(8), at(500), 1, "")
    kept = {"rev", "by", "at", "last", "moves", "merges", "timeline", "lon", "lat"}
    names = [f.name for f in dataclasses.fields(back) if f.name not in kept]
    assert {n: getattr(back, n) for n in names} == {n: getattr(whole, n) for n in names}
    assert [e.type for e in back.timeline][-3:] == ["case.merged", "case.called_back", "case.unmerged"]


def test_a_case_may_be_merged_again_after_it_was_taken_back() -> None:
    twice = [
        *sent(), said("merged", 10, into="K8"), said("unmerged", 11), said("merged", 12, into="K9"),
        said("unmerged", 13),
    ]  # fmt: skip
    assert (file_of(twice).merges, file_of(twice).state, file_of(twice).lead) == (2, "dispatched", "U1")
    assert file_of(twice[:-1]).into == "K9"


def test_where_it_is_and_what_was_told_is_the_last_word() -> None:
    first = dataclasses.replace(said("reported", 0, text="water", level=3), scope=4, lon=114.0, lat=30.5)
    file = file_of([first, said("accepted", 1), said("filed", 2, due_at=at(60), level=2)])
    assert (file.scope, file.lon, file.lat, file.level, file.text) == (4, 114.0, 30.5, 2, "water")
    assert not file.drill
    assert fold("drill/K1", [], LAW).drill
