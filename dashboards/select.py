"""Filters of subscriptions made into rows: a selection is shared by all clients that ask for the same."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from citytwin.dashboards.mirror import Entry, Twins
from citytwin.dashboards.protocol import Filter
from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.models.columns import Bool, Int64
from citytwin.models.desk.rights import EVERYWHERE, WHOLE, View
from citytwin.models.desk.roles import PERSONAL

ALLOWED = {
    "ind": {"scope", "depth", "level", "ids"},
    "twin": {"scope", "ids", "bbox", "fields"},
    "case": {"scope"},
    "ticker": {"scope"},
    "alarm": {"scope"},
    "unit": {"scope"},
    "sys": set(),
}


class BadFilter(ValueError):
    """A filter that cannot be met: a reason code and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def check(base: str, filter: Filter) -> None:
    """Raise BadFilter when the channel has no such filter or the values make no sense."""
    given = {name for name in filter.__struct_fields__ if getattr(filter, name) is not None}
    wrong = sorted(given - ALLOWED[base])
    if wrong:
        can = ", ".join(sorted(ALLOWED[base])) or "none"
        raise BadFilter("bad_filter", f"channel {base} has no filter {', '.join(wrong)}; it has: {can}")
    if filter.depth is not None and filter.level is not None:
        raise BadFilter("bad_filter", "give depth or level, not both")
    if filter.bbox is not None:
        west, south, east, north = filter.bbox
        if not all(map(math.isfinite, filter.bbox)) or west > east or south > north:
            raise BadFilter("bad_filter", "bbox is west, south, east, north in degrees")


class Selection:
    """The rows that one filter wants and a view lets see; with what was last encoded for it, so that equals share it.

    `epoch`: what messages call the epoch; `name`: under which the hub keeps it. Raises BadFilter.
    """

    def __init__(
        self, channel: str, filter: Filter, tree: ScopeTree, view: View = WHOLE, epoch: str = "",
        name: tuple[str, bytes, str] = ("", b"", ""),
    ) -> None:  # fmt: skip
        self.channel, self.filter, self.tree, self.view = channel, filter, tree, view
        self.epoch, self.name = epoch, name
        self.base = channel.partition("/")[0]
        check(self.base, filter)
        self.root = 0
        if filter.scope is not None:
            self.root = tree.row(filter.scope)
            if self.root < 0:
                raise BadFilter("unknown_scope", f"no scope has the code {filter.scope}")
        self._permitted()
        self.users = 0
        self.n = 0
        self.mask: Bool = np.zeros(0, np.bool_)
        self.cached_head: Any = None
        self.cache: dict[Any, Any] = {}

    def _permitted(self) -> None:
        """Raise BadFilter where nothing of what is asked for may be seen."""
        seen = self.view.scopes
        if not seen:
            raise BadFilter("forbidden", f"you may not read {self.base}")
        if self.filter.scope is None or self.view.whole:
            return
        below = self.tree.ancestors()[:, int(self.tree.level[self.root])] == self.root
        if not (self.view.mask(self.tree) & below).any():
            raise BadFilter("forbidden", f"you may not read {self.base} of {self.filter.scope}")

    def scopes(self) -> Bool:
        """Mask of the scope rows wanted (bool[n]); grows with the tree."""
        n = len(self.tree)
        if n != self.n:
            self.mask, self.n = self._scopes(n), n
        return self.mask

    def _scopes(self, n: int) -> Bool:
        level = self.tree.level[:n]
        top = int(level[self.root])
        mask: Bool = self.tree.ancestors()[:n, top] == self.root
        if not self.view.whole:
            mask &= self.view.mask(self.tree)[:n]
        if self.base != "ind":
            return mask
        if self.filter.level is not None:
            mask &= level == LEVELS.index(self.filter.level)
        else:
            mask &= level <= top + (self.filter.depth or 0)
        return mask

    def has_scope(self, row: int) -> bool:
        """Whether an entry at this scope row (-1: none) is wanted and seen."""
        if self.filter.scope is None and self.view.whole:
            return True
        mask = self.scopes()
        return 0 <= row < len(mask) and bool(mask[row])

    def entry(self, entry: Entry) -> msgspec.Raw | None:
        """An entry of a log channel as it is seen: whole, without personal fields, as one that is gone, or not."""
        if not any(map(self.has_scope, entry.places)):
            return entry.gone if any(map(self.has_scope, entry.left)) else None
        if entry.masked is entry.text:
            return entry.text
        row, *lent = entry.places
        return entry.text if self.view.reveals(row, self.tree, lent, entry.confidential) else entry.masked

    def twin(self, table: Twins) -> Bool:
        """Mask of the slots wanted (bool[slots]); what is gone is not."""
        n = len(table)
        mask: Bool = ~table.gone[:n]
        f = self.filter
        if f.bbox is not None:
            west, south, east, north = f.bbox
            lon, lat = table.lon[:n], table.lat[:n]
            mask &= (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
        if f.scope is not None or not self.view.whole:
            wanted, scope = self.scopes(), table.scope[:n]
            inside = (scope >= 0) & (scope < len(wanted))
            mask &= inside
            mask[inside] &= wanted[scope[inside]]
        if f.ids is not None:
            chosen: Bool = np.zeros(n, np.bool_)
            chosen[[table.by_code[c] for c in f.ids if c in table.by_code]] = True
            mask &= chosen
        return mask

    def fields(self, columns: Iterable[str]) -> list[str] | None:
        """Columns of a twin table to show; None for all. Personal ones only where all that is seen reveals them."""
        personal = EVERYWHERE in self.view.personal or self.view.scopes <= self.view.personal
        if personal or PERSONAL.isdisjoint(columns):
            return self.filter.fields
        return [c for c in (self.filter.fields or columns) if c not in PERSONAL]

    def remember(self, head: Any, key: Any, make: Any) -> Any:
        """What `make()` gave for this key at this head: made once, forgotten when the head moves on."""
        if self.cached_head != head:
            self.cache.clear()
            self.cached_head = head
        if key not in self.cache:
            if len(self.cache) >= 64:
                self.cache.pop(next(iter(self.cache)))
            self.cache[key] = make()
        return self.cache[key]


def split(rows: Int64, size: int) -> list[Int64]:
    """Rows in runs of at most `size`."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]
