"""The evidence of an alarm: what pages can read passes, all else is refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from citytwin.models.desk.alarm_checks import raised
from citytwin.models.desk.alarm_evidence import EVENTS_MAX, MAX_BYTES, PARTS_MAX, TEXT_MAX, fault
from citytwin.models.desk.event import Event

EVENT = {"type": "obs", "id": "e1", "time": 1}
PART = {"label": {"zh": "积水", "en": "Water"}, "value": 0.4, "unit": "m", "ok": True, "count": 1, "evidence": [EVENT]}


@pytest.mark.parametrize(
    "told",
    [
        [], ["e1", EVENT], {"unit": "U1", "seen": None, "cases": ["C-1"]}, {"rule": "r", "parts": [PART]},
        {"parts": [{**PART, "value": None, "unit": None}]}, {"parts": [{}]}, ["<script>"] * EVENTS_MAX,
    ],
)  # fmt: skip
def test_what_pages_can_read_passes(told: Any) -> None:
    assert fault(json.dumps(told)) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"), ("[" * 5000 + "]" * 5000, "no JSON"), ('{"parts": NaN}', "no JSON"),
        ("7", "a list of event ids"), ("null", "a list of event ids"), ('["' + "x" * MAX_BYTES + '"]', "bytes"),
        ("[1]", "evidence[0]"), ('[""]', "evidence[0]"), (json.dumps(["x" * (TEXT_MAX + 1)]), "evidence[0]"),
        (json.dumps(["e1", {**EVENT, "time": "now"}]), "evidence[1]"), ('{"parts": 5}', "evidence.parts"),
        (json.dumps(["e"] * (EVENTS_MAX + 1)), "at most"), ('{"parts": [5]}', "parts[0]"),
        (json.dumps({"parts": [{}] * (PARTS_MAX + 1)}), "at most"), ('{"parts": [{"label": "x"}]}', "label"),
        ('{"parts": [{"label": {"zh": 1}}]}', "label"), ('{"parts": [{"value": []}]}', "value"),
        ('{"parts": [{}, {"unit": 5}]}', "parts[1]"), ('{"parts": [{"evidence": "e1"}]}', "parts[0].evidence"),
    ],
)  # fmt: skip
def test_all_else_is_refused_with_a_sentence(text: str, said: str) -> None:
    fields = {"priority": 1, "rule": "r", "evidence": text}
    found = raised(Event("alarm.raised", 0, "gateway", "x", "r@C0", fields=fields))
    assert found is not None
    assert (found.reason, found.field) == ("wrong_type", "evidence")
    assert said in found.detail
    assert len(found.detail) < 200
