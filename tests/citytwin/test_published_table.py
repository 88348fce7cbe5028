"""The monthly table of Tianmen, December 2016, by the desk: people with roles command each move, the rates are its own.

Accepted 1054, filed 996, due 972, closed 911, on time 737, found by the city itself 953 (Hubei, digital city
management): 94.50 % filed, 93.72 % closed, 75.82 % on time, 95.68 % found. See tests/indicators/test_oracle.py for the
same from raw events in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from citytwin.engine import Engine
from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import Changes
from citytwin.models.desk.rights import Rights, may
from tests.conftest import Figure, proving
from tests.indicators.oracle_law import DAY, HOUR, MINUTE
from tests.indicators.test_oracle import ACCEPTED, CLOSED, DUE, FILED, FOUND, ON_TIME, case_path
from tests.indicators.town import OFFSET_MS, batches
from tests.twin.casebook import CITY

RATES = {
    "case_filing_rate": 94.50, "case_closing_rate": 93.72, "case_on_time_closing_rate": 75.82,
    "proactive_discovery_rate": 95.68, "case_backlog": FILED - CLOSED, "case_overdue_open": DUE - CLOSED,
}  # fmt: skip
STAFF = {
    "ann": "acceptance_clerk", "leo": "shift_leader", "dan": "dispatcher", "han": "handler", "hua": "handler",
    "vera": "verifier",
}  # fmt: skip
RIGHTS = {user: Rights.of([(role, "C")]) for user, role in STAFF.items()}
START = 690 * 30 * DAY - OFFSET_MS
LIMIT, NOW = START + 20 * DAY, START + 25 * DAY
#: One of so many goes through the desk, the others are records of another system; all of them when proving.
EVERY = 1 if proving() else 9
#: Commands of one batch.
MOST = 200
Raw = dict[str, Any]


def told(i: int) -> Raw:
    """What the report of case i says."""
    channel = ("patrol", "iot", "video", "ai")[i % 4] if i < FOUND else "12345"
    return {"scope": "C0" if i % 3 else "C1", "channel": channel, "category": "sanitation.litter"}


def times(i: int) -> tuple[int, int, int | None]:
    """Filing, deadline and closing of case i."""
    closed = LIMIT - 2 * HOUR if i < ON_TIME else LIMIT + HOUR if i < CLOSED else None
    filed = START + HOUR + i * 50
    return filed, LIMIT if i < DUE else NOW + DAY, None if closed is None else closed + i


def commands(i: int) -> Iterator[Raw]:
    """The moves of case i, each by one who may, with the revision that they know."""
    filed, due, closed = times(i)
    unit, handler = (("U1", "han"), ("U2", "hua"))[i % 2]
    path: list[tuple[str, int, str, Raw]] = [
        ("reported", filed - 40 * MINUTE, "ann", told(i)), ("accepted", filed - 20 * MINUTE, "ann", {}),
    ]  # fmt: skip
    if i < FILED:
        path.append(("filed", filed, "leo", {"due_at": due}))
    if closed is not None:
        path += [
            ("dispatched", closed - 5 * HOUR, "dan", {"unit": unit}),
            ("received", closed - 4 * HOUR, handler, {"unit": unit}),
            ("handled", closed - 3 * HOUR, handler, {"unit": unit}),
            ("verified", closed - 1 * HOUR, "vera", {"passed": True}), ("closed", closed, "leo", {}),
        ]  # fmt: skip
    for rev, (move, time, user, fields) in enumerate(path):
        known = {"rev": rev} if rev else {}
        yield {
            "type": f"case.{move}", "time": time, "source": f"desk/{user}", "id": f"T{i}.{move}", "subject": f"T{i}",
            "actor": user, **known, **fields,
        }  # fmt: skip


def feed(engine: Engine, events: list[Raw]) -> list[Changes]:
    """Commands of one type in one batch, said by the time of a tick."""
    engine.tick(events[-1]["time"], 1)
    return [engine.feed(batch, 1) for batch in batches(events)]


def refused(engine: Engine, event: Raw) -> str:
    """The reason for which a command is refused."""
    (changes,) = feed(engine, [event])
    return changes.rejected[0].reason if changes.rejected else ""


def allowed(tree: ScopeTree, event: Raw) -> bool:
    """Whether the door lets this user say it of a case in the city."""
    return may(RIGHTS[event["actor"]], event["type"], tree.row("C0"), tree)


def test_the_desk_makes_the_published_table(figure: Figure) -> None:
    engine = Engine(CITY, Registry([builtin()[id] for id in RATES]))
    mine = [i for i in range(ACCEPTED) if i % EVERY == 0]
    rest = [i for i in range(ACCEPTED) if i % EVERY]
    records = [e for i in rest for e in case_path(f"T{i}", *times(i), **told(i))[: 99 if i < FILED else 2]]
    for batch in batches(records):
        assert not engine.feed(batch, 1).rejected
    said = sorted((c for i in mine for c in commands(i)), key=lambda c: (c["time"] // MINUTE, c["type"], c["time"]))
    assert all(allowed(engine.scopes, c) for c in said)
    for _, same in groupby(said, key=lambda c: c["type"]):
        found = list(same)
        for at in range(0, len(found), MOST):
            for changes in feed(engine, found[at : at + MOST]):
                assert not changes.rejected
    engine.tick(NOW, 2)
    assert {id: engine.current(id).value[0] for id in RATES} == RATES
    assert engine.cases is not None
    account = engine.cases.account()
    assert (account.total, account.reports["pending"], account.reports["opened"]) == (
        ACCEPTED, ACCEPTED - FILED, FILED,
    )  # fmt: skip
    assert (account.cases["open"], account.cases["closed"]) == (FILED - CLOSED, CLOSED)
    figure("cases of the published table that the desk led by commands", len(mine), "cases")
    figure("commands of people for them, each judged", len(said), "commands")


def test_who_may_not_is_refused_and_counts_nowhere() -> None:
    engine = Engine(CITY, Registry([builtin()["case_backlog"]]))
    path = list(commands(0))
    for command in path[:6]:
        assert refused(engine, command) == ""
    verify = path[6]
    own = verify | {"source": "desk/han", "actor": "han", "id": "own"}
    assert not allowed(engine.scopes, own)
    assert allowed(engine.scopes, verify)
    assert refused(engine, own) == "not_allowed"
    assert refused(engine, verify | {"rev": 3, "id": "late"}) == "stale_rev"
    assert refused(engine, path[7] | {"time": verify["time"], "rev": 6, "id": "soon"}) == "illegal_move"
    assert refused(engine, verify) == ""
    assert refused(engine, path[7]) == ""
    engine.tick(NOW, 9)
    assert engine.cases is not None
    assert np.array_equal(engine.current("case_backlog").value, np.zeros(len(engine.scopes)))
    assert engine.cases.account().cases == {"open": 0, "closed": 1, "voided": 0}
