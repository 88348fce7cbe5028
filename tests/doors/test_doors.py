"""The doors of a running city over HTTP: what comes in is in the log, what is refused changes nothing."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from lxml import etree

from citytwin.accounts import Accounts, Cost
from citytwin.app import Node
from citytwin.citizens import Citizens
from citytwin.config import Config, Engine, Server
from citytwin.door_config import HookTarget, Open311, Webhooks
from citytwin.history_config import History
from citytwin.indicators.registry import Registry
from citytwin.models.desk.categories import Categories, builtin
from citytwin.streams import capout
from citytwin.streams.hooks import Target
from citytwin.testing import TinyCity
from tests.doors.receiver import Receiver
from tests.doors.test_cap import BOMB, SCHEMA, document
from tests.doors.test_gb28181 import body as alarm_body

ZONE = ZoneInfo("Asia/Shanghai")
TOKEN, KEY = "a-token-of-the-settings", "k-of-an-app"
REPORT = {"service_code": "facility.manhole", "lat": "30.58", "long": "114.3", "description": "井盖缺失"}
KEYS = itertools.count()
GUARDED = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(slots=True)
class Running:
    """A city with its address and who is told of its events."""

    node: Node
    url: str
    receiver: Receiver
    commander: dict[str, str]

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, headers={**GUARDED, **more.pop("headers", {})}, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return httpx.post(self.url + path, headers={**GUARDED, **more.pop("headers", {})}, timeout=30, **more)

    def accepted(self) -> int:
        """How many events the city has taken; what it says of itself is switched off."""
        return int(self.node.runtime.call(lambda: self.node.engine.stats.accepted).result())


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come to be so")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    receiver, folder = Receiver().start(), tmp_path_factory.mktemp("city")
    (folder / "secret").write_text("a secret of sixteen characters\n")
    told = HookTarget("ops", receiver.url, ["case.*", "cap.alert"], str(folder / "secret"), private=True)
    config = Config(
        server=Server(port=0, token=TOKEN), engine=Engine(tick_ms=100, health=False), history=History(parquet=False),
        open311=Open311(keys=f"other {KEY}"), webhooks=Webhooks(targets=[told]),
    )  # fmt: skip
    load: Any = TinyCity
    with Node(config, folder=folder / "data", load=load, registry=lambda: Registry([])) as node:
        url = node.serve()
        node.start()
        node.first_frame.wait()
        with Accounts(folder / "data" / "accounts.db", cost=Cost(2, 1, 1)) as accounts:
            accounts.add("chief", "a long password")
            accounts.grant("chief", "commander")
            signed = httpx.post(f"{url}/api/v1/session", json={"user": "chief", "password": "a long password"})
        cookie = {"Cookie": signed.headers["set-cookie"].partition(";")[0]}
        yield Running(node, url, receiver, cookie)
    receiver.stop()


def test_a_report_is_a_case_and_can_be_asked_for(city: Running) -> None:
    form = {**REPORT, "phone": "13812345678", "description": "井盖缺失 13812345678"}
    answer = city.post("/open311/v2/requests.json", data=form)
    assert answer.status_code == 201
    code = answer.json()[0]["service_request_id"]
    again = city.post("/open311/v2/requests.xml", data=form)
    assert etree.fromstring(again.content).findtext("request/service_request_id") == code
    until(lambda: city.get(f"/open311/v2/requests/{code}.json").status_code == 200)
    found = city.get(f"/open311/v2/requests/{code}.json").json()[0]
    assert (found["status"], found["description"]) == ("open", "井盖缺失 ***")
    assert found["extended_attributes"] == {"state": "reported"}
    listed = city.get("/open311/v2/requests.xml", params={"status": "open", "service_code": "facility.manhole"})
    assert code in etree.fromstring(listed.content).xpath("request/service_request_id/text()")
    assert city.get(f"/open311/v2/tokens/{code}.xml").status_code == 200
    assert city.get("/open311/v2/requests.json", params={"status": "closed"}).json() == []
    for file in (city.node.folder / "log.db", city.node.folder / "log.db-wal", city.node.folder / "deadletters.db"):
        assert not file.exists() or b"13812345678" not in file.read_bytes()
    call = city.receiver.wait(lambda calls: any(code.encode() in c.body for c in calls))[-1]
    assert "description" not in str(call.body)
    assert "text" not in json.loads(call.body)["data"]


def test_a_key_makes_it_one_case_however_often_it_is_sent(city: Running) -> None:
    before = city.accepted()

    def send(description: str) -> httpx.Response:
        form = {**REPORT, "description": description}
        return city.post("/open311/v2/requests.json", data=form, headers={"Idempotency-Key": "k-1"})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, ["x"] * 16))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()[0]["service_request_id"] for a in answers}) == 1
    assert send("y").status_code == 409
    assert city.accepted() == before + 1


def test_services_are_the_categories_of_the_desk(city: Running) -> None:
    found = {s["service_code"]: s for s in city.get("/open311/v2/services.json").json()}
    assert found["facility.manhole"]["service_name"] == "井盖缺损"
    english = city.get("/open311/v2/services/facility.manhole.json", headers={"Accept-Language": "en-GB"}).json()
    assert english["attributes"][0]["description"] == "Code of the component"
    xml = etree.fromstring(city.get("/open311/v2/services.xml").content)
    assert xml.xpath("service/service_code/text()") == list(found)


def test_services_are_those_of_the_packs_own_table(city: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    work = city.node.engine.casework
    assert work is not None
    own = dataclasses.replace(next(iter(work.categories)), code="city.own", title={"zh": "本市", "en": "Own"})
    monkeypatch.setattr(work, "categories", Categories([*work.categories, own]))
    found = Citizens(city.node.doors.intake, Open311(), b"x" * 32).services
    assert found["city.own"].names == {"zh": "本市", "en": "Own"}
    assert set(found) - {"city.own"} == {c.code for c in builtin()}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("services/nope.xml", 404), ("requests/nope.json", 404), ("tokens/nope.xml", 404), ("nothing.xml", 404),
        ("services", 404), ("requests.json?start_date=x", 400), ("requests.xml?status=x", 400),
        ("requests.json?service_code=nope", 404), ("%3Cscript%3E.xml", 404),
    ],
)  # fmt: skip
def test_wrong_questions_are_told_in_the_form_of_the_standard(city: Running, path: str, status: int) -> None:
    answer = city.get(f"/open311/v2/{path}")
    assert answer.status_code == status
    if ".json" in path:
        assert answer.json()[0]["code"] == status
    else:
        assert etree.fromstring(answer.content).findtext("error/code") == str(status)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"service_code": "nope"}, 404), ({"service_code": ""}, 400), ({"lat": ""}, 400), ({"lat": "99"}, 400),
        ({"description": "x" * 5000}, 400), ({"description": "x" * 300_000}, 413),
    ],
)  # fmt: skip
def test_a_wrong_report_changes_nothing(city: Running, changed: dict[str, str], status: int) -> None:
    before = city.accepted()
    answer = city.post("/open311/v2/requests.xml", data={**REPORT, **changed})
    assert answer.status_code == status
    assert etree.fromstring(answer.content).findtext("error/description")
    assert city.accepted() == before


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&#x3c;'


def test_hostile_html_stays_text_at_every_way_out(city: Running) -> None:
    form = {**REPORT, "description": HOSTILE, "address_string": f"</description>{HOSTILE}"}
    code = city.post("/open311/v2/requests.json", data=form).json()[0]["service_request_id"]
    until(lambda: city.get(f"/open311/v2/requests/{code}.json").status_code == 200)
    answer = city.get(f"/open311/v2/requests/{code}.xml")
    assert etree.fromstring(answer.content).findtext("request/description") == HOSTILE
    assert b"<script" not in answer.content
    told = city.get(f"/open311/v2/requests/{code}.json")
    assert told.json()[0]["description"] == HOSTILE
    for reply in (answer, told, city.get(f"/api/v1/cases/{code}")):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "html" not in reply.headers["content-type"]
    code = command(city, "warning.issued", colour="blue", headline=HOSTILE)["subject"]
    assert said(messages_out(city)[-1], "c:info/c:headline")[0] == HOSTILE
    feed = city.get("/api/v1/cap/feed")
    assert b"<script" not in feed.content
    assert b"<img" not in feed.content
    command(city, "warning.ended", code)


def test_a_webhook_that_hangs_holds_up_no_dispatcher(city: Running) -> None:
    asked = threading.Event()

    def hang(_: Any) -> None:
        asked.set()

    hanging = Receiver(answer=hang).start()
    try:
        target = Target("hangs", hanging.url, ("warning.*",), "a secret of sixteen characters", private=True)
        city.node.hooks.store.add(target)
        code = command(city, "warning.issued", colour="blue", headline="演练")["subject"]
        until(asked.is_set)  # the target has the call and does not answer it
        for i in range(20):
            command(city, "warning.issued", code, colour="blue", headline=f"演练 {i}")
        command(city, "warning.ended", code)
        assert city.node.hooks.store.counts("hangs")["sent"] == 0, "all were answered while it hung"
    finally:
        city.node.hooks.store.remove("hangs")
        hanging.stop()


def test_strangers_need_a_key(city: Running) -> None:
    address = f"{city.url}/open311/v2/"
    for answer in (
        httpx.get(address + "services.json"), httpx.get(address + "services.json", params={"api_key": "wrong"}),
        httpx.post(address + "requests.json", data=REPORT),
        httpx.post(address + "requests.json", data={**REPORT, "api_key": "键"}),
    ):  # fmt: skip
        assert answer.status_code == 403
        assert answer.json()[0]["description"] == "missing or invalid api_key"
    assert httpx.get(address + "services.json", params={"api_key": KEY}).status_code == 200
    assert httpx.post(address + "requests.json", data={**REPORT, "api_key": KEY}).status_code == 201
    for method, path in (("POST", "cap"), ("GET", "cap/feed"), ("POST", "gb28181/alarm")):
        assert httpx.request(method, f"{city.url}/api/v1/{path}").status_code == 401


def now(offset_s: int = 0) -> datetime.datetime:
    return datetime.datetime.now(ZONE).replace(microsecond=0) + datetime.timedelta(seconds=offset_s)


def cap_of(**changed: str | None) -> bytes:
    return document(**{"sent": now().isoformat(), **changed})


def in_force(city: Running) -> list[str]:
    return [i["identifier"] for i in city.get("/api/v1/cap/received").json()["items"]]


def test_warnings_of_others_come_in_and_follow_each_other(city: Running) -> None:
    first = cap_of(identifier="A-1", sent=now(-20).isoformat())
    answer = city.post("/api/v1/cap", content=first)
    assert answer.json()["real"] is True
    assert city.post("/api/v1/cap", content=first).json()["duplicate"] is True
    assert in_force(city) == ["A-1"]
    city.post("/api/v1/cap", content=cap_of(identifier="T-1", status="Test"))
    assert in_force(city) == ["A-1"], "a test is no warning"
    reference = f"hubei.weather,A-1,{now(-20).isoformat()}"
    other = cap_of(identifier="A-2", msgType="Update", references=reference, severity="Extreme")
    assert city.post("/api/v1/cap", content=other).status_code == 200
    assert in_force(city) == ["A-2"]
    end = cap_of(identifier="A-3", msgType="Cancel", references=f"hubei.weather,A-2,{now().isoformat()}")
    assert city.post("/api/v1/cap", content=end).status_code == 200
    assert in_force(city) == []


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (cap_of(polygon="30.4,114.1 30.4,114.5 30.8,114.5 30.8,114.1"), 400, "bad_polygon"), (BOMB, 400, "not_xml"),
        (cap_of(severity="II"), 400, "bad_code"), (b"x" * 300_000, 413, "too_large"), (b"", 400, "not_xml"),
        (cap_of(sent="2030-01-01T00:00:00+08:00"), 400, "future"),
        (cap_of(polygon="30.4,114.1 30.8,114.5 30.4,114.5 30.8,114.1 30.4,114.1"), 400, "bad_polygon"),
        (cap_of(polygon="30.4,114.1 30.4,114.5 30.4,114.1"), 400, "bad_polygon"),
        (cap_of(polygon="114.1,30.4 114.5,30.4 114.5,30.8 114.1,30.8 114.1,30.4"), 400, "swapped_lonlat"),
        (cap_of(polygon="95,214 95,215 96,215 96,214 95,214"), 400, "out_of_range"),
        (cap_of(headline="<script>alert(1)</script>"), 400, "wrong_type"),
    ],
    ids=[
        "unclosed", "bomb", "severity", "size", "empty", "future", "crossing", "few", "swapped", "range", "html",
    ],
)  # fmt: skip
def test_a_wrong_message_changes_nothing(city: Running, content: bytes, status: int, reason: str) -> None:
    before, held = city.accepted(), in_force(city)
    answer = city.post("/api/v1/cap", content=content)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:citytwin:problem:{reason}")
    assert (city.accepted(), in_force(city)) == (before, held)


def command(
    city: Running, op: str, subject: str = "", status: int = 200, place: str = "420101", **told: Any
) -> dict[str, Any]:
    """A command of the commander."""
    body = {"op": op, "subject": subject, "idem": f"key-{next(KEYS):05d}", "scope": place, "fields": told}
    answer = httpx.post(f"{city.url}/api/v1/commands", json=body, headers=city.commander, timeout=30)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def messages_out(city: Running) -> list[Any]:
    """The documents that the feed lists, oldest first, each by the schema of the standard."""
    feed = etree.fromstring(city.get("/api/v1/cap/feed").content)
    links = feed.xpath("a:entry/a:link/@href", namespaces={"a": capout.ATOM})
    answers = [city.get(f"/api/v1/cap/{link}") for link in reversed(links)]
    assert {a.headers["content-type"] for a in answers} <= {"application/cap+xml"}
    roots = [etree.fromstring(a.content) for a in answers]
    for root in roots:
        SCHEMA.assertValid(root)
    return roots


def said(root: Any, path: str) -> list[str]:
    return [str(x) for x in root.xpath(f"{path}/text()", namespaces={"c": root.nsmap[None]})]


def test_warnings_of_the_city_are_issued_by_an_authorised_person_and_go_out(city: Running) -> None:
    code = command(city, "warning.issued", colour="orange", headline="暴雨<橙色>", category="Met Transport")["subject"]
    (row,) = city.get("/api/v1/warnings").json()["items"]
    assert (row["code"], row["level"], row["scope"], row["under"], row["issued_by"]) == (
        code, 2, "420101", "commander", "chief",
    )  # fmt: skip
    assert command(city, "warning.issued", code, place="", colour="red", headline="暴雨红色")["rev"] == 2
    assert command(city, "warning.issued", code, 422, "420100", colour="red", headline="x")["title"]
    command(city, "warning.ended", code)
    assert city.get("/api/v1/warnings").json()["items"] == []
    first, second, third = messages_out(city)[-3:]
    assert [said(r, "c:msgType")[0] for r in (first, second, third)] == ["Alert", "Update", "Cancel"]
    assert said(first, "c:info/c:severity") == ["Severe", "Severe"]
    assert said(first, "c:info/c:category") == ["Met", "Transport"] * 2
    for root in (first, second, third):
        assert said(root, "c:info/c:area/c:areaDesc")[0].startswith("小城")
        assert said(root, "c:info/c:area/c:geocode/c:value")[0] == "420101", "it stays where it was issued"
    assert city.get("/api/v1/cap/nothing").status_code == 404


def test_nobody_issues_a_warning_by_another_door(city: Running) -> None:
    when, before = datetime.datetime.now(datetime.UTC).isoformat(), len(messages_out(city))
    data = {"colour": "red", "headline": "假", "actor": "chief", "under": "commander"}
    event = {"specversion": "1.0", "id": "w-1", "type": "warning.issued", "subject": "W-1", "time": when, "data": data}
    kind = {"Content-Type": "application/cloudevents+json"}
    for source in ("weather/m", "desk/chief", "desk/auto", "desk/cases"):
        answer = city.post("/ingest", content=json.dumps({**event, "source": source}), headers=kind)
        assert [r["reason"] for r in answer.json()["rejected"]] == ["not_allowed"], source
    body = {"op": "warning.issued", "idem": "a-key-of-mine", "fields": {"colour": "red", "headline": "假"}}
    assert city.post("/api/v1/commands", json=body).status_code == 403, "a program is no commander"
    assert city.get("/api/v1/warnings").json()["items"] == []
    assert len(messages_out(city)) == before


def test_the_draft_of_a_plan_is_a_message_and_may_be_issued(city: Running) -> None:
    command(city, "plan.started", "R-1", plan="waterlogging", level=2, area="420101")
    assert city.get("/api/v1/cap/draft/R-1").status_code == 403, "drafts are for who may issue them"
    answer = httpx.get(f"{city.url}/api/v1/cap/draft/R-1", headers=city.commander)
    root = etree.fromstring(answer.content)
    SCHEMA.assertValid(root)
    assert said(root, "c:status") == ["Draft"]
    assert said(root, "c:info/c:event") == ["城市内涝", "Urban waterlogging"]
    assert said(root, "c:info/c:responseType") == ["Avoid", "Avoid"]
    run = next(r for r in city.get("/api/v1/plans/running").json()["items"] if r["code"] == "R-1")
    code = command(city, "warning.issued", **run["warning"])["subject"]
    assert city.get("/api/v1/warnings").json()["items"][0]["run"] == "R-1"
    last = messages_out(city)[-1]
    assert said(last, "c:status") == ["Actual"]
    for path in (
        "c:info/c:event",
        "c:info/c:headline",
        "c:info/c:severity",
        "c:info/c:instruction",
        "c:info/c:area/c:areaDesc",
    ):
        assert said(last, path) == said(root, path)
    command(city, "warning.ended", code)
    draft = f"{city.url}/api/v1/cap/draft/R-1"
    levels: dict[str, Any] = {"level": 1}
    for op, more, left in (("draft_discarded", {}, 404), ("level_changed", levels, 200), ("ended", {}, 404)):
        command(city, f"plan.{op}", "R-1", **more)
        assert httpx.get(draft, headers=city.commander).status_code == left, op


def test_a_warning_of_a_drill_is_kept_apart(city: Running) -> None:
    command(city, "warning.issued", "drill/W-9", colour="blue", headline="演练")
    (row,) = city.get("/api/v1/warnings").json()["items"]
    assert (row["code"], row["drill"]) == ("drill/W-9", True)
    command(city, "warning.ended", "drill/W-9")
    assert [said(r, "c:status")[0] for r in messages_out(city)][-2:] == ["Exercise", "Exercise"]


def test_alarms_of_devices_are_answered_by_the_standard(city: Running) -> None:
    good = alarm_body(AlarmTime=now().strftime("%Y-%m-%dT%H:%M:%S"))
    before = city.accepted()
    for _ in range(2):
        answer = city.post("/api/v1/gb28181/alarm", content=good)
        assert (answer.status_code, etree.fromstring(answer.content).findtext("Result")) == (200, "OK")
    assert city.accepted() == before + 1
    for content, reason in ((alarm_body(AlarmPriority="9"), "out_of_range"), (b"<x", "not_xml"), (BOMB, "not_xml")):
        answer = city.post("/api/v1/gb28181/alarm", content=content)
        assert (answer.status_code, etree.fromstring(answer.content).findtext("Result")) == (400, "ERROR")
        assert reason in {r.reason for r in city.node.letters.list(limit=5)}
    assert city.accepted() == before + 1


def test_the_webhooks_tell_what_the_doors_brought_and_nothing_refused(city: Running) -> None:
    bad = {
        "specversion": "1.0", "id": "late", "source": "s", "type": "case.closed", "subject": "C-9",
        "time": "2031-01-01T00:00:00Z", "data": {},
    }  # fmt: skip
    good = {**bad, "id": "ok", "type": "case.reported", "time": datetime.datetime.now(datetime.UTC).isoformat()}
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    city.post("/ingest", content=json.dumps([bad, good]), headers=kind)
    calls = city.receiver.wait(lambda c: any(x.headers["idempotency-key"] == "s#ok" for x in c))
    told = {(c.headers["idempotency-key"], c.body) for c in calls}
    keys = [key for key, _ in told]
    assert "s#late" not in keys
    assert len(keys) == len(set(keys)), "what came twice is told under one key, with one content"
    assert city.node.hooks.state()[0]["dead"] == 0
    until(lambda: 'citytwin_webhook_deliveries{target="ops",what="sent"}' in city.get("/metrics").text)
