"""Whom to send to a case: strategies that choose among candidates, and the decision with all its reasons.

A decision is a suggestion. Only where a policy names the rule that opened the case is it sent without a person, and
only so often (`automatic`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from citytwin.models.desk.candidates import Candidate, Need, Policy, Words
from citytwin.models.desk.event import Draft


@dataclass(frozen=True, slots=True)
class Decision:
    """Whom to send to a case, and why: `chosen` "" leaves it to a person, who sees `suggested`, the best score.

    `tried`: strategies before it that found nobody, with their reasons. `aid`: the other district whose unit comes,
    which then sees the case.
    """

    case: str
    strategy: str
    version: str
    chosen: str
    suggested: str
    candidates: tuple[Candidate, ...]
    why: Words
    tried: tuple[tuple[str, Words], ...] = ()
    aid: str = ""
    #: Of a batch: how many cases there were, what it costs, and what greedy nearest would have cost.
    batch: Mapping[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Score of the chosen unit, NaN where it is no candidate."""
        return next((c.score for c in self.candidates if c.unit == self.chosen), math.nan)

    def document(self, most: int = 20, most_bytes: int = 16_000) -> str:
        """What is kept of it in `case.dispatched.candidates`: JSON of the rule, what was tried, the first candidates.

        The chosen one is always among them; less are kept where they would take more than `most_bytes`.
        """
        first = list(self.candidates[:most])
        first += [c for c in self.candidates[most:] if c.unit == self.chosen]
        about = {
            "strategy": self.strategy, "version": self.version, "chosen": self.chosen, "suggested": self.suggested,
            "aid": self.aid, "why": self.why, "of": len(self.candidates),
            "tried": [{"strategy": name, "why": why} for name, why in self.tried],
            **({"batch": dict(self.batch)} if self.batch else {}),
        }  # fmt: skip
        while True:
            # the sum in words can be made again from terms and weights
            rows = [{name: value for name, value in c.row().items() if name != "sum"} for c in first]
            text = json.dumps({**about, "candidates": rows}, ensure_ascii=False, separators=(",", ":"))
            spare = next((c for c in reversed(first) if c.unit != self.chosen), None)
            if spare is None or len(text.encode()) <= most_bytes:
                return text
            first.remove(spare)


#: Who sends where nobody does.
SYSTEM = "system"
Found = tuple[str, Words]
Strategy = Callable[[Need, Sequence[Candidate], Mapping[str, frozenset[str]] | None], Found]


def jurisdiction(need: Need, known: Sequence[Candidate], _: Mapping[str, frozenset[str]] | None) -> Found:
    """Who answers for this place and sub-class; one that is no unit in the field is taken by its name."""
    code = need.responsible
    if not code:
        return "", {"zh": "权责表没有指定单位", "en": "the table names nobody responsible"}
    row = next((c for c in known if c.unit == code), None)
    if row is not None and not row.feasible:
        return "", {"zh": f"{row.name}：{row.why['zh']}", "en": f"{row.name}: {row.why['en']}"}
    if row is not None and row.late:
        return "", {"zh": f"{row.name} 不能按时到场", "en": f"{row.name} cannot be there in time"}
    if code in need.refused:
        return "", {"zh": f"{code} 已退回", "en": f"{code} gave it back"}
    return code, {"zh": f"{code} 按权责表负责", "en": f"{code} answers for it by the table"}


def nearest(need: Need, known: Sequence[Candidate], _: Mapping[str, frozenset[str]] | None) -> Found:
    """The one of the own district that is there first among those that have nothing to do."""
    idle = [c for c in known if c.feasible and c.own and not c.late and c.state == "ready"]
    if not idle:
        return "", {"zh": "本区无备勤力量能按时到场", "en": "no ready unit of the district can be there in time"}
    best = min(idle, key=lambda c: (c.eta_s, c.unit))
    return best.unit, {
        "zh": f"{best.name} 最快到场：{best.why['zh']}",
        "en": f"{best.name} is nearest: {best.why['en']}",
    }


def workload(need: Need, known: Sequence[Candidate], _: Mapping[str, frozenset[str]] | None) -> Found:
    """The one of the own district with the least load that can be there in time, the nearer one of equals."""
    able = [c for c in known if c.feasible and c.own and not c.late]
    if not able:
        return "", {"zh": "本区无力量能按时到场", "en": "no unit of the district can be there in time"}
    best = min(able, key=lambda c: (c.load, c.eta_s, c.unit))
    share = f"{best.load:.0%}"
    return best.unit, {"zh": f"{best.name} 负荷最轻 {share}", "en": f"{best.name} has the least load, {share}"}


