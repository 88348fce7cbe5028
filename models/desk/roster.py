"""Who is on duty: posts of a roster with the spells that were told for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Spell:
    """A person at a post in [begin, end) ms; `absent`: whoever is at the post then is away, the deputy stands in.

    `role` as in models.desk.roles, `area` the code of a scope; `person` "" says that nobody is there.
    """

    post: str
    role: str
    area: str
    person: str
    begin: int
    end: int
    deputy: str = ""
    absent: bool = False

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class OnDuty:
    """Who is at a post at a time; `stands_in_for` is the person that a deputy replaces, "" for none."""

    post: str
    role: str
    area: str
    person: str
    until: int
    stands_in_for: str = ""


class Roster(Protocol):
    """What knows who is on duty."""

    def on_duty(self, area: str, role: str, time: int) -> OnDuty | None:
        """Who has a role for an area at a time, None for nobody."""


def at_post(spells: Sequence[Spell], time: int) -> OnDuty | None:
    """Who is at a post; `spells` of that post in the order in which they were told: the last word on a time holds."""
    away = False
    for spell in reversed(spells):
        if not spell.begin <= time < spell.end:
            continue
        if spell.absent:
            away = True
            continue
        person = spell.deputy if away else spell.person
        instead = spell.person if away else ""
        return OnDuty(spell.post, spell.role, spell.area, person, spell.end, instead) if person else None
    return None


@dataclass(frozen=True, slots=True)
class Found:
    """Who is to be told, and the areas in which nobody was on duty for the role."""

    who: OnDuty | None
    passed: tuple[str, ...] = ()


def find(roster: Roster, areas: Iterable[str], role: str, last_role: str, time: int) -> Found:
    """The first on duty for a role in the areas in their order; at the end of them, who has `last_role` in the last."""
    passed: list[str] = []
    for area in areas:
        who = roster.on_duty(area, role, time)
        if who is not None:
            return Found(who, tuple(passed))
        passed.append(area)
    who = roster.on_duty(passed[-1], last_role, time) if passed and last_role != role else None
    return Found(who, tuple(passed))


class Table:
    """A roster that is held as spells by post."""

    def __init__(self, spells: Iterable[Spell] = ()) -> None:
        self.posts: dict[str, list[Spell]] = {}
        for spell in spells:
            self.add(spell)

    def add(self, spell: Spell) -> None:
        """A spell that was told now."""
        self.posts.setdefault(spell.post, []).append(spell)

    def forget(self, before: int) -> None:
        """Leave out spells that ended before a time."""
        for post, spells in list(self.posts.items()):
            kept = [s for s in spells if s.end > before]
            if kept:
                self.posts[post] = kept
            else:
                del self.posts[post]

    def on_duty(self, area: str, role: str, time: int) -> OnDuty | None:
        """Who has a role for an area at a time; of several posts the first by code."""
        for post in sorted(self.posts):
            who = at_post(self.posts[post], time)
            if who is not None and (who.area, who.role) == (area, role):
                return who
        return None

    def now(self, time: int) -> Mapping[str, OnDuty]:
        """Everyone on duty by post."""
        found = ((post, at_post(spells, time)) for post, spells in sorted(self.posts.items()))
        return {post: who for post, who in found if who is not None}
