"""Events as Arrow columns: they mean what the same events mean as CloudEvents, and bad streams are refused plainly."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.batch import REASONS, EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.models.events import VOCABULARY
from citytwin.streams.arrow import _by_law, _in_ms, _Record, encode_arrow
from citytwin.streams.codec import BadBody, BodyTooLarge, Codec
from citytwin.streams.decoded import Decoded, merge
from citytwin.streams.rules import batches_of

ARROW, LINES = "application/vnd.apache.arrow.stream", "application/x-ndjson"
WORDS = VOCABULARY()
CODEC = Codec(WORDS, b"secret", (113.6, 29.9, 115.1, 31.4))


def flat(decoded: Decoded) -> list[tuple[Any, ...]]:
    """Every event taken, by position, with all its values."""
    rows: list[tuple[Any, ...]] = []
    for batch, index in zip(decoded.batches, decoded.index, strict=True):
        columns = [_listed(getattr(batch, n)) for n in EventBatch.__slots__ if n not in ("type", "fields")]
        columns += [_listed(c) for c in batch.fields.values()]
        rows += [(i, batch.type, *values) for i, *values in zip(index.tolist(), *columns, strict=True)]
    return sorted(rows)


def _listed(column: Any) -> list[Any]:
    if isinstance(column, Strings | Coded):
        return column.tolist()
    return ["nan" if math.isnan(v) else v for v in column.tolist()]


def stream(columns: dict[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    arrays = {k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in columns.items()}
    record = pa.RecordBatch.from_pydict(arrays, metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, record.schema) as writer:
        writer.write_batch(record)
    return bytes(sink.getvalue().to_pybytes())


def base(n: int) -> dict[str, Any]:
    return {
        "id": [f"e{i}" for i in range(n)], "source": ["/s"] * n, "subject": pa.array(["d1"] * n).dictionary_encode(),
        "time": pa.array(range(n), pa.timestamp("ms", "UTC")), "lon": [114.3] * n, "lat": [30.5] * n,
        "property": pa.array(["air.pm25"] * n).dictionary_encode(), "value": [i / 10 for i in range(n)],
    }  # fmt: skip


def _lines() -> bytes:
    def event(i: int, type: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
        head = {"specversion": "1.0", "id": f"e{i}", "source": f"/s{i % 2}", "type": type}
        return {**head, "time": f"2026-01-02T03:04:{i:02d}.125Z", "data": data, **more}

    events = [
        event(0, "obs", {"property": "air.pm25", "value": 35.5}, subject="d0", lon=114.25, lat=30.5, gridid="g"),
        event(1, "obs", {"property": "river.level", "value": -1.234, "unit": "m", "quality": "bad"}),
        event(2, "case.filed", {"due_at": "2026-01-03T00:00:00+08:00", "category": "武汉", "component": "井盖"}),
        event(3, "case.verified", {"passed": False}),
        event(4, "obs", {"property": "air.co", "value": 1.4}, corrects="e1", revision=2),
        event(5, "case.verified", {}, corrects="e3", revision=1, retracted=True),
        event(6, "emergency.closed", {"severity": 3}),
    ]
    return "\n".join(map(json.dumps, events)).encode()


def test_events_survive_the_way_to_arrow_and_back() -> None:
    direct = CODEC.decode(_lines(), LINES)
    assert (direct.taken, direct.rejections) == (7, [])
    again = CODEC.decode(encode_arrow(direct.batches, WORDS), ARROW)
    assert again.rejections == []
    assert sorted(r[1:] for r in flat(again)) == sorted(r[1:] for r in flat(direct))


def test_a_stream_of_one_type_by_metadata() -> None:
    done = CODEC.decode(stream(base(1000), {"type": "obs"}), ARROW)
    assert (done.total, done.rejections, len(done.batches[0])) == (1000, [], 1000)
    assert done.batches[0].fields["value"].tolist() == list(range(1000))
    assert done.batches[0].time.tolist() == list(range(1000))
    assert done.index[0].tolist() == list(range(1000))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_in_every_unit_and_as_text(unit: str) -> None:
    columns = base(3)
    columns["time"] = pa.array([-1, 0, 7_654_321], pa.timestamp(unit))
    scale = {"s": 1000, "ms": 1, "us": 1e-3, "ns": 1e-6}[unit]
    done = CODEC.decode(stream(columns, {"type": "obs"}), ARROW)
    assert done.batches[0].time.tolist() == [math.floor(t * scale) for t in (-1, 0, 7_654_321)]
    columns["time"] = ["2026-01-02T03:04:05Z", "x", "2026-01-02T03:04:05.5+08:00"]
    done = CODEC.decode(stream(columns, {"type": "obs"}), ARROW)
    assert done.batches[0].time.tolist() == [1767323045000, 1767294245500]
    assert [(r.index, r.reason, r.field) for r in done.rejections] == [(1, "bad_time", "time")]


def test_each_bad_row_has_its_reason_and_its_neighbours_stay() -> None:
    columns = base(9)
    columns["value"] = [1.0, math.nan, None, 9e9, 1.0, 1.0, 1.0, 1.0, 1.0]
    columns["property"] = ["air.pm25"] * 4 + ["what"] + ["air.pm25"] * 4
    columns["lon"], columns["lat"] = [114.3] * 5 + [30.5, 1.0, None, 114.3], [30.5] * 5 + [114.3, 2.0, 30.5, 30.5]
    columns["extra"] = [None] * 8 + ["x"]
    done = CODEC.decode(stream(columns, {"type": "obs"}), ARROW)
    assert done.index[0].tolist() == [0]
    assert [(r.index, r.reason, r.field) for r in done.rejections] == [
        (1, "bad_number", "value"), (2, "missing", "value"), (3, "out_of_range", "value"),
        (4, "unknown_property", "property"), (5, "swapped_lonlat", "lat"), (6, "outside_city", "lon"),
        (7, "missing", "lon"), (8, "unknown_field", "extra"),
    ]  # fmt: skip


def test_bad_streams_are_refused() -> None:
    good = stream(base(50), {"type": "obs"})
    for body in (b"", b"nothing", good[: len(good) // 2], stream(base(5))):
        with pytest.raises(BadBody):
            CODEC.decode(body, ARROW)
    table = pa.RecordBatch.from_pydict({"id": pa.array(["x"] * 5000)}, metadata={"type": "obs"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(table)
    with pytest.raises(BadBody, match="compress"):
        CODEC.decode(sink.getvalue().to_pybytes(), ARROW)
    with pytest.raises(BodyTooLarge):
        CODEC.decode(stream({"type": pa.nulls(250_001)}), ARROW)


def test_changed_bytes_never_raise_anything_else() -> None:
    good, rng = bytearray(stream(base(20), {"type": "obs"})), np.random.default_rng(3)
    told = 0
    for _ in range(600):
        bad = bytearray(good)
        for at in rng.integers(0, len(bad), rng.integers(1, 4)):
            bad[at] = rng.integers(0, 256)
        try:
            done = CODEC.decode(bytes(bad), ARROW)
        except (BadBody, BodyTooLarge):
            told += 1
            continue
        assert done.taken + len(done.rejections) == done.total
        assert {r.reason for r in done.rejections} <= set(REASONS)
    assert told > 20


_CELL = {
    "value": st.floats() | st.none() | st.floats(0, 5000), "lon": st.floats(113, 116) | st.none() | st.floats(),
    "id": st.text(max_size=4) | st.none(), "time": st.integers(-(2**40), 2**62) | st.none(),
    "property": st.sampled_from(["air.pm25", "river.level", "nope", "", None]),
    "quality": st.sampled_from(["good", "bad", "odd", None]), "retracted": st.sampled_from([None, False, True]),
    "gridid": st.sampled_from([None, "", "g", "g" * 200]), "new": st.sampled_from([None, None, None, 1]),
}  # fmt: skip


@pytest.mark.parametrize("ms", [2**62, -(2**62), 2**63 - 1])
def test_integers_that_are_no_time_are_refused(ms: int) -> None:
    columns = base(2)
    columns["time"] = pa.array([0, ms], pa.int64())
    found = CODEC.decode(stream(columns, {"type": "obs"}), ARROW)
    assert [len(b) for b in found.batches] == [1]
    assert [(r.index, r.reason) for r in found.rejections] == [(1, "bad_time")]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 8), st.sets(st.sampled_from(sorted(_CELL)), max_size=4))
def test_columns_agree_with_the_law(data: st.DataObject, n: int, odd: set[str]) -> None:
    columns = base(n)
    kinds = {"time": pa.int64(), "value": pa.float64(), "lon": pa.float64(), "retracted": pa.bool_(), "new": pa.int64()}
    for name in odd:
        values = data.draw(st.lists(_CELL[name], min_size=n, max_size=n))
        columns[name] = pa.array(values, kinds.get(name, pa.string()))
    body = stream(columns, {"type": "obs"})
    fast = CODEC.decode(body, ARROW)
    record = _Record(_in_ms(next(iter(pa.ipc.open_stream(body)))), CODEC.rules)
    taken: list[Any] = []
    refused: list[Any] = []
    _by_law(record._rows(np.arange(n)), 0, CODEC.rules, taken, refused)
    slow = merge(batches_of(CODEC.rules, taken), refused, n)
    assert flat(fast) == flat(slow)
    assert fast.rejections == slow.rejections
