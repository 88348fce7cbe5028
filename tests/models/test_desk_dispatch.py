"""Candidates with all terms of their score, each strategy, the chain, and nothing sent by itself without a rule."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from citytwin.geo.travel import Straight, Trips
from citytwin.models.desk.candidates import ARRIVE_S, Candidate, Force, Need, Policy, candidates
from citytwin.models.desk.columns import batches_of
from citytwin.models.desk.dispatch import automatic, by_hand, decide
from citytwin.models.desk.units import Unit
from citytwin.models.events import VOCABULARY

NOW = 1_795_000_000_000
POLICY = Policy()
NEED = Need("C1", 114.3, 30.6, frozenset({"drainage"}), frozenset({"pump"}), ("X", "A", "A1"), priority=1)
U7 = Force("U7", "排水1队", "ready", frozenset({"drainage", "pump"}), 1, 5, scopes=("X", "A", "A1"))
U9 = Force("U9", "移动泵车", "en_route", frozenset({"drainage", "pump"}), 9, 20, scopes=("X", "A", "A2"))
U3 = Force("U3", "街面巡查", "ready", frozenset({"patrol"}), 0, 1, scopes=("X", "A", "A1"))
U5 = Force("U5", "排水3队", "on_scene", frozenset({"drainage", "pump"}), 9, 10, scopes=("X", "B"))
AWAY = {"U7": 160.0, "U9": 570.0, "U3": 365.0, "U5": 860.0}


def trips(forces: list[Force], **seconds: float) -> Trips:
    """Made-up travel times to one case."""
    eta = np.array([[(AWAY | seconds).get(f.code, 600.0)] for f in forces])
    return Trips(eta, eta * 8.0, np.ones(eta.shape, np.bool_))


def known(forces: list[Force], need: Need = NEED, **seconds: float) -> tuple[Candidate, ...]:
    """Candidates of one case."""
    return candidates(need, forces, trips(forces, **seconds), NOW, POLICY)


def test_every_term_of_the_score_is_shown() -> None:
    rows = {c.unit: c for c in known([U3, U5, U7, U9])}
    assert rows["U7"].terms == {"time": 1 - 160 / ARRIVE_S, "skill": 1.0, "load": 0.8, "area": 1.0}
    assert rows["U9"].terms == {"time": 1 - 570 / ARRIVE_S, "skill": 1.0, "load": 0.55, "area": 0.7}
    assert rows["U5"].terms["area"] == 0.3
    assert rows["U3"].terms["skill"] == 0.0
    for row in rows.values():
        t = row.terms
        assert row.score == pytest.approx(0.4 * t["time"] + 0.3 * t["skill"] + 0.15 * t["load"] + 0.15 * t["area"])
    assert [c.unit for c in known([U3, U5, U7, U9])] == ["U7", "U9", "U5", "U3"]  # those who can, then by score
    told = rows["U7"].row()
    assert (told["eta_s"], told["distance_m"], told["by"], told["feasible"]) == (160, 1280, "road", True)
    assert told["weights"] == {"time": 0.4, "skill": 0.3, "load": 0.15, "area": 0.15}
    assert told["sum"] == {
        "zh": "时间：0.89 × 40% + 技能：1.00 × 30% + 负荷：0.80 × 15% + 辖区：1.00 × 15% = 0.93",
        "en": "time 0.89 × 40% + skill 1.00 × 30% + load 0.80 × 15% + area 1.00 × 15% = 0.93",
    }
    assert told["why"] == {"zh": "备勤 · 2:40 路网", "en": "ready · 2:40 by road"}
    assert rows["U3"].row()["why"] == {"zh": "缺技能：排水", "en": "lacks drainage"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"state": "off"}, "off duty"),
        ({"state": "silent"}, "silent"),
        ({"load": 5}, "full 5/5"),
        ({"skills": frozenset({"pump"})}, "lacks drainage"),
        ({"shift_until": NOW + 159_000}, "shift ends before it arrives"),
    ],
)
def test_who_cannot_take_the_case_is_told_with_the_reason(change: dict[str, Any], word: str) -> None:
    (row,) = known([replace(U7, **change)])
    assert (row.feasible, row.why["en"]) == (False, word)
    assert decide(NEED, (row,), POLICY).chosen == ""


def test_a_unit_without_a_place_or_that_gave_the_case_back_is_out() -> None:
    (row,) = known([U7], U7=math.inf)
    assert (row.feasible, row.row()["eta_s"], row.terms["time"]) == (False, None, 0.0)
    (row,) = known([U7], replace(NEED, refused=frozenset({"U7"})))
    assert row.why["en"].startswith("gave this case back")


def test_nearest_takes_the_first_to_arrive_of_those_with_nothing_to_do() -> None:
    busy = replace(U7, code="U1", state="on_scene")
    far = replace(U7, code="U2")
    made = decide(NEED, known([busy, far, U7, U3], U1=10.0, U2=200.0), POLICY)
    assert (made.strategy, made.chosen, made.suggested) == ("nearest", "U7", "U1")
    assert [name for name, _ in made.tried] == ["jurisdiction"]


def test_workload_comes_in_where_none_is_ready() -> None:
    full = replace(U7, state="busy", load=4)
    made = decide(NEED, known([full, U9]), POLICY)
    assert (made.strategy, made.chosen) == ("workload", "U9")
    even = replace(full, code="U8", load=4)
    assert decide(NEED, known([full, even], U7=300.0, U8=200.0), POLICY).chosen == "U8"


def test_jurisdiction_is_the_table_unless_its_unit_cannot() -> None:
    assert decide(replace(NEED, responsible="水务局"), known([U7]), POLICY).chosen == "水务局"
    assert decide(replace(NEED, responsible="U9"), known([U7, U9]), POLICY).strategy == "jurisdiction"
    made = decide(replace(NEED, responsible="U9"), known([U7, replace(U9, state="off")]), POLICY)
    assert (made.strategy, made.chosen) == ("nearest", "U7")
    assert made.tried[0][1]["zh"] == "移动泵车：下勤"
    assert (
        decide(replace(NEED, responsible="水务局", refused=frozenset({"水务局"})), known([U7]), POLICY).chosen == "U7"
    )


def test_mutual_aid_only_from_beside_and_only_when_no_own_unit_comes_in_time() -> None:
    beside = {"A": frozenset({"B"})}
    late = known([U7, U5], U7=ARRIVE_S + 1)
    made = decide(NEED, late, POLICY, beside)
    assert (made.strategy, made.chosen, made.aid) == ("mutual_aid", "U5", "B")
    assert [name for name, _ in made.tried] == ["jurisdiction", "nearest", "workload"]
    assert decide(NEED, known([U7, U5]), POLICY, beside).chosen == "U7"
    made = decide(NEED, late, POLICY, {"A": frozenset({"C"})})
    assert (made.strategy, made.chosen, made.suggested) == ("manual", "", "U7")
    assert decide(NEED, late, POLICY).aid == "B"


def test_a_person_decides_and_the_suggestion_is_kept() -> None:
    made = by_hand(decide(NEED, known([U7, U9, U5]), POLICY), "U5")
    assert (made.strategy, made.chosen, made.suggested, made.aid) == ("manual", "U5", "U7", "B")
    kept = json.loads(made.document())
    assert (kept["strategy"], kept["suggested"], kept["version"], kept["of"]) == ("manual", "U7", "1", 3)
    assert kept["candidates"] == [{k: v for k, v in c.row().items() if k != "sum"} for c in made.candidates]
    assert [t["strategy"] for t in kept["tried"]] == ["jurisdiction"]
    only = json.loads(made.document(most=1))
    assert [row["unit"] for row in only["candidates"]] == ["U7", "U5"]  # the chosen one is always there
    few = made.document(most_bytes=800)
    assert len(few.encode()) <= 800
    assert "U5" in [row["unit"] for row in json.loads(few)["candidates"]]


def test_nothing_is_sent_by_itself_unless_a_rule_says_so() -> None:
    made = decide(NEED, known([U7]), POLICY)
    free = Policy(automatic=frozenset({"R17"}))
    need = replace(NEED, rule="R17")
    assert automatic(made, NEED, POLICY, NOW, 3) is None
    assert automatic(made, need, POLICY, NOW, 3) is None
    assert automatic(made, NEED, free, NOW, 3) is None
    draft = automatic(made, need, free, NOW, 3)
    assert draft is not None
    assert (draft.type, draft.subject, draft.id) == ("case.dispatched", "C1", "C1/dispatch/3")
    assert (draft.fields["unit"], draft.fields["strategy"]) == ("U7", "nearest")
    zh, en = str(draft.fields["reason"]).split(" / ")
    assert (zh, en) == (f"按规则自动派遣：{made.why['zh']}", f"sent by a rule: {made.why['en']}")
    (batch,) = batches_of([draft], VOCABULARY())  # every field is one that the log knows
    assert batch.subject.tolist() == ["C1"]
    assert draft.fields["score"] == pytest.approx(made.score)
    assert automatic(made, replace(need, bounces=3), free, NOW, 3) is None
    assert automatic(made, need, free, NOW, 3, sent=2) is not None
    assert automatic(made, need, free, NOW, 3, sent=3) is None
    assert automatic(decide(need, known([]), free), need, free, NOW, 3) is None


def test_a_policy_that_cannot_be_is_refused() -> None:
    for wrong in ({"weights": {"time": 1.0}}, {"chain": ("nearest", "luck")}, {"chain": ()}):
        with pytest.raises(ValueError, match=r"weights|chain"):
            Policy(**wrong)
    with pytest.raises(ValueError, match="limit"):
        Need("C1", 0.0, 0.0, limit_s=0.0)


def test_weights_change_who_is_suggested() -> None:
    heavy = Policy(weights={"time": 0.0, "skill": 0.0, "load": 1.0, "area": 0.0})
    near, free = replace(U7, load=4), replace(U7, code="U8", load=0)
    both = [near, free]
    assert candidates(NEED, both, trips(both, U8=1_000.0), NOW, heavy)[0].unit == "U8"
    assert candidates(NEED, both, trips(both, U8=1_400.0), NOW, POLICY)[0].unit == "U7"


def test_distance_is_stated_where_no_road_is_known() -> None:
    unit = Unit("U7", lon=114.31, lat=30.6, skills=("drainage", "pump"), said="ready")
    away = Straight(1.4, 24.0).trips(np.array([unit.lon]), np.array([unit.lat]), np.array([114.3]), np.array([30.6]))
    (row,) = candidates(NEED, [Force.of(unit, ("X", "A"))], away, NOW, POLICY)
    assert row.by == "distance"
    assert row.eta_s == pytest.approx(row.distance_m * 3.6 / 24.0)
    assert row.distance_m == pytest.approx(957 * 1.4, rel=0.01)
    assert "by distance" in row.why["en"]
