"""People at the door of a real server: signing in, rights over HTTP and on open WebSockets, guests and the demo."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from citytwin.accounts import Accounts, Cost
from citytwin.dashboards.access import Access, cookie_of, set_cookie
from citytwin.dashboards.desk_ports import Desk
from citytwin.dashboards.people import COOKIE, Person
from citytwin.dashboards.ports import Page
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.models.frame import Frame
from citytwin.people import Staff
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads, values
from tests.dashboards.test_api import valid
from tests.dashboards.test_sockets import closing, until

PASSWORD = "a long password"
ANNA = {"user": "anna", "password": PASSWORD}


class Reads(FakeReads):
    """Cases and devices at known scopes (rows: D0 is 1, D1 is 4, D2 is 7)."""

    CASES = (
        {"code": "K1", "scope": 1, "caller": "tel:1"}, {"code": "K2", "scope": 4, "caller": "tel:2"},
        {"code": "K3", "scope": 1, "lent": [4], "caller": "tel:3", "confidential": True}, {"code": "K4", "scope": None},
        {"code": "K5", "scope": 5},
    )  # fmt: skip

    def cases(
        self, scope: int | None, open: bool | None, limit: int, after: str, states: frozenset[str] = frozenset()
    ) -> Page:
        rows = [c for c in self.CASES if str(c["code"]) > after]
        return Page(rows[:limit], str(rows[limit - 1]["code"]) if len(rows) > limit else "")

    def entity(self, kind: str, code: str) -> Mapping[str, Any] | None:
        return {"kind": kind, "code": code, "scope": int(code[1:])}


class Keep(http.cookiejar.CookieJar):
    """A jar that keeps nothing: each test says which cookie it sends."""

    def set_cookie(self, cookie: http.cookiejar.Cookie) -> None:
        return None


class Trail:
    """What was written into the audit trail."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, dict[str, Any]]] = []

    def note(
        self, person: Person, action: str, subject: str = "", scope: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        self.rows.append((person.user, action, subject, dict(detail or {})))


@dataclass
class City:
    """A running server with accounts."""

    web: Web
    accounts: Accounts
    url: str
    trail: Trail = field(default_factory=Trail)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(cookies=Keep()))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(f"{self.url}/api/v1{path}", **more)

    def sign_in(self, **given: str) -> httpx.Response:
        return self.http.post(f"{self.url}/api/v1/session", json=given or ANNA)

    def cookie(self, **given: str) -> dict[str, str]:
        return {"Cookie": self.sign_in(**given).headers["set-cookie"].partition(";")[0]}

    @contextlib.contextmanager
    def dial(self, headers: dict[str, str], token: str = "") -> Iterator[ClientConnection]:
        protocol = [Subprotocol("citytwin.v1+json")]
        url = self.url.replace("http", "ws", 1) + "/ws"
        with connect(url, subprotocols=protocol, proxy=None, compression=None, additional_headers=headers) as ws:
            ws.send(json.dumps({"type": "hello", "id": 0, **({"token": token} if token else {})}))
            yield ws


@contextlib.contextmanager
def served(
    path: Path, *, token: str = "", demo: bool = False, loopback: bool = True, desk: Desk | None = None
) -> Iterator[City]:
    trail = Trail()
    with Accounts(path / "accounts.db", cost=Cost(2, 1, 1)) as accounts:
        staff = Staff(accounts, loopback=loopback, demo=demo)
        access = Access(token or None, people=staff, trail=trail)
        web = Web(Parts(FakeBoard(), Reads(), FakeIngest(), FakeHealth(), access=access, static=path, desk=desk))
        server = ServerThread(web)
        port = server.start()
        try:
            found = City(web, accounts, f"http://127.0.0.1:{port}", trail)
            yield found
            found.http.close()
        finally:
            server.stop()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    with served(tmp_path, token="geheim") as found:
        found.accounts.add("anna", PASSWORD, name="安娜", unit="U1")
        found.accounts.grant("anna", "dispatcher", "D1")
        yield found


