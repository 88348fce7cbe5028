"""Open311 GeoReport v2, the pure part: forms, questions, documents."""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from citytwin.citizens import services
from citytwin.models.events import VOCABULARY
from citytwin.models.lifecycle import STATES, TERMINAL
from citytwin.streams import open311
from citytwin.streams.codec import Codec
from citytwin.streams.open311 import MAX_BYTES, MAX_SPAN_MS, Known, Wrong
from citytwin.streams.open311text import encoded
from tests.conftest import proving

ZONE = ZoneInfo("Asia/Shanghai")
BOX = (113.69, 29.97, 115.08, 31.37)
FORM = "application/x-www-form-urlencoded"
NOW = 1_790_000_000_000
SERVICES = services()
RUNS = 5000 if proving() else 100
GOOD = {"service_code": "facility.manhole", "lat": "30.58", "long": "114.30", "description": "井盖缺失"}
SECRET = b"key"


def report(**changed: str) -> open311.Report:
    form = open311.form_of(urlencode({**GOOD, **changed}).encode(), f"{FORM}; charset=utf-8")
    return open311.report_of(form, SERVICES, open311.code_of(SECRET, form, "", "2026-09-21"), BOX)


def room(name: str) -> int:
    kind = VOCABULARY().types["case.reported"]
    return next((f.max_bytes for f in kind.fields if f.name == name), 0)


def test_a_report_becomes_a_case_without_who_reported() -> None:
    told = report(
        phone="13812345678", email="wang@example.com", first_name="王", last_name="小明",
        description="井盖缺失，请回电 138-1234-5678 或 wang@example.com", address_string="中山大道 1 号",
    )  # fmt: skip
    event = open311.event_of(told, NOW, room)
    done = Codec(VOCABULARY(), SECRET, BOX).decode(json.dumps(event, ensure_ascii=False).encode(), "application/json")
    assert not done.rejections, done.rejections
    (batch,) = done.batches
    fields: Any = batch.fields
    assert (batch.type, batch.subject[0], fields["channel"][0]) == ("case.reported", told.code, "open311")
    assert fields["category"][0] == "facility.manhole"
    assert fields["text"][0] == "井盖缺失，请回电 *** 或 ***"
    kept = b"".join(c.data.tobytes() if hasattr(c, "data") else repr(c).encode() for c in batch.fields.values())
    for plain in ("13812345678", "138-1234-5678", "wang@example.com", "小明"):
        assert plain.encode() not in kept
    assert len(fields["caller"][0]) == 32


def test_the_code_follows_from_key_or_form_and_day() -> None:
    form = dict(GOOD)

    def code(form: dict[str, str], key: str = "", day: str = "1", secret: bytes = SECRET) -> str:
        return open311.code_of(secret, form, key, day)

    assert code(form) == code({**reversed_(form), "api_key": "k"}), "the key of the caller and the order say nothing"
    assert len({code(form), code({**form, "phone": "1"}), code(form, day="2"), code(form, secret=b"x")}) == 4
    assert code(form, "k") == code({**form, "phone": "1"}, "k", "2")
    assert code(form, "k").startswith(open311.PREFIX)


def reversed_(form: dict[str, str]) -> dict[str, str]:
    return dict(reversed(form.items()))


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"service_code": ""}, 400, "not provided"), ({"service_code": "nope"}, 404, "not found"),
        ({"lat": "", "long": ""}, 400, "place"), ({"lat": "x"}, 400, "numbers"), ({"lat": "nan"}, 400, "numbers"),
        ({"lat": "114.30", "long": "30.58"}, 400, "exchanged"), ({"lat": "39.9", "long": "116.4"}, 400, "outside"),
        ({"lat": "30.58", "long": ""}, 400, "numbers"), ({"description": "x" * 4001}, 400, "4000"),
        ({"media_url": "javascript:alert(1)"}, 400, "media_url"), ({"address_string": "x" * 501}, 400, "500"),
    ],
)  # fmt: skip
def test_a_wrong_report_is_refused(changed: dict[str, str], status: int, said: str) -> None:
    with pytest.raises(Wrong) as wrong:
        report(**changed)
    assert wrong.value.status == status
    assert said in wrong.value.detail


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415), (b"", "multipart/form-data; boundary=x", 415), (b"a=%ff", FORM, 400),
        (b"a=\xff", FORM, 400), (b"a=1&a=2", FORM, 400), (b"x" * (MAX_BYTES + 1), FORM, 413),
        (b"&".join(b"a%d=1" % i for i in range(200)), FORM, 400),
    ],
)  # fmt: skip
def test_a_wrong_form_is_refused(body: bytes, kind: str, status: int) -> None:
    with pytest.raises(Wrong) as wrong:
        open311.form_of(body, kind)
    assert wrong.value.status == status


