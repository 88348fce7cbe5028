"""Foreign layouts by a TOML description: CSV and NDJSON rows to events of the vocabulary.

A description names the format, how times and nulls are written, and one `[[events]]` table for each event that a
row makes (with `each`, several of one kind). A value is a template (`"air-{StationCode}"`) or a table: `column` (or
several, the first that is not null), `const`, `template`, `map` (with `default`), `factor` and `offset`, `format` of a
time. A row of NDJSON that has a key which no value names and `ignore` does not list is read slowly, not refused.

The column `@place` is where a row came from, where the one who reads knows it: topic/partition/offset in Kafka. It is
the id of events for which the description names none, so that the same record read twice is one event.

Times without an offset are read in `timezone`. Of the two readings of an hour that the clock repeats, the first
(summer time) is taken, with `fold = 1` the second; a time that the clock skipped is read with the offset from before,
so it moves on by the skipped hour.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator
from collections.abc import Mapping as Map
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import msgspec

from citytwin.models.batch import Rejection
from citytwin.models.vocabulary import Kind
from citytwin.streams.decoded import MAX_EVENT_BYTES, BadBody, Decoded, merge
from citytwin.streams.flatlines import FlatLines
from citytwin.streams.getters import Getter, Times, Value
from citytwin.streams.rules import Refusal, Row, Rules, batches_of
from citytwin.streams.secrets import Blanker
from citytwin.streams.tables import InputRow, csv_rows, ndjson_rows

_ENVELOPE = ("id", "source", "subject", "time", "gridid", "corrects", "revision", "retracted", "lon", "lat")
#: The column of where a row came from.
PLACE = "@place"
_FLAGS = {"retracted": Kind.FLAG, "revision": Kind.INTEGER, "lon": Kind.NUMBER, "lat": Kind.NUMBER, "time": Kind.TIME}


class EventSpec(msgspec.Struct, forbid_unknown_fields=True):
    """One `[[events]]` table. `skip_null`: fields or attributes whose absence means that there is no such event."""

    type: str
    source: str | Value
    time: str | Value
    id: str | Value = f"{{{PLACE}}}"
    subject: str | Value | None = None
    gridid: str | Value | None = None
    corrects: str | Value | None = None
    revision: str | Value | None = None
    retracted: str | Value | None = None
    lon: str | Value | None = None
    lat: str | Value | None = None
    fields: dict[str, str | Value] = {}
    skip_null: list[str] = []
    each: list[dict[str, str]] = []


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """A whole description. `ignore`: keys of NDJSON rows that are known and not used."""

    format: str
    events: list[EventSpec]
    title: dict[str, str] = {}
    encoding: str = "utf-8"
    delimiter: str = ","
    timezone: str = "UTC"
    fold: int = 0
    times: list[str] = []
    nulls: tuple[str, ...] = ("",)
    crs: str = "cgcs2000"
    ignore: list[str] = []


class MappingError(ValueError):
    """The description itself is wrong."""


class _Event:
    """One event that each row makes: getters of its attributes and fields, bound to one type."""

    def __init__(self, spec: EventSpec, words: Map[str, str], document: Document, rules: Rules) -> None:
        event = rules.vocabulary.types.get(spec.type)
        if event is None:
            raise MappingError(f"there is no event type {spec.type}")
        self.event, self.skip = event, tuple(spec.skip_null)
        times = Times(document.timezone, tuple(document.times), document.fold)
        nulls = frozenset(document.nulls)
        given = {n: getattr(spec, n) for n in _ENVELOPE if getattr(spec, n) is not None}
        self.envelope = {n: Getter(v, _FLAGS.get(n, Kind.TEXT), words, times, nulls) for n, v in given.items()}
        kinds = {f.name: f.kind for f in event.fields}
        if unknown := [n for n in spec.fields if n not in kinds]:
            raise MappingError(f"{spec.type} has no field {', '.join(unknown)}")
        self.fields = {n: Getter(v, kinds[n], words, times, nulls) for n, v in spec.fields.items()}
        self.secret = {c for n, g in self.fields.items() if kinds[n] is Kind.SECRET for c in g.columns}
        self.columns = {c for g in (*self.envelope.values(), *self.fields.values()) for c in g.columns}

    def column_of(self, name: str) -> str:
        """The column that feeds a field, or the field's own name."""
        getter = self.fields.get(name) or self.envelope.get(name)
        return getter.columns[0] if getter is not None and getter.columns else name


