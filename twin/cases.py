"""Cases: the fold of the family `case` by the table of models.lifecycle, free of the order of arrival.

A case whose events changed is folded again from all its live events in the order (time, source, id, revision); a case
has few events, so that is cheap, and late, corrected and retracted moves need no rule of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Coded, Float64, Int32, Int64, Strings, physical, unique
from citytwin.models.hashing import HashIndex, Keys, fold
from citytwin.models.lifecycle import COUNTED, DONE, MOVE_TYPES, MOVES, OPEN, STATES, TERMINAL, move_codes
from citytwin.models.vocabulary import Kind
from citytwin.twin.growable import Grow, GrowText
from citytwin.twin.ledger import Ledger, comes_after, hang
from citytwin.twin.tables import Dirty

_S = len(STATES)
#: Whole-number columns after the `<state>_at` times.
_EXTRA = (
    "due_at", "deferred_ms", "until", "returns", "rework", "reopened", "escalations", "first_at", "last_at", "moves",
    "illegal", "state_code", "since",
)  # fmt: skip
COLUMNS: tuple[str, ...] = (*(f"{s}_at" for s in STATES), *_EXTRA)
_DUE, _HELD, _UNTIL, _RETURNS, _REWORK, _REOPENED, _ESC, _FIRST, _LAST, _MOVES, _ILLEGAL, _STATE, _SINCE = range(
    _S, _S + len(_EXTRA)
)
_CODE = {
    name: MOVE_TYPES.index(f"case.{name}") for name in ("reopened", "deferred", "extended", "escalated", "history")
}
_REOPEN, _DEFER, _EXTEND, _ESCALATE, _HISTORY = (
    _CODE[n] for n in ("reopened", "deferred", "extended", "escalated", "history")
)
_FAILED, _HISTORY_OPEN = len(MOVE_TYPES), len(MOVE_TYPES) + 1
_RETURNED_STATE, _CLOSED_STATE = STATES.index("returned"), STATES.index("closed")
_REPORTED_STATE, _FILED_STATE = STATES.index("reported"), STATES.index("filed")
_DEFERRED_STATE = STATES.index("deferred")
_NOTHING = MISSING
#: How long a move may wait for the one before it until it is told as illegal.
GRACE_MS = 60_000


@njit(cache=True, nogil=True)
def _sorted_rows(head, prev, live, order, rows):  # type: ignore[no-untyped-def]
    n = 0
    i = head
    while i >= 0:
        if live[i]:
            if n == len(rows):
                bigger = np.empty(2 * n, np.int64)
                bigger[:n] = rows
                rows = bigger
            j = n
            while j > 0 and comes_after(order, rows[j - 1], i):
                rows[j] = rows[j - 1]
                j -= 1
            rows[j] = i
            n += 1
        i = prev[i]
    return rows, n


@njit(cache=True, nogil=True)
def _clocks(case, m, t, state, nxt, due, until, created, closed):  # type: ignore[no-untyped-def]
    """What one legal move does to the clocks and counts of its case: the law of models.lifecycle."""
    if state == _DEFERRED_STATE and m != _ESCALATE and case[_UNTIL] > t:
        back = case[_UNTIL] - t
        if case[_DUE] != _NOTHING:
            case[_DUE] -= back
        case[_HELD] -= back
        case[_UNTIL] = _NOTHING
    if m == _EXTEND:
        case[_DUE] = due
    elif m == _ESCALATE:
        case[_ESC] += 1
    elif m == _DEFER:
        hold = max(0, until - t)
        if case[_DUE] != _NOTHING:
            case[_DUE] += hold
        case[_HELD] += hold
        case[_UNTIL] = until
        case[nxt] = t
    elif m == _REOPEN:
        case[_REOPENED] += 1
        case[_CLOSED_STATE] = _NOTHING
        if due != _NOTHING:
            case[_DUE] = due
    elif m in (_HISTORY, _HISTORY_OPEN):
        case[_REPORTED_STATE] = created
        case[_FILED_STATE] = created
        case[_CLOSED_STATE] = closed
        case[_DUE] = due
    else:
        case[nxt] = t
        if due != _NOTHING:
            case[_DUE] = due
        if nxt == _RETURNED_STATE:
            if m == _FAILED:
                case[_REWORK] += 1
            else:
                case[_RETURNS] += 1


@njit(cache=True, nogil=True)
def _fold(slots, links, order, moves, move, fields, told, place_of, out, picked, place, spot, bad):  # type: ignore[no-untyped-def]
    """Fold each case; `fields` = (due_at, until, created_at, closed_at), `place_of` = (scope, lon) by event.

    Bit f of `told` says that an event has field f; `picked` is the event whose value of it holds.
    """
    due, until, created, closed = fields
    scope, lon = place_of
    head, prev, live = links
    rows = np.empty(64, np.int64)
    time = order[0]
    for k in range(len(slots)):
        s = slots[k]
        rows, n = _sorted_rows(head[s], prev, live, order, rows)
        case = out[s]
        case[:] = _NOTHING
        for c in (_HELD, _RETURNS, _REWORK, _REOPENED, _ESC, _MOVES, _ILLEGAL, _STATE):
            case[c] = 0
        picked[s, :] = -1
        place[s] = -1
        spot[s] = -1
        for r in rows[:n]:
            m, t, state = move[r], time[r], case[_STATE]
            nxt = moves[state, m]
            if nxt < 0:
                case[_ILLEGAL] += 1
                bad[r] = True
                continue
            bad[r] = False
            _clocks(case, m, t, state, nxt, due[r], until[r], created[r], closed[r])
            if nxt != state:
                case[_SINCE] = t
            case[_STATE] = nxt
            case[_MOVES] += 1
            if case[_FIRST] == _NOTHING:
                case[_FIRST] = t
            case[_LAST] = t
            for f in range(picked.shape[1]):
                if told[r] >> f & 1:
                    picked[s, f] = r
            if scope[r] >= 0:
                place[s] = scope[r]
            if not np.isnan(lon[r]):
                spot[s] = r


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
        self._place = np.full(64, -1, np.int32)
        self._lon, self._lat = Grow(np.float64, np.nan), Grow(np.float64, np.nan)
        self._spot = Grow(np.int64, -1)
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
            self.code.extend(codes.take(fresh))
            self.n = self.key_a.n
            for column in (self._head, self._lon, self._lat, self._spot):
                column.resize(self.n)
            self._room()
            # a case of which only a waiting correction is known has no move yet: it is folded to "new"
            self.todo.mark(slot[fresh])
        return slot.astype(np.int32)

    def _room(self) -> None:
        if self.n > len(self._out):
            more = 1 << (self.n - 1).bit_length()
            for name, fill in (("_out", MISSING), ("_picked", -1), ("_place", -1)):
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
        _fold(
            slots, links, ledger.order_columns(), MOVES, moves, times, self._told_of.data,
            (ledger.scope.data, ledger.lon.data), self._out, self._picked, self._place, self._spot.data, self._bad.data,
        )  # fmt: skip
        self._suspect = True
        self._locate(slots)
        self.dirty.mark(slots)
        return slots

    def _locate(self, slots: Int64) -> None:
        spot = self._spot.data[slots]
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
        """A column at case rows: float64 (NaN missing, times in ms, open/done/counted/terminal as 0 or 1) or Coded."""
        state = self._out[rows, _STATE]
        if name == "state":
            return Coded(state.astype(np.int32), STATES)
        masks = {"open": OPEN, "done": DONE, "counted": COUNTED, "terminal": TERMINAL}
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

    def scopes(self, rows: Int64) -> Int32:
        """Scope rows (int32[n], -1 unknown)."""
        return self._place[rows]

    def entities(self, rows: Int64) -> Int32:
        """Cases are no entities."""
        return np.full(len(rows), -1, np.int32)

    def take_dirty(self) -> Int64:
        """Cases that changed since the last call."""
        return self.dirty.take()

    def count_by_state(self) -> dict[str, int]:
        """Number of cases in each state."""
        found = np.bincount(self._out[: self.n, _STATE], minlength=_S) if self.n else np.zeros(_S, np.int64)
        return dict(zip(STATES, found.tolist(), strict=True))

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
            "told": self._told, "fields": self._told_of, "spot": self._spot, "lon": self._lon, "lat": self._lat,
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
            "place": self._place[: self.n].copy(),
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        for name, column in self._grown().items():
            column.load(state[name])
        self.code.load(Strings(state["code.data"], state["code.ends"]))
        self.n = self.key_a.n
        self._index.rebuild(Keys(self.key_a.data, self.key_b.data), np.arange(self.n, dtype=np.int64))
        self._room()
        self._suspect_since = dict(zip(*(c.tolist() for c in state["suspect"]), strict=True))
        self._suspect = True
        self._out[: self.n], self._picked[: self.n], self._place[: self.n] = (
            state["out"],
            state["picked"],
            state["place"],
        )
