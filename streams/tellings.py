"""What the desk is told of a marker as bytes, and back; cut into pieces that a broker takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Coded
from citytwin.models.telling import Heard, Reading, Telling
from citytwin.streams.arrays import CHUNK, dump, load
from citytwin.streams.pack import CorruptRecord, pack, unpack

#: Bytes of columns in one piece; they are packed after that.
PIECE = CHUNK
_COLUMNS = ("rows", "value", "quality")


def encode(telling: Telling) -> bytes:
    """A piece as bytes."""
    arrays: dict[str, NDArray[Any] | Coded] = {}
    scaled = []
    for i, reading in enumerate(telling.readings.values()):
        arrays |= {f"{i}.{name}": getattr(reading, name) for name in _COLUMNS}
        if reading.scale is not None:
            arrays[f"{i}.scale"] = reading.scale
            scaled.append(i)
    head = (telling.k, telling.now, telling.index, telling.count)
    return dump((head, list(telling.readings), scaled, heard_plain(telling.heard)), arrays)


def decode(body: bytes) -> Telling:
    """The piece of `encode`. Raises CorruptRecord."""
    try:
        (head, ids, scaled, heard), arrays = load(body)
        readings = {}
        for i, id in enumerate(ids):
            columns = {name: _plain(arrays[f"{i}.{name}"]) for name in _COLUMNS}
            readings[id] = Reading(**columns, scale=_plain(arrays[f"{i}.scale"]) if i in scaled else None)
        k, now, index, count = head
        return Telling(k, now, index, count, readings, heard_of(heard))
    except CorruptRecord:
        raise
    except (ValueError, TypeError, LookupError, AssertionError) as error:
        raise CorruptRecord(f"not what the desk is told in this version: {type(error).__name__}: {error}") from error


def heard_plain(heard: Sequence[Heard]) -> list[tuple[int, bytes]]:
    """What rules heard as plain values, for a part or a piece."""
    return [(each.sign, pack(each.batch)) for each in heard]


def heard_of(told: Sequence[tuple[int, bytes]]) -> tuple[Heard, ...]:
    """What `heard_plain` gave. Raises ValueError for something else."""
    return tuple(Heard(sign, unpack(body)) for sign, body in told)


def of_units(heard: Sequence[tuple[int, bytes]], units: Collection[str]) -> list[tuple[int, bytes]]:
    """What shards heard, with the whereabouts of these units only: most vehicles are nobody that the desk sends."""
    found = []
    for sign, body in heard:
        if sign != 0:
            found.append((sign, body))
            continue
        batch = unpack(body)
        rows = np.flatnonzero([subject in units for subject in batch.subject.tolist()])
        if len(rows):
            found.append((sign, pack(batch.take(rows))))
    return found


def pieces(k: int, now: int, readings: Mapping[str, Reading], heard: Sequence[tuple[int, bytes]]) -> list[Telling]:
    """All that is told of a marker, in pieces of some PIECE bytes before they are packed; at least one.

    `heard`: as `heard_plain` gave it.
    """
    groups = list(_groups(readings, heard)) or [({}, [])]
    return [Telling(k, now, i, len(groups), some, heard_of(batches)) for i, (some, batches) in enumerate(groups)]


def _groups(
    readings: Mapping[str, Reading], heard: Sequence[tuple[int, bytes]]
) -> Iterator[tuple[dict[str, Reading], list[tuple[int, bytes]]]]:
    some: dict[str, Reading] = {}
    batches: list[tuple[int, bytes]] = []
    size = 0
    for id, reading in readings.items():
        size += sum(c.nbytes for c in (reading.rows, reading.value, reading.quality, reading.scale) if c is not None)
        some[id] = reading
        if size >= PIECE:
            yield some, batches
            some, batches, size = {}, [], 0
    for sign, body in heard:
        if batches and size + len(body) >= PIECE:
            yield some, batches
            some, batches, size = {}, [], 0
        batches.append((sign, body))
        size += len(body)
    if some or batches:
        yield some, batches


def _plain(column: NDArray[Any] | Coded) -> NDArray[Any]:
    assert isinstance(column, np.ndarray)
    return column
