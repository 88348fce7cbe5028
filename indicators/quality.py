"""Quality of values by scope: which of the expected inputs were in time, and what that makes of the value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.api import Aggregate, Window, ent, row
from citytwin.indicators.expr import lift
from citytwin.indicators.tally import Tally
from citytwin.models.columns import Bool, Float64, Int32, UInt8
from citytwin.models.frame import Quality

#: A parent is partial when fewer than this share of its inputs is in time.
ENOUGH = 0.98
_INSTANT = Window("instant")
_PERIODS = 2


def feed_tallies(aggregates: Aggregates, feed: tuple[str, str]) -> tuple[Tally, Tally]:
    """Tallies (fresh, expected) of one feed: (table, property) or (table, "")."""
    table, prop = feed
    if table in aggregates.entity_kinds():
        seen, where = row.last_seen, row.in_service == 1
        period = row.period_s
    else:
        seen, period = row.time, ent.period_s
        where = (row.property == prop) & (ent.in_service != 0) if prop else lift(True)
    end = seen + period * (1000 * _PERIODS)
    parts = []
    for start, stop in ((seen, end), (None, None)):
        spec = Aggregate("tally", table, lift(1), where, start=start, end=stop)
        parts.append(aggregates.tally(spec, _INSTANT))
    return parts[0], parts[1]


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Inputs in time and inputs expected by scope (int32[n])."""

    fresh: Int32
    expected: Int32

    @classmethod
    def of(cls, tallies: list[tuple[Tally, Tally]], n: int) -> Coverage:
        """Sum over feeds."""
        fresh, expected = np.zeros(n, np.int64), np.zeros(n, np.int64)
        for in_time, all_of in tallies:
            fresh += in_time.rolled.total.data
            expected += all_of.rolled.total.data
        return cls(fresh.astype(np.int32), expected.astype(np.int32))


def stale_children(stale: Bool, scopes: ScopeTree) -> Bool:
    """Scopes of which a direct child is stale."""
    rows = np.flatnonzero(stale)
    out = np.zeros(len(stale), np.bool_)
    parent = scopes.parent[rows]
    out[parent[parent >= 0]] = True
    return out


def grade(values: Float64, coverage: Coverage | None, provisional: bool, scopes: ScopeTree) -> UInt8:
    """Quality of each scope's value (uint8[n] of models.frame.Quality)."""
    n = len(values)
    out = np.full(n, Quality.PROVISIONAL if provisional else Quality.GOOD, np.uint8)
    if coverage is not None:
        some = coverage.expected > 0
        stale = some & (coverage.fresh == 0)
        partial = some & (coverage.fresh < ENOUGH * coverage.expected) | stale_children(stale, scopes)
        out[partial] = Quality.PARTIAL
    out[np.isnan(values)] = Quality.NODATA
    if coverage is not None:
        out[stale] = Quality.STALE
    return out
