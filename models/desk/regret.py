"""Regret: how much worse a day was dispatched as it came than it could have been with all cases known.

The model of a day: time goes by steps. Case i is known from step `at[i]`. A unit that is sent to it comes from its
home, is away for `away[i, u]` steps and home again. What a case costs is (time waited + ETA) / limit, or `leave[i]` if
nobody was sent within `patience` steps. The offline optimum is the exact least sum of that, a mixed integer programme
over (case, unit, steps waited). Online dispatch could have made its schedule too, so that regret is never below 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from citytwin.models.columns import Bool, Float64, Int64

#: Chooses for cases (rows) that wait and units (columns) that are free: a unit of each case or -1 (int64[n]).
#: It is given the rows and columns, and for how many steps each case has waited.
Choose = Callable[[Int64, Int64, Int64], Int64]


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """A day of n cases and m units as told above: arrays of [n] or [n, m], `at` and `away` in steps."""

    at: Int64
    eta_s: Float64
    able: Bool
    away: Int64
    limit_s: Float64
    leave: Float64
    step_s: float
    patience: int

    def cost(self, waited: Int64) -> Float64:
        """What each pair costs when case i waited so many steps, inf where it cannot be: float64[n, m]."""
        seconds = waited[:, None] * self.step_s + self.eta_s
        out: Float64 = np.where(self.able, seconds / self.limit_s[:, None], np.inf)
        return out

    def total(self, unit: Int64, waited: Int64) -> float:
        """What a day cost: the unit of each case, -1 if it was left, and the steps it waited (int64[n] each)."""
        sent = unit >= 0
        rows = np.flatnonzero(sent)
        return float(self.cost(waited)[rows, unit[rows]].sum() + self.leave[~sent].sum())


def replay(day: Day, choose: Choose) -> tuple[Int64, Int64]:
    """Dispatch the day as it comes: the unit of each case (-1 left) and the steps that it waited (int64[n] each)."""
    n, m = day.eta_s.shape
    unit, waited = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    back = np.zeros(m, np.int64)
    for step in range(int(day.at.min(initial=0)), int(day.at.max(initial=-1)) + day.patience):
        rows = np.flatnonzero((unit < 0) & (day.at <= step) & (step - day.at < day.patience))
        free = np.flatnonzero(back <= step)
        if not len(rows) or not len(free):
            continue
        picked = choose(rows, free, step - day.at[rows])
        for i, u in zip(rows.tolist(), picked.tolist(), strict=True):
            if u >= 0:
                unit[i], waited[i], back[u] = u, step - day.at[i], step + day.away[i, u]
    return unit, waited


def offline(day: Day) -> tuple[Int64, Int64]:
    """The best that could have been done with all cases known: units and waits as of `replay`.

    RuntimeError if the solver (HiGHS) finds no optimum, which cannot be as leaving every case is allowed.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, vstack

    case, unit, wait = (axis.ravel() for axis in np.indices((*day.eta_s.shape, day.patience)))
    kept = day.able[case, unit]
    case, unit, wait = case[kept], unit[kept], wait[kept]
    start, n, x = day.at[case] + wait, len(day.at), len(case)
    price = (wait * day.step_s + day.eta_s[case, unit]) / day.limit_s[case]
    once = csr_array((np.ones(x + n), (np.concatenate([case, np.arange(n)]), np.arange(x + n))), shape=(n, x + n))
    # one row for each unit and step: of all ways that hold the unit then, at most one is taken
    steps = day.away[case, unit]
    column = np.repeat(np.arange(x), steps)
    within = np.arange(len(column)) - np.repeat(np.cumsum(steps) - steps, steps)
    line = unit[column] * (int((start + steps).max(initial=0)) + 1) + start[column] + within
    lines, line = np.unique(line, return_inverse=True)
    alone = csr_array((np.ones(len(column)), (line, column)), shape=(len(lines), x + n))
    rows = vstack([once, alone])
    low = np.concatenate([np.ones(n), np.full(len(lines), -np.inf)])
    found = milp(
        np.concatenate([price, day.leave]), integrality=np.ones(x + n), bounds=Bounds(0, 1),
        constraints=LinearConstraint(rows, low, 1), options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    if found.x is None:
        raise RuntimeError(f"no optimum was found: {found.message}")
    taken = np.flatnonzero(found.x[:x] > 0.5)
    out, waited = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    out[case[taken]], waited[case[taken]] = unit[taken], wait[taken]
    return out, waited