def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_do_not_get(city: City) -> None:
    answer = city.sign_in()
    assert answer.status_code == 200
    assert valid("/api/v1/me", answer.json())["name"] == "安娜"
    said = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(said.split("; "))
    assert "Secure" not in said
    assert "Secure" in set_cookie("x", 1, "https")
    behind = city.http.post(f"{city.url}/api/v1/session", json=ANNA, headers={"X-Forwarded-Proto": "https"})
    assert "; Secure" in behind.headers["set-cookie"]
    me = city.get("/me", headers=city.cookie()).json()
    assert (me["user"], me["demo"], me["how"], me["unit"], me["scopes"]) == ("anna", False, "session", "U1", ["D1"])
    assert me["roles"] == [{"code": "dispatcher", "title": {"zh": "派遣员", "en": "Dispatcher"}, "scopes": ["D1"]}]
    assert "case.dispatched" in me["may"]
    assert "case.verified" not in me["may"]
    assert me["until"] > 0


def test_signing_out_ends_the_session(city: City) -> None:
    cookie = city.cookie()
    gone = city.http.delete(f"{city.url}/api/v1/session", headers=cookie)
    assert (gone.status_code, gone.headers["set-cookie"].split(";")[1]) == (204, " Max-Age=0")
    assert city.get("/me", headers=cookie).status_code == 401


def test_wrong_sign_ins_are_alike_and_too_many_are_locked_out(city: City) -> None:
    wrong = [city.sign_in(user=u, password=p) for u, p in (("anna", "x"), ("nobody", PASSWORD), ("anna", ""))]
    assert {(a.status_code, a.text) for a in wrong} == {(401, wrong[0].text)}
    assert "set-cookie" not in wrong[0].headers
    for _ in range(3):
        last = city.sign_in(user="anna", password="wrong")
    locked = city.sign_in()
    assert (last.status_code, locked.status_code) == (401, 429)
    assert 200 < int(locked.headers["retry-after"]) <= 300


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ('{"user":"anna"', "json", 400), ('{"user":"anna","password":"secret-word","x":1}', "json", 400),
        ("user=anna&password=x", "x-www-form-urlencoded", 415), ('"' + "x" * 5000 + '"', "json", 413),
        ('{"user":1,"password":"secret-word"}', "json", 400),
    ],
)  # fmt: skip
def test_a_bad_sign_in_is_refused_and_told_without_its_words(city: City, body: str, kind: str, status: int) -> None:
    answer = city.http.post(f"{city.url}/api/v1/session", content=body, headers={"Content-Type": f"application/{kind}"})
    assert answer.status_code == status
    assert "secret-word" not in answer.text


def test_a_foreign_page_can_do_nothing(city: City) -> None:
    evil = {"Origin": "http://evil.example"}
    assert city.http.post(f"{city.url}/api/v1/session", json=ANNA, headers=evil).status_code == 403
    assert city.http.delete(f"{city.url}/api/v1/session", headers={**evil, **city.cookie()}).status_code == 403


def test_strangers_get_nothing_and_a_token_is_a_program(city: City) -> None:
    for path in ("/me", "/city", "/cases", "/nothing"):
        assert city.get(path).status_code == 401
        assert city.get(path, headers={"Cookie": f"{COOKIE}=nonsense"}).status_code == 401
        assert city.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    me = city.get("/me", headers={"Authorization": "Bearer geheim"}).json()
    assert [r["code"] for r in me["roles"]] == ["admin", "gateway"]
    assert "read.personal" not in me["may"]
    told = city.get("/cases", headers={"Authorization": "Bearer geheim"}).json()["items"]
    assert [c.get("caller") for c in told] == [None] * 5
    assert [c.get("masked") for c in told] == [True, True, True, None, None]


