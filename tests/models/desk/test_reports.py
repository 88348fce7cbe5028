"""The account of reports and cases: a partition of all states, and the sums that must come out."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citytwin.models.desk.reports import CASES, REPORTS, account, case_of, report_of
from citytwin.models.lifecycle import COUNTED, OPEN, STATES, TERMINAL
from tests.models.desk.casework import START
from tests.twin.casebook import table_of
from tests.twin.test_case_files import Raw, events_of_walk, raw, told

#: Written by hand: what became of the report and of the case in each state.
WANTED = {
    "reported": ("pending", ""), "accepted": ("pending", ""), "answered": ("answered", ""),
    "rejected": ("rejected", ""), "transferred": ("transferred", ""), "withdrawn": ("withdrawn", ""),
    "merged": ("merged", ""), "voided": ("opened", "voided"), "closed": ("opened", "closed"),
    "evaluated": ("opened", "closed"),
    **dict.fromkeys(
        ("filed", "dispatched", "received", "arrived", "handled", "verified", "returned", "deferred", "parked"),
        ("opened", "open"),
    ),
}  # fmt: skip
WELL = ("accepted", "filed", "dispatched", "received", "handled", "verified", "closed")


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_in_one_part(state: str) -> None:
    assert (report_of(state), case_of(state)) == WANTED.get(state, ("", ""))
    code = STATES.index(state)
    if state != "new":
        assert report_of(state) in REPORTS
        assert (case_of(state) in CASES) == (report_of(state) == "opened")
        assert (report_of(state) == "pending") == (not OPEN[code] and not TERMINAL[code])
        assert (case_of(state) in ("open", "closed")) == COUNTED[code]


@given(st.dictionaries(st.sampled_from(STATES[1:]), st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))))
def test_the_sums_come_out_for_all_counts(counts: dict[str, tuple[int, int]]) -> None:
    states = {state: people + ruled for state, (people, ruled) in counts.items()}
    made = account(states, {state: ruled for state, (_, ruled) in counts.items()})
    assert made.total == sum(people for people, _ in counts.values())
    assert sum(made.rule_reports.values()) == sum(ruled for _, ruled in counts.values())
    assert made.reports["opened"] == sum(made.cases.values())
    assert made.rule_reports["opened"] == sum(made.rule_cases.values())


def test_the_table_of_cases_keeps_the_account() -> None:
    """After any histories, in any order: counted case by case; rules apart, drills in none of it."""
    chance, events, wanted = random.Random(5), list[Raw](), {"people": 0, "rules": 0}
    for n in range(120):
        code = ("drill/" if n % 10 == 0 else "") + f"K{n}"
        channel = ("12345", "patrol", "rule", None)[n % 4]
        walk = [e for e in events_of_walk(code, chance) if e["type"] != "case.reported"]
        if n % 12 == 7:  # one that goes well
            walk = [raw(m, START + k, f"{code}.{k}", code) | told(m, START, chance) for k, m in enumerate(WELL)]
        first = raw("reported", START - 1, f"{code}.r", code)
        events += [first | ({"channel": channel} if channel else {}), *walk]
        if n % 10:
            wanted["rules" if channel == "rule" else "people"] += 1
    made = table_of(events, chance).account()
    assert made.total == wanted["people"]
    assert sum(made.rule_reports.values()) == wanted["rules"]
    assert made.reports["opened"] == sum(made.cases.values()) > 0
    assert all(made.reports[part] for part in REPORTS)
    assert all(made.cases[part] for part in CASES)


def test_no_case_at_all_is_an_account_of_nothing() -> None:
    made = table_of([]).account()
    assert made.total == 0
    assert set(made.reports) == set(REPORTS)
