"""Events as columns: an Arrow IPC stream to batches and back, without a detour over rows.

Columns by name: `type` (or one type for all in the schema's metadata), `id`, `source`, `subject`, `time` (a timestamp,
int64 ms UTC or RFC 3339 text), `lon`, `lat`, `crs`, `gridid`, `corrects`, `revision`, `retracted`, then the fields in
their units, as `data.<field>` where a field is named like one of these. A null is absent. Text may be a dictionary.
Compressed streams are refused, so that a small body cannot unfold to a large one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Int64, Strings, UInt8
from citytwin.models.vocabulary import EventType, Field, Kind, Vocabulary
from citytwin.streams import convert
from citytwin.streams.build import Columns, build
from citytwin.streams.convert import BAD, HERE, NONE
from citytwin.streams.decoded import BadBody, BodyTooLarge, Decoded, merge, pick
from citytwin.streams.rules import TIME_MAX, Refusal, Row, Rules, batches_of
from citytwin.streams.scan import ABSENT, STRING

#: Rows that one stream may have.
MAX_ROWS = 250_000
_ENVELOPE = (
    "type", "id", "source", "subject", "time", "lon", "lat", "crs", "gridid", "corrects", "revision", "retracted",
    "specversion", "datacontenttype", "dataschema",
)  # fmt: skip
_WHOLE_MAX = 2.0**53
_RECORD_BATCH, _DICTIONARY = 3, 2


class ArrowCells:
    """One Arrow column as raw values; a type that cannot be read so is left to the law."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array
        self._n = len(array)

    def _state(self, good: bool) -> UInt8:
        state = np.full(self._n, HERE if good else BAD, np.uint8)
        if self._array.null_count:
            state[self._array.is_null().to_numpy(zero_copy_only=False)] = NONE
        return state

    def _bad(self, missing: Any, dtype: type) -> tuple[Any, UInt8]:
        return np.full(self._n, missing, dtype), self._state(False)

    def floats(self) -> tuple[Float64, UInt8]:
        """Numbers as float64; what is not finite is bad."""
        if not (pa.types.is_floating(self._array.type) or pa.types.is_integer(self._array.type)):
            return self._bad(np.nan, np.float64)
        value = self._array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        state = self._state(True)
        value = value + 0.0
        state[(state == HERE) & ~np.isfinite(value)] = BAD
        return value, state

    def integers(self) -> tuple[Int64, UInt8]:
        """Whole numbers; floats that are whole count."""
        kind = self._array.type
        if pa.types.is_integer(kind) and kind != pa.uint64():
            return self._whole(self._array), self._state(True)
        if not pa.types.is_floating(kind):
            return self._bad(MISSING, np.int64)
        value, state = self.floats()
        plain = (state == HERE) & (np.abs(value) < _WHOLE_MAX) & (value == np.floor(value))
        state[(state == HERE) & ~plain] = BAD
        return np.where(plain, value, MISSING).astype(np.int64), state

    @staticmethod
    def _whole(array: pa.Array) -> Int64:
        whole = array.cast(pa.int64())
        filled = whole.fill_null(MISSING) if whole.null_count else whole
        out: Int64 = filled.to_numpy(zero_copy_only=False)
        return out

    def times(self) -> tuple[Int64, UInt8]:
        """Timestamps and integers as ms UTC, texts as RFC 3339."""
        if pa.types.is_integer(self._array.type):
            value, state = self.integers()
            state[(state == HERE) & ((value >= TIME_MAX) | (value <= -TIME_MAX))] = BAD
            return value, state
        if not _is_text(self._array.type):
            return self._bad(MISSING, np.int64)
        column, state = self.texts()
        kind = np.where(state == HERE, STRING, ABSENT).astype(np.uint8)
        if column.offsets[-1] >= 2**31:
            return self._bad(MISSING, np.int64)
        start, stop = column.offsets[:-1].astype(np.int32), column.offsets[1:].astype(np.int32)
        return convert.times(np.frombuffer(column.data.tobytes(), np.uint8), start, stop, kind)

    def flags(self) -> tuple[NDArray[np.int8], UInt8]:
        """Booleans."""
        if not pa.types.is_boolean(self._array.type):
            return self._bad(-1, np.int8)
        out = self._array.cast(pa.int8()).fill_null(-1).to_numpy(zero_copy_only=False)
        return out, self._state(True)

    def codes(self) -> tuple[Coded, UInt8]:
        """Codes of a dictionary as they are; plain text is encoded first. An empty text is absent."""
        if not _is_text(self._array.type):
            return Coded(np.full(self._n, -1, np.int32), ()), self._state(False)
        array = self._array if pa.types.is_dictionary(self._array.type) else self._array.dictionary_encode()
        names = array.dictionary.to_pylist()
        codes = array.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
        known: dict[str, int] = {}
        table = [known.setdefault(n, len(known)) if n else -1 for n in names]
        if table != list(range(len(names))):
            codes = np.array([*table, -1], np.int32)[codes]
        return Coded(codes, tuple(known)), np.where(codes < 0, NONE, HERE).astype(np.uint8)

    def texts(self) -> tuple[Strings, UInt8]:
        """Texts; the bytes are not copied where the column is plain."""
        if not _is_text(self._array.type):
            return Strings.empty(self._n), self._state(False)
        array = self._array.cast(pa.large_string()) if self._array.type != pa.string() else self._array
        array = array.fill_null("") if array.null_count else array
        width = np.dtype(np.int32 if array.type == pa.string() else np.int64)
        _, cut, data = array.buffers()
        if cut is None or not self._n:
            return Strings.empty(self._n), np.zeros(self._n, np.uint8)
        offsets = np.frombuffer(cut, width, self._n + 1, array.offset * width.itemsize).astype(np.int64)
        raw = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
        column = Strings(raw, offsets - offsets[0])
        return column, np.where(column.lengths() > 0, HERE, NONE).astype(np.uint8)


