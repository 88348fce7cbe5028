"""CAP 1.2 out: public warnings of this city, told by `warning.issued` and `warning.ended`, as messages.

A warning that begins is an Alert; another one of the same subject while it stands is an Update that refers to it; its
end is a Cancel. The level I to IV is CAP's severity Extreme, Severe, Moderate, Minor. Warnings of drills have
the status Exercise. Each message has an info in Chinese and one in English.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from citytwin.models.desk.event import Event
from citytwin.models.door_events import CAP_CATEGORY, CAP_CERTAINTY, CAP_RESPONSE, CAP_URGENCY
from citytwin.streams.capdoc import MEDIA, Alert, Area, Info, Reference
from citytwin.streams.markup import add, written

#: Severity of levels I to IV.
SEVERITY: dict[int, str] = {1: "Extreme", 2: "Severe", 3: "Moderate", 4: "Minor"}
#: Level of each colour of a public warning.
COLOURS: dict[str, int] = {"red": 1, "orange": 2, "yellow": 3, "blue": 4}
LEVEL_NAMES: dict[int, dict[str, str]] = {
    1: {"zh": "红色预警（I级）", "en": "Red warning (level I)"},
    2: {"zh": "橙色预警（II级）", "en": "Orange warning (level II)"},
    3: {"zh": "黄色预警（III级）", "en": "Yellow warning (level III)"},
    4: {"zh": "蓝色预警（IV级）", "en": "Blue warning (level IV)"},
}
_LANGUAGES = (("zh", "zh-CN"), ("en", "en-US"))
#: Where a warning belongs, in a language (zh or en).
AreaOf = Callable[[Event, str], Area]


def identifier_of(event: Event, sender: str) -> str:
    """The message's identifier: it follows from the event, so that a message is the same whenever it is asked for."""
    digest = hashlib.blake2b(f"{event.source}\n{event.id}".encode("utf-8", "replace"), digest_size=8).hexdigest()
    return f"{sender}.{digest}"


def messages(events: Iterable[Event], sender: str, area_of: AreaOf, names: Mapping[str, str]) -> list[Alert]:
    """All messages, oldest first; `names` of the sender by language. Events of other types are passed over."""
    standing: dict[str, Reference] = {}
    scopes: dict[str, int] = {}
    out: list[Alert] = []
    for event in sorted(events, key=lambda e: (e.time, e.source, e.id)):
        before = standing.get(event.subject)
        if event.type == "warning.issued":
            kind = "Update" if before else "Alert"
        elif event.type == "warning.ended" and before:
            kind = "Cancel"
        else:
            continue
        if not before:  # it stays where it was issued
            scopes[event.subject] = event.scope
        placed, status = replace(event, scope=scopes[event.subject]), "Exercise" if event.drill else "Actual"
        alert = _alert(placed, sender, status, kind, area_of, names, (before,) if before else ())
        out.append(alert)
        standing[event.subject] = Reference(sender, alert.identifier, alert.sent)
        if kind == "Cancel":
            del standing[event.subject]
    return out


def draft(event: Event, sender: str, area_of: AreaOf, names: Mapping[str, str]) -> Alert:
    """What a `warning.issued` that nobody said yet would be as a message: its status is Draft, nobody acts on it."""
    return _alert(event, sender, "Draft", "Alert", area_of, names)


def _alert(
    event: Event, sender: str, status: str, kind: str, area_of: AreaOf, names: Mapping[str, str],
    references: tuple[Reference, ...] = (),
) -> Alert:  # fmt: skip
    infos = tuple(_info(event, short, language, area_of, names) for short, language in _LANGUAGES)
    return Alert(identifier_of(event, sender), sender, event.time, status, kind, "Public", infos, references)


ATOM = "http://www.w3.org/2005/Atom"
ATOM_MEDIA = "application/atom+xml"


def feed(alerts: Sequence[Alert], title: str, sender: str, zone: ZoneInfo, now: int) -> bytes:
    """An Atom feed (RFC 4287) of messages, newest first; each links to its CAP document by a relative address."""
    root = ET.Element("feed", {"xmlns": ATOM})
    add(root, "id", f"urn:citytwin:cap:{sender}")
    add(root, "title", title)
    newest = max((a.sent for a in alerts), default=now)
    add(root, "updated", datetime.datetime.fromtimestamp(newest // 1000, zone).isoformat())
    add(add(root, "author"), "name", sender)
    for alert in sorted(alerts, key=lambda a: (-a.sent, a.identifier)):
        entry = add(root, "entry")
        add(entry, "id", f"urn:citytwin:cap:{alert.identifier}")
        add(entry, "title", f"{alert.msg_type}: {alert.infos[0].headline}")
        add(entry, "updated", datetime.datetime.fromtimestamp(alert.sent // 1000, zone).isoformat())
        add(entry, "link").attrib.update(rel="alternate", type=MEDIA, href=quote(alert.identifier, safe=""))
        add(entry, "summary", alert.infos[0].description or alert.infos[0].event)
        add(entry, "category").attrib.update(term=alert.status)
    return written(root)


def level_of(fields: Mapping[str, Any]) -> int:
    """Level 1 to 4 of a warning by its colour or priority, 0 where neither is told."""
    level = COLOURS.get(str(fields.get("colour", "")), 0)
    return level or next((int(fields[n]) for n in ("level", "priority") if fields.get(n) in SEVERITY), 0)


def _info(event: Event, short: str, language: str, area_of: AreaOf, names: Mapping[str, str]) -> Info:
    fields, level = event.fields, level_of(event.fields)
    ended = event.type == "warning.ended"
    kind = LEVEL_NAMES[level][short] if level else {"zh": "预警", "en": "Warning"}[short]
    headline = _text(fields, "headline", short) or str(fields.get("reason") or kind)
    return Info(
        language=language,
        category=_words(fields, "category", CAP_CATEGORY) or ("Safety",),
        event={"zh": "预警解除", "en": "Warning ended"}[short] if ended else _text(fields, "event", short) or kind,
        # what the desk warns of was measured, and holds now; a warning that says otherwise is believed
        urgency="Past" if ended else _told(fields, "urgency", CAP_URGENCY, "Immediate"),
        severity=SEVERITY.get(level, "Unknown"),
        certainty=_told(fields, "certainty", CAP_CERTAINTY, "Observed"),
        response=("AllClear",) if ended else _words(fields, "response", CAP_RESPONSE),
        effective=event.time,
        expires=fields.get("expires"),
        sender_name=names.get(short, ""),
        headline=headline[:160],
        description=_text(fields, "text", short),
        instruction=_text(fields, "instruction", short),
        parameters=(("level", str(level)),) if level else (),
        areas=(area_of(event, short),),
    )


def _text(fields: Mapping[str, Any], name: str, short: str) -> str:
    """A text in a language, else as it was told."""
    return str(fields.get(f"{name}_{short}") or fields.get(name) or "")


def _words(fields: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in str(fields.get(name) or "").split() if word in allowed)


def _told(fields: Mapping[str, Any], name: str, allowed: tuple[str, ...], otherwise: str) -> str:
    value = fields.get(name)
    return str(value) if value in allowed else otherwise
