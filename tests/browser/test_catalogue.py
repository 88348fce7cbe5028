"""The demo as it is shown: three minutes after it goes by the clock no tier-1 indicator is without a number."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.browser.city import Demo
from tests.conftest import Figure
from tests.indicators.test_themes import WANTED
from tests.servers.process import until

#: Days of the past that the demo brings when nobody says otherwise.
DAYS = 30


def read(url: str, path: str) -> Any:
    """JSON of the city."""
    with urllib.request.urlopen(url + path, timeout=60) as answer:
        return json.load(answer)


def follow(url: str, ended: threading.Event) -> None:
    """A screen that takes what it is sent, and comes again: how long that takes is an indicator too."""
    while not ended.is_set():
        with (
            suppress(OSError, WebSocketException, TimeoutError),
            connect(
                url.replace("http", "ws") + "/ws", subprotocols=[Subprotocol("citytwin.v1+json")], max_size=None
            ) as ws,
        ):
            ws.send('{"type":"hello","id":0}')
            ws.send('{"type":"sub","id":1,"channel":"ind","filter":{"level":"district"}}')
            while not ended.is_set():
                ws.recv(timeout=30)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """The demo with a whole month behind it, and a screen that watches."""
    city = Demo(tmp_path / "demo", DAYS)
    city.start()
    ended = threading.Event()
    until(city.live, 240, "the past of the demo is in")
    watcher = threading.Thread(target=follow, args=(city.url, ended))
    watcher.start()
    yield city
    ended.set()
    watcher.join(40)
    city.stop()


def blank(url: str) -> dict[str, str]:
    """Tier-1 indicators without a number at the city, and why."""
    out = {}
    code = read(url, "/api/v1/scopes?level=city")["scopes"]["code"][0]
    for id in sorted(WANTED):
        values = read(url, f"/api/v1/indicators/{id}/values?scope={code}")["values"]
        if not values["v"] or values["v"][0] is None:
            out[id] = str(values.get("q") or "nothing was said")
    return out


@pytest.mark.slow
def test_no_tier_1_indicator_is_without_a_number(demo: Demo, figure: Figure) -> None:
    begun = time.monotonic()
    pause = threading.Event()
    while (missing := blank(demo.url)) and time.monotonic() - begun < 180:
        pause.wait(5)
    figure("until every tier-1 indicator of the demo has a number", time.monotonic() - begun, "s")
    assert missing == {}, missing
