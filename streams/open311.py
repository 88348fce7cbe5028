"""Open311 GeoReport v2: what is asked, what is answered, in XML (which the standard wants) and JSON.

Pure: reads forms and queries, gives the event of a report and the documents of the answers. Who reports is never kept
in plain text: of telephone, e-mail, account, device and name one becomes the field `caller`, of which the codec stores
a keyed hash; the others are dropped, and numbers and addresses of people inside the description are blanked.

A report counts once. Its code follows from the header `Idempotency-Key`; without one from the form itself and the day,
so that the same words sent again on the same day are the same report. Source: wiki.open311.org/GeoReport_v2.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from citytwin.models.desk.callers import plain_number
from citytwin.models.lifecycle import STATES, TERMINAL, TITLES
from citytwin.streams.rules import Box
from citytwin.streams.secrets import Blanker, keyed_hash

SOURCE = "open311"
CHANNEL = "open311"
#: Codes of reports that came by this door begin with it.
PREFIX = "O311-"
MAX_BYTES = 64 << 10
MAX_FIELDS = 100
#: The standard's own bound of a description, in characters, and what one answer holds.
MAX_TEXT, MAX_ANSWER = 4000, 1000
#: The longest span of one question; also what is answered where no dates are given.
MAX_SPAN_MS = 90 * 86_400_000
_MAX_IDS = 200
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_CALLER = ("phone", "email", "account_id", "device_id")
_BLANK = Blanker(())
_ATTRIBUTE = "component"


class Wrong(Exception):
    """A call that cannot be answered: HTTP status, and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True, slots=True)
class Service:
    """Something that may be reported: a category of the desk's table, with names and group by language."""

    code: str
    names: Mapping[str, str]
    group: Mapping[str, str]
    text: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """A report that may be taken; `caller` is what the codec hashes. Place NaN where only an address was told."""

    code: str
    service: str
    text: str
    lon: float
    lat: float
    address: str
    component: str
    caller: str


