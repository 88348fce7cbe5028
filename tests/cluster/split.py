"""A city played in shards without a broker: batches routed, parts through their bytes, merged; and in one engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from citytwin.cluster.merge import Merge
from citytwin.cluster.shard import Register, Shard
from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.frame import Frame
from citytwin.models.part import Marker
from citytwin.models.shards import DESK, route
from citytwin.streams.parts import decode_part, encode_part
from citytwin.streams.records import Definition, Events

Cities = Any


class Split:
    """One engine and a city in shards, fed the same partitions segment by segment."""

    def __init__(self, city: Cities, registry: Registry, shards: int) -> None:
        """`city`: makes a new one each time it is called."""
        self.city, self.registry, self.shards = city, registry, shards
        self.alone = Engine(city(), registry)
        self.merge = Merge(city(), registry, shards)
        self.parts = {s: Shard(city(), registry, s, shards, digests=True) for s in (DESK, *range(shards))}
        self.types = self.alone.vocabulary.types
        self.segment: dict[int, list[EventBatch]] = {s: [] for s in self.parts}
        self.registers: list[Register] = []
        self.position = 0

    def put(self, batches: Iterable[EventBatch]) -> None:
        """Route batches to the open segment of their partitions."""
        for batch in batches:
            kind = self.types[batch.type]
            if kind.register is not None:
                self.registers.append(Events(batch))
                continue
            where = route(batch, kind, self.shards)
            for shard in np.unique(where).tolist():
                self.segment[shard].append(batch.take(np.flatnonzero(where == shard)))

    def mark(self, now: int) -> tuple[Frame, Frame]:
        """End the segment everywhere: the frames of the one engine and of the merge."""
        self.position += 1
        marker = Marker(self.alone.k + 1, now, self.position)
        registers, self.registers = self.registers, []
        for shard, batches in self.segment.items():
            for batch in batches:
                self.alone.feed(batch, self.position)
                self.parts[shard].feed(batch, self.position)
            self.segment[shard] = []
            part = self.parts[shard].mark(marker, registers, self.position).part
            assert self.merge.put(decode_part(encode_part(part)))
            assert not self.merge.put(part)
        for record in registers:
            if isinstance(record, Events):
                self.alone.feed(record.batch, self.position)
            elif isinstance(record, Definition):
                self.alone.define(record.name, record.document, self.position)
        assert self.merge.waits_for == []
        return self.alone.tick(now, self.position), self.merge.close(marker, registers)

    def restart(self, shard: int) -> None:
        """Let a shard come back from a checkpoint of now."""
        held = self.parts[shard].snapshot()
        self.parts[shard] = Shard.restore(
            self.city(), self.registry, held.arrays, held.meta, shard, self.shards, digests=True
        )

    def restart_merge(self) -> None:
        """Let the merge come back from a checkpoint of now."""
        held = self.merge.snapshot()
        self.merge = Merge.restore(self.city(), self.registry, held.arrays, held.meta, self.shards)

    def differences(self) -> list[str]:
        """Indicators whose values or qualities differ between the two."""
        out = []
        for id, line in self.alone.board.lines.items():
            other = self.merge.engine.board.lines[id]
            for name in ("value", "closed", "quality", "fresh", "expected", "scale"):
                a, b = getattr(line, name), getattr(other, name)
                odd = np.flatnonzero(~((a == b) | (np.isnan(a) & np.isnan(b))))
                if len(odd):
                    out.append(f"{id}.{name} at {odd[:4].tolist()}: {a[odd[:4]]} alone, {b[odd[:4]]} merged")
        if self.alone.cases_digest() != self.merge.engine.cases_digest():
            out.append("the cases")
        return out
