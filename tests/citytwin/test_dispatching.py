"""Dispatch at the running desk: every decision is kept with its reasons; none is made alone unless a rule says so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from citytwin.models.desk.event import AUTO
from citytwin.models.desk.rules import CaseOf
from citytwin.models.desk.ruletoml import parse_rules
from citytwin.told import events
from tests.citytwin.test_desk_door import City
from tests.indicators.rules.street import rule
from tests.servers.process import until


def units(city: City, *names: str) -> str:
    """Units of a district that have nothing to do, each a little further away, and a grid of the district."""
    scopes = city.node.engine.scopes
    home = scopes.code[int(scopes.at_level(1)[0])]
    grid = next(g for g in scopes.at_level(4).tolist() if home in [scopes.code[a] for a in scopes.path(g)])
    for n, unit in enumerate(names):
        told = {"op": "unit.state", "subject": unit, "idem": f"here-{unit}-{n}", "lon": 114.3 + n / 100, "lat": 30.5}
        fields = {"state": "ready", "kind": "pump", "skills": "drainage pump", "home": home, "capacity": 2}
        status, answer = city.ask("/commands", told | {"fields": fields})
        assert status == 200, answer
    return str(scopes.code[grid])


def placed(city: City, grid: str, **fields: Any) -> str:
    """A case that is filed, at a point of a grid."""
    told = {"category": "flood.waterlog", "level": 2, **fields}
    body = {"op": "case.reported", "idem": "a-report-1", "fields": told, "scope": grid, "lon": 114.3, "lat": 30.5}
    status, answer = city.ask("/commands", body)
    assert status == 200, answer
    code = str(answer["subject"])
    city.done("case.accepted", code)
    city.done("case.filed", code, due_at="2025-06-15T20:00:00Z")
    return code


def dispatches(city: City) -> list[Any]:
    """Dispatches of the log, in order."""
    found = city.node.runtime.call(lambda: events(city.node.engine, "case")).result(30)
    return [event for event in found if event.type == "case.dispatched"]


def test_a_decision_keeps_its_strategy_score_and_candidates(city: City) -> None:
    grid = units(city, "U1", "U2")
    code = placed(city, grid)
    forged: dict[str, Any] = {"strategy": "jurisdiction", "candidates": "[]", "score": 1.0}
    first = city.say("case.dispatched", code, "dispatch-it-1", unit="U2", **forged)
    assert first[0] == 200, first
    (kept,) = dispatches(city)
    told = json.loads(kept.fields["candidates"])
    assert {row["unit"] for row in told["candidates"]} == {"U1", "U2"}
    assert told["chosen"] == "U2"
    assert told["strategy"] == kept.fields["strategy"] != "jurisdiction"
    assert {"version", "suggested", "why", "of"} <= told.keys()
    units(city, "U3")  # the same command later, among other units, is the same command
    again = city.say("case.dispatched", code, "dispatch-it-1", unit="U2", **forged)
    assert (again[0], again[1]["duplicate"]) == (200, True)
    assert len(dispatches(city)) == 1


@pytest.mark.parametrize("allowed", [False, True])
def test_only_a_rule_that_says_so_sends_alone(city: City, allowed: bool) -> None:
    grid, work = units(city, "U1", "U2"), city.node.engine.casework
    assert work is not None
    policy = replace(work.sending.policy, automatic=frozenset({"flood.depth"} if allowed else ()), chain=("workload",))
    city.node.runtime.call(lambda: setattr(work.sending, "_policy", policy)).result(30)
    code = placed(city, grid, rule="flood.depth", channel="rule")
    before = city.node.engine.k

    def later() -> bool:
        city.clock.set(city.clock.now_ms() + 1000)
        return city.node.engine.k > before + 4

    until(later, 30, "some ticks")
    made = [event for event in dispatches(city) if event.source == AUTO]
    assert len(made) == allowed
    assert city.case(code)["state"] == ("dispatched" if allowed else "filed")
    for event in made:
        assert event.fields["unit"] in ("U1", "U2")
        assert json.loads(event.fields["candidates"])["strategy"] == event.fields["strategy"] == "workload"


def test_a_rule_says_in_its_table_whether_it_sends_alone() -> None:
    threshold = (
        'kind = "threshold"\nunit = "cm"\ntype = "obs"\nwhere = \'col.property == "waterlog.depth"\'\nabove = 27'
    )
    case = 'at = "subject"\ncase = { category = "flood.waterlog", level = 2, automatic = AUTOMATIC }'
    text = rule(threshold, case)
    (made,) = parse_rules(text.replace("AUTOMATIC", "true"))
    assert made.case == CaseOf("flood.waterlog", 2, True)
    with pytest.raises(Exception, match=r"case\.automatic"):
        parse_rules(text.replace("AUTOMATIC", '"yes"'))
