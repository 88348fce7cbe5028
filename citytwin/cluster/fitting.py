"""What a shard can work on of a record that somebody wrote: of a known schema, in its own topic and partition.

The bridge writes nothing else. A later version, another number of shards or a hand may, and must not stop a shard.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import Coded, Column, Strings
from citytwin.models.shards import DESK, route
from citytwin.models.vocabulary import EventType, Kind, Vocabulary

_HEAD = 200
_Fault = tuple[str, str, str]


def fitting(batch: EventBatch, vocabulary: Vocabulary, shard: int, shards: int) -> tuple[EventBatch, list[Rejection]]:
    """The events of a batch that a shard (DESK: the desk) may be fed, and why not the others."""
    fault = unknown(batch, vocabulary)
    if fault is not None:
        return batch.take(np.zeros(0, np.int64)), refused(batch, range(len(batch)), fault)
    kind = vocabulary.types[batch.type]
    everything = np.ones(len(batch), np.bool_)
    strays = everything if kind.register is not None else route(batch, kind, shards) != shard
    if not strays.any():
        return batch, []
    where = "the desk" if shard == DESK else f"partition {shard} of {shards}"
    detail = (
        f"{batch.type} of this subject does not belong to {where}: write by `citytwin bridge` with kafka.shards as here"
    )
    rows = np.flatnonzero(strays).tolist()
    return batch.take(~strays), refused(batch, rows, ("misplaced", "subject", detail))


def of_registers(batch: EventBatch, vocabulary: Vocabulary) -> list[Rejection]:
    """Why a batch in the registers cannot be put in force; [] where it can."""
    fault = unknown(batch, vocabulary)
    if fault is None and vocabulary.types[batch.type].register is None:
        fault = ("misplaced", "type", f"{batch.type} changes no register")
    return [] if fault is None else refused(batch, range(len(batch)), fault)


def unknown(batch: EventBatch, vocabulary: Vocabulary) -> _Fault | None:
    """What of the schema is not ours (reason, field, detail)."""
    kind = vocabulary.types.get(batch.type)
    if kind is None:
        return "unknown_type", "type", f"there is no event type {batch.type} here; a later version may have written it"
    return _fields(batch, kind)


def _fields(batch: EventBatch, kind: EventType) -> _Fault | None:
    known = {f.name: f for f in kind.fields}
    for name, column in batch.fields.items():
        if name not in known:
            return "unknown_field", name, f"{kind.name} has no field {name} here; a later version may have written it"
        if not _stored(column, known[name].kind):
            return "wrong_type", name, f"{name} is not stored as a {known[name].kind.value}"
    absent = [f.name for f in kind.fields if f.required and f.name not in batch.fields]
    return ("missing", absent[0], f"{absent[0]} is required") if absent else None


def _stored(column: Column, kind: Kind) -> bool:
    if kind is Kind.CODE:
        return isinstance(column, Coded)
    if kind in (Kind.TEXT, Kind.SECRET):
        return isinstance(column, Strings)
    return isinstance(column, np.ndarray) and column.dtype.kind == "i"


def refused(batch: EventBatch, rows: Sequence[int], fault: _Fault) -> list[Rejection]:
    """Rejections of rows for one fault."""
    return [
        Rejection(i, *fault, f"{batch.type} {batch.subject[i]}".encode()[:_HEAD], batch.source[i] or "", batch.id[i])
        for i in rows
    ]


def damaged(detail: str, value: bytes | None) -> Rejection:
    """The rejection of a record that is none of ours."""
    return Rejection(0, "damaged", "", detail, (value or b"")[:_HEAD])