def test_reads_are_of_ones_own_scopes(city: City) -> None:
    me = city.cookie()
    path = "/indicators/calls/values"
    assert city.get(f"{path}?level=district", headers=me).json()["values"]["k"] == [4]
    assert city.get(f"{path}?depth=2", headers=me).json()["values"]["k"] == [4, 5, 6]
    for refused in (
        f"{path}?scope=D0",
        f"{path}?from=0&scope=D0",
        f"{path}?from=0",
        "/indicators/calls/explain?scope=D2",
    ):
        assert city.get(refused, headers=me).status_code == 403, refused
    assert city.get(f"{path}?from=0&scope=D1S0", headers=me).status_code == 200
    assert city.get(f"{path}?at=5000&level=district", headers=me).json()["values"]["k"] == [4]
    assert city.get("/indicators/calls/explain?scope=D1", headers=me).status_code == 200
    assert [i["code"] for i in city.get("/entities/device", headers=me).json()["items"]] == ["V4"]
    assert city.get("/entities/device?scope=D2", headers=me).status_code == 403
    found = [city.get(f"/entities/device/V{i}", headers=me).status_code for i in (3, 4, 5, 7)]
    assert found == [404, 200, 200, 404], "that V3 is there is not told"
    assert [h["what"] for h in city.get("/search?q=Bus", headers=me).json()["items"]] == []
    for closed in ("/lab", "/ops", "/deadletters/summary"):
        assert city.get(closed, headers=me).status_code == 403
    assert city.http.post(f"{city.url}/ingest", content=b"[1]", headers=me).status_code == 403


def test_cases_are_ones_own_or_lent_and_secrets_are_written_down(city: City) -> None:
    me = city.cookie()
    items = city.get("/cases", headers=me).json()["items"]
    assert [(i["code"], i.get("caller"), i.get("masked")) for i in items] == [
        ("K2", "tel:2", None), ("K3", None, True), ("K5", None, None),
    ]  # fmt: skip
    assert city.trail.rows == [("anna", "read.personal", "K2", {"channel": "case", "rows": 1})]
    first = city.get("/cases?limit=2", headers=me).json()
    rest = city.get(f"/cases?limit=2&after={first['next']}", headers=me).json()
    assert [i["code"] for i in first["items"] + rest["items"]] == ["K2", "K3", "K5"]
    assert rest["next"] is None or rest["next"] == ""
    assert city.get("/cases?scope=D0", headers=me).status_code == 403
    city.accounts.grant("anna", "acceptance_clerk", "D1")
    assert city.get("/cases", headers=me).json()["items"][1]["caller"] == "tel:3", "a clerk sees confidential ones"


def test_a_right_withdrawn_acts_on_what_is_open_before_the_next_frame(city: City) -> None:
    city.accounts.grant("anna", "operator", "D0")
    with city.dial(city.cookie()) as ws:
        until(ws, "welcome")
        ws.send('{"type":"sub","id":1,"channel":"ind","filter":{"level":"district"}}')
        until(ws, "live")
        ws.send('{"type":"sub","id":2,"channel":"case","filter":{"scope":"D0"}}')
        until(ws, "live")
        city.accounts.revoke("anna", "operator")
        city.web.gateway.publish(
            Frame(2, 2, 2, {"calls": values([1, 4], [7.0, 8.0])}, cases=({"code": "K9", "scope": 1},))
        )
        said: list[dict[str, Any]] = []
        while not any(m["type"] == "live" for m in said):
            said += json.loads(ws.recv(timeout=10))
        told = {(m["type"], m.get("reason")) for m in said if m["type"] not in ("hb", "live")}
        assert told == {("error", "forbidden"), ("snap", "rights")}
        assert {k for m in said for c in m.get("values", {}).values() for k in c["k"]} == {4}
        city.accounts.disable("anna")
        city.web.gateway.publish(Frame(3, 3, 3, {"calls": values([4], [9.0])}))
        assert closing(ws).code == 4401
    with city.dial({}) as ws:
        assert closing(ws).code == 4401
    with city.dial({}, "geheim") as ws:
        assert "case" in until(ws, "welcome")["channels"]