def test_hostile_html_is_kept_as_text() -> None:
    told = report(description="<script>alert(1)</script>\x00\x1b[31m")
    assert told.text == "<script>alert(1)</script>[31m"
    known = Known(told.code, "reported", "facility.manhole", NOW, NOW, None, told.lon, told.lat, told.text)
    body = encoded(open311.requests_document([known], SERVICES, "zh", ZONE), "xml")
    assert etree.fromstring(body).findtext("request/description") == told.text
    assert b"<script>" not in body


def test_questions_are_bounded() -> None:
    ask = open311.question_of
    assert ask({}, SERVICES, NOW).end - ask({}, SERVICES, NOW).start == MAX_SPAN_MS
    found = ask({"start_date": "2026-09-01T00:00:00Z", "end_date": "2026-09-02T00:00:00+08:00"}, SERVICES, NOW)
    assert found.end - found.start == 16 * 3_600_000
    long = ask({"start_date": "2020-01-01T00:00:00Z", "end_date": "2026-01-01T00:00:00Z"}, SERVICES, NOW)
    assert long.end - long.start == MAX_SPAN_MS
    assert ask({"status": "open"}, SERVICES, NOW).open is True
    assert ask({"status": "open,closed"}, SERVICES, NOW).open is None
    assert ask({"service_request_id": "a, b"}, SERVICES, NOW).codes == ("a", "b")
    for query, status in (
        ({"status": "new"}, 400), ({"service_code": "nope"}, 404), ({"start_date": "yesterday"}, 400),
        ({"end_date": "2026-01-01T00:00:00"}, 400), ({"service_request_id": ",".join(map(str, range(201)))}, 400),
    ):  # fmt: skip
        with pytest.raises(Wrong) as wrong:
            ask(query, SERVICES, NOW)
        assert wrong.value.status == status


def test_every_state_is_open_or_closed() -> None:
    for i, state in enumerate(STATES):
        assert open311.closed(state) == bool(TERMINAL[i])
    assert not open311.closed("unheard of")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_xml_and_json_say_the_same(language: str) -> None:
    known = Known("C-1", "closed", "facility.manhole", NOW, NOW + 5000, None, 114.3, math.nan, "a & b")
    placed = Known("C-2", "filed", "facility.manhole", NOW, NOW, NOW, 114.3, 30.5)
    for document in (
        open311.services_document(SERVICES, language), open311.errors_document(404, "x"),
        open311.receipt_document("C-1", "thanks"), open311.token_document("t", "C-1"),
        open311.requests_document([known, placed], SERVICES, language, ZONE),
    ):  # fmt: skip
        root, items = etree.fromstring(encoded(document, "xml")), json.loads(encoded(document, "json"))
        assert root.tag == document.root
        assert len(root) == len(items)
        for element, item in zip(root, items, strict=True):
            assert element.tag == document.item
            for name, value in item.items():
                shown = element.findtext(name) if not isinstance(value, dict) else None
                expected = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
                assert isinstance(value, dict) or (shown or "") == expected
    found = json.loads(encoded(open311.requests_document([known, placed], SERVICES, language, ZONE), "json"))
    assert [f["status"] for f in found] == ["closed", "open"]
    assert found[1]["extended_attributes"] == {"state": "filed"}
    assert found[1]["requested_datetime"] == "2026-09-21T22:13:20+08:00"


def test_a_definition_tells_of_attributes() -> None:
    document = open311.definition_document(SERVICES["facility.manhole"], "en")
    root = etree.fromstring(encoded(document, "xml"))
    assert root.findtext("service_code") == "facility.manhole"
    assert root.findtext("attributes/attribute/code") == "component"
    assert json.loads(encoded(document, "json"))["attributes"][0]["required"] is False
    assert report(**{"attribute[component]": "MH-17"}).component == "MH-17"


def outcome(body: bytes) -> int:
    """200, or the status of a refusal; what is taken gives an event that the codec can read."""
    try:
        form = open311.form_of(body, FORM)
        told = open311.report_of(form, SERVICES, open311.code_of(SECRET, form, "", "1"), BOX)
    except Wrong as wrong:
        assert wrong.detail  # noqa: PT017
        return wrong.status
    event = open311.event_of(told, NOW, room)
    done = Codec(VOCABULARY(), SECRET, BOX).decode(json.dumps(event).encode("utf-8", "replace"), "application/json")
    assert not done.rejections, done.rejections
    return 200


texts = st.text(max_size=300)


@settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "phone", "email", "media_url", "address_string", "attribute[component]", "x"]), texts
    ),
    st.binary(max_size=80),
)
def test_any_form_is_taken_or_refused(changed: dict[str, str], raw: bytes) -> None:
    whole = urlencode({**GOOD, **changed}, errors="replace").encode()
    for body in (whole, raw):
        assert outcome(body) in (200, 400, 404, 413)
