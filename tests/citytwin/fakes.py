"""A small engine for tests of what stands around the real one: counts ids once, refuses what it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.models.frame import Frame
from citytwin.streams.snapshots import Snapshot


class FakeEngine:
    """Keeps every id it was fed; subject `bad` is refused, subject `bug` is a bug of the engine."""

    def __init__(self) -> None:
        self.now = self.position = self.k = 0
        self.ids: dict[str, int] = {}
        self.frames: list[tuple[int, int]] = []

    def feed(self, batch: EventBatch, position: int) -> Changes:
        """Take ids in."""
        self.position = position
        subjects, ids = batch.subject.tolist(), batch.id.tolist()
        if "bug" in subjects:
            raise RuntimeError("a bug")
        bad = [i for i, s in enumerate(subjects) if s == "bad"]
        good = [x for x, s in zip(ids, subjects, strict=True) if s != "bad"]
        new = [x for x in dict.fromkeys(good) if x not in self.ids]
        self.ids.update(dict.fromkeys(new, position))
        rejected = tuple(Rejection(i, "unknown_subject", "subject", "bad", b"bad", "test", ids[i]) for i in bad)
        return Changes(len(new), len(good) - len(new), 0, 0, rejected)

    def tick(self, now: int, position: int) -> Frame:
        """Move the clock."""
        if "bug in the tick" in self.ids:
            raise RuntimeError("a bug")
        self.now, self.position, self.k = max(now, self.now), position, self.k + 1
        self.frames.append((now, len(self.ids)))
        return Frame(self.k, self.now, position, sys={"ids": len(self.ids)})

    def define(self, name: str, document: Mapping[str, Any], position: int) -> None:
        """Definitions are nothing to it."""
        self.position = position

    def next_due(self) -> int:
        """The next full minute."""
        return (self.now // 60_000 + 1) * 60_000

    def snapshot(self) -> Snapshot:
        """All ids."""
        meta: Mapping[str, Any] = {"ids": self.ids, "now": self.now, "k": self.k}
        return Snapshot(self.position, {"n": np.array([len(self.ids)])}, dict(meta, ids=dict(self.ids)))

    @classmethod
    def restore(cls, snapshot: Snapshot) -> FakeEngine:
        """The engine of a snapshot."""
        engine = cls()
        engine.position, engine.ids = snapshot.position, dict(snapshot.meta["ids"])
        engine.now, engine.k = snapshot.meta["now"], snapshot.meta["k"]
        return engine

    def state_hash(self) -> str:
        """Hash of ids and clock."""
        return hashlib.blake2b(repr((sorted(self.ids.items()), self.now, self.k)).encode(), digest_size=8).hexdigest()
