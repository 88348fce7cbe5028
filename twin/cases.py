"""Cases: the fold of the family `case` by the table of models.lifecycle, free of the order of arrival.

A case whose events changed is folded again from all its live events in the order (time, source, id, revision); a case
has few events, so that is cheap, and late, corrected and retracted moves need no rule of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int32, Int64, Strings, physical, starts_with, unique
from citytwin.models.desk.event import DRILL, Event
from citytwin.models.desk.reports import RULE_CHANNEL, Account, account
from citytwin.models.hashing import HashIndex, Keys, fold, hash_strings
from citytwin.models.lifecycle import (
    COUNTED,
    DONE,
    EVENTS_MAX,
    HELD,
    KEEPS,
    MOVES,
    OPEN,
    STATES,
    TERMINAL,
    WORDS,
    WORDS_MAX,
    move_codes,
)
from citytwin.models.vocabulary import Kind
from citytwin.twin.callers import Callers
from citytwin.twin.casefold import COLUMNS, STATE, fold_cases, sorted_rows
from citytwin.twin.caselinks import CaseLinks
from citytwin.twin.growable import Grow, GrowText
from citytwin.twin.ledger import Ledger, hang
from citytwin.twin.ledgerevents import event_at
from citytwin.twin.tables import Dirty

_S = len(STATES)
#: How long a move may wait for the one before it until it is told as illegal.
GRACE_MS = 60_000


class CaseTable:
    """All cases as a table: `<state>_at` times, due_at, deferred_ms, state, category, channel and so on by column."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._index = HashIndex()
        self.key_a, self.key_b = Grow(np.uint64), Grow(np.uint64)
        self.code = GrowText()
        self._head, self._prev, self._bad = Grow(np.int64, -1), Grow(np.int64, -1), Grow(np.bool_, False)
        wanted = (Kind.CODE, Kind.FLAG, Kind.INTEGER, Kind.NUMBER)
        self._fields = [f for f, s in ledger.fields.items() if s.kind in wanted]
        self._told_of = Grow(np.int64)
        self._out = np.full((64, len(COLUMNS)), MISSING, np.int64)
        self._picked = np.full((64, len(self._fields)), -1, np.int64)
        #: Scope, event with a position, event that merged it, of each case; see `fold_cases`.
        self._spots = np.full((64, 3), -1, np.int64)
        self._lon, self._lat = Grow(np.float64, np.nan), Grow(np.float64, np.nan)
        self._rev = Grow(np.int64)
        self._drill = Grow(np.bool_, False)
        #: Events of the case that has the most.
        self._most = 0
        self._links = CaseLinks()
        self.callers = Callers(ledger)
        self.todo, self.dirty = Dirty(), Dirty()
        self._told = Grow(np.bool_, False)
        self._suspect, self._suspect_since = False, dict[int, int]()
        self.n = 0

    def slots(self, keys: Keys, codes: Strings) -> Int32:
        """Rows of the cases, new ones for unknown codes (int32[n])."""
        slot, fresh = self._index.intern(keys, self.n)
        if fresh.any():
            self.key_a.extend(keys.a[fresh])
            self.key_b.extend(keys.b[fresh])
            self._name(codes.take(fresh))
            self.n = self.key_a.n
            for column in (self._head, self._lon, self._lat, self._rev):
                column.resize(self.n)
            self._room()
            # a case of which only a waiting correction is known has no move yet: it is folded to "new"
            self.todo.mark(slot[fresh])
        return slot.astype(np.int32)

    def _name(self, codes: Strings) -> None:
        self.code.extend(codes)
        self._drill.extend(starts_with(codes, DRILL.encode()))

    def _room(self) -> None:
        if self.n > len(self._out):
            more = 1 << (self.n - 1).bit_length()
            for name, fill in (("_out", MISSING), ("_picked", -1), ("_spots", -1)):
                old = getattr(self, name)
                new = np.full((more, *old.shape[1:]), fill, old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)

    def link(self, index: Int64) -> None:
        """Hang new ledger rows (array indices, in order) on their cases."""
        for column in (self._prev, self._bad, self._told):
            column.resize(self._ledger.end)
        self._told_of.extend(self._ledger.told(self._fields, index))
        hang(index, self._ledger.slot.data, self._head.data, self._prev.data)
        slot = self._ledger.slot.data[index]
        np.add.at(self._rev.data, slot, 1)
        self._most = max(self._most, int(self._rev.data[slot].max(initial=0)))

    def apply(self, index: Int64, sign: int) -> None:
        """Ledger rows began or ceased to count: their cases are folded again at the next `settle`."""
        del sign
        self.todo.mark(unique(self._ledger.slot.data[index].astype(np.int64)))

    def settle(self) -> Int64:
        """Fold the cases whose events changed; returns them."""
        slots = self.todo.take()
        if len(slots) == 0:
            return slots
        ledger = self._ledger

        def column(name: str) -> NDArray[Any]:
            held = ledger.columns[name]
            assert isinstance(held, Grow)
            return held.data

        moves = move_codes(ledger.move.data, column("passed"), column("closed_at"))
        times = tuple(column(f) for f in ("due_at", "until", "created_at", "closed_at"))
        links = (self._head.data, self._prev.data, ledger.live.data)
        fold_cases(
            slots, links, ledger.order_columns(), (MOVES, KEEPS), moves, times, self._told_of.data,
            (ledger.scope.data, ledger.lon.data), self._out, self._picked, self._spots, self._bad.data,
        )  # fmt: skip
        self._link(slots)
        self._suspect = True
        self._locate(slots)
        self.dirty.mark(slots)
        return slots

    def _link(self, slots: Int64) -> None:
        into = self._ledger.columns["into"]
        assert isinstance(into, GrowText)
        self._links.settle(slots, self._spots[slots, 2], into.strings)

    def _locate(self, slots: Int64) -> None:
        spot = self._spots[slots, 1]
        for mine, theirs in ((self._lon, self._ledger.lon), (self._lat, self._ledger.lat)):
            mine.data[slots] = np.where(spot < 0, np.nan, theirs.data[spot]) if theirs.n else np.nan

    def take_illegal(self, now: int) -> Int64:
        """Ledger rows whose move has been illegal for GRACE_MS and that were not told before.

        A move that overtakes the one before it is illegal for a moment only.
        """
        rows = np.zeros(0, np.int64)
        if self._suspect:  # a move that was corrected meanwhile is no longer there to be told
            rows = np.flatnonzero(self._bad.data & self._ledger.live.data & ~self._told.data)
        still = {int(r): self._suspect_since.get(int(r), now) for r in rows}
        ripe = [r for r, since in still.items() if now - since >= GRACE_MS]
        self._suspect_since = {r: since for r, since in still.items() if now - since < GRACE_MS}
        self._suspect = bool(self._suspect_since)
        self._told.data[ripe] = True
        return np.array(ripe, np.int64)

    def column(self, name: str, rows: Int64) -> Float64 | Coded:
        """A column at case rows: float64 (NaN missing, times in ms, masks as 0 or 1) or Coded."""
        state = self._out[rows, STATE]
        if name == "state":
            return Coded(state.astype(np.int32), STATES)
        masks = {"open": OPEN, "done": DONE, "counted": COUNTED, "terminal": TERMINAL, "on_hold": HELD}
        if name in masks:
            flags: Float64 = masks[name][state].astype(np.float64)
            return flags
        if name in COLUMNS:
            return physical(self._out[rows, COLUMNS.index(name)], 1)
        if name in ("lon", "lat"):
            return physical((self._lon if name == "lon" else self._lat).data[rows], 1)
        if name not in self._fields:
            raise KeyError(f"row.{name}: cases have {', '.join((*COLUMNS, *self._fields, *masks, 'state'))}")
        field = self._ledger.fields[name]
        return self._ledger.values_at(name, self._picked[rows, self._fields.index(name)], field.per_unit)

    def present(self, rows: Int64) -> Bool:
        """Which of the rows count in indicators: all but drills."""
        real: Bool = ~self._drill.data[rows]
        return real

    def scopes(self, rows: Int64) -> Int32:
        """Scope rows (int32[n], -1 unknown)."""
        scopes: Int32 = self._spots[rows, 0].astype(np.int32)
        return scopes

    def entities(self, rows: Int64) -> Int32:
        """Cases are no entities."""
        return np.full(len(rows), -1, np.int32)

    def take_dirty(self) -> Int64:
        """Cases that changed since the last call."""
        return self.dirty.take()

    def slot(self, code: str) -> int:
        """Row of a case, -1 for an unknown code."""
        return int(self._index.find(hash_strings(Strings.of([code])))[0])

    def events_of(self, code: str) -> list[Event]:
        """Events of a case that count now, in the order of the fold; none for an unknown code."""
        slot, ledger = self.slot(code), self._ledger
        if slot < 0:
            return []
        rows, n = sorted_rows(
            self._head.data[slot], self._prev.data, ledger.live.data, ledger.order_columns(), np.empty(64, np.int64)
        )
        return [event_at(ledger, at) for at in rows[:n].tolist()]

    def since(self, code: str, rev: int) -> list[Event] | None:
        """Events that came after a revision, in their order of arrival; None if any of them touches what was before.

        That is a correction, and one of which another counts.
        """
        at, rows = int(self._head.data[self.slot(code)]), list[int]()
        for _ in range(self.rev(code) - rev):
            rows.append(at)
            at = int(self._prev.data[at])
        ledger = self._ledger
        if ledger.revision.data[rows].any() or not ledger.live.data[rows].all():
            return None
        return [event_at(ledger, row) for row in reversed(rows)]

    def full(self, type: str, subject: Strings) -> Bool:
        """Which events of a type would be too many for their cases, after those before them in the batch (bool[n])."""
        most = WORDS_MAX if type in WORDS else EVENTS_MAX
        full = np.zeros(len(subject), np.bool_)
        if self._most + len(subject) <= most:
            return full
        slot = self._index.find(hash_strings(subject))
        found, of = np.unique(slot, return_inverse=True)
        for case in np.flatnonzero(found >= 0).tolist():
            rows = np.flatnonzero(of == case)
            full[rows] = self._rev.data[found[case]] + np.arange(len(rows)) >= most
        return full

    def rev(self, code: str) -> int:
        """Number of events ever taken for a case, also corrections and retractions; 0 for an unknown code."""
        slot = self.slot(code)
        return int(self._rev.data[slot]) if slot >= 0 else 0

    def newest(self, code: str) -> Event | None:
        """The event that made the revision: the last that came, also a correction or retraction."""
        slot = self.slot(code)
        return event_at(self._ledger, int(self._head.data[slot])) if slot >= 0 else None

    def children(self, code: str) -> list[str]:
        """Codes of the cases that are merged into this one, as of the last `settle`."""
        return [self.code.strings[slot] for slot in self._links.children(code)]

    def parent(self, code: str) -> str:
        """Code of the case that this one is merged into, as of the last `settle`; "" for none."""
        slot = self.slot(code)
        return self._links.parent(slot) if slot >= 0 else ""

    def count_by_state(self) -> dict[str, int]:
        """Number of cases in each state."""
        found = np.bincount(self._out[: self.n, STATE], minlength=_S) if self.n else np.zeros(_S, np.int64)
        return dict(zip(STATES, found.tolist(), strict=True))

    def account(self) -> Account:
        """What became of all reports and cases, those that rules found apart; drills are in none of it."""
        rows = np.arange(self.n, dtype=np.int64)
        rows = rows[self.present(rows)]
        state, channel = self._out[rows, STATE], self.column("channel", rows)
        assert isinstance(channel, Coded)
        ruled = np.array([name == RULE_CHANNEL for name in (*channel.names, None)], np.bool_)[channel.codes]
        counts = (np.bincount(part, minlength=_S).tolist() for part in (state, state[ruled]))
        return account(*(dict(zip(STATES, part, strict=True)) for part in counts))

    def digest(self) -> int:
        """Sum of row hashes, free of row order."""
        rows = np.arange(self.n, dtype=np.int64)
        acc = self.key_a.data ^ self.key_b.data
        for name in (*COLUMNS, *self._fields):
            value = self.column(name, rows)
            fold(acc, value)
        return int(acc.sum(dtype=np.uint64))

    def _grown(self) -> dict[str, Grow]:
        return {
            "ka": self.key_a, "kb": self.key_b, "head": self._head, "prev": self._prev, "bad": self._bad,
            "told": self._told, "fields": self._told_of, "rev": self._rev, "lon": self._lon, "lat": self._lat,
        }  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot; the marks `todo` and `dirty` are kept beside them."""
        out = {k: v.data.copy() for k, v in self._grown().items()}
        pairs = list(self._suspect_since.items())
        out["suspect"] = np.array(pairs, np.int64).reshape(len(pairs), 2).T.copy()
        text = self.code.strings
        out |= {"code.data": text.data.copy(), "code.ends": text.offsets.copy()}
        return out | {
            "out": self._out[: self.n].copy(),
            "picked": self._picked[: self.n].copy(),
            "spots": self._spots[: self.n].copy(),
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        for name, column in self._grown().items():
            column.load(state[name])
        self.code.load(Strings(state["code.data"], state["code.ends"]))
        self._drill.load(starts_with(self.code.strings, DRILL.encode()))
        self.n, self._most = self.key_a.n, int(self._rev.data.max(initial=0))
        self._index.rebuild(Keys(self.key_a.data, self.key_b.data), np.arange(self.n, dtype=np.int64))
        self._room()
        self._suspect_since = dict(zip(*(c.tolist() for c in state["suspect"]), strict=True))
        self._suspect = True
        for name in ("out", "picked", "spots"):
            getattr(self, f"_{name}")[: self.n] = state[name]
        self._link(np.arange(self.n, dtype=np.int64))
