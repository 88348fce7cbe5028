"""Corrections: which revision of an event counts, whatever order its revisions come in.

A chain begins with the first correction of an event. The highest (revision, time, id) wins; nothing counts before the
original has come, and nothing at all when the winner is a retraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Int64
from citytwin.models.hashing import HashIndex, Keys

#: Revision, time, id, ledger row, retracted.
Member = tuple[int, int, bytes, int, bool]
_SPARE = 1024


class Chain:
    """Number of the type, the original's row (-1: not come yet), its corrections, the row that counts (-1: none)."""

    __slots__ = ("best", "kind", "live", "members", "original")

    def __init__(self, kind: int, original: int) -> None:
        self.kind, self.original = kind, original
        self.members: list[Member] = []
        self.best: Member | None = None
        self.live = original

    def add(self, member: Member) -> tuple[int, int]:
        """Take a correction in; returns as `settle`."""
        self.members.append(member)
        self.best = member if self.best is None else max(self.best, member)
        return self.settle()

    def keep(self, members: list[Member]) -> None:
        """Hold these corrections only."""
        self.members, self.best = members, max(members, default=None)

    def settle(self) -> tuple[int, int]:
        """Returns (row that ceases to count, row that begins to), -1 for none."""
        wanted = self.original
        if self.best is not None and self.original >= 0:
            wanted = -1 if self.best[4] else self.best[3]
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

    def open(self, keys: Keys, kind: int, originals: Int64) -> list[int]:
        """Numbers of the chains of these keys, begun where there is none."""
        number, fresh = self._index.intern(keys, self._next)
        self._next += int(fresh.sum())
        numbers: list[int] = number.tolist()
        for n, original in zip(numbers, originals.tolist(), strict=True):
            if n not in self._chains:
                self._chains[n] = Chain(kind, original)
        return numbers

    def forget(self, kinds: frozenset[int], before: int) -> None:
        """Forget the chains of these types whose originals are gone for good: their rows lie before this one."""
        for number in [n for n, c in self._chains.items() if c.kind in kinds and 0 <= c.original < before]:
            del self._chains[number]
        self._trim()

    def lose(self, rows: Mapping[int, set[int]]) -> None:
        """Forget corrections (rows by chain number) that have waited too long."""
        for number, gone in rows.items():
            chain = self._chains[number]
            chain.keep([m for m in chain.members if m[3] not in gone])
            if not chain.members:
                del self._chains[number]
        self._trim()

    def _trim(self) -> None:
        if len(self._index) > 2 * len(self._chains) + _SPARE:
            keys, numbers = self._index.items()
            kept = np.isin(numbers, np.fromiter(self._chains, np.int64, len(self._chains)))
            self._index.rebuild(keys.take(kept), numbers[kept])

    def waiting(self) -> Iterator[tuple[int, Chain]]:
        """Numbers and chains whose original has not come."""
        return ((n, c) for n, c in self._chains.items() if c.original < 0)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        keys, numbers = self._index.items()
        rows, ids = [], []
        for number, chain in self._chains.items():
            for revision, time, id, row, retracted in chain.members:
                rows.append((number, chain.kind, chain.original, chain.live, revision, time, row, int(retracted)))
                ids.append(id)
        sizes = np.array([len(i) for i in ids], np.int64)
        return {
            "a": keys.a, "b": keys.b, "numbers": numbers, "next": np.array([self._next]),
            "rows": np.array(rows, np.int64).reshape(len(rows), 8), "sizes": sizes,
            "ids": np.frombuffer(b"".join(ids), np.uint8).copy(),
        }  # fmt: skip

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        self._index.rebuild(Keys(state["a"], state["b"]), state["numbers"])
        self._next = int(state["next"][0])
        self._chains = {}
        blob, at = state["ids"].tobytes(), 0
        for row, size in zip(state["rows"].tolist(), state["sizes"].tolist(), strict=True):
            number, kind, original, live, revision, time, where, retracted = row
            if number not in self._chains:
                self._chains[number] = Chain(kind, original)
            chain = self._chains[number]
            chain.add((revision, time, blob[at : at + size], where, bool(retracted)))
            chain.live = live
            at += size


def by_chain(entries: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
    """Rows by chain number of (chain number, row)."""
    found: dict[int, set[int]] = {}
    for number, row in entries:
        found.setdefault(number, set()).add(row)
    return found
