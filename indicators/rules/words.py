"""What a firing says: texts, group, the why of it with its events, and the drafts of alarm and case."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from citytwin.indicators.rules.atoms import Finding, Ground, Place
from citytwin.models.desk.event import Draft
from citytwin.models.desk.rules import Rule, When

#: When a case of a category and level must be handled that is filed at a time: (category, level, ms) -> ms.
DueAt = Callable[[str, int, int], int]
#: Most bytes of the why of a firing: the field `evidence` of alarm.raised.
WHY_MAX = 16_000


def code_of(rule: Rule, place: Place) -> str:
    """Code of the alarm of a rule at a place."""
    return f"{rule.id}@{place.code}"


def case_code(alarm: str, since: int) -> str:
    """Code of the case that an alarm opens: by the alarm and the time at which it was raised (ms UTC)."""
    stamp = datetime.fromtimestamp(since / 1000, UTC).strftime("%y%m%d%H%M%S")
    return f"R{stamp}-{hashlib.blake2b(f'{alarm} {since}'.encode(), digest_size=4).hexdigest()}"


def why(rule: Rule, finding: Finding) -> str:
    """JSON of why a rule fired: each part with label, value, unit, whether it held, and its events.

    If it would be longer than WHY_MAX bytes, each part names fewer events.
    """
    for most in (8, 4, 2, 1, 0):
        parts = [_told(w, f, most) for w, f in _leaves(rule.when, finding)]
        told = {"rule": rule.id, "version": rule.version, "confidence": rule.confidence, "parts": parts}
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) <= WHY_MAX:
            break
    return text


def _leaves(when: When, finding: Finding) -> Iterator[tuple[When, Finding]]:
    if not when.parts:
        yield when, finding
    # a place at which a joined part was not looked into has no inner findings
    blank = (Finding(finding.place, False),) * len(when.parts)
    for part, inner in zip(when.parts, finding.inner or blank, strict=True):
        yield from _leaves(part, inner)


def _told(when: When, finding: Finding, most: int) -> dict[str, Any]:
    value = None if np.isnan(finding.value) else round(finding.value, 3)
    events = [{"type": type, "id": id, "time": time} for time, type, id in finding.evidence[:most]]
    return {
        "label": dict(when.label), "value": value, "unit": when.unit, "ok": finding.ok, "count": finding.count,
        "evidence": events,
    }  # fmt: skip


def unit_of(rule: Rule) -> str:
    """Unit of the value of a rule: that of its first leaf."""
    return next(rule.when.leaves()).unit


def _names(rule: Rule, finding: Finding, ground: Ground, lang: str) -> dict[str, str]:
    place, tree = finding.place, ground.scopes
    district, street = (ground.above(place.scope, level) for level in ("district", "street"))

    def scope(row: int) -> str:
        if row < 0:
            return ""
        return (tree.name_en[row] if lang == "en" else "") or tree.name[row]

    where = ground.entities.name(place.entity) if place.entity >= 0 else scope(place.scope)
    leads = [finding, *(f for f in finding.inner if f.ok)]
    value = next((f.value for f in leads if not np.isnan(f.value)), float("nan"))
    return {
        "place": where or place.code, "subject": place.subject, "value": "" if np.isnan(value) else f"{value:.4g}",
        "unit": unit_of(rule), "count": str(finding.count), "rule": rule.id, "theme": rule.theme,
        "district": scope(district), "street": scope(street),
    }  # fmt: skip


def filled(template: str, names: dict[str, str]) -> str:
    """A text with its placeholders filled in; what it holds besides stays as it is."""
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), template)


def raised(rule: Rule, finding: Finding, now: int, ground: Ground) -> Draft:
    """The draft of alarm.raised."""
    place, code = finding.place, code_of(rule, finding.place)
    texts = {lang: _names(rule, finding, ground, lang) for lang in ("zh", "en")}
    level = rule.case.level if rule.case is not None else 0
    fields: dict[str, Any] = {
        "rule": rule.id, "priority": rule.priority, "unit": unit_of(rule) or None,
        "text_zh": filled(rule.text["zh"], texts["zh"]), "text_en": filled(rule.text["en"], texts["en"]),
        "level_of_event": level, "evidence": why(rule, finding), "group": filled(rule.group, texts["zh"]),
        "notice": rule.notice,
    }  # fmt: skip
    if not np.isnan(finding.value):
        fields["value"] = finding.value
    return _draft("alarm.raised", now, f"raised/{code}/{now}", code, place, ground, fields)


def cleared(rule: Rule, place: Place, since: int, now: int, ground: Ground) -> Draft:
    """The draft of alarm.cleared; it says since when the alarm was up."""
    code = code_of(rule, place)
    return _draft("alarm.cleared", now, f"cleared/{code}/{since}", code, place, ground, {})


def case_drafts(rule: Rule, finding: Finding, now: int, ground: Ground, due_at: DueAt) -> list[Draft]:
    """The drafts of the case that a rule opens: reported, accepted, filed, in this order also by their ids."""
    assert rule.case is not None
    place, alarm = finding.place, code_of(rule, finding.place)
    code, category, level = case_code(alarm, now), rule.case.category, rule.case.level
    text = filled(rule.text["zh"], _names(rule, finding, ground, "zh"))
    told = {
        "category": category,
        "channel": "rule",
        "level": level,
        "text": text,
        "source_alarm": alarm,
        "rule": rule.id,
    }
    if place.subject:
        told["component"] = place.subject
    filed = {"due_at": due_at(category, level, now), "category": category, "channel": "rule"}
    moves: list[tuple[str, dict[str, Any]]] = [("reported", told), ("accepted", {}), ("filed", filed)]
    return [
        _draft(f"case.{move}", now, f"case/{code}/{i}", code, place, ground, fields)
        for i, (move, fields) in enumerate(moves, 1)
    ]


def _draft(type: str, now: int, id: str, subject: str, place: Place, ground: Ground, fields: dict[str, Any]) -> Draft:
    scope = ground.scopes.code[place.scope] if place.scope >= 0 else ""
    return Draft(type, now, id, subject, place.lon, place.lat, fields, scope)
