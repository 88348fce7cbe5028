"""Whom to send to a case: candidates of now, the decision with its reasons, and what a rule sends by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin import caserows
from citytwin.geo.travel import Trips
from citytwin.models.columns import Float64
from citytwin.models.desk.assignments import Assignment
from citytwin.models.desk.candidates import Candidate, Force, Need, Policy, candidates
from citytwin.models.desk.casebody import CaseFile
from citytwin.models.desk.dispatch import SYSTEM, Decision, automatic, by_batch, by_hand, decide
from citytwin.models.desk.event import Draft
from citytwin.models.desk.receipt import reminder, unanswered

if TYPE_CHECKING:
    from citytwin.casework import Casework

#: Candidates that a case shows.
SHOWN = 20
#: Cases that are looked at in one tick because a rule may send to them alone; the others come in the next ones.
LOOKED_AT = 20
#: The states in which a case waits for a unit.
WAITING = ("filed", "returned")


def _places(some: Sequence[Force] | Sequence[Need]) -> tuple[Float64, Float64]:
    """Degrees of units or cases, NaN where unknown (float64[n] each)."""
    return np.array([one.lon for one in some], np.float64), np.array([one.lat for one in some], np.float64)


class Dispatching:
    """The strategies over the cases and units of one desk."""

    def __init__(self, work: Casework, policy: Policy | None = None) -> None:
        self._work = work
        self._policy = policy or Policy()
        #: Open cases that wait for a unit and that a rule may send to, in the order in which they came.
        self._waiting: dict[str, None] = {}

    @property
    def policy(self) -> Policy:
        """What dispatch goes by, with the rules that are in force now."""
        rules = self._work.engine.rules
        alone = {r.id for r in rules.rules if r.case is not None and r.case.automatic} if rules is not None else set()
        return replace(self._policy, automatic=self._policy.automatic | alone)

    def forces(self) -> list[Force]:
        """All units that are known, as dispatch sees them."""
        scopes = self._work.engine.scopes
        known = self._work.units.known()
        return [Force.of(u, caserows.path(scopes, scopes.row(u.home)) if u.home else ()) for u in known]

    def trips(self, forces: Sequence[Force], needs: Sequence[Need]) -> Trips:
        """The ways from units (rows) to cases (columns)."""
        (lon, lat), (to_lon, to_lat) = _places(forces), _places(needs)
        return self._work.travel.trips(lon, lat, to_lon, to_lat)

    def candidates(self, file: CaseFile) -> list[Candidate]:
        """Units for a case, the best first."""
        forces = [] if file.over else self.forces()
        if not forces:
            return []
        need = self._work.need(file)
        return list(candidates(need, forces, self.trips(forces, [need]), self._work.engine.now, self._policy))

    def waiting(self) -> list[CaseFile]:
        """Open cases that a dispatcher may send a unit to now; no drills, which take no unit from what is real."""
        work, law, now = self._work, self._work.law, self._work.engine.now
        found = (work.file(code) for code, file in work.files.items() if file.state in (*WAITING, "dispatched"))
        return [
            file
            for file in found
            if file is not None
            and (file.state in WAITING or self.unanswered(file, now) is not None)
            and not (file.drill or file.designated or file.stuck(law))
        ]

    def rows(self, file: CaseFile) -> list[dict[str, Any]]:
        """Candidates as pages show them; those that work on the case are always among them."""
        at_work = {unit.unit for unit in file.units()}
        return [c.row() for i, c in enumerate(self.candidates(file)) if i < SHOWN or c.unit in at_work]

    def decision(self, file: CaseFile, unit: str = "") -> Decision:
        """Whom the chain of strategies sends; with a unit, what it is kept as that a person sends this one."""
        found = decide(self._work.need(file), tuple(self.candidates(file)), self.policy)
        return found if unit in ("", found.chosen) else by_hand(found, unit)

    def fields(self, file: CaseFile, unit: str, batch: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What `case.dispatched` keeps of the decision for a unit: strategy, score, candidates.

        `batch`: what a proposal for several cases said, where it was this unit.
        """
        made = self.decision(file, unit) if batch is None else by_batch(self.decision(file), unit, batch)
        told: dict[str, Any] = {"strategy": made.strategy, "candidates": made.document()}
        return told if math.isnan(made.score) else told | {"score": round(made.score, 3)}

    def unanswered(self, file: CaseFile, now: int) -> Assignment | None:
        """The unit that leads a case and gave no receipt in time, None where there is none."""
        return unanswered(file, caserows.receipt_law(file, self._work.law), now)

    def follow(self, code: str, file: CaseFile | None) -> None:
        """A case changed; None: it is over."""
        if file is not None and file.told.get("rule") in self.policy.automatic and self._alone(file):
            self._waiting.setdefault(code)
        else:
            self._waiting.pop(code, None)

    def _alone(self, file: CaseFile) -> bool:
        """Whether a case waits for a unit and nobody but the desk sent one; a reminder comes first."""
        late = self.unanswered(file, self._work.engine.now)
        told = late is not None and any(entry.id == reminder(file.code, late) for entry in file.timeline)
        return (file.state in WAITING or told) and all(work.by == SYSTEM for work in file.assignments)

    def tick(self, now: int) -> list[Draft]:
        """Dispatches that a rule allows without a person; a case without a free unit is looked at again later."""
        out: list[Draft] = []
        for code in list(self._waiting)[:LOOKED_AT]:
            del self._waiting[code]
            file = self._work.file(code)
            if file is None or not self._alone(file):
                continue
            need, at = self._work.need(file), max(now, file.last[0] + 1)
            draft = automatic(self.decision(file), need, self.policy, at, file.rev, len(file.assignments))
            if draft is not None:
                out.append(draft)
            elif len(file.assignments) <= self._policy.most_automatic:
                self._waiting[code] = None
        return out
