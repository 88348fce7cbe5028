"""What a door hands on: batches, what it refused, and the errors that refuse a whole body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import Bool, Coded, Column, Int64, Strings
from citytwin.streams.convert import pick_texts

#: Limits of one body and one event.
MAX_EVENTS = 10_000
MAX_BODY_BYTES = 16 * 2**20
MAX_EVENT_BYTES = 256 * 2**10
MAX_DEPTH = 16


class BadBody(ValueError):
    """The body as a whole cannot be read (HTTP 400)."""


class BodyTooLarge(ValueError):
    """The body holds more bytes or events than one may (HTTP 413)."""


class UnsupportedType(ValueError):
    """No reader for that content type (HTTP 415)."""


@dataclass(slots=True)
class Decoded:
    """Events of one body: `index[i][j]` is the position in the input of row j of `batches[i]` (int64).

    Positions count from 0: events of a body, lines of a text. `total` = rows taken + rejections, or input rows for a
    mapping that makes several events of one.
    """

    batches: list[EventBatch] = field(default_factory=list)
    index: list[Int64] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    total: int = 0

    @property
    def taken(self) -> int:
        """Number of events in all batches."""
        return sum(map(len, self.batches))


def check_size(body: bytes) -> None:
    """Raise BodyTooLarge for a body beyond `MAX_BODY_BYTES`."""
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body has {len(body)} bytes; at most {MAX_BODY_BYTES} are taken. Send it in parts.")


def check_count(count: int) -> None:
    """Raise BodyTooLarge for more than `MAX_EVENTS` events."""
    if count > MAX_EVENTS:
        raise BodyTooLarge(f"The body has more than {MAX_EVENTS} events. Send it in parts.")


def merge(parts: Sequence[tuple[EventBatch, Int64]], rejections: list[Rejection], total: int) -> Decoded:
    """One batch per type with its rows in the order of the input, and the rejections in that order."""
    by_type: dict[str, list[tuple[EventBatch, Int64]]] = {}
    for batch, index in parts:
        if len(batch):
            by_type.setdefault(batch.type, []).append((batch, index))
    done = Decoded(rejections=sorted(rejections, key=lambda r: r.index), total=total)
    for group in by_type.values():
        batch, index = group[0] if len(group) == 1 else _ordered(group)
        done.batches.append(batch)
        done.index.append(index)
    return done


def _ordered(group: Sequence[tuple[EventBatch, Int64]]) -> tuple[EventBatch, Int64]:
    index = np.concatenate([i for _, i in group])
    whole = concat([b for b, _ in group])
    if (index[1:] >= index[:-1]).all():
        return whole, index
    order = np.argsort(index, kind="stable")
    return whole.take(order), index[order]


def pick(batch: EventBatch, rows: Bool) -> EventBatch:
    """The rows of a mask, as `EventBatch.take` gives them."""
    index = np.flatnonzero(rows)

    def taken(column: Column) -> Any:
        if isinstance(column, Strings):
            return pick_texts(column, index)
        return column.take(index) if isinstance(column, Coded) else column[index]

    names = ("time", "source", "id", "subject", "lon", "lat", "scope", "corrects", "revision", "retracted")
    envelope = {name: taken(getattr(batch, name)) for name in names}
    return EventBatch(batch.type, fields={n: taken(c) for n, c in batch.fields.items()}, **envelope)


def concat(batches: Sequence[EventBatch]) -> EventBatch:
    """One batch of several of the same type and the same fields, in order."""
    first = batches[0]
    if len(batches) == 1:
        return first
    fields = {name: _joined([b.fields[name] for b in batches]) for name in first.fields}
    real = [np.concatenate([getattr(b, n) for b in batches]) for n in ("time", "lon", "lat", "revision", "retracted")]
    text = {n: Strings.concat([getattr(b, n) for b in batches]) for n in ("id", "subject", "scope", "corrects")}
    time, lon, lat, revision, retracted = real
    source = Coded.concat([b.source for b in batches])
    return EventBatch(
        first.type, time, source, text["id"], text["subject"], lon, lat, text["scope"], text["corrects"],
        revision, retracted, fields,
    )  # fmt: skip


def _joined(columns: Sequence[Column]) -> Column:
    if isinstance(columns[0], Strings):
        return Strings.concat([c for c in columns if isinstance(c, Strings)])
    if isinstance(columns[0], Coded):
        return Coded.concat([c for c in columns if isinstance(c, Coded)])
    joined: Int64 = np.concatenate([np.asarray(c) for c in columns])
    return joined
