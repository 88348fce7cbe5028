"""The batch optimum: which units go to which of many cases at once, by what it costs altogether.

A case that gets a unit costs ETA / limit + overload, where overload = (cases the unit has + those it gets here
before) / capacity. A case that is left costs `unserved` + urgency of its priority * waiting / limit, so that the worst
and the oldest are left last. The optimum is the least sum; a pair that costs more than leaving the case is not made. A
pair that cannot be is not in the matrix at all, no large number stands in for it. A unit with room for several cases
stands there once for each; as overload grows with each, the first place is the cheapest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from citytwin.geo.travel import Trips
from citytwin.models.columns import Bool, Float64, Int64
from citytwin.models.desk.candidates import Candidate, Force, Need, Policy, Words, candidates
from citytwin.models.desk.dispatch import Decision, by_batch, suggested

NOBODY = -1
WAITS: Words = {"zh": "本批力量不足，继续等待", "en": "not enough units in this batch, it waits"}


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


@dataclass(frozen=True, slots=True)
class Offer:
    """What a batch proposes for one case: the decision, what it costs, and what greedy nearest would do.

    `time` (ETA / limit) and `load` (overload) make its cost, both 0 without a unit; `leave`: the cost of leaving it.
    `nearest`: the unit that greedy nearest takes, "" for none, there in `nearest_s` seconds (inf without one).
    """

    decision: Decision
    time: float
    load: float
    leave: float
    nearest: str
    nearest_s: float

    @property
    def cost(self) -> float:
        """What the case costs in the batch."""
        return self.time + self.load if self.decision.chosen else self.leave


@dataclass(frozen=True, slots=True)
class Proposal:
    """Offers in the order of the cases, with what all cost: as proposed, and as greedy nearest would have it."""

    offers: tuple[Offer, ...]
    objective: float
    nearest: float


def _decision(need: Need, known: tuple[Candidate, ...], unit: str, policy: Policy) -> Decision:
    found = Decision(need.case, "batch", policy.version, "", suggested(known), known, WAITS)
    return by_batch(found, unit) if unit else found


def _able(
    needs: Sequence[Need], forces: Sequence[Force], known: Sequence[tuple[Candidate, ...]],
    beside: Mapping[str, frozenset[str]] | None, aided: Bool,
) -> Bool:  # fmt: skip
    """Pairs that can be (bool[n, m]): a neighbour only where no own unit can be there in time, and where `aided`."""
    able = np.zeros((len(needs), len(forces)), np.bool_)
    row = {force.code: j for j, force in enumerate(forces)}
    for i, (need, some) in enumerate(zip(needs, known, strict=True)):
        home = need.scopes[1] if len(need.scopes) > 1 else ""
        near = None if beside is None else beside.get(home, frozenset())
        alone = not aided[i] and any(c.feasible and c.own and not c.late for c in some)
        for c in some:
            helps = not alone and (near is None or c.district in near)
            able[i, row[c.unit]] = c.feasible and (c.own or helps)
    return able


def _settled(
    needs: Sequence[Need], forces: Sequence[Force], known: Sequence[tuple[Candidate, ...]], eta_s: Float64,
    policy: Policy, beside: Mapping[str, frozenset[str]] | None,
) -> tuple[Problem, Int64]:  # fmt: skip
    """The problem and its optimum; a case whose own units go to others of the batch may be helped by neighbours."""
    aided = np.zeros(len(needs), np.bool_)
    while True:
        about = problem(needs, forces, eta_s, _able(needs, forces, known, beside, aided), policy)
        best = optimum(about)
        left = (best == NOBODY) & ~aided
        if not left.any():
            return about, best
        aided |= left


def proposal(
    needs: Sequence[Need], forces: Sequence[Force], trips: Trips, now: int, policy: Policy,
    beside: Mapping[str, frozenset[str]] | None = None,
) -> Proposal:  # fmt: skip
    """What is best for cases that wait at the same time; `trips` from units (rows) to cases (columns).

    Units of the own district, and of those beside it (None: of all) for a case to which no own one is left that can
    be there in time.
    """
    known = [candidates(need, forces, trips, now, policy, i) for i, need in enumerate(needs)]
    eta = trips.seconds.T
    about, best = _settled(needs, forces, known, eta, policy, beside)
    plain = greedy(about, eta, needs)
    offers = []
    for i, (need, some) in enumerate(zip(needs, known, strict=True)):
        place, other = int(best[i]), int(plain[i])
        unit = int(about.unit[place]) if place >= 0 else NOBODY
        time = float(eta[i, unit]) / need.limit_s if place >= 0 else 0.0
        load = float(about.cost[i, place]) - time if place >= 0 else 0.0
        made = _decision(need, some, forces[unit].code if place >= 0 else "", policy)
        nearest = forces[about.unit[other]].code if other >= 0 else ""
        seconds = float(eta[i, about.unit[other]]) if other >= 0 else math.inf
        offers.append(Offer(made, time, load, float(about.leave[i]), nearest, seconds))
    return Proposal(tuple(offers), about.objective(best), about.objective(plain))


def batch(
    needs: Sequence[Need], forces: Sequence[Force], trips: Trips, now: int, policy: Policy,
    beside: Mapping[str, frozenset[str]] | None = None,
) -> list[Decision]:  # fmt: skip
    """The decisions of `proposal` alone."""
    return [offer.decision for offer in proposal(needs, forces, trips, now, policy, beside).offers]
