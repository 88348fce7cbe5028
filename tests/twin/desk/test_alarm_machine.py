"""Alarms against a tiny reference: any order of words, ticks and snapshots; what is refused changes nothing."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import AUTO, Event
from citytwin.twin.desk.alarms import Alarms
from tests.conftest import proving
from tests.indicators.town import tree

T0 = 1_750_000_000_000
HOUR, MINUTE = 3_600_000, 60_000
CODES = ("flood@C0000", "flood@C0001", "gas@G1", "drill/gas@G1")
SCOPES, GRIDS = tree()
codes = st.sampled_from(CODES)
steps = st.sampled_from([0, 1, 30_000, MINUTE, 11 * MINUTE, HOUR, 25 * HOUR])


class Plain:
    """One alarm as a list of what happened to it, worked out anew at each question."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int, Any]] = []

    def of(self) -> dict[str, Any]:
        """Walk through all that was said."""
        a: dict[str, Any] = {"active": False, "acked": True, "n": 0, "worst": 9, "returned": None, "until": None,
                             "by": "", "out": False}  # fmt: skip
        for what, time, more in self.said:
            if what == "raised" and (not a["active"] or more < a["worst"]):
                late = not a["active"] and a["returned"] is not None and time < a["returned"]
                a |= {"active": not late, "acked": False, "n": a["n"] + 1, "since": time}
            if what == "raised":
                a["worst"] = more
            if what == "cleared":
                a |= {"active": False, "returned": time}
            a |= {
                "acknowledged": {"acked": True}, "shelved": {"until": more}, "unshelved": {"until": None},
                "suppressed": {"by": "mode"}, "unsuppressed": {"by": ""}, "out_of_service": {"out": True},
                "in_service": {"out": False},
            }.get(what, {})  # fmt: skip
        return a

    def state(self, now: int) -> str:
        """State by the table of ISA-18.2."""
        a = self.of()
        if a["out"]:
            return "out_of_service"
        if a["by"]:
            return "suppressed"
        if a["until"] is not None and now < a["until"]:
            return "shelved"
        bits = (a["active"], a["acked"])
        return {(True, False): "unack", (True, True): "ack", (False, False): "rtn_unack", (False, True): "normal"}[bits]


