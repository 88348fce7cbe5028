"""Grid workers: who is on post, and which grids they walked through."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.geo.scopes import GRID
from citytwin.indicators.api import Context, Indicator, col, count, now, row, rows
from citytwin.indicators.themes.places import counted_above
from citytwin.models.columns import Coded, Float64, Int32

#: A position counts as where somebody is for half an hour.
POSITION_MS = 30 * 60_000
#: Who says nothing for longer than a shift has gone home, whatever the last word was.
SHIFT_MS = 12 * 3_600_000


class GridWorkerPresence(Indicator):
    """Grid workers on duty whose newest position is not older than 30 minutes and lies in their own grid, over all
    on duty, counted at that grid.

    On duty is who said so with the newest position, at most 12 hours ago (a local default: the catalogue's shifts are
    in no register); `home` is the code of the grid. A worker whose home is no known grid is on duty and nowhere on
    post, and counts where the position is.
    """

    id = "grid_worker_presence"
    theme = "social_governance"
    window = "instant"
    unit = "%"
    better = "up"
    levels = "city district street community"
    decimals = 2
    name = {"zh": "网格员在岗率", "en": "Grid worker on-post rate"}
    meaning = {
        "zh": "在班网格员中最近 30 分钟内位于本人网格的比例",
        "en": "Share of the grid workers on duty who were in their own grid within the last 30 minutes",
    }
    bands = {"yellow": 90, "red": 80}
    source = "local default"
    status = "L"
    owner = "grid management"
    feeds = (("vehicle.pos", ""),)
    every = "10s"
    whole = True
    aggregates = {
        "on_duty": rows(
            "vehicle.pos",
            (row.kind == "grid_worker") & (row.on_duty == 1) & (now < row.time + SHIFT_MS),
            home=row.home,
            time=row.time,
        )
    }

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Workers on post over workers on duty, by the grid they belong to."""
        found = ctx.rows("on_duty")
        home = _grids_named(ctx, found.code("home"))
        on_post = (home == found.scope) & (found.number("time") + POSITION_MS >= ctx.now)
        place = np.where(home < 0, found.scope, home).astype(np.int32)
        duty, post = counted_above(ctx, place), counted_above(ctx, place[on_post])
        at = np.flatnonzero(duty > 0).astype(np.int32)
        return at, 100 * post[at] / duty[at]


def _grids_named(ctx: Context, codes: Coded) -> Int32:
    """Scope rows of the grids of these codes (int32[n]), -1 where the code is no grid's."""
    known = np.array([ctx.scopes.row(str(name)) for name in codes.names] + [-1], np.int32)
    found = known[codes.codes]
    return np.where((found >= 0) & (ctx.scopes.level[found] == GRID), found, -1).astype(np.int32)


class GridPatrolCoverage(Indicator):
    """Grids in which a grid worker on duty was within the last 24 hours, over all grids.

    The catalogue's tumbling day begins every morning at 0 % and would be red until the evening; a day that slides by
    the hour asks the same question at any time. A position that lies in no grid visits none. A position without the
    flag of duty is one on duty.
    """

    id = "grid_patrol_coverage"
    theme = "social_governance"
    window = "sliding 24h/1h"
    unit = "%"
    better = "up"
    levels = "city district street community"
    decimals = 2
    name = {"zh": "网格巡查覆盖率", "en": "Grid patrol coverage"}
    meaning = {
        "zh": "24 小时内有网格员巡查到的网格比例",
        "en": "Share of the grids that a grid worker walked through within 24 hours",
    }
    bands = {"yellow": 95, "red": 85}
    source = "local default"
    status = "L"
    owner = "grid management"
    feeds = (("vehicle.pos", ""),)
    every = "1m"
    aggregates = {"visits": count("vehicle.pos", (col.kind == "grid_worker") & ~(col.on_duty == 0))}

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Grids with a visit over grids, by scope."""
        grids = ctx.scopes.at_level(GRID)
        grids = grids[~ctx.scopes.unlocated[grids]]
        seen = grids[ctx.tally("visits")[grids] > 0]
        visited, there = counted_above(ctx, seen), counted_above(ctx, grids)
        at = np.flatnonzero(there > 0).astype(np.int32)
        return at, 100 * visited[at] / there[at]
