"""Which of the events with one id counts: duplicates, conflicts, corrections in whatever order they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from citytwin import intake
from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import Bool, Int64, UInt64
from citytwin.models.hashing import Allocate, HashIndex, Keys
from citytwin.models.vocabulary import ALWAYS, EventType
from citytwin.twin.chains import Chains
from citytwin.twin.ledger import Ledger

_SHIFT = 40
_MASK = (1 << _SHIFT) - 1
_KEEPS = "a correction keeps the type and subject of its original"

#: Ledger rows (array indices) begin (+1) or cease (-1) to count.
Change = Callable[[EventType, Ledger, Int64, int], None]


class Revisions:
    """Ids of all kept events (key of source and id -> type and ledger row) and the chains of corrections."""

    def __init__(
        self, types: list[EventType], ledgers: Mapping[str, Ledger], change: Change, allocate: Allocate
    ) -> None:
        self._types, self._ledgers, self._change = types, ledgers, change
        self._number = {t.name: i for i, t in enumerate(types)}
        self._ids = HashIndex(1024, allocate)
        self.chains = Chains()
        self.refused: list[Rejection] = []

    def __len__(self) -> int:
        return len(self._ids)

    def _ledger(self, kind: EventType) -> Ledger:
        return self._ledgers[kind.family or kind.name]

    def intern(self, kind: EventType, keys: Keys) -> tuple[Int64, Bool]:
        """Codes of events (type and ledger row), and which of them are new; new rows follow the ledger's end."""
        return self._ids.intern(keys, self._number[kind.name] << _SHIFT | self._ledger(kind).end)

    def conflicts(self, kind: EventType, code: Int64, content: UInt64, fresh: Bool) -> Int64:
        """Rows whose id came before with other content (int64[m])."""
        ledger, known = self._ledger(kind), np.flatnonzero(~fresh)
        number, row = code[known] >> _SHIFT, code[known] & _MASK
        here = np.array([self._ledger(self._types[t]) is ledger for t in number.tolist()], np.bool_)
        kept = here & (row >= ledger.base)
        before = np.zeros(len(known), np.uint64)
        old, within = kept & (row < ledger.end), kept & (row >= ledger.end)
        before[old] = ledger.content.data[ledger.at(row[old])]
        before[within] = content[np.flatnonzero(fresh)[row[within] - ledger.end]]
        return known[np.where(kept, before != content[known], ~here)]

    def _row_of(self, keys: Keys) -> tuple[Int64, Int64]:
        """Type number and ledger row of known events, -1 and -1 of unknown ones."""
        code = self._ids.find(keys)
        return np.where(code < 0, -1, code >> _SHIFT), np.where(code < 0, -1, code & _MASK)

    def check(self, batch: EventBatch, kind: EventType, corrects: Bool, now: int, refusals: intake.Refusals) -> None:
        """Refuse corrections of another type or subject, and of originals that the horizon has passed."""
        rows = np.flatnonzero(corrects)
        number, row = self._row_of(intake.original_keys(batch, rows))
        ledger, same = self._ledger(kind), number == self._number[kind.name]
        wrong, old = np.zeros(len(batch), np.bool_), np.zeros(len(batch), np.bool_)
        wrong[rows] = (number >= 0) & ~same
        here = same & (row >= ledger.base)
        for i, at in zip(rows[here].tolist(), ledger.at(row[here]).tolist(), strict=True):
            wrong[i] |= ledger.subject.strings.bytes_at(at) != batch.subject.bytes_at(i)
            old[i] = kind.horizon_ms < ALWAYS and ledger.time.data[at] < now - kind.horizon_ms
        old[rows] |= same & (row < ledger.base)
        refusals.refuse(wrong, "bad_correction", "subject", _KEEPS)
        refusals.refuse(old, "horizon", "corrects", "the original is older than the horizon")

    def _by_type(self, keys: Keys, kind: EventType) -> Keys:
        """Keys of chains: corrections of one id by events of two types never meet (their rows are of two ledgers)."""
        return Keys(keys.a ^ np.uint64((self._number[kind.name] + 1) * 0x9E3779B97F4A7C15 & (2**64 - 1)), keys.b)

    def awaited(self, kind: EventType, keys: Keys, original: Bool) -> tuple[Int64, Int64]:
        """Originals for which corrections have come first: (rows, chain number of every row)."""
        chain = self.chains.find(self._by_type(keys, kind))
        return np.flatnonzero((chain >= 0) & original), chain

    def original_came(self, kind: EventType, ledger: Ledger, number: int, row: int) -> None:
        """An original whose corrections came first: those that fit it take effect."""
        chain = self.chains.get(number)
        at = row - ledger.base
        if chain is not None:
            chain.original = row
            subject = ledger.subject.strings.bytes_at(at)
            chain.members = [m for m in chain.members if self._fits(ledger, m[3], subject, kind)]
        if chain is not None and chain.members:
            self._swap(kind, ledger, chain.settle())
            return
        if chain is not None:
            chain.live = row
        self._change(kind, ledger, np.array([at]), 1)

    def correction_came(self, batch: EventBatch, kind: EventType, ledger: Ledger, i: int, row: int) -> None:
        """Row i of the batch is a correction, in the ledger at `row`: the highest revision wins."""
        key = intake.original_keys(batch, np.array([i]))
        number, found = self._row_of(key)
        original = int(found[0]) if number[0] == self._number[kind.name] and found[0] >= ledger.base else -1
        if original >= 0 and ledger.revision.data[original - ledger.base] > 0:
            original = -1  # what it names is a correction itself, and no original
        # the door saw originals of earlier batches only; this one may have come in the same batch
        if original >= 0 and not self._fits(ledger, row, ledger.subject.strings.bytes_at(original - ledger.base), kind):
            return
        chain = self.chains.open(self._by_type(key, kind), original)
        member = (int(batch.revision[i]), int(batch.time[i]), batch.id.bytes_at(i), row, bool(batch.retracted[i]))
        chain.members.append(member)
        self._swap(kind, ledger, chain.settle())

    def _fits(self, ledger: Ledger, row: int, subject: bytes, kind: EventType) -> bool:
        """Whether a waiting correction keeps type and subject of the original that has come; told if not."""
        at = row - ledger.base
        if at < 0:
            return False
        same_type = ledger.types[int(ledger.move.data[at])].name == kind.name
        if same_type and ledger.subject.strings.bytes_at(at) == subject:
            return True
        self.refused.append(Rejection(-1, "bad_correction", "subject", _KEEPS, id=ledger.id.strings[at]))
        return False

    def _swap(self, kind: EventType, ledger: Ledger, change: tuple[int, int]) -> None:
        for row, sign in zip(change, (-1, 1), strict=True):
            if row >= ledger.base and row >= 0:
                self._change(kind, ledger, np.array([row - ledger.base]), sign)

    def forget(self, gone: Int64) -> None:
        """Ledger rows are gone for good: so are the chains of originals among them."""
        self.chains.forget(set(gone.tolist()))

    def rebuild(self) -> None:
        """Index the ids of all ledger rows anew."""
        a: list[NDArray[np.uint64]] = []
        b: list[NDArray[np.uint64]] = []
        codes: list[Int64] = []
        for ledger in self._ledgers.values():
            numbers = np.array([self._number[t.name] for t in ledger.types], np.int64)
            a.append(ledger.key_a.data)
            b.append(ledger.key_b.data)
            rows = np.arange(ledger.base, ledger.end, dtype=np.int64)
            codes.append((numbers[ledger.move.data] << _SHIFT) | rows)
        self._ids.rebuild(Keys(np.concatenate(a), np.concatenate(b)), np.concatenate(codes))
