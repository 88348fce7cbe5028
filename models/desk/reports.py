"""What became of every report and of every case: two partitions of the states, and the account of counts.

reports = pending + answered at once + rejected + transferred + withdrawn + merged + opened, and cases = open + closed +
voided. What a rule found is no report of anybody: it has an account of its own. A report that was opened is a case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from citytwin.models.lifecycle import DONE, OPEN, STATES

#: Channel of what a rule found.
RULE_CHANNEL = "rule"
#: What became of a report, with titles.
REPORTS: dict[str, dict[str, str]] = {
    "pending": {"zh": "待处理", "en": "pending"},
    "answered": {"zh": "直接答复", "en": "answered at once"},
    "rejected": {"zh": "不予受理", "en": "rejected"},
    "transferred": {"zh": "转办", "en": "transferred"},
    "withdrawn": {"zh": "撤销", "en": "withdrawn"},
    "merged": {"zh": "合并", "en": "merged"},
    "opened": {"zh": "立案", "en": "opened"},
}
CASES: dict[str, dict[str, str]] = {
    "open": {"zh": "在办", "en": "open"},
    "closed": {"zh": "结案", "en": "closed"},
    "voided": {"zh": "作废", "en": "voided"},
}
_ENDS = ("answered", "rejected", "transferred", "withdrawn", "merged")


def report_of(state: str) -> str:
    """What became of a report in a state, one of REPORTS; "" for a case of which nothing is known but its code."""
    if state == "new":
        return ""
    if state in _ENDS:
        return state
    return "opened" if case_of(state) else "pending"


def case_of(state: str) -> str:
    """What became of a case in a state, one of CASES; "" where there is no case (yet, any more, or never)."""
    code = STATES.index(state)
    if OPEN[code]:
        return "open"
    return "closed" if DONE[code] else "voided" if state == "voided" else ""


@dataclass(frozen=True, slots=True)
class Account:
    """Counts of reports by REPORTS, of the cases that they became by CASES, and both for what rules found."""

    reports: Mapping[str, int]
    cases: Mapping[str, int]
    rule_reports: Mapping[str, int]
    rule_cases: Mapping[str, int]

    @property
    def total(self) -> int:
        """Reports of people and devices."""
        return sum(self.reports.values())


def account(states: Mapping[str, int], rule_born: Mapping[str, int]) -> Account:
    """The account of counts by state: of all cases, and of those whose channel is `RULE_CHANNEL`.

    >>> made = account({"filed": 3, "merged": 2, "voided": 1}, {"filed": 1})
    >>> made.total, made.reports["opened"], made.cases["open"], made.rule_cases["open"]
    (5, 3, 2, 1)
    """
    told = {state: n - rule_born.get(state, 0) for state, n in states.items()}
    return Account(_by(told, REPORTS), _by(told, CASES), _by(rule_born, REPORTS), _by(rule_born, CASES))


def _by(states: Mapping[str, int], parts: Mapping[str, dict[str, str]]) -> dict[str, int]:
    part_of = report_of if parts is REPORTS else case_of
    return {part: sum(n for state, n in states.items() if part_of(state) == part) for part in parts}
