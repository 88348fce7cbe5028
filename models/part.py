"""What a shard says at a marker: the absolute aggregates that changed since the last one, in columns.

A part is merged once for each (shard, k). All of it but the keys of distinct counts is absolute, so that who merges
never adds up what it heard twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Coded, Float64, Int32, Int64, UInt64

Columns = tuple[NDArray[Any], ...]


class Marker(msgspec.Struct, frozen=True):
    """The end of segment `k` of every partition: the time of its tick (ms UTC, monotone), registers up to an offset.

    What the registers hold before offset `registers` is in force at this tick. `epoch` is the city's: a new number of
    shards begins another.
    """

    k: int
    now: int
    registers: int = 0
    epoch: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Bunch:
    """Columns of several components one after the other: `counts[i]` rows belong to `keys[i]`."""

    keys: tuple[str, ...] = ()
    counts: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    columns: Columns = ()

    @classmethod
    def of(cls, parts: Sequence[tuple[str, Columns]]) -> Bunch:
        """Join the columns of components; those without a row are left out."""
        some = [(k, c) for k, c in parts if len(c[0])]
        if not some:
            return cls()
        joined = tuple(np.concatenate(c) for c in zip(*(c for _, c in some), strict=True))
        return cls(tuple(k for k, _ in some), np.array([len(c[0]) for _, c in some], np.int64), joined)

    def __iter__(self) -> Iterator[tuple[str, slice]]:
        start = 0
        for key, count in zip(self.keys, self.counts.tolist(), strict=True):
            yield key, slice(start, start + count)
            start += count

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0


class Told(NamedTuple):
    """Rows that a class form asked for: what orders them, their scope and entity rows, columns by name."""

    key_a: UInt64
    key_b: UInt64
    scope: Int32
    entity: Int32
    columns: Mapping[str, Float64 | Coded]


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """Aggregates of one shard that changed; scope, pane and entity numbers are the same in all shards.

    sums, extremes: (scope row int64, value int64), a MISSING extreme is none. histograms: (scope * SPAN + bucket,
    count). keys: (key a, key b uint64, pane, scope, +1 or -1). panes: (pane, group, value). rows: whole each time.
    """

    sums: Bunch = field(default_factory=Bunch)
    extremes: Bunch = field(default_factory=Bunch)
    histograms: Bunch = field(default_factory=Bunch)
    keys: Bunch = field(default_factory=Bunch)
    panes: Bunch = field(default_factory=Bunch)
    rows: Mapping[str, Told] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What a shard says at marker `k` of the time `now` (ms UTC): its share, and plain facts for pages and quality.

    `facts`: JSON; see citytwin.cluster.shard. `newest`: columns of the newest readings that changed.
    """

    shard: int
    k: int
    now: int
    share: Share
    facts: Mapping[str, Any] = field(default_factory=dict)
    newest: Mapping[str, NDArray[Any] | Coded] = field(default_factory=dict)
