"""The desk through the real door: a case from call to end; commands told twice, late, wrong, or by two at once."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citytwin.app import Node
from citytwin.clock import ManualClock
from citytwin.config import Config, Engine, Server
from citytwin.demo import Demo, Options
from citytwin.desking import COMMANDS_MAX
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.desk.calendar import WorkCalendar
from citytwin.models.desk.categories import builtin
from citytwin.models.desk.event import SIMULATED
from citytwin.models.desk.limits import handling_due
from citytwin.testing import TinyCity
from citytwin.verification import newest
from tests.servers.process import until

NOW = 1_750_000_000_000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class City:
    """A running city and what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self._keys = folder, ManualClock(NOW), count()
        self.open()

    def open(self) -> None:
        """Open the folder and serve."""
        config = Config(engine=Engine(health=False, tick_ms=1000), server=Server(port=0))
        self.node = Node(config, folder=self.folder, load=TinyCity, registry=lambda: Registry([]), clock=self.clock)  # type: ignore[arg-type]
        self.url = self.node.serve()
        self.node.start()

    def again(self) -> None:
        """Close without a snapshot, as a kill would, and open again."""
        self.node.runtime.stop(snapshot=False)
        self.node.close()
        self.open()

    def ask(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a GET, or of a POST of a body."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        told = {"content-type": "application/json", **(headers or {})}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, told)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def say(
        self, op: str, subject: str = "", idem: str = "", rev: int | None = None, scope: str = "", **fields: Any
    ) -> Any:
        """A command; status and answer."""
        key = idem or f"key-{next(self._keys):06d}"
        body = {"op": op, "subject": subject, "idem": key, "fields": fields, "scope": scope}
        return self.ask("/commands", body if rev is None else body | {"rev": rev})

    def done(self, op: str, subject: str = "", **fields: Any) -> dict[str, Any]:
        """A command that is taken, a second later."""
        self.clock.set(self.clock.now_ms() + 1000)
        status, answer = self.say(op, subject, **fields)
        assert status == 200, answer
        return dict(answer)

    def case(self, code: str) -> dict[str, Any]:
        """A case."""
        status, found = self.ask(f"/cases/{code}")
        assert status == 200, found
        return found


def opened(city: City, at: str = "", **fields: Any) -> str:
    """A case that was reported, accepted and filed; `at`: code of a scope."""
    told = {"category": "flood.waterlog", "channel": "12345", "level": 2, "text": "<b>水</b>", **fields}
    code = str(city.done("case.reported", scope=at, **told)["subject"])
    city.done("case.accepted", code)
    city.done("case.filed", code, due_at="2025-06-15T20:00:00Z")
    return code


def test_a_case_goes_its_way(city: City) -> None:
    code = opened(city)
    city.done("case.dispatched", code, unit="U7")
    for move in ("received", "enroute", "arrived", "handled"):
        # one that does not say who it is, is the one that leads
        city.done(f"case.{move}", code, **({} if move == "arrived" else {"unit": "U7"}))
    case = city.case(code)
    assert (case["state"], case["level"], case["text"]) == ("handled", 2, "<b>水</b>")
    assert case["owner"]["role"] == "verifier"
    assert "case.verified" in case["legal"]
    status, refused = city.say("case.verified", code, rev=case["rev"], passed=True)
    assert (status, refused["known"]["legal"] is not None) == (403, True), "the local user did the work"
    assert [line["type"] for line in case["timeline"]][:3] == ["case.reported", "case.accepted", "case.filed"]
    assert {line["unit"] for line in case["timeline"][:3]} == {None}
    assert {line["unit"] for line in case["timeline"][3:]} == {"U7"}, "each line says which unit went"
    assert len({line["hash"] for line in case["timeline"]}) == len(case["timeline"])


def test_a_case_is_due_by_its_category(city: City) -> None:
    code = str(city.done("case.reported", category="flood.waterlog", level=1)["subject"])
    city.done("case.accepted", code)
    city.done("case.filed", code, idem="file-it-once")
    case = city.case(code)
    wanted = handling_due(builtin().resolve("flood.waterlog"), 1, case["filed_at"], work_calendar(city))
    assert case["due_at"] == wanted > case["filed_at"]
    assert city.say("case.filed", code, "file-it-once")[1]["duplicate"]


