"""What a value rests on: events in ledgers and rows of registers, by parameter, put together and told in pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.models.columns import Float64, Int64
from citytwin.twin.ledger import Ledger, comes_after

#: Place of an event in the listing: time, source, id, revision, and what tells apart those that have lost their id.
Key = tuple[int, str, str, int, str]
_NONE: Int64 = np.zeros(0, np.int64)


@njit(cache=True, nogil=True)
def _merge(index, spare, order):  # type: ignore[no-untyped-def]
    """Sort array indices of a ledger by the order of its events; bottom up, stable."""
    n = len(index)
    width = 1
    while width < n:
        for lo in range(0, n, 2 * width):
            mid, hi = min(lo + width, n), min(lo + 2 * width, n)
            a, b = lo, mid
            for k in range(lo, hi):
                if a < mid and (b >= hi or not comes_after(order, index[a], index[b])):
                    spare[k] = index[a]
                    a += 1
                else:
                    spare[k] = index[b]
                    b += 1
        index[:] = spare
        width *= 2


def in_order(ledger: Ledger, index: Int64) -> Int64:
    """Array indices sorted by (time, source, id, revision)."""
    out = index.copy()
    if len(out) > 1:
        _merge(out, np.empty_like(out), ledger.order_columns())
    return out


def first_of(ledger: Ledger, index: Int64, groups: NDArray[Any]) -> Int64:
    """Of each group (array[n] beside the indices, or [n, k]) the event that comes first in order, sorted."""
    if len(index) == 0:
        return index
    by_row = np.argsort(index, kind="stable")
    ordered = in_order(ledger, index)
    beside = by_row[np.searchsorted(index, ordered, sorter=by_row)]
    _, first = np.unique(groups[beside], axis=0, return_index=True)
    return np.sort(ordered[first])


def last_of(ledger: Ledger, index: Int64, groups: Int64) -> Int64:
    """Of each group the event that comes last in order, sorted."""
    if len(index) == 0:
        return index
    by_row = np.argsort(index, kind="stable")
    ordered = in_order(ledger, index)[::-1]
    beside = by_row[np.searchsorted(index, ordered, sorter=by_row)]
    _, first = np.unique(groups[beside], return_index=True)
    return np.sort(ordered[first])


@dataclass(eq=False)
class Events:
    """Events of one ledger (array indices, sorted, unique) that a parameter rests on, with what each contributes.

    `owners`: parameters of the explained indicator; `label`: the name under which contributions are told; `amount`
    float64, NaN where an event only is read. `lost`: these are slots of the table `place` instead, whose newest event
    is no longer in the ledger.
    """

    owners: set[str]
    label: str
    place: str
    index: Int64
    amount: Float64
    lost: bool = False


@dataclass(eq=False)
class Facts:
    """Rows of the registers (sorted, unique) that a parameter rests on, the attributes read, what each contributes."""

    owners: set[str]
    label: str
    rows: Int64
    amount: Float64
    names: tuple[str, ...]


class Evidence:
    """Everything behind one value."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        self.ledgers = ledgers
        #: All parts, in the order in which they were found.
        self.parts: list[Events | Facts] = []
        self.facts: list[Facts] = []
        self._events: dict[tuple[str, bool], list[Events]] = {}

    def held(self, place: str, owner: str | None = None, *, lost: bool = False) -> Int64:
        """Array indices (or lost slots) of all parts of a place, or of those of one parameter: sorted, unique."""
        return union([p.index for p in self._events.get((place, lost), ()) if _is_of(p, owner)])

    def places(self, *, lost: bool = False) -> list[str]:
        """Ledgers (or tables) that there are events of."""
        return sorted(place for place, gone in self._events if gone == lost)

    def add(
        self, owners: set[str], label: str, place: str, index: Int64, amount: Float64, *, lost: bool = False
    ) -> None:
        """Add events; repeated indices keep the first amount. Without owners only what is not there yet."""
        kept, amount = _once(index, amount)
        if not owners and len(kept):
            new = ~np.isin(kept, self.held(place, lost=lost), assume_unique=True)
            kept, amount = kept[new], amount[new]
        if len(kept):
            part = Events(owners, label, place, kept, amount, lost)
            self.parts.append(part)
            self._events.setdefault((place, lost), []).append(part)

    def state(self, owners: set[str], label: str, rows: Int64, amount: Float64, names: tuple[str, ...]) -> None:
        """Add facts of the registers."""
        kept, amount = _once(rows, amount)
        if len(kept):
            part = Facts(owners, label, kept, amount, names)
            self.parts.append(part)
            self.facts.append(part)

    def entity_rows(self, owner: str | None = None) -> Int64:
        """Rows of the registers, sorted, unique."""
        return union([f.rows for f in self.facts if _is_of(f, owner)])

    def names_of(self, row: int, owner: str | None = None) -> list[str]:
        """Attributes that are read of a row of the registers."""
        parts = [f.names for f in self.facts if _is_of(f, owner) and _at(f.rows, row) >= 0]
        return sorted({n for names in parts for n in names})

    def counts(self, label: str) -> int:
        """How many different events carry a label."""
        found = ([p.index for p in parts if p.label == label] for parts in self._events.values())
        return sum(len(union(parts)) for parts in found)

    def total(self, owner: str | None = None) -> int:
        """How many different events there are."""
        return sum(len(self.held(place, owner, lost=lost)) for place, lost in self._events)

    def gives(self, place: str, index: int, *, lost: bool = False) -> dict[str, float]:
        """What one event contributes, by label."""
        parts = (p for p in self._events.get((place, lost), ()) if p.label)
        found = ((p.label, p.amount[at]) for p in parts if (at := _at(p.index, index)) >= 0)
        return {label: float(amount) for label, amount in found if not np.isnan(amount)}

    def says(self, row: int) -> dict[str, float]:
        """What one row of the registers contributes, by label."""
        found = ((f.label, f.amount[at]) for f in self.facts if f.label and (at := _at(f.rows, row)) >= 0)
        return {label: float(amount) for label, amount in found if not np.isnan(amount)}

    def page(self, after: Key | None, limit: int, owner: str | None = None) -> list[tuple[Key, str, int]]:
        """The first `limit` events of the ledgers after a place in the listing: (key, ledger, array index)."""
        out: list[tuple[Key, str, int]] = []
        for place in self.places():
            ledger = self.ledgers[place]
            index = _nearest(ledger, self.held(place, owner), after, limit)
            out += [(key_of(ledger, i), place, i) for i in index.tolist()]
        return sorted(out)[:limit]