def mutual_aid(need: Need, known: Sequence[Candidate], beside: Mapping[str, frozenset[str]] | None) -> Found:
    """The nearest of a neighbouring district, when none of the own one can be there in time.

    `beside`: districts beside each other; None: any other district may help.
    """
    if any(c.feasible and c.own and not c.late for c in known):
        return "", {"zh": "本区力量能按时到场", "en": "a unit of the district can be there in time"}
    home = need.scopes[1] if len(need.scopes) > 1 else ""
    near = None if beside is None else beside.get(home, frozenset())
    able = [c for c in known if c.feasible and not c.own and not c.late and (near is None or c.district in near)]
    if not able:
        return "", {"zh": "邻区无力量能按时到场", "en": "no unit of a neighbouring district can be there in time"}
    best = min(able, key=lambda c: (c.eta_s, c.unit))
    return best.unit, {
        "zh": f"{best.name} 自邻区支援：{best.why['zh']}",
        "en": f"{best.name} comes to aid: {best.why['en']}",
    }


_CHOOSES: dict[str, Strategy] = {
    "jurisdiction": jurisdiction, "nearest": nearest, "workload": workload, "mutual_aid": mutual_aid,
}  # fmt: skip
_BY_HAND: Words = {"zh": "由调度员决定", "en": "a person decides"}


def suggested(known: Sequence[Candidate]) -> str:
    """The unit with the best score of those that can take the case, "" for none."""
    return known[0].unit if known and known[0].feasible else ""


def decide(
    need: Need, known: tuple[Candidate, ...], policy: Policy, beside: Mapping[str, frozenset[str]] | None = None
) -> Decision:
    """Go through the chain of strategies until one finds a unit; `known` as `candidates` gives them."""
    tried: list[tuple[str, Words]] = []
    best = suggested(known)
    for name in policy.chain:
        if name == "manual":
            break
        unit, why = _CHOOSES[name](need, known, beside)
        if unit:
            aid = next((c.district for c in known if c.unit == unit and not c.own), "")
            return Decision(need.case, name, policy.version, unit, best, known, why, tuple(tried), aid)
        tried.append((name, why))
    return Decision(need.case, "manual", policy.version, "", best, known, _BY_HAND, tuple(tried))


def by_hand(decision: Decision, unit: str) -> Decision:
    """The same decision when a person chose `unit`: the suggestion stays beside it, to be evaluated later."""
    aid = next((c.district for c in decision.candidates if c.unit == unit and not c.own), "")
    return replace(decision, strategy="manual", chosen=unit, why=_BY_HAND, aid=aid)


def by_batch(decision: Decision, unit: str, about: Mapping[str, Any] | None = None) -> Decision:
    """The same decision when `unit` is best for a batch of cases (`about`), as far as it can take the case."""
    row = next((c for c in decision.candidates if c.unit == unit and c.feasible), None)
    if row is None:
        return by_hand(decision, unit)
    why = {
        "zh": f"{row.name} 为整批最优：{row.why['zh']}",
        "en": f"{row.name} is best for the batch: {row.why['en']}",
    }
    aid = "" if row.own else row.district
    return replace(decision, strategy="batch", chosen=unit, why=why, aid=aid, batch=dict(about or {}))


def automatic(decision: Decision, need: Need, policy: Policy, now: int, rev: int, sent: int = 0) -> Draft | None:
    """The dispatch as the desk says it by itself; None unless the case's rule allows it and it was seldom sent anew.

    `rev`: the revision of the case that was looked at, so that whoever is quicker is not overruled; `sent`: how often
    the desk sent a unit to it by itself before.
    """
    if not decision.chosen or not need.rule or need.rule not in policy.automatic:
        return None
    if max(need.bounces, sent) > policy.most_automatic:
        return None
    why = decision.why
    fields: dict[str, Any] = {
        "unit": decision.chosen, "strategy": decision.strategy, "candidates": decision.document(),
        "actor": SYSTEM, "reason": f"按规则自动派遣：{why['zh']} / sent by a rule: {why['en']}", "rev": rev,
    }  # fmt: skip
    if math.isfinite(decision.score):
        fields["score"] = decision.score
    return Draft("case.dispatched", now, f"{need.case}/dispatch/{rev}", need.case, fields=fields)
