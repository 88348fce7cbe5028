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
from citytwin.twin.chains import Chains, by_chain
from citytwin.twin.ledger import Ledger
from citytwin.twin.waiting import Entry, Waiting

_SHIFT = 40
_MASK = (1 << _SHIFT) - 1
_KEEPS = "a correction keeps the type and subject of its original"
#: Corrections without an original that may wait, of all types that are kept always; beyond it the oldest are given up.
WAITING_MAX = 100_000
#: Of those whose time is over at most so many are given up in one tick, the others in the next ones.
GIVEN_UP_MAX = 2_000
_LATE = "its original did not come within the horizon"
_MANY = f"its original did not come, and {WAITING_MAX} later corrections wait for theirs"

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
        self._timed, self._kept = Waiting(), Waiting()
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

    def knows(self, keys: Keys) -> Bool:
        """Which events came before."""
        known: Bool = self._ids.find(keys) >= 0
        return known

    def find(self, key: Keys) -> tuple[EventType, int] | None:
        """Type and ledger index of one kept event by its key; None for one that is not there."""
        number, row = (int(v[0]) for v in self._row_of(key))
        kind = self._types[number] if number >= 0 else None
        if kind is None or row < self._ledger(kind).base:
            return None
        return kind, row - self._ledger(kind).base

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

    def settle(
        self, batch: EventBatch, kind: EventType, rows: Int64, awaited: Int64, chain: Int64, corrects: Bool
    ) -> None:
        """The batch lies in the ledger at `rows`: what of its corrections counts, and what they replace, told once.

        However many corrections there are, each table and aggregate hears of them in two calls.
        """
        ledger, net = self._ledger(kind), dict[int, int]()
        for i in awaited.tolist():
            self._original_came(kind, ledger, int(chain[i]), int(rows[i]), net)
        at = np.flatnonzero(corrects)
        if len(at):
            self._corrections_came(batch.take(at), kind, ledger, rows[at], net)
        for sign in (-1, 1):
            index = sorted(row - ledger.base for row, s in net.items() if s == sign and row >= ledger.base)
            self._change(kind, ledger, np.array(index, np.int64), sign)

    def _original_came(self, kind: EventType, ledger: Ledger, number: int, row: int, net: dict[int, int]) -> None:
        """An original whose corrections came first: those that fit it take effect."""
        chain = self.chains.get(number)
        if chain is None:
            net[row] = net.get(row, 0) + 1
            return
        subject = ledger.subject.strings.bytes_at(row - ledger.base)
        for member in chain.members if chain.original < 0 else ():
            self._queue(kind).met(chain.kind, member[3])
        chain.original = row
        chain.keep([m for m in chain.members if self._fits(ledger, m[3], subject, kind)])
        _note(net, chain.settle())

    def _corrections_came(
        self, batch: EventBatch, kind: EventType, ledger: Ledger, rows: Int64, net: dict[int, int]
    ) -> None:
        """A batch of corrections, in the ledger at `rows`: the highest revision wins."""
        keys, number = intake.original_keys(batch, np.arange(len(batch))), self._number[kind.name]
        found_number, found = self._row_of(keys)
        known = (found_number == number) & (found >= ledger.base)
        # what names a correction itself names no original
        known &= ledger.revision.data[np.where(known, found - ledger.base, 0)] == 0
        original = np.where(known, found, -1)
        fits = np.ones(len(batch), np.bool_)
        subjects = ledger.subject.strings
        for i in np.flatnonzero(known).tolist():
            # the door saw originals of earlier batches only; this one may have come in the same batch
            fits[i] = self._fits(ledger, int(rows[i]), subjects.bytes_at(int(original[i]) - ledger.base), kind)
        at = np.flatnonzero(fits)
        numbers = self.chains.open(self._by_type(keys.take(at), kind), number, original[at])
        columns = (c[at].tolist() for c in (batch.revision, batch.time, rows, batch.retracted))
        for n, i, revision, time, row, retracted in zip(numbers, at.tolist(), *columns, strict=True):
            chain = self.chains.get(n)
            assert chain is not None
            _note(net, chain.add((revision, time, batch.id.bytes_at(i), row, retracted)))
            if chain.original < 0:
                self._wait(kind, time, row, n)

    def _queue(self, kind: EventType) -> Waiting:
        return self._kept if kind.horizon_ms >= ALWAYS else self._timed

    def _wait(self, kind: EventType, time: int, row: int, chain: int) -> None:
        when = time if kind.horizon_ms >= ALWAYS else time + kind.horizon_ms
        self._queue(kind).add(Entry(when, row, self._number[kind.name], chain))

    def give_up(self, now: int) -> None:
        """Forget corrections whose originals did not come: of timed types after the horizon, of others the oldest."""
        lost = [(e, _LATE) for e in self._timed.before(now, GIVEN_UP_MAX)]
        lost += [(e, _MANY) for e in self._kept.beyond(WAITING_MAX, GIVEN_UP_MAX)]
        if not lost:
            return
        for entry, why in lost:
            ledger = self._ledger(self._types[entry.kind])
            at = entry.row - ledger.base
            head, id = (ledger.subject.strings[at].encode(), ledger.id.strings[at]) if at >= 0 else (b"", "")
            source = ledger.sources.names[int(ledger.source.data[at])] if at >= 0 else ""
            self.refused.append(Rejection(-1, "horizon", "corrects", why, head, source, id))
        self.chains.lose(by_chain((e.chain, e.row) for e, _ in lost))

    def load(self) -> None:
        """After the chains were restored: the queues of those that wait."""
        for number, chain in self.chains.waiting():
            for _, time, _, row, _ in chain.members:
                self._wait(self._types[chain.kind], time, row, number)

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

    def forget(self, ledger: Ledger, before: int) -> None:
        """Ledger rows before this one are gone for good: so are the chains of originals among them."""
        self.chains.forget(frozenset(self._number[t.name] for t in ledger.types), before)

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


def _note(net: dict[int, int], change: tuple[int, int]) -> None:
    """Add what one step changed: a row that ceased and one that began to count, -1 for none."""
    for row, sign in zip(change, (-1, 1), strict=True):
        if row >= 0:
            net[row] = net.get(row, 0) + sign
