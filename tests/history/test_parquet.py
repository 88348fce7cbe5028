"""The embedded history: files by the hour that others can read at any moment, and that no crash leaves in halves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from citytwin.streams import parquet
from citytwin.streams.history import BEAT, HistoryError, Rows
from citytwin.streams.parquet import ParquetStore
from tests.history.makers import HOUR, T0, beat, rows, told

MINUTE = 60_000
LATER = T0 + 100 * HOUR


def store(folder: Path, **given: int) -> ParquetStore:
    """A store that flushes when it is told to, at a time when all its hours are over."""
    return ParquetStore(folder, **{"flush_ms": 10**9, **given}, now_ms=lambda: LATER)


def files(folder: Path) -> list[str]:
    """Files of the history, by name."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_series_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = store(tmp_path / "h")
    history.write(rows((T0 + 1, "a", "42", 1.5), (T0 + 2, "a", "4201", 9.0), (T0 + 3, "b", "42", 7.0)))
    history.flush()
    history.write(rows((T0 + HOUR, "a", "42", float("nan")), (T0 + HOUR + 5, "a", "42", 2.5)))
    expected = [(T0 + 1, 1.5), (T0 + HOUR, None), (T0 + HOUR + 5, 2.5)]
    assert told(history.read("a", "42", T0, T0 + 2 * HOUR, 0)) == expected  # from a file and from memory
    history.close()
    again = store(tmp_path / "h")
    assert told(again.read("a", "42", T0, T0 + 2 * HOUR, 0)) == expected
    assert told(again.read("a", "42", T0 + 2, T0 + HOUR + 5, 0)) == expected[1:2]
    assert told(again.read("nobody", "42", T0, T0 + HOUR, 0)) == []
    assert again.read("a", "42", T0, T0 + 2 * HOUR, 0).quality.tolist() == [0, 4, 0]


def test_steps_hold_what_was_told_before_and_leave_out_when_nobody_watched(tmp_path: Path) -> None:
    history = store(tmp_path / "h")
    history.write(rows((T0, "a", "42", 1.0)))
    history.write(beat(T0, whole=True))
    for minute in range(1, 31):
        history.write(beat(T0 + minute * MINUTE))
    history.write(rows((T0 + 15 * MINUTE, "a", "42", 2.0)))
    # half an hour without anybody; then a whole picture that has no value of `a`
    history.write(beat(T0 + HOUR, whole=True))
    history.write(rows((T0 + HOUR + 10 * MINUTE, "a", "42", 3.0)))
    history.write(beat(T0 + HOUR + 10 * MINUTE))
    steps = told(history.read("a", "42", T0, T0 + 2 * HOUR, 10 * MINUTE))
    held = [(T0, 1.0), (T0 + 10 * MINUTE, 2.0), (T0 + 20 * MINUTE, 2.0), (T0 + 30 * MINUTE, 2.0)]
    assert steps == [*held, (T0 + HOUR + 10 * MINUTE, 3.0)]
    # a read that begins within an hour looks back for the picture before it
    assert told(history.read("a", "42", T0 + 25 * MINUTE, T0 + 31 * MINUTE, MINUTE))[0] == (T0 + 25 * MINUTE, 2.0)


