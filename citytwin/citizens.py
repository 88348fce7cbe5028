"""The Open311 door over a running city: services from the desk's categories, reports in, cases out.

Told are cases that are no drill and not confidential; what a citizen wrote is told of reports that came by this door
only, for whoever reports here knows that it is public.
"""

from __future__ import annotations

import datetime
import hmac
import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from citytwin import desking
from citytwin.dashboards.door_ports import Asked, Reply
from citytwin.dashboards.ports import Refused
from citytwin.door_config import Open311 as Settings
from citytwin.models.columns import Bool, Coded, Float64, Int64
from citytwin.models.desk.categories import KINDS, Category, builtin
from citytwin.streams import open311
from citytwin.streams.open311 import Document, Known, Question, Service, Wrong
from citytwin.streams.open311text import MEDIA, encoded
from citytwin.twin.cases import CaseTable

if TYPE_CHECKING:
    from citytwin.doors import Intake
    from citytwin.engine import Engine

_NOTICE = {
    "zh": "已收到，凭此编号查询办理情况。",
    "en": "Received. Ask for it by this number.",
}
#: Times of reports that are on their way, so that the same one sent twice at once is one event.
_UNDER_WAY = 10_000
#: Cases that are read at once: the engine waits meanwhile.
_AT_ONCE = 100


def services(known: Iterable[Category] | None = None) -> dict[str, Service]:
    """What may be reported: every category of the desk's table (None: that which is built in) by its code."""
    return {
        c.code: Service(c.code, c.title, KINDS[c.kind], {k: f"{c.class_title[k]}: {c.filing[k]}" for k in ("zh", "en")})
        for c in (builtin() if known is None else known)
    }


class Citizens:
    """Answers calls of the door."""

    def __init__(self, intake: Intake, settings: Settings, secret: bytes) -> None:
        self.intake, self.settings, self._secret = intake, settings, secret
        work = intake.engine.casework  # its table is the pack's over the one that is built in
        self.services = services(work.categories if work is not None else None)
        self._keys = [k.encode() for k in settings.keys.split()]
        self._times: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Reply:
        """The answer to one call, also to one that is refused."""
        name, form = _split(asked.path)
        try:
            if not form:
                raise Wrong(404, "ask for .xml or .json, as in /open311/v2/services.xml")
            status, document = self._document(asked, name)
        except Wrong as wrong:
            return self.error(asked.path, wrong.status, wrong.detail)
        except Refused as no:
            reply = self.error(asked.path, no.status, no.detail)
            return Reply(reply.status, reply.media, reply.body, no.retry_after)
        return Reply(status, MEDIA[form], encoded(document, form))

    def error(self, path: str, status: int, detail: str) -> Reply:
        """What went wrong, as XML unless JSON was asked for."""
        form = _split(path)[1] or "xml"
        return Reply(status, MEDIA[form], encoded(open311.errors_document(status, detail), form))

    def _document(self, asked: Asked, name: str) -> tuple[int, Document]:
        first, _, rest = name.partition("/")
        if asked.method == "POST":
            if name != "requests":
                raise Wrong(404, "reports are sent to /open311/v2/requests.xml or .json")
            return 201, self._report(asked)
        self._admit(asked.query.get("api_key", ""), asked.known)
        if name == "services":
            return 200, open311.services_document(self.services, asked.language)
        if first == "services":
            return 200, open311.definition_document(self._service(rest), asked.language)
        if first == "requests":
            query = {**asked.query, "service_request_id": rest} if rest else asked.query
            return 200, self._requests(query, asked.language, one=bool(rest))
        if first == "tokens" and rest:
            self._find(Question((rest,)), one=True)
            return 200, open311.token_document(rest, rest)
        raise Wrong(404, "there are services, requests and tokens at /open311/v2/")

    def _service(self, code: str) -> Service:
        if code not in self.services:
            raise Wrong(404, "service_code provided was not found; GET services lists those there are")
        return self.services[code]

    def _admit(self, key: str, known: bool) -> None:
        """Raise Wrong (403) for who is not known, has no right key, where not everybody may come in."""
        given = key.encode("utf-8", "replace")
        if known or self.settings.public or any(hmac.compare_digest(k, given) for k in self._keys):
            return
        raise Wrong(403, "missing or invalid api_key")

    # Reports.

    def _report(self, asked: Asked) -> Document:
        form = open311.form_of(asked.body, asked.content_type)
        self._admit(form.get("api_key", asked.query.get("api_key", "")), asked.known)
        now = self.intake.clock.now_ms()
        day = datetime.datetime.fromtimestamp(now / 1000, self.intake.zone).date().isoformat()
        code = open311.code_of(self._secret, form, asked.key, day)
        report = open311.report_of(form, self.services, code, self.intake.box)
        try:
            self._take(open311.event_of(report, self._time(code, now), self._room))
        except (Wrong, Refused):
            with self._lock:  # what was not taken has no time yet
                self._times.pop(code, None)
            raise
        return open311.receipt_document(code, _NOTICE[asked.language])

    def _take(self, event: Mapping[str, object]) -> None:
        from citytwin.doors import NotTaken

        try:
            self.intake.take(event)
        except NotTaken as error:
            no = error.rejection
            if no.reason == "conflict":
                raise Wrong(409, "this Idempotency-Key came before with another report") from error
            if no.reason == "future":  # the time is ours: the city still reads its past
                raise Refused(
                    503, "behind", "Catching up", "the city is catching up; send the same again", 5
                ) from error
            raise Wrong(400, f"{no.field}: {no.detail}" if no.field else no.detail) from error

    def _room(self, name: str) -> int:
        """Bytes that a field of a report may have; 0 where reports have none of that name."""
        kind = self.intake.engine.vocabulary.types["case.reported"]
        return next((f.max_bytes for f in kind.fields if f.name == name), 0)

    def _time(self, code: str, now: int) -> int:
        """Time of a report: the one that it came with before, so that a repeat is the same event."""
        engine = self.intake.engine
        before = self.intake.ask(lambda: desking.said_before(engine, open311.SOURCE, code, "case.reported"))
        with self._lock:
            time = self._times.setdefault(code, before[1] if before is not None and before[1] else now)
            while len(self._times) > _UNDER_WAY:
                self._times.popitem(last=False)
        return time

    # Cases.

    def _requests(self, query: Mapping[str, str], language: str, *, one: bool) -> Document:
        question = open311.question_of(query, self.services, self.intake.clock.now_ms())
        found = self._find(question, one=one)
        return open311.requests_document(found, self.services, language, self.intake.zone)

    def _find(self, question: Question, *, one: bool) -> list[Known]:
        engine, ask = self.intake.engine, self.intake.ask
        rows: Int64 = ask(lambda: asked_for(engine, question))
        parts = [rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE)]
        found = [known for part in parts for known in ask(lambda rows=part: told(engine, rows))]
        if one and not found:
            raise Wrong(404, "service_request_id was not found")
        return found


