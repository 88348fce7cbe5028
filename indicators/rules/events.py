"""Parts that look at single events: sequence, absence, nearness, count. Each that matches is an atom, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from citytwin.indicators.rules.atoms import (
    ATOMS_MAX,
    KEY_ATOMS_MAX,
    Atom,
    Atoms,
    Finding,
    Place,
    metres_from,
    of_plain,
    on_sphere,
    refs,
)
from citytwin.indicators.rules.matchers import Told
from citytwin.indicators.rules.part import Board, Part
from citytwin.models.columns import Bool, Int64
from citytwin.models.nearby import Index

#: What was waited for so long after it was missed does not come any more, ms.
GIVE_UP_MS = 24 * 3_600_000
#: Key of atoms that are looked at together, wherever they are.
_ALL = ""


class EventPart(Part):
    """Keeps the atoms of each pattern by key: subject or scope (`Place.code`), or all together."""

    together = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.kept: list[dict[str, Atoms]] = [{} for _ in self.matchers]

    def note(self, number: int, told: Told, rows: Int64, sign: int) -> None:
        """Each row that matches is an atom of its key."""
        kept, values = self.kept[number], self.matchers[number].values(told, rows)
        for atom in told.atoms(rows, values):
            key = _ALL if self.together else self.setting.ground.place(atom, self.when.by).code
            if sign > 0:
                kept.setdefault(key, Atoms()).add(atom)
            elif key in kept:
                kept[key].remove(atom)

    def forget(self, number: int, before: int) -> None:
        """Drop atoms of a pattern that are older; then of too many the oldest, over all keys."""
        kept = self.kept[number]
        most = ATOMS_MAX if self.together else KEY_ATOMS_MAX
        for key in list(kept):
            self.dropped += kept[key].forget(before, most)
            if not len(kept[key]):
                del kept[key]
        over = sum(map(len, kept.values())) - ATOMS_MAX
        if over > 0:
            times = np.sort(np.array([a.time for atoms in kept.values() for a in atoms.items], np.int64))
            self.dropped += over
            for key in list(kept):
                kept[key].forget(int(times[over]))
                if not len(kept[key]):
                    del kept[key]

    def own_state(self) -> dict[str, Any]:
        """Plain values."""
        return {"atoms": [{key: atoms.state() for key, atoms in sorted(kept.items())} for kept in self.kept]}

    def own_load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self.kept = [{key: Atoms(map(of_plain, told)) for key, told in kept.items()} for kept in state["atoms"]]


class Follows(EventPart):
    """An event, then another one of the same key within a time; up for `stay` after the latter."""

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Keys of which such a pair is not long ago; the newest pair is the evidence."""
        del board
        when, late = self.when, self.setting.late_ms
        self.forget(0, now - when.within_ms - when.stay_ms - late)
        self.forget(1, now - when.stay_ms - late)
        found = {}
        for key in sorted(self.kept[1]):
            pair = self._pair(key, now)
            if pair is not None:
                self.wake(pair[1].time + when.stay_ms, now)
                place = self.setting.ground.place(pair[1], when.by)
                minutes = (pair[1].time - pair[0].time) / 60_000
                found[place.code] = Finding.of(place, list(pair), pair[1].time, minutes)
        return found

    def _pair(self, key: str, now: int) -> tuple[Atom, Atom] | None:
        firsts = self.kept[0].get(key)
        if firsts is None:
            return None
        for then in reversed(self.kept[1][key].between(now - self.when.stay_ms, now)):
            before = [a for a in firsts.between(then.time - self.when.within_ms - 1, then.time) if a[:3] < then[:3]]
            if before:
                return before[-1], then
        return None


