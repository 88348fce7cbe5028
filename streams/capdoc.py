"""What a CAP 1.2 message says, as plain values, and how it is written. Source: OASIS CAP-v1.2, sections 3.2 and 3.3."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from citytwin.streams.markup import add, written

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
MEDIA = "application/cap+xml"
#: A point as CAP writes it: latitude first, WGS 84 degrees.
LatLon = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Reference:
    """An earlier message: sender, identifier, and the time it was sent (ms UTC)."""

    sender: str
    identifier: str
    sent: int


@dataclass(frozen=True, slots=True)
class Area:
    """Where: a text, closed polygons, circles (latitude, longitude, km), geocodes (name, value)."""

    text: str
    polygons: tuple[tuple[LatLon, ...], ...] = ()
    circles: tuple[tuple[float, float, float], ...] = ()
    geocodes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Info:
    """What, in one language; times ms UTC, None where not said."""

    language: str
    category: tuple[str, ...]
    event: str
    urgency: str
    severity: str
    certainty: str
    response: tuple[str, ...] = ()
    effective: int | None = None
    onset: int | None = None
    expires: int | None = None
    sender_name: str = ""
    headline: str = ""
    description: str = ""
    instruction: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    areas: tuple[Area, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """A message."""

    identifier: str
    sender: str
    sent: int
    status: str
    msg_type: str
    scope: str
    infos: tuple[Info, ...] = ()
    references: tuple[Reference, ...] = ()
    restriction: str = ""
    addresses: str = ""
    note: str = ""

    @property
    def real(self) -> bool:
        """Whether it is meant as a warning: exercises, tests, drafts, system messages and receipts are not."""
        return self.status == "Actual" and self.msg_type in ("Alert", "Update", "Cancel")


def stamp(ms: int, zone: ZoneInfo) -> str:
    """A time as CAP wants it: whole seconds and an offset, never `Z` (section 3.3.2).

    >>> stamp(1_763_900_000_000, ZoneInfo("Asia/Shanghai"))
    '2025-11-23T20:13:20+08:00'
    """
    text = datetime.datetime.fromtimestamp(ms // 1000, zone).isoformat()
    return text.replace("+00:00", "-00:00")


def degrees(value: float) -> str:
    """A coordinate with at most 6 decimals, some 0.1 m, and no exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def points(polygon: Iterable[LatLon]) -> str:
    """Points as `lat,lon lat,lon ...`."""
    return " ".join(f"{degrees(lat)},{degrees(lon)}" for lat, lon in polygon)


def written_references(references: Iterable[Reference], zone: ZoneInfo) -> str:
    """References as `sender,identifier,sent ...`."""
    return " ".join(f"{r.sender},{r.identifier},{stamp(r.sent, zone)}" for r in references)


def to_xml(alert: Alert, zone: ZoneInfo) -> bytes:
    """The message as CAP 1.2 in UTF-8, elements in the order of the schema; times in that zone."""
    root = ET.Element("alert", {"xmlns": NAMESPACE})
    for name, text in (
        ("identifier", alert.identifier), ("sender", alert.sender), ("sent", stamp(alert.sent, zone)),
        ("status", alert.status), ("msgType", alert.msg_type), ("scope", alert.scope),
    ):  # fmt: skip
        add(root, name, text)
    refs = written_references(alert.references, zone)
    optional = (("restriction", alert.restriction), ("addresses", alert.addresses), ("note", alert.note))
    for name, text in (*optional, ("references", refs)):
        if text:
            add(root, name, text)
    for info in alert.infos:
        _info(root, info, zone)
    return written(root)


def _info(root: ET.Element, info: Info, zone: ZoneInfo) -> None:
    at = add(root, "info")
    add(at, "language", info.language)
    for category in info.category:
        add(at, "category", category)
    add(at, "event", info.event)
    for response in info.response:
        add(at, "responseType", response)
    for name, text in (("urgency", info.urgency), ("severity", info.severity), ("certainty", info.certainty)):
        add(at, name, text)
    for name, when in (("effective", info.effective), ("onset", info.onset), ("expires", info.expires)):
        if when is not None:
            add(at, name, stamp(when, zone))
    for name, text in (
        ("senderName", info.sender_name), ("headline", info.headline), ("description", info.description),
        ("instruction", info.instruction),
    ):  # fmt: skip
        if text:
            add(at, name, text)
    for name, value in info.parameters:
        _pair(at, "parameter", name, value)
    for area in info.areas:
        _area(at, area)


def _area(info: ET.Element, area: Area) -> None:
    at = add(info, "area")
    add(at, "areaDesc", area.text)
    for polygon in area.polygons:
        add(at, "polygon", points(polygon))
    for lat, lon, km in area.circles:
        add(at, "circle", f"{degrees(lat)},{degrees(lon)} {degrees(km)}")
    for name, value in area.geocodes:
        _pair(at, "geocode", name, value)


def _pair(parent: ET.Element, kind: str, name: str, value: str) -> None:
    at = add(parent, kind)
    add(at, "valueName", name)
    add(at, "value", value)
