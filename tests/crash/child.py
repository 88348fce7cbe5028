"""A city that is killed: takes batches in on a real log as fast as it can and tells its parent what was acknowledged.

python -m tests.crash.child FOLDER BASE_MS FIRST
"""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from citytwin.app import Node
from citytwin.clock import SystemClock
from citytwin.config import Config, Engine, Ingest
from citytwin.indicators.registry import builtin
from citytwin.models.batch import EventBatch
from citytwin.submissions import Busy
from citytwin.testing import START_MS, TinyCity, random_events

KINDS = ("obs", "obs", "case.reported", "case.filed", "obs")


class Shifted(SystemClock):
    """The machine's clock, shifted so that `base_ms` is the start of the tiny city's events."""

    def __init__(self, base_ms: int) -> None:
        self._shift_ms = START_MS - base_ms

    def now_ms(self) -> int:
        """The time now (ms UTC)."""
        return super().now_ms() + self._shift_ms


def batch(number: int, city: TinyCity) -> EventBatch:
    """Batch of that number: the same whoever makes it, so that it can be sent again."""
    rng = np.random.default_rng(number)
    kind = city.vocabulary.types[KINDS[number % len(KINDS)]]
    return random_events(city, kind, 40, rng, prefix=f"b{number}-")


def open_city(folder: Path, base_ms: int) -> Node:
    """The city on that folder, with snapshots every half second."""
    config = Config(engine=Engine(tick_ms=100, snapshot_minutes=0.5 / 60), ingest=Ingest(queue_events=4000))
    load: Any = TinyCity
    return Node(config, folder=folder, load=load, registry=builtin, clock=Shifted(base_ms))


def main(folder: Path, base_ms: int, number: int) -> None:
    """Feed until killed; one line `ack N` for each batch that was acknowledged."""
    city = TinyCity()
    node = open_city(folder, base_ms)
    node.start()
    node.first_frame.wait()
    under_way: deque[tuple[int, Future[Any]]] = deque()
    print("up", flush=True)
    while True:
        try:
            under_way.append((number, node.runtime.submit([batch(number, city)])))
        except Busy:
            pass
        else:
            number += 1
        while under_way and (under_way[0][1].done() or len(under_way) > 20):
            done, future = under_way.popleft()
            future.result()
            print(f"ack {done}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