def work_calendar(city: City) -> WorkCalendar:
    """The working time of the city."""
    assert city.node.engine.casework is not None
    return city.node.engine.casework.days.calendar


def test_a_command_told_twice_is_done_once(city: City) -> None:
    code = opened(city)
    first = city.say("case.dispatched", code, "the-key-of-it", unit="U7")
    city.clock.set(city.clock.now_ms() + 60_000)
    again = city.say("case.dispatched", code, "the-key-of-it", unit="U7")
    assert (first[0], again[0]) == (200, 200)
    assert (first[1]["duplicate"], again[1]["duplicate"]) == (False, True)
    assert again[1]["rev"] == first[1]["rev"] == 4
    status, other = city.say("case.dispatched", code, "the-key-of-it", unit="U8")
    assert (status, other["type"].rsplit(":", 1)[1]) == (409, "conflict")
    report = city.say("case.reported", idem="one-report-12", category="gas_leak")
    assert city.say("case.reported", idem="one-report-12", category="gas_leak")[1]["subject"] == report[1]["subject"]


def test_the_second_of_two_hears_who_was_first(city: City) -> None:
    code = opened(city)
    rev = city.case(code)["rev"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: city.say("case.dispatched", code, rev=rev, unit=f"U{n}"), range(8)))
    assert sorted(status for status, _ in answers) == [200] + 7 * [409]
    late = next(body for status, body in answers if status == 409)
    assert (late["known"]["rev"], late["known"]["by"]) == (rev + 1, "local")
    assert late["known"]["at"] == city.clock.now_ms() + 1, "after all that the case had"
    assert city.case(code)["rev"] == rev + 1
    status, body = city.ask(
        "/commands", {"op": "case.noted", "subject": code, "idem": "if-match-1"}, {"If-Match": '"1"'}
    )
    assert (status, body["known"]["rev"]) == (409, rev + 1)


