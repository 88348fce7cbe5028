"""What the doctor says of a real Kafka and a real InfluxDB, from nothing there to all well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from click.testing import CliRunner

from citytwin import neighbours, topics
from citytwin.cli import cli
from citytwin.config import Config, load
from citytwin.models.part import Marker
from citytwin.neighbours import Finding
from citytwin.streams import wire
from citytwin.streams.kafka import GroupReader, Writer, create_topics
from tests.servers.influx import Influx
from tests.servers.kafka import PASSWORD, USER, Kafka

T = TypeVar("T")


def do(work: Awaitable[T]) -> T:
    """Wait for it, with a bound."""

    async def run() -> T:
        return await asyncio.wait_for(work, 60)

    return asyncio.run(run())


def settings(folder: Path, text: str) -> tuple[Config, list[str]]:
    """Settings of a file, and which are given."""
    (folder / "citytwin.toml").write_text(text)
    found = load(folder / "citytwin.toml", {})
    return found.config, list(found.origin)


def looked(config: Config, given: list[str]) -> dict[str, list[Finding]]:
    """Findings by subject."""
    out: dict[str, list[Finding]] = {}
    for finding in neighbours.examine(config, given):
        out.setdefault(finding.subject, []).append(finding)
    return out


async def mark(config: Config, partitions: int, time_ms: int) -> None:
    """A marker in each partition of the events."""
    clock = Writer(topics.cluster(config), transactional_id=f"{config.kafka.prefix}-t")
    async with clock as writer, writer.transaction():
        for p in range(partitions):
            value = wire.to_bytes(Marker(1, time_ms))
            await (await writer.send(f"{config.kafka.prefix}.events", p, value, time_ms=time_ms))


async def read_all(config: Config, partitions: int) -> None:
    """As workers do: read all and commit."""
    name = f"{config.kafka.prefix}.events"
    async with GroupReader(topics.cluster(config), [name], f"{config.kafka.prefix}.worker") as reader:
        seen = 0
        while seen < partitions:
            taken = await reader.take()
            seen += sum(map(len, taken.values()))
            await reader.commit({p: records[-1].offset + 2 for p, records in taken.items()})


def test_from_nothing_to_all_well(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    config, given = settings(
        tmp_path,
        f'[kafka]\nbootstrap = "{kafka.bootstrap}"\nprefix = "{prefix}"\nshards = 3\n'
        f'[cluster]\ncheckpoints = "{tmp_path}"\n[[bridge.kafka]]\ntopics = ["{prefix}-foreign"]\n',
    )
    found = looked(config, given)
    assert (found["brokers"][0].level, found["copies"][0].level) == ("ok", "note")
    assert [f.level for f in found["topics"]] == ["wrong"] * 6
    assert "run `citytwin topics create`" in found["topics"][0].text

    do(create_topics(topics.cluster(config), topics.wanted(config)))
    found = looked(config, given)
    assert [f.level for f in found["topics"]] == ["ok"], found
    assert found["lag"][0].text == "no workers have read yet, and there is nothing"
    assert f"{prefix}-foreign, which are not there" in found["sources"][0].text
    assert "no marker was ever written" in found["clocks"][0].text

    now = round(time.time() * 1000)
    do(mark(config, 3, now + 60_000))
    found = looked(config, given)
    assert (found["lag"][0].level, "start `citytwin worker`" in found["lag"][0].text) == ("wrong", True)
    assert "behind the clock process" in found["clocks"][0].text

    do(mark(config, 3, round(time.time() * 1000)))
    do(read_all(config, 6))
    found = looked(config, given)
    assert (found["lag"][0].level, found["lag"][0].text.startswith("workers: 0 records wait")) == ("ok", True)


def test_a_login_that_is_refused_is_told(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    door = kafka.sasl("SCRAM-SHA-256")
    for password, level in ((PASSWORD, "ok"), ("wrong", "wrong")):
        (tmp_path / "password").write_text(password)
        config, given = settings(
            tmp_path,
            f'[kafka]\nbootstrap = "{door.bootstrap}"\nprefix = "{prefix}"\nsecurity = "sasl_ssl"\n'
            f'ca_file = "{door.ca_file}"\nusername = "{USER}"\npassword_file = "{tmp_path / "password"}"\n',
        )
        (brokers,) = looked(config, given)["brokers"]
        assert brokers.level == level
        assert PASSWORD not in brokers.text
    assert "look at kafka.security" in brokers.text


def test_influx(influx: Influx, prefix: str, tmp_path: Path) -> None:
    config, given = settings(tmp_path, f'[influx]\nurl = "{influx.url}"\nbucket = "{prefix}"\n')
    (found,) = looked(config, given)["influx"]
    assert (found.level, "run `citytwin influx setup`" in found.text) == ("wrong", True)
    said = CliRunner().invoke(cli, ["influx", "setup", "--config", str(tmp_path / "citytwin.toml")])
    assert said.exit_code == 0, said.output
    (found,) = looked(config, given)["influx"]
    assert (found.level, found.text.endswith(f"bucket {prefix}")) == ("ok", True)
