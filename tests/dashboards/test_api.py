"""The HTTP side on a real server: every answer is checked by the OpenAPI document that the server gives."""

from __future__ import annotations

import gzip
import http.client
import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from citytwin.dashboards import describe, server
from citytwin.dashboards.access import Access, is_loopback
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.models.frame import Frame
from tests.dashboards.conftest import Running
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads, values

DOCUMENT = describe.openapi("test", FakeIngest.content_types)


def valid(path: str, body: Any, method: str = "get", status: str = "200") -> Any:
    """The body, which the document describes for this path."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    (media,) = responses.get(status, responses.get("default"))["content"].values()
    schema = {**media["schema"], "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(body)
    return body


def read(running: Running, path: str, template: str | None = None) -> Any:
    answer = httpx.get(running.url + "/api/v1" + path)
    assert answer.status_code == 200, answer.text
    return valid("/api/v1" + (template or path.partition("?")[0]), answer.json())


def test_the_document_is_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_values_are_those_of_the_frame(running: Running) -> None:
    running.web.gateway.publish(Frame(2, 1_002_000, 5, {"calls": values([4], [81.0])}))
    path = "/api/v1/indicators/{id}/values"
    found = read(running, "/indicators/calls/values?level=district", "/indicators/{id}/values")
    assert found["scopes"]["code"] == ["D0", "D1", "D2"]
    assert found["values"] == {"k": [1, 4, 7], "v": [10.0, 81.0, 70.0], "b": {"yellow": [7], "red": [4]}}
    assert (found["at"], found["position"]) == (1_002_000, 5)
    assert read(running, "/indicators/calls/values?scope=D1", path[7:])["values"]["v"] == [81.0]
    assert len(read(running, "/indicators/calls/values?scope=D1&depth=1", path[7:])["values"]["v"]) == 3
    series = read(running, "/indicators/calls/values?from=1970-01-01T00:00:05Z&to=9000", path[7:])
    assert (series["scope"], series["series"]) == ("C", {"t": [5000, 6000], "v": [1.5, None]})


def test_reads_are_as_described(running: Running) -> None:
    assert read(running, "/city")["title"] == {"zh": "小城", "en": "Small"}
    items = read(running, "/indicators")["items"]
    assert [i["id"] for i in items] == ["calls", "pressure"]
    assert items[0]["formula"] == "Number of calls."
    assert items[0]["parameters"] == [
        {"name": "n", "kind": "count", "table": "call", "text": "count(call, window=sliding 1h/1m)"}
    ]
    assert items[0]["lineage"]["aggregates"] == ["count(call, window=sliding 1h/1m)"]
    assert "call.offered" in items[0]["lineage"]["events"]
    assert items[0]["thresholds"][0]["bands"] == {"yellow": 50, "red": 80}
    assert items[0]["code"].startswith("@indicator(")
    assert read(running, "/indicators/calls", "/indicators/{id}")["item"]["inputs"] == ["n = count(call)"]
    assert read(running, "/scopes?level=street")["scopes"]["level"] == [2] * 6
    assert read(running, "/scopes?parent=D1")["scopes"]["code"] == ["D1S0", "D1S1"]
    scope = read(running, "/scopes/D1S0", "/scopes/{code}")["item"]
    assert [p["code"] for p in scope["path"]] == ["C", "D1", "D1S0"]
    assert read(running, "/cases?open=true")["items"] == [{"code": "K1", "open": True}]
    assert read(running, "/layers")["items"] == ["district"]
    assert read(running, "/deadletters/summary")["by_reason"] == {"bad_time": 2}
    page = read(running, "/entities/device?limit=2&bbox=114,30,115,31", "/entities/{kind}")
    assert ([i["code"] for i in page["items"]], page["next"]) == (["V0", "V1"], "V1")
    assert len(read(running, "/entities/device?after=V1", "/entities/{kind}")["items"]) == 3


def test_search_finds_places_measures_and_entities(running: Running) -> None:
    assert [(h["what"], h["code"]) for h in read(running, "/search?q=区1")["items"]] == [
        ("scope", "D1"), ("entity", "V5"),
    ]  # fmt: skip
    assert read(running, "/search?q=来电")["items"][0]["code"] == "calls"
    assert read(running, "/search?q=CALL")["items"][0]["what"] == "indicator"
    assert read(running, "/search?q=district%201")["items"][0]["code"] == "D1"


def test_an_explanation_is_as_described(running: Running) -> None:
    path = "/indicators/{id}/explain"
    found = read(running, "/indicators/calls/explain?scope=D1&limit=1&parameter=n", path)
    assert (found["at"], found["position"], found["asked"], found["definitions_differ"]) == (1_000_000, 3, None, False)
    assert (found["scope"]["code"], found["value"], found["quality"]) == ("D1", 51.0, "partial")
    assert (found["band"], found["bands"]) == ("yellow", {"yellow": 50, "red": 80})
    assert found["threshold"] == found["thresholds"][0]
    assert found["parameters"][0]["window"]["end"] == 3_600_000
    assert found["feeds"][0]["sources"] == [{"id": "s", "last": 5}, {"id": "t", "last": None}]
    assert (found["events"][0]["gives"], found["events_total"], found["next"]) == ({"n": 1.0}, 51, "WzFd")
    assert found["entities"][0]["attributes"] == {"in_service": True}
    assert found["code"].startswith("@indicator(")
    later = read(running, "/indicators/calls/explain?at=1970-01-01T00:00:05Z&after=WzFd", path)
    assert (later["at"], later["asked"], later["definitions_differ"]) == (5000, 5000, True)
    to_come = read(running, "/indicators/calls/explain?at=2000000", path)
    assert (to_come["at"], to_come["asked"]) == (1_000_000, 2_000_000)


def test_values_of_the_past(running: Running) -> None:
    path = "/indicators/{id}/values"
    found = read(running, "/indicators/calls/values?at=5000", path)
    assert (found["at"], found["asked"], found["position"]) == (4999, 5000, 3)
    assert (found["scopes"]["code"], found["values"]["v"]) == (["C"], [5.0])
    found = read(running, "/indicators/calls/values?at=5000&level=district", path)
    assert found["values"] == {"k": [1, 4], "v": [None, 81.0], "q": {"nodata": [1]}, "b": {"red": [4]}}
    assert read(running, "/indicators/calls/values?at=2000000", path)["asked"] == 2_000_000
    busy = httpx.get(f"{running.url}/api/v1/indicators/calls/values?at=2000")
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
    assert "37 %" in valid("/api/v1/city", busy.json(), status="default")["detail"]


def test_the_workshop_is_told(running: Running) -> None:
    lab = read(running, "/lab")
    assert (lab["items"][0]["cost_us"], lab["files"][0]["status"]) == (3.5, "refused")
    assert read(running, "/lab/edits")["items"] == [{"file": "calls.py", "at": 5, "before": {"calls": [1.0, None]}}]


def test_without_a_workshop_the_lab_is_empty(tmp_path: Path) -> None:
    thread = ServerThread(Web(Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), static=tmp_path)))
    url = f"http://127.0.0.1:{thread.start()}/api/v1/lab"
    try:
        assert (httpx.get(url).json()["items"], httpx.get(url + "/edits").json()["items"]) == ([], [])
    finally:
        thread.stop()


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/v1/indicators/nope/explain", 404, "no indicator nope"),
        ("/api/v1/indicators/calls/explain?scope=XX", 404, "no scope"),
        ("/api/v1/indicators/calls/explain?parameter=m", 400, "it has: n"),
        ("/api/v1/indicators/calls/explain?limit=1001", 400, "from 1 to 1000"),
        ("/api/v1/indicators/calls/explain?after=x", 400, "gave as next"),
        ("/api/v1/indicators/calls/explain?at=soon", 400, "milliseconds or a time"),
        ("/api/v1/indicators/calls/explain?at=7", 404, "there is data from"),
        ("/api/v1/indicators/calls/values?at=7&from=3", 400, "give at, or from"),
        ("/api/v1/indicators/calls/values?at=7&level=moon", 400, "level is one of"),
        ("/api/v1/indicators?at=2026-01-01T00:00Z", 400, "answer for now only"),
        ("/api/v1/indicators/nope", 404, "no indicator nope"),
        ("/api/v1/indicators/calls/values?scope=XX", 404, "no scope"),
        ("/api/v1/indicators/calls/values?level=moon", 400, "level is one of"),
        ("/api/v1/indicators/calls/values?level=grid&depth=1", 400, "not both"),
        ("/api/v1/indicators/calls/values?depth=9", 400, "from 0 to 4"),
        ("/api/v1/indicators/calls/values?from=yesterday", 400, "milliseconds or a time"),
        ("/api/v1/indicators/calls/values?from=2026-01-01T00:00:00", 400, "milliseconds or a time"),
        ("/api/v1/entities/dragon", 404, "no kind dragon"),
        ("/api/v1/entities/device/V9", 404, "no device V9"),
        ("/api/v1/entities/device?bbox=1,2,3", 400, "west,south,east,north"),
        ("/api/v1/entities/device?bbox=nan,2,3,4", 400, "west,south,east,north"),
        ("/api/v1/entities/device?bbox=1,2,inf,nan", 400, "west,south,east,north"),
        ("/api/v1/entities/device?limit=0", 400, "whole number"),
        ("/api/v1/cases?open=maybe", 400, "true or false"),
        ("/api/v1/search", 400, "what to look for"),
        ("/api/v1/layers/moon", 404, "no layer"),
        ("/nothing", 404, "nothing at this address"),
        ("/ingest", 405, "method"),
    ],
)
def test_troubles_are_told_in_plain_words(running: Running, path: str, status: int, words: str) -> None:
    answer = httpx.get(running.url + path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = valid("/api/v1/city", answer.json(), status="default")
    assert words in body["detail"]
    assert body["status"] == status


def test_entities_and_layers_have_etags(running: Running) -> None:
    path = f"{running.url}/api/v1/entities/device/V%2F1"
    first = httpx.get(path)
    assert valid("/api/v1/entities/{kind}/{code}", first.json())["item"]["readings"][0]["value"] == 3.0
    again = httpx.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    layer = f"{running.url}/api/v1/layers/district"
    packed = httpx.get(layer)
    assert (packed.headers["content-encoding"], packed.json()["type"]) == ("gzip", "FeatureCollection")
    assert httpx.get(layer, headers={"If-None-Match": packed.headers["etag"]}).status_code == 304
    plain = httpx.get(layer, headers={"Accept-Encoding": "identity"})
    assert plain.json() == packed.json()
    assert "content-encoding" not in plain.headers


def post(running: Running, body: bytes, kind: str = "application/cloudevents-batch+json", **headers: str) -> Any:
    return httpx.post(f"{running.url}/ingest", content=body, headers={"Content-Type": kind, **headers})


def test_ingest_answers_and_refusals(running: Running) -> None:
    good = post(running, b"[1]")
    assert valid("/ingest", good.json(), "post") == {"accepted": 1, "duplicates": 0, "rejected": [], "position": 7}
    mixed = valid("/ingest", post(running, b"[1, bad]").json(), "post")
    assert mixed["rejected"] == [{"index": 1, "reason": "bad_time", "field": "time", "detail": "no offset"}]
    cases: list[tuple[httpx.Response, int, str]] = [
        (post(running, b"[]", "text/plain"), 415, "send one of"), (post(running, b""), 400, "empty"),
        (post(running, b"x" * 10_001), 413, "10000 bytes"), (post(running, b"full"), 503, "no room"),
        (post(running, gzip.compress(b"[]"), **{"Content-Encoding": "gzip"}), 415, "Content-Encoding"),
    ]  # fmt: skip
    for answer, status, words in cases:
        assert answer.status_code == status
        assert words in valid("/ingest", answer.json(), "post", str(status))["detail"]
    assert cases[3][0].headers["retry-after"] == "5"


def test_one_event_that_is_refused_is_a_refused_call(running: Running) -> None:
    answer = post(running, b"bad", "application/cloudevents+json; charset=utf-8")
    told = valid("/ingest", answer.json(), "post", "400")
    assert (answer.status_code, told["detail"]) == (400, "time: no offset")
    assert told["type"] == "urn:citytwin:problem:bad_time"
    assert [r["reason"] for r in told["rejected"]] == ["bad_time"]


def test_a_body_without_length_is_bounded_too(running: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    headers = {"Content-Type": "application/cloudevents-batch+json", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/ingest", iter([b"x" * 6000, b"x" * 6000]), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_too_many_calls_at_once_are_told_to_come_again(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("citytwin.dashboards.ingest.AT_ONCE", 0)
    answer = post(running, b"[1]")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_foreign_names_and_origins_get_nothing(running: Running) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        answer = httpx.get(f"{running.url}/api/v1/city", headers=headers)
        assert answer.status_code == 403
    assert httpx.get(f"{running.url}/api/v1/city", headers={"Origin": running.url}).status_code == 200


def test_with_a_token_nothing_is_open_without_it() -> None:
    parts = Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), access=Access(token="geheim"))
    thread = ServerThread(Web(parts))
    url = f"http://127.0.0.1:{thread.start()}"
    try:
        for path in ("/api/v1/city", "/metrics", "/api/v1/layers/district"):
            assert httpx.get(url + path).status_code == 401
            assert httpx.get(url + path, headers={"Authorization": "Bearer falsch"}).status_code == 401
            assert httpx.get(url + path, headers={"Authorization": "Bearer geheim"}).status_code == 200
        assert httpx.post(url + "/ingest", content=b"[]").status_code == 401
        assert httpx.get(url + "/livez").status_code == 200
    finally:
        thread.stop()
    assert "geheim" not in repr(parts)


def test_an_open_address_needs_a_token() -> None:
    with pytest.raises(ValueError, match="make accounts or set a token"):
        server.check_bind("0.0.0.0", Access())
    server.check_bind("0.0.0.0", Access(token="x"))
    server.check_bind("::1", Access())
    assert [is_loopback(h) for h in ("127.0.0.1", "127.9.9.9", "localhost", "[::1]", "10.0.0.1", "localhost.evil")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


def test_pages_and_headers(running: Running) -> None:
    for path in ("/", "/lab"):
        assert "make pages" in httpx.get(running.url + path).text
    for path in ("/", "/docs", "/api/v1/city", "/nothing"):
        headers = httpx.get(running.url + path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
    assert "http://" not in httpx.get(f"{running.url}/docs").text.replace(running.url, "")


def test_health_and_metrics(running: Running) -> None:
    assert httpx.get(f"{running.url}/livez").json() == {"live": True}
    assert httpx.get(f"{running.url}/readyz").json() == {"ready": True, "lag_ms": 0}
    assert httpx.get(f"{running.url}/version").json()["version"] == "0.1.0"
    text = httpx.get(f"{running.url}/metrics").text
    assert "citytwin_ws_clients 0.0" in text
    assert "own_metric 1.0" in text


def test_built_pages_are_served(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<h1>wall</h1>")
    (tmp_path / "assets" / "a-1234.js").write_text("1")
    thread = ServerThread(Web(Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), static=tmp_path)))
    url = f"http://127.0.0.1:{thread.start()}"
    try:
        assert httpx.get(url + "/").text == "<h1>wall</h1>"
        assert "immutable" in httpx.get(url + "/assets/a-1234.js").headers["cache-control"]
        assert httpx.get(url + "/").headers["cache-control"] == "no-cache"
        for deep in ("/lab", "/lab/", "/lab?id=traffic_tti&why=420102"):
            answer = httpx.get(url + deep)
            assert (answer.status_code, answer.text) == (200, "<h1>wall</h1>")
            assert answer.headers["cache-control"] == "no-cache"
            etag = answer.headers["etag"]
            assert httpx.get(url + deep, headers={"If-None-Match": etag}).status_code == 304
        assert httpx.post(url + "/lab").status_code == 405
        assert httpx.get(url + "/../pyproject.toml").status_code == 404
        assert json.loads(httpx.get(url + "/livez").text)["live"]
    finally:
        thread.stop()


def test_a_taken_port_is_an_error(running: Running) -> None:
    thread = ServerThread(Web(Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth())), port=running.port)
    with pytest.raises(OSError, match="in use"):
        thread.start()