def test_hours_that_are_over_become_one_sorted_file(tmp_path: Path) -> None:
    folder = tmp_path / "h"
    history = store(folder)
    for n in range(5):
        history.write(rows((T0 + n, "b", "42", float(n)), (T0 + n, "a", "42", float(n))))
        history.write(rows((T0 + n, "a", "42", -float(n))))  # said again: the later one counts
        history.flush()
    history.write(rows((T0 + HOUR, "a", "42", 5.0)))
    history.flush()
    assert len(files(folder)) == 6
    history.work()
    hour = "date=2026-03-01/hour=08"
    assert files(folder) == [f"{hour}/part-000005.parquet", "date=2026-03-01/hour=09/part-000001.parquet"]
    frame = pd.read_parquet(folder / hour)
    assert frame["indicator"].astype(str).tolist() == ["a"] * 5 + ["b"] * 5
    assert frame["value"].tolist() == [-0.0, -1.0, -2.0, -3.0, -4.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    assert not (tmp_path / "h.merge").exists()
    history.write(rows((T0 + 9, "a", "42", 9.0)))  # late: the hour gets a second file, and is merged again
    history.close()
    again = store(folder)
    again.work()
    assert len(files(folder)) == 2
    assert told(again.read("a", "42", T0 + 4, T0 + HOUR, 0)) == [(T0 + 4, -4.0), (T0 + 9, 9.0)]


def test_where_folders_cannot_change_places_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    test_hours_that_are_over_become_one_sorted_file(tmp_path)


def test_old_days_go_and_a_clock_that_is_ahead_takes_none(tmp_path: Path) -> None:
    history = ParquetStore(tmp_path / "h", flush_ms=10**9, keep_days=2, now_ms=lambda: T0 + 72 * HOUR)
    for day in range(4):
        history.write(rows((T0 + day * 24 * HOUR, "a", "42", 1.0)))
    history.write(rows((T0 + 365 * 24 * HOUR, "a", "42", 1.0)))
    history.flush()
    history.work()
    assert [p.name for p in sorted((tmp_path / "h").iterdir())] == [
        "date=2026-03-02", "date=2026-03-03", "date=2026-03-04", "date=2027-03-01",
    ]  # fmt: skip


def test_what_a_crash_leaves_is_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "h"
    history = store(folder)
    history.write(rows((T0, "a", "42", 1.0)))
    history.close()
    hour = folder / "date=2026-03-01" / "hour=08"
    (hour / ".part-000002.parquet.tmp").write_bytes(b"PAR1 half")
    (tmp_path / "h.merge").mkdir()
    (folder / "date=somebody").mkdir()
    again = store(folder)
    assert told(again.read("a", "42", T0, T0 + 1, 0)) == [(T0, 1.0)]
    assert [p.name for p in hour.iterdir()] == ["part-000001.parquet"]
    assert not (tmp_path / "h.merge").exists()


def test_a_full_disk_is_waited_for_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = store(tmp_path / "h", rows_max=3)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "_write_file", full)
        for n in range(5):
            history.write(rows((T0 + n, "a", "42", float(n))))
            history.flush()
        standing = history.standing
        assert "no room left" in standing.trouble
        assert standing.errors >= 5
        assert standing.waiting + standing.dropped == 5
        assert standing.waiting <= 3
    history.flush()
    assert history.standing.trouble == ""
    assert told(history.read("a", "42", T0, T0 + 9, 0))[-1] == (T0 + 4, 4.0)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    history = store(tmp_path / "h")
    history.write(rows((T0, "a", "42", 1.0)))
    history.flush()
    history.write(rows((T0 + 1, "a", "42", 1.0)))
    history.write(rows((T0 + HOUR, "a", "42", 1.0), (T0 + HOUR + 1, "a", "42", 1.0)))
    history.flush()
    history.write(rows((T0 + HOUR, "a", "42", 2.0)))
    history.flush()
    history.write(rows((T0 + 2 * HOUR, "a", "42", 1.0)))
    history.flush()
    min((tmp_path / "h").rglob("*.parquet")).write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(HistoryError, match=r"part-00000\d.parquet cannot be read"):
        history.read("a", "42", T0, T0 + 1, 0)
    history.work()
    history.work()  # the hour after it is merged all the same
    assert history.standing.errors == 1
    assert told(history.read("a", "42", T0 + HOUR, T0 + 2 * HOUR, 0)) == [(T0 + HOUR, 2.0), (T0 + HOUR + 1, 1.0)]
    assert len(files(tmp_path / "h")) == 4


def numbered(first: int, count: int) -> Rows:
    """Rows that count: value n at n seconds after T0."""
    n = np.arange(first, first + count)
    made = rows(*((T0 + int(i) * 1000, "n", "42", float(i)) for i in n))
    return Rows.concat([made, beat(T0 + int(n[-1]) * 1000)])


def test_pandas_and_duckdb_read_it_while_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "h"
    history = store(folder)
    history.write(numbered(0, 100))
    history.flush()
    done, wrong = threading.Event(), list[str]()

    def write() -> None:
        for n in range(100, 12_000, 100):
            history.write(numbered(n, 100))
            history.flush()
            history.work()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads, gone = 0, 0
    while not done.is_set() or reads < 4:
        try:
            if reads % 2:
                frame = pd.read_parquet(folder)
                seen = np.sort(frame.loc[frame["indicator"] == "n", "value"].to_numpy())
            else:
                query = f"SELECT value FROM '{folder}/*/*/*.parquet' WHERE indicator = 'n' ORDER BY value"
                seen = duckdb.sql(query).fetchnumpy()["value"]
        except (FileNotFoundError, duckdb.IOException):
            gone += 1  # an hour became one file between the listing and the opening: read again
            continue
        reads += 1
        if seen.tolist() != list(range(len(seen))) or len(seen) % 100:
            wrong.append(f"{len(seen)} rows")
    writer.join()
    assert not wrong
    assert reads >= 4
    assert gone <= reads + 4
    types = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{folder}/*/*/*.parquet', hive_partitioning=true)")
    assert [row[0] for row in types.fetchall()] == [
        "time", "indicator", "scope", "level", "value", "quality", "date", "hour",
    ]  # fmt: skip


_CHILD = """
import sys
from pathlib import Path
from tests.history.test_parquet import numbered, store
history = store(Path(sys.argv[1]))
n = 0
while True:
    history.write(numbered(n, 100))
    history.flush()
    history.work()
    n += 100
    print(n, flush=True)
"""


def test_after_a_kill_the_files_are_whole(tmp_path: Path) -> None:
    folder = tmp_path / "h"
    for round in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(folder)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        said = 0
        while said < 4_000 + round * 777:
            said = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        rest = [int(x) for x in child.stdout.read().split("\n") if x]
        child.wait()
        child.stdout.close()
        history = store(folder)
        points = history.read("n", "42", T0, T0 + 10**9, 0)
        assert points.value.tolist() == list(range(len(points.value)))
        assert len(points.value) >= max([said, *rest])
        assert not [f for f in files(folder) if not f.endswith(".parquet")]
        assert BEAT in set(pd.read_parquet(folder)["indicator"])