class Absence(EventPart):
    """An event that is not followed by another one of its key within a time; over when that comes at last."""

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Keys at which one waits for too long; the value is for how many minutes the oldest has waited."""
        del board
        found, within = {}, self.when.within_ms
        for key in sorted(self.kept[0]):
            waiting = self._waiting(key, now)
            if not waiting:
                continue
            self.wake(min((t for a in waiting if (t := a.time + within) > now), default=0), now)
            long = [a for a in waiting if now - a.time >= within]
            if long:
                place = self.setting.ground.place(long[0], self.when.by)
                minutes = (now - long[0].time) // 60_000
                found[place.code] = Finding.of(place, long, long[0].time + within, float(minutes))
        self.forget(0, now - GIVE_UP_MS - within)
        self.forget(1, now - self.setting.late_ms - within)
        return found

    def _waiting(self, key: str, now: int) -> list[Atom]:
        """Firsts after the last answer; those before it are forgotten once no answer can come in between."""
        firsts, answers = self.kept[0][key], self.kept[1].get(key)
        told = answers.until(now) if answers is not None else []
        waiting = [a for a in firsts.until(now) if not told or a[:3] > told[-1][:3]]
        if told:
            settled = now - self.setting.late_ms
            firsts.items = [a for a in firsts.items if a.time >= settled or a[:3] > told[-1][:3]]
        over = len(firsts) - KEY_ATOMS_MAX
        if over > 0:
            self.dropped += over
            del firsts.items[1 : over + 1]
        if not len(firsts):
            del self.kept[0][key]
        return waiting


class Near(EventPart):
    """An event, then another one within a distance and a time, whoever they are about; up for `stay` after the latter.

    Which events lie near each other is found by a grid of cells over their places (models.nearby).
    """

    together = True

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Places of the latter events that have such a former one; the value is their distance in metres."""
        del board
        when, late = self.when, self.setting.late_ms
        self.forget(0, now - when.within_ms - when.stay_ms - late)
        self.forget(1, now - when.stay_ms - late)
        if not self.kept[0] or not self.kept[1]:
            return {}
        firsts = _placed(self.kept[0][_ALL].until(now))
        thens = _placed(self.kept[1][_ALL].between(now - when.stay_ms, now))
        if not firsts or not thens:
            return {}
        return self._pairs(firsts, thens, now)

    def _pairs(self, firsts: list[Atom], thens: list[Atom], now: int) -> dict[str, Finding]:
        atoms = [*firsts, *thens]
        points = on_sphere(np.array([a.lon for a in atoms]), np.array([a.lat for a in atoms]))
        time = np.array([a.time for a in atoms], np.int64)
        start, others = Index(points, time, self.when.metres, self.when.within_ms).pairs()
        found: dict[str, Finding] = {}
        for i in range(len(firsts), len(atoms)):
            then = atoms[i]
            before = [j for j in others[start[i] : start[i + 1]].tolist() if j < len(firsts)]
            before = [j for j in before if atoms[j][:3] < then[:3]]
            if before:
                self.wake(then.time + self.when.stay_ms, now)
                place = self.setting.ground.place(then, self.when.by)
                distance = float(np.sqrt(((points[before] - points[i]) ** 2).sum(axis=1)).min())
                pair = [*sorted(atoms[j] for j in before), then]
                found[place.code] = Finding.of(place, pair, then.time, distance)
        return found


class Count(EventPart):
    """So many events within a time: of a key, or (`metres`) within a distance of one of them."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.together = self.when.metres > 0

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Where there are enough; the value is their number."""
        del board
        self.forget(0, now - self.when.within_ms - self.setting.late_ms)
        found = {}
        for key, atoms in sorted(self.kept[0].items()):
            inside = atoms.between(now - self.when.within_ms, now)
            if not inside:
                continue
            self._wake(inside, now)
            if self.together:
                return self._clusters(_placed(inside))
            if len(inside) >= self.when.least:
                place = self.setting.ground.place(inside[-1], self.when.by)
                found[key] = Finding.of(place, inside, inside[self.when.least - 1].time, float(len(inside)))
        return found

    def _wake(self, inside: Sequence[Atom], now: int) -> None:
        self.wake(inside[0].time + self.when.within_ms, now)

    def _clusters(self, atoms: list[Atom]) -> dict[str, Finding]:
        """Atoms with enough others around them, those of one place together."""
        if len(atoms) < self.when.least:
            return {}
        points = on_sphere(np.array([a.lon for a in atoms]), np.array([a.lat for a in atoms]))
        start, others = Index(points, np.array([a.time for a in atoms], np.int64), self.when.metres).pairs()
        found: dict[str, Finding] = {}
        for i in np.flatnonzero(np.diff(start) + 1 >= self.when.least).tolist():
            some = sorted([atoms[i], *(atoms[j] for j in others[start[i] : start[i + 1]].tolist())])
            place = self.setting.ground.place(atoms[i], self.when.by)
            if place.code not in found or len(some) > found[place.code].count:
                found[place.code] = Finding.of(place, some, some[self.when.least - 1].time, float(len(some)))
        return found

    def at(self, now: int, place: Place, board: Board, found: Mapping[str, Finding]) -> Finding:
        """With `metres`: the events around the place."""
        if not self.together:
            return super().at(now, place, board, found)
        kept = self.kept[0].get(_ALL)
        atoms = _placed(kept.between(now - self.when.within_ms, now)) if kept is not None else []
        if not atoms or np.isnan(place.lon):
            return Finding(place, False, 0.0)
        distance = metres_from(place, np.array([a.lon for a in atoms]), np.array([a.lat for a in atoms]))
        near: Bool = distance <= self.when.metres
        some = [atoms[i] for i in np.flatnonzero(near).tolist()]
        if len(some) < self.when.least:
            return Finding(place, False, float(len(some)), len(some), 0, refs(some) if some else ())
        return Finding.of(place, some, some[self.when.least - 1].time, float(len(some)))


def _placed(atoms: list[Atom]) -> list[Atom]:
    """Those that have a place."""
    return [a for a in atoms if not np.isnan(a.lon)]