@dataclass(frozen=True, slots=True)
class Question:
    """Which requests are asked for: codes, or a span of time (ms UTC, start <= t < end), services, open or closed."""

    codes: tuple[str, ...] = ()
    services: frozenset[str] = frozenset()
    start: int = 0
    end: int = 0
    open: bool | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A case as this door tells it; times ms UTC or None."""

    code: str
    state: str
    service: str
    requested: int | None
    updated: int | None
    expected: int | None
    lon: float
    lat: float
    text: str = ""
    address: str = ""


# What comes in.


def form_of(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form. Raises Wrong for another content type, another encoding, a field that comes twice."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Wrong(415, "send the report as application/x-www-form-urlencoded")
    if len(body) > MAX_BYTES:
        raise Wrong(413, f"a report may have {MAX_BYTES} bytes")
    try:
        pairs = parse_qsl(body.decode("utf-8"), True, False, "utf-8", "strict", MAX_FIELDS)
    except UnicodeDecodeError:
        raise Wrong(400, "the form is not in UTF-8") from None
    except ValueError:
        raise Wrong(400, f"a form has at most {MAX_FIELDS} fields") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Wrong(400, "a field of the form is given twice")
    return found


def code_of(secret: bytes, form: Mapping[str, str], key: str, day: str) -> str:
    """The code of a report: by its idempotency key, else by the form and the day; keyed, so that nothing leaks."""
    told = {k: v for k, v in form.items() if k != "api_key"}
    about = f"key\n{key}" if key else f"form\n{day}\n{json.dumps(told, sort_keys=True)}"
    return PREFIX + keyed_hash(secret, about)[:16]


def report_of(form: Mapping[str, str], services: Mapping[str, Service], code: str, box: Box | None) -> Report:
    """The report of a form. Raises Wrong."""
    service = form.get("service_code", "").strip()
    if not service:
        raise Wrong(400, "service_code was not provided")
    if service not in services:
        raise Wrong(404, "service_code provided was not found; GET services lists those there are")
    address = " ".join(filter(None, (form.get("address_string", "").strip(), form.get("address_id", "").strip())))
    lon, lat = _place(form, box)
    if math.isnan(lon) and not address:
        raise Wrong(400, "a place was not provided: lat and long, or address_string, or address_id")
    text, media = form.get("description", "").strip(), form.get("media_url", "").strip()
    if len(text) > MAX_TEXT:
        raise Wrong(400, f"description has {len(text)} characters, at most {MAX_TEXT} are taken")
    if media and not (len(media) <= 500 and re.match(r"https?://[^\s]+$", media)):
        raise Wrong(400, "media_url is an http or https address of at most 500 characters")
    if len(address) > 500:
        raise Wrong(400, "an address has at most 500 characters")
    named = " ".join(filter(None, (form.get("first_name", "").strip(), form.get("last_name", "").strip())))
    caller = next((form[n].strip() for n in _CALLER if form.get(n, "").strip()), named)
    words = "\n".join(filter(None, (text, media)))
    component = form.get(f"attribute[{_ATTRIBUTE}]", "").strip()[:100]
    return Report(code, service, blanked(words), lon, lat, blanked(address), component, plain_number(caller)[:200])


def blanked(text: str) -> str:
    """A text with telephone and citizen numbers and e-mail addresses in it blanked, without control characters."""
    plain = "".join(c for c in text if c >= " " or c in "\n\t")
    return _BLANK.text(_EMAIL.sub("***", plain))


def _place(form: Mapping[str, str], box: Box | None) -> tuple[float, float]:
    texts = form.get("long", "").strip(), form.get("lat", "").strip()
    if not any(texts):
        return math.nan, math.nan
    try:
        lon, lat = float(texts[0]), float(texts[1])
    except ValueError:
        lon = lat = math.nan
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise Wrong(400, "lat and long are two numbers, in degrees")

    def held(x: float, y: float) -> bool:
        return box is None or (box[0] <= x <= box[2] and box[1] <= y <= box[3])

    if not held(lon, lat):
        raise Wrong(400, "lat and long are exchanged" if held(lat, lon) else "the place is outside the city")
    if abs(lat) > 90 or abs(lon) > 180:
        raise Wrong(400, "latitude goes to 90 degrees, longitude to 180")
    return lon, lat


def event_of(report: Report, time: int, fields: Callable[[str], int]) -> dict[str, Any]:
    """The CloudEvent `case.reported`; `fields(name)`: bytes that a field of the type may have, 0 for one it lacks."""
    told = {
        "category": report.service, "channel": CHANNEL, "text": report.text, "address": report.address,
        "component": report.component, "caller": report.caller,
    }  # fmt: skip
    when = datetime.datetime.fromtimestamp(time / 1000, datetime.UTC).isoformat(timespec="milliseconds")
    event: dict[str, Any] = {
        "specversion": "1.0", "type": "case.reported", "source": SOURCE, "id": report.code, "subject": report.code,
        "time": when, "data": {k: _cut(v, fields(k)) for k, v in told.items() if v and fields(k)},
    }  # fmt: skip
    return event if math.isnan(report.lon) else {**event, "lon": report.lon, "lat": report.lat}


def _cut(text: str, most: int) -> str:
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def question_of(query: Mapping[str, str], services: Mapping[str, Service], now: int) -> Question:
    """Which requests are asked for. Raises Wrong."""
    if ids := _listed(query.get("service_request_id", "")):
        if len(ids) > _MAX_IDS:
            raise Wrong(400, f"at most {_MAX_IDS} service_request_id are answered at once")
        return Question(codes=tuple(ids))
    wanted = frozenset(_listed(query.get("service_code", "")))
    if unknown := sorted(wanted - set(services)):
        raise Wrong(404, f"service_code {unknown[0][:60]} was not found")
    status = query.get("status", "").strip().lower()
    states = set(_listed(status))
    if states - {"open", "closed"}:
        raise Wrong(400, "status is open or closed")
    start, end = (_when(query.get(n, ""), n) for n in ("start_date", "end_date"))
    end = end if end is not None else now + 1 if start is None else start + MAX_SPAN_MS
    start = end - MAX_SPAN_MS if start is None else max(start, end - MAX_SPAN_MS)
    return Question((), wanted, start, end, None if len(states) != 1 else "open" in states)


def _listed(text: str) -> list[str]:
    return [w.strip() for w in text.split(",") if w.strip()]


def _when(text: str, name: str) -> int | None:
    if not text.strip():
        return None
    try:
        when = datetime.datetime.fromisoformat(text.strip().replace(" ", "+"))
        if when.tzinfo is None:
            raise ValueError(text)
        return round(when.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Wrong(400, f"{name} is a time with an offset, such as 2026-11-22T22:00:00+08:00") from None


# What goes out: (root, item, items) for XML; JSON is the items alone.


@dataclass(frozen=True, slots=True)
class Document:
    """An answer: names of the root and of one item for XML, and the items in the order of their fields."""

    root: str
    item: str
    items: Sequence[Mapping[str, Any]]


def services_document(services: Mapping[str, Service], language: str) -> Document:
    """All services."""
    return Document("services", "service", [_service(s, language) for s in services.values()])


def _service(service: Service, language: str) -> dict[str, Any]:
    names = (service.names.get("zh", ""), service.names.get("en", ""))
    return {
        "service_code": service.code, "service_name": service.names.get(language, service.code),
        "description": service.text.get(language, ""), "metadata": True, "type": "realtime",
        "keywords": ",".join(filter(None, names)), "group": service.group.get(language, ""),
    }  # fmt: skip


def definition_document(service: Service, language: str) -> Document:
    """The definition of one service: the attribute that a report may have."""
    words = {"zh": "部件编号", "en": "Code of the component"}[language]
    hint = {"zh": "部件身份标识，可不填", "en": "If the component bears one; may be left empty"}[language]
    attribute = {
        "variable": True, "code": _ATTRIBUTE, "datatype": "string", "required": False,
        "datatype_description": hint, "order": 1, "description": words,
    }  # fmt: skip
    return Document("service_definition", "", [{"service_code": service.code, "attributes": [attribute]}])


def receipt_document(code: str, notice: str) -> Document:
    """The answer to a report."""
    item = {"service_request_id": code, "service_notice": notice, "account_id": None}
    return Document("service_requests", "request", [item])


def token_document(token: str, code: str) -> Document:
    """The request that a token stands for; this door gives the id at once, so both are the same."""
    return Document("service_requests", "request", [{"service_request_id": code, "token": token}])


def requests_document(
    found: Sequence[Known], services: Mapping[str, Service], language: str, zone: ZoneInfo
) -> Document:
    """Requests as the standard tells them; the state of the case is the extension `extended_attributes`."""
    return Document("service_requests", "request", [_request(k, services, language, zone) for k in found])


def _request(known: Known, services: Mapping[str, Service], language: str, zone: ZoneInfo) -> dict[str, Any]:
    def stamp(ms: int | None) -> str | None:
        return None if ms is None else datetime.datetime.fromtimestamp(ms // 1000, zone).isoformat()

    service, placed = services.get(known.service), not math.isnan(known.lon)
    name, state = service.names.get(language, known.service) if service else known.service, known.state
    return {
        "service_request_id": known.code, "status": "closed" if closed(state) else "open",
        "status_notes": TITLES.get(state, {}).get(language, state), "service_name": name,
        "service_code": known.service, "description": known.text or None, "agency_responsible": None,
        "service_notice": None, "requested_datetime": stamp(known.requested),
        "updated_datetime": stamp(known.updated), "expected_datetime": stamp(known.expected),
        "address": known.address or None, "address_id": None, "zipcode": None,
        "lat": known.lat if placed else None, "long": known.lon if placed else None, "media_url": None,
        "extended_attributes": {"state": state},
    }  # fmt: skip


def closed(state: str) -> bool:
    """Whether a state of a case is `closed` for this door: it is over."""
    return state in STATES and bool(TERMINAL[STATES.index(state)])


def errors_document(status: int, detail: str) -> Document:
    """What went wrong."""
    return Document("errors", "error", [{"code": status, "description": detail}])
