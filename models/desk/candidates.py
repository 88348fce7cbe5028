"""Units as candidates for a case: whether each can take it, and every term of its score.

The score is the weighted mean of four terms in 0..1:

* time: 1 - ETA / limit of arrival, at least 0
* skill: share of the skills that are needed or helpful which the unit has
* load: 1 - cases / capacity, at least 0
* area: 1 where the unit is at home, AREA_NEAR in another part of the same district, AREA_FAR beyond

The weights .4 .3 .15 .15, the values of area and all limits are local defaults, no standard; `Policy` changes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from citytwin.geo.travel import Trips
from citytwin.models.columns import MISSING
from citytwin.models.desk.units import SKILLS, TITLES, Unit

Words = dict[str, str]

WEIGHTS: dict[str, float] = {"time": 0.4, "skill": 0.3, "load": 0.15, "area": 0.15}
TERMS: dict[str, Words] = {
    "time": {"zh": "时间", "en": "time"}, "skill": {"zh": "技能", "en": "skill"},
    "load": {"zh": "负荷", "en": "load"}, "area": {"zh": "辖区", "en": "area"},
}  # fmt: skip
AREA_NEAR, AREA_FAR = 0.7, 0.3
#: Within so many seconds a unit should be there, where the category says nothing else.
ARRIVE_S = 24 * 60.0
STRATEGIES: dict[str, Words] = {
    "jurisdiction": {"zh": "按辖区权责", "en": "jurisdiction"},
    "nearest": {"zh": "最近可用", "en": "nearest capable"},
    "workload": {"zh": "负荷最轻", "en": "least loaded"},
    "batch": {"zh": "批量最优", "en": "batch optimum"},
    "mutual_aid": {"zh": "跨区支援", "en": "mutual aid"},
    "manual": {"zh": "人工选派", "en": "manual"},
}
#: One after the other until one finds a unit; `manual` leaves it to a person and ends every chain.
CHAIN: tuple[str, ...] = ("jurisdiction", "nearest", "workload", "mutual_aid", "manual")
#: A case is sent anew without a person at most so often; a local default.
MOST_AUTOMATIC = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """What dispatch goes by; `version` is kept with each decision.

    `urgency`: what a case of each priority (0 = none, 1..4 = I..IV) costs for each limit that it waits; `unserved`:
    what it costs to leave it without a unit. `automatic`: rules whose cases are sent without a person.
    """

    version: str = "1"
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    chain: tuple[str, ...] = CHAIN
    area_near: float = AREA_NEAR
    area_far: float = AREA_FAR
    urgency: tuple[float, ...] = (1.0, 4.0, 3.0, 2.0, 1.0)
    unserved: float = 10.0
    automatic: frozenset[str] = frozenset()
    most_automatic: int = MOST_AUTOMATIC

    def __post_init__(self) -> None:
        if set(self.weights) != set(WEIGHTS) or min(self.weights.values()) < 0 or sum(self.weights.values()) <= 0:
            raise ValueError(f"weights {dict(self.weights)}: give {', '.join(WEIGHTS)}, none below 0, not all 0")
        unknown = [name for name in self.chain if name not in STRATEGIES or name == "batch"]
        if unknown or not self.chain:
            raise ValueError(f"chain {list(self.chain)}: its strategies are {', '.join(set(STRATEGIES) - {'batch'})}")


@dataclass(frozen=True, slots=True)
class Need:
    """A case that wants a unit: where it is, what it takes, how much it hurries.

    `skills` the unit must have, `helpful` it may have. `scopes`: codes from the city down to where the case is.
    `responsible`: who answers for it by the table of categories. `refused`: units that gave it back or did not receive
    it; `bounces`: how often that was. `rule`: the rule that opened it, "" for a person.
    """

    case: str
    lon: float
    lat: float
    skills: frozenset[str] = frozenset()
    helpful: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    priority: int = 0
    limit_s: float = ARRIVE_S
    waiting_s: float = 0.0
    responsible: str = ""
    refused: frozenset[str] = frozenset()
    bounces: int = 0
    rule: str = ""

    def __post_init__(self) -> None:
        if not self.limit_s > 0:
            raise ValueError(f"{self.case}: a limit of {self.limit_s} s; give one above 0")


@dataclass(frozen=True, slots=True)
class Force:
    """A unit as dispatch sees it; `scopes`: codes from the city down to its home, () for one without a home."""

    code: str
    name: str = ""
    state: str = "ready"
    skills: frozenset[str] = frozenset()
    load: int = 0
    capacity: int = 1
    lon: float = math.nan
    lat: float = math.nan
    scopes: tuple[str, ...] = ()
    shift_until: int = MISSING

    @classmethod
    def of(cls, unit: Unit, scopes: Sequence[str] = ()) -> Force:
        """A unit of the desk whose home has this path of scopes."""
        return cls(
            unit.code, unit.name or unit.code, unit.state, frozenset(unit.skills), unit.load, unit.capacity,
            unit.lon, unit.lat, tuple(scopes), unit.shift_until,
        )  # fmt: skip

    @property
    def district(self) -> str:
        """Code of its district, "" for a unit of the whole city or without a home."""
        return self.scopes[1] if len(self.scopes) > 1 else ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One unit for one case: seconds and metres (inf unknown), by `road` or `distance`, terms and score in 0..1.

    `feasible`: it could take the case; `late`: not within the limit. `why` says what speaks for or against it.
    """

    unit: str
    name: str
    state: str
    eta_s: float
    distance_m: float
    by: str
    terms: Mapping[str, float]
    score: float
    feasible: bool
    late: bool
    own: bool
    district: str
    load: float
    why: Words
    #: Share of each term in the score; together 1.
    weights: Mapping[str, float] = field(default_factory=dict)

    def sum(self) -> Words:
        """The score as a sum, each term with its weight."""
        out = {}
        for k, joint in (("zh", "："), ("en", " ")):
            parts = (f"{TERMS[n][k]}{joint}{self.terms[n]:.2f} × {w:.0%}" for n, w in self.weights.items())
            out[k] = f"{' + '.join(parts)} = {self.score:.2f}"
        return out

    def row(self) -> dict[str, Any]:
        """As pages read it."""
        known = math.isfinite(self.eta_s)
        return {
            "unit": self.unit, "name": self.name, "state": self.state, "eta_s": round(self.eta_s) if known else None,
            "distance_m": round(self.distance_m) if known else None, "by": self.by,
            "terms": {name: round(value, 3) for name, value in self.terms.items()}, "score": round(self.score, 3),
            "weights": {name: round(value, 3) for name, value in self.weights.items()}, "sum": self.sum(),
            "feasible": self.feasible, "late": self.late, "why": dict(self.why),
        }  # fmt: skip


