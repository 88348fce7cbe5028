"""Records of the city's topics as bytes: back as they were, and damage is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded
from citytwin.models.frame import Delta, Frame, Values
from citytwin.models.part import Bunch, Marker, Part, Share, Told
from citytwin.streams import arrays
from citytwin.streams.arrays import Assembler, chunk, dump, load, split
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.parts import BoardFrame, decode_frame, decode_part, encode_frame, encode_part
from citytwin.streams.records import Definition, Events
from citytwin.streams.wire import from_bytes, to_bytes

BATCH = EventBatch.of("obs", [1, 2], ["a", "b"], subject=["d1", "d2"])


def test_messages_come_back() -> None:
    """Events, definitions and markers."""
    found = from_bytes(to_bytes(Events(BATCH)))
    assert isinstance(found, Events)
    assert found.batch.id.tolist() == ["a", "b"]
    assert from_bytes(to_bytes(Definition("plugin", {"file": "x"}))) == Definition("plugin", {"file": "x"})
    assert from_bytes(to_bytes(Marker(7, 1000, 3, "e2"))) == Marker(7, 1000, 3, "e2")


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_is_told(place: int, bit: int) -> None:
    """Wherever it is: in the head or in what follows."""
    raw = bytearray(to_bytes(Events(BATCH)))
    raw[place % len(raw)] ^= 1 << bit
    with pytest.raises(CorruptRecord):
        from_bytes(bytes(raw))


@pytest.mark.parametrize("raw", [b"", b"CTW1", b"CTW9" + bytes(40), b'{"type":"obs"}', bytes(200)])
def test_what_is_no_record_is_told(raw: bytes) -> None:
    """Of a later version, of another program, or cut off."""
    with pytest.raises(CorruptRecord):
        from_bytes(raw)
    with pytest.raises(CorruptRecord):
        chunk(raw)


def test_documents_with_arrays_come_back() -> None:
    """Numbers of every sort, codes, and nothing at all."""
    given_: dict[str, Any] = {
        "i": np.arange(5),
        "b": np.array([True]),
        "c": Coded.of(["x", "", "y"]),
        "e": np.zeros((0, 3), np.int32),
    }
    document, found = load(dump({"a": [1, None, "武汉"]}, given_))
    assert document == {"a": [1, None, "武汉"]}
    assert found["i"].tolist() == list(range(5))
    assert found["c"].tolist() == ["x", "", "y"]
    assert np.asarray(found["e"]).shape == (0, 3)
    with pytest.raises(CorruptRecord):
        load(b"nothing of ours")


def test_bodies_are_cut_and_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order; pieces of two writers do not mix, the one that begins anew wins."""
    monkeypatch.setattr(arrays, "CHUNK", 4)
    body, other = bytes(range(10)), b"0123456789"
    pieces, others = split(1, 2, 9, body), split(1, 2, 9, other)
    assert len(pieces) == 3
    whole = Assembler()
    assert [whole.add(chunk(p)) for p in pieces] == [None, None, body]
    mixed = [pieces[0], pieces[1], others[0], pieces[2], others[1], others[2]]
    assert [whole.add(chunk(p)) for p in mixed] == [None, None, None, None, None, other]


def test_parts_come_back() -> None:
    """All sorts of components, with rows of class forms and facts."""
    rows, value = np.array([1, 5]), np.array([-3, 2**40])
    told = Told(np.array([1], np.uint64), np.array([2], np.uint64), np.array([3], np.int32), np.array([-1], np.int32),
                {"x": np.array([1.5]), "code": Coded.of(["a"])})  # fmt: skip
    share = Share(sums=Bunch.of([("k1", (rows, value)), ("none", (rows[:0], value[:0]))]), rows={"form": told})
    part = Part(-1, 4, 99, share, {"stats": {"accepted": 3}}, {"entity": rows, "property": Coded.of(["p", "q"])})
    found = decode_part(encode_part(part))
    assert (found.shard, found.k, found.now, found.facts) == (-1, 4, 99, part.facts)
    assert [(k, found.share.sums.columns[1][at].tolist()) for k, at in found.share.sums] == [("k1", value.tolist())]
    assert found.share.rows["form"].columns["code"].tolist() == ["a"]
    assert found.newest["property"].tolist() == ["p", "q"]


def test_frames_come_back() -> None:
    """With and without shares of a parameter."""
    n, none, no = np.zeros(2), np.zeros(2, np.int32), np.zeros(2, np.bool_)
    known = np.array([1.0, np.nan])
    plain = Values(np.array([0, 3], np.int32), known, np.zeros(2, np.uint8), none, none, no, n)
    scaled = dataclasses.replace(plain, value=n, scale=np.array([7.0, 8.0]))
    frame = Frame(3, 5, 9, {"a": plain, "b": scaled}, {"device": Delta(plain.rows, {"seen": [1, 2]})}, ({"code": "K"},))
    found = decode_frame(encode_frame(BoardFrame(frame, final=False, missing=(-1, 2), hash="h")))
    assert (found.final, found.missing, found.key, found.hash) == (False, (-1, 2), False, "h")
    assert found.frame.values["a"].scale is None
    assert np.asarray(found.frame.values["b"].scale).tolist() == [7.0, 8.0]
    assert found.frame.twin["device"].columns == {"seen": [1, 2]}
    assert found.frame.cases == ({"code": "K"},)