class Mapping:
    """A description bound to the rules of a city: rows of files to events.

    >>> from citytwin.models.events import VOCABULARY
    >>> text = '''
    ... format = "csv"
    ... [[events]]
    ... type = "obs"
    ... id = "{n}"
    ... source = "gauge"
    ... time = "{t}"
    ... fields = { property = "river.level", value = { column = "cm", factor = 0.01 } }
    ... '''
    >>> done = Mapping.load(text, Rules(VOCABULARY(), b"key")).decode(b"n,t,cm\\n1,2026-01-01T00:00:00Z,1234\\n")
    >>> done.batches[0].fields["value"].tolist()
    [12340]
    """

    def __init__(self, document: Document, rules: Rules) -> None:
        if document.format not in ("csv", "ndjson"):
            raise MappingError("format must be csv or ndjson")
        self.document, self._rules = document, rules
        self._events = [
            _Event(spec, words, document, rules) for spec in _with_ids(document) for words in (spec.each or [{}])
        ]
        if not self._events:
            raise MappingError("there is no [[events]] table, so no row makes an event")
        self._columns = frozenset().union(*(e.columns for e in self._events))
        #: Whether rows want to know where they came from.
        self.placed = PLACE in self._columns
        self._constant: dict[str, object] = {} if document.crs == "cgcs2000" else {"crs": document.crs}
        self._blanker = Blanker(set().union(rules.blanker.fields, *(e.secret for e in self._events)))
        self._fast: FlatLines | None = None
        if document.format == "ndjson" and len(self._events) == 1:
            one = self._events[0]
            self._fast = FlatLines.of(
                one.event, one.envelope, one.fields, one.skip, self._constant, document.ignore, rules
            )

    @classmethod
    def load(cls, source: Path | str, rules: Rules) -> Mapping:
        """The mapping of a TOML file (a Path) or text. Raises MappingError."""
        try:
            text = source.read_text("utf-8") if isinstance(source, Path) else source
            return cls(msgspec.convert(tomllib.loads(text), Document), rules)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise MappingError(str(error)) from None

    @classmethod
    def shipped(cls, name: str, rules: Rules) -> Mapping:
        """One of the mappings that come with CityTwin: air_quality, service_requests_311, job_w."""
        return cls.load((files(__package__) / "mappings" / f"{name}.toml").read_text("utf-8"), rules)

    def decode(self, body: bytes, line: int = 0) -> Decoded:
        """Events of a whole text; positions are its lines, from `line` on. `total` counts rows, not events.

        Raises BadBody for a CSV text without the columns that the mapping needs.
        """
        if self._fast is not None:
            done, rest = self._fast.decode(body, line)
            return self._slowly((InputRow.of_json(i, raw) for i, raw in rest), done)
        rows = (
            csv_rows(body, self.document, self._columns) if self.document.format == "csv" else ndjson_rows(body, line)
        )
        return self._slowly(rows, Decoded())

    def decode_slowly(self, body: bytes) -> Decoded:
        """The same by the law alone, for NDJSON."""
        return self._slowly(ndjson_rows(body, 0), Decoded())

    def read(self, path: Path, chunk_rows: int = 50_000) -> Iterator[Decoded]:
        """Events of a file in chunks of at most `chunk_rows` lines or 64 MiB; positions are lines of the file."""
        with path.open("rb") as file:
            if self.document.format == "csv":
                yield from self._read_csv(file, chunk_rows)
                return
            line = 0
            for chunk in _chunks(file, chunk_rows):
                yield self.decode(b"".join(chunk), line)
                line += len(chunk)

    def _read_csv(self, file: IO[bytes], chunk_rows: int) -> Iterator[Decoded]:
        rows = csv_rows((part for chunk in _chunks(file, chunk_rows) for part in chunk), self.document, self._columns)
        chunk: list[InputRow] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) >= chunk_rows:
                yield self._slowly(chunk, Decoded())
                chunk = []
        if chunk:
            yield self._slowly(chunk, Decoded())

    def _slowly(self, rows: Any, done: Decoded) -> Decoded:
        taken: list[tuple[Row, int]] = []
        refused: list[Rejection] = list(done.rejections)
        total = done.total
        for row in rows:
            total += row.counts
            for event in self._events if row.values is not None else ():
                try:
                    made = self._event(event, row.values)
                    if made is not None:
                        taken.append((made, row.line))
                except Refusal as why:
                    refused.append(self._refused(why, event, row))
            if row.values is None:
                refused.append(self._refused(row.why, None, row))
        parts = list(zip(done.batches, done.index, strict=True))
        return merge([*parts, *batches_of(self._rules, taken)], refused, total)

    def _event(self, event: _Event, values: Map[str, object]) -> Row | None:
        envelope = {n: g.value(n, values) for n, g in event.envelope.items()}
        data = {n: g.value(n, values) for n, g in event.fields.items()}
        if any({**envelope, **data}.get(n) in (None, "") for n in event.skip):
            return None
        if envelope.get("lon") is None and envelope.get("lat") is None:
            return self._rules.event({**envelope, "type": event.event.name}, data, True)
        return self._rules.event({**envelope, **self._constant, "type": event.event.name}, data, True)

    def _refused(self, why: Refusal, event: _Event | None, row: InputRow) -> Rejection:
        told = self._rules.rejection(why, row.line, b"")
        field = told.field if event is None else self._blanker.text(event.column_of(why.field))
        ids = {}
        if event is not None and row.values is not None:
            for name in ("id", "source"):
                try:
                    ids[name] = self._blanker.text(str(event.envelope[name].value(name, row.values) or "")[:256])
                except Refusal:
                    ids[name] = ""
        head = self._blanker.head(row.raw)
        return Rejection(row.line, told.reason, field, told.detail, head, ids.get("source", ""), ids.get("id", ""))


def _with_ids(document: Document) -> list[EventSpec]:
    """The descriptions of events; ids by place are told apart where a row makes several events."""
    alone = len(document.events) == 1 and len(document.events[0].each) < 2
    default = EventSpec("", "", "").id
    for number, spec in enumerate(document.events):
        if spec.id == default and not alone:
            spec.id = f"{default}/{number}"
            for turn, words in enumerate(spec.each):
                spec.id = f"{default}/{number}.{{@turn}}"
                words["@turn"] = str(turn)
    return document.events


def _chunks(file: IO[bytes], rows: int) -> Iterator[list[bytes]]:
    """Lines of a file in bounded lists; what is longer than an event may be is cut, so that it is refused."""
    chunk: list[bytes] = []
    size = 0
    for raw in iter(functools.partial(file.readline, MAX_EVENT_BYTES + 2), b""):
        line = raw
        if not line.endswith(b"\n") and len(line) > MAX_EVENT_BYTES:
            while (rest := file.readline(2**20)) and not rest.endswith(b"\n"):
                pass
            line += b"\n"
        chunk.append(line)
        size += len(line)
        if len(chunk) >= rows or size > 64 * 2**20:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


__all__ = ["PLACE", "BadBody", "Document", "EventSpec", "Mapping", "MappingError"]
