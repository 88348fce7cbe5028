"""Plans as data: conditions, parsing, faults that teach, hysteresis by hand and against a plain recount."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citytwin.indicators.registry import builtin as indicators
from citytwin.models.desk.plans import Plan
from citytwin.models.desk.plantoml import PlanError, builtin, load, parse
from citytwin.models.desk.planwatch import Watch
from citytwin.models.desk.roles import ROLES
from citytwin.models.desk.triggers import PARTS_MAX, TriggerError
from citytwin.models.desk.triggers import parse as trigger
from citytwin.models.desk.units import SKILLS

MINUTE = 60_000
NAN = float("nan")


def holds(text: str, values: Mapping[str, float], *alarms: str) -> bool | None:
    """Whether a condition holds for values (absent is unknown) and active alarms."""
    return trigger(text).holds(lambda name: values.get(name, NAN), lambda rule: rule in alarms)


@pytest.mark.parametrize(
    ("text", "values", "gives"),
    [
        ("a >= 27", {"a": 27}, True), ("a > 27", {"a": 27}, False), ("a > 27", {}, None),
        ("1 < a <= 2", {"a": 2}, True), ("a < 1 or b < 1", {"b": 0}, True), ("a < 1 or b < 1", {"b": 5}, None),
        ("a < 1 and b < 1", {"b": 5}, False), ("a < 1 and b < 1", {"b": 0}, None), ("not a < 1", {}, None),
        ("not a < 1", {"a": 1}, True), ("a - 2 * b > -1", {"a": 1, "b": 1}, False),
        ("a / b > 1", {"a": 1, "b": 0}, None),
        ("theme_score.power < 60", {"theme_score.power": 50}, True), ('alarm("R17")', {}, True),
        ('alarm("R18")', {}, False), ('a > 5 and not alarm("R18")', {"a": 6}, True),
    ],
)  # fmt: skip
def test_conditions(text: str, values: dict[str, float], gives: bool | None) -> None:
    assert holds(text, values, "R17") is gives


def test_a_condition_knows_what_it_reads() -> None:
    condition = trigger('theme_score.power + rain < 60 and (alarm("R1") or not alarm("R2"))')
    assert set(condition.indicators) == {"theme_score.power", "rain"}
    assert set(condition.alarms) == {"R1", "R2"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"), ("a >", "cannot be read"), ("a == 1", "compare with <"), ("a", "'a' is no part"),
        ("a > 'x'", "no part of a condition"), ("f(1) > 2", "'f(1)' is no part"), ("alarm(1, 2)", "named by its rule"),
        ("__import__('os').system('x') > 1", "no part of a condition"), ("a[0] > 1", "no part of a condition"),
        ("[x for x in y] > 1", "no part of a condition"), ("a ** 9 > 1", "no part of a condition"),
        ("True > 0", "no part of a condition"), ("(" * 400 + "a" + ")" * 400, "at most 500"),
        ("a > 1 " + "+ 1" * 150, f"at most {PARTS_MAX} parts"), ("alarm()", "named by its rule"),
        ("not " * 120 + "a > 1", f"at most {PARTS_MAX} parts"), ("a > b > 'c'", "no part"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_told(text: str, said: str) -> None:
    with pytest.raises(TriggerError, match=re.escape(said)):
        trigger(text)


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_told(text: str) -> None:
    found: object = None
    with suppress(TriggerError):
        found = trigger(text).holds(lambda name: 1.0, lambda rule: True)
    assert found in (True, False, None)


def test_the_plans_that_come_with_it_are_whole() -> None:
    plans, known = builtin(), {spec.id: spec for spec in indicators()}
    assert set(plans) == {"waterlogging", "river_flood", "gas_leak", "crowd", "power_outage"}
    for plan in plans.values():
        assert plan.indicators() <= set(known), plan.id
        assert all(plan.place in known[name].levels for name in plan.indicators()), plan.id
        assert {task.role for task in plan.tasks} <= set(ROLES)
        assert {str(r["skill"]) for r in plan.resources if "skill" in r} <= set(SKILLS)
        assert plan.reports is not None
        assert plan.reports.status == "L", "no source for these clocks was read"
        assert not plan.automatic
        for level in plan.allowed():
            assert plan.tasks_at(level)
            assert plan.cap_fields(level)["status"] == "Draft"
    assert len(builtin()["waterlogging"].tasks) == 7
    severity = [builtin()["waterlogging"].cap_fields(n)["severity"] for n in (1, 2, 3, 4)]
    assert severity == ["Extreme", "Severe", "Moderate", "Minor"]


def stepped(plan: Plan, told: list[tuple[float, dict[str, float]]]) -> list[int]:
    """The level after each of (minute, values)."""
    watch, found = Watch(), []
    for minute, values in told:
        watch.step(plan, int(minute * MINUTE), lambda name, v=values: v.get(name, NAN), lambda rule: False)  # type: ignore[misc]
        found.append(watch.level)
    return found


def test_hankou_by_hand() -> None:
    """25.00 is IV; 27.30 asks a person for II or III; the lower limits hold it for six hours below them."""
    plan = builtin()["river_flood"]
    hour, told = 60, [(0, 24.99), (1, 25.0), (10, 25.1), (11, 25.1), (60, 27.3), (69, 27.3), (70, 27.3)]
    down = [
        (20 * hour, 27.2), (30 * hour, 27.0), (35 * hour, 27.0), (36 * hour, 27.0), (40 * hour, 24.7),
        (45 * hour, 24.9), (46 * hour, 24.7), (51 * hour, 24.7), (52 * hour, 24.7),
    ]  # fmt: skip
    found = stepped(plan, [(m, {"river_level": v}) for m, v in told + down])
    assert found[: len(told)] == [0, 0, 0, 4, 4, 4, 3]
    assert found[len(told) :] == [3, 3, 3, 4, 4, 4, 4, 4, 0]
    row = plan.at(3)
    assert row is not None
    assert row.choose == (2, 3)
    assert plan.allowed() == {1, 2, 3, 4}
    assert plan.status == "V"


def test_it_is_raised_at_once_over_levels_and_a_silent_gauge_changes_nothing() -> None:
    plan = builtin()["crowd"]
    told = [(0, 5.0), (10, NAN), (30, 3.9), (40, NAN), (50, 3.9), (64, 3.9), (65, 3.9), (80, 1.0), (94, 1.0), (95, 1.0)]
    assert stepped(plan, [(m, {"crowd_density_max": v}) for m, v in told]) == [1, 1, 1, 1, 1, 1, 2, 2, 2, 0]


TOML = """
id = "demo"
version = 1
title = { zh = "示例", en = "Demo" }
kind = "demo"
place = "city"
[[levels]]
level = 2
begin = "x >= 20"
keep = "x >= 15"
hold = "2min"
lower_after = "5min"
[[levels]]
level = 4
begin = "x >= 10"
keep = "x >= 8"
lower_after = "3min"
[[tasks]]
n = 1
title = { zh = "做", en = "Do" }
role = "dispatcher"
clock = "10min"
[end]
when = "x < 8"
hold = "10min"
automatic = true
"""


def recount(values: list[float]) -> list[int]:
    """The level of the demo plan minute by minute, from its definition and the whole past."""
    level, changed, found = 0, 0, list[int]()
    for now in range(len(values)):

        def lasts(test: str, edge: float, minutes: int, since: int, now: int = now) -> bool:
            """Whether it has been above (or known to be below) an edge for so many minutes, from `since` on."""
            past = values[max(since, now - minutes) : now + 1]
            known = [v for v in past if not math.isnan(v)]
            if test == "above":  # unknown in between is bridged, unknown now is not
                run, at = 0, now
                while at >= 0 and (math.isnan(values[at]) or values[at] >= edge):
                    run = now - at if not math.isnan(values[at]) else run
                    at -= 1
                return not math.isnan(values[now]) and values[now] >= edge and run >= minutes
            return now - minutes >= since and len(known) == len(past) and all(v < edge for v in past)

        if lasts("above", 20, 2, 0) and level in (0, 4):
            level, changed = 2, now
        elif lasts("above", 10, 0, 0) and level == 0:
            level, changed = 4, now
        elif level == 2 and lasts("below", 15, 5, changed + 1):
            level, changed = (4 if values[now] >= 8 else 0), now
        elif level == 4 and lasts("below", 8, 3, changed + 1):
            level, changed = 0, now
        found.append(level)
    return found


def test_hysteresis_against_a_recount() -> None:
    plan = parse(TOML, "demo.toml")
    for seed in range(60):
        rng = random.Random(seed)
        values, x = list[float](), 5.0
        for _ in range(120):
            x = min(30.0, max(0.0, x + rng.uniform(-4, 4)))
            values.append(NAN if rng.random() < 0.04 else x)
        assert stepped(plan, [(m, {"x": v}) for m, v in enumerate(values)]) == recount(values), seed


@given(st.lists(st.one_of(st.floats(0, 30), st.just(NAN)), max_size=60), st.integers(0, 59))
def test_a_watch_survives_a_restart_at_any_step(values: list[float], cut: int) -> None:
    plan, watch, other = parse(TOML, "demo.toml"), Watch(), Watch()
    for minute, x in enumerate(values):
        for one in (watch, other):
            one.step(plan, minute * MINUTE, lambda name, x=x: x, lambda rule: False)  # type: ignore[misc]
        if minute == cut:
            other = Watch.of(other.plain())
    assert watch.plain() == other.plain()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "demo"', "", "t.toml: id: is missing"),
        ('id = "demo"', 'id = "a b"', "t.toml: id: 'a b': letters, digits and _ only"),
        ("version = 1", 'version = "1"', "t.toml: version: must be a whole number, not '1'"),
        ('place = "city"', 'place = "planet"', "t.toml: place: 'planet' is none of city, district, street"),
        ('kind = "demo"', 'colour = "red"', "t.toml: colour: is not known here; there are automatic"),
        ('en = "Demo"', 'fr = "Demo"', 't.toml: title: needs both languages, as in { zh = "内涝"'),
        ('begin = "x >= 20"', 'begin = "x ="', "t.toml: levels[1].begin: 'x =' cannot be read; write comparisons"),
        ('begin = "x >= 20"', 'begin = "2 >= 1"', "t.toml: levels[1].begin: reads no indicator and no alarm"),
        ('hold = "2min"', 'hold = "2wd"', "t.toml: levels[1].hold: '2wd' is no duration; write 30min or 2h"),
        ("level = 2", "level = 5", "t.toml: levels[1].level: levels are 1 (I, the worst)"),
        ("level = 2", "level = 4", "t.toml: levels: a plan has at least one level; each is told once"),
        ("level = 2", "level = 2\nchoose = [3]", "t.toml: levels[1].choose: must contain its own level, 2"),
        ("level = 2", "level = 2\nchoose = [9]", "t.toml: levels[1].choose: levels are whole numbers"),
        ("\nn = 1", "\nn = 2", "t.toml: tasks: steps are numbered 1, 2, 3 in their order, not [2]"),
        ('role = "dispatcher"', 'role = "king"', "t.toml: tasks[1].role: 'king' is none of acceptance_clerk"),
        ("[end]", "[cap]\nurgency = 'Soon'\n[end]", "t.toml: cap.urgency: 'Soon' is none of Immediate"),
        ("[end]", "[reports]\nfirst = '1h'\n[end]", "t.toml: reports.follow_up: is missing"),
        ("[end]", "[[levels", "t.toml: no TOML: "),
        ('kind = "demo"', 'kind = "demo"\nend = 3', "t.toml: no TOML: "),
    ],
)
def test_faults_say_where_and_what_is_right(old: str, new: str, said: str) -> None:
    assert old in TOML
    with pytest.raises(PlanError, match=re.escape(said)):
        parse(TOML.replace(old, new, 1), "t.toml")


def test_automatic_and_choosing_exclude_each_other() -> None:
    text = TOML.replace("level = 2", "level = 2\nchoose = [1, 2]")
    text = text.replace('kind = "demo"', 'kind = "demo"\nautomatic = true')
    with pytest.raises(PlanError, match="cannot start without one"):
        parse(text, "t.toml")


def test_a_folder_tells_the_faults_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML, "utf-8")
    (tmp_path / "b.toml").write_text(TOML.replace("version = 1", ""), "utf-8")
    (tmp_path / "c.toml").write_text(TOML, "utf-8")
    (tmp_path / "d.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError) as told:
        load(tmp_path)
    assert [line.split(": ")[0] for line in str(told.value).splitlines()] == ["b.toml", "c.toml", "d.toml"]
    for name in "bcd":
        (tmp_path / f"{name}.toml").unlink()
    assert load(tmp_path)["demo"].plain()["levels"][0]["begin"] == "x >= 20"


def test_the_plan_in_the_documents_can_be_used() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "plans.md").read_text("utf-8")
    (shown,) = [block for block in re.findall(r"```toml\n(.*?)```", text, re.S) if block.startswith("id = ")]
    plan = parse(shown, "docs/plans.md")
    assert (plan.id, sorted(plan.allowed()), list(plan.levels[0].begin.alarms)) == ("heat", [2, 3], ["heat_red"])
    assert plan.indicators() <= {spec.id for spec in indicators()}
