"""The batch optimum as a dispatcher asks for it: what it proposes, for whom, and what is kept of what is sent."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from citytwin.accounts import Accounts, Cost
from citytwin.batching import VALID_MS, Batches
from citytwin.models.batch import Changes, EventBatch
from citytwin.models.desk.candidates import ARRIVE_S
from citytwin.staffing import ACCOUNTS
from citytwin.submissions import Unavailable, done_now
from tests.citytwin.test_desk_door import City
from tests.citytwin.test_dispatching import dispatches
from tests.servers.process import until

PASSWORD = "a long password"


def district(city: City, n: int) -> tuple[str, str]:
    """Codes of a district and of a grid in it."""
    scopes = city.node.engine.scopes
    row = [r for r in scopes.at_level(1).tolist() if not scopes.unlocated[r]][n]
    grid = next(g for g in scopes.at_level(4).tolist() if row in scopes.path(g) and not scopes.unlocated[g])
    return scopes.code[row], scopes.code[grid]


def placed(city: City, grid: str, lon: float, **fields: Any) -> str:
    """A case that is filed at a point of a grid."""
    key, told = f"report-{lon:.4f}", {"category": "flood.waterlog", "level": 2, **fields}
    body = {"op": "case.reported", "idem": key, "fields": told, "scope": grid, "lon": lon, "lat": 30.5}
    status, answer = city.ask("/commands", body)
    assert status == 200, answer
    for move, more in (("accepted", {}), ("filed", {"due_at": "2025-06-15T20:00:00Z"})):
        city.done(f"case.{move}", str(answer["subject"]), **more)
    return str(answer["subject"])


def unit(city: City, code: str, home: str, lon: float, capacity: int = 1) -> None:
    """A unit that has nothing to do, somewhere."""
    fields = {"state": "ready", "kind": "pump", "skills": "drainage pump", "home": home, "capacity": capacity}
    body = {"op": "unit.state", "subject": code, "idem": f"unit-here-{code}", "lon": lon, "lat": 30.5, "fields": fields}
    status, answer = city.ask("/commands", body)
    assert status == 200, answer


def proposed(city: City, n: int, query: str = "") -> dict[str, Any]:
    """The proposal, once the desk follows so many cases."""
    work = city.node.engine.casework
    assert work is not None
    city.clock.set(city.clock.now_ms() + 2000)
    until(lambda: len(work.files) >= n, 30, "the desk follows the cases")
    status, found = city.ask(f"/dispatch/batch{query}")
    assert status == 200, found
    return found


def crossed(city: City) -> tuple[str, str]:
    """Two cases and two units: nearest takes for the first case the unit without which the second is far from all."""
    home, grid = district(city, 0)
    first, second = placed(city, grid, 114.30), placed(city, grid, 114.33)
    unit(city, "U1", home, 114.31)
    unit(city, "U2", home, 114.28)
    return first, second


def test_the_proposal_is_the_least_cost_and_says_what_nearest_would_give(city: City) -> None:
    first, second = crossed(city)
    found = proposed(city, 2)
    rows = {row["case"]: row for row in found["items"]}
    assert {code: row["unit"] for code, row in rows.items()} == {first: "U2", second: "U1"}
    assert {code: row["nearest"]["unit"] for code, row in rows.items()} == {first: "U1", second: "U2"}
    assert found["objective"]["batch"] < found["objective"]["nearest"]
    assert found["objective"]["batch"] == pytest.approx(sum(r["cost"]["total"] for r in rows.values()), abs=0.002)
    for row in rows.values():
        assert row["cost"]["total"] == pytest.approx(row["cost"]["time"] + row["cost"]["load"], abs=0.002)
        assert row["cost"]["time"] == pytest.approx(row["candidate"]["eta_s"] / row["limit_s"], abs=0.01)
        assert set(row["candidate"]["terms"]) == {"time", "skill", "load", "area"}
    assert (found["waiting"], found["units"]) == (2, 2)


def test_one_conflict_holds_up_no_other_and_each_decision_is_kept(city: City) -> None:
    first, second = crossed(city)
    rows = proposed(city, 2)["items"]
    city.done("case.noted", first, text="someone was quicker")
    answers = {}
    for row in rows:
        said = city.say("case.dispatched", row["case"], rev=row["rev"], unit=row["unit"], strategy="batch")
        answers[row["case"]] = said[0]
    assert answers == {first: 409, second: 200}
    (kept,) = dispatches(city)
    told = json.loads(kept.fields["candidates"])
    assert (kept.subject, kept.fields["unit"], kept.fields["strategy"]) == (second, "U1", "batch")
    assert {c["unit"] for c in told["candidates"]} == {"U1", "U2"}
    assert told["batch"]["cases"] == 2
    assert told["batch"]["objective"] < told["batch"]["nearest"]
    assert "整批最优" in told["why"]["zh"]
    (left,) = proposed(city, 2)["items"]
    assert (left["case"], left["unit"]) == (first, "U2"), "what was sent is proposed no more"


def test_only_what_was_proposed_is_kept_as_a_batch(city: City) -> None:
    first, second = crossed(city)
    city.say("case.dispatched", first, unit="U2", strategy="batch")
    assert dispatches(city)[0].fields["strategy"] != "batch", "nothing was proposed yet"
    found = proposed(city, 2)["items"]
    assert [(r["case"], r["unit"]) for r in found] == [(second, "U1")]
    city.say("case.dispatched", second, unit="U2", strategy="batch")
    assert dispatches(city)[1].fields["strategy"] == "manual", "another unit than was proposed"
    city.done("case.returned", second, unit="U2")
    assert [(r["case"], r["unit"]) for r in proposed(city, 2)["items"]] == [(second, "U1")], "it waits again"
    city.clock.set(city.clock.now_ms() + VALID_MS + 1000)
    until(lambda: city.node.engine.now >= city.clock.now_ms() - 1000, 30, "a tick")
    city.say("case.dispatched", second, unit="U1", strategy="batch")
    assert dispatches(city)[2].fields["strategy"] != "batch", "the proposal is too old"


def test_a_case_without_a_unit_is_left_and_a_drill_is_none_of_it(city: City) -> None:
    home, grid = district(city, 0)
    worse, milder = placed(city, grid, 114.30, level=1), placed(city, grid, 114.302, level=3)
    told = {"category": "flood.waterlog", "level": 1}
    body = {"op": "case.reported", "idem": "a-drill-1", "fields": told, "scope": grid, "drill": True}
    drill = city.ask("/commands", body)[1]["subject"]
    for move, more in (("accepted", {}), ("filed", {"due_at": "2025-06-15T20:00:00Z"})):
        city.done(f"case.{move}", drill, **more)
    unit(city, "U1", home, 114.301)
    rows = proposed(city, 3)["items"]
    assert [(row["case"], row["unit"]) for row in rows] == [(worse, "U1"), (milder, None)]
    assert rows[1]["cost"]["total"] == rows[1]["cost"]["leave"] > 0
    assert rows[0]["limit_s"] == ARRIVE_S, "what is left of a short stage is no time in which a unit could be there"
    assert rows[1]["why"]["en"].startswith("not enough units")


def test_rights_and_scopes_bound_what_is_proposed(city: City) -> None:
    (here, grid), (there, other) = district(city, 0), district(city, 1)
    mine, theirs = placed(city, grid, 114.30), placed(city, other, 114.40)
    unit(city, "U1", here, 114.301)
    unit(city, "U2", there, 114.401)
    assert {r["case"] for r in proposed(city, 2)["items"]} == {mine, theirs}
    assert [r["case"] for r in proposed(city, 2, f"?scope={there}")["items"]] == [theirs]
    assert city.ask("/dispatch/batch?scope=nowhere")[0] == 404
    assert city.ask("/dispatch/batch?at=1")[0] == 400
    with Accounts(city.folder / ACCOUNTS, cost=Cost(2, 1, 1)) as accounts:
        for user, role in (("anna", "dispatcher"), ("han", "handler")):
            accounts.add(user, PASSWORD)
            accounts.grant(user, role, here)
    asked = {user: city.ask("/dispatch/batch", headers=signed_in(city, user)) for user in ("anna", "han")}
    assert asked["han"][0] == 403
    assert [(r["case"], r["unit"]) for r in asked["anna"][1]["items"]] == [(mine, "U1")]


def signed_in(city: City, user: str) -> dict[str, str]:
    """Headers of somebody's session."""
    body = json.dumps({"user": user, "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{city.url}/api/v1/session", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return {"Cookie": str(answer.headers["set-cookie"]).partition(";")[0]}


class Gateway:
    """Asks the desk in the thread of the asker, as a gateway does."""

    def __init__(self) -> None:
        self.lock, self.position = threading.RLock(), 0

    def call(self, run: Callable[[], Any]) -> Future[Any]:
        return done_now(self.lock, run)

    def submit(self, batches: Sequence[EventBatch]) -> Future[list[Changes]]:
        raise Unavailable("nothing is sent here")


def test_a_gateway_proposes_what_one_process_proposes(city: City) -> None:
    crossed(city)
    found = proposed(city, 2)
    batches = Batches(Gateway(), city.node.engine, 1.0)
    told = batches.propose("anna", lambda _: True)
    assert [(r["case"], r["unit"], r["nearest"]) for r in told["items"]] == [
        (r["case"], r["unit"], r["nearest"]) for r in found["items"]
    ]
    first = told["items"][0]
    assert batches.about("anna", first["case"], first["unit"]) is not None
    assert batches.about("ben", first["case"], first["unit"]) is None, "what was proposed to somebody else"
