"""kill -9 at random under load: nothing acknowledged is lost, nothing counts twice, the state is the clean run's."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

from citytwin.engine import Engine
from citytwin.indicators.registry import builtin
from citytwin.recovery import apply
from citytwin.streams.log import Events, SqliteLog, Tick
from citytwin.testing import TinyCity
from tests.crash.child import batch, open_city

ROUNDS = 50 if os.environ.get("CITYTWIN_TEST_PROVE") else 5
SEED = 20261125


class Victim:
    """One life of the city: started, read from, killed after some of its acknowledgements."""

    def __init__(self, folder: Path, base_ms: int, first: int) -> None:
        command = [sys.executable, "-m", "tests.crash.child", str(folder), str(base_ms), str(first)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.acknowledged: list[int] = []

    def live(self, acks: int, grace_s: float) -> None:
        """Read until so many batches were acknowledged and some more time has gone, then kill -9."""
        assert self.process.stdout is not None
        with self.process.stdout as out:
            self._read(out, acks, grace_s)
        self.process.wait()
        assert self.process.returncode == -9, "the city ended by itself"

    def _read(self, out: IO[str], acks: int, grace_s: float) -> None:
        killer: threading.Timer | None = None
        for line in out:
            word, _, number = line.partition(" ")
            if word == "ack" and line.endswith("\n"):
                self.acknowledged.append(int(number))
            if len(self.acknowledged) >= acks and killer is None:
                killer = threading.Timer(grace_s, self.process.kill)
                killer.start()
        out.close()
        self.process.wait()
        assert self.process.returncode == -9, "the city ended by itself"


def clean_run(folder: Path) -> Engine:
    """The state of a run without crashes over the same log and ticks."""
    city: Any = TinyCity()
    engine = Engine(city, builtin())
    with SqliteLog(folder / "log.db") as log:
        for position, record in log.read():
            apply(engine, position, record, lambda _p, _r: None)
    return engine


def test_killed_again_and_again(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    base_ms, acknowledged = time.time_ns() // 1_000_000, set[int]()
    for _ in range(ROUNDS):
        victim = Victim(tmp_path, base_ms, max(acknowledged, default=-1) + 1)
        victim.live(rng.randint(1, 60), rng.random() * 0.6)
        acknowledged |= set(victim.acknowledged)
    assert acknowledged == set(range(max(acknowledged) + 1)), f"seed {SEED}"

    with open_city(tmp_path, base_ms) as node:
        recovered = node.engine
        state, frame, accepted = recovered.state_hash(), recovered.frame_hash(), recovered.stats.accepted
        letters = Counter(x.place for x in node.letters.list(state=None, limit=100_000))
        rows = len({(x.place, x.row) for x in node.letters.list(state=None, limit=100_000)})
        assert sum(letters.values()) == rows, "no dead letter is kept twice"
    clean = clean_run(tmp_path)
    assert (clean.state_hash(), clean.frame_hash()) == (state, frame), f"seed {SEED}"
    assert clean.stats.accepted == accepted

    kept: set[tuple[str, str]] = set()
    last_tick = 0
    with SqliteLog(tmp_path / "log.db") as log:
        for _, record in log.read():
            if isinstance(record, Tick):
                assert record.now > last_tick, "the clock of the log never goes back"
                last_tick = record.now
            elif isinstance(record, Events):
                kept |= set(zip(record.batch.source.tolist(), record.batch.id.tolist(), strict=True))  # type: ignore[arg-type]
    city = TinyCity()
    for number in acknowledged:
        sent = batch(number, city)
        assert set(zip(sent.source.tolist(), sent.id.tolist(), strict=True)) <= kept, f"batch {number} is lost"
