"""What of an answer somebody sees: rows of pages filtered and masked, scopes cut to what may be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from citytwin.dashboards.people import Person, forbidden
from citytwin.dashboards.ports import Page
from citytwin.models.columns import Bool
from citytwin.models.desk.rights import covered, discreet, masked, places

#: Rows that are read at once while those that may be seen are looked for: cases are listed whole anyway.
CHUNKS = {"case": 100_000}
CHUNK = 2_000


def shown(person: Person, channel: str, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A row as a person sees it: None when it is not theirs, personal fields empty where they are not for them.

    `scope` and `lent` of the row (scope rows or codes) say where it is; `confidential`, that the caller asked for it.
    """
    view, (place, *lent) = person.view(channel), places(row, person.tree)
    if not view.sees(place, person.tree, lent):
        return None
    if view.reveals(place, person.tree, lent, confidential=True):
        return row
    found: Mapping[str, Any] = discreet(row) if view.reveals(place, person.tree, lent) else masked(row)
    return found


def page_of(
    read: Callable[[int, str], Page | None], person: Person, channel: str, limit: int, after: str
) -> Page | None:
    """A page of what a person sees: `read(limit, after)` is asked until it is full or there is no more."""
    if person.view(channel).whole:
        found = read(limit, after)
        return found and Page([row for r in found.items if (row := shown(person, channel, r)) is not None], found.next)
    items: list[Mapping[str, Any]] = []
    while True:
        found = read(max(CHUNKS.get(channel, CHUNK), limit), after)
        if found is None:
            return None
        for row in found.items:
            seen = shown(person, channel, row)
            if seen is None:
                continue
            if len(items) == limit:
                return Page(items, str(items[-1]["code"]))
            items.append(seen)
        if not found.next:
            return Page(items)
        after = found.next


def cut(person: Person, channel: str, mask: Bool, asked: str | None) -> Bool:
    """Wanted scope rows without those that may not be read. Raises Trouble (403) where a named scope leaves none."""
    view = person.view(channel)
    if view.whole:
        return mask
    found: Bool = mask & covered(view.scopes, person.tree)[: len(mask)]
    if asked is not None and mask.any() and not found.any():
        raise forbidden(f"read {channel} of {asked}")
    return found


def at_scope(person: Person, channel: str, row: int) -> None:
    """Raise Trouble (403) where a scope may not be read."""
    if not person.sees(channel, row):
        raise forbidden(f"read {channel} of {person.tree.code[row]}")
