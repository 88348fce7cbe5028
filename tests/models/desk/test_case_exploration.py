"""Every abstract state of a case that commands can reach, to the end: no dead end, one owner, honest refusals."""

from __future__ import annotations

import dataclasses
from collections import deque
from functools import cache
from typing import Any, NamedTuple

from citytwin.models.desk.assignments import Assignment
from citytwin.models.desk.casebody import CaseFile, CaseLaw
from citytwin.models.desk.casefile import take
from citytwin.models.desk.event import Event, Refusal
from citytwin.models.desk.moves import WORK, check, legal
from tests.conftest import Figure, proving
from tests.models.desk.casework import LAW, MINUTE, START, TRIES, file_of, filed, tried

#: One return only, so that the bound is met soon; who is tried: the unit's own people, and those who decide.
BOUND = CaseLaw(limit=LAW.limit, returns_max=1)
ACTORS = ("unit", "boss")
#: What the unit says, and all else the boss; both are tried each time, but only this one is followed.
BY_UNIT = frozenset({*WORK, "case.returned", "case.extension_asked"})
#: The full search has a second unit in support that moves on its own.
SEARCHED = tuple(t for t in TRIES if proving() or t[1].get("unit") not in ("S1",))
PARENT = file_of(dataclasses.replace(e, subject="K0") for e in filed())

Key = tuple[Any, ...]


def _unit(a: Assignment) -> Key:
    # after it has cleared a unit is of no concern; how far it is decides what it may still say
    return a.unit, a.role, a.reached


def abstract(file: CaseFile) -> Key:
    """What decides which moves can follow: times, texts and counts beyond the bound are left out."""
    return (
        file.state, file.lead, file.designated, min(file.bounces, BOUND.returns_max),
        tuple(sorted(_unit(a) for a in file.units())), tuple(sorted((a.kind, a.by) for a in file.approvals)),
        frozenset(actor for work in WORK for actor in file.did.get(work, ())),
        file.transfer is None or file.transfer.waits,
    )  # fmt: skip


def copied(file: CaseFile) -> CaseFile:
    """A file that can be changed without changing the first; what is said for the record alone is left out."""
    return dataclasses.replace(
        file, timeline=[], notes=[], evidence=[], replies=[], times=dict(file.times), told=dict(file.told), counts={},
        assignments=[dataclasses.replace(a) for a in file.units()], approvals=list(file.approvals), unlike=set(),
        did={k: set(v) for k, v in file.did.items() if k in WORK}, shaped=list(file.shaped),
    )  # fmt: skip


class Node(NamedTuple):
    """A state found: the shortest file that leads to it, its key, and the key that it had before a merge."""

    file: CaseFile
    key: Key
    before: Key


class Outcome(NamedTuple):
    """One try in one state."""

    event: Event
    refusal: Refusal | None
    to: Key


def step(node: Node, event: Event) -> Node:
    """The state after an event that passes."""
    after = copied(node.file)
    assert take(after, event, BOUND)
    if event.type == "case.merged":
        return Node(after, ("merged", node.key), node.key)
    if node.file.state == "merged" and event.type != "case.unmerged":
        return Node(after, node.key, node.before)
    return Node(after, abstract(after), ())


@cache
def explored() -> tuple[dict[Key, Node], dict[Key, list[Outcome]]]:
    """All states and what every try does in each."""
    first = Node(CaseFile("K1"), abstract(CaseFile("K1")), ())
    nodes, outcomes = {first.key: first}, dict[Key, list[Outcome]]()
    waiting = deque([first])
    while waiting:
        node = waiting.popleft()
        found = outcomes[node.key] = []
        time = max(START, node.file.last[0]) + MINUTE
        for move, fields in SEARCHED:
            for actor in ACTORS:
                event = tried("K1", move, fields, time, actor)
                refusal = check(node.file, event, BOUND, other=PARENT)
                if refusal is not None:
                    found.append(Outcome(event, refusal, ()))
                    continue
                if actor != ("unit" if event.type in BY_UNIT else "boss"):
                    found.append(Outcome(event, None, ()))
                    continue
                after = step(node, event)
                found.append(Outcome(event, None, after.key))
                if after.key not in nodes:
                    nodes[after.key] = after
                    waiting.append(after)
    return nodes, outcomes


def test_there_is_no_dead_end(figure: Figure) -> None:
    nodes, outcomes = explored()
    figure("abstract states of a case", len(nodes), "states")
    figure("moves tried in them", sum(map(len, outcomes.values())), "moves")
    reached_from: dict[Key, set[Key]] = {}
    for key, found in outcomes.items():
        for outcome in found:
            if outcome.to:
                reached_from.setdefault(outcome.to, set()).add(key)
    good = {key for key, node in nodes.items() if node.file.over}
    waiting = list(good)
    while waiting:
        fresh = reached_from.get(waiting.pop(), set()) - good
        good |= fresh
        waiting.extend(fresh)
    assert not set(nodes) - good
    assert {node.file.state for node in nodes.values()} >= {"parked", "deferred", "evaluated", "withdrawn", "merged"}


def test_there_is_always_one_owner() -> None:
    nodes, _ = explored()
    for node in nodes.values():
        owner = node.file.owner(BOUND)
        begun = node.file.state != "new"
        assert (owner is not None) == (begun and not node.file.over), node.key
        if owner is not None:
            assert (owner.role == "handler") == bool(owner.unit)
            leads = [a.unit for a in node.file.units() if a.role == "lead"]
            assert len(leads) <= 1
            assert owner.unit in ("", *leads), node.key
    assert {o.role for n in nodes.values() if (o := n.file.owner(BOUND))} == {
        "acceptance_clerk", "shift_leader", "dispatcher", "handler", "verifier", "supervisor",
    }  # fmt: skip


def test_what_is_named_as_legal_passes_for_somebody_and_nothing_else() -> None:
    nodes, outcomes = explored()
    for key, found in outcomes.items():
        file = nodes[key].file
        for actor in ACTORS:
            passed = {o.event.type for o in found if o.refusal is None and o.event.fields["actor"] == actor}
            assert passed == set(legal(file, BOUND, actor=actor)), key
        passed = {o.event.type for o in found if o.refusal is None}
        assert passed == set(legal(file, BOUND)), key


def test_every_refusal_names_the_legal_moves() -> None:
    nodes, outcomes = explored()
    reasons = set()
    for key, found in outcomes.items():
        passed = {(o.event.type, o.event.fields["actor"]) for o in found if o.refusal is None}
        for event, refusal, _ in (o for o in found if o.refusal is not None):
            assert refusal is not None
            reasons.add(refusal.reason)
            named = refusal.known["legal"]
            assert all((op, event.fields["actor"]) in passed for op in named), (key, event)
            assert bool(named)
            if refusal.reason == "illegal_move":
                assert event.type not in named
                assert all(op in refusal.detail for op in named)
        assert nodes[key].file.state == key[0]
    assert reasons == {"illegal_move", "not_allowed", "not_now"}


def test_a_merge_taken_back_leads_to_the_state_before() -> None:
    nodes, outcomes = explored()
    merged = [key for key in nodes if key[0] == "merged"]
    assert len(merged) > 50
    for key in merged:
        back = {o.to for o in outcomes[key] if o.refusal is None and o.event.type == "case.unmerged" and o.to}
        assert back == {nodes[key].before}
