"""What every process of a cluster is told: where Kafka is, the city's topics and epoch, where checkpoints lie."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from citytwin.indicators.registry import Registry
from citytwin.streams.brokers import Cluster


def wall_ms() -> int:
    """The time now (ms UTC)."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a member. `shards` is the number of partitions of the events, fixed for an epoch.

    `checkpoint_s`: how often a shard writes one; `keep`: how many of each are kept. `tick_ms`: how often the clock
    ticks; `patience_ms`: how long it waits for parts before a frame goes out provisional; `takeover_ms`: how long the
    clock may be silent before a standby takes over. `key_every`: frames between two keyframes. `hashes`: final frames
    carry the hash of all state (a few ms each). `automatic`: the desk says by itself what follows. `now_ms`: the
    clock of the clock.
    """

    cluster: Cluster
    prefix: str
    shards: int
    folder: Path
    city: Callable[[], Any]
    registry: Callable[[], Registry]
    instance: str = ""
    epoch: str = ""
    checkpoint_s: float = 20.0
    keep: int = 3
    tick_ms: int = 1000
    patience_ms: int = 1000
    takeover_ms: int = 2500
    key_every: int = 60
    hashes: bool = False
    automatic: bool = True
    now_ms: Callable[[], int] = field(default=wall_ms)

    def topic(self, name: str) -> str:
        """A topic of the city by its last name."""
        return f"{self.prefix}.{name}"

    def place(self, name: str) -> Path:
        """The folder of one member's checkpoints."""
        return self.folder / self.prefix / name