class _Zeros(ArrowCells):
    """Revision and retraction of which 0, false and null mean an original."""

    def texts(self) -> tuple[Strings, UInt8]:
        """Nothing where it is an original."""
        kind = self._array.type
        if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
            return Strings.empty(self._n), self._state(False)
        said = self._array.cast(pa.int64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
        return Strings.empty(self._n), np.where(said == 0, NONE, BAD).astype(np.uint8)


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def decode_arrow(body: bytes, rules: Rules) -> Decoded:
    """Events of an Arrow IPC stream; positions are rows over all its record batches.

    Raises BadBody where the body is no such stream or is compressed, BodyTooLarge beyond `MAX_ROWS`.
    """
    parts: list[tuple[EventBatch, Int64]] = []
    taken: list[tuple[Row, int]] = []
    refused: list[Rejection] = []
    first = 0
    try:
        _check_plain(body)
        with pa.ipc.open_stream(body) as stream:
            _check_schema(stream.schema)
            for record in stream:
                if first + record.num_rows > MAX_ROWS:
                    raise BodyTooLarge(f"The stream has more than {MAX_ROWS} rows. Send it in parts.")
                record.validate(full=True)
                done, rest = _Record(_in_ms(record), rules).read()
                parts += [(batch, rows + first) for batch, rows in done]
                _by_law(rest, first, rules, taken, refused)
                first += record.num_rows
    except (pa.ArrowException, struct.error, OSError, OverflowError, UnicodeDecodeError) as error:
        raise BadBody(f"The body is no Arrow IPC stream that can be read: {str(error)[:200]}") from None
    return merge([*parts, *batches_of(rules, taken)], refused, first)


def _check_schema(schema: pa.Schema) -> None:
    if len(set(schema.names)) != len(schema.names):
        raise BadBody("Two columns of the stream have the same name.")
    if "type" not in schema.names and b"type" not in (schema.metadata or {}):
        raise BadBody("The stream has neither a column nor metadata that names the event type.")


def _check_plain(body: bytes) -> None:
    """Refuse compressed record batches by a look at the flatbuffers of the messages."""
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
    try:
        while True:
            message = reader.read_next_message()
            raw = message.metadata.to_pybytes()
            root = _table(raw, 0)
            kind_at = _field(raw, root, 1)
            kind = raw[kind_at] if kind_at else 0
            if kind not in (_RECORD_BATCH, _DICTIONARY):
                continue
            header = _table(raw, _field(raw, root, 2))
            if kind == _DICTIONARY:
                header = _table(raw, _field(raw, header, 1))
            if _field(raw, header, 3):
                raise BadBody("The stream is compressed; send it without compression.")
    except StopIteration:
        return


def _table(raw: bytes, at: int) -> int:
    """Where the flatbuffer table lies to which the offset at `at` points."""
    return at + int(struct.unpack_from("<I", raw, at)[0])


def _field(raw: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer table lies, 0 if it is not there."""
    vtable = table - int(struct.unpack_from("<i", raw, table)[0])
    if vtable < 0 or 4 + 2 * number >= struct.unpack_from("<H", raw, vtable)[0]:
        return 0
    offset = int(struct.unpack_from("<H", raw, vtable + 4 + 2 * number)[0])
    return table + offset if offset else 0


def _in_ms(record: pa.RecordBatch) -> pa.RecordBatch:
    """Timestamps as int64 ms UTC, digits beyond the third of a second dropped."""
    arrays = []
    for array in record.columns:
        plain = array
        if pa.types.is_timestamp(array.type):
            steps = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}[array.type.unit]
            whole = array.cast(pa.int64())
            values = whole.fill_null(0).to_numpy(zero_copy_only=False) // steps[1] * steps[0]
            plain = pa.array(values, pa.int64(), mask=array.is_null().to_numpy(zero_copy_only=False))
        arrays.append(plain)
    return pa.RecordBatch.from_arrays(arrays, names=record.schema.names, metadata=record.schema.metadata)


class _Record:
    """One record batch: plain rows as columns, the others as Python rows for the law."""

    def __init__(self, record: pa.RecordBatch, rules: Rules) -> None:
        self._record, self._rules = record, rules
        told = (record.schema.metadata or {}).get(b"type")
        self._type = None if told is None else told.decode("utf-8")

    def read(self) -> tuple[list[tuple[EventBatch, Int64]], list[tuple[int, dict[str, object]]]]:
        """Batches with their rows (int64), and the rest as rows by column."""
        n = self._record.num_rows
        slow = np.zeros(n, np.bool_)
        done = []
        for name, rows in self._types():
            event = self._rules.vocabulary.types.get(name)
            where = np.flatnonzero(rows)
            if event is None:
                slow[where] = True
                continue
            part = self._record if len(where) == n else self._record.take(pa.array(where))
            envelope, data, ok = self._split(part, event)
            batch, good = build(event, envelope, data, self._rules)
            ok &= good
            slow[where[~ok]] = True
            done.append((batch, where) if ok.all() else (pick(batch, ok), where[ok]))
        return done, self._rows(np.flatnonzero(slow))

    def _types(self) -> Iterator[tuple[str, Bool]]:
        if "type" not in self._record.schema.names:
            yield self._type or "", np.ones(self._record.num_rows, np.bool_)
            return
        types, _ = ArrowCells(self._record.column("type")).codes()
        for code, name in enumerate(types.names):
            yield name, types.codes == code
        yield "", types.codes < 0

    def _split(self, part: pa.RecordBatch, event: EventType) -> tuple[Columns, Columns, Bool]:
        """Cells of the envelope and of the fields; rows with a value in any other column are not plain."""
        ok = np.ones(part.num_rows, np.bool_)
        envelope, data = {}, {}
        known = {f.name for f in event.fields}
        for name, array in zip(part.schema.names, part.columns, strict=True):
            if name in _ENVELOPE:
                envelope[name] = (_Zeros if name in ("revision", "retracted") else ArrowCells)(array)
            elif name.removeprefix("data.") in known:
                data[name.removeprefix("data.")] = ArrowCells(array)
            elif array.null_count < len(array):
                ok &= array.is_null().to_numpy(zero_copy_only=False)
        return Columns(envelope, part.num_rows), Columns(data, part.num_rows), ok

    def _rows(self, rows: Int64) -> list[tuple[int, dict[str, object]]]:
        taken = self._record.take(pa.array(rows)).to_pylist() if len(rows) else []
        if self._type is not None:
            taken = [{"type": self._type, **row} for row in taken]
        return list(zip(rows.tolist(), taken, strict=True))


def _by_law(
    rows: Iterable[tuple[int, dict[str, object]]], first: int, rules: Rules, taken: list[tuple[Row, int]],
    refused: list[Rejection],
) -> None:  # fmt: skip
    for index, row in rows:
        said = {k: v for k, v in row.items() if v is not None}
        envelope = {k: v for k, v in said.items() if k in _ENVELOPE}
        data = {k.removeprefix("data."): v for k, v in said.items() if k not in _ENVELOPE}
        try:
            taken.append((rules.event(envelope, data, True), index + first))
        except Refusal as why:
            raw = json.dumps(said, ensure_ascii=False, default=str).encode("utf-8", "replace")
            refused.append(rules.rejection(why, index + first, raw, said.get("source"), said.get("id")))


def encode_arrow(batches: Sequence[EventBatch], vocabulary: Vocabulary) -> bytes:
    """One Arrow IPC stream of batches, for gateways, clients and tests; fields in their units, secrets as they are.

    Raises ValueError where two types have a field of one name and different kinds: send those apart.
    """
    columns = [_columns(b, vocabulary) for b in batches]
    schema = _schema(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch, made in zip(batches, columns, strict=True):
            arrays = [made.get(f.name, pa.nulls(len(batch), f.type)) for f in schema]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    raw: bytes = sink.getvalue().to_pybytes()
    return raw


def _schema(columns: Sequence[dict[str, pa.Array]]) -> pa.Schema:
    kinds: dict[str, pa.DataType] = {}
    for made in columns:
        for name, array in made.items():
            if kinds.setdefault(name, array.type) != array.type:
                raise ValueError(f"{name} has another kind in another type; send the types apart")
    return pa.schema(list(kinds.items()))


def _columns(batch: EventBatch, vocabulary: Vocabulary) -> dict[str, pa.Array]:
    event, n = vocabulary.types[batch.type], len(batch)
    made = {
        "type": _coded(Coded(np.zeros(n, np.int32), (batch.type,))),
        "id": _text(batch.id),
        "source": _coded(batch.source),
        "subject": _text(batch.subject),
        "time": pa.array(batch.time).cast(pa.timestamp("ms", "UTC")),
        "lon": pa.array(batch.lon, mask=np.isnan(batch.lon)),
        "lat": pa.array(batch.lat, mask=np.isnan(batch.lat)),
        "gridid": _text(batch.scope),
        "corrects": _text(batch.corrects),
        "revision": pa.array(batch.revision, mask=batch.revision == 0),
        "retracted": pa.array(batch.retracted, mask=~batch.retracted),
    }
    for f in event.fields:
        name = f"data.{f.name}" if f.name in _ENVELOPE else f.name
        made[name] = _field_array(f, batch.fields[f.name], batch, vocabulary)
    return made


def _field_array(f: Field, column: Column, batch: EventBatch, vocabulary: Vocabulary) -> pa.Array:
    if isinstance(column, Coded):
        return _coded(column)
    if isinstance(column, Strings):
        return _text(column)
    if f.kind is Kind.FLAG:
        return pa.array(column == 1, mask=column < 0)
    none = column == MISSING
    if f.kind is not Kind.NUMBER:
        whole = pa.array(np.asarray(column, np.int64), mask=none)
        return whole.cast(pa.timestamp("ms", "UTC")) if f.kind is Kind.TIME else whole
    properties = batch.fields.get("property")
    per_unit: Float64 | int = f.per_unit
    if batch.type == "obs" and f.name == "value" and isinstance(properties, Coded):
        steps = [vocabulary.properties[n].per_unit for n in properties.names]
        per_unit = np.array([*steps, 1], np.float64)[properties.codes]
    return pa.array(np.asarray(column, np.float64) / per_unit, mask=none)


def _coded(column: Coded) -> pa.Array:
    indices = pa.array(column.codes, mask=column.codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(column.names, pa.string()))


def _text(column: Strings) -> pa.Array:
    data = column.data[column.offsets[0] : column.offsets[-1]].tobytes()
    cut = (column.offsets - column.offsets[0]).astype(np.int32).tobytes()
    return pa.StringArray.from_buffers(len(column), pa.py_buffer(cut), pa.py_buffer(data))
