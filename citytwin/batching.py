"""The batch optimum as a person asks for it: a proposal for all cases that wait, remembered until they are sent."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from citytwin import caserows
from citytwin.engine import Engine
from citytwin.models.desk.assignment import Offer, proposal
from citytwin.models.desk.candidates import Force, Need, Policy
from citytwin.models.desk.casebody import CaseFile
from citytwin.submissions import Desks

#: Cases of one proposal: the worst, then those that wait longest; the others are in the next one.
MOST = 100
#: How long a dispatch may be said to be of a proposal: after that the city is another one. A local default.
VALID_MS = 15 * 60_000
#: Pairs of proposals that are remembered, the newest.
KEPT = 5_000
#: Whether somebody may send to a case at a scope row (-1: unknown place).
Mine = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a proposal is made of, taken between two steps of the engine; `cases`: how many waited in all."""

    now: int
    cases: int
    needs: list[Need]
    about: list[dict[str, Any]]
    forces: list[Force]
    policy: Policy


class Batches:
    """Proposals of one door; the engine's thread gives the facts, the reckoning is the asker's."""

    def __init__(self, runtime: Desks, engine: Engine, patience_s: float) -> None:
        self._runtime, self._engine, self._patience_s = runtime, engine, patience_s
        self._lock = threading.Lock()
        #: One proposal at a time: a large one takes a second of the processor.
        self._turn = threading.Lock()
        #: By user and case: the unit that was proposed, when, and what is kept of it.
        self._made: OrderedDict[tuple[str, str], tuple[str, int, dict[str, Any]]] = OrderedDict()

    def propose(self, user: str, mine: Mine) -> dict[str, Any]:
        """What is best for the cases to which somebody may send. Raises Busy, Unavailable."""
        asked = self._runtime.call(lambda: self._facts(mine)).result(self._patience_s)
        work = self._engine.casework
        if work is None or not asked.needs:
            return _answer(asked, [], 0.0, 0.0)
        with self._turn:
            trips = work.sending.trips(asked.forces, asked.needs)
            found = proposal(asked.needs, asked.forces, trips, asked.now, asked.policy)
        kept = {"cases": len(asked.needs), "objective": round(found.objective, 3), "nearest": round(found.nearest, 3)}
        self._keep(user, asked.now, found.offers, kept)
        items = [about | _offered(offer) for about, offer in zip(asked.about, found.offers, strict=True)]
        return _answer(asked, items, found.objective, found.nearest)

    def about(self, user: str, case: str, unit: str) -> Mapping[str, Any] | None:
        """What was proposed to somebody lately, if it is this unit for this case."""
        with self._lock:
            found = self._made.get((user, case))
        now = self._engine.now
        return found[2] if found is not None and found[0] == unit and now - found[1] <= VALID_MS else None

    def _keep(self, user: str, now: int, offers: Sequence[Offer], kept: dict[str, Any]) -> None:
        with self._lock:
            for offer in offers:
                made = offer.decision
                self._made.pop((user, made.case), None)
                if made.chosen:
                    self._made[user, made.case] = made.chosen, now, kept
            while len(self._made) > KEPT:
                self._made.popitem(last=False)

    def _facts(self, mine: Mine) -> _Asked:
        engine = self._engine
        work = engine.casework
        if work is None:
            return _Asked(engine.now, 0, [], [], [], Policy())
        files = [file for file in work.sending.waiting() if mine(file.scope)]
        files.sort(key=lambda f: (f.level or 5, f.since, f.code))
        some = files[:MOST]
        needs = [work.need(file) for file in some]
        about = [self._about(file, need) for file, need in zip(some, needs, strict=True)]
        return _Asked(engine.now, len(files), needs, about, work.sending.forces(), work.sending.policy)

    def _about(self, file: CaseFile, need: Need) -> dict[str, Any]:
        work, scopes = self._engine.casework, self._engine.scopes
        assert work is not None
        return {
            "case": file.code, "rev": file.rev, "level": file.level, "title": dict(work.title(file)),
            "state": file.state, "scope": file.scope if file.scope >= 0 else None,
            "where": caserows.where(scopes, file.scope), "waiting_s": round(need.waiting_s),
            "limit_s": round(need.limit_s),
        }  # fmt: skip


def _offered(offer: Offer) -> dict[str, Any]:
    made = offer.decision
    row = next((c.row() for c in made.candidates if c.unit == made.chosen), None)
    eta = round(offer.nearest_s) if math.isfinite(offer.nearest_s) else None
    return {
        "unit": made.chosen or None, "candidate": row, "why": dict(made.why), "suggested": made.suggested or None,
        "aid": made.aid or None,
        "cost": {
            "total": round(offer.cost, 3), "time": round(offer.time, 3), "load": round(offer.load, 3),
            "leave": round(offer.leave, 3),
        },
        "nearest": {"unit": offer.nearest, "eta_s": eta} if offer.nearest else None,
    }  # fmt: skip


def _answer(asked: _Asked, items: list[dict[str, Any]], objective: float, nearest: float) -> dict[str, Any]:
    return {
        "at": asked.now, "version": asked.policy.version, "waiting": asked.cases, "units": len(asked.forces),
        "objective": {"batch": round(objective, 3), "nearest": round(nearest, 3)}, "items": items,
    }  # fmt: skip
