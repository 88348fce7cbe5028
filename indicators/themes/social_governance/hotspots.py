"""Where cases pile up: grids whose neighbourhood has more of them than chance would put there."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.geo.scopes import GRID
from citytwin.indicators.api import Context, Indicator, row, tally
from citytwin.indicators.themes.places import counted_above
from citytwin.models.columns import MISSING, Float64, Int32
from citytwin.models.hotspots import Neighbours, getis_ord
from citytwin.models.nearby import nearest

#: Level of significance: z = 2.58 is 99 % two-sided.
ALPHA, LEAST_Z = 0.01, 2.58
#: Neighbours of a grid, as many as stand around a square.
NEAREST = 8
METRES_A_DEGREE = 111_195.0


class HotSpotGrids(Indicator):
    """Grids at the heart of a hot spot: Gi* of the cases filed in 7 days with z >= 2.58, at a false discovery rate of
    1 % (Benjamini-Hochberg) over all grids.

    Neighbours are the eight nearest grids by their centres, and those that have a grid among their own eight: grids
    are small in town and large outside, so one distance would leave some without any neighbour and give others fifty.
    Cases count where they lie and since they were filed; merged, voided and rejected ones do not. The catalogue gives
    it a tumbling window of an hour, which is how often it was to be worked out; the counts are those of 7 days in
    hours, worked out every minute, so that a new cluster is seen while it grows. Without any case, and where all grids
    have as many, there is no hot spot.
    """

    id = "case_hotspot_grids"
    theme = "social_governance"
    window = "sliding 7d/1h"
    unit = "count"
    better = "down"
    levels = "city district street"
    decimals = 0
    name = {"zh": "案件热点网格数", "en": "Hot spot grids"}
    meaning = {
        "zh": "7 天立案数显著高于周边期望（Gi* z≥2.58，经错误发现率校正）的网格数",
        "en": "Grids with significantly many cases of 7 days around them (Gi* z >= 2.58, false discovery rate 1 %)",
    }
    bands = {"yellow": 1, "red": 10}
    source = "Ord & Getis 1995; z 2.58 is 99 % two-sided; limits are a local default"
    status = "K"
    owner = "command centre"
    feeds = (("case", ""),)
    every = "1m"
    whole = True
    aggregates = {"filed": tally("case", where=row.counted == 1, at=row.filed_at)}

    def __init__(self) -> None:
        self._known: tuple[bytes, Neighbours] | None = None

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Hot grids below each scope that has grids."""
        grids, scopes = _grids(ctx)
        found = getis_ord(ctx.tally("filed")[scopes], self._neighbours(ctx, grids))
        hot = scopes[(found.z >= LEAST_Z) & found.hot(ALPHA)]
        at = np.flatnonzero(counted_above(ctx, scopes) > 0).astype(np.int32)
        return at, counted_above(ctx, hot)[at].astype(np.float64)

    def _neighbours(self, ctx: Context, grids: Int32) -> Neighbours:
        """Worked out again only when a grid was added, moved or ended."""
        lon, lat = ctx.entities.lon[grids], ctx.entities.lat[grids]
        asked = grids.tobytes() + lon.tobytes() + lat.tobytes()
        if self._known is None or self._known[0] != asked:
            self._known = asked, neighbours(lon, lat)
        return self._known[1]


def neighbours(lon: Float64, lat: Float64) -> Neighbours:
    """Mutual neighbours of places (degrees, float64[n]): the eight nearest, on the plane of their mean latitude.

    Places are taken in whole metres, so that equal distances are equal; of those the first row is nearer.
    """
    n = len(lon)
    if n == 0:
        return Neighbours(np.zeros(1, np.int64), np.zeros(0, np.int64))
    wide = np.cos(np.radians(lat.sum() / n))
    x, y = np.rint(lon * wide * METRES_A_DEGREE), np.rint(lat * METRES_A_DEGREE)
    near = nearest(x.astype(np.int64), y.astype(np.int64), NEAREST)
    return Neighbours.of_pairs(n, np.repeat(np.arange(n), near.shape[1]), near.ravel())


def _grids(ctx: Context) -> tuple[Int32, Int32]:
    """Entity rows of the grids that exist and have a centre, and their scope rows."""
    e = ctx.entities
    grids = e.of_kind("grid")
    ends, scope = e.valid_to[grids], e.scope[grids]
    keep = ((ends == MISSING) | (ends > ctx.now)) & np.isfinite(e.lon[grids]) & np.isfinite(e.lat[grids])
    keep &= (scope >= 0) & (ctx.scopes.level[scope] == GRID)
    return grids[keep], scope[keep]
