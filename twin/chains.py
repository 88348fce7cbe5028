"""Corrections: which revision of an event counts, whatever order its revisions come in.

A chain begins with the first correction of an event. The highest (revision, time, id) wins; nothing counts before the
original has come, and nothing at all when the winner is a retraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Int64
from citytwin.models.hashing import HashIndex, Keys

Member = tuple[int, int, bytes, int, bool]


class Chain:
    """The original's row (-1: not come yet), corrections (revision, time, id, row, retracted), the row that counts."""

    __slots__ = ("live", "members", "original")

    def __init__(self, original: int) -> None:
        self.original = original
        self.members: list[Member] = []
        self.live = original

    def settle(self) -> tuple[int, int]:
        """Returns (row that ceases to count, row that begins to), -1 for none."""
        winner = max(self.members)
        wanted = -1 if self.original < 0 or winner[4] else winner[3]
        before, self.live = self.live, wanted
        return (before, wanted) if before != wanted else (-1, -1)


class Chains:
    """All chains by the key (source, id) of their original."""

    def __init__(self) -> None:
        self._index = HashIndex()
        self._chains: dict[int, Chain] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._chains)

    def find(self, keys: Keys) -> Int64:
        """Chain numbers of the keys, -1 where none (int64[n])."""
        if not self._chains:
            return np.full(len(keys), -1, np.int64)
        return self._index.find(keys)

    def get(self, number: int) -> Chain | None:
        """The chain of a number, None if it was forgotten."""
        return self._chains.get(number)

    def open(self, key: Keys, original: int) -> Chain:
        """The chain of one key (a column of length 1), begun if there is none."""
        number, fresh = self._index.intern(key, self._next)
        self._next += int(fresh[0])
        return self._chains.setdefault(int(number[0]), Chain(original))

    def forget(self, gone: set[int]) -> None:
        """Forget chains whose original's row is gone for good."""
        for number in [n for n, c in self._chains.items() if c.original in gone]:
            del self._chains[number]

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        keys, numbers = self._index.items()
        rows, ids = [], []
        for number, chain in self._chains.items():
            for revision, time, id, row, retracted in chain.members:
                rows.append((number, chain.original, chain.live, revision, time, row, int(retracted)))
                ids.append(id)
        sizes = np.array([len(i) for i in ids], np.int64)
        return {
            "a": keys.a, "b": keys.b, "numbers": numbers, "next": np.array([self._next]),
            "rows": np.array(rows, np.int64).reshape(len(rows), 7), "sizes": sizes,
            "ids": np.frombuffer(b"".join(ids), np.uint8).copy(),
        }  # fmt: skip

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        self._index.rebuild(Keys(state["a"], state["b"]), state["numbers"])
        self._next = int(state["next"][0])
        self._chains = {}
        blob, at = state["ids"].tobytes(), 0
        for row, size in zip(state["rows"].tolist(), state["sizes"].tolist(), strict=True):
            number, original, live, revision, time, where, retracted = row
            chain = self._chains.setdefault(number, Chain(original))
            chain.live = live
            chain.members.append((revision, time, blob[at : at + size], where, bool(retracted)))
            at += size
