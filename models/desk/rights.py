"""Rights of a person: roles at scopes; what may be done where, what of a channel is seen, and what of a row."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import Bool
from citytwin.models.desk.roles import ON_LOAN, PERMISSIONS, PERSONAL, ROLES

#: The scope of a right that holds in the whole city, also for what has no known place.
EVERYWHERE = "*"
#: Channels whose rows belong to scopes, with those of the pages.
CHANNELS = ("ind", "twin", "case", "ticker", "sys", "alarm", "unit", "plan")


@dataclass(frozen=True, slots=True)
class Rights:
    """A set of (role, scope code); `EVERYWHERE` as code is the whole city. Equal sets are equal rights."""

    grants: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, grants: Iterable[tuple[str, str]]) -> Rights:
        """Rights of these (role, scope code). Raises ValueError for a role that does not exist."""
        found = frozenset(grants)
        for role in sorted({role for role, _ in found} - set(ROLES)):
            raise ValueError(f"there is no role {role}; there are: {', '.join(ROLES)}")
        return cls(found)

    def roles(self) -> list[str]:
        """Codes of the roles, in the order of the table."""
        held = {role for role, _ in self.grants}
        return [code for code in ROLES if code in held]

    def scopes(self, op: str) -> frozenset[str]:
        """Codes of the scopes at which this permission is held; {EVERYWHERE} when it is held in the whole city."""
        roles = PERMISSIONS.get(op, frozenset())
        found = frozenset(scope for role, scope in self.grants if role in roles)
        return frozenset({EVERYWHERE}) if EVERYWHERE in found else found

    def holds(self, op: str) -> bool:
        """Whether this permission is held anywhere."""
        return bool(self.scopes(op))

    def ops(self) -> list[str]:
        """Every permission that is held somewhere, sorted."""
        return sorted(op for op in PERMISSIONS if self.holds(op))

    def view(self, channel: str) -> View:
        """What is seen of a channel (`twin/device` is `twin`)."""
        return _view(self, channel.partition("/")[0])

    def digest(self) -> str:
        """Eight hex digits that differ where what may be read differs; "" where all of it may be read."""
        return _digest(self)


#: Rights of one who may do everything: alone on the own machine.
FULL = Rights.of((role, EVERYWHERE) for role in ROLES)


@dataclass(frozen=True, slots=True)
class View:
    """What is seen of one channel: codes of scopes, and those in which personal and confidential fields are seen."""

    scopes: frozenset[str]
    personal: frozenset[str] = frozenset()
    confidential: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether rows of every scope are seen, also those of none."""
        return EVERYWHERE in self.scopes

    def mask(self, tree: ScopeTree) -> Bool:
        """Scope rows that are seen (bool[n])."""
        return covered(self.scopes, tree)

    def sees(self, row: int, tree: ScopeTree, lent: Sequence[int] = ()) -> bool:
        """Whether a row at this scope row (-1: unknown), lent to these scope rows, is seen."""
        return inside(self.scopes, (row, *lent), tree)

    def reveals(self, row: int, tree: ScopeTree, lent: Sequence[int] = (), confidential: bool = False) -> bool:
        """Whether the personal fields of a row are seen; those of a confidential one only with that right as well."""
        places = (row, *lent)
        return inside(self.personal, places, tree) and (not confidential or inside(self.confidential, places, tree))


@lru_cache(maxsize=4096)
def _view(rights: Rights, channel: str) -> View:
    return View(rights.scopes(f"read.{channel}"), rights.scopes("read.personal"), rights.scopes("read.confidential"))


@lru_cache(maxsize=4096)
def _digest(rights: Rights) -> str:
    seen = [_view(rights, channel) for channel in CHANNELS]
    if all(v.whole and EVERYWHERE in v.personal and EVERYWHERE in v.confidential for v in seen):
        return ""
    said = repr([(sorted(v.scopes), sorted(v.personal), sorted(v.confidential)) for v in seen])
    return hashlib.blake2b(said.encode(), digest_size=4).hexdigest()


