"""The doctor finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np

from citytwin import doctor
from citytwin.config import City, Config, Data, Server
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.streams.log import SqliteLog, Tick
from citytwin.streams.snapshots import Snapshot, Snapshots
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads


def data(folder: Path) -> Path:
    """A data folder with three records and two snapshots."""
    with SqliteLog(folder / "log.db") as log:
        log.append([Tick(1), Tick(2), Tick(3)])
    for position in (1, 2):
        Snapshots(folder / "snapshots").save(Snapshot(position, {"a": np.arange(99)}))
    return folder


def test_a_healthy_folder(tmp_path: Path) -> None:
    config = Config(data=Data(str(data(tmp_path / "d"))), server=Server(port=0), city=City("new_york"))
    before = sorted(tmp_path.rglob("*"))
    found = {f.subject: f for f in doctor.examine(config)}
    assert sorted(tmp_path.rglob("*")) == before
    assert found["log"].text.startswith("3 records, 1 to 3")
    assert found["snapshot"].text == "2 can be read"
    wrong = {name for name, f in found.items() if f.level == "wrong"}
    assert wrong <= {"pages", "space"}, "those two depend on the machine"


def test_damage_is_found(tmp_path: Path) -> None:
    folder = data(tmp_path)
    Snapshots(folder / "snapshots").path(2).write_bytes(b"damaged")
    first, last = doctor.snapshots(folder)
    assert (first.level, last.text) == ("note", "1 can be read")
    assert "delete it" in first.text
    (folder / "log.db").write_bytes(b"x" * 9999)
    assert doctor.log(folder, quick=False).level == "wrong"


def test_a_running_city_is_named(tmp_path: Path) -> None:
    data(tmp_path)
    with SqliteLog(tmp_path / "log.db"):
        found = doctor.in_use(tmp_path)
    assert (found.level, "in use by process" in found.text) == ("note", True)
    assert doctor.in_use(tmp_path).level == "ok"


def test_a_taken_port(tmp_path: Path) -> None:
    del tmp_path
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = Config(server=Server(port=other.getsockname()[1]))
        assert "name another one with --port" in doctor.port(config, running=False).text
        assert doctor.port(config, running=True).level == "note"


def test_a_port_that_a_gateway_has(tmp_path: Path) -> None:
    thread = ServerThread(Web(Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), static=tmp_path)))
    try:
        found = doctor.port(Config(server=Server(port=thread.start())), running=False)
    finally:
        thread.stop()
    assert (found.level, "by a city or gateway" in found.text) == ("note", True)


def test_the_disk_is_timed(tmp_path: Path) -> None:
    found = doctor.sync(tmp_path / "not" / "yet")
    assert "is safe after" in found.text
    assert list(tmp_path.iterdir()) == []


def test_exposure_clock_and_pack() -> None:
    assert doctor.exposure(Config(server=Server(host="0.0.0.0"))).level == "wrong"
    assert doctor.exposure(Config(server=Server(host="0.0.0.0", token="x"))).level == "ok"
    assert doctor.clock(0).level == "wrong"
    assert "no city pack" in doctor.pack("atlantis").text
