"""A client that goes from gateway to gateway, resumes, and keeps all that it was ever shown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

CHANNELS: dict[int, tuple[str, dict[str, Any]]] = {
    1: ("case", {}), 2: ("ticker", {}), 3: ("ind", {"level": "city"}), 4: ("sys", {}),
}  # fmt: skip


def _rows(name: str, columns: dict[str, Any]) -> list[tuple[str, int, float | None]]:
    return [(name, k, v) for k, v in zip(columns["k"], columns["v"], strict=True)]


@dataclass
class Picture:
    """What stood on a client's screen after a message: the position, whether it was marked provisional, values.

    None for the mark where the state of the system of that position was not told: a client that comes to another
    gateway hears of each channel when it asks for it, and a frame may come in between.
    """

    position: int
    provisional: bool | None
    values: dict[str, float | None]


@dataclass
class Watcher:
    """One client; `ports` are the gateways that it may go to. Run it by `start`, read what it holds after `stop`."""

    ports: Sequence[int]
    pictures: list[Picture] = field(default_factory=list)
    #: Numbers and items of log channels as they came, and what was told that must not be.
    entries: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=lambda: {"case": [], "ticker": []})
    wrong: list[str] = field(default_factory=list)
    #: Seconds between the last word of a connection that broke and the first news of the next one.
    gaps: list[float] = field(default_factory=list)
    resumed: int = 0

    def __post_init__(self) -> None:
        self._places: dict[int, dict[str, Any]] = {}
        self._values: dict[str, float | None] = {}
        self._sys: dict[str, Any] = {}
        self._of_sys = -1
        self._heard = 0.0
        self._stop, self._at = threading.Event(), 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            port = self.ports[self._at % len(self.ports)]
            try:
                with connect(
                    f"ws://127.0.0.1:{port}/ws", subprotocols=[Subprotocol("citytwin.v1+json")], max_size=None,
                    proxy=None, compression=None, open_timeout=5,
                ) as socket:  # fmt: skip
                    self._watch(socket)
            except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                self._at += 1
                self._stop.wait(0.1)

    def _watch(self, socket: ClientConnection) -> None:
        socket.send(json.dumps({"type": "hello", "id": 0}))
        for id, (channel, filter) in CHANNELS.items():
            ask: dict[str, Any] = {"type": "sub", "id": id, "channel": channel, "filter": filter, "max_hz": 10}
            if id in self._places:
                ask["resume"] = self._places[id]
            socket.send(json.dumps(ask))
        first = self._heard > 0
        while not self._stop.is_set():
            try:
                text = socket.recv(timeout=1)
            except TimeoutError:
                continue
            news = False
            for message in json.loads(text):
                news |= self._take(message)
            if news:
                now = time.monotonic()
                if first:
                    self.gaps.append(now - self._heard)
                first, self._heard = False, now

    def _take(self, message: dict[str, Any]) -> bool:
        """Keep what a message says; True for news."""
        kind, id = message["type"], int(message.get("id") or 0)
        if kind == "error":
            self.wrong.append(f"error: {message}")
        if kind == "live":
            self.resumed += bool(message.get("resumed"))
            self._places[id] = {"epoch": message["epoch"], "seq": message["seq"]}
        if kind not in ("snap", "delta", "log"):
            return False
        channel = CHANNELS[id][0]
        if kind == "snap" and id in self._places and channel in self.entries:
            self.wrong.append(f"{channel} began anew: {message.get('reason')}")
        if kind == "log":
            self._log(channel, message)
        if kind != "snap":
            self._places[id] = {"epoch": self._places[id]["epoch"], "seq": message["seq"]}
        if kind == "snap" and channel == "ind" and message["part"] == 1 and message.get("mode", "full") == "full":
            self._values = {}
        for name, columns in (message.get("values") or {}).items():
            self._values |= {f: v for f, k, v in _rows(name, columns) if k == 0}
        self._sys |= message.get("sys") or {}
        if channel in ("ind", "sys") and message.get("part", 1) == message.get("of", 1):
            self._picture(channel, message["position"])
        return True

    def _picture(self, channel: str, position: int) -> None:
        told = self._of_sys = position if channel == "sys" else self._of_sys
        marked = bool(self._sys.get("provisional")) if told == position else None
        held = Picture(position, marked, dict(self._values))
        if channel == "ind":
            self.pictures.append(held)
        elif self.pictures and self.pictures[-1].position == position:
            self.pictures[-1] = held

    def _log(self, channel: str, message: dict[str, Any]) -> None:
        held = self.entries[channel]
        for item in message["items"]:
            if held and item["seq"] != held[-1][0] + 1:
                self.wrong.append(f"{channel}: entry {item['seq']} after {held[-1][0]}")
            held.append((item["seq"], item))
