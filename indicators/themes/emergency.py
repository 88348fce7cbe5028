"""Emergency: who lives near an ambulance station."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Context, Indicator
from citytwin.indicators.themes.places import chord_km, lines_of_descent
from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int32, Int64

RADIUS_KM = 5.0
#: States of a station that cannot send anyone; any other, and none, is ready.
NOT_READY = frozenset({"closed", "out_of_service", "fault", "removed", "void"})
_CHUNK = 2048


class AmbulanceCoverage(Indicator):
    """Share of the population in grids whose centroid is within 5 km of a ready ambulance station, as the crow flies.

    Readiness is that of the register (state and validity of the facility), not of the single ambulance: a station with
    all units out still covers its district by the planning rule that the threshold comes from.
    """

    id = "ems_coverage_5km"
    theme = "emergency"
    window = "instant"
    unit = "%"
    better = "up"
    levels = "city district street"
    decimals = 2
    name = {"zh": "急救5公里人口覆盖率", "en": "Population within 5 km of an ambulance station"}
    meaning = {
        "zh": "网格中心 5 公里内有可用急救站的人口比例",
        "en": "Share of people in grids whose centre has a ready ambulance station within 5 km",
    }
    bands = {"yellow": 95, "red": 90}
    source = "guidance of 2020: urban service radius of at most 5 km; limits are a local default"
    status = "V"
    owner = "health"
    every = "1m"

    def __init__(self) -> None:
        self._known: tuple[bytes, Bool] = (b"", np.zeros(0, np.bool_))

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """People near a station over all people, by scope; scopes without people have no number."""
        grids, people = _grids(ctx)
        near = self._near(ctx, grids, _stations(ctx))
        covered, total = np.zeros(len(ctx.scopes), np.int64), np.zeros(len(ctx.scopes), np.int64)
        for up in lines_of_descent(ctx, grids).T:
            there = up >= 0
            np.add.at(total, up[there], people[there])
            np.add.at(covered, up[there], np.where(near, people, 0)[there])
        rows = np.flatnonzero(total > 0).astype(np.int32)
        return rows, 100 * covered[rows] / total[rows]

    def _near(self, ctx: Context, grids: Int32, stations: Int32) -> Bool:
        """Distances are worked out again only when a grid or a station was added, moved or closed."""
        rows = np.concatenate([grids, stations])
        parts = (np.array([len(grids)]), rows, ctx.entities.lon[rows], ctx.entities.lat[rows])
        asked = b"".join(part.tobytes() for part in parts)
        if asked != self._known[0]:
            self._known = (asked, _covered(ctx, grids, stations))
        return self._known[1]


def _valid(ctx: Context, rows: Int32) -> Bool:
    ends = ctx.entities.valid_to[rows]
    live: Bool = (ends == MISSING) | (ends > ctx.now)
    return live & np.isfinite(ctx.entities.lon[rows]) & np.isfinite(ctx.entities.lat[rows])


def _grids(ctx: Context) -> tuple[Int32, Int64]:
    """Grids with a centroid and a population, and that population."""
    rows = ctx.entities.of_kind("grid")
    people = np.asarray(ctx.entities.attr("population"))[rows]
    keep = _valid(ctx, rows) & (people != MISSING)
    return rows[keep], people[keep]


def _stations(ctx: Context) -> Int32:
    rows = ctx.entities.of_kind("facility")
    kind, state = ctx.entities.attr("facility_kind"), ctx.entities.attr("state")
    assert isinstance(kind, Coded)
    assert isinstance(state, Coded)
    idle = np.array([name in NOT_READY for name in state.names] + [False])
    keep = kind.equals("ems_station")[rows] & ~idle[state.codes[rows]] & _valid(ctx, rows)
    found: Int32 = rows[keep]
    return found


def _covered(ctx: Context, grids: Int32, stations: Int32) -> Bool:
    """Grids (bool[n]) that are within the radius of any station; distances through the sphere, exact to 0.5 %."""
    near = np.zeros(len(grids), np.bool_)
    if len(stations) == 0:
        return near
    lon, lat = ctx.entities.lon, ctx.entities.lat
    there = chord_km(lon[stations], lat[stations])
    limit = 2 * 6371.0088 * np.sin(RADIUS_KM / (2 * 6371.0088))
    for at in range(0, len(grids), _CHUNK):
        part = grids[at : at + _CHUNK]
        here = chord_km(lon[part], lat[part])
        square = ((here[:, None, :] - there[None, :, :]) ** 2).sum(axis=2)
        near[at : at + _CHUNK] = (square <= limit * limit).any(axis=1)
    return near


INDICATORS = (AmbulanceCoverage,)
