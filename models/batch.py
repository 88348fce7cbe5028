"""EventBatch: events of one type as columns; Rejection: why one of them was not taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Bool, Coded, Column, Float64, Int32, Int64, Strings


@dataclass(frozen=True, slots=True, eq=False)
class EventBatch:
    """Events of one type as columns of n rows, in order of arrival.

    `time` int64 ms UTC; `lon`, `lat` float64 CGCS2000 degrees, NaN without a place; `subject` the entity's code, ""
    without one; `scope` the code of a scope the source names ("" = found from place or subject); `corrects` the id of
    the original ("" = this is one), `revision` int32, 0 for an original; `fields` by name, stored as `Field.kind` says.
    """

    type: str
    time: Int64
    source: Coded
    id: Strings
    subject: Strings
    lon: Float64
    lat: Float64
    scope: Strings
    corrects: Strings
    revision: Int32
    retracted: Bool
    fields: Mapping[str, Column] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.integer] | Bool) -> EventBatch:
        """The given rows (indices or mask), in that order."""
        pick = {k: (v.take(rows) if isinstance(v, Strings | Coded) else v[rows]) for k, v in self.fields.items()}
        return EventBatch(
            self.type, self.time[rows], self.source.take(rows), self.id.take(rows), self.subject.take(rows),
            self.lon[rows], self.lat[rows], self.scope.take(rows), self.corrects.take(rows), self.revision[rows],
            self.retracted[rows], pick,
        )  # fmt: skip

    @classmethod
    def of(
        cls,
        type: str,
        time: Sequence[int] | Int64,
        id: Sequence[str] | Strings,
        source: str | Sequence[str] | Coded = "test",
        subject: Sequence[str] | Strings | None = None,
        lon: Sequence[float] | Float64 | None = None,
        lat: Sequence[float] | Float64 | None = None,
        scope: Sequence[str] | Strings | None = None,
        corrects: Sequence[str] | Strings | None = None,
        revision: Sequence[int] | Int32 | None = None,
        retracted: Sequence[bool] | Bool | None = None,
        fields: Mapping[str, Column] | None = None,
    ) -> EventBatch:
        """A batch from Python sequences or columns; what is not given is absent."""
        n = len(time)

        def text(v: Sequence[str] | Strings | None) -> Strings:
            return Strings.empty(n) if v is None else v if isinstance(v, Strings) else Strings.of(v)

        def real(v: Sequence[float] | Float64 | None) -> Float64:
            return np.full(n, np.nan) if v is None else np.asarray(v, np.float64)

        names = [source] * n if isinstance(source, str) else source
        return cls(
            type, np.asarray(time, np.int64), names if isinstance(names, Coded) else Coded.of(names), text(id),
            text(subject), real(lon), real(lat), text(scope), text(corrects),
            np.zeros(n, np.int32) if revision is None else np.asarray(revision, np.int32),
            np.zeros(n, np.bool_) if retracted is None else np.asarray(retracted, np.bool_), fields or {},
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event that was not taken: its `index` in what came in, a reason code, the field and a sentence.

    `head` holds the first bytes as they may be kept (secrets already hashed or blanked).
    """

    index: int
    reason: str
    field: str
    detail: str
    head: bytes = b""
    source: str = ""
    id: str = ""
    #: What helps whoever asked, by name: the legal moves, or who changed it and when.
    known: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)


#: Every reason code, with what it means; docs and pages are generated from it.
REASONS: dict[str, str] = {
    "not_json": "the text is no JSON",
    "not_utf8": "the bytes are no UTF-8",
    "not_xml": "the text is no XML, or one with a document type, entities or forbidden characters",
    "not_object": "the event is no JSON object",
    "too_large": "the event or a field is larger than allowed",
    "missing": "a required attribute or field is missing",
    "wrong_type": "a value has another type than the schema says",
    "unknown_type": "no event type of that name",
    "unknown_field": "a field that the type does not have",
    "bad_version": "specversion is not 1.0",
    "bad_time": "the time is not RFC 3339 or has no offset",
    "bad_number": "a number is not finite or too long",
    "bad_code": "a code is not one of the allowed ones",
    "out_of_range": "a value is outside the allowed range",
    "swapped_lonlat": "longitude and latitude seem to be exchanged",
    "outside_city": "the place is outside the city",
    "bad_polygon": "a polygon has too few points, is not closed, is flat or crosses itself",
    "unknown_property": "no observed property of that name",
    "unknown_subject": "the entity is not in the register",
    "unknown_scope": "no scope of that code",
    "future": "the time is further ahead than allowed",
    "horizon": "the event or its original is older than the horizon",
    "conflict": "the same source and id came before with other content",
    "bad_correction": "a correction needs revision >= 1 and must keep type and subject",
    "illegal_move": "the case cannot make that move from its state",
    "stale_rev": "the case, alarm or plan was changed after the revision that the command knows",
    "unknown_case": "no case, alarm, unit or plan of that code",
    "not_allowed": "the actor may not do that, or not with this",
    "not_now": "that cannot be done with it in the state that it is in",
    "full": "the case has as many events as one may have",
    "invalid_entity": "the entity breaks a rule of its kind",
    "damaged": "the record of a topic is damaged, or of another version",
    "misplaced": "the event lies in a topic or partition that is not its own",
}


@dataclass(frozen=True, slots=True)
class Changes:
    """What one fed batch did: counts, and the events that the state refused (`Rejection.index` = row of the batch)."""

    accepted: int
    duplicates: int
    late: int
    corrected: int
    rejected: tuple[Rejection, ...] = ()