def area(place: Sequence[str], home: Sequence[str], policy: Policy) -> float:
    """The term of jurisdiction: paths of scope codes from the city down to the case and to the unit's home."""
    if home and tuple(place[: len(home)]) == tuple(home):
        return 1.0
    return policy.area_near if len(home) > 1 and tuple(place[:2]) == tuple(home[:2]) else policy.area_far


def terms(need: Need, force: Force, eta_s: float, policy: Policy) -> dict[str, float]:
    """The four terms of the score of a unit for a case."""
    wanted = need.skills | need.helpful
    return {
        "time": max(0.0, 1.0 - eta_s / need.limit_s),
        "skill": len(wanted & force.skills) / len(wanted) if wanted else 1.0,
        "load": max(0.0, 1.0 - force.load / force.capacity) if force.capacity > 0 else 0.0,
        "area": area(need.scopes, force.scopes, policy),
    }


def _against(need: Need, force: Force, eta_s: float, now: int) -> list[Words]:
    """Everything for which a unit cannot take a case."""
    out: list[Words] = []
    if force.state in ("off", "silent"):
        out.append(TITLES[force.state])
    if force.code in need.refused:
        out.append({"zh": "此案已退回或未签收", "en": "gave this case back or did not receive it"})
    lacking = sorted(need.skills - force.skills)
    if lacking:
        zh, en = ("、".join(SKILLS.get(s, {}).get(k, s) for s in lacking) for k in ("zh", "en"))
        out.append({"zh": f"缺技能：{zh}", "en": f"lacks {en.replace('、', ', ')}"})
    if force.load >= force.capacity:
        out.append({"zh": f"已满 {force.load}/{force.capacity}", "en": f"full {force.load}/{force.capacity}"})
    if not math.isfinite(eta_s):
        out.append({"zh": "位置不明或无法到达", "en": "place unknown or out of reach"})
    elif force.shift_until != MISSING and now + eta_s * 1000 > force.shift_until:
        out.append({"zh": "到场前已交班", "en": "shift ends before it arrives"})
    return out


def _for(need: Need, force: Force, eta_s: float, by: str, late: bool) -> Words:
    """What to know of a unit that can take the case."""
    clock = f"{int(eta_s) // 60}:{int(eta_s) % 60:02d}"
    title, limit = TITLES[force.state], f"{round(need.limit_s / 60, 1):g}"
    way = {"road": ("路网", "by road"), "distance": ("按距离估算", "by distance")}[by]
    zh, en = f"{title['zh']} · {clock} {way[0]}", f"{title['en']} · {clock} {way[1]}"
    if late:
        zh, en = f"{zh} · 超过 {limit} 分钟时限", f"{en} · beyond the limit of {limit} min"
    return {"zh": zh, "en": en}


def _candidate(need: Need, force: Force, eta: float, metres: float, road: bool, policy: Policy, now: int) -> Candidate:
    parts, against = terms(need, force, eta, policy), _against(need, force, eta, now)
    by, late = "road" if road else "distance", eta > need.limit_s
    whole = sum(policy.weights.values())
    score = sum(policy.weights[k] * v for k, v in parts.items()) / whole
    why = {k: "; ".join(w[k] for w in against) for k in ("zh", "en")} if against else _for(need, force, eta, by, late)
    own = not force.district or len(need.scopes) < 2 or force.district == need.scopes[1]
    return Candidate(
        force.code, force.name or force.code, force.state, eta, metres, by, parts, score, not against, late, own,
        force.district, force.load / force.capacity if force.capacity > 0 else math.inf, why,
        {name: policy.weights[name] / whole for name in WEIGHTS},
    )  # fmt: skip


def candidates(
    need: Need, forces: Sequence[Force], trips: Trips, now: int, policy: Policy, column: int = 0
) -> tuple[Candidate, ...]:
    """All units for a case, those that can take it first, then by score; of equal ones the nearest.

    `trips`: from the units (rows) to cases; `column`: this case.
    """
    made = [
        _candidate(
            need, force, float(trips.seconds[i, column]), float(trips.metres[i, column]),
            bool(trips.road[i, column]), policy, now,
        )
        for i, force in enumerate(forces)
    ]  # fmt: skip
    return tuple(sorted(made, key=lambda c: (not c.feasible, -c.score, c.eta_s, c.unit)))
