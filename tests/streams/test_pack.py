"""The record of a batch: exact both ways, and corrupt bytes are told, never trusted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Coded, Column, Strings
from citytwin.streams.pack import CorruptRecord, pack, unpack

_WHOLE = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-5, 300), st.just(MISSING))
_REAL = st.one_of(st.floats(), st.floats(-180, 180).map(lambda x: round(x, 6)), st.just(math.nan))


@st.composite
def batches(draw: st.DrawFn) -> EventBatch:
    n = draw(st.integers(0, 12))

    def many(of: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(of, min_size=n, max_size=n))

    text = st.text(st.characters(codec="utf-8"), max_size=20)
    fields: dict[str, Column] = {
        "value": np.array(many(_WHOLE), np.int64),
        "flag": np.array(many(st.sampled_from([-1, 0, 1])), np.int8),
        "code": Coded.of(many(st.sampled_from([None, "a", "武汉", "c"]))),  # type: ignore[arg-type]
        "text": Strings.of(many(text)),  # type: ignore[arg-type]
    }
    return EventBatch.of(
        draw(text), np.array(many(_WHOLE), np.int64), Strings.of(many(text)), Coded.of(many(text)),  # type: ignore[arg-type]
        Strings.of(many(text)), np.array(many(_REAL), np.float64), np.array(many(_REAL), np.float64),  # type: ignore[arg-type]
        revision=np.array(many(st.integers(0, 2**31 - 1)), np.int32), retracted=np.array(many(st.booleans()), np.bool_),
        fields=fields,
    )  # fmt: skip


def flat(batch: EventBatch) -> list[object]:
    """All of a batch as comparable values, floats by their bits."""
    columns = [getattr(batch, n) for n in batch.__slots__ if n not in ("type", "fields")] + [*batch.fields.values()]
    values: list[object] = [batch.type, list(batch.fields)]
    for c in columns:
        if isinstance(c, Strings):
            values.append([c.bytes_at(i) for i in range(len(c))])
        elif isinstance(c, Coded):
            values.append((c.codes.dtype.str, c.tolist(), c.names))
        else:
            values.append((c.dtype.str, c.tobytes()))
    return values


@settings(max_examples=150, deadline=None, derandomize=True)
@given(batches())
def test_round_trip_is_exact(batch: EventBatch) -> None:
    assert flat(unpack(pack(batch))) == flat(batch)


def test_a_slice_of_a_text_column_packs_only_its_bytes() -> None:
    ids = Strings.of(["aa", "bbb", "c"])
    part = Strings(ids.data, ids.offsets[1:])
    batch = EventBatch.of("t", [1, 2], part)
    assert unpack(pack(batch)).id.tolist() == ["bbb", "c"]


def _sample() -> bytes:
    n = 50
    fields: dict[str, Column] = {"v": np.arange(n) * 7, "c": Coded.of(["x", "y"] * 25)}
    ids, lon = [f"e{i}" for i in range(n)], [114 + i / 1e6 for i in range(n)]
    return pack(EventBatch.of("t", list(range(n)), ids, "s", lon=lon, lat=[30.5] * n, fields=fields))


def test_cut_off_records_are_corrupt() -> None:
    record = _sample()
    for size in range(len(record)):
        with pytest.raises(CorruptRecord):
            unpack(record[:size])


def test_changed_bytes_never_raise_anything_else() -> None:
    record, rng = bytearray(_sample()), np.random.default_rng(5)
    for _ in range(3000):
        bad = bytearray(record)
        for at in rng.integers(0, len(bad), rng.integers(1, 4)):
            bad[at] ^= 1 << rng.integers(0, 8)
        try:
            batch = unpack(bytes(bad))
        except CorruptRecord:
            continue
        flat(batch)


def test_changed_headers_never_raise_anything_else() -> None:
    import zstandard

    raw, rng = zstandard.ZstdDecompressor().decompress(_sample()[1:]), np.random.default_rng(6)
    head = 4 + int.from_bytes(raw[:4], "little")
    told = 0
    for _ in range(3000):
        bad = bytearray(raw)
        for at in rng.integers(0, head + 40, rng.integers(1, 3)):
            bad[at] = rng.integers(0, 256)
        try:
            flat(unpack(b"\x01" + zstandard.ZstdCompressor(level=1).compress(bytes(bad))))
        except CorruptRecord:
            told += 1
    assert told > 1000


def test_another_version_is_told() -> None:
    with pytest.raises(CorruptRecord, match="version"):
        unpack(b"\x02" + _sample()[1:])