def test_a_right_withdrawn_acts_on_all_four_ways_at_once(city: City) -> None:
    """HTTP, a new subscription on an open WebSocket, a subscription that is open, and one that is resumed."""
    city.accounts.grant("anna", "dispatcher", "D0")
    me, path = city.cookie(), "/indicators/calls/values?scope=D0&level=district"
    assert city.get(path, headers=me).status_code == 200
    assert [c["code"] for c in city.get("/cases", headers=me).json()["items"]] == ["K1", "K2", "K3", "K5"]

    heard: list[dict[str, Any]] = []

    def sub(ws: ClientConnection, id: int, channel: str = "ind", **more: Any) -> dict[str, Any]:
        filter = {"level": "district"} if channel == "ind" else {"scope": "D0"}
        ws.send(json.dumps({"type": "sub", "id": id, "channel": channel, "filter": filter, **more}))
        said: list[dict[str, Any]] = []
        while not any(m["type"] in ("live", "error") for m in said):
            assert len(heard) < 100
            heard.extend(json.loads(ws.recv(timeout=10)))
            said = [m for m in heard if m.get("id") == id]
        return {**said[-1], "k": {k for m in said for c in m.get("values", {}).values() for k in c["k"]}}

    with city.dial(me) as ws:
        until(ws, "welcome")
        live = sub(ws, 1)
        assert live["k"] == {1, 4}
        assert sub(ws, 2, "case")["type"] == "live"
        resume = {"epoch": live["epoch"], "seq": live["seq"]}
        heard.clear()
        city.accounts.revoke("anna", "dispatcher", "D0")
        assert city.get(path, headers=me).status_code == 403, "HTTP"
        assert [c["code"] for c in city.get("/cases", headers=me).json()["items"]] == ["K2", "K3", "K5"]
        again = sub(ws, 3, "case")
        assert (again["type"], again.get("reason")) == ("error", "forbidden"), "WebSocket"
        city.web.gateway.publish(Frame(2, 2, 2, {"calls": values([1, 4], [7.0, 8.0])}))
        for _ in range(20):  # heartbeats come in between
            if not any(m["type"] == "delta" for m in heard):
                heard.extend(json.loads(ws.recv(timeout=10)))
        assert {k for m in heard for c in m.get("values", {}).values() for k in c["k"]} == {4}, "open subscription"
        assert ("forbidden", 2) in {(m.get("reason"), m.get("id")) for m in heard if m["type"] == "error"}
    heard.clear()
    with city.dial(me) as ws:
        until(ws, "welcome")
        live = sub(ws, 1, resume=resume)
        assert (live.get("resumed"), live["k"]) == (None, {4}), "resume"
        gone = sub(ws, 2, "case", resume=resume)
        assert (gone["type"], gone["reason"]) == ("error", "forbidden")


def test_a_session_that_is_over_ends_open_connections(city: City) -> None:
    with city.dial(city.cookie()) as ws:
        until(ws, "welcome")
        ((connection),) = city.web.gateway.connections.values()
        city.accounts._now = lambda: 1 << 50
        assert connection.person is not None
        object.__setattr__(connection.person, "until", 1)
        assert closing(ws).code == 4401


def test_personal_data_on_a_subscription_is_written_down(city: City) -> None:
    with city.dial(city.cookie()) as ws:
        for id, channel in enumerate(("case", "ind", "sys")):
            ws.send(json.dumps({"type": "sub", "id": id, "channel": channel}))
            until(ws, "live")
    assert city.trail.rows == [("anna", "read.personal", "", {"channel": "case", "way": "subscription"})]


def test_without_accounts_whoever_sits_here_is_let_in_until_the_first_is_made(tmp_path: Path) -> None:
    with served(tmp_path) as city:
        me = city.get("/me").json()
        assert (me["how"], me["demo"], len(me["roles"])) == ("local", False, 12)
        assert city.get("/me", headers={"Host": "evil.example"}).status_code == 403
        with city.dial({}) as ws:
            until(ws, "welcome")
            city.accounts.add("anna", PASSWORD)
            assert city.get("/me").status_code == 401
            city.web.gateway.publish(Frame(2, 2, 2))
            assert closing(ws).code == 4401
        assert city.get("/me", headers=city.cookie()).json()["may"] == []


