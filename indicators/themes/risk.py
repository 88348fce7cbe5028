"""The risk of a grid: how likely at least one of several troubles is, from what is measured there."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.geo.scopes import GRID
from citytwin.indicators.api import Context, Indicator, ind, row, tally
from citytwin.models.columns import Bool, Float64, Int32, Int64
from citytwin.models.risk import Part, noisy_or

#: Categories of cases that cannot wait.
URGENT = ("power_outage", "gas_leak", "water.burst", "flood.waterlog", "traffic.accident", "traffic.signal")
#: Indicators that are parts, and how each becomes a probability: local defaults, published here.
MEASURED: dict[str, Part] = {
    "case_overdue_open": Part("overdue cases", 4.0, 1.0, 0.0),
    "waterlog_risk_max": Part("waterlogging", 70.0, 0.1, 20.0),
    "crowd_density_max": Part("crowding", 3.0, 2.0, 0.5),
    "gas_ch4_max": Part("methane", 15.0, 0.4, 5.0),
}
#: Counts of rows that are parts.
COUNTED: dict[str, Part] = {
    "urgent": Part("open urgent cases", 3.0, 1.2, 0.0),
    "hazards": Part("hazards beyond their deadline", 3.0, 1.2, 0.0),
    "sites": Part("sites of major hazard", 6.0, 0.8, 0.0),
}


class GridRisk(Indicator):
    """100 * (1 - prod(1 - p)) over the parts of a grid; a coarser scope has the highest risk of its grids.

    The catalogue names open urgent and overdue cases, waterlogging, crowds, gas, fire load and hazards; fire load is
    the number of organisations that the register marks as a major hazard. A part without a value adds nothing; where
    none of the measured parts has one there is no number. It is instant: the catalogue's tumbling ten minutes are a
    publishing period, and one frame wants all of its numbers to be of one moment.
    """

    id = "grid_risk_score"
    theme = "composite"
    window = "instant"
    unit = "0-100"
    better = "down"
    levels = "city district street community grid"
    decimals = 1
    name = {"zh": "网格综合风险分", "en": "Grid risk score"}
    meaning = {
        "zh": "网格内至少发生一类险情的可能性（紧急与超期案件、渍水、人群、燃气、隐患、危险源），上级取最高网格",
        "en": "Chance of at least one kind of trouble in a grid; a coarser scope has that of its worst grid",
    }
    bands = {"yellow": 60, "red": 80}
    source = "local default: parts, middles, slopes and limits"
    status = "L"
    owner = "command centre"
    every = ""
    aggregates = {
        **{id: ind(id) for id in MEASURED},
        "urgent": tally("case", where=(row.open == 1) & row.category.isin(URGENT)),
        "hazards": tally("hazard", where=~row.rectified_at.known(), start=row.due_at + 1),
        "sites": tally("organisation", where=(row.major_hazard == 1) & ~row.valid_to.known()),
    }

    def __init__(self) -> None:
        self._own: Float64 = np.zeros(0)
        self._worst: Float64 = np.zeros(0)

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Risk of the grids at which a part moved, and of every scope above that has another worst grid now."""
        grids = ctx.scopes.level == GRID
        moved = ctx.moved() & grids
        if len(self._own) != len(ctx.scopes):  # the first time, or the city grew
            self._own, self._worst = np.full((2, len(ctx.scopes)), np.nan)
            moved = grids
        at = np.flatnonzero(moved)
        self._own[at] = self.risk(ctx, at)
        before, self._worst = self._worst, worst(self._own, ctx.scopes.ancestors())
        rows = np.flatnonzero(ctx.moved() | moved | differs(before, self._worst)).astype(np.int32)
        return rows, self._worst[rows]

    def risk(self, ctx: Context, at: Int64) -> Float64:
        """Risk of grids, NaN where no measured part has a value."""
        found = {id: ctx.value(id)[at] for id in MEASURED}
        parts = [MEASURED[id].probability(v) for id, v in found.items()]
        parts += [part.probability(ctx.tally(name)[at]) for name, part in COUNTED.items()]
        known = ~np.isnan(np.array(list(found.values()))).all(axis=0)
        return np.where(known, noisy_or(parts), np.nan)


def worst(own: Float64, ancestors: Int32) -> Float64:
    """The largest value of the grids below each scope, its own included; NaN where none has one."""
    out = np.full(len(own), -np.inf)
    known = np.flatnonzero(~np.isnan(own))
    for up in ancestors[known].T:
        there = up >= 0
        np.maximum.at(out, up[there], own[known[there]])
    return np.where(np.isneginf(out), np.nan, out)


def differs(a: Float64, b: Float64) -> Bool:
    """Where two columns hold something else."""
    same: Bool = (a == b) | (np.isnan(a) & np.isnan(b))
    return ~same
