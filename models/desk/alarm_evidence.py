"""What the evidence of an alarm may be: the JSON that pages and the file of a case read, held to its form at the door.

It is a list of events, or an object with the parts of a rule; each event is named by its id, or by type, id and time.
Whoever else raises alarms may put in an object more than that: numbers, texts and lists that nobody interprets.
"""

from __future__ import annotations

import json
from typing import Any

#: Most bytes of it, most parts of a rule, most events of a part.
MAX_BYTES, PARTS_MAX, EVENTS_MAX = 16_384, 20, 100
#: Longest text that names something, in characters.
TEXT_MAX = 500


def fault(text: str) -> str:
    """What is wrong with the evidence of an alarm, "" for nothing.

    >>> fault('["e1", {"type": "obs", "id": "e2", "time": 1}]'), fault("[1]")
    ('', 'evidence[0] is no event: name it by its id, or by type, id and time')
    """
    if not text:
        return ""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return f"evidence has at most {MAX_BYTES} bytes"
    try:
        told = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return "evidence is no JSON: send a list of event ids, or an object with parts"
    if isinstance(told, list):
        return _events(told, "evidence")
    if not isinstance(told, dict):
        return "evidence is a list of event ids, or an object with parts"
    return _parts(told.get("parts", []))


def _no_number(word: str) -> float:
    raise ValueError(word)


def _parts(parts: Any) -> str:
    if not isinstance(parts, list) or len(parts) > PARTS_MAX:
        return f"evidence.parts is a list of at most {PARTS_MAX}"
    return next((wrong for i, part in enumerate(parts) if (wrong := _part(part, f"evidence.parts[{i}]"))), "")


def _part(part: Any, place: str) -> str:
    if not isinstance(part, dict):
        return f"{place} is no object"
    label = part.get("label", {})
    if not isinstance(label, dict) or not all(_text(word) for word in label.values()):
        return f"{place}.label has a text by language, zh and en"
    if not isinstance(part.get("value"), int | float | str | None) or not _text(part.get("unit") or ""):
        return f"{place}: value is a number or a text, unit a text"
    return _events(part.get("evidence", []), f"{place}.evidence")


def _events(events: Any, place: str) -> str:
    if not isinstance(events, list) or len(events) > EVENTS_MAX:
        return f"{place} is a list of at most {EVENTS_MAX} events"
    wrong = next((i for i, event in enumerate(events) if not _is_event(event)), -1)
    return f"{place}[{wrong}] is no event: name it by its id, or by type, id and time" if wrong >= 0 else ""


def _is_event(event: Any) -> bool:
    if isinstance(event, dict):
        time = event.get("time")
        return _text(event.get("type")) and _text(event.get("id")) and type(time) is int
    return _text(event) and event != ""


def _text(word: Any) -> bool:
    return isinstance(word, str) and len(word) <= TEXT_MAX
