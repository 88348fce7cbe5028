"""Limits of stages and of handling, by hand."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citytwin.models.columns import MISSING
from citytwin.models.desk import limits
from citytwin.models.desk.calendar import CHINA_MS, Limit, WorkCalendar
from citytwin.models.desk.categories import builtin
from citytwin.models.desk.holidays import china
from citytwin.models.desk.table import TableError, own
from citytwin.models.lifecycle import STATES, TERMINAL

WORK = WorkCalendar(china())


def at(text: str) -> int:
    """A time in China, ms UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) - CHINA_MS


FRIDAY = at("2026-11-27T16:00")


@pytest.mark.parametrize(
    ("code", "level", "stage", "due"),
    [
        ("flood.waterlog", 1, "dispatch", "2026-11-27T16:02"),
        ("flood.waterlog", 3, "receipt", "2026-11-27T16:10"),
        ("sanitation.litter", 0, "acceptance", "2026-11-27T17:00"),
        ("sanitation.litter", 0, "verification", "2026-11-30T16:00"),
        # a consultation has limits of its own, but not for what is grave
        ("consult.policy", 0, "dispatch", "2026-11-30T17:00"),
        ("consult.policy", 2, "dispatch", "2026-11-27T16:05"),
        ("sanitation.litter", 0, "evaluation", "2026-12-02T17:00"),
    ],
)
def test_stages_by_hand(code: str, level: int, stage: str, due: str) -> None:
    assert limits.stage_due(builtin().resolve(code), level, stage, FRIDAY, WORK) == at(due)


@pytest.mark.parametrize(
    ("code", "level", "grade", "due"),
    [
        ("sanitation.litter", 0, "", "2026-11-30T13:00"),  # C: 5 working hours
        ("sanitation.litter", 1, "", "2026-11-30T10:00"),  # A: 2
        ("sanitation.litter", 4, "B", "2026-11-30T11:00"),  # named: 3
        ("gas_leak", 3, "", "2026-11-27T18:00"),  # B: 2 clock hours
        ("dispute.wages", 0, "", "2026-12-18T17:00"),  # C: 15 working days
    ],
)
def test_handling_by_hand(code: str, level: int, grade: str, due: str) -> None:
    assert limits.handling_due(builtin().resolve(code), level, FRIDAY, WORK, grade) == at(due)


def test_every_state_that_goes_on_has_a_stage() -> None:
    over = {s for s, end in zip(STATES, TERMINAL.tolist(), strict=True) if end} - {"closed"}
    assert set(STATES) - set(limits.STAGE_OF) == over | {"new", "deferred", "parked"}
    assert {*limits.builtin(), limits.HANDLING} == set(limits.STAGE_OF.values())


def test_handling_ends_with_the_case() -> None:
    assert limits.stage_due(builtin().resolve("gas_leak"), 2, "handling", FRIDAY, WORK) == MISSING
    with pytest.raises(KeyError):
        limits.stage_due(builtin().resolve("gas_leak"), 2, "lunch", FRIDAY, WORK)


@given(st.sampled_from([c.code for c in builtin()]), st.sampled_from(sorted(limits.builtin())), st.integers(0, 10**9))
def test_the_graver_the_sooner(code: str, stage: str, later: int) -> None:
    category = builtin().resolve(code)
    dues = [limits.stage_due(category, level, stage, FRIDAY + later, WORK) for level in (1, 2)]
    assert dues[0] <= dues[1]
    handling = [limits.handling_due(category, level, FRIDAY + later, WORK) for level in (1, 2, 3, 4)]
    assert handling == sorted(handling)
    assert handling[3] == limits.handling_due(category, 0, FRIDAY + later, WORK)


def test_a_pack_s_table_is_used_and_its_faults_are_told() -> None:
    text = own("stages.csv").replace("2min", "90min")
    mine = limits.parse(text, "mine.csv")
    assert mine["dispatch"].limits[1] == Limit(1.5, "clock_hours")
    due = limits.stage_due(builtin().resolve("gas_leak"), 1, "dispatch", FRIDAY, WORK, mine)
    assert due == at("2026-11-27T17:30")
    with pytest.raises(TableError, match=re.escape("mine.csv:2: level_0: 'soon' is no limit")):
        limits.parse(own("stages.csv").replace("1wh", "soon", 1), "mine.csv")
    with pytest.raises(TableError, match=r"mine\.csv:2: stage: 'lunch' is none of acceptance, filing"):
        limits.parse(own("stages.csv").replace("acceptance", "lunch"), "mine.csv")
    assert all(stage.status == "L" for stage in limits.builtin().values())
