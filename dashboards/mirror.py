"""Newest state as it was published: what a client is owed is read from here, so that no client has a queue of its own.

Each row remembers the sequence number of its last change; what changed after `prev` is then one comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import Bool, Float64, Int32, Int64
from citytwin.models.desk.rights import discreet, masked, places
from citytwin.models.frame import Delta, Values
from citytwin.models.lifecycle import STATES, TERMINAL

#: Columns of a twin table that are sent as names, once per client, not with each change.
NAMES = ("code", "name", "name_en")
PLACE = ("lon", "lat", "scope")
_ENDED = {state for state, ended in zip(STATES, TERMINAL, strict=True) if ended}


def _longer(old: NDArray[Any], n: int, fill: float) -> NDArray[Any]:
    out = np.full(n, fill, old.dtype)
    out[: len(old)] = old
    return out


class Indicators:
    """Newest values of one indicator, by scope row; `seq` 0 marks a row without one."""

    def __init__(self) -> None:
        self.head = 0
        self.value: Float64 = np.zeros(0)
        self.closed: Float64 = np.zeros(0)
        self.quality = np.zeros(0, np.uint8)
        self.fresh: Int32 = np.zeros(0, np.int32)
        self.expected: Int32 = np.zeros(0, np.int32)
        self.restated: Bool = np.zeros(0, np.bool_)
        #: What the bands are shares of; None where they are values.
        self.scale: Float64 | None = None
        self.seq: Int64 = np.zeros(0, np.int64)

    def put(self, values: Values, seq: int, only_new: bool = False) -> None:
        """Take over values at `seq`; with `only_new` a row that has a value keeps it."""
        rows = values.rows
        if not len(rows):
            return
        self._reserve(int(rows.max()) + 1)
        pick: Any = slice(None)
        if only_new:
            pick = self.seq[rows] == 0
            rows = rows[pick]
        for name in ("value", "closed", "quality", "fresh", "expected", "restated"):
            getattr(self, name)[rows] = getattr(values, name)[pick]
        if values.scale is not None:
            held = np.zeros(0) if self.scale is None else self.scale
            self.scale = held if len(held) == len(self.seq) else _longer(held, len(self.seq), np.nan)
            self.scale[rows] = values.scale[pick]
        self.seq[rows] = seq
        self.head = seq

    def _reserve(self, n: int) -> None:
        if n > len(self.seq):
            size = max(n, len(self.seq) * 3 // 2)
            for name in ("value", "closed", "quality", "fresh", "expected", "restated", "seq"):
                setattr(self, name, _longer(getattr(self, name), size, 0))


class Twins:
    """Newest rows of one twin table, in slots by order of appearance.

    `changed`, `moved` int64: sequence of the last change, and of the last one of place, scope or existence.
    """

    def __init__(self) -> None:
        self.head = 0
        self.seeded = False
        self.slot: dict[int, int] = {}
        self.keys: Int64 = np.zeros(0, np.int64)
        self.changed: Int64 = np.zeros(0, np.int64)
        self.moved: Int64 = np.zeros(0, np.int64)
        self.lon: Float64 = np.zeros(0)
        self.lat: Float64 = np.zeros(0)
        self.scope: Int32 = np.zeros(0, np.int32)
        self.gone: Bool = np.zeros(0, np.bool_)
        self.columns: dict[str, list[Any]] = {}
        self.by_code: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.slot)

    def put(self, delta: Delta, seq: int, only_new: bool = False) -> None:
        """Take over rows at `seq`; with `only_new` a row that is there keeps what it has."""
        for name in delta.columns:
            if name not in self.columns and name != "gone":
                self.columns[name] = [None] * len(self)
        for i, row in enumerate(delta.rows.tolist()):
            slot = self.slot.get(row, -1)
            if slot < 0:
                slot = self._add(row, seq)
            elif only_new:
                continue
            self._set(slot, i, delta.columns, seq)
        self.head = seq

    def _add(self, row: int, seq: int) -> int:
        slot = self.slot[row] = len(self.slot)
        if slot >= len(self.keys):
            size = max(256, len(self.keys) * 3 // 2)
            for name, fill in (("lon", np.nan), ("lat", np.nan), ("scope", -1), ("keys", 0), ("changed", 0)):
                setattr(self, name, _longer(getattr(self, name), size, fill))
            self.moved, self.gone = _longer(self.moved, size, 0), _longer(self.gone, size, 0)
        self.keys[slot], self.moved[slot] = row, seq
        for column in self.columns.values():
            column.append(None)
        return slot

    def _set(self, slot: int, i: int, columns: Mapping[str, list[Any]], seq: int) -> None:
        before = (self.lon[slot], self.lat[slot], self.scope[slot], self.gone[slot])
        self.gone[slot] = False
        for name, column in columns.items():
            value = column[i]
            if name == "gone":
                self.gone[slot] = bool(value)
                continue
            self.columns[name][slot] = value
            if name in PLACE:
                getattr(self, name)[slot] = (-1 if name == "scope" else np.nan) if value is None else value
            elif name == "code":
                self.by_code[value] = slot
        self.changed[slot] = seq
        after = (self.lon[slot], self.lat[slot], self.scope[slot], self.gone[slot])
        if not np.array_equal(before, after, equal_nan=True):
            self.moved[slot] = seq


class Facts:
    """Newest values of the channel `sys`, by name."""

    def __init__(self) -> None:
        self.head = 0
        self.values: dict[str, Any] = {}
        self.seq: dict[str, int] = {}

    def put(self, values: Mapping[str, Any], seq: int) -> None:
        """Take over what differs from before."""
        for name, value in values.items():
            if name not in self.values or self.values[name] != value:
                self.values[name], self.seq[name] = value, seq
                self.head = seq

    def after(self, prev: int) -> dict[str, Any]:
        """What changed after `prev`."""
        return {name: self.values[name] for name, seq in self.seq.items() if seq > prev}


def _is_open(item: Mapping[str, Any]) -> bool:
    told = item.get("open")
    return item.get("state") not in _ENDED if told is None else bool(told)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log channel: its JSON, its scope row (-1: none), when it came, bytes of all before it.

    `lent`: scope rows that see it besides. `masked`: its JSON without personal fields (`text` where it has none).
    `left`: scope rows of the entry of the same code before it; who saw only that one is told `gone`.
    """

    seq: int
    text: msgspec.Raw
    scope: int
    at: int
    before: int
    masked: msgspec.Raw
    lent: tuple[int, ...] = ()
    confidential: bool = False
    left: tuple[int, ...] = ()
    gone: msgspec.Raw | None = None

    @property
    def places(self) -> tuple[int, ...]:
        """Scope rows at which it is seen."""
        return (self.scope, *self.lent)


