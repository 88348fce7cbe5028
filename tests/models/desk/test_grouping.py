"""Groups of alarms: never more than asked for, none lost, the same whatever the order, detail kept where it fits."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.desk.grouping import MOST, OTHERS, WINDOW_MS, default_group, groups
from tests.conftest import proving

EXAMPLES = 5_000 if proving() else 80
T0 = 1_750_000_000_000


def row(code: str, group: str, at: int, priority: int = 3, acked: bool = False, first: bool = False) -> dict[str, Any]:
    """What groups read of a row of GET /alarms; `at` ms after T0."""
    return {"code": code, "group": group, "since": T0 + at, "priority": priority, "acked": acked, "first_out": first,
            "title": {"zh": code, "en": code}}  # fmt: skip


names = st.lists(st.sampled_from(["a", "b", "c", "420102"]), max_size=4)
paths = st.one_of(names.map("/".join), names.map(" ".join))
drawn = st.lists(
    st.tuples(paths, st.integers(0, 4 * WINDOW_MS), st.integers(1, 4), st.booleans(), st.booleans()), max_size=60
).map(lambda found: [row(f"r@{i}", *of) for i, of in enumerate(found)])


@settings(max_examples=EXAMPLES, deadline=None)
@given(drawn, st.integers(1, 25), st.randoms(use_true_random=False))
def test_few_groups_none_lost_in_any_order(rows: list[dict[str, Any]], most: int, chance: random.Random) -> None:
    found = groups(rows, most)
    assert len(found) <= most
    assert sorted(c for g in found for c in g["members"]) == sorted(r["code"] for r in rows)
    by_code = {r["code"]: r for r in rows}
    for g in found:
        inside = [by_code[c] for c in g["members"]]
        assert g["count"] == len(inside) == sum(g["by_priority"]) > 0
        assert g["priority"] == min(r["priority"] for r in inside)
        assert g["unacked"] == sum(not r["acked"] for r in inside)
        assert (g["since"], g["last"]) == (min(r["since"] for r in inside), max(r["since"] for r in inside))
        assert g["first_out"] in g["members"]
        firsts = [r["code"] for r in inside if r["first_out"]]
        assert g["first_out"] in (firsts or [inside[0]["code"]])
        if g["group"] != OTHERS:
            assert all(re.match(f"{g['group']}($|[/ ])", r["group"]) for r in inside), "merged upwards only"
    assert [g["priority"] for g in found] == sorted(g["priority"] for g in found)
    chance.shuffle(rows)
    assert groups(rows, most) == found


@settings(max_examples=EXAMPLES, deadline=None)
@given(drawn)
def test_where_all_fit_each_group_is_one_episode(rows: list[dict[str, Any]]) -> None:
    found = groups(rows, len(rows) + 1)
    by_code = {r["code"]: r for r in rows}
    for g in found:
        inside = [by_code[c] for c in g["members"]]
        assert {r["group"] or OTHERS for r in inside} == {g["group"]}
        times = [r["since"] for r in inside]
        assert all(b - a <= WINDOW_MS for a, b in itertools.pairwise(times))
    spans = sorted((g["group"], g["since"], g["last"]) for g in found)
    for (name, _, last), (other, begin, _) in itertools.pairwise(spans):
        assert name != other or begin - last > WINDOW_MS


def test_the_mildest_merge_first_and_the_worst_keep_their_detail() -> None:
    rows = [row(f"mild@{i}", f"flood/D1/S{i}", i, 4) for i in range(MOST - 1)]
    rows += [row(f"bad@{i}", f"gas/D1/S{i}", i, 1) for i in range(4)]
    found = groups(rows)
    assert [g["group"] for g in found if g["priority"] == 1] == ["gas/D1/S3", "gas/D1/S2", "gas/D1/S1", "gas/D1/S0"]
    assert [(g["group"], g["count"]) for g in found if g["priority"] == 4] == [("flood/D1", MOST - 1)]


def test_what_has_nothing_in_common_becomes_others_the_worst_apart() -> None:
    rows = [row(f"r@{i}", f"theme{i}", i, 1 + i % 4) for i in range(100)]
    found = groups(rows)
    assert len(found) == MOST
    rest = [g for g in found if g["group"] == OTHERS]
    assert [(g["title"]["en"], g["count"]) for g in rest] == [("Others", 100 - MOST + 1)]
    assert sum(g["priority"] == 1 for g in found if g["group"] != OTHERS) == MOST - 1


def test_a_path_may_be_told_in_words() -> None:
    rows = [row(f"r@{i}", f"flood D{i}", i) for i in range(MOST + 1)]
    assert [(g["group"], g["count"]) for g in groups(rows)] == [("flood", MOST + 1)]
    assert [g["group"] for g in groups(rows[:1])] == ["flood D0"]


def test_the_first_out_names_the_row() -> None:
    rows = [row("early@1", "pipe", 0), row("cause@1", "pipe", 1, 1, first=True), row("late@1", "pipe", 2)]
    assert [(g["first_out"], g["title"]["en"]) for g in groups(rows)] == [("cause@1", "cause@1")]
    assert groups([]) == []


def test_the_path_of_a_rule_without_a_group() -> None:
    assert default_group("", []) == "alarm"
    assert default_group("gas", ["420102"]) == "gas/420102"
