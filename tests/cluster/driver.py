"""A small city behind one interface: in one process, or as bridge, workers, clock and gateway on a Kafka."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from citytwin.client import City
from citytwin.streams.brokers import Cluster
from tests.servers.kafka import Door
from tests.servers.process import Server, free_ports, until

SHARDS = 4
TICK_MS = 1000
Event = dict[str, Any]
Settings = Mapping[str, Mapping[str, Any]]

CITY, EAST, WEST = "420100", "420101", "420102"
#: Grids by short name; the first two are of one community of the east.
GRIDS = {
    "e1": "420101001001001", "e2": "420101001001002", "e3": "420101002001001",
    "w1": "420102001001001", "w2": "420102001002001",
}  # fmt: skip
#: Devices that are there from the start, all of one period, for `waterlog.depth`.
DEVICES = {"D-e1": "e1", "D-e3": "e3", "D-w1": "w1", "D-w2": "w2"}

_MANIFEST = """
format = 1
name = "hamlet"
title = { zh = "小村", en = "Hamlet" }
timezone = "Asia/Shanghai"
crs = "EPSG:4490"
valid_from = "2024-01-01"

[scopes]
file = "scopes.csv"

[[entities]]
kind = "device"
file = "devices.csv"

[[sources]]
id = "hot/line"
period_s = 3
types = ["call.*"]