def test_beyond_loopback_nobody_is_let_in_unknown(tmp_path: Path) -> None:
    for demo in (False, True):
        with served(tmp_path / str(demo), loopback=False, demo=demo) as city:
            assert city.get("/me").status_code == 401
            assert city.sign_in(user="demo", password="").status_code == 401


def test_the_demo_signs_its_dispatcher_in_and_others_by_name(tmp_path: Path) -> None:
    with served(tmp_path, demo=True) as city:
        me = city.get("/me").json()
        assert (me["user"], me["demo"]) == ("demo", True)
        assert {"case.dispatched", "ingest", "read.lab"} <= set(me["may"])
        handler = city.cookie(user="demo-handler", password="")
        me = city.get("/me", headers=handler).json()
        assert (me["user"], me["demo"], "case.handled" in me["may"], "ingest" in me["may"]) == (
            "demo-handler", True, True, False,
        )  # fmt: skip
        assert city.sign_in(user="anna", password="").status_code == 401


def test_no_address_is_open_by_oversight(city: City) -> None:
    city.accounts.add("idle", PASSWORD)
    idle = city.cookie(user="idle", password=PASSWORD)
    found = [
        r for r in city.web.app.routes if isinstance(r, Route) and r.path.startswith(("/api/", "/ingest", "/metrics"))
    ]
    assert len(found) > 15
    for route in found:
        path = re.sub(r"\{[^}]+\}", "x", route.path)
        if path == "/api/v1/session":
            continue
        for method in sorted((route.methods or set()) - {"HEAD"}):
            assert city.http.request(method, city.url + path).status_code == 401, path
            answer = city.http.request(method, city.url + path, headers=idle)
            assert answer.status_code == (200 if path == "/api/v1/me" else 403), path


def test_accounts_that_cannot_be_read_do_not_stop_frames(city: City) -> None:
    staff = city.web.gateway.access.people
    assert staff is not None
    before = staff.version()
    city.accounts.close()
    assert staff.version() == before


def form(city: City, origin: str | None = None, **given: str) -> httpx.Response:
    headers = {"Origin": city.url} if origin is None else {"Origin": origin} if origin else {}
    return city.http.post(f"{city.url}/sign-in", data=given, headers=headers)


def test_the_page_to_sign_in_at(city: City) -> None:
    page = city.http.get(f'{city.url}/sign-in?next=/ops?x="1')
    assert 'value="/ops?x=&quot;1"' in page.text
    done = form(city, **ANNA, next="/ops?x=1")
    assert (done.status_code, done.headers["location"]) == (303, "/ops?x=1")
    cookie = {"Cookie": done.headers["set-cookie"].partition(";")[0]}
    assert city.get("/me", headers=cookie).json()["user"] == "anna"
    for to in ("//evil.example", "https://evil.example", "/\\evil.example", "", "/a\nSet-Cookie: x"):
        assert form(city, **ANNA, next=to).headers["location"] == "/"
    wrong = form(city, user="anna", password="<wrong>", next="/")
    assert (wrong.status_code, "密码不正确" in wrong.text, "<wrong>" in wrong.text) == (401, True, False)
    assert form(city, "", **ANNA).status_code == 403
    assert form(city, "http://evil.example", **ANNA).status_code == 403
    assert form(city, user="a" * 5000, password="x").status_code == 413


def test_cookies_that_are_none() -> None:
    assert cookie_of({"cookie": f"a=b; {COOKIE}=x; c=d"}) == "x"
    assert cookie_of({"cookie": "a=b"}) is None
    assert cookie_of({"cookie": "\x00=;;=,"}) is None
    assert cookie_of({}) is None
