"""CAP 1.2 in: a message of others, checked as a whole, and the event that it gives. Source: OASIS CAP-v1.2.

What is checked: namespace, each required element, each enumeration, elements that may be there once, times (whole
seconds with an offset, never `Z`), identifiers, references of an Update or Cancel, polygons and circles. A message that
breaks one rule is refused as a whole. Exercises, tests, drafts and system messages become events of a drill: their
subject begins with `drill/`, so that none of them is ever taken for a warning.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from citytwin.models.desk.event import DRILL, Event
from citytwin.models.door_events import (
    CAP_CATEGORY,
    CAP_CERTAINTY,
    CAP_MSG_TYPE,
    CAP_RESPONSE,
    CAP_SCOPE,
    CAP_SEVERITY,
    CAP_STATUS,
    CAP_URGENCY,
)
from citytwin.streams import caparea, markup
from citytwin.streams.capdoc import NAMESPACE, Alert, Area, Info, Reference, points, written_references
from citytwin.streams.rules import Box, Refusal

MAX_BYTES = 256 << 10
#: A message may have so many languages, and an info so many areas.
MAX_INFOS, MAX_AREAS = 20, 200
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
# section 3.2.1: no spaces, commas, < or &
_IDENTIFIER = re.compile(r"[^\s,<&]{1,200}")
#: First of these languages that a message has is the one that the event tells.
_PREFERRED = ("zh-CN", "zh", "en-US", "en")


def read(body: bytes, box: Box | None = None) -> Alert:
    """The message of a document; `box`: the city (lon0, lat0, lon1, lat1), near which its areas must lie.

    Raises Refusal.
    """
    root = markup.read(body, MAX_BYTES)
    if root.tag != f"{{{NAMESPACE}}}alert":
        raise Refusal(
            "bad_version", "alert", f"the root is {root.tag[:100]}; a CAP 1.2 message is alert in {NAMESPACE}"
        )
    infos = _children(root, "info", MAX_INFOS)
    alert = Alert(
        identifier=_identifier(root, "identifier"),
        sender=_identifier(root, "sender"),
        sent=_time(root, "sent", required=True) or 0,
        status=_choice(root, "status", CAP_STATUS),
        msg_type=_choice(root, "msgType", CAP_MSG_TYPE),
        scope=_choice(root, "scope", CAP_SCOPE),
        infos=tuple(_info(i) for i in infos),
        references=_references(_text(root, "references")),
        restriction=_text(root, "restriction"),
        addresses=_text(root, "addresses"),
        note=_text(root, "note"),
    )
    _check(alert)
    caparea.check_near((a for i in alert.infos for a in i.areas), box)
    return alert


def _check(alert: Alert) -> None:
    """What the standard says of elements together."""
    if alert.msg_type in ("Update", "Cancel", "Ack", "Error") and not alert.references:
        raise Refusal("missing", "references", f"{alert.msg_type} names in references the messages that it is about")
    if alert.msg_type in ("Alert", "Update") and not alert.infos:
        raise Refusal("missing", "info", f"{alert.msg_type} without an info says nothing")
    if alert.scope == "Restricted" and not alert.restriction:
        raise Refusal("missing", "restriction", "the scope is Restricted, so restriction must be there")
    if alert.scope == "Private" and not alert.addresses:
        raise Refusal("missing", "addresses", "the scope is Private, so addresses must be there")
    if any(r.identifier == alert.identifier and r.sender == alert.sender for r in alert.references):
        raise Refusal("conflict", "references", "the message refers to itself")


def _children(at: ET.Element, name: str, most: int) -> list[ET.Element]:
    found = at.findall(f"{{{NAMESPACE}}}{name}")
    if len(found) > most:
        raise Refusal("too_large", name, f"{len(found)} elements {name}, at most {most} are taken")
    return found


def _text(at: ET.Element, name: str, *, required: bool = False) -> str:
    """The text of an element that may be there once."""
    found = _children(at, name, 2)
    if len(found) > 1:
        raise Refusal("wrong_type", name, f"{name} is there more than once")
    if found and len(found[0]):
        raise Refusal("wrong_type", name, f"{name} holds elements, a text was expected")
    text = (found[0].text or "").strip() if found else ""
    if required and not text:
        raise Refusal("missing", name, f"{name} is required")
    return text


def _identifier(at: ET.Element, name: str) -> str:
    text = _text(at, name, required=True)
    if not _IDENTIFIER.fullmatch(text):
        raise Refusal("bad_code", name, f"{name} has at most 200 characters and no space, comma, < or &")
    return text


def _choice(at: ET.Element, name: str, allowed: tuple[str, ...]) -> str:
    return _one_of(_text(at, name, required=True), name, allowed)


def _one_of(text: str, name: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise Refusal("bad_code", name, f"{name} is {text[:40]!r}; allowed are {', '.join(allowed)}")
    return text


def _instant(text: str, name: str) -> int:
    try:
        when = datetime.datetime.fromisoformat(text) if _STAMP.fullmatch(text) else None
    except ValueError:
        when = None
    if when is None:
        raise Refusal(
            "bad_time", name, f"{name} is {text[:40]!r}; CAP writes 2026-11-22T22:00:00+08:00, for UTC -00:00"
        )
    return round(when.timestamp()) * 1000


def _time(at: ET.Element, name: str, *, required: bool = False) -> int | None:
    text = _text(at, name, required=required)
    return _instant(text, name) if text else None


def _references(text: str) -> tuple[Reference, ...]:
    found = []
    for word in text.split():
        parts = word.split(",")
        if len(parts) != 3 or not all(parts):
            raise Refusal("wrong_type", "references", f"{word[:80]!r} is not sender,identifier,sent")
        found.append(Reference(parts[0], parts[1], _instant(parts[2], "references")))
    return tuple(found)


def _many(at: ET.Element, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_one_of((c.text or "").strip(), name, allowed) for c in _children(at, name, 20))


def _pairs(at: ET.Element, name: str) -> tuple[tuple[str, str], ...]:
    return tuple((_text(c, "valueName", required=True), _text(c, "value")) for c in _children(at, name, 500))


def _info(at: ET.Element) -> Info:
    category = _many(at, "category", CAP_CATEGORY)
    if not category:
        raise Refusal("missing", "category", "category is required")
    effective, onset, expires = (_time(at, n) for n in ("effective", "onset", "expires"))
    begins = onset if onset is not None else effective
    if begins is not None and expires is not None and expires < begins:
        raise Refusal("out_of_range", "expires", "expires is before onset")
    return Info(
        language=_text(at, "language") or "en-US",
        category=category,
        event=_text(at, "event", required=True),
        urgency=_choice(at, "urgency", CAP_URGENCY),
        severity=_choice(at, "severity", CAP_SEVERITY),
        certainty=_choice(at, "certainty", CAP_CERTAINTY),
        response=_many(at, "responseType", CAP_RESPONSE),
        effective=effective,
        onset=onset,
        expires=expires,
        sender_name=_text(at, "senderName"),
        headline=_text(at, "headline"),
        description=_text(at, "description"),
        instruction=_text(at, "instruction"),
        parameters=_pairs(at, "parameter"),
        areas=tuple(_area(a) for a in _children(at, "area", MAX_AREAS)),
    )


def _area(at: ET.Element) -> Area:
    return Area(
        text=_text(at, "areaDesc", required=True),
        polygons=tuple(caparea.polygon((p.text or "").strip()) for p in _children(at, "polygon", MAX_AREAS)),
        circles=tuple(caparea.circle((c.text or "").strip()) for c in _children(at, "circle", MAX_AREAS)),
        geocodes=_pairs(at, "geocode"),
    )


# The event.


def told(alert: Alert) -> Info | None:
    """The info that the event tells: Chinese if there is one, with the worst severity of all."""
    if not alert.infos:
        return None
    order = {name: i for i, name in enumerate(_PREFERRED)}
    return min(alert.infos, key=lambda i: order.get(i.language, len(order)))


def subject_of(alert: Alert) -> str:
    """Subject of the event: the identifier, of a drill where the message is no real warning."""
    return alert.identifier if alert.status == "Actual" else DRILL + alert.identifier


def event_of(alert: Alert, zone: ZoneInfo, box: Box | None = None) -> dict[str, Any]:
    """The CloudEvent `cap.alert`: time is when it was sent, source and id follow from what CAP says identifies it."""
    info = told(alert)
    data: dict[str, Any] = {
        "sender": alert.sender, "status": alert.status, "msg_type": alert.msg_type, "scope": alert.scope,
        "references": written_references(alert.references, zone),
    }  # fmt: skip
    spot = None
    if info is not None:
        data |= _said(info) | {"severity": min((i.severity for i in alert.infos), key=CAP_SEVERITY.index)}
        spot = caparea.middle(info.areas, box)
    event = {
        "specversion": "1.0", "type": "cap.alert", "source": f"cap/{alert.sender}", "subject": subject_of(alert),
        "id": f"{alert.identifier},{alert.sent}", "time": _utc(alert.sent),
        "data": {k: v for k, v in data.items() if v not in ("", None)},
    }  # fmt: skip
    return event if spot is None else {**event, "lon": spot[0], "lat": spot[1]}


def _said(info: Info) -> dict[str, Any]:
    areas = info.areas
    return {
        "category": info.category[0], "event": info.event, "urgency": info.urgency, "certainty": info.certainty,
        "effective": _utc(info.effective), "onset": _utc(info.onset), "expires": _utc(info.expires),
        "headline": info.headline, "text": info.description, "instruction": info.instruction,
        "area": "; ".join(a.text for a in areas),
        "polygon": ";".join(points(ring) for a in areas for ring in a.polygons),
        "circle": ";".join(f"{lat:g},{lon:g} {km:g}" for a in areas for lat, lon, km in a.circles),
    }  # fmt: skip


def _utc(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# What is in force.


def in_force(events: Iterable[Event], now: int) -> list[Event]:
    """Of `cap.alert` events those that hold at `now` (ms UTC), oldest first.

    An Update takes the place of what it refers to, a Cancel ends it, whichever came first; Ack and Error say nothing of
    that. What has expired and what is of a drill is not in force. A message is followed only by its own sender.
    """
    gone: set[tuple[str, str]] = set()
    alerts: dict[tuple[str, str], Event] = {}
    for event in sorted(events, key=lambda e: (e.time, e.source, e.id)):
        if event.drill:
            continue
        sender, kind = str(event.fields.get("sender", "")), event.fields.get("msg_type")
        if kind in ("Update", "Cancel"):
            gone |= {r for r in _keys(event.fields) if r[0] == sender}
        if kind in ("Alert", "Update"):
            alerts[sender, event.subject] = event
    return [e for key, e in alerts.items() if key not in gone and int(e.fields.get("expires") or now + 1) > now]


def _keys(fields: Mapping[str, Any]) -> set[tuple[str, str]]:
    words = (w.split(",") for w in str(fields.get("references", "")).split())
    return {(w[0], w[1]) for w in words if len(w) == 3}
