"""The first half of the step: what of a batch is new and allowed, where it belongs, which revision of it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Int32, Int64, Strings, UInt64
from citytwin.models.entities import KIND_NUMBER
from citytwin.models.hashing import Keys, combine, fold, hash_coded, hash_strings
from citytwin.models.lifecycle import EVENTS_MAX, WORDS, WORDS_MAX
from citytwin.models.vocabulary import ALWAYS, EventType, Vocabulary
from citytwin.twin.cases import CaseTable
from citytwin.twin.entities import Entities
from citytwin.twin.growable import Grow

#: 1900-01-01: no event of a city that runs is older.
EARLIEST_MS = -2_208_988_800_000


class Knows(Protocol):
    """What knows which keys came before."""

    def knows(self, keys: Keys) -> Bool: ...


class CityLike(Protocol):
    """What the engine needs of a city: a loaded pack, or a small one made in a test."""

    name: str
    timezone: str
    edition: str
    vocabulary: Vocabulary
    scopes: ScopeTree
    entities: Entities

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """West, south, east, north of the city; None where it has no geometry."""

    @property
    def locator(self) -> Locates:
        """Finds the scope row of a place."""


class Locates(Protocol):
    """Scope rows of places (int32[n], -1 outside)."""

    def locate(self, lon: Float64, lat: Float64) -> Int32: ...


@dataclass(slots=True)
class Refusals:
    """Rows of one batch that are refused, the first reason wins."""

    batch: EventBatch
    ok: Bool
    out: list[Rejection] = field(default_factory=list)

    def refuse(self, bad: Bool, reason: str, column: str, detail: str, known: Mapping[str, Any] | None = None) -> None:
        """Refuse the rows of the mask that are still allowed."""
        rows = np.flatnonzero(bad & self.ok)
        if len(rows) == 0:
            return
        self.ok[rows] = False
        for i in rows.tolist():
            head = f"{self.batch.type} {self.batch.subject[i]}".encode()
            source = self.batch.source[i] or ""
            self.out.append(Rejection(i, reason, column, detail, head[:200], source, self.batch.id[i], known or {}))


class Places:
    """Scope row of each event: the scope it names, its place, or its entity's; -1 where none is known."""

    def __init__(self, city: CityLike) -> None:
        self.city, self.scopes, self.entities = city, city.scopes, city.entities
        self._lon, self._lat = Grow(np.float64, np.nan), Grow(np.float64, np.nan)
        self._scope = Grow(np.int32, -1)

    def resolve(self, batch: EventBatch, entity: Int32, refusals: Refusals) -> Int32:
        """Scope rows (int32[n]); refuses unknown scopes and places outside the city's box."""
        scope = np.full(len(batch), -1, np.int32)
        if len(batch.scope.data):
            named = batch.scope.lengths() > 0
            found = self.scopes.rows_of(batch.scope)
            refusals.refuse(named & (found < 0), "unknown_scope", "gridid", "no scope has this code")
            scope = finest(self.scopes, found)
        placed = ~np.isnan(batch.lon) & (scope < 0)
        if placed.any():
            self._locate(batch, entity, placed, scope, refusals)
        known = (scope < 0) & (entity >= 0)
        if known.any():
            own = self.entities.scope[np.where(known, entity, 0)]
            scope = np.where(known, finest(self.scopes, own), scope).astype(np.int32)
        return scope

    def _locate(self, batch: EventBatch, entity: Int32, placed: Bool, scope: Int32, refusals: Refusals) -> None:
        """Fill in the scopes of places; an entity that did not move since its last event is not located again."""
        for column in (self._lon, self._lat, self._scope):
            column.resize(self.entities.n + 1)
        slot = np.where(entity >= 0, entity, self.entities.n)
        same = (self._lon.data[slot] == batch.lon) & (self._lat.data[slot] == batch.lat) & (entity >= 0) & placed
        scope[same] = self._scope.data[slot[same]]
        rows = np.flatnonzero(placed & ~same)
        if len(rows) == 0:
            return
        lon, lat = batch.lon[rows], batch.lat[rows]
        found = self.city.locator.locate(lon, lat)
        scope[rows] = found
        outside = np.zeros(len(batch), np.bool_)
        outside[rows] = (found < 0) & ~self._inside(lon, lat)
        refusals.refuse(outside, "outside_city", "lon", "the place is outside the city's bounding box")
        mine = entity[rows] >= 0
        for column, values in ((self._lon, lat * 0 + lon), (self._lat, lat), (self._scope, found)):
            column.data[entity[rows][mine]] = values[mine]

    def _inside(self, lon: Float64, lat: Float64) -> Bool:
        box = self.city.box
        if box is None:
            return np.ones(len(lon), np.bool_)
        west, south, east, north = box
        inside: Bool = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
        return inside


def finest(scopes: ScopeTree, rows: Int32) -> Int32:
    """Rows that are no grid replaced by the `unlocated` row at the end of their chain, where the tree has one."""
    coarse = np.flatnonzero((rows >= 0) & (scopes.level[np.maximum(rows, 0)] < len(LEVELS) - 1))
    if len(coarse) == 0:
        return rows
    out = rows.copy()
    for row in np.unique(rows[coarse]).tolist():
        end = scopes.unlocated_child(row)
        out[coarse[rows[coarse] == row]] = row if end < 0 else end
    return out


def unknown_scope(scopes: ScopeTree) -> int:
    """Where events without any place are counted."""
    return int(finest(scopes, np.zeros(1, np.int32))[0])


