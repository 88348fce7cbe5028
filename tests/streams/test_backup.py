"""Backups: whole, taken under load, verified, and never over something else."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from citytwin.models.batch import EventBatch, Rejection
from citytwin.streams.backup import BadBackup, backup, restore, verify
from citytwin.streams.deadletters import DeadLetters
from citytwin.streams.log import Events, SqliteLog
from citytwin.streams.snapshots import Snapshot, Snapshots
from citytwin.streams.store import StoreError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A data folder with something of everything."""
    folder = tmp_path / "data"
    with SqliteLog(folder / "log.db") as log, DeadLetters(folder / "deadletters.db") as letters:
        log.append([Events(EventBatch.of("obs", [i], [f"e{i}"])) for i in range(10)])
        letters.add("http", "x", [Rejection(0, "bad_time", "time", "bad")], 1)
        for position in (4, 8):
            Snapshots(folder / "snapshots").save(Snapshot(position, {"a": np.arange(position)}))
    (folder / "privacy.key").write_text("k" * 64)
    hour = folder / "history/date=2026-01-01/hour=03"
    hour.mkdir(parents=True)
    (hour / "part-000001.parquet").write_bytes(b"values")
    (hour / ".part-000002.parquet.tmp").write_bytes(b"half")
    return folder


def test_there_and_back(source: Path, tmp_path: Path) -> None:
    made = backup(source, tmp_path / "b")
    assert (made.position, made.snapshot) == (10, 8)
    assert verify(tmp_path / "b") == made
    assert restore(tmp_path / "b", tmp_path / "again") == made
    with SqliteLog(tmp_path / "again" / "log.db") as log, DeadLetters(tmp_path / "again" / "deadletters.db") as letters:
        assert log.verify() == 10
        assert letters.total() == 1
    found = Snapshots(tmp_path / "again" / "snapshots").newest()
    assert found is not None
    assert found.position == 8
    assert (tmp_path / "again" / "privacy.key").read_text() == "k" * 64
    history = [p for p in (tmp_path / "again/history").rglob("*") if p.is_file()]
    assert [(p.name, p.read_bytes()) for p in history] == [("part-000001.parquet", b"values")]


def test_under_load(source: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    ends: list[int] = []

    def write(log: SqliteLog) -> None:
        while not stop.is_set():
            ends.append(log.append([Events(EventBatch.of("obs", [1], [f"x{len(ends)}"]))])[0])

    with SqliteLog(source / "log.db") as log:
        writer = threading.Thread(target=write, args=(log,))
        writer.start()
        try:
            made = [backup(source, tmp_path / f"b{i}") for i in range(3)]
        finally:
            stop.set()
            writer.join()
    assert made[0].position <= made[1].position <= made[2].position <= ends[-1]
    for i, manifest in enumerate(made):
        assert restore(tmp_path / f"b{i}", tmp_path / f"r{i}").position == manifest.position


def test_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    backup(source, tmp_path / "b")
    with pytest.raises(BadBackup, match="not empty"):
        backup(source, tmp_path / "b")
    with pytest.raises(BadBackup, match="not empty"):
        restore(tmp_path / "b", source)


@pytest.mark.parametrize("name", ["log.db", "deadletters.db", "snapshots/snapshot-00000000000000000008.bin"])
def test_damage_is_found(source: Path, tmp_path: Path, name: str) -> None:
    backup(source, tmp_path / "b")
    path = tmp_path / "b" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadBackup, match="not what was saved"):
        restore(tmp_path / "b", tmp_path / "r")
    path.unlink()
    with pytest.raises(BadBackup, match="is missing"):
        verify(tmp_path / "b")


def test_damaged_snapshot_is_left_out(source: Path, tmp_path: Path) -> None:
    Snapshots(source / "snapshots").path(8).write_bytes(b"damaged")
    assert backup(source, tmp_path / "b").snapshot == 4


def test_not_a_folder_of_ours(tmp_path: Path) -> None:
    with pytest.raises(BadBackup, match="holds no log"):
        backup(tmp_path, tmp_path / "b")
    with pytest.raises(BadBackup, match="is no backup"):
        restore(tmp_path, tmp_path / "r")


def test_relative_folders(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = backup(source.relative_to(tmp_path), Path("b"))
    assert restore(Path("b"), Path("again")) == made


def test_a_backup_that_fails_leaves_nothing(source: Path, tmp_path: Path) -> None:
    (source / "log.db").write_bytes(b"no log" * 999)
    with pytest.raises(StoreError):
        backup(source, tmp_path / "b")
    assert not list(tmp_path.glob("b*"))
