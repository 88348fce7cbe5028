"""A full or read-only disk under the real engine: 503, nothing lost, on again; and a backup under load."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from citytwin.app import Node
from citytwin.streams.backup import backup, restore
from citytwin.streams.log import Events
from citytwin.submissions import Unavailable
from citytwin.testing import TinyCity
from tests.crash.child import batch, open_city
from tests.crash.test_kill import clean_run
from tests.servers.process import until

WAIT_S = 30


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes where one may be mounted; elsewhere the log's own bound stands in for it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False
    if os.geteuid() == 0 and shutil.which("mount"):
        command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    yield folder
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(node: Node, start: int, stop: int = 4000) -> tuple[int, str]:
    """Send batches until one is refused: its number, and why."""
    city = TinyCity()
    for number in range(start, stop):
        try:
            node.runtime.submit([batch(number, city)]).result(WAIT_S)
        except Unavailable as error:
            return number, str(error)
    raise AssertionError("the disk never filled")


def test_full_disk(disk: Path) -> None:
    base_ms = time.time_ns() // 1_000_000
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    with open_city(disk, base_ms) as node:
        node.runtime.keeper = None
        node.start()
        if not os.path.ismount(disk):
            node.log.limit(1 << 20)
        number, why = fill(node, 0)
        assert "goes on by itself" in why
        assert node.runtime.status["log"] == "full"
        ballast.unlink()
        node.log.limit(0)
        assert node.runtime.submit([batch(number, TinyCity())]).result(WAIT_S)[0].accepted > 0
        until(lambda: node.runtime.status["log"] == "ok", WAIT_S, "the log is well again")
        node.runtime.stop(snapshot=False)
        state = node.engine.state_hash(), node.engine.frame_hash()
        kept = sum(len(r.batch) for _, r in node.log.read() if isinstance(r, Events) and r.batch.id[0].startswith("b"))
    # Read elsewhere: the small disk holds no room for certain, and opening a log takes some.
    elsewhere = disk.with_name("elsewhere")
    elsewhere.mkdir()
    shutil.copy(disk / "log.db", elsewhere)
    clean = clean_run(elsewhere)
    assert (clean.state_hash(), clean.frame_hash()) == state
    assert kept == 40 * (number + 1), "every acknowledged batch is there once, and none that was refused"


def test_read_only_log(tmp_path: Path) -> None:
    with open_city(tmp_path, time.time_ns() // 1_000_000) as node:
        node.start()
        node.runtime.submit([batch(0, TinyCity())]).result(WAIT_S)
        node.runtime.call(lambda: node.log._db.execute("PRAGMA query_only=1")).result(WAIT_S)
        number, why = fill(node, 1)
        assert number == 1
        assert "may not be written" in why
        frames = node.engine.k
        until(lambda: node.runtime.status["log"] == "readonly", WAIT_S, "the log is known as read-only")
        node.runtime.call(lambda: node.log._db.execute("PRAGMA query_only=0")).result(WAIT_S)
        until(lambda: node.engine.k > frames, WAIT_S, "another tick")
        assert node.runtime.submit([batch(1, TinyCity())]).result(WAIT_S)[0].accepted > 0


def test_backup_under_load_comes_back_to_the_same_state(tmp_path: Path) -> None:
    base_ms = time.time_ns() // 1_000_000
    city = TinyCity()
    with open_city(tmp_path / "data", base_ms) as node:
        node.start()
        for number in range(60):
            future = node.runtime.submit([batch(number, city)])
            if number == 30:
                made = backup(tmp_path / "data", tmp_path / "backup")
            future.result(WAIT_S)
    assert restore(tmp_path / "backup", tmp_path / "elsewhere").position == made.position
    with open_city(tmp_path / "elsewhere", base_ms) as back:
        state = back.engine.state_hash(), back.engine.frame_hash()
    original = clean_run(tmp_path / "elsewhere")
    assert (original.state_hash(), original.frame_hash()) == state
