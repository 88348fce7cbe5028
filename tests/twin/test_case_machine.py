"""A desk that may crash between any two steps: clocks off by nothing, file and table of every case always the same.

After each step every report and every case is in exactly one part of the account, those that rules found apart.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from citytwin.models.desk.casebody import CaseFile
from citytwin.models.desk.event import DESK_SOURCE, Event
from citytwin.models.desk.moves import check, legal
from citytwin.models.desk.reports import Account
from tests.conftest import Figure, proving
from tests.indicators.histories import USUAL
from tests.indicators.town import batches
from tests.models.desk.casework import LAW, START, TIMES, TRIES, tried
from tests.twin.case_reference import clocks, live, steps
from tests.twin.casebook import CITY, file_in, of_file, of_table

RUNS = 10_000 if proving() else 50
#: Channel of each case; what a rule found is no report of anybody.
CHANNELS = {"K1": "12345", "K2": "patrol", "K3": "rule"}
CODES = tuple(CHANNELS)
#: What became of a report by the state of its case, and of the case; of all other states: opened, and open.
REPORTS = {
    "reported": "pending", "accepted": "pending", "answered": "answered", "rejected": "rejected",
    "transferred": "transferred", "withdrawn": "withdrawn", "merged": "merged",
}  # fmt: skip
CASES = {"closed": "closed", "evaluated": "closed", "voided": "voided"}
#: Moves with a law of their own for the clocks.
CLOCKED = {"deferred", "parked", "merged", "unmerged", "extended", "returned", "verified", "reopened", "designated"}
HEAD = ("type", "time", "source", "id", "subject")
GAPS = (1, 1_000, 61_000, 3_600_000, 7 * 3_600_000, 90_000_000)
#: Moves that others say without asking, at any time.
STRAY = [t for t in TRIES if t[0] != "merged"]
Raw = dict[str, Any]


def ruled(said: list[Raw]) -> bool:
    """Whether the last word on where a case came from is that a rule found it."""
    return [e["channel"] for e, _, _ in steps(live(said))[0] if "channel" in e][-1:] == ["rule"]


class Desk(RuleBasedStateMachine):
    """Commands, moves of others that come late or are illegal, corrections, retractions, and crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(CITY, Registry([]))
        self.log: list[Raw] = []
        self.now = START
        self.retold: set[str] = set()
        self.touched: set[str] = set()
        self.unsaved = False
        self.files: dict[str, CaseFile] = {}
        #: State by code, and whether a rule found it.
        self.states: dict[str, tuple[str, bool]] = {}

    def say(self, raw: Raw) -> None:
        """An event is logged and fed."""
        self.log.append(raw)
        self.unsaved = True
        self._feed([raw])

    def _feed(self, events: list[Raw]) -> None:
        came = {e["subject"] for e in events}
        self.touched |= came
        self.files = {code: file for code, file in self.files.items() if code not in came}
        for batch in batches(events):
            assert not self.engine.feed(batch, len(self.log)).rejected
        cases = self.engine.cases
        assert cases is not None
        cases.settle()

    def file(self, code: str) -> CaseFile:
        """The file of a case from the table's events, made once until something comes for it."""
        cases = self.engine.cases
        assert cases is not None
        if code not in self.files:
            self.files[code] = file_in(cases, code)
        return self.files[code]

    def raw(self, event: Event) -> Raw:
        """An event as it comes in; its id is new, its source none of the desk's, so that the fold alone is tried."""
        source = event.source.replace(DESK_SOURCE, "seat/")
        return {
            "type": event.type, "time": event.time, "source": source, "id": f"e{len(self.log):04}",
            "subject": event.subject, **event.fields,
        }  # fmt: skip

    @initialize()
    def begin(self) -> None:
        """Three cases, one of them filed."""
        for code in CODES:
            self.say(self.raw(tried(code, "reported", {"channel": CHANNELS[code]}, self.now, "ann")))
        for move, fields in (("accepted", {}), ("filed", {"due_at": 600})):
            self.now += 1000
            self.say(self.raw(tried("K1", move, fields, self.now, "leo")))

    @rule(code=st.sampled_from(CODES), picks=st.lists(st.integers(0, 9999), min_size=1, max_size=8))
    def commands(self, code: str, picks: list[int]) -> None:
        """Somebody does what is legal, a few times; what `check` lets pass is never illegal in the fold."""
        for pick in picks:
            self.command(code, pick // 60, GAPS[pick % 6], "abcde"[pick // 6 % 5])

    def command(self, code: str, pick: int, gap: int, actor: str) -> None:
        """What a case that goes well does next, what touches its clocks, or anything."""
        file = self.file(code)
        self.now += gap
        may = {op.removeprefix("case.") for op in legal(file, LAW, actor=actor, now=self.now)}
        wanted = may & ({USUAL.get(file.state, "")}, CLOCKED, may)[pick % 3] or may
        tries = [t for t in TRIES if t[0] in wanted]
        move, fields = tries[pick // 3 % len(tries)]
        into = {"into": next(c for c in CODES if c != code)} if move == "merged" else {}
        raw = self.raw(tried(code, move, {**fields, **into}, self.now, actor))
        told = {k: v for k, v in raw.items() if k not in HEAD}
        event = Event(raw["type"], raw["time"], raw["source"], raw["id"], code, fields=told)
        if check(file, event, LAW, other=self.file(str(raw.get("into", code)))) is None:
            self.say(raw)
            after = self.file(code)
            assert after.illegal == file.illegal
            assert after.moves == file.moves + 1

    @rule(code=st.sampled_from(CODES), pick=st.integers(0, 999), back=st.sampled_from((0, *GAPS)))
    def stray(self, code: str, pick: int, back: int) -> None:
        """Another system says something, maybe late, maybe not lawful."""
        move, fields = STRAY[pick % len(STRAY)]
        self.say(self.raw(tried(code, move, fields, max(START, self.now - back), "other")))

    @rule(pick=st.integers(0, 999), shift=st.sampled_from((None, 0, -61_000, 3_600_000)))
    def correct(self, pick: int, shift: int | None) -> None:
        """One of the events was not so: it is taken back, or its times were others."""
        left = [e for e in self.log if "corrects" not in e and e["id"] not in self.retold]
        if not left:
            return
        first = left[pick % len(left)]
        self.retold.add(first["id"])
        again = {**first, "id": f"e{len(self.log):04}", "corrects": first["id"], "revision": 1}
        if shift is None:
            again["retracted"] = True
        else:
            again |= {name: first[name] + shift for name in ("time", *TIMES) if name in first}
        self.say(again)

    @precondition(lambda self: self.unsaved)
    @rule(shuffled=st.randoms(use_true_random=False))
    def crash(self, shuffled: Any) -> None:
        """All that is left is the log; in a cluster it may come back in another order."""
        self.unsaved = False
        digest = self.engine.cases.digest() if self.engine.cases is not None else 0
        self.engine = Engine(CITY, Registry([]))
        again = list(self.log)
        shuffled.shuffle(again)
        self._feed(again)
        assert self.engine.cases is not None
        assert self.engine.cases.digest() == digest

    @invariant()
    def the_clocks_are_right(self) -> None:
        """Table and file against the reference."""
        cases = self.engine.cases
        assert cases is not None
        for code in sorted(self.touched):
            said = [e for e in self.log if e["subject"] == code]
            wanted, file = clocks(said), self.file(code)
            self.states[code] = wanted.state, code == "K3" and ruled(said)
            assert of_file(file) == wanted
            assert of_table(cases, cases.slot(code)) == wanted
            assert file.rev == len(said)
            assert len(file.shaped) <= file.moves
            parent = file.into if file.state == "merged" else ""
            assert cases.parent(code) == parent
            assert parent == "" or code in cases.children(parent)
            assert (file.owner(LAW) is None) == (file.over or file.state == "new")
        self.touched.clear()
        self.check_account(cases.account())

    def check_account(self, made: Account) -> None:
        """Reports = pending + answered + rejected + transferred + withdrawn + merged + opened; cases likewise."""
        for by_rule, reports, cases in ((False, made.reports, made.cases), (True, made.rule_reports, made.rule_cases)):
            states = [state for state, told in self.states.values() if told == by_rule and state != "new"]
            wanted = Counter(REPORTS.get(state, "opened") for state in states)
            opened = Counter(CASES.get(state, "open") for state in states if state not in REPORTS)
            assert {part: n for part, n in reports.items() if n} == wanted
            assert {part: n for part, n in cases.items() if n} == opened
            assert sum(reports.values()) == len(states)
            assert sum(cases.values()) == reports["opened"]


def test_a_desk_that_crashes_keeps_every_clock(figure: Figure) -> None:
    run_state_machine_as_test(
        Desk,
        settings=settings(
            max_examples=RUNS, stateful_step_count=25, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    figure("runs of the case machine, clocks off by 0", RUNS, "runs")