[[sources]]
id = "bureau/one"
period_s = 86400
types = ["case.*"]
"""


def write_pack(folder: Path) -> Path:
    """The pack of the city: two districts, five grids, four gauges of standing water, two sources."""
    folder.mkdir(parents=True, exist_ok=True)
    codes = {grid[:n] for grid in GRIDS.values() for n in (6, 9, 12, 15)}
    scopes = [f"{CITY},Hamlet,"] + [f"{c},s{c},{_above(c)}" for c in sorted(codes, key=lambda c: (len(c), c))]
    devices = [f"{code},{GRIDS[grid]},gauge {code},waterlog,3600,1,waterlog.depth" for code, grid in DEVICES.items()]
    (folder / "city.toml").write_text(_MANIFEST, "utf-8")
    (folder / "scopes.csv").write_text("\n".join(["code,name,parent", *scopes, ""]), "utf-8")
    head = "code,scope,name,device_kind,period_s,in_service,properties"
    (folder / "devices.csv").write_text("\n".join([head, *devices, ""]), "utf-8")
    return folder


def _above(code: str) -> str:
    return CITY if len(code) == 6 else code[:-3]


def event(type: str, id: str, at_ms: int, subject: str = "", /, source: str = "hand", **data: Any) -> Event:
    """A CloudEvent; `data` that is an attribute of the envelope (gridid, corrects, revision, retracted) goes there."""
    time = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    whole: Event = {"specversion": "1.0", "type": type, "source": source, "id": id, "time": time}
    whole |= {"subject": subject} if subject else {}
    whole |= {name: data.pop(name) for name in ("gridid", "corrects", "revision", "retracted") if name in data}
    return {**whole, "data": data}


class Driver(Protocol):
    """What the tests do to a city, wherever it runs."""

    #: "one process" or "cluster".
    name: str
    city: City

    @property
    def door(self) -> str:
        """Address that takes events."""

    def start(self) -> None:
        """Start all of it (again) and wait until it serves."""

    def kill(self) -> None:
        """SIGKILL to all of it."""

    def stop(self) -> None:
        """SIGTERM to all of it; each process must end by itself."""

    def close(self) -> None:
        """End it for good."""


def send(driver: Driver, body: Sequence[Event] | bytes, kind: str = "application/cloudevents-batch+json") -> Any:
    """Status and answer of POST /ingest."""
    raw = body if isinstance(body, bytes) else json.dumps(list(body)).encode()
    request = urllib.request.Request(f"{driver.door}/ingest", raw, {"content-type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def value(driver: Driver, indicator: str, scope: str = CITY) -> tuple[float | None, str, int | None, int | None]:
    """Newest value at a scope: number, quality, fresh and expected inputs (None unless partial)."""
    rows = [r for r in driver.city.values(indicator, scope=scope) if r.code == scope]
    return (rows[0].value, rows[0].quality, rows[0].fresh, rows[0].expected) if rows else (None, "", None, None)


def wait_for(driver: Driver, indicator: str, wanted: float | None, scope: str = CITY, seconds: float = 30) -> None:
    """Wait until an indicator has a value; fails with what it had."""
    seen: list[tuple[float | None, str, int | None, int | None]] = []

    def there() -> bool:
        seen.append(value(driver, indicator, scope))
        return seen[-1][0] == wanted

    try:
        until(there, seconds, f"{indicator} at {scope} is {wanted}")
    except AssertionError as error:
        raise AssertionError(f"{driver.name}: {error}; it was {seen[-1]}") from None


class Process(Server):
    """A citytwin process with a settings file of its own; it serves once it has said `ready`."""

    patience = 120.0

    def __init__(self, name: str, home: Path, verb: Sequence[str], settings: Settings) -> None:
        super().__init__(name, home)
        self._verb = verb
        (home / "citytwin.toml").write_text(toml(settings), "utf-8")

    def command(self) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "citytwin", *self._verb]

    def answers(self) -> bool:
        """Whether it said so."""
        return any(line.startswith("ready") for line in self.said().splitlines())

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return None if self._process is None else self._process.poll()


def toml(settings: Settings) -> str:
    """Settings as a file."""
    out = []
    for section, values in settings.items():
        out.append(f"[{section}]")
        out += [f"{name} = {json.dumps(v)}" for name, v in values.items() if not isinstance(v, list)]
        for name, tables in ((n, v) for n, v in values.items() if isinstance(v, list)):
            for table in tables:
                out += [f"[[{section}.{name}]]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join([*out, ""])


class OneProcess:
    """`citytwin run`."""

    name = "one process"

    def __init__(self, home: Path, more: Settings | None = None) -> None:
        """`more`: further sections of the settings."""
        (port,) = free_ports(1)
        settings: dict[str, dict[str, Any]] = {
            "city": {"pack": str(write_pack(home / "pack"))}, "server": {"port": port},
            "engine": {"tick_ms": TICK_MS, "health": False}, "privacy": {"key": "k"},
            "data": {"dir": str(home / "run" / "data")}, "desk": {"automatic": False},
        }  # fmt: skip
        settings |= {section: dict(values) for section, values in (more or {}).items()}
        self.run = Process("run", home / "run", ["run"], settings)
        self.door = f"http://127.0.0.1:{port}"
        self.city = City(self.door)

    def start(self) -> None:
        """Start it (again) and wait until it serves."""
        self.run.start()

    def kill(self) -> None:
        """SIGKILL."""
        self.run.kill()

    def stop(self) -> None:
        """SIGTERM."""
        self.run.stop()
        assert self.run.code == 0, self.run.said()[-2000:]

    def close(self) -> None:
        """End it for good."""
        self.city.close()
        self.run.close()


class OnKafka:
    """`citytwin bridge`, `worker`, `clock` and `gateway` on topics that `citytwin topics create` made."""

    name = "cluster"

    def __init__(
        self, home: Path, door: Door, prefix: str, *, workers: int = 1, kafka: Mapping[str, Any] | None = None,
        more: Settings | None = None,
    ) -> None:  # fmt: skip
        """`door`: of the brokers; `kafka`: more settings of that section; `more`: further sections."""
        self.prefix, self.bootstrap = prefix, door.bootstrap
        self._ports = free_ports(2)
        self.home = home
        base: dict[str, dict[str, Any]] = {
            "city": {"pack": str(write_pack(home / "pack"))}, "privacy": {"key": "k"},
            "kafka": {"bootstrap": door.bootstrap, "prefix": prefix, "shards": SHARDS, **(kafka or {})},
            "cluster": {"checkpoints": str(home / "checkpoints"), "tick_ms": TICK_MS, "checkpoint_seconds": 2.0},
            "desk": {"automatic": False}, "server": {"port": self._ports[0]},
            "bridge": {"port": self._ports[1], "linger_ms": 5},
        }  # fmt: skip
        for section, values in (more or {}).items():
            base[section] = {**base.get(section, {}), **values}
        self.bridge, self.clock, self.gateway = (
            Process(verb, home / verb, [verb], self._named(base, verb)) for verb in ("bridge", "clock", "gateway")
        )
        names = [f"worker-{n}" for n in range(1, workers + 1)]
        self.workers = [Process(name, home / name, ["worker"], self._named(base, name)) for name in names]
        self.topics = Process("topics", home / "topics", ["topics", "create"], base)
        self.city = City(f"http://127.0.0.1:{self._ports[0]}")

    @staticmethod
    def _named(base: dict[str, dict[str, Any]], name: str) -> Settings:
        return {**base, "cluster": {**base["cluster"], "instance": name}}

    @property
    def door(self) -> str:
        """The bridge's."""
        return f"http://127.0.0.1:{self._ports[1]}"

    @property
    def cluster(self) -> Cluster:
        """How the plain brokers are reached from the test."""
        return Cluster(self.bootstrap)

    @property
    def members(self) -> list[Process]:
        """All processes."""
        return [self.bridge, *self.workers, self.clock, self.gateway]

    def create(self) -> None:
        """Make the topics; again it changes nothing."""
        self.topics.launch()
        until(lambda: not self.topics.alive, 60, "the topics are made")
        said, code = self.topics.said(), self.topics.code
        self.topics.close()
        assert code == 0, said

    def start(self) -> None:
        """Start all of it (again) and wait until it serves."""
        for member in self.members:
            member.launch()
        # a gateway waits for a clock: one that ended is told at once
        until(
            lambda: not all(m.alive for m in self.members) or all(m.answers() for m in self.members), 120, "all serve"
        )
        for member in self.members:
            assert member.alive, f"{member.name} ended with {member.code}: {member.said()[-3000:]}"

    def kill(self) -> None:
        """SIGKILL to all."""
        for member in self.members:
            member.kill()

    def stop(self) -> None:
        """SIGTERM to all, doors first."""
        for member in self.members:
            member.stop()
            assert member.code == 0, f"{member.name} ended with {member.code}: {member.said()[-2000:]}"

    def close(self) -> None:
        """End it for good."""
        self.city.close()
        for member in self.members:
            member.close()