def _split(path: str) -> tuple[str, str]:
    """Name and form of a path: `services.xml` is ("services", "xml")."""
    name, _, form = path.rpartition(".")
    return (name, form) if form in MEDIA else (path, "")


def asked_for(engine: Engine, question: Question) -> Int64:
    """Rows of the cases that a question asks for, newest first, at most open311.MAX_ANSWER; in the engine's thread."""
    table = engine.cases
    if table is None:
        return np.zeros(0, np.int64)
    rows = _asked_rows(table, question)
    if not question.codes:
        rows = _matching(table, rows, question)
    requested = _numbers(table, "reported_at", rows)
    rows, requested = rows[~np.isnan(requested)], requested[~np.isnan(requested)]
    newest, found = rows[np.argsort(-requested, kind="stable")], np.zeros(0, np.int64)
    # whether a case is told depends on its code, a text: only as many are looked at as are needed
    for at in range(0, len(newest), open311.MAX_ANSWER):
        part = newest[at : at + open311.MAX_ANSWER]
        found = np.concatenate([found, part[_public(table, part)]])
        if len(found) >= open311.MAX_ANSWER:
            break
    return found[: open311.MAX_ANSWER]


def _public(table: CaseTable, rows: Int64) -> Bool:
    """Rows that this door tells: no drills, nothing confidential (bool[n])."""
    shown: Bool = table.present(rows) & (_numbers(table, "confidential", rows) != 1)
    return shown


def _asked_rows(table: CaseTable, question: Question) -> Int64:
    if not question.codes:
        return np.arange(table.n, dtype=np.int64)
    rows = [table.slot(c) for c in dict.fromkeys(question.codes)]
    return np.array([r for r in rows if r >= 0], np.int64)


def _matching(table: CaseTable, rows: Int64, question: Question) -> Int64:
    requested = _numbers(table, "reported_at", rows)
    rows = rows[(requested >= question.start) & (requested < question.end)]
    if question.open is not None:
        rows = rows[(_numbers(table, "terminal", rows) == 0) == question.open]
    if question.services:
        category = table.column("category", rows)
        assert isinstance(category, Coded)
        rows = rows[np.isin(category.codes, [i for i, n in enumerate(category.names) if n in question.services])]
    return rows


def _numbers(table: CaseTable, name: str, rows: Int64) -> Float64:
    found = table.column(name, rows)
    assert not isinstance(found, Coded)
    return found


def told(engine: Engine, rows: Int64) -> list[Known]:
    """Cases as the door tells them, column by column; in the engine's thread."""
    table = engine.cases
    assert table is not None
    text = table.code.strings
    codes = [text[r] for r in rows.tolist()]
    times = [map(_whole, _numbers(table, n, rows).tolist()) for n in ("reported_at", "last_at", "due_at")]
    places = [_numbers(table, n, rows).tolist() for n in ("lon", "lat")]
    state, category = (table.column(n, rows).tolist() for n in ("state", "category"))
    words = [_words(table, c) if c.startswith(open311.PREFIX) else ("", "") for c in codes]
    columns = zip(codes, state, category, *times, *places, words, strict=True)
    return [Known(c, str(s), str(k or ""), t, u, d, x, y, *w) for c, s, k, t, u, d, x, y, w in columns]


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def _words(table: CaseTable, code: str) -> tuple[str, str]:
    """What was written in a report of this door, and its address."""
    for event in table.events_of(code):
        if event.type == "case.reported" and event.source == open311.SOURCE:
            return str(event.fields.get("text", "")), str(event.fields.get("address", ""))
    return "", ""
