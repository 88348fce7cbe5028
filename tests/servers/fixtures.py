"""The fixtures: servers of the session, factories for a test's own, and what a failed test shows of their logs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.servers.influx import ForeignInflux, Influx
from tests.servers.kafka import Foreign, Kafka
from tests.servers.mosquitto import ForeignMosquitto, Mosquitto
from tests.servers.process import STARTED

Kafkas = Callable[..., Kafka]


def _aloud(config: pytest.Config) -> AbstractContextManager[None]:
    """Lets the lines of the installer through to the terminal."""
    found: AbstractContextManager[None] = config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled()
    return found


def _running(config: pytest.Config, make: Callable[[], Any]) -> Iterator[Any]:
    with _aloud(config):
        server = make()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def prefix() -> str:
    """A prefix for topics, databases and the like that no other test uses."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Kafka]:
    """The session's Kafka of one node, or the one that CITYTWIN_TEST_KAFKA=host:port names; use it with `prefix`."""
    if named := os.environ.get("CITYTWIN_TEST_KAFKA"):
        yield Foreign(named)
        return
    yield from _running(pytestconfig, lambda: Kafka(tmp_path_factory.mktemp("kafka")))


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Kafkas]:
    """`own_kafka(nodes=3, extra={"message.max.bytes": 2_000_000})`: a started Kafka for this test alone."""
    made: list[Kafka] = []

    def make(nodes: int = 1, extra: dict[str, object] | None = None) -> Kafka:
        with _aloud(pytestconfig):
            made.append(Kafka(tmp_path_factory.mktemp("kafka"), nodes, extra))
        made[-1].start()
        return made[-1]

    try:
        yield make
    finally:
        for server in made:
            server.close()


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Influx]:
    """The session's InfluxDB without accounts, or that of CITYTWIN_TEST_INFLUX=http://user:password@host:port."""
    if named := os.environ.get("CITYTWIN_TEST_INFLUX"):
        yield ForeignInflux(named)
        return
    yield from _running(pytestconfig, lambda: Influx(tmp_path_factory.mktemp("influx")))


@pytest.fixture(scope="session")
def influx_tls(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Influx]:
    """The session's InfluxDB with an account and TLS."""
    yield from _running(pytestconfig, lambda: Influx(tmp_path_factory.mktemp("influx-tls"), secured=True))


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Mosquitto]:
    """The session's Mosquitto, or the broker that CITYTWIN_TEST_MQTT=host:port names; use it with `prefix`."""
    if named := os.environ.get("CITYTWIN_TEST_MQTT"):
        yield ForeignMosquitto(named)
        return
    yield from _running(pytestconfig, lambda: Mosquitto(tmp_path_factory.mktemp("mosquitto")))


def mend() -> None:
    """Before a test: have the servers of the session serve, whatever the last test did to them."""
    for server in list(STARTED):
        server.mend()


def marks() -> dict[str, int]:
    """Where the log of each server ends now."""
    return {str(server.log): server.log.stat().st_size for server in STARTED}


def logs(since: dict[str, int], lines: int = 60) -> Iterator[tuple[str, str]]:
    """Title and the last lines of what each server has said since."""
    for server in STARTED:
        said = server.said(since.get(str(server.log), 0)).splitlines()
        if said:
            yield f"log of {server.name} ({server.log})", "\n".join(said[-lines:])
