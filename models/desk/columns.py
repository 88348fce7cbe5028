"""Between columns and the desk's single events: rows of a batch as events, drafts as batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Coded, Column, Int32, Strings
from citytwin.models.desk.event import AUTO, Draft, Event
from citytwin.models.vocabulary import EventType, Field, Kind, Vocabulary


def values_of(column: Column, field: Field) -> list[Any]:
    """What the rows say for a field: numbers in units, ms, bools, texts; None where a row says nothing."""
    if isinstance(column, Coded | Strings):
        return [text or None for text in column.tolist()]
    stored = column.tolist()
    if field.kind is Kind.FLAG:
        return [None if v < 0 else v > 0 for v in stored]
    if field.kind is Kind.NUMBER:
        return [None if v == MISSING else v / field.per_unit for v in stored]
    return [None if v == MISSING else v for v in stored]


def events_of(batch: EventBatch, kind: EventType, scope: Int32) -> list[Event]:
    """The rows of a batch as events, in order; `scope` int32[n]: where they belong. Absent fields are left out."""
    told = [(f.name, values_of(batch.fields[f.name], f)) for f in kind.fields if f.name in batch.fields]
    heads = zip(
        batch.time.tolist(), batch.source.tolist(), batch.id.tolist(), batch.subject.tolist(), scope.tolist(),
        batch.lon.tolist(), batch.lat.tolist(), strict=True,
    )  # fmt: skip
    return [
        Event(batch.type, t, source or "", id, subject, at, x, y, {n: v[i] for n, v in told if v[i] is not None})
        for i, (t, source, id, subject, at, x, y) in enumerate(heads)
    ]


def _column(field: Field, values: Sequence[Any]) -> Column:
    if field.kind in (Kind.TEXT, Kind.SECRET):
        return Strings.of(["" if v is None else _cut(str(v), field.max_bytes) for v in values])
    if field.kind is Kind.CODE:
        return Coded.of([(field.default or None) if v is None else str(v) for v in values])
    if field.kind is Kind.FLAG:
        return np.array([-1 if v is None else int(bool(v)) for v in values], np.int8)
    per_unit = field.per_unit if field.kind is Kind.NUMBER else 1
    return np.array([MISSING if v is None else round(v * per_unit) for v in values], np.int64)


def _cut(text: str, most: int) -> str:
    """A text of at most `most` bytes: what the desk says by itself is shortened, never refused."""
    raw = text.encode()
    return text if len(raw) <= most else raw[:most].decode("utf-8", "ignore")


def unsayable(draft: Draft, vocabulary: Vocabulary) -> str:
    """Why a draft cannot be an event, "" if it can."""
    kind = vocabulary.types.get(draft.type)
    if kind is None:
        return f"there is no event type {draft.type}"
    known = {f.name for f in kind.fields}
    return "".join(f"{draft.type} has no field {name}; " for name in sorted(set(draft.fields) - known))


def batches_of(drafts: Iterable[Draft], vocabulary: Vocabulary) -> list[EventBatch]:
    """Drafts that can be said as batches in their order, neighbours of one type together."""
    groups: list[list[Draft]] = []
    for draft in drafts:
        if groups and groups[-1][0].type == draft.type:
            groups[-1].append(draft)
        else:
            groups.append([draft])
    return [_batch(group, vocabulary.types[group[0].type]) for group in groups]


def _batch(drafts: Sequence[Draft], kind: EventType) -> EventBatch:
    used = [f for f in kind.fields if any(f.name in d.fields for d in drafts)]
    return EventBatch.of(
        kind.name,
        [d.time for d in drafts],
        [d.id for d in drafts],
        AUTO,
        [d.subject for d in drafts],
        [d.lon for d in drafts],
        [d.lat for d in drafts],
        [d.scope for d in drafts],
        fields={f.name: _column(f, [d.fields.get(f.name) for d in drafts]) for f in used},
    )