def union(parts: Sequence[Int64]) -> Int64:
    """What is in any of some columns of whole numbers >= 0, each sorted and unique: sorted, unique.

    >>> union([np.array([1, 4]), np.array([0, 4])]).tolist()
    [0, 1, 4]
    """
    if len(parts) < 2:
        return parts[0] if parts else _NONE
    mask = np.zeros(max(int(p[-1]) + 1 if len(p) else 0 for p in parts), np.bool_)
    for part in parts:
        mask[part] = True
    return np.flatnonzero(mask)


def sorted_once(values: NDArray[np.integer[Any]]) -> Int64:
    """Those whole numbers that are not negative, sorted and unique; quick where they are row numbers.

    >>> sorted_once(np.array([4, -1, 0, 4])).tolist()
    [0, 4]
    """
    if len(values) == 0:
        return _NONE
    mask = np.zeros(int(values.max()) + 2, np.bool_)  # the last one takes the negative ones
    mask[values] = True
    mask[-1] = False
    return np.flatnonzero(mask)


def _once(index: Int64, amount: Float64) -> tuple[Int64, Float64]:
    """Sorted and unique, with the first amount of each."""
    if len(index) < 2 or bool((index[1:] > index[:-1]).all()):
        return index, amount
    kept, at = np.unique(index, return_index=True)
    return kept, amount[at]


def _is_of(part: Events | Facts, owner: str | None) -> bool:
    return owner is None or owner in part.owners


def _at(rows: Int64, row: int) -> int:
    """Where a row stands in sorted rows, -1 where it does not."""
    at = int(np.searchsorted(rows, row))
    return at if at < len(rows) and rows[at] == row else -1


def key_of(ledger: Ledger, index: int) -> Key:
    """Place of an event in the listing."""
    source = ledger.sources.names[int(ledger.source.data[index])]
    return int(ledger.time.data[index]), source, ledger.id.strings[index], int(ledger.revision.data[index]), ""


def _nearest(ledger: Ledger, index: Int64, after: Key | None, limit: int) -> Int64:
    """The first `limit` of the events (array indices) that come after a place, in order."""
    time = ledger.time.data[index]
    if after is not None:
        keep = time > after[0]
        for at in np.flatnonzero(time == after[0]).tolist():
            keep[at] = key_of(ledger, int(index[at])) > after
        index, time = index[keep], time[keep]
    if len(index) > limit:
        # what is later than the last one wanted need not be put in order
        last = np.partition(time, limit - 1)[limit - 1]
        index = index[time <= last]
    return in_order(ledger, index)[:limit]


# Cursors.

#: The place before the first event, for who wants events without the entities before them.
EVENTS = "events"


def cursor(place: tuple[Any, ...]) -> str:
    """A place in the listing as a text for addresses.

    >>> place_of(cursor((1, "s", "a", 0, "")))
    (1, 's', 'a', 0, '')
    """
    text = json.dumps(place, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(text: str) -> tuple[Any, ...]:
    """The place that `cursor` made a text of, or the one before all events. Raises ValueError for any other text.

    >>> place_of(EVENTS) < place_of(cursor((0, "s", "a", 0, "")))
    True
    """
    if text == EVENTS:
        return -(2**63), "", "", 0, ""
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError) as error:
        raise ValueError("after is what the page before it gave as next") from error
    kinds = [type(v) for v in found] if isinstance(found, list) else []
    if kinds not in ([int, str, str, int, str], [str, str]):
        raise ValueError("after is what the page before it gave as next")
    return tuple(found)
