"""From plain arrays to `EventBatch`: fields are stored as the vocabulary says; arrivals wait in an `Outbox`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Int64, Strings, UInt8
from citytwin.models.vocabulary import Field, Kind, Vocabulary

#: What a caller may give for a field: numbers in units (NaN = absent), texts, or a column that is ready.
Plain = Sequence[Any] | np.ndarray[Any, Any] | Strings | Coded


def table(parts: Sequence[bytes | UInt8], n: int) -> UInt8:
    """Constant bytes and digit columns uint8[n, w] side by side: uint8[n, total width]."""
    blocks = [
        np.broadcast_to(np.frombuffer(p, np.uint8), (n, len(p))) if isinstance(p, bytes) else p for p in parts
    ]  # fmt: skip
    return np.ascontiguousarray(np.concatenate(blocks, axis=1))


def joined(parts: Sequence[bytes | UInt8], n: int) -> Strings:
    """Texts of one width, made of what `table` takes."""
    letters = table(parts, n)
    return Strings(letters.ravel(), np.arange(n + 1, dtype=np.int64) * letters.shape[1])


def only(texts: Strings, keep: Bool) -> Strings:
    """The same rows, empty where `keep` is false."""
    size = texts.lengths()
    data = texts.data[texts.offsets[0] : texts.offsets[-1]][np.repeat(keep, size)]
    return Strings(data, np.concatenate([[0], np.cumsum(np.where(keep, size, 0))]).astype(np.int64))


def integers(values: Plain, per_unit: int | Int64) -> Int64:
    """Numbers in units as integers of the resolution, MISSING for NaN."""
    real = np.asarray(values, np.float64)
    known = np.isfinite(real)
    return np.where(known, np.rint(np.where(known, real, 0.0) * per_unit), MISSING).astype(np.int64)


def whole(values: Plain) -> Int64:
    """Times and integers as int64, MISSING for NaN (integers pass untouched)."""
    raw = np.asarray(values)
    return raw.astype(np.int64) if raw.dtype.kind in "iu" else integers(raw, 1)


def encode(values: Plain, spec: Field, per_unit: int | Int64) -> Column:
    """One field stored as its kind demands."""
    match spec.kind:
        case Kind.NUMBER:
            return integers(values, per_unit)
        case Kind.INTEGER | Kind.TIME:
            return whole(values)
        case Kind.FLAG:
            return np.asarray(values).astype(np.int8)
        case Kind.CODE:
            if isinstance(values, Coded):
                return values
            # str: a name that NumPy made is no plain text to those who pack it
            return Coded.of([None if v is None else str(v) for v in texts(values)])
        case _:
            return values if isinstance(values, Strings) else Strings.of([str(v or "") for v in texts(values)])


def texts(values: Plain) -> Iterable[Any]:
    """The rows of a column, one by one."""
    return values.tolist() if isinstance(values, Strings | Coded) else values


@dataclass(frozen=True, slots=True)
class Writer:
    """Makes batches of the types that a vocabulary knows; what it does not know is left out."""

    vocabulary: Vocabulary

    def knows(self, type: str) -> bool:
        """Whether events of this type can be said at all."""
        return type in self.vocabulary.types

    def batch(
        self, type: str, time: Int64, id: Strings, source: str | Coded, *, subject: Strings | None = None,
        lon: Float64 | None = None, lat: Float64 | None = None, per_unit: int | Int64 | None = None,
        fields: Mapping[str, Plain] | None = None,
    ) -> EventBatch | None:  # fmt: skip
        """A batch of `type`, None if the vocabulary lacks it; `per_unit` (int64[n]) overrides that of NUMBER fields."""
        spec = self.vocabulary.types.get(type)
        if spec is None:
            return None
        given = fields or {}
        stored: dict[str, Column] = {}
        for f in spec.fields:
            stored[f.name] = (
                encode(given[f.name], f, f.per_unit if per_unit is None else per_unit)
                if f.name in given
                else absent(f, len(time))
            )
        name = Coded(np.zeros(len(time), np.int32), (source,)) if isinstance(source, str) else source
        return EventBatch.of(type, time, id, name, subject, lon, lat, fields=stored)


def absent(spec: Field, n: int) -> Column:
    """A column in which every row is missing."""
    match spec.kind:
        case Kind.NUMBER | Kind.INTEGER | Kind.TIME:
            return np.full(n, MISSING, np.int64)
        case Kind.FLAG:
            return np.full(n, -1, np.int8)
        case Kind.CODE:
            return Coded(np.full(n, -1, np.int32), ())
        case _:
            return Strings.empty(n)


def concat(batches: Sequence[EventBatch]) -> EventBatch:
    """One batch of several of the same type, in order."""
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    return EventBatch(
        first.type,
        np.concatenate([b.time for b in batches]),
        Coded.concat([b.source for b in batches]),
        Strings.concat([b.id for b in batches]),
        Strings.concat([b.subject for b in batches]),
        np.concatenate([b.lon for b in batches]),
        np.concatenate([b.lat for b in batches]),
        Strings.concat([b.scope for b in batches]),
        Strings.concat([b.corrects for b in batches]),
        np.concatenate([b.revision for b in batches]),
        np.concatenate([b.retracted for b in batches]),
        {name: _join([b.fields[name] for b in batches]) for name in first.fields},
    )


def _join(columns: Sequence[Column]) -> Column:
    if isinstance(columns[0], Strings):
        return Strings.concat([c for c in columns if isinstance(c, Strings)])
    if isinstance(columns[0], Coded):
        return Coded.concat([c for c in columns if isinstance(c, Coded)])
    return np.concatenate(columns)  # type: ignore[arg-type]


def cut(batch: EventBatch, first: int, last: int) -> EventBatch:
    """Rows [first, last) of a batch: as `take` of that range, without gathering."""

    def part(column: Column) -> Column:
        if isinstance(column, Coded):
            return Coded(column.codes[first:last], column.names)
        return text(column) if isinstance(column, Strings) else column[first:last]

    def text(column: Strings) -> Strings:
        edge = column.offsets[first : last + 1]
        return Strings(column.data[edge[0] : edge[-1]], edge - edge[0])

    return EventBatch(
        batch.type,
        batch.time[first:last],
        Coded(batch.source.codes[first:last], batch.source.names),
        text(batch.id),
        text(batch.subject),
        batch.lon[first:last],
        batch.lat[first:last],
        text(batch.scope),
        text(batch.corrects),
        batch.revision[first:last],
        batch.retracted[first:last],
        {name: part(column) for name, column in batch.fields.items()},
    )


@dataclass(slots=True)
class Parcel:
    """Events of one type with their times of arrival (int64 ms, ascending); rows before `next` have been taken."""

    batch: EventBatch
    arrival: Int64
    next: int = 0


@dataclass(slots=True)
class Outbox:
    """Events that have been made and wait for their time of arrival."""

    #: More parcels of one type than this are laid together: a step costs the same after a month as after a minute.
    most: int = 8
    waiting: dict[str, list[Parcel]] = field(default_factory=dict)

    def add(self, batch: EventBatch | None, arrival: Int64) -> None:
        """Put events in; order inside a batch is free."""
        if batch is None or not len(batch):
            return
        order = np.argsort(arrival, kind="stable")
        parcels = self.waiting.setdefault(batch.type, [])
        parcels.append(Parcel(batch.take(order), arrival[order]))
        if len(parcels) > self.most:
            self.waiting[batch.type] = [_lay_together(parcels)]

    def take(self, until_ms: int, after_ms: int = -(2**62)) -> dict[str, EventBatch]:
        """Everything that arrives in (after, until], by type in order of arrival; earlier ones are dropped."""
        taken: dict[str, EventBatch] = {}
        for type_, parcels in self.waiting.items():
            ready, when = [], []
            for p in parcels:
                first = max(p.next, int(np.searchsorted(p.arrival, after_ms, "right")))
                p.next = max(first, int(np.searchsorted(p.arrival, until_ms, "right")))
                if p.next > first:
                    ready.append(cut(p.batch, first, p.next))
                    when.append(p.arrival[first : p.next])
            self.waiting[type_] = [p for p in parcels if p.next < len(p.arrival)]
            if ready:
                whole_batch = concat(ready)
                order = np.argsort(np.concatenate(when), kind="stable")
                taken[type_] = whole_batch if len(ready) == 1 else whole_batch.take(order)
        return taken


def _lay_together(parcels: Sequence[Parcel]) -> Parcel:
    rest = [(cut(p.batch, p.next, len(p.arrival)), p.arrival[p.next :]) for p in parcels]
    arrival = np.concatenate([a for _, a in rest])
    order = np.argsort(arrival, kind="stable")
    return Parcel(concat([b for b, _ in rest]).take(order), arrival[order])


def in_order(taken: Mapping[str, EventBatch], order: Iterable[str]) -> list[EventBatch]:
    """Batches with the named types first, in that order, the others by name."""
    first = [t for t in order if t in taken]
    return [taken[t] for t in first] + [taken[t] for t in sorted(taken) if t not in first]
