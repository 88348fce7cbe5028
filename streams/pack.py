"""One batch as one record of the log or of Kafka: a small header and the raw columns, narrowed, under zstd level 1.

Record: version byte, then a zstd frame of `uint32 header length, header (msgpack), column buffers`. An integer column
is stored as the smallest unsigned type over its lowest value (0 bytes where all are equal); degrees with at most six
decimals as millionths. All of it round-trips bit for bit. The checksum is the log's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Int64, Strings, UInt8

VERSION = 1
#: No record unfolds to more than this many bytes or rows.
MAX_BYTES = 2**30
MAX_ROWS = 2**27
_NARROW = {0: None, 1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.int64}
_MICRO = 1e6


class CorruptRecord(ValueError):
    """The bytes are no record of ours, or not all of it."""


class _Ints(msgspec.Struct, array_like=True, tag="i"):
    """Integers `base + stored`; with `gaps`, stored 0 is MISSING and values count from 1."""

    dtype: str
    width: int
    base: int
    gaps: bool = False


class _Reals(msgspec.Struct, array_like=True, tag="f"):
    """Floats: raw (`micro` None) or millionths."""

    micro: _Ints | None


class _Texts(msgspec.Struct, array_like=True, tag="s"):
    lengths: _Ints
    size: int


class _Codes(msgspec.Struct, array_like=True, tag="c"):
    codes: _Ints
    names: list[str]


_Layout = _Ints | _Reals | _Texts | _Codes


class _Header(msgspec.Struct, array_like=True):
    type: str
    rows: int
    columns: list[_Layout]
    fields: list[str]


_decoder = msgspec.msgpack.Decoder(_Header)
_ENVELOPE = ("time", "source", "id", "subject", "lon", "lat", "scope", "corrects", "revision", "retracted")


def pack(batch: EventBatch) -> bytes:
    """The record of a batch."""
    buffers: list[bytes] = []
    columns = [getattr(batch, name) for name in _ENVELOPE] + list(batch.fields.values())
    layout = [_put(c, buffers) for c in columns]
    header = msgspec.msgpack.encode(_Header(batch.type, len(batch), layout, list(batch.fields)))
    raw = b"".join([len(header).to_bytes(4, "little"), header, *buffers])
    return bytes([VERSION]) + zstandard.ZstdCompressor(level=1).compress(raw)


def _put(column: Column | Bool, buffers: list[bytes]) -> _Layout:
    if isinstance(column, Strings):
        lengths = _put_ints(column.lengths(), buffers)
        data = column.data[column.offsets[0] : column.offsets[-1]]
        buffers.append(data.tobytes())
        return _Texts(lengths, len(data))
    if isinstance(column, Coded):
        return _Codes(_put_ints(column.codes, buffers), [str(n) for n in column.names])
    if column.dtype.kind == "f":
        return _put_reals(column.astype(np.float64, copy=False), buffers)
    return _put_ints(column, buffers)


def _put_reals(column: Float64, buffers: list[bytes]) -> _Reals:
    with np.errstate(invalid="ignore", over="ignore"):
        micro = np.rint(column * _MICRO)
        fits = bool((np.abs(micro) < 2**40).sum() + np.isnan(column).sum() == len(column))
        stored = np.where(np.isnan(micro), float(MISSING), micro).astype(np.int64) if fits else None
    if stored is not None and np.array_equal(_from_micro(stored).view(np.int64), column.view(np.int64)):
        return _Reals(_put_ints(stored, buffers))
    buffers.append(column.tobytes())
    return _Reals(None)


def _from_micro(stored: Int64) -> Float64:
    return np.where(stored == MISSING, np.nan, stored / _MICRO)


def _put_ints(column: NDArray[Any], buffers: list[bytes]) -> _Ints:
    """Store integers over their lowest value in as few bytes as hold the widest."""
    name = column.dtype.str
    if not len(column):
        return _Ints(name, 0, 0)
    whole = column.astype(np.int64, copy=False)
    low, high, gaps = int(whole.min()), int(whole.max()), False
    if low == MISSING and high != MISSING:
        gaps = True
        low = int(whole[whole != MISSING].min()) - 1
    width = next(w for w in (0, 1, 2, 4, 8) if high - low < 256**w or w == 8)
    if width == 8:
        buffers.append(whole.tobytes())
        return _Ints(name, 8, 0)
    if width:
        over = np.where(whole == MISSING, 0, whole - low) if gaps else whole - low
        buffers.append(over.astype(_NARROW[width]).tobytes())
    return _Ints(name, width, low, gaps)


def unpack(record: bytes) -> EventBatch:
    """The batch of a record; columns are read-only views where they can be. Raises CorruptRecord."""
    header, raw, at = _open(record)
    if len(header.columns) != len(_ENVELOPE) + len(header.fields) or not 0 <= header.rows <= MAX_ROWS:
        raise CorruptRecord("the header's counts do not fit")
    reader = _Reader(raw, at, header.rows)
    columns = [reader.column(c) for c in header.columns]
    if reader.at != len(raw):
        raise CorruptRecord("bytes are left over")
    envelope: dict[str, Any] = dict(zip(_ENVELOPE, columns, strict=False))
    fields: Mapping[str, Any] = dict(zip(header.fields, columns[len(_ENVELOPE) :], strict=True))
    _check(envelope, len(fields) == len(header.fields))
    return EventBatch(header.type, fields=fields, **envelope)


def _open(record: bytes) -> tuple[_Header, bytes, int]:
    if len(record) < 2 or record[0] != VERSION:
        raise CorruptRecord("no record of version 1")
    try:
        frame = record[1:]
        size = zstandard.frame_content_size(frame)
        if not 4 <= size <= MAX_BYTES:
            raise CorruptRecord("the record's size is out of bounds")
        raw = zstandard.ZstdDecompressor().decompress(frame)
        at = 4 + int.from_bytes(raw[:4], "little")
        return _decoder.decode(raw[4:at]), raw, at
    except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptRecord(f"the record cannot be read: {error}") from None


def _check(envelope: dict[str, Any], unique: bool) -> None:
    kinds = {"time": "i8", "revision": "i4", "retracted": "b1", "lon": "f8", "lat": "f8"}
    for name, kind in kinds.items():
        column = envelope[name]
        if not isinstance(column, np.ndarray) or column.dtype.str[1:] != kind:
            raise CorruptRecord(f"{name} has another type")
    texts = [isinstance(envelope[n], Strings) for n in ("id", "subject", "scope", "corrects")]
    if not all(texts) or not isinstance(envelope["source"], Coded) or not unique:
        raise CorruptRecord("the envelope's texts or the fields have another type")


class _Reader:
    """Takes columns off the raw bytes, one after the other, never beyond the end."""

    def __init__(self, raw: bytes, at: int, rows: int) -> None:
        self._raw, self.at, self._rows = raw, at, rows

    def column(self, layout: _Layout) -> Column | Bool:
        """The next column."""
        if isinstance(layout, _Texts):
            return self._texts(layout)
        if isinstance(layout, _Codes):
            codes = self._ints(layout.codes)
            if codes.dtype != np.int32 or (len(codes) and not -1 <= codes.min() <= codes.max() < len(layout.names)):
                raise CorruptRecord("a code has no name")
            return Coded(codes, tuple(layout.names))
        if isinstance(layout, _Reals):
            if layout.micro is None:
                return self._take(np.dtype(np.float64), self._rows)
            return _from_micro(self._ints(layout.micro))
        return self._ints(layout)

    def _take(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        size = dtype.itemsize * count
        if size > len(self._raw) - self.at:
            raise CorruptRecord("a column is cut off")
        out = np.frombuffer(self._raw, dtype, count, self.at)
        self.at += size
        return out

    def _ints(self, layout: _Ints) -> NDArray[Any]:
        if (
            not MISSING <= layout.base < 2**63
            or layout.width not in _NARROW
            or layout.dtype not in ("<i8", "<i4", "|i1", "|b1")
        ):
            raise CorruptRecord("an unknown column type")
        dtype, narrow, base = np.dtype(layout.dtype), _NARROW[layout.width], layout.base
        if narrow is None:
            low = high = base
            whole = np.full(self._rows, 0, np.int64)
        else:
            whole = self._take(np.dtype(narrow), self._rows)
            low, high = (int(whole.min()), int(whole.max())) if self._rows else (0, 0)
            low, high = low + base, high + base
        limit = np.iinfo(np.int8 if dtype.kind == "b" else dtype)
        if not limit.min <= low <= high <= limit.max or (dtype.kind == "b" and not 0 <= low <= high <= 1):
            raise CorruptRecord("a value does not fit its column")
        if layout.width == 8:
            return whole.astype(dtype, copy=False)
        wide = whole.astype(np.int64) + base
        if layout.gaps:
            wide[whole == 0] = MISSING
        return wide.astype(dtype, copy=False)

    def _texts(self, layout: _Texts) -> Strings:
        lengths = self._ints(layout.lengths)
        if self._rows and int(lengths.min()) < 0:
            raise CorruptRecord("a text has a negative length")
        if float(lengths.sum(dtype=np.float64)) != layout.size:
            raise CorruptRecord("texts do not fill their bytes")
        offsets = np.zeros(self._rows + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        data: UInt8 = self._take(np.dtype(np.uint8), layout.size)
        return Strings(data, offsets)
