"""The log: durable, checked, bounded, and going on after a full or read-only disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from citytwin.models.batch import EventBatch
from citytwin.streams.log import (
    CorruptLog,
    Definition,
    Events,
    LogFull,
    LogGap,
    LogReadOnly,
    SqliteLog,
    StoreInUse,
    StoreVersion,
    Tick,
)


def batch(first: int, n: int = 3) -> EventBatch:
    """Events whose ids and times count from `first`."""
    return EventBatch.of("obs", [1000 + i for i in range(first, first + n)], [f"e{i}" for i in range(first, first + n)])


def big(first: int) -> EventBatch:
    """A batch whose record takes some 100 kB however well it is compressed."""
    return EventBatch.of("obs", [first] * 2000, [os.urandom(25).hex() for _ in range(2000)])


def fill(log: SqliteLog) -> None:
    """Append until there is no room: 5 MB at most."""
    for i in range(50):
        log.append([Events(big(i))])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log lies."""
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    """An empty log."""
    with SqliteLog(path) as found:
        yield found


def test_records_come_back_in_order(log: SqliteLog) -> None:
    assert log.append([Events(batch(0)), Tick(5000)]) == [1, 2]
    assert log.append([Definition("bands", {"red": 70, "名": "警戒"})]) == [3]
    (p1, events), (p2, tick), (p3, definition) = log.read()
    assert (p1, p2, p3) == (1, 2, 3)
    assert isinstance(events, Events)
    assert events.batch.id.tolist() == ["e0", "e1", "e2"]
    assert tick == Tick(5000)
    assert definition == Definition("bands", {"red": 70, "名": "警戒"})
    assert (log.first, log.end) == (1, 3)


def test_empty_log_reads_nothing(log: SqliteLog) -> None:
    assert list(log.read()) == []
    assert (log.first, log.end) == (1, 0)
    assert log.append([]) == []


def test_positions_go_on_after_reopening(path: Path) -> None:
    with SqliteLog(path) as log:
        log.append([Tick(1), Tick(2)])
    with SqliteLog(path) as log:
        assert log.end == 2
        assert log.append([Tick(3)]) == [3]
        assert [r for _, r in log.read(2)] == [Tick(2), Tick(3)]
        assert [r for _, r in log.read(1, 3)] == [Tick(1), Tick(2)]


def test_append_goes_on_while_a_reader_is_in_the_middle(log: SqliteLog) -> None:
    log.append([Tick(i) for i in range(200)])
    reader = log.read()
    next(reader)
    assert log.append([Tick(999)]) == [201]
    assert len(list(reader)) == 199, "a read ends where the log ended when it began"


@pytest.mark.parametrize("column", ["payload", "count", "first_ms", "checksum"])
def test_damage_is_found_and_named(path: Path, column: str) -> None:
    with SqliteLog(path) as log:
        log.append([Events(batch(0)), Events(batch(3)), Tick(9)])
    value = "x'00ff00'" if column in ("payload", "checksum") else "77"
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE record SET {column} = {value} WHERE position = 2")
    db.close()
    with SqliteLog(path) as log:
        reader = log.read()
        assert next(reader)[0] == 1
        with pytest.raises(CorruptLog, match=r"record 2 .*citytwin doctor"):
            next(reader)


def test_missing_record_is_damage(path: Path) -> None:
    with SqliteLog(path) as log:
        log.append([Tick(i) for i in range(5)])
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM record WHERE position = 3")
    db.close()
    with SqliteLog(path) as log, pytest.raises(CorruptLog, match=r"record 3 .*missing"):
        log.verify()


def test_a_file_that_is_no_log(path: Path) -> None:
    path.write_bytes(b"something else entirely, long enough to be no header" * 100)
    with pytest.raises(CorruptLog, match="no CityTwin file"):
        SqliteLog(path)


def test_newer_format_is_refused(path: Path) -> None:
    SqliteLog(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreVersion, match=r"newer CityTwin \(format 99"):
        SqliteLog(path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=1")
    db.close()
    SqliteLog(path).close()  # the refusal let go of the folder


def test_one_process_owns_it(path: Path) -> None:
    lock = str(path.parent / "log.lock")
    code = f"""
import sys
from pathlib import Path
from citytwin.streams.store import Ownership
owner = Ownership(Path({lock!r}))
print("mine", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(StoreInUse, match=f"in use by process {child.pid}"):
            SqliteLog(path)
        child.kill()
    SqliteLog(path).close()


def test_full_file_keeps_what_it_had_and_goes_on(log: SqliteLog) -> None:
    log.append([Events(batch(0))])
    log.limit(300_000)
    with pytest.raises(LogFull, match="goes on by itself"):
        fill(log)
    kept = log.end
    assert log.verify() == kept
    log.limit(0)
    assert log.append([Events(big(99))]) == [kept + 1]
    assert log.verify() == kept + 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this process may make one; else a bounded file stands in for it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = os.geteuid() == 0 and shutil.which("mount") is not None
    done = (
        done and not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False).returncode
    )
    yield folder
    if done:
        subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk(tiny_disk: Path) -> None:
    with SqliteLog(tiny_disk / "log.db", max_bytes=0 if os.path.ismount(tiny_disk) else 500_000) as log:
        ballast = tiny_disk / "ballast"
        ballast.write_bytes(bytes(200_000))
        log.append([Events(batch(0))])
        with pytest.raises(LogFull):
            fill(log)
        kept = log.end
        assert log.verify() == kept
        ballast.unlink()
        log.limit(0)
        assert log.append([Tick(7)]) == [kept + 1]
        assert log.verify() == kept + 1


def test_read_only_file(path: Path) -> None:
    with SqliteLog(path) as log:
        log.append([Tick(1)])
        log._db.execute("PRAGMA query_only=1")
        with pytest.raises(LogReadOnly, match="may not be written"):
            log.append([Tick(2)])
        assert [r for _, r in log.read()] == [Tick(1)]
        log._db.execute("PRAGMA query_only=0")
        assert log.append([Tick(2)]) == [2]


def test_trim_by_age_keeps_what_a_snapshot_needs(log: SqliteLog) -> None:
    for second in range(10):
        log.append([Events(batch(second)), Tick(second * 1000)])
    assert log.trim(keep_from=5, before_ms=8000) == 4
    assert log.first == 5
    assert log.trim(keep_from=100, before_ms=3000) == 2, "positions 5 and 6 are older than the tick of second 3"
    assert log.trim(keep_from=100, before_ms=10**9) == 13, "the last record stays, so that positions go on"
    assert log.append([Tick(11)]) == [21]
    with pytest.raises(LogGap, match="begins at position 20"):
        next(log.read(3))


def test_trim_by_size_frees_room(log: SqliteLog) -> None:
    for i in range(20):
        log.append([Events(big(i))])
    before = log.used()
    gone = log.trim(keep_from=1000, max_bytes=before // 2)
    assert 8 <= gone <= 12
    assert log.used() <= before // 2
    assert log.verify() == 20 - gone


def test_backup_is_a_log_of_its_own(log: SqliteLog, tmp_path: Path) -> None:
    log.append([Events(batch(0)), Tick(3)])
    (tmp_path / "copy").mkdir()
    assert log.backup(tmp_path / "copy" / "log.db") == 2
    log.append([Tick(4)])
    with SqliteLog(tmp_path / "copy" / "log.db") as copy:
        assert (copy.end, copy.verify()) == (2, 2)