class Machine(RuleBasedStateMachine):
    """Says things, now and then from a snapshot on."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.number = T0, 0
        self.alarms = Alarms(SCOPES)
        self.alarms.tick(T0)
        self.plain: dict[str, Plain] = {}
        self.pages: dict[str, dict[str, Any]] = {}

    def say(self, what: str, code: str, wanted: str, source: str = "desk/wang", time: int = 0, **fields: Any) -> None:
        """One event; `wanted` is the reason of the refusal, "" for none."""
        self.number += 1
        event = Event(f"alarm.{what}", time or self.now, source, f"e{self.number}", code, GRIDS[0], fields=fields)
        before = json.dumps(self.alarms.state(), sort_keys=True)
        refusal = self.alarms.check(event)
        assert (refusal.reason if refusal else "") == wanted, (what, code, refusal)
        assert json.dumps(self.alarms.state(), sort_keys=True) == before, "a question changes nothing"
        if refusal is None:
            self.alarms.apply(event)
            more = fields.get("priority", fields.get("until"))
            self.plain.setdefault(code, Plain()).said.append((what, event.time, more))

    def known(self, code: str) -> dict[str, Any] | None:
        return self.plain[code].of() if code in self.plain else None

    @rule(code=codes, priority=st.integers(1, 4), back=st.sampled_from([0, 0, 0, 90_000, 2 * HOUR]))
    def raise_(self, code: str, priority: int, back: int) -> None:
        self.say("raised", code, "", AUTO, self.now - back, priority=priority, rule="r", text_zh="水", text_en="w")

    @rule(code=codes, back=st.sampled_from([0, 0, 3 * HOUR]))
    def clear(self, code: str, back: int) -> None:
        a = self.known(code)
        time = self.now - back
        row = self.alarms.detail(code)
        early = row is not None and a is not None and a["active"] and time < row["active_since"]
        self.say("cleared", code, "unknown_case" if a is None else "not_now" if not a["active"] or early else "",
                 AUTO, time)  # fmt: skip

    @rule(code=codes, off=st.sampled_from([-1, 0, 0, 0, 1]), user=st.sampled_from(["desk/wang", "desk/li"]))
    def acknowledge(self, code: str, off: int, user: str) -> None:
        a = self.known(code)
        number = (a["n"] if a else 1) + off
        wanted = (
            "unknown_case" if a is None else "out_of_range" if off > 0 else "stale_rev" if off or a["acked"] else ""
        )
        self.say("acknowledged", code, wanted, user, occurrence=number)

    @rule(code=codes, hours=st.sampled_from([0, 1, 24, 25]), reason=st.sampled_from(["works", ""]))
    def shelve(self, code: str, hours: int, reason: str) -> None:
        a = self.known(code)
        wanted = "unknown_case" if a is None else "out_of_range" if hours in (0, 25) else "" if reason else "missing"
        self.say("shelved", code, wanted, until=self.now + hours * HOUR, reason=reason)

    @rule(code=codes)
    def unshelve(self, code: str) -> None:
        a = self.known(code)
        self.say("unshelved", code, "unknown_case" if a is None else "not_now" if a["until"] is None else "")

    @rule(code=codes)
    def suppress(self, code: str) -> None:
        self.say("suppressed", code, "", AUTO, by="mode")

    @rule(code=codes)
    def unsuppress(self, code: str) -> None:
        a = self.known(code)
        self.say("unsuppressed", code, "unknown_case" if a is None else "" if a["by"] else "not_now", AUTO)

    @rule(code=codes)
    def out(self, code: str) -> None:
        a = self.known(code)
        self.say("out_of_service", code, "not_now" if a and a["out"] else "", reason="repair")

    @rule(code=codes)
    def back(self, code: str) -> None:
        a = self.known(code)
        self.say("in_service", code, "unknown_case" if a is None else "" if a["out"] else "not_now")

    @precondition(lambda self: self.plain)
    @rule(data=st.data(), old=st.booleans())
    def command_with_a_revision(self, data: st.DataObject, old: bool) -> None:
        code = data.draw(st.sampled_from(sorted(self.plain)))
        rev = (self.alarms.row(code) or {})["rev"]
        self.say("suppressed", code, "stale_rev" if old else "", by="mode", rev=rev - old)

    @rule(step=steps, at_due=st.booleans(), heard=st.booleans())
    def tick(self, step: int, at_due: bool, heard: bool) -> None:
        due = self.alarms.due()
        assert due == MISSING or due > self.now
        self.now = due if at_due and due != MISSING else self.now + step
        drafts = self.alarms.tick(self.now)
        self.pages_take_what_changed()
        if not heard:
            assert self.alarms.tick(self.now) == drafts, "it is said until it was heard"
            return
        for draft in drafts:
            code = draft.subject
            if draft.type == "alarm.health":
                self.alarms.apply(Event(draft.type, draft.time, AUTO, draft.id, code, fields=draft.fields))
                continue
            assert draft.type == "alarm.unshelved"
            assert draft.time == self.plain[code].of()["until"] <= self.now
            self.say("unshelved", code, "", AUTO, draft.time)
        assert self.alarms.tick(self.now) == [], "what was heard is not said again"

    @rule(keep=st.booleans())
    def snapshot(self, keep: bool) -> None:
        state = json.loads(json.dumps(self.alarms.state()))
        again = Alarms(SCOPES)
        again.load(state)
        assert json.dumps(again.state()) == json.dumps(self.alarms.state())
        assert again.rows() == self.alarms.rows()
        assert again.groups() == self.alarms.groups()
        assert again.due() == self.alarms.due()
        if keep:
            self.alarms = again

    @rule()
    def pages_take_what_changed(self) -> None:
        self.pages |= {row["code"]: dict(row) for row in self.alarms.take_changed()}
        shown = {code: row for code, row in self.pages.items() if row["state"] != "normal"}
        assert shown == {row["code"]: row for row in self.alarms.rows()}

    @invariant()
    def equal_the_reference(self) -> None:
        for code, plain in self.plain.items():
            row, a = self.alarms.row(code), plain.of()
            assert row is not None
            assert (row["active"], row["acked"], row["occurrence"]) == (a["active"], a["acked"], a["n"])
            assert row["state"] == plain.state(self.now)
            assert row["since"] == a.get("since")
            assert row["drill"] == code.startswith("drill/")
        standing = {r["code"] for r in self.alarms.rows()}
        assert standing == {c for c, p in self.plain.items() if p.state(self.now) != "normal"}
        grouped = [code for g in self.alarms.groups() for code in g["members"]]
        seen = ("unack", "ack", "rtn_unack")
        assert sorted(grouped) == sorted(c for c, p in self.plain.items() if p.state(self.now) in seen)


def test_alarms_equal_the_reference() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=3_000 if proving() else 100, stateful_step_count=40, deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )  # fmt: skip
