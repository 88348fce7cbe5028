"""Public warnings: by an authorised person only, for one place, with a beginning, updates and one end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from citytwin.models.columns import MISSING
from citytwin.models.desk.event import AUTO, SIMULATED, Event, Refusal
from citytwin.twin.desk.warnings import ENDED, Warnings
from tests.indicators.town import tree

T0 = 1_750_000_000_000
SCOPES, GRIDS = tree()
WARNING: dict[str, Any] = {"colour": "red", "headline": "暴雨红色预警", "under": "commander"}


def say(part: Warnings, type: str, code: str, at: int = 0, user: str = "chief", scope: int = 0, **fields: Any
        ) -> Refusal | None:  # fmt: skip
    """Check one event of a person, and apply it unless it is refused; `at` ms after T0."""
    told = {"actor": user, "under": "commander", **fields}
    event = Event(f"warning.{type}", T0 + at, f"desk/{user}", f"{type}/{code}/{at}", code, scope, fields=told)
    refusal = part.check(event)
    if refusal is None:
        part.apply(event)
    return refusal


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        (AUTO, {}), (SIMULATED, {}), ("weather/office", {}), ("desk/wang", {}), ("desk/chief", {"under": "dispatcher"}),
        ("desk/chief", {"under": None}), ("desk/chief", {"actor": "other"}), ("desk/chief", {"under": "king"}),
    ],
)  # fmt: skip
def test_only_an_authorised_person_issues_and_ends_a_warning(source: str, fields: dict[str, Any]) -> None:
    part = Warnings(SCOPES)
    assert say(part, "issued", "W1", **WARNING) is None
    before = part.state()
    told = {**WARNING, "actor": "chief", **fields}
    for type, code in (("warning.issued", "W2"), ("warning.ended", "W1")):
        refusal = part.check(Event(type, T0 + 1, source, "x", code, 0, fields=told))
        assert refusal is not None
        assert refusal.reason == "not_allowed"
    assert part.state() == before


def test_a_warning_is_issued_updated_and_ended() -> None:
    part = Warnings(SCOPES)
    assert say(part, "issued", "W1", 1, **WARNING) is None
    assert say(part, "issued", "W2", 2, colour="blue", headline="大风", headline_en="Wind", text="八级") is None
    assert say(part, "issued", "W2", 3, "deputy", -1, colour="orange", headline="大风", rev=1, run="R1") is None
    first, second = part.rows()
    assert (first["code"], first["level"], first["issued_at"], first["rev"], first["scope"]) == (
        "W1",
        1,
        T0 + 1,
        1,
        "C",
    )
    assert (second["code"], second["level"], second["issued_at"], second["issued_by"], second["run"]) == (
        "W2", 2, T0 + 2, "deputy", "R1",
    )  # fmt: skip
    assert second["headline"] == {"zh": "大风", "en": "大风"}
    assert second["text"] == {"zh": None, "en": None}, "an update says all of it anew"
    assert len(part.take_changed()) == 2
    again = Warnings(SCOPES)
    again.load(json.loads(json.dumps(part.state())))
    assert (again.rows(), again.state()) == (part.rows(), part.state())
    assert say(part, "ended", "W2", 4) is None
    assert [w["code"] for w in part.rows()] == ["W1"]
    (told,) = part.take_changed()
    assert (told["in_force"], told["ended_by"], told["ended_at"]) == (False, "chief", T0 + 4)
    assert say(part, "issued", "W2", 5, scope=int(GRIDS[0]), **WARNING) is None
    assert part.rows()[0]["issued_at"] == T0 + 5, "what was ended begins anew, where it is issued"


def test_what_makes_no_sense_is_refused_and_the_ended_are_bounded() -> None:
    part = Warnings(SCOPES)
    for i in range(ENDED + 5):
        assert say(part, "issued", f"W{i}", i, **WARNING) is None
        assert say(part, "ended", f"W{i}", i + 1) is None
    assert say(part, "issued", "S", 0, **WARNING) is None
    wrong: list[tuple[str, str, str, dict[str, Any]]] = [
        ("not_now", "ended", "W9", {}), ("unknown_case", "ended", "none", {}), ("stale_rev", "ended", "W9", {"rev": 1}),
        ("bad_code", "issued", "W", {"headline": "x"}), ("missing", "issued", "W", {"colour": "red"}),
        ("missing", "issued", "", WARNING), ("bad_code", "issued", "W", WARNING | {"category": "Met Weather"}),
        ("bad_code", "issued", "W", WARNING | {"response": "Run"}),
        ("out_of_range", "issued", "W", WARNING | {"expires": T0}),
        ("not_now", "issued", "S", WARNING | {"scope": int(GRIDS[0])}),
        ("not_now", "ended", "S", {"scope": int(GRIDS[0])}),
    ]  # fmt: skip
    before = part.state()
    for reason, name, code, more in wrong:
        refusal = say(part, name, code, 10_000, **more)
        assert refusal is not None
        assert (refusal.reason, len(refusal.detail) > 10) == (reason, True)
    assert part.state() == before
    assert len(part.take_changed()) == ENDED + 1


def test_what_is_over_by_its_own_word_stands_until_somebody_ends_it() -> None:
    part = Warnings(SCOPES)
    assert say(part, "issued", "W", **WARNING, expires=T0 + 100) is None
    assert part.due() == T0 + 100
    assert (part.tick(T0 + 99), part.rows()[0]["lapsed"]) == ([], False)
    part.take_changed()
    assert (part.tick(T0 + 100), part.rows()[0]["lapsed"], part.due()) == ([], True, MISSING)
    assert [w["lapsed"] for w in part.take_changed()] == [True]
    assert say(part, "issued", "W", 200, **WARNING, expires=T0 + 900) is None
    assert part.rows()[0]["lapsed"] is False
