"""CloudEvents 1.0 as JSON: one event (structured mode), an array of them (batch mode), or one a line."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import Coded, Float64, Int32, Int64, Strings, UInt8
from citytwin.models.vocabulary import EventType
from citytwin.streams import convert, scan
from citytwin.streams.build import Cells, Columns, build
from citytwin.streams.decoded import MAX_DEPTH, MAX_EVENT_BYTES, MAX_EVENTS, BadBody, Decoded, check_count, merge, pick
from citytwin.streams.nesting import depth
from citytwin.streams.rules import Refusal, Row, Rules, Unreal, batches_of, text_of

#: Attributes that we read.
ENVELOPE = (
    "id", "source", "specversion", "type", "subject", "time", "data", "datacontenttype", "dataschema",
    "gridid", "corrects", "revision", "retracted", "lon", "lat", "crs",
)  # fmt: skip
#: Documented extensions of CloudEvents that may be there and are not kept.
IGNORED = ("partitionkey", "sequence", "sequencetype", "traceparent", "tracestate", "recordedtime", "sampledrate")
_KEYS = scan.Keys.of((*ENVELOPE, *IGNORED), nested=("data",))
_FEW = 4
_ENDINGS = {
    scan.CUT_OFF: "The array does not end: the body is cut off, or a string in it is.",
    scan.TRAILING: "There is text after the end of the array.",
    scan.NO_COMMA: "The array's elements are not parted by commas.",
}


class SpanCells:
    """A column of JSON values by their spans."""

    def __init__(self, buf: UInt8, start: Int32, stop: Int32, kind: UInt8) -> None:
        self._spans = buf, np.ascontiguousarray(start), np.ascontiguousarray(stop), np.ascontiguousarray(kind)

    def floats(self) -> tuple[Float64, UInt8]:
        """Numbers, bit-equal to Python's."""
        return convert.floats(*self._spans)

    def integers(self) -> tuple[Int64, UInt8]:
        """Integer literals of up to 17 digits."""
        return convert.integers(*self._spans)

    def times(self) -> tuple[Int64, UInt8]:
        """RFC 3339 texts."""
        return convert.times(*self._spans)

    def flags(self) -> tuple[NDArray[np.int8], UInt8]:
        """true and false."""
        return convert.flags(self._spans[3])

    def codes(self) -> tuple[Coded, UInt8]:
        """Texts that repeat."""
        return convert.codes(*self._spans)

    def texts(self) -> tuple[Strings, UInt8]:
        """Texts."""
        return convert.texts(*self._spans), convert.text_state(*self._spans[1:])


def span_columns(spans: scan.Spans, rows: Int64 | slice) -> Columns:
    """All keys that some row has, as cells."""
    kinds = spans.kind[:, rows]
    names = [n for n, row in zip(spans.keys.names, kinds, strict=True) if row.any()]
    return Columns({n: SpanCells(spans.buf, *spans.column(n, rows)) for n in names}, kinds.shape[1])


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [k for k, _ in pairs]
        twice = next(k for k in names if names.count(k) > 1)
        raise Refusal("not_json", twice[:64], f"the key {twice[:64]} is given twice")
    return found


def _whole(text: str) -> object:
    return int(text) if len(text) <= 40 else Unreal(text)


_JSON = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=Unreal, parse_int=_whole)


def parse(raw: bytes) -> dict[str, object]:
    """The JSON object of one event; a Refusal where it is none, too large, too deep, or has a key twice."""
    if len(raw) > MAX_EVENT_BYTES:
        raise Refusal("too_large", "", f"the event has {len(raw)} bytes, at most {MAX_EVENT_BYTES} are taken")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("not_utf8", "", f"byte {error.start} of the event is no UTF-8") from None
    if depth(raw) > MAX_DEPTH:
        raise Refusal("too_large", "", f"the event is nested deeper than {MAX_DEPTH} levels")
    try:
        found = _JSON.decode(text)
    except json.JSONDecodeError as error:
        raise Refusal("not_json", "", f"at character {error.pos}: {error.msg}") from None
    if not isinstance(found, dict):
        raise Refusal("not_object", "", "an event is a JSON object")
    return found