def covered(scopes: Collection[str], tree: ScopeTree) -> Bool:
    """Scope rows at or below one of these codes (bool[n]); codes that the tree does not know cover nothing."""
    n = len(tree)
    if EVERYWHERE in scopes:
        return np.ones(n, np.bool_)
    roots = [row for row in map(tree.row, scopes) if row >= 0]
    return np.asarray(np.isin(tree.ancestors()[:n], roots).any(axis=1), np.bool_)


def inside(scopes: Collection[str], rows: Iterable[int], tree: ScopeTree) -> bool:
    """Whether one of the scope rows is at or below one of these codes; row -1 is only inside `EVERYWHERE`."""
    if EVERYWHERE in scopes:
        return True
    known = [row for row in rows if 0 <= row < len(tree)]
    return any(tree.code[above] in scopes for row in known for above in tree.path(row))


def may(rights: Rights, op: str, scope_row: int, tree: ScopeTree, lent: Sequence[int] = ()) -> bool:
    """Whether a command of this type may be given for what lies at a scope row (-1: unknown place).

    `lent`: scope rows of districts that a case was lent to; they may do what a unit on the case does (`ON_LOAN`).
    """
    places = (scope_row, *lent) if op in ON_LOAN or op.startswith("read.") else (scope_row,)
    return inside(rights.scopes(op), places, tree)


def role_for(rights: Rights, op: str, scope_row: int, tree: ScopeTree) -> str:
    """Code of the first role, in the order of the table, under which this may be said there; "" for none."""
    able = PERMISSIONS.get(op, frozenset())
    held = {role: {scope for r, scope in rights.grants if r == role} for role in ROLES if role in able}
    return next((role for role, scopes in held.items() if inside(scopes, (scope_row,), tree)), "")


def masked(value: Any) -> Any:
    """The value (dicts, lists, plain values) with its personal fields empty; the same object where there are none.

    >>> masked({"code": "K1", "caller": "13900000000", "timeline": [{"fields": {"phone": "1"}}]})
    {'code': 'K1', 'caller': None, 'timeline': [{'fields': {'phone': None}}], 'masked': True}
    """
    found = _emptied(value)
    return value if found is value else {**found, "masked": True} if isinstance(found, dict) else found


def _emptied(value: Any) -> Any:
    if isinstance(value, Mapping):
        parts = {k: None if k in PERSONAL else _emptied(v) for k, v in value.items()}
        same = all(parts[k] is v for k, v in value.items())
        return value if same else parts
    if isinstance(value, list | tuple):
        items = [_emptied(v) for v in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


def discreet(value: Any) -> Any:
    """The value with the personal fields of those parts empty that are `confidential`; the same object without any.

    >>> discreet({"caller": "1", "reports": [{"caller": "2", "confidential": True}]})
    {'caller': '1', 'reports': [{'caller': None, 'confidential': True, 'masked': True}]}
    """
    if isinstance(value, Mapping):
        if value.get("confidential"):
            return masked(value)
        parts = {k: discreet(v) for k, v in value.items()}
        return value if all(parts[k] is v for k, v in value.items()) else parts
    if isinstance(value, list | tuple):
        items = [discreet(v) for v in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


def is_personal(value: Any) -> bool:
    """Whether a value holds a personal field that is not empty."""
    return _emptied(value) is not value


def places(row: Mapping[str, Any], tree: ScopeTree) -> tuple[int, ...]:
    """Scope rows of a row of a page: where it is (-1: unknown), then those that it was lent to.

    `scope` and the items of `lent` are rows or codes.
    """
    return tuple(_row(place, tree) for place in (row.get("scope"), *(row.get("lent") or ())))


def _row(place: Any, tree: ScopeTree) -> int:
    if place is None:
        return -1
    return tree.row(place) if isinstance(place, str) else int(place)


#: All of a channel.
WHOLE = FULL.view("case")
