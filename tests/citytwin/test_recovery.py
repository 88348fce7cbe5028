"""The way back when the log no longer holds what is needed: nothing starts, and the sentence says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from citytwin.recovery import recover
from citytwin.streams.log import LogGap, SqliteLog, Tick
from citytwin.streams.snapshots import Snapshot, Snapshots
from tests.citytwin.fakes import FakeEngine


@pytest.mark.parametrize(
    ("kept", "words"), [(False, "restore the last backup"), (True, "go back to the indicators, plugins, city pack")]
)
def test_a_log_that_begins_too_late(tmp_path: Path, kept: bool, words: str) -> None:
    snapshots, engine = Snapshots(tmp_path / "snapshots"), FakeEngine()

    def other(_: Snapshot) -> FakeEngine:
        raise ValueError("other definitions")

    with SqliteLog(tmp_path / "log.db") as log:
        log.append([Tick(i) for i in range(1, 30)])
        engine.tick(9, 9)
        if kept:
            snapshots.save(engine.snapshot())
        log.trim(keep_from=6, before_ms=10**9)
        with pytest.raises(LogGap, match=words):
            recover(log, snapshots, FakeEngine, other)
