"""The WebSocket door on a real server: hello, codes, resume, slow readers; every frame is checked by the contract."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as sockets
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close as Close_
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from citytwin.dashboards import describe
from citytwin.dashboards.protocol import Close
from citytwin.models.frame import Delta, Frame
from tests.dashboards.conftest import Running
from tests.dashboards.fakes import Follower, values
from tests.servers.process import until as eventually

DOCUMENT = describe.asyncapi("test")
FRAME = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Frame", "components": DOCUMENT["components"]})


@contextlib.contextmanager
def dial(running: Running, hello: bool = True, **more: Any) -> Iterator[ClientConnection]:
    protocol = [Subprotocol("citytwin.v1+json")]
    with connect(running.ws, subprotocols=protocol, proxy=None, compression=None, max_size=None, **more) as ws:
        with contextlib.suppress(ConnectionClosed):
            if hello:
                ws.send('{"type":"hello","id":0}')
        yield ws


def until(ws: ClientConnection, wanted: str, follow: Follower | None = None) -> dict[str, Any]:
    """Messages up to one of this type; each frame valid by the served contract."""
    while True:
        frame = json.loads(ws.recv(timeout=10))
        FRAME.validate(frame)
        for message in frame:
            if follow is not None:
                follow.hear(message)
            if message["type"] == wanted:
                found = message
        if any(m["type"] == wanted for m in frame):
            return dict(found)


def code_of(ws: ClientConnection) -> int:
    return closing(ws).code


def closing(ws: ClientConnection) -> Close_:
    """The close frame that ends the connection."""
    try:
        while True:
            ws.recv(timeout=10)
    except ConnectionClosed as closed:
        return closed.rcvd or Close_(1006, "")


def test_hello_snapshot_delta_heartbeat(running: Running) -> None:
    view = Follower()
    with dial(running) as ws:
        welcome = until(ws, "welcome")
        assert welcome["city"]["title"]["zh"] == "小城"
        assert "twin/device" in welcome["channels"]
        ws.send('{"type":"sub","id":1,"channel":"ind","filter":{"level":"district"}}')
        until(ws, "live", view)
        assert view.cells["calls", 4] == (40.0, "good", "")
        running.web.gateway.publish(Frame(2, 1_001_000, 9, {"calls": values([4], [81.0])}))
        delta = until(ws, "delta", view)
        assert (delta["t"], delta["position"]) == (1_001_000, 9)
        assert view.cells["calls", 4] == (81.0, "good", "red")
        beat = until(ws, "hb")
        assert (beat["position"], beat["seqs"]["ind"]) == (9, delta["seq"])
    ((published, sent),) = running.web.gateway.pushes()  # the delta; neither snapshot nor heartbeat
    assert published <= sent
    assert running.web.gateway.pushes() == []


def test_twin_rows_without_columns_are_filled(running: Running) -> None:
    view = Follower()
    with dial(running) as ws:
        ws.send('{"type":"sub","id":1,"channel":"twin/device","filter":{"scope":"D0"}}')
        until(ws, "live", view)
        assert {r["code"] for r in view.rows.values()} == {"V5", "V6"}
        running.board.devices.columns["speed"][0] = 9.0
        running.web.gateway.publish(Frame(2, 2, 2, twin={"device": Delta(np.array([5], np.int32), {})}))
        until(ws, "delta", view)
        assert view.rows[5]["speed"] == 9.0


@pytest.mark.parametrize(
    ("text", "code"),
    [("nonsense", 4400), ('{"type":"sub","id":1,"channel":"ind"}', 4400), ('{"type":"hello","x":1}', 4400), ("", 4408)],
)
def test_a_first_message_that_is_no_hello(running: Running, text: str, code: int) -> None:
    with dial(running, hello=False) as ws:
        if text:
            ws.send(text)
        assert code_of(ws) == code


def test_codes_after_hello(running: Running) -> None:
    sub = '{"type":"sub","id":1,"channel":"sys"}'
    for texts, code in (([sub, sub], 4409), (['{"type":"nope"}'], 4400), ([sub.replace("sys", "zz")] * 300, 4429)):
        with dial(running) as ws:
            for text in texts:
                with contextlib.suppress(ConnectionClosed):  # the server may not wait for the last one
                    ws.send(text)
            assert code_of(ws) == code
    eventually(lambda: running.web.hub.clients == {}, 10, "the hub knows that they left")


def test_foreign_origins_and_missing_subprotocol(running: Running) -> None:
    with dial(running, origin=Origin("http://evil.example")) as ws:
        assert code_of(ws) == Close.FORBIDDEN
    with dial(running, origin=Origin(running.url)) as ws:
        assert until(ws, "welcome")
    with connect(running.ws, proxy=None) as plain:
        assert code_of(plain) == Close.BAD_MESSAGE


def test_too_many_connections(running: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            until(stack.enter_context(dial(running)), "welcome")
        assert code_of(stack.enter_context(dial(running))) == Close.TOO_MANY


def test_cut_and_resumed_log_misses_nothing(running: Running) -> None:
    view = Follower()
    sub: dict[str, Any] = {"type": "sub", "id": 1, "channel": "ticker", "max_hz": 20}
    told = 0
    for cut in range(5):
        with dial(running) as ws:
            ws.send(json.dumps(sub if not cut else {**sub, "resume": {"epoch": view.epoch, "seq": view.seq}}))
            until(ws, "live", view)
            for _ in range(3):
                told += 1
                running.web.gateway.publish(Frame(told, told, told, ticker=({"t": told, "scope": 0},)))
            while len(view.entries) < told - 1:
                until(ws, "log", view)
        told += 1
        running.web.gateway.publish(Frame(told, told, told, ticker=({"t": told, "scope": 0},)))
    assert view.entries == list(range(2, told + 1))
    assert view.snaps == 1


@pytest.mark.slow
def test_a_reader_that_stops_costs_little_and_ends_with_the_newest(running: Running) -> None:
    small = sockets.socket()
    small.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65_536)
    small.connect(("127.0.0.1", running.port))
    view, n = Follower(), 400
    tree = running.board.scopes
    rows = [tree.add(f"D0Z{i}", f"新{i}", 1) for i in range(5000)]
    with dial(running, sock=small, max_queue=1) as slow, dial(running) as quick:
        for ws in (slow, quick):
            ws.send('{"type":"sub","id":1,"channel":"ind","filter":{"depth":4,"ids":["calls"]},"max_hz":20}')
        until(slow, "live", view)
        until(quick, "live")
        for i in range(n):
            running.web.gateway.publish(Frame(i, i, i, {"calls": values(rows, [i + j / 7 for j in range(len(rows))])}))
        running.web.gateway.publish(Frame(n, n, n, {"calls": values([0], [12345.0])}))
        got = Follower()
        got.live, got.seq = True, view.seq
        while got.cells.get(("calls", 0), (0,))[0] != 12345.0:
            _read(quick, got)
        connections = running.web.gateway.connections.values()
        assert all(running.web.hub.held(c.key) < 600_000 for c in connections)
        assert all(c.transport is not None and c.transport.buffered() < 1_500_000 for c in connections)
        while view.cells.get(("calls", 0), (0,))[0] != 12345.0:
            _read(slow, view)
        want = {("calls", r): n - 1 + j / 7 for j, r in enumerate(rows)}
        assert {c: v[0] for c, v in view.cells.items() if c in want} == want


def _read(ws: ClientConnection, view: Follower) -> None:
    frame = json.loads(ws.recv(timeout=10))
    for message in frame:
        view.hear(message)


def test_a_stuck_reader_of_a_log_is_closed_with_4508(running: Running) -> None:
    small = sockets.socket()
    small.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65_536)
    small.connect(("127.0.0.1", running.port))
    text = "x" * 60_000
    with dial(running, sock=small, max_queue=1) as ws:
        ws.send('{"type":"sub","id":1,"channel":"ticker"}')
        until(ws, "live")
        for i in range(200):
            entries = tuple({"t": i, "scope": 0, "text": text} for _ in range(2))
            running.web.gateway.publish(Frame(i, i, i, ticker=entries))
        assert code_of(ws) == Close.SLOW


def test_a_server_that_stops_says_when_to_come_again(running: Running) -> None:
    with dial(running) as ws:
        until(ws, "welcome")
        loop = running.web.gateway._loop
        assert loop is not None
        asyncio.run_coroutine_threadsafe(running.web.gateway.drain(), loop).result(5)
        end = closing(ws)
        assert (end.code, end.reason) == (4503, "retry_ms=2000")
    with dial(running) as ws:
        assert code_of(ws) == Close.DRAINING


def test_the_contract_is_served_and_closed_over_itself(running: Running) -> None:
    served = httpx.get(f"{running.url}/asyncapi.json").json()
    assert served["asyncapi"] == "3.0.0"
    names = set(served["components"]["schemas"])
    refs = {r.rsplit("/", 1)[1] for r in _refs(served) if "/schemas/" in r}
    assert refs <= names
    messages = {r.rsplit("/", 1)[1] for r in _refs(served) if "/messages/" in r}
    assert messages <= set(served["components"]["messages"])
    with pytest.raises(jsonschema.ValidationError):
        FRAME.validate([{"type": "delta", "id": "x"}])


def _refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for v in node.values() for r in _refs(v)]
    return [r for v in node for r in _refs(v)] if isinstance(node, list) else []