@pytest.mark.parametrize(
    ("op", "subject", "rev", "fields", "status", "reason"),
    [
        ("case.closed", None, 3, {}, 422, "illegal_move"),
        ("case.accepted", "C-404", 1, {}, 404, "unknown_case"),
        ("case.noted", None, 2, {}, 409, "stale_rev"),
        ("case.merged", None, 3, {"into": "C-404"}, 404, "unknown_case"),
        ("case.verified", None, 3, {"passed": "ja"}, 400, "wrong_type"),
        ("case.dispatched", None, 3, {"unit": 7}, 400, "wrong_type"),
        ("case.dispatched", None, 3, {"units": "U7"}, 400, "unknown_field"),
        ("case.nothing", None, 3, {}, 403, "forbidden"),
        ("alarm.acknowledged", "R1@C0", None, {"occurrence": 1}, 404, "unknown_case"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    city: City, op: str, subject: str | None, rev: int | None, fields: dict[str, Any], status: int, reason: str
) -> None:
    code = opened(city)
    before = city.case(code)
    got, body = city.say(op, code if subject is None else subject, rev=rev, **fields)
    assert (got, body["type"].rsplit(":", 1)[1]) == (status, reason), body
    assert len(body["detail"]) > 10
    if reason == "illegal_move" and op == "case.closed":
        assert "case.dispatched" in body["known"]["legal"]
    assert city.case(code) == before


def test_commands_of_one_batch_are_judged_one_by_one_and_are_bounded(city: City) -> None:
    code = opened(city)
    n, now = COMMANDS_MAX + 5, city.clock.now_ms() + 1
    fields = {"rev": np.full(n, 3)}
    batch = EventBatch.of("case.noted", [now] * n, [f"n{i}" for i in range(n)], "desk/x", [code] * n, fields=fields)
    changes = city.node.runtime.submit([batch]).result(30)[0]
    reasons = Counter(r.reason for r in changes.rejected)
    assert (changes.accepted, dict(reasons)) == (1, {"stale_rev": COMMANDS_MAX - 1, "too_large": 5})
    assert [r.index for r in changes.rejected] == list(range(1, n))


def test_bodies_that_are_no_command(city: City) -> None:
    for body, status in ((b"{", 400), (b"[]", 400), (b'{"op":"case.noted"}', 400), (b"x" * 70_000, 413)):
        assert city.ask("/commands", body)[0] == status
    assert city.ask("/commands", b"{}", {"content-type": "text/plain"})[0] == 415
    assert city.ask("/commands", {"op": "obs", "idem": "12345678"})[0] == 400


def test_nothing_is_lost_or_done_twice_by_a_restart(city: City) -> None:
    codes = [opened(city) for _ in range(5)]
    for code in codes:
        city.say("case.dispatched", code, f"send-{code}", unit="U7")
    before = [city.case(code) for code in codes]
    city.again()
    assert [city.case(code) for code in codes] == before
    for code in codes:
        assert city.say("case.dispatched", code, f"send-{code}", unit="U7")[1]["duplicate"]
    assert [city.case(code)["rev"] for code in codes] == 5 * [4]


def test_who_plays_the_city_leaves_a_case_in_hand_alone(city: City) -> None:
    def moves(*codes: str) -> EventBatch:
        n = len(codes)
        return EventBatch.of("case.noted", [city.clock.now_ms()] * n, [f"s{i}" for i in range(n)], SIMULATED, codes)

    code, demo = opened(city), Demo(city.node, Options())
    city.node.runtime.submit([moves("P1")]).result(30)
    city.clock.set(city.clock.now_ms() + 2000)
    work = city.node.engine.casework
    assert work is not None
    until(lambda: code in work.in_hand, 30, "the desk follows the case")
    left = demo.played([moves("P1", code), moves(code), EventBatch.of("obs", [0], ["o"])])
    assert [batch.subject.tolist() for batch in left] == [["P1"], [""]]


def test_the_other_district_sees_a_case_that_its_unit_works_on(city: City) -> None:
    scopes = city.node.engine.scopes
    here, there = (scopes.code[r] for r in scopes.at_level(1).tolist() if not scopes.unlocated[r])
    for unit, home in (("U1", here), ("U2", there)):
        city.done("unit.state", unit, state="ready", home=home)
    grid = next(scopes.code[r] for r in scopes.at_level(4).tolist() if here in [scopes.code[a] for a in scopes.path(r)])
    code = opened(city, at=grid)
    city.done("case.dispatched", code, unit="U1")
    assert city.case(code)["lent"] == []
    city.done("case.assigned", code, unit="U2", role="support")
    assert city.case(code)["lent"] == [there]
    city.done("case.cleared", code, unit="U2")
    assert city.case(code)["lent"] == []


def test_nobody_speaks_as_the_desk_by_the_door_for_events(city: City) -> None:
    code = opened(city)
    before = city.case(code)

    def event(id: str, source: str) -> dict[str, Any]:
        at = datetime.fromtimestamp(city.clock.now_ms() / 1000, UTC).isoformat()
        told = {"specversion": "1.0", "type": "case.noted", "source": source, "id": id, "subject": code, "time": at}
        return told | {"data": {"text": "x"}}

    events = [event("1", "desk/anna"), event("2", "desk/auto"), event("3", "hotline"), event("4", SIMULATED)]
    body = json.dumps(events).encode()
    request = urllib.request.Request(f"{city.url}/ingest", body, {"content-type": "application/cloudevents-batch+json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = json.loads(answer.read())
    assert (told["accepted"], [(r["index"], r["reason"]) for r in told["rejected"]]) == (
        2, [(0, "not_allowed"), (1, "not_allowed")],
    )  # fmt: skip
    assert city.case(code)["rev"] == before["rev"] + 2


def test_pictures_are_kept_by_their_bytes(city: City) -> None:
    status, kept = city.ask("/evidence", PNG, {"content-type": "image/png"})
    assert status == 200
    with urllib.request.urlopen(f"{city.url}/api/v1/evidence/{kept['hash']}", timeout=30) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (PNG, "image/png")
    code = opened(city)
    city.done("case.evidence", code, hash=kept["hash"], text="泵已到")
    assert city.case(code)["evidence"][0]["hash"] == kept["hash"]
    assert city.ask("/evidence", b"<html>", {"content-type": "image/png"})[0] == 415
    assert city.ask("/evidence", PNG, {"content-type": "image/svg+xml"})[0] == 415
    assert city.ask("/evidence", PNG + bytes(8 << 20), {"content-type": "image/png"})[0] == 413
    assert city.ask("/evidence/" + 32 * "0")[0] == 404


def test_tables_and_handover(city: City) -> None:
    opened(city)
    assert city.ask("/categories?q=waterlog")[1]["items"]
    assert city.ask("/plans")[1]["items"]
    for path in ("/alarms", "/units", "/duty", "/rules", "/plans/running"):
        assert city.ask(path) == (200, {"items": []})
    assert city.ask("/handover")[1]["cases"]["open"] == 1


def test_a_refused_command_is_in_the_audit_trail(city: City) -> None:
    code = opened(city)
    city.done("case.dispatched", code, unit="U7")
    for move in ("received", "handled"):
        city.done(f"case.{move}", code, unit="U7")
    assert city.say("case.verified", code, "not-my-own-1", passed=True)[0] == 403, "the local user did the work"
    assert city.say("case.nothing", code, "no-such-right")[0] == 403
    assert city.say("case.closed", code)[0] == 422
    trail = city.node.people.audit
    trail.flush()
    rows = [json.loads(body) for body in newest(trail.folder, 99)]
    assert [(r["who"], r["subject"], r["detail"]) for r in rows if r["action"] == "command.refused"][::-1] == [
        ("local", code, {"op": "case.nothing", "idem": "no-such-right", "why": "forbidden"}),
        ("local", code, {"op": "case.verified", "idem": "not-my-own-1", "why": "not_allowed"}),
    ]  # fmt: skip


def test_a_run_of_a_plan_says_who_is_to_be_told(city: City) -> None:
    scopes = city.node.engine.scopes
    area = scopes.code[1]
    span = {"from": "2025-06-15T00:00:00Z", "until": "2025-06-16T00:00:00Z"}
    city.done("duty.set", "chief", role="commander", area=scopes.code[0], person="Wang", **span)
    city.done("plan.started", "R-1", plan="waterlogging", level=1, area=area)
    (run,) = city.ask("/plans/running")[1]["items"]
    assert [(n["role"], n["person"]) for n in run["notify"]] == [("commander", "Wang"), ("supervisor", None)]
    assert run["end"] == "waterlog_depth_max < 10 and rain_1h_max < 5"
    assert run["warning"]["colour"] == "red"
    assert run["discarded"] is False
    city.done("plan.draft_discarded", "R-1")
    assert city.ask("/plans/running")[1]["items"][0]["discarded"] is True
    status, refused = city.say("plan.draft_discarded", "R-1")
    assert (status, refused["known"]["by"]) == (422, "local")


def test_a_report_that_is_transferred_waits_for_its_acknowledgement(city: City) -> None:
    code = str(city.done("case.reported", category="fire.building", text="烟")["subject"])
    assert city.say("case.acknowledged", code, receipt="119-1")[0] == 422, "nothing was transferred"
    city.done("case.transferred", code, to="119")
    case = city.case(code)
    assert (case["state"], case["open"], case["transfer"]["waits"], case["transfer"]["to"]) == (
        "transferred", False, True, "119",
    )  # fmt: skip
    assert "case.acknowledged" in case["legal"]
    assert [(r["code"], r["to"]) for r in city.ask("/transfers")[1]["items"]] == [(code, "119")]
    city.clock.set(city.clock.now_ms() + 6 * 60_000)
    rule = f"transfer_waiting@{code}"
    until(lambda: any(r["code"] == rule and r["active"] for r in city.ask("/alarms")[1]["items"]), 30, "it is late")
    (late,) = [r for r in city.ask("/alarms")[1]["items"] if r["code"] == rule]
    assert late["case"] == code, "one goes from the alarm to the case"
    status, refused = city.say("case.acknowledged", code)
    assert (status, refused["type"].rsplit(":", 1)[1]) == (400, "missing")
    city.done("case.acknowledged", code, receipt="119-4711")
    told = city.case(code)["transfer"]
    assert (told["receipt"], told["waits"], told["acknowledged_at"]) == ("119-4711", False, city.clock.now_ms())
    assert city.ask("/transfers")[1]["items"] == []
    status, refused = city.say("case.acknowledged", code, receipt="119-5")
    assert (status, "was acknowledged" in refused["detail"]) == (422, True)


def test_a_unit_cannot_say_what_its_state_contradicts(city: City) -> None:
    for unit in ("U7", "U8"):
        city.done("unit.state", unit, state="ready", kind="pump")
    city.done("unit.state", "U9", state="off")
    code = opened(city)
    status, refused = city.say("case.dispatched", code, unit="U9")
    assert (status, refused["type"].rsplit(":", 1)[1], refused["known"]["ready"]) == (422, "not_now", ["U7", "U8"])
    assert "U9 is off duty" in refused["detail"]
    city.done("case.dispatched", code, unit="U7")
    city.done("case.arrived", code, unit="U7")
    before = city.case(code)
    for move in ("received", "enroute", "arrived"):
        status, refused = city.say(f"case.{move}", code, unit="U7", rev=before["rev"])
        assert status == 422, move
    status, refused = city.say("case.cleared", code, unit="U8")
    assert (status, "U8 is not on it" in refused["detail"]) == (422, True)
    status, refused = city.say("unit.state", "U7", state="off")
    assert (status, refused["known"]) == (422, {"legal": ["ready", "busy"], "cases": [code]})
    assert city.case(code) == before
    city.done("case.assigned", code, unit="U8", role="support")
    city.done("case.enroute", code, unit="U8")
    status, refused = city.say("case.received", code, unit="U8")
    assert (status, "did not say so before; legal now: " in refused["detail"]) == (422, True)
    assert {"case.received", "case.arrived", "case.cleared"} & set(refused["known"]["legal"]) == {
        "case.arrived", "case.cleared",
    }  # fmt: skip
    status, refused = city.say("case.arrived", code, unit="U7")
    assert "U7 is on_scene on it; it can say: case.handled, case.returned, case.cleared" in refused["detail"]
    city.done("case.handled", code, unit="U7")
    city.done("unit.state", "U7", state="off")


def test_cases_are_listed_by_state_page_by_page(city: City) -> None:
    codes = [opened(city) for _ in range(5)]
    for code in codes[:3]:
        city.done("case.voided", code)
    city.done("case.dispatched", codes[4], unit="U7")

    def listed(query: str) -> list[str]:
        """All pages of two."""
        found, after = [], ""
        while True:
            status, page = city.ask(f"/cases?limit=2&{query}&after={after}")
            assert status == 200, page
            found += [item["code"] for item in page["items"]]
            after = page["next"]
            if not after:
                return found

    city.clock.set(city.clock.now_ms() + 5000)
    until(lambda: listed("state=dispatched") == [codes[4]], 30, "the tick has folded them")
    assert listed("state=voided") == listed("open=false") == sorted(codes[:3])
    assert listed("state=voided,dispatched") == sorted([*codes[:3], codes[4]])
    assert listed("state=filed&open=true") == [codes[3]]
    assert listed("state=filed&open=false") == []
    assert listed("") == sorted(codes)
    status, refused = city.ask("/cases?state=gone")
    assert (status, "state is some of reported, accepted" in refused["detail"]) == (400, True)


def test_a_report_taken_in_afterwards_says_when_it_happened_and_starts_no_clock_earlier(city: City) -> None:
    happened = city.clock.now_ms() - 3 * 3_600_000
    told: dict[str, Any] = {"backfilled": True, "happened_at": datetime.fromtimestamp(happened / 1000, UTC).isoformat()}
    code = opened(city, **told)
    case = city.case(code)
    assert (case["backfilled"], case["happened_at"]) == (True, happened)
    assert case["reported_at"] > happened + 3 * 3_600_000
    assert case["times"]["filed"] == case["filed_at"] > case["reported_at"], "handling begins with the filing"
    later = datetime.fromtimestamp(city.clock.now_ms() / 1000 + 3600, UTC).isoformat()
    status, refused = city.say("case.reported", category="flood.waterlog", backfilled=True, happened_at=later)
    assert (status, refused["type"].rsplit(":", 1)[1]) == (400, "out_of_range")
