"""CAP 1.2 both ways: against a schema written down from the standard (lxml) and against an independent parser."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import shapely
from cap_tools import models as other
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.serializers import XmlSerializer

from citytwin.models.batch import REASONS
from citytwin.models.desk.event import Event
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
from citytwin.models.events import VOCABULARY
from citytwin.streams import cap, caparea, capout
from citytwin.streams.capdoc import Alert, Area, Info, Reference, to_xml
from citytwin.streams.codec import Codec
from citytwin.streams.rules import Refusal
from tests.conftest import proving

ZONE = ZoneInfo("Asia/Shanghai")
BOX = (113.69, 29.97, 115.08, 31.37)
SCHEMA = etree.XMLSchema(etree.parse(str(Path(__file__).parent / "standards" / "cap-1.2.xsd")))
SQUARE = ((30.4, 114.1), (30.4, 114.5), (30.8, 114.5), (30.8, 114.1), (30.4, 114.1))
NOW = 1_790_000_000_000
RUNS = 2000 if proving() else 25

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
names = st.text("abcXYZ019.-_:武", min_size=1, max_size=30)
seconds = st.integers(0, 4_000_000_000).map(lambda s: s * 1000)


def some(choices: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(choices), max_size=3, unique=True).map(tuple)


shapes = st.tuples(st.floats(30.1, 30.6), st.floats(113.8, 114.5), st.floats(0.01, 0.4), st.floats(0.01, 0.4)).map(
    lambda t: tuple(
        (round(t[0] + y * t[2], 6), round(t[1] + x * t[3], 6)) for y, x in ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0))
    )
)
areas = st.builds(
    Area, words.map(lambda t: f"区{t.strip()}"), st.lists(shapes, max_size=2).map(tuple),
    st.lists(st.tuples(st.floats(30, 31), st.floats(114, 115), st.floats(0, 50)), max_size=1).map(
        lambda cs: tuple((round(a, 6), round(b, 6), round(c, 3)) for a, b, c in cs)
    ),
)  # fmt: skip
infos = st.builds(
    Info, st.sampled_from(["zh-CN", "en-US", "fr"]), some(CAP_CATEGORY).filter(bool), words.map(lambda t: f"e{t}"),
    st.sampled_from(CAP_URGENCY), st.sampled_from(CAP_SEVERITY), st.sampled_from(CAP_CERTAINTY), some(CAP_RESPONSE),
    st.none() | seconds, st.none(), st.none(), words, words, words, words,
    st.lists(st.tuples(names, words.map(lambda t: f"v{t}")), max_size=2).map(tuple),
    st.lists(areas, max_size=2).map(tuple),
)  # fmt: skip
alerts = st.builds(
    Alert, names.map(lambda n: "i" + n), names, seconds, st.sampled_from(CAP_STATUS),
    st.sampled_from(CAP_MSG_TYPE), st.sampled_from(CAP_SCOPE), st.lists(infos, min_size=1, max_size=3).map(tuple),
    st.lists(st.builds(Reference, names, names.map(lambda n: "r" + n), seconds), min_size=1, max_size=2).map(tuple),
    st.just("staff"), st.just("a b"), words,
)  # fmt: skip


def clean(text: str) -> str:
    """A text as XML can hold and gives back: without forbidden characters, ends of lines as one."""
    kept = "".join(c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "�" or c > "\uffff")
    return kept.replace("\r\n", "\n").replace("\r", "\n").strip()


@settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(alerts)
def test_what_is_written_is_valid_and_read_again(alert: Alert) -> None:
    body = to_xml(alert, ZONE)
    SCHEMA.assertValid(etree.fromstring(body))
    again = cap.read(body, BOX)
    for name in ("identifier", "sender", "sent", "status", "msg_type", "scope", "references"):
        assert getattr(again, name) == getattr(alert, name)
    for info, told in zip(again.infos, alert.infos, strict=True):
        assert (info.category, info.severity, info.effective) == (told.category, told.severity, told.effective)
        assert (info.headline, info.description) == (clean(told.headline), clean(told.description))
        assert [a.polygons for a in info.areas] == [a.polygons for a in told.areas]
    _same_to_another(alert, body)


def millis(when: Any) -> int:
    """A time of cap-tools as ms UTC."""
    return int(round(when.to_datetime().timestamp()) * 1000)


def _same_to_another(alert: Alert, body: bytes) -> None:
    """An independent parser (cap-tools, over xsdata) reads the same."""
    found = XmlParser().from_bytes(body, other.Alert)
    assert (found.identifier, found.msg_type.value, found.status.value) == (
        alert.identifier, alert.msg_type, alert.status,
    )  # fmt: skip
    refs = [
        (r.sender, r.identifier, round(r.sent.to_datetime().timestamp() * 1000)) for r in found.references_to_list()
    ]
    assert refs == [(r.sender, r.identifier, r.sent) for r in alert.references]
    assert round(found.sent.to_datetime().timestamp() * 1000) == alert.sent
    for info, told in zip(found.infos, alert.infos, strict=True):
        assert (info.severity.value, info.urgency.value, info.certainty.value) == (
            told.severity, told.urgency, told.certainty,
        )  # fmt: skip
        assert [c.value for c in info.categories] == list(told.category)
        assert (info.headline or "").strip() == clean(told.headline)
        for area, mine in zip(info.areas, told.areas, strict=True):
            points = [[tuple(map(float, p.split(","))) for p in ring.split()] for ring in area.polygons]
            assert points == [list(r) for r in mine.polygons]


def document(**changed: str | None) -> bytes:
    """A message as a weather office writes it; None leaves an element away."""
    told: dict[str, str | None] = {
        "identifier": "HB-1", "sender": "hubei.weather", "sent": "2026-09-21T22:00:00+08:00", "status": "Actual",
        "msgType": "Alert", "scope": "Public", "references": None, "language": "zh-CN", "category": "Met",
        "event": "暴雨", "urgency": "Immediate", "severity": "Severe", "certainty": "Likely", "onset": None,
        "expires": None, "headline": "暴雨橙色预警", "areaDesc": "武汉市",
        "polygon": "30.4,114.1 30.4,114.5 30.8,114.5 30.8,114.1 30.4,114.1", "circle": None, "more": "", **changed,
    }  # fmt: skip

    def one(name: str) -> str:
        return "" if told[name] is None else f"<{name}>{told[name]}</{name}>"

    head = "".join(map(one, ("identifier", "sender", "sent", "status", "msgType", "scope", "references")))
    info = "".join(map(one, ("language", "category", "event", "urgency", "severity", "certainty", "onset", "expires")))
    info += one("headline")
    area = "".join(map(one, ("areaDesc", "polygon", "circle")))
    space = "urn:oasis:names:tc:emergency:cap:1.2"
    return f'<alert xmlns="{space}">{head}<info>{info}<area>{area}</area></info>{told["more"]}</alert>'.encode()


def test_a_message_becomes_an_event_that_the_codec_takes() -> None:
    SCHEMA.assertValid(etree.fromstring(document()))
    event = cap.event_of(cap.read(document(), BOX), ZONE, BOX)
    assert (event["subject"], event["id"], event["time"]) == ("HB-1", "HB-1,1789999200000", "2026-09-21T14:00:00Z")
    assert event["data"]["polygon"] == "30.4,114.1 30.4,114.5 30.8,114.5 30.8,114.1 30.4,114.1"
    assert 114.1 < event["lon"] < 114.5
    assert 30.4 < event["lat"] < 30.8
    assert _taken(event)


def _taken(event: dict[str, Any]) -> bool:
    done = Codec(VOCABULARY(), b"k", BOX).decode(json.dumps(event).encode(), "application/json")
    assert not done.rejections, done.rejections
    return done.taken == 1


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"polygon": "30.4,114.1 30.4,114.5 30.8,114.5 30.8,114.1"}, "bad_polygon", "polygon"),
        ({"polygon": "30.4,114.1 30.4,114.5 30.4,114.1"}, "bad_polygon", "polygon"),
        ({"polygon": "30.4,114.1 30.8,114.5 30.4,114.5 30.8,114.1 30.4,114.1"}, "bad_polygon", "polygon"),
        ({"polygon": "30,114 30,114 30,114 30,114"}, "bad_polygon", "polygon"),
        ({"polygon": ""}, "bad_polygon", "polygon"),
        ({"polygon": "114.1,30.4 114.5,30.4 114.5,30.8 114.1,30.8 114.1,30.4"}, "swapped_lonlat", "polygon"),
        ({"polygon": "89.1,30.4 89.5,30.4 89.5,30.8 89.1,30.8 89.1,30.4"}, "outside_city", "polygon"),
        ({"polygon": "-30,-60 -30,-61 -31,-61 -31,-60 -30,-60"}, "outside_city", "polygon"),
        ({"polygon": "30.4;114.1 1,2 3,4 30.4;114.1"}, "bad_number", "polygon"),
        ({"polygon": "nan,114 30,114 31,115 nan,114"}, "bad_number", "polygon"),
        ({"polygon": "30,214 30,215 31,215 30,214"}, "out_of_range", "polygon"),
        ({"polygon": None, "circle": "30.5,114.3"}, "bad_number", "circle"),
        ({"polygon": None, "circle": "30.5,114.3 -1"}, "out_of_range", "circle"),
        ({"severity": "severe"}, "bad_code", "severity"), ({"severity": "II"}, "bad_code", "severity"),
        ({"urgency": None}, "missing", "urgency"), ({"certainty": ""}, "missing", "certainty"),
        ({"category": "Rain"}, "bad_code", "category"), ({"event": None}, "missing", "event"),
        ({"areaDesc": None}, "missing", "areaDesc"), ({"identifier": "a b"}, "bad_code", "identifier"),
        ({"identifier": None}, "missing", "identifier"), ({"sender": "a,b"}, "bad_code", "sender"),
        ({"sent": "2026-09-21T22:00:00Z"}, "bad_time", "sent"),
        ({"sent": "2026-02-30T22:00:00+08:00"}, "bad_time", "sent"),
        ({"sent": "2026-09-21T22:00:00.5+08:00"}, "bad_time", "sent"), ({"status": "Real"}, "bad_code", "status"),
        ({"msgType": "Update"}, "missing", "references"), ({"msgType": "Cancel"}, "missing", "references"),
        ({"references": "x,y"}, "wrong_type", "references"),
        ({"references": "hubei.weather,HB-1,2026-09-21T20:00:00+08:00"}, "conflict", "references"),
        ({"scope": "Private"}, "missing", "addresses"), ({"scope": "Restricted"}, "missing", "restriction"),
        ({"onset": "2026-09-21T22:00:00+08:00", "expires": "2026-09-21T21:00:00+08:00"}, "out_of_range", "expires"),
        ({"more": "<status>Actual</status>"}, "wrong_type", "status"),
        ({"headline": "<b>x</b>"}, "wrong_type", "headline"),
    ],
)  # fmt: skip
def test_a_wrong_message_is_refused_with_its_reason(changed: dict[str, str | None], reason: str, field: str) -> None:
    with pytest.raises(Refusal) as refused:
        cap.read(document(**changed), BOX)
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert reason in REASONS


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><alert>&b;</alert>"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BOMB, "not_xml"), (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "not_xml"), (b"<a>&x;</a>", "not_xml"),
        (b"", "not_xml"), (b"<a>", "not_xml"), (b"<a/><b/>", "not_xml"), (b"\xff\xfe", "not_xml"),
        (b"<a>" * 20 + b"</a>" * 20, "too_large"), (b"<a>" + b"<b/>" * 30_000 + b"</a>", "too_large"),
        (b"<a>" + b"x" * cap.MAX_BYTES + b"</a>", "too_large"), (b"<a>\xff</a>", "not_utf8"),
        (b'<?xml version="1.0" encoding="ebcdic-cp-us"?><a/>', "not_utf8"), (b"<a>\x00</a>", "not_xml"),
        (b'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.1"/>', "bad_version"), (b"<alert/>", "bad_version"),
    ],
)  # fmt: skip
def test_hostile_documents_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(Refusal) as refused:
        cap.read(body, BOX)
    assert refused.value.reason == reason


def test_hostile_html_stays_text() -> None:
    alert = cap.read(document(headline="&lt;script&gt;alert(1)&lt;/script&gt;"), BOX)
    assert alert.infos[0].headline == "<script>alert(1)</script>"
    assert b"&lt;script&gt;" in to_xml(alert, ZONE)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030", "gb2312"])
def test_encodings_are_read_as_declared(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + document().decode()
    assert cap.read(text.encode(encoding), BOX).infos[0].event == "暴雨"


def outcome(body: bytes) -> str:
    """Type of the event that a document gives, or the reason for which it is refused."""
    try:
        return str(cap.event_of(cap.read(body, BOX), ZONE, BOX)["type"])
    except Refusal as refused:
        return refused.reason


@settings(max_examples=4 * RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2000), st.binary(max_size=8), st.integers(0, 40), st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(at: int, new: bytes, cut: int, other: bytes) -> None:
    whole = document(references="a,b,2026-09-21T22:00:00+08:00", circle="30.5,114.3 2")
    for body in (whole[:at] + new + whole[at + cut :], other):
        said = outcome(body)
        assert said in REASONS or said == "cap.alert"


def test_what_another_program_writes_is_read() -> None:
    """Our document, read and written anew by cap-tools, is the same message to us."""
    found = XmlParser().from_bytes(document(references="a,b,2026-09-21T20:00:00+08:00", msgType="Update"), other.Alert)
    body = XmlSerializer().render(found, ns_map={None: "urn:oasis:names:tc:emergency:cap:1.2"}).encode()
    ours = document(references="a,b,2026-09-21T20:00:00+08:00", msgType="Update")
    assert body != ours
    assert cap.read(body, BOX) == cap.read(ours, BOX)


@pytest.mark.parametrize("status", ["Exercise", "Test", "Draft", "System"])
def test_what_is_no_warning_is_a_drill(status: str) -> None:
    alert = cap.read(document(status=status), BOX)
    assert not alert.real
    assert cap.event_of(alert, ZONE)["subject"] == "drill/HB-1"


# What is in force.


def event(identifier: str, kind: str = "Alert", refs: str = "", at: int = NOW, **fields: Any) -> Event:
    data = {"sender": fields.pop("sender", "s"), "msg_type": kind, "references": refs, **fields}
    return Event("cap.alert", at, "cap/s", identifier, identifier, fields=data)


def test_updates_and_cancels_follow_their_references() -> None:
    ref = "s,{},2026-09-21T22:00:00+08:00"
    one, two = event("1"), event("2", "Update", ref.format("1"), NOW + 1)
    assert [e.subject for e in cap.in_force([one, two], NOW)] == ["2"]
    assert [e.subject for e in cap.in_force([two, one], NOW)] == ["2"], "whichever came first"
    end = event("3", "Cancel", ref.format("2"), NOW + 2)
    assert cap.in_force([end, two, one], NOW) == []
    assert cap.in_force([one, event("3", "Ack", ref.format("1"))], NOW) == [one]
    foreign = event("4", "Cancel", ref.format("1"), sender="other")
    assert cap.in_force([one, foreign], NOW) == [one], "a stranger cancels nothing"
    assert cap.in_force([event("5", expires=NOW - 1)], NOW) == []
    assert cap.in_force([event("drill/6")], NOW) == []


# Warnings of this city.


def area(event: Event, language: str) -> Area:
    return Area({"zh": "武昌区", "en": "Wuchang"}[language], (SQUARE,))


NAMES = {"zh": "武汉市", "en": "Wuhan"}


def issued(number: int, colour: str, at: int, subject: str = "W-1", **more: Any) -> Event:
    return Event(
        "warning.issued", at, "desk/m", f"w{number}", subject, fields={"colour": colour, "headline": "暴雨", **more}
    )


@pytest.mark.parametrize(
    ("colour", "severity"), [("red", "Extreme"), ("orange", "Severe"), ("yellow", "Moderate"), ("blue", "Minor")]
)
def test_levels_are_severities(colour: str, severity: str) -> None:
    (alert,) = capout.messages([issued(1, colour, NOW)], "wh", area, NAMES)
    assert {i.severity for i in alert.infos} == {severity}
    assert [i.language for i in alert.infos] == ["zh-CN", "en-US"]
    SCHEMA.assertValid(etree.fromstring(to_xml(alert, ZONE)))


def test_a_warning_is_issued_raised_and_ended() -> None:
    end = Event("warning.ended", NOW + 2000, "desk/m", "w3", "W-1", fields={"reason": "雨停"})
    told = [end, issued(2, "red", NOW + 1000), issued(1, "orange", NOW), issued(9, "blue", NOW, "drill/W-2")]
    found = capout.messages(told, "wh", area, NAMES)
    assert [(a.msg_type, a.status) for a in found] == [
        ("Alert", "Actual"), ("Alert", "Exercise"), ("Update", "Actual"), ("Cancel", "Actual"),
    ]  # fmt: skip
    first, _, update, cancel = found
    assert update.references == (Reference("wh", first.identifier, NOW),)
    assert cancel.references == (Reference("wh", update.identifier, NOW + 1000),)
    assert len({a.identifier for a in found}) == 4
    events = []
    for alert in found:
        SCHEMA.assertValid(etree.fromstring(to_xml(alert, ZONE)))
        read = cap.event_of(cap.read(to_xml(alert, ZONE), BOX), ZONE)
        assert _taken(read)
        events.append(Event("cap.alert", alert.sent, read["source"], read["id"], read["subject"], fields=read["data"]))
    assert [e.subject for e in cap.in_force(events[:3], NOW)] == [update.identifier]
    assert cap.in_force(events, NOW) == []


def test_the_feed_is_atom() -> None:
    found = capout.messages([issued(1, "red", NOW), issued(2, "blue", NOW, "W-<2>")], "wh", area, NAMES)
    root = etree.fromstring(capout.feed(found, "武汉", "wh", ZONE, NOW))
    space = {"a": capout.ATOM}
    assert root.tag == f"{{{capout.ATOM}}}feed"
    assert sorted(root.xpath("a:entry/a:link/@href", namespaces=space)) == sorted(a.identifier for a in found)
    for entry in root.xpath("a:entry", namespaces=space):
        assert all(len(entry.xpath(f"a:{n}", namespaces=space)) == 1 for n in ("id", "title", "updated"))
    assert etree.fromstring(capout.feed([], "武汉", "wh", ZONE, NOW)).tag.endswith("feed")


@settings(max_examples=RUNS, deadline=None)
@given(st.integers(3, 900), st.integers(1, 12), st.floats(0.02, 0.5))
def test_shapes_become_closed_polygons(corners: int, parts: int, size: float) -> None:
    stars = []
    for k in range(parts):
        turns = [2 * math.pi * i / corners for i in range(corners)]
        far = [size * (1.0 if i % 2 else 0.6) for i in range(corners)]
        stars.append(
            shapely.Polygon([(k * 2 + r * math.cos(t), 30 + r * math.sin(t)) for t, r in zip(turns, far, strict=True)])
        )
    rings = caparea.rings_of(shapely.MultiPolygon(stars) if parts > 1 else stars[0])
    assert len(rings) == min(parts, 8)
    for ring in rings:
        assert len(ring) <= 200
        assert caparea.polygon(" ".join(f"{y:.6f},{x:.6f}" for y, x in ring)) == ring
