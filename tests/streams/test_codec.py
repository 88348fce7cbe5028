"""CloudEvents doors: the columnar path agrees with the law, and bad events never touch their neighbours."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.batch import REASONS, EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.models.vocabulary import EventType, Field, Kind, Property, Vocabulary
from citytwin.streams.cloudevents import CloudEvents
from citytwin.streams.codec import BadBody, BodyTooLarge, Codec, UnsupportedType
from citytwin.streams.decoded import Decoded

BATCH, LINES, ONE = "application/cloudevents-batch+json", "application/x-ndjson", "application/cloudevents+json"
BOX = (113.6, 29.9, 115.1, 31.4)
WORDS = Vocabulary().add(
    [
        EventType(
            "obs",
            (
                Field("property", Kind.CODE, required=True), Field("value", Kind.NUMBER, required=True),
                Field("quality", Kind.CODE, choices=("good", "bad"), default="good"), Field("unit", Kind.CODE),
            ),
        ),
        EventType(
            "all",
            (
                Field("n", Kind.NUMBER, per_unit=1000, lo=-1e6, hi=1e6), Field("i", Kind.INTEGER, lo=-5),
                Field("t", Kind.TIME), Field("f", Kind.FLAG), Field("c", Kind.CODE, max_bytes=8),
                Field("x", Kind.TEXT, max_bytes=60), Field("phone", Kind.SECRET),
            ),
        ),
        Property("air.pm25", "ug/m3", 10, 0, 5000), Property("river.level", "m", 1000, -50, 9000),
    ]
)  # fmt: skip
CODEC = Codec(WORDS, b"secret", BOX)


def event(**more: Any) -> dict[str, Any]:
    base = {
        "specversion": "1.0", "id": "e1", "source": "/s", "type": "obs", "subject": "dev-1",
        "time": "2026-01-02T03:04:05.678+08:00", "lon": 114.3, "lat": 30.5,
        "data": {"property": "air.pm25", "value": 35.5},
    }  # fmt: skip
    return {k: v for k, v in {**base, **more}.items() if v is not ...}


def flat(decoded: Decoded) -> list[tuple[Any, ...]]:
    """Every event taken, by position, with all its values."""
    rows = []
    for batch, index in zip(decoded.batches, decoded.index, strict=True):
        columns = [_listed(getattr(batch, n)) for n in EventBatch.__slots__ if n not in ("type", "fields")]
        columns += [_listed(c) for c in batch.fields.values()]
        rows += [(i, batch.type, *values) for i, *values in zip(index.tolist(), *columns, strict=True)]
    return sorted(rows)


def _listed(column: Any) -> list[Any]:
    if isinstance(column, Strings | Coded):
        return column.tolist()
    return ["nan" if math.isnan(v) else v for v in column.tolist()]


def slowly(rows: list[bytes], codec: Codec = CODEC) -> Decoded:
    return CloudEvents(codec.rules)._slowly(list(enumerate(rows)), len(rows))


def one(**more: Any) -> Decoded:
    return CODEC.decode(json.dumps(event(**more)).encode(), ONE)


def reason(**more: Any) -> tuple[str, str]:
    done = one(**more)
    assert not done.batches
    return done.rejections[0].reason, done.rejections[0].field


def test_an_event_becomes_columns() -> None:
    batch = one(gridid="g7").batches[0]
    assert batch.time.tolist() == [1767294245678]
    assert batch.fields["value"].tolist() == [355]
    assert (batch.source.tolist(), batch.id.tolist(), batch.scope.tolist()) == (["/s"], ["e1"], ["g7"])
    assert (batch.lon[0], batch.lat[0], batch.fields["quality"].tolist()) == (114.3, 30.5, ["good"])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"id": ...}, ("missing", "id")), ({"time": ...}, ("missing", "time")), ({"id": 5}, ("wrong_type", "id")),
        ({"id": "x" * 257}, ("too_large", "id")), ({"specversion": "0.3"}, ("bad_version", "specversion")),
        ({"type": "nope"}, ("unknown_type", "type")), ({"what": 1}, ("unknown_field", "what")),
        ({"time": "2026-01-02T03:04:05"}, ("bad_time", "time")), ({"time": 17}, ("wrong_type", "time")),
        ({"time": "2026-02-30T03:04:05Z"}, ("bad_time", "time")), ({"data": [1]}, ("wrong_type", "data")),
        ({"lon": 30.5, "lat": 114.3}, ("swapped_lonlat", "lat")), ({"lon": 1, "lat": 2}, ("outside_city", "lon")),
        ({"lon": 1, "lat": 95}, ("out_of_range", "lat")), ({"lat": ...}, ("missing", "lat")),
        ({"lon": float("nan")}, ("bad_number", "lon")), ({"crs": "mars"}, ("bad_code", "crs")),
        ({"revision": 1}, ("bad_correction", "revision")), ({"corrects": "a"}, ("bad_correction", "revision")),
        ({"retracted": True}, ("bad_correction", "corrects")),
        ({"data": {"property": "air.pm25"}}, ("missing", "value")),
        ({"data": {"property": "air.xx", "value": 1}}, ("unknown_property", "property")),
        ({"data": {"property": "air.pm25", "value": -1}}, ("out_of_range", "value")),
        ({"data": {"property": "air.pm25", "value": "1"}}, ("wrong_type", "value")),
        ({"data": {"property": "air.pm25", "value": True}}, ("wrong_type", "value")),
        ({"data": {"property": "air.pm25", "value": 1, "unit": "mg/m3"}}, ("bad_code", "unit")),
        ({"data": {"property": "air.pm25", "value": 1, "quality": "so"}}, ("bad_code", "quality")),
        ({"data": {"property": "air.pm25", "value": 1, "extra": 0}}, ("unknown_field", "extra")),
        ({"datacontenttype": "text/xml"}, ("wrong_type", "datacontenttype")),
    ],
)  # fmt: skip
def test_each_fault_has_its_reason_and_field(more: dict[str, Any], told: tuple[str, str]) -> None:
    assert reason(**more) == told
    many = [event(id=f"e{i}") for i in range(9)]
    many[4] = event(**more)
    done = CODEC.decode(json.dumps(many).encode(), BATCH)
    assert [(r.index, r.reason, r.field) for r in done.rejections] == [(4, *told)]
    assert done.index[0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_units_in_other_spellings_are_taken() -> None:
    done = one(data={"property": "air.pm25", "value": 1, "unit": "µg/m³"})
    assert _listed(done.batches[0].fields["unit"]) == ["ug/m3"]


def test_a_correction_and_a_retraction() -> None:
    done = one(corrects="e0", revision=2)
    assert (done.batches[0].corrects.tolist(), done.batches[0].revision.tolist()) == (["e0"], [2])
    gone = one(corrects="e0", revision=3, retracted=True, data=...)
    assert gone.batches[0].retracted.tolist() == [True]


def test_whole_bodies_are_refused_plainly() -> None:
    for body in (b"{}", b"", b"[{}", b"[}]", b"[] x", b'[{"a":"]'):
        with pytest.raises(BadBody):
            CODEC.decode(body, BATCH)
    with pytest.raises(UnsupportedType):
        CODEC.decode(b"", "text/xml")
    with pytest.raises(BodyTooLarge):
        CODEC.decode(b"[" + b"{}," * 10_000 + b"{}]", BATCH)
    with pytest.raises(BodyTooLarge):
        CODEC.decode(b"{}\n" * 10_001, LINES)
    with pytest.raises(BodyTooLarge):
        CODEC.decode(b" " * (16 * 2**20 + 1), LINES)
    assert CODEC.decode(b" [ ] ", BATCH).total == 0


def test_secrets_are_hashed_and_never_kept() -> None:
    data = {"phone": "13812345678", "x": "call 13912345678 or 420106199001011234"}
    bad = event(type="all", data={**data, "i": "no"}, id="420106199001011234")
    done = CODEC.decode(json.dumps([event(type="all", data=data), bad] * 4).encode(), BATCH)
    phone = done.batches[0].fields["phone"]
    assert isinstance(phone, Strings)
    assert all(len(p) == 32 for p in phone.tolist())
    kept = repr(done.rejections)
    assert len(done.rejections) == 4
    assert not any(n in kept for n in ("13812345678", "13912345678", "420106199001011234"))


_SPACE = st.sampled_from(["", "", " ", "\t", " \r "])
_NUMBER = st.one_of(
    st.integers(-(10**7), 10**7).map(str), st.floats(-1e6, 1e6).map(repr), st.floats(allow_nan=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["-0", "-0.0", "01", "1.", ".5", "+1", "1e400", "NaN", "-Infinity", "0x1", "9" * 50]),
)  # fmt: skip
_TIMES = st.one_of(
    st.datetimes().map(lambda t: t.isoformat() + "Z"), st.datetimes().map(lambda t: t.isoformat() + "-05:30"),
    st.sampled_from(["2026-02-29T00:00:00Z", "2024-02-29T23:59:59.999999999+14:00", "2026-01-01t00:00:00z",
                     "0000-01-01T00:00:00Z",
                     "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00+24:00", "x",
                     "2026-01-01T00:00:00.Z",
                     "2026-01-01T00:00:00", "2026-01-01 00:00:00Z", "２026-01-01T00:00:00Z"]),
)  # fmt: skip
_WORD = st.one_of(st.text(max_size=12), st.sampled_from(["", "abc", "武汉", 'a"b', "x" * 70])).map(json.dumps)
_ANY = st.one_of(_NUMBER, _WORD, st.sampled_from(["null", "true", "false", "{}", "[]", "nul", "tru", '"']))
_DATA = {
    "n": _NUMBER, "i": st.integers(-9, 10**18).map(str) | _NUMBER, "t": _TIMES.map(json.dumps),
    "f": st.sampled_from(["true", "false", "null"]), "c": _WORD, "x": _WORD, "phone": _WORD,
}  # fmt: skip
_HEAD = {
    "specversion": st.just('"1.0"'), "type": st.just('"all"'), "id": st.just('"e1"') | _WORD, "source": _WORD,
    "time": _TIMES.map(json.dumps), "subject": _WORD, "lon": st.floats(113.6, 115.1).map(repr),
    "lat": st.floats(29.9, 31.4).map(repr), "gridid": _WORD,
}  # fmt: skip


@st.composite
def objects(draw: st.DrawFn, head: bool) -> str:
    table = _HEAD if head else _DATA
    names = draw(st.permutations(sorted(table)))
    if not head:
        names = names[: draw(st.integers(0, len(names)))]
    elif draw(st.integers(0, 4)) == 0:
        names = names[1:]
    pairs = [(n, draw(_ANY if draw(st.integers(0, 15)) == 0 else table[n])) for n in names]
    if head:
        pairs.insert(draw(st.integers(0, len(pairs))), ("data", draw(objects(False))))
    gap = draw(_SPACE)
    inner = f"{gap},{gap}".join(f'{gap}"{n}"{gap}:{gap}{v}' for n, v in pairs)
    return f"{gap}{{{gap}{inner}{gap}}}{gap}"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(objects(True), min_size=5, max_size=9))
def test_the_columnar_path_equals_the_law(rows: list[str]) -> None:
    raw = [r.encode() for r in rows]
    fast, slow = CODEC.decode(b"\n".join(raw), LINES), slowly(raw)
    assert flat(fast) == flat(slow)
    assert [(r.index, r.reason, r.field) for r in fast.rejections] == [
        (r.index, r.reason, r.field) for r in slow.rejections
    ]
    assert {r.reason for r in fast.rejections} <= set(REASONS)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(_NUMBER, min_size=5, max_size=40))
def test_numbers_are_bit_exact(numbers: list[str]) -> None:
    rows = [json.dumps(event(type="all", data={"n": 7})).replace("7}", n + "}").encode() for n in numbers]
    fast, slow = CODEC.decode(b"\n".join(rows), LINES), slowly(rows)
    assert flat(fast) == flat(slow)


def test_plain_rows_take_the_columnar_path() -> None:
    rows = [
        json.dumps(event(id=f"e{i}", data={"property": "air.pm25", "value": i, "unit": "ug/m3"})) for i in range(50)
    ]
    reader = CloudEvents(CODEC.rules)
    reader.read_event = reader._row = None  # type: ignore[method-assign, assignment]
    assert np.sum([len(b) for b in reader.lines("\n".join(rows).encode()).batches]) == 50


def test_blank_lines_count_as_lines_but_are_no_events() -> None:
    row = json.dumps(event()).encode()
    done = CODEC.decode(b"\n" + row + b"\n\n" + row + b"\r\n\n\n" + b"oops\n" + (row + b"\n") * 3, LINES)
    assert (done.total, done.index[0].tolist()) == (6, [1, 3, 7, 8, 9])
    assert [(r.index, r.reason) for r in done.rejections] == [(6, "not_json")]