def check_subjects(batch: EventBatch, kind: EventType, entities: Entities, refusals: Refusals) -> tuple[Keys, Int32]:
    """Keys of the subjects and entity rows (-1 none); refuses subjects that the type wants known."""
    keys = hash_strings(batch.subject)
    entity = entities.rows_of(batch.subject)
    if kind.subject == "?":
        return keys, entity
    named = batch.subject.lengths() > 0
    refusals.refuse(named & (entity < 0), "unknown_subject", "subject", "no entity of this code is registered")
    if kind.subject:
        wrong = (entity < 0) | (entities.kind[np.maximum(entity, 0)] != KIND_NUMBER[kind.subject])
        refusals.refuse(wrong, "unknown_subject", "subject", f"the subject must be a registered {kind.subject}")
    return keys, entity


def check_times(batch: EventBatch, kind: EventType, now: int, refusals: Refusals) -> None:
    """Refuse what no clock can mean, is too far ahead of the clock, or older than the horizon."""
    early = "before 1900: a date that was left empty, or a clock that was never set"
    refusals.refuse(batch.time < EARLIEST_MS, "out_of_range", "time", early)
    if kind.name == "case.history":
        _check_history(batch, early, refusals)
    if now <= 0:
        return
    ahead = batch.time > now + kind.future_ms
    refusals.refuse(ahead, "future", "time", f"the time is more than {kind.future_ms // 1000} s ahead of the clock")
    if kind.horizon_ms < ALWAYS:
        old = batch.time < now - kind.horizon_ms
        refusals.refuse(
            old, "horizon", "time", f"older than the {kind.horizon_ms // 3_600_000} h that this type is kept"
        )


def _check_history(batch: EventBatch, early: str, refusals: Refusals) -> None:
    """Refuse records of other systems that end before they begin, or have a time that no clock can mean."""
    times = {name: batch.fields[name] for name in ("created_at", "closed_at", "due_at") if name in batch.fields}
    for name, column in times.items():
        assert isinstance(column, np.ndarray)
        refusals.refuse((column != MISSING) & (column < EARLIEST_MS), "out_of_range", name, early)
    created, closed = times.get("created_at"), times.get("closed_at")
    if isinstance(created, np.ndarray) and isinstance(closed, np.ndarray):
        ended = (created != MISSING) & (closed != MISSING) & (closed < created)
        refusals.refuse(ended, "out_of_range", "closed_at", "the case was closed before it was created")


def check_corrections(batch: EventBatch, kind: EventType, refusals: Refusals) -> Bool:
    """Mask of the corrections; refuses malformed ones."""
    corrects = batch.corrects.lengths() > 0
    bad = np.where(corrects, batch.revision < 1, (batch.revision != 0) | batch.retracted)
    refusals.refuse(bad, "bad_correction", "revision", "a correction names `corrects` and a revision of at least 1")
    if corrects.any():
        own, named = event_keys(batch), original_keys(batch, np.arange(len(batch)))
        itself = corrects & (own.a == named.a) & (own.b == named.b)
        refusals.refuse(itself, "bad_correction", "corrects", "an event cannot correct itself")
    if kind.register:
        refusals.refuse(
            batch.retracted, "bad_correction", "retracted", "a register entry is removed by its remove event"
        )
    return corrects


def check_cases(batch: EventBatch, kind: EventType, cases: CaseTable, before: Knows, refusals: Refusals) -> None:
    """Refuse what would be more events than a case may have; what came before is a duplicate all the same."""
    full = cases.full(kind.name, batch.subject)
    if full.any():
        full &= ~before.knows(event_keys(batch))
        words = f"{WORDS_MAX:,} events; what is no move of its life is not taken any more"
        most = words if kind.name in WORDS else f"{EVENTS_MAX:,} events, no more are taken"
        refusals.refuse(full, "full", "subject", f"the case has {most}")


def event_keys(batch: EventBatch) -> Keys:
    """Key of (source, id)."""
    return combine(hash_coded(batch.source), hash_strings(batch.id))


def original_keys(batch: EventBatch, rows: Int64) -> Keys:
    """Key of (source, corrects) of correction rows."""
    return combine(hash_coded(batch.source.take(rows)), hash_strings(batch.corrects.take(rows)))


def _present(column: Column) -> Bool:
    if isinstance(column, Strings):
        return column.lengths() > 0
    if isinstance(column, Coded):
        return column.codes >= 0
    there: Bool = column != (-1 if column.dtype == np.int8 else MISSING)
    return there


def _fold_present(acc: UInt64, column: Column, place: int) -> None:
    """Mix in the values that are there, with their column's place: a row's hash must not depend on its neighbours."""
    there = _present(column)
    salt = np.uint64(place * 0x9E3779B97F4A7C15 % 2**64)
    if there.all():
        acc ^= salt
        fold(acc, column)
        return
    rows = np.flatnonzero(there)
    if len(rows):
        part = acc[rows] ^ salt
        fold(part, column.take(rows) if isinstance(column, Strings | Coded) else column[rows])
        acc[rows] = part


def fingerprint(batch: EventBatch, kind: EventType, subject: Keys) -> UInt64:
    """64-bit hash of each row's content: same id with another fingerprint is a conflict."""
    acc: UInt64 = subject.a ^ hash_strings(Strings.of([kind.name])).a[0]
    for number in (batch.time, batch.lon, batch.lat):
        fold(acc, number)
    columns: list[Column | None] = [batch.scope, batch.corrects]
    if batch.revision.any():
        columns.append(np.where(batch.revision > 0, batch.revision.astype(np.int64) * 2 + batch.retracted, MISSING))
    else:
        columns.append(None)
    columns += [batch.fields.get(spec.name) for spec in kind.fields]
    for place, column in enumerate(columns, 1):
        if column is not None and not (isinstance(column, Strings) and len(column.data) == 0):
            _fold_present(acc, column, place)
    return acc
