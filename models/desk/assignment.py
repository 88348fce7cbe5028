"""The batch optimum: which units go to which of many cases at once, by what it costs altogether.

A case that gets a unit costs ETA / limit + overload, where overload = (cases the unit has + those it gets here
before) / capacity. A case that is left costs `unserved` + urgency of its priority * waiting / limit, so that the worst
and the oldest are left last. The optimum is the least sum; a pair that costs more than leaving the case is not made. A
pair that cannot be is not in the matrix at all, no large number stands in for it. A unit with room for several cases
stands there once for each; as overload grows with each, the first place is the cheapest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from citytwin.geo.travel import Trips
from citytwin.models.columns import Bool, Float64, Int64
from citytwin.models.desk.candidates import Candidate, Force, Need, Policy, Words, candidates
from citytwin.models.desk.dispatch import Decision, suggested

NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Cases times places of units: cost[i, j] (inf: cannot be), `unit`[j] whose place it is, `leave`[i] without one."""

    cost: Float64
    unit: Int64
    leave: Float64

    def objective(self, place: Int64) -> float:
        """What an assignment costs altogether; `place`[i] of each case, NOBODY for one that is left (int64[n])."""
        served = place >= 0
        return float(self.cost[np.flatnonzero(served), place[served]].sum() + self.leave[~served].sum())


def problem(needs: Sequence[Need], forces: Sequence[Force], eta_s: Float64, able: Bool, policy: Policy) -> Problem:
    """The costs of cases n and units m; `eta_s` float64[n, m], `able` bool[n, m]: the pairs that can be."""
    n = len(needs)
    room = np.array([min(max(f.capacity - f.load, 0), n) for f in forces], np.int64)
    unit = np.repeat(np.arange(len(forces)), room)
    turn = np.arange(len(unit)) - np.repeat(np.cumsum(room) - room, room)
    load = np.array([f.load for f in forces], np.float64)[unit] + turn
    over = load / np.array([max(f.capacity, 1) for f in forces], np.float64)[unit]
    limit = np.array([need.limit_s for need in needs], np.float64)
    possible = (able & np.isfinite(eta_s))[:, unit]
    cost = np.where(possible, np.where(possible, eta_s[:, unit], 0.0) / limit[:, None] + over, np.inf)
    leave = [policy.unserved + policy.urgency[d.priority] * d.waiting_s / d.limit_s for d in needs]
    return Problem(cost, unit.astype(np.int64), np.array(leave, np.float64))


def optimum(about: Problem) -> Int64:
    """The assignment that costs least: a place of each case, NOBODY for those left (int64[n]).

    The Jonker-Volgenant method of scipy (Crouse 2016) on the matrix with a column of its own for leaving each case.
    """
    from scipy.optimize import linear_sum_assignment  # takes 0.3 s: only who assigns pays

    n, m = about.cost.shape
    own = np.full((n, n), np.inf)
    np.fill_diagonal(own, about.leave)
    _, column = linear_sum_assignment(np.hstack([about.cost, own]))
    return np.where(column < m, column, NOBODY).astype(np.int64)


def greedy(about: Problem, eta_s: Float64, needs: Sequence[Need]) -> Int64:
    """What one would do case by case: the worst first, then who waits longest, each to the nearest unit with room."""
    free = np.ones(len(about.unit), np.bool_)
    place = np.full(len(needs), NOBODY, np.int64)
    order = sorted(range(len(needs)), key=lambda i: (needs[i].priority or 5, -needs[i].waiting_s, needs[i].case))
    for i in order:
        open_ = np.flatnonzero(free & np.isfinite(about.cost[i]))
        if len(open_):
            place[i] = open_[np.lexsort((open_, eta_s[i, about.unit[open_]]))[0]]
            free[place[i]] = False
    return place


def _decision(need: Need, known: tuple[Candidate, ...], unit: str, policy: Policy) -> Decision:
    row = next((c for c in known if c.unit == unit), None)
    why: Words = {"zh": "本批力量不足，继续等待", "en": "not enough units in this batch, it waits"}
    if row is not None:
        why = {
            "zh": f"{row.name} 为整批最优：{row.why['zh']}",
            "en": f"{row.name} is best for the batch: {row.why['en']}",
        }
    aid = row.district if row is not None and not row.own else ""
    return Decision(need.case, "batch", policy.version, unit, suggested(known), known, why, (), aid)


def batch(
    needs: Sequence[Need], forces: Sequence[Force], trips: Trips, now: int, policy: Policy,
    beside: Mapping[str, frozenset[str]] | None = None,
) -> list[Decision]:  # fmt: skip
    """Decisions for cases that wait at the same time; `trips` from units (rows) to cases (columns).

    Units of the own district, and of those beside it (None: of all) for a case that no own one can reach in time.
    """
    known = [candidates(need, forces, trips, now, policy, i) for i, need in enumerate(needs)]
    able = np.zeros((len(needs), len(forces)), np.bool_)
    row = {force.code: j for j, force in enumerate(forces)}
    for i, (need, some) in enumerate(zip(needs, known, strict=True)):
        home = need.scopes[1] if len(need.scopes) > 1 else ""
        near = None if beside is None else beside.get(home, frozenset())
        alone = any(c.feasible and c.own and not c.late for c in some)
        for c in some:
            helps = not alone and (near is None or c.district in near)
            able[i, row[c.unit]] = c.feasible and (c.own or helps)
    about = problem(needs, forces, trips.seconds.T, able, policy)
    units = [forces[about.unit[p]].code if p >= 0 else "" for p in optimum(about).tolist()]
    return [_decision(*what, policy) for what in zip(needs, known, units, strict=True)]
