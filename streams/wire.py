"""Records of events, registers and the desk as Kafka carries them: a head with a checksum, then the log's own payload.

Head: `CTW1`, kind, codec, number of events, first and last time (ms UTC), eight bytes of checksum over all of it.
"""

from __future__ import annotations

import struct

import msgspec

from citytwin.models.part import Marker
from citytwin.models.telling import Telling
from citytwin.streams import tellings
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.records import Definition, Events, Row, decode, encode

MAGIC = b"CTW1"
_HEAD = struct.Struct("<4sBBiqq8s")
_MARKER, _JSON = 4, 2
_TELLING, _ARRAYS = 5, 3

Message = Events | Definition | Marker | Telling


def to_bytes(message: Message) -> bytes:
    """The value of a record."""
    if isinstance(message, Marker):
        row = Row(_MARKER, _JSON, 0, message.now, message.now, msgspec.json.encode(message))
    elif isinstance(message, Telling):
        row = Row(_TELLING, _ARRAYS, 0, message.now, message.now, tellings.encode(message))
    else:
        row = encode(message)
    head = (MAGIC, row.kind, row.codec, row.n, row.first_ms, row.last_ms, row.checksum(0))
    return _HEAD.pack(*head) + row.payload


def from_bytes(value: bytes) -> Message:
    """What a record holds. Raises CorruptRecord for what is none, is damaged, or comes from a later version."""
    if len(value) < _HEAD.size or value[:4] != MAGIC:
        raise CorruptRecord("no record of this version: it does not begin with CTW1")
    _, kind, codec, n, first, last, checksum = _HEAD.unpack_from(value)
    row = Row(kind, codec, n, first, last, value[_HEAD.size :])
    if row.checksum(0) != checksum:
        raise CorruptRecord("the record is damaged: its checksum does not fit")
    try:
        if kind == _MARKER:
            return msgspec.json.decode(row.payload, type=Marker)
        if kind == _TELLING:
            return tellings.decode(row.payload)
        found = decode(row)
    except (ValueError, msgspec.DecodeError) as error:
        raise CorruptRecord(str(error)) from error
    if not isinstance(found, Events | Definition):
        raise CorruptRecord(f"a {type(found).__name__.lower()} does not belong here; ticks are markers")
    return found
