"""A unit that was sent and does not say that it has the case: the dispatcher is told once, another one can be sent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from citytwin import desking
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded
from citytwin.models.desk.event import AUTO
from citytwin.models.desk.units import QUIET_MS
from citytwin.told import events
from tests.citytwin.test_batching import district, placed, proposed, unit
from tests.citytwin.test_desk_door import City
from tests.citytwin.test_dispatching import dispatches
from tests.citytwin.test_drafts import NOW as QUIET
from tests.citytwin.test_drafts import City as Quiet
from tests.servers.process import until

#: The stage `receipt` of a case of level II takes 5 minutes.
LIMIT_MS = 5 * 60_000
RULE = "flood.depth"


def later(city: City, ms: int) -> None:
    """Time goes by, some ticks of it."""
    city.clock.set(city.clock.now_ms() + ms)
    goal = city.node.engine.k + 5

    def ticked() -> bool:
        city.clock.set(city.clock.now_ms() + 1000)
        return city.node.engine.k >= goal

    until(ticked, 30, "some ticks")


def reminded(city: City) -> list[tuple[str, str]]:
    """Cases and units of which the desk said that no receipt came, in order."""
    found = city.node.runtime.call(lambda: events(city.node.engine, "case")).result(30)
    return [(e.subject, str(e.fields["unit"])) for e in found if e.type == "case.urged" and "unit" in e.fields]


def scene(city: City, *units: str, **fields: Any) -> str:
    """Units, each a little further away, and a case that waits for one."""
    home, grid = district(city, 0)
    for n, code in enumerate(units):
        unit(city, code, home, 114.301 + n / 1000)
    return placed(city, grid, 114.30, **fields)


def test_the_dispatcher_is_told_once_and_another_unit_is_proposed(city: City) -> None:
    code = scene(city, "U1", "U2")
    city.done("case.dispatched", code, unit="U1")
    sent = city.case(code)["units"][0]
    assert (sent["state"], sent["receipt_due"]) == ("sent", sent["since"] + LIMIT_MS)
    assert proposed(city, 1)["items"] == []
    later(city, LIMIT_MS)
    assert reminded(city) == [(code, "U1")]
    (line,) = [e for e in city.case(code)["timeline"] if e["id"] == f"receipt/{code}/U1/{sent['since']}"]
    assert (line["t"], line["actor"]) == (sent["receipt_due"], AUTO)
    assert "U1 派出 5 分钟未签收" in line["text"]
    assert "U1 has not confirmed for 5 min" in line["text"]
    first = next(row for row in city.case(code)["candidates"] if row["feasible"])
    assert first["unit"] == "U2"
    assert [(r["case"], r["unit"]) for r in proposed(city, 1)["items"]] == [(code, "U2")]
    city.again()
    later(city, LIMIT_MS)
    assert reminded(city) == [(code, "U1")], "nothing is said twice"
    city.done("case.dispatched", code, unit="U2")
    later(city, LIMIT_MS)
    assert reminded(city) == [(code, "U1"), (code, "U2")]
    assert [u["unit"] for u in city.case(code)["units"]] == ["U2"]


def test_a_receipt_in_time_is_no_matter_and_support_is_told_of_too(city: City) -> None:
    code = scene(city, "U1", "U2")
    city.done("case.dispatched", code, unit="U1")
    city.done("case.received", code, unit="U1")
    city.done("case.assigned", code, unit="U2", role="support")
    later(city, LIMIT_MS)
    assert reminded(city) == [(code, "U2")]
    assert [u["receipt_due"] is None for u in city.case(code)["units"]] == [True, False]
    assert proposed(city, 1)["items"] == [], "the one that leads is on its way"


def alone(city: City) -> None:
    """A rule of which the cases are sent without a person."""
    work = city.node.engine.casework
    assert work is not None
    policy = replace(work.sending.policy, automatic=frozenset({RULE}), chain=("workload",))
    city.node.runtime.call(lambda: setattr(work.sending, "_policy", policy)).result(30)


def sent_alone(city: City) -> list[str]:
    """Units that the desk sent by itself, in order."""
    return [str(event.fields["unit"]) for event in dispatches(city) if event.source == AUTO]


def test_where_a_rule_says_so_the_next_one_is_sent_and_then_a_person_decides(city: City) -> None:
    alone(city)
    code = scene(city, "U1", "U2", "U3", "U4", rule=RULE, channel="rule")
    later(city, 0)
    assert sent_alone(city) == ["U1"]
    later(city, LIMIT_MS)
    assert sent_alone(city) == ["U1", "U2"]
    city.again()
    alone(city)
    later(city, 0)
    assert sent_alone(city) == ["U1", "U2"]
    later(city, LIMIT_MS)
    later(city, LIMIT_MS)
    later(city, LIMIT_MS)
    assert sent_alone(city) == ["U1", "U2", "U3"], "twice anew at most, then a person"
    kept = json.loads(dispatches(city)[-1].fields["candidates"])
    assert [c["unit"] for c in kept["candidates"] if c["feasible"]] == ["U3", "U4"]
    assert city.case(code)["units"][0]["state"] == "sent"
    assert reminded(city) == [(code, "U1"), (code, "U2"), (code, "U3")]


def test_what_a_person_sent_is_never_sent_anew_alone(city: City) -> None:
    alone(city)
    code = scene(city, "U1", "U2")
    city.done("case.dispatched", code, unit="U2")
    later(city, LIMIT_MS)
    later(city, LIMIT_MS)
    assert (sent_alone(city), reminded(city)) == ([], [(code, "U2")])


def test_a_unit_that_falls_silent_is_an_alarm_of_its_case_until_it_speaks(city: City) -> None:
    home, grid = district(city, 0)
    city.done("unit.state", "U1", state="ready", kind="pump", home=home)
    code = placed(city, grid, 114.30)
    for move in ("dispatched", "received"):
        city.done(f"case.{move}", code, unit="U1")
    assert city.ask("/alarms")[1]["items"] == []
    later(city, QUIET_MS[""])
    (alarm,) = city.ask("/alarms")[1]["items"]
    assert (alarm["code"], alarm["state"], alarm["case"], alarm["scope"]) == ("unit_silent@U1", "unack", code, home)
    assert alarm["title"]["en"] == f"U1 on {code} has said nothing for 20 min"
    assert city.ask("/units")[1]["items"][0]["state"] == "silent"
    city.again()
    later(city, 0)
    assert [a["occurrence"] for a in city.ask("/alarms")[1]["items"]] == [1], "a restart raises none again"
    city.done("case.enroute", code, unit="U1")
    later(city, 0)
    (alarm,) = city.ask("/alarms")[1]["items"]
    assert (alarm["active"], alarm["state"]) == (False, "rtn_unack")
    city.done("alarm.acknowledged", "unit_silent@U1", occurrence=1)
    assert city.ask("/alarms")[1]["items"] == []
    assert city.ask("/units")[1]["items"][0]["state"] == "en_route"


def test_a_past_that_is_counted_again_reminds_nobody(tmp_path: Path) -> None:
    city = Quiet(tmp_path)
    told: dict[str, Any] = {"category": Coded.of(["flood.waterlog"]), "level": np.array([2])}
    moves: dict[str, dict[str, Any]] = {
        "reported": told, "accepted": {}, "filed": {"due_at": np.array([QUIET + 9])},
        "dispatched": {"unit": Coded.of(["U1"])},
    }  # fmt: skip
    for step, (move, fields) in enumerate(moves.items()):
        made = EventBatch.of(f"case.{move}", [QUIET + step], [move], "bureau", subject=["C-1"], fields=fields)
        city.say(made)
    city.tick(QUIET + LIMIT_MS)
    city.tick(QUIET + 3 * LIMIT_MS)
    assert city.auto() == []
    engine = city.node.engine
    city.node.runtime.call(lambda: desking.attend(engine)).result(30)
    for step in range(4, 7):
        city.tick(QUIET + step * LIMIT_MS)
    said = [id for _, id in city.auto() if id.startswith("receipt/")]
    assert said == [f"receipt/C-1/U1/{QUIET + 3}"]
    city.stop(False)
