"""Parts that look at readings of many subjects: thresholds with hold time and dead band, and silence. In columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from citytwin.indicators.rules.atoms import KEY_ATOMS_MAX, Atom, Atoms, Finding, of_plain, refs
from citytwin.indicators.rules.matchers import Told
from citytwin.indicators.rules.part import Board, Part
from citytwin.models.columns import MISSING, Bool, Float64, Int64
from citytwin.twin.growable import Grow


class Waiting:
    """Columns of numbers that were told and are taken in at the tick that reaches their time."""

    def __init__(self, *dtypes: Any) -> None:
        self._dtypes = dtypes
        self._parts: list[tuple[np.ndarray[Any, Any], ...]] = []

    def add(self, *columns: np.ndarray[Any, Any]) -> None:
        """Rows; the first column is their time."""
        if len(columns[0]):
            self._parts.append(columns)

    def take(self, now: int) -> tuple[np.ndarray[Any, Any], ...] | None:
        """Rows of `now` or before, None if there are none; later ones stay."""
        if not self._parts:
            return None
        whole = tuple(np.concatenate(column) for column in zip(*self._parts, strict=True))
        due = whole[0] <= now
        self._parts = [] if due.all() else [tuple(c[~due] for c in whole)]
        return tuple(c[due] for c in whole) if due.any() else None

    def state(self) -> list[list[Any]]:
        """Plain values, a list a column."""
        if not self._parts:
            return []
        return [np.concatenate(column).tolist() for column in zip(*self._parts, strict=True)]

    def load(self, state: list[list[Any]]) -> None:
        """Come back to a state."""
        self._parts = []
        if state:
            self.add(*(np.array(c, d) for c, d in zip(state, self._dtypes, strict=True)))


class Threshold(Part):
    """Readings beyond an edge: up from the first one beyond it after the last one that was clear of it.

    Of each subject two times are kept in columns (the last clear reading, the last one at all), and as atoms only the
    readings beyond the edge since then: the first, and those that a late clear reading could still come before.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._clear, self._seen = Grow(np.int64, MISSING), Grow(np.int64, MISSING)
        self._waiting = Waiting(np.int64, np.int64, np.bool_)
        self._hits: dict[int, Atoms] = {}

    def note(self, number: int, told: Told, rows: Int64, sign: int) -> None:
        """Beyond the edge: atoms. Clear of it or between: times of the subject."""
        del number
        value = self.matchers[0].values(told, rows)
        known = ~np.isnan(value)
        picked = rows[known]
        hit, clear = self._sides(value[known])
        if sign < 0:
            self._take_back(told, picked[hit])
            return
        kept, slot = self.setting.subjects.numbers(told, picked)
        pick = np.searchsorted(picked, kept)  # rows ascend
        self._waiting.add(told.time[kept], slot, clear[pick])
        beyond = hit[pick]
        values = value[known][pick][beyond]
        for at, atom in zip(slot[beyond].tolist(), told.atoms(kept[beyond], values), strict=True):
            self._hits.setdefault(at, Atoms()).add(atom)

    def _sides(self, value: Float64) -> tuple[Bool, Bool]:
        when = self.when
        edge = when.above if when.above is not None else when.below
        assert edge is not None
        over = edge if when.clear is None else when.clear
        if when.above is not None:
            return value > edge, value <= over
        return value < edge, value >= over

    def _take_back(self, told: Told, rows: Int64) -> None:
        """Readings that were corrected or retracted: those beyond the edge are gone, a clear one has had its effect."""
        for atom in told.atoms(rows):
            for hits in self._hits.values():
                hits.remove(atom)

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Where a subject is up for long enough."""
        del board
        self._take_in(now)
        found: dict[str, list[Finding]] = {}
        for slot in sorted(self._hits):
            finding = self._up(slot, now)
            if finding is not None:
                found.setdefault(finding.place.code, []).append(finding)
        return {code: self.joined(some[0].place, some) if len(some) > 1 else some[0] for code, some in found.items()}

    def _take_in(self, now: int) -> None:
        for column in (self._clear, self._seen):
            column.resize(len(self.setting.subjects))
        told = self._waiting.take(now)
        if told is not None:
            time, slot, clear = told
            np.maximum.at(self._seen.data, slot, time)
            np.maximum.at(self._clear.data, slot[clear], time[clear])

    def _up(self, slot: int, now: int) -> Finding | None:
        hits, clear = self._hits[slot], int(self._clear.data[slot])
        hits.forget(clear + 1, len(hits))
        if not len(hits):
            del self._hits[slot]
            return None
        self._thin(hits, now)
        some = hits.until(now)
        if not some:
            self.wake(hits.items[0].time, now)
            return None
        when, since = self.when, some[0].time
        if when.fresh_ms:
            if now - int(self._seen.data[slot]) >= when.fresh_ms:
                return None
            self.wake(int(self._seen.data[slot]) + when.fresh_ms, now)
        if now - since < when.hold_ms:
            self.wake(since + when.hold_ms, now)
            return None
        place = self.setting.subjects.place(slot)
        if when.by != "subject":
            place = self.setting.ground.place(some[-1], when.by)
        return Finding(place, True, some[-1].value, len(some), since, refs(some))

    def _thin(self, hits: Atoms, now: int) -> None:
        """Of what is settled keep the first reading beyond the edge and the newest one."""
        settled = now - self.setting.late_ms
        items = hits.items
        old = sum(1 for atom in items if atom.time < settled)
        if old > 2:
            hits.items = [items[0], *items[old - 1 :]]
        over = len(hits.items) - KEY_ATOMS_MAX
        if over > 0:
            self.dropped += over
            hits.items = [hits.items[0], *hits.items[over + 1 :]]

    def _long_enough(self, found: dict[str, Finding], now: int) -> dict[str, Finding]:
        """The hold time is that of the readings themselves."""
        del now
        return found

    def own_state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "clear": self._clear.data.tolist(), "seen": self._seen.data.tolist(), "waiting": self._waiting.state(),
            "hits": {str(slot): hits.state() for slot, hits in sorted(self._hits.items())},
        }  # fmt: skip

    def own_load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self._clear.load(np.array(state["clear"], np.int64))
        self._seen.load(np.array(state["seen"], np.int64))
        self._waiting.load(state["waiting"])
        self._hits = {int(slot): Atoms(map(of_plain, told)) for slot, told in state["hits"].items()}


class Silence(Part):
    """Nothing from a subject for a time, once something came from it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._last = Grow(np.int64, MISSING)
        self._waiting = Waiting(np.int64, np.int64)
        self._known: dict[int, Finding] = {}

    def note(self, number: int, told: Told, rows: Int64, sign: int) -> None:
        """A sign of life is one, whatever is corrected later."""
        del number
        if sign > 0:
            kept, slot = self.setting.subjects.numbers(told, rows)
            self._waiting.add(told.time[kept], slot)

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Subjects that are silent; their value is for how many minutes."""
        del board
        self._last.resize(len(self.setting.subjects))
        told = self._waiting.take(now)
        if told is not None:
            np.maximum.at(self._last.data, told[1], told[0])
        last, within = self._last.data, self.when.within_ms
        heard = last != MISSING
        silent = heard & (last <= now - within)
        speaking = last[heard & ~silent]
        if len(speaking):
            self.wake(int(speaking.min()) + within, now)
        slots = np.flatnonzero(silent).tolist()
        self._known = {slot: self._finding(slot, int(last[slot])) for slot in slots}
        return {finding.place.code: finding for finding in self._known.values()}

    def _finding(self, slot: int, last: int) -> Finding:
        held = self._known.get(slot)
        since = last + self.when.within_ms
        if held is not None and held.since == since:
            return held
        return Finding(self.setting.subjects.place(slot), True, self.when.within_ms / 60_000, 0, since)

    def own_state(self) -> dict[str, Any]:
        """Plain values."""
        return {"last": self._last.data.tolist(), "waiting": self._waiting.state()}

    def own_load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self._last.load(np.array(state["last"], np.int64))
        self._waiting.load(state["waiting"])
        self._known = {}


__all__ = ["Atom", "Silence", "Threshold", "Waiting"]