class CloudEvents:
    """Reader of CloudEvents JSON under the rules of one city."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known = frozenset((*ENVELOPE, *IGNORED))
        self._keys: dict[str, scan.Keys] = {}

    def structured(self, body: bytes) -> Decoded:
        """One event. Raises BadBody if the body holds nothing."""
        if not body.strip():
            raise BadBody("The body is empty; one CloudEvent was expected.")
        return self._slowly([(0, body)], 1)

    def batch(self, body: bytes) -> Decoded:
        """A JSON array of events. Raises BadBody where it is no array, BodyTooLarge beyond `MAX_EVENTS`."""
        if not body.lstrip().startswith(b"["):
            raise BadBody("A batch is a JSON array of CloudEvents.")
        spans, ending = scan.scan_array(body, _KEYS, MAX_EVENTS + 1)
        check_count(len(spans.slow) + (ending == scan.TOO_MANY))
        if ending in _ENDINGS:
            raise BadBody(_ENDINGS[ending])
        return self._read(body, spans, np.arange(len(spans.slow), dtype=np.int64))

    def lines(self, body: bytes) -> Decoded:
        """One event a line; positions are lines. Raises BodyTooLarge beyond `MAX_EVENTS`."""
        spans, line = scan.scan_lines(body, _KEYS)
        check_count(len(spans.slow))
        return self._read(body, spans, line)

    def read_event(self, raw: bytes) -> Row:
        """The row of one event by the law; raises Refusal."""
        return self._row(parse(raw))

    def _row(self, event: Mapping[str, object]) -> Row:
        for name in event:
            if name not in self._known:
                raise Refusal("unknown_field", name[:64], f"{name[:64]} is no attribute that we know")
        version = event.get("specversion")
        if version is None:
            raise Refusal("missing", "specversion", "specversion is required")
        if version != "1.0":
            raise Refusal("bad_version", "specversion", "specversion must be the string 1.0")
        for name in (*IGNORED, "dataschema", "datacontenttype"):
            value = event.get(name)
            if isinstance(value, dict | list):
                raise Refusal("wrong_type", name, f"{name} must be a string")
        content = text_of("datacontenttype", event.get("datacontenttype"), 256).split(";")[0].strip().lower()
        if content and content != "application/json" and not content.endswith("+json"):
            raise Refusal("wrong_type", "datacontenttype", "data must be JSON")
        data = event.get("data")
        if data is not None and not isinstance(data, dict):
            raise Refusal("wrong_type", "data", "data must be an object")
        return self._rules.event(event, data or {})

    def _read(self, body: bytes, spans: scan.Spans, index: Int64) -> Decoded:
        n = len(index)
        slow = spans.slow.copy()
        slow |= spans.row_stop - spans.row_start > MAX_EVENT_BYTES
        if not is_utf8(body):
            slow[:] = True
        parts: list[tuple[EventBatch, Int64]] = []
        if n > _FEW and not slow.all():
            parts = self._fast(spans, slow, index)
        else:
            slow[:] = True
        cut = np.flatnonzero(slow)
        rows = zip(index[cut].tolist(), spans.row_start[cut].tolist(), spans.row_stop[cut].tolist(), strict=True)
        return self._slowly([(i, body[a:b]) for i, a, b in rows], n, parts)

    def _fast(self, spans: scan.Spans, slow: NDArray[np.bool_], index: Int64) -> list[tuple[EventBatch, Int64]]:
        """Batches of the plain rows; `slow` is raised for every other row."""
        good = np.flatnonzero(~slow)
        rows: Int64 | slice = slice(None) if len(good) == len(slow) else good
        envelope = span_columns(spans, rows)
        types = _headers(envelope)
        parts = []
        for code, name in enumerate(types.names):
            event = self._rules.vocabulary.types.get(name)
            mine = types.codes == code
            if event is not None:
                whole = isinstance(rows, slice) and bool(mine.all())
                parts.append(self._typed(event, spans, rows if whole else good[mine], slow, index))
                mine[:] = False
            slow[good[mine]] = True
        slow[good[types.codes < 0]] = True
        return parts

    def _typed(
        self, event: EventType, spans: scan.Spans, rows: Int64 | slice, slow: NDArray[np.bool_], index: Int64
    ) -> tuple[EventBatch, Int64]:
        keys = self._keys.get(event.name)
        if keys is None:
            names = dict.fromkeys([*(f.name for f in event.fields), "lon", "lat"])
            keys = self._keys[event.name] = scan.Keys.of(tuple(names))
        inner = scan.scan_nested(spans, "data", rows, keys)
        batch, ok = build(event, span_columns(spans, rows), span_columns(inner, slice(None)), self._rules)
        ok &= ~inner.slow
        where = np.arange(len(index), dtype=np.int64)[rows]
        if ok.all():
            return batch, index[where]
        slow[where[~ok]] = True
        return pick(batch, ok), index[where[ok]]

    def _slowly(
        self, rows: list[tuple[int, bytes]], total: int, parts: list[tuple[EventBatch, Int64]] | None = None
    ) -> Decoded:
        """The given rows by the law, joined with what was read already."""
        taken: list[tuple[Row, int]] = []
        refused: list[Rejection] = []
        for index, raw in rows:
            event: Mapping[str, object] = {}
            try:
                event = parse(raw)
                taken.append((self._row(event), index))
            except Refusal as why:
                refused.append(self._rules.rejection(why, index, raw, event.get("source"), event.get("id")))
        return merge([*(parts or []), *batches_of(self._rules, taken)], refused, total)


def _headers(envelope: Columns) -> Coded:
    """Type of each row, -1 where the attributes that are no columns are not plain."""
    types, _ = envelope["type"].codes()
    codes = types.codes
    for name, plain in (("specversion", "1.0"), ("datacontenttype", "application/json")):
        values, state = envelope[name].codes()
        fine = values.equals(plain)
        if name == "datacontenttype":
            fine |= state == convert.NONE
        codes = np.where(fine, codes, -1).astype(np.int32)
    return Coded(codes, types.names)


def is_utf8(body: bytes) -> bool:
    """Whether all bytes are UTF-8."""
    if body.isascii():
        return True
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


__all__ = ["ENVELOPE", "IGNORED", "Cells", "CloudEvents", "SpanCells", "is_utf8", "parse", "span_columns"]
