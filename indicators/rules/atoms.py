"""What matched: atoms, the places that alarms are about, and what a part of a condition found there."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.models.columns import Float64
from citytwin.twin.entities import Entities

#: Most atoms of one key of a part, and of all of its keys: beyond it the oldest are forgotten.
KEY_ATOMS_MAX, ATOMS_MAX = 1_000, 20_000
#: Most events that a finding names; the count is that of all.
EVIDENCE_MAX = 8
_EARTH_M = 6_371_008.8


class Atom(NamedTuple):
    """One event that matched; its order is that of (time, source, id). `value` NaN where none was asked for."""

    time: int
    source: str
    id: str
    type: str
    subject: str
    scope: int
    entity: int
    lon: float
    lat: float
    value: float

    @property
    def ref(self) -> tuple[int, str, str]:
        """(time, type, id): how evidence names it."""
        return self.time, self.type, self.id


def plain(atom: Atom) -> list[Any]:
    """An atom for a snapshot."""
    return [None if isinstance(v, float) and v != v else v for v in atom]  # noqa: PLR0124  NaN is no JSON


def of_plain(told: Iterable[Any]) -> Atom:
    """An atom of a snapshot."""
    return Atom._make(float("nan") if v is None else v for v in told)


class Atoms:
    """Atoms in the order of (time, source, id), whatever the order in which they came; at most KEY_ATOMS_MAX."""

    def __init__(self, items: Iterable[Atom] = ()) -> None:
        self.items: list[Atom] = sorted(items)

    def __len__(self) -> int:
        return len(self.items)

    def add(self, atom: Atom) -> None:
        """Take one in where it belongs."""
        insort(self.items, atom)

    def remove(self, atom: Atom) -> None:
        """Take the atom of this time, source and id away, if it is there."""
        at = bisect_left(self.items, atom[:3])
        if at < len(self.items) and self.items[at][:3] == atom[:3]:
            del self.items[at]

    def until(self, now: int) -> list[Atom]:
        """Those of `now` or before."""
        return self.items[: self._after(now)]

    def between(self, after: int, until: int) -> list[Atom]:
        """Those of (after, until]."""
        return self.items[self._after(after) : self._after(until)]

    def _after(self, time: int) -> int:
        return bisect_right(self.items, time, key=lambda atom: atom.time)

    def forget(self, before: int, most: int = KEY_ATOMS_MAX) -> int:
        """Drop what is older than `before` (ms), then the oldest beyond `most`; how many of the latter there were."""
        del self.items[: bisect_left(self.items, before, key=lambda atom: atom.time)]
        over = max(0, len(self.items) - most)
        del self.items[:over]
        return over

    def state(self) -> list[list[Any]]:
        """Plain values."""
        return [plain(atom) for atom in self.items]


@dataclass(frozen=True, slots=True)
class Place:
    """What an alarm is about: its code (of a subject or a scope), and where that is."""

    code: str
    subject: str = ""
    scope: int = -1
    entity: int = -1
    lon: float = float("nan")
    lat: float = float("nan")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a part found at a place: its value (NaN without one), how many events, since when, and some of them.

    `inner`: what the parts of the part found, in their order.
    """

    place: Place
    ok: bool
    value: float = float("nan")
    count: int = 0
    since: int = 0
    evidence: tuple[tuple[int, str, str], ...] = ()
    inner: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, place: Place, atoms: list[Atom], since: int, value: float | None = None) -> Finding:
        """Atoms that hold together at a place; the value is the newest one's, or the one given."""
        newest = atoms[-1].value if value is None else value
        return cls(place, True, newest, len(atoms), since, refs(atoms))


def refs(atoms: list[Atom]) -> tuple[tuple[int, str, str], ...]:
    """Names of at most EVIDENCE_MAX atoms: the first one and the newest ones."""
    some = atoms if len(atoms) <= EVIDENCE_MAX else [atoms[0], *atoms[1 - EVIDENCE_MAX :]]
    return tuple(atom.ref for atom in some)


class Ground:
    """The city that places lie in: scopes above a scope, places of entities, distances."""

    def __init__(self, scopes: ScopeTree, entities: Entities) -> None:
        self.scopes, self.entities = scopes, entities

    def above(self, scope: int, level: str) -> int:
        """Row of the scope of a level that a scope row lies in, -1 where there is none."""
        return -1 if scope < 0 else int(self.scopes.ancestors()[scope, LEVELS.index(level)])

    def code(self, scope: int, level: str) -> str:
        """Code of the scope of a level that a scope row lies in, "" where there is none."""
        row = self.above(scope, level)
        return "" if row < 0 else self.scopes.code[row]

    def place(self, atom: Atom, by: str) -> Place:
        """What an alarm about an atom is about: its subject (without one its own scope), or a scope of a level."""
        if by == "subject" and atom.subject:
            return Place(atom.subject, atom.subject, atom.scope, atom.entity, atom.lon, atom.lat)
        row = atom.scope if by == "subject" else self.above(atom.scope, by)
        code = "" if row < 0 else self.scopes.code[row]
        return Place(code, "", row, -1, atom.lon, atom.lat)


def on_sphere(lon: Float64, lat: Float64) -> Float64:
    """Points float64[n, 3] in metres from the centre of the earth: chords of some km are distances to 1e-7."""
    a, b = np.radians(lon), np.radians(lat)
    return _EARTH_M * np.stack([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)], axis=1)


def metres_from(place: Place, lon: Float64, lat: Float64) -> Float64:
    """Distances of points to a place (float64[n]); NaN where either has no place."""
    here = on_sphere(np.array([place.lon]), np.array([place.lat]))
    return np.asarray(np.sqrt(((on_sphere(lon, lat) - here) ** 2).sum(axis=1)), np.float64)
