"""Real cities for the page: the demo as a process that can be killed, and a node here whose clock a test moves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from citytwin.app import Node
from citytwin.clock import SystemClock
from citytwin.config import City, Config, Engine, Server
from tests.servers.process import until

ROOT = Path(__file__).resolve().parents[2]


def post(url: str, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Send a batch of CloudEvents to a city and give its answer."""
    kind = {"content-type": "application/cloudevents-batch+json"}
    request = urllib.request.Request(f"{url}/ingest", json.dumps(events).encode(), kind)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def reading(device: str, prop: str, value: float, at_ms: int, source: str = "test/gauges") -> dict[str, Any]:
    """A CloudEvent of one reading."""
    time_of = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms / 1000)) + f".{at_ms % 1000:03d}Z"
    return {
        "specversion": "1.0", "type": "obs", "source": source, "id": f"{device}.{prop}.{at_ms}", "subject": device,
        "time": time_of, "data": {"property": prop, "value": value, "quality": "good"},
    }  # fmt: skip


class Demo:
    """`citytwin demo` with a day (or so many) behind it, on a folder that outlives it."""

    def __init__(self, folder: Path, days: int = 1) -> None:
        self.folder, self.port, self.days = folder, 0, days
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait for its line; the same port again after the first time."""
        command = [sys.executable, "-m", "citytwin", "demo", "--days", str(self.days), "--data", str(self.folder)]
        log = (self.folder.parent / f"{self.folder.name}.log").open("a", encoding="utf-8")
        with log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:"), line
        self.port = int(line.rsplit(":", 1)[1])

    def live(self) -> bool:
        """Whether its history is in and it goes by the clock."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(json.load(answer)["live"])
        except urllib.error.HTTPError:
            return False

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Kill it, as a power cut would, or end it with another signal."""
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None


class MovedClock(SystemClock):
    """The machine's clock, ahead by as much as a test says."""

    ahead_ms = 0

    def now_ms(self) -> int:
        """The time now (ms UTC)."""
        return super().now_ms() + self.ahead_ms


class Stage:
    """A city without a simulator: nothing happens but what a test sends, and time goes as it says."""

    def __init__(self, folder: Path, pack: str = "wuhan", plugins: str = "") -> None:
        self.clock = MovedClock()
        config = Config(server=Server(port=0), city=City(pack, plugins), engine=Engine(health=False))
        self.node = Node(config, folder=folder, clock=self.clock)
        self.url = self.node.serve()
        self.node.start()

    def devices(self, prop: str) -> dict[str, str]:
        """Code of each device in service that reads a property, with the code of its district."""
        city: Any = self.node.engine.city
        entities, scopes = city.entities, city.scopes
        says, service = entities.attr("properties"), entities.attr("in_service")
        texts = says.tolist()
        rows = [i for i, text in enumerate(texts) if prop in (text or "").split() and service[i] == 1]
        return {entities.code(i): scopes.code[scopes.path(int(entities.scope[i]))[-2]] for i in rows}

    def send(self, devices: Iterable[str], prop: str, value: float) -> None:
        """A reading of now from each of the devices; they must all be taken."""
        now = self.clock.now_ms()
        events = [reading(d, prop, value, now) for d in devices]
        for start in range(0, len(events), 5000):
            assert post(self.url, events[start : start + 5000])["rejected"] == []

    def pass_time(self, seconds: float) -> None:
        """Let the clock run on so far at once, and wait for the frame after it."""
        engine = self.node.engine
        self.clock.ahead_ms += round(seconds * 1000)
        now = self.clock.now_ms()
        until(lambda: engine.now >= now, 60, "a tick after the clock moved")

    def close(self) -> None:
        """End it."""
        self.node.close()