@dataclass(slots=True)
class Ring:
    """The newest entries of a log channel, at most `limit` of them and `limit_bytes` bytes."""

    tree: ScopeTree = field(default_factory=ScopeTree)
    limit: int = 20_000
    limit_bytes: int = 16 << 20
    head: int = 0
    total: int = 0
    entries: list[Entry] = field(default_factory=list)
    start: int = 0
    open: dict[str, Entry] | None = None

    def put(self, items: Iterable[Mapping[str, Any]], at: int) -> None:
        """Append entries that came at `at` (ms)."""
        for item in items:
            self.head += 1
            entry = self._entry(item, at)
            self.total += len(bytes(entry.text))
            self.entries.append(entry)
            if self.open is not None and "code" in item:
                self._keep_open(entry, str(item["code"]), _is_open(item))
        self._trim()

    def _entry(self, item: Mapping[str, Any], at: int) -> Entry:
        whole = {"seq": self.head, **item}
        text, less = msgspec.Raw(msgspec.json.encode(whole)), masked(whole)
        scope, *lent = places(item, self.tree)
        code, gone = item.get("code"), None
        left: tuple[int, ...] = ()
        if self.open is not None and code in self.open:
            left = self.open[code].places
            gone = msgspec.Raw(msgspec.json.encode({"seq": self.head, "code": code, "open": False, "gone": True}))
        hidden = text if less is whole else msgspec.Raw(msgspec.json.encode(less))
        more = (tuple(lent), discreet(item) is not item, left, gone)
        return Entry(self.head, text, scope, at, self.total, hidden, *more)

    def renumber(self, head: int) -> None:
        """What is held came before entry `head` + 1; no client can resume before it, for the entries may be others."""
        self.entries, self.start, self.total, self.head = [], 0, 0, head
        if self.open is not None:
            self.open = {c: replace(e, seq=head, before=0) for c, e in self.open.items()}

    def _keep_open(self, entry: Entry, code: str, open: bool) -> None:
        assert self.open is not None
        self.open.pop(code, None)
        if open:
            self.open[code] = entry

    def _trim(self) -> None:
        last = len(self.entries)
        while self.start < last and (
            last - self.start > self.limit or self.total - self.entries[self.start].before > self.limit_bytes
        ):
            self.start += 1
        if self.start > 1024 and self.start * 2 > last:
            del self.entries[: self.start]
            self.start = 0

    @property
    def first(self) -> int:
        """Sequence of the oldest entry that is kept (head + 1 when none is)."""
        return self.entries[self.start].seq if self.start < len(self.entries) else self.head + 1

    def after(self, prev: int) -> list[Entry]:
        """Entries after `prev`, which must be at least `first - 1`."""
        return self.entries[self.start + prev + 1 - self.first :]

    def newest(self, n: int) -> list[Entry]:
        """What a snapshot holds: the open ones, or the newest n."""
        if self.open is not None:
            return sorted(self.open.values(), key=lambda e: e.seq)
        return self.entries[max(self.start, len(self.entries) - n) :]

    def backlog(self, prev: int) -> tuple[int, int]:
        """Bytes after `prev` and the time (ms) at which the first of them came; (0, 0) when there are none."""
        if prev >= self.head:
            return 0, 0
        entry = self.entries[self.start + max(0, prev + 1 - self.first)]
        return self.total - entry.before, entry.at
