"""A tiny city and random events of any declared type: for tests of indicators, ours and yours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from citytwin.geo.scopes import GRID, ScopeTree
from citytwin.indicators.api import Spec
from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Coded, Column, Int32, Int64, Strings
from citytwin.models.entities import KINDS
from citytwin.models.events import VOCABULARY
from citytwin.models.vocabulary import EventType, Field, Kind, Vocabulary
from citytwin.twin.entities import Entities

#: The time at which `tiny_city` tests begin: 2026-07-08 14:00 UTC.
START_MS = 1_783_519_200_000


class NoLocator:
    """Finds nothing: the tiny city has no geometry."""

    def locate(self, lon: Any, lat: Any) -> Any:
        """-1 for every place."""
        del lat
        return np.full(len(lon), -1, np.int32)


class TinyCity:
    """2 districts x 2 streets x 2 communities x 2 grids, and 32 devices D00 ... D31 on the grids in turn.

    `kinds`: these kinds of entities have random attributes, 32 each, as in facility00 ... facility31; codes are taken
    from `words` where a field has no choices of its own. Device i observes facility i where there are both.
    """

    def __init__(
        self, vocabulary: Vocabulary | None = None, kinds: Sequence[str] = (), words: Sequence[str] = ()
    ) -> None:
        self.name, self.title, self.timezone, self.edition = "tiny", {"zh": "小城", "en": "Tiny"}, "Asia/Shanghai", "1"
        self.vocabulary = vocabulary or VOCABULARY()
        self.scopes, self.box, self.locator = ScopeTree(), None, NoLocator()
        self.scopes.add("420100", "小城", -1, name_en="Tiny")
        level = [("420100", 0)]
        for digits in (2, 3, 3, 3):
            below = [
                (f"{code[:-2] if digits == 2 else code}{i:0{digits}d}", row) for code, row in level for i in (1, 2)
            ]
            level = [(code, self.scopes.add(code, code, row)) for code, row in below]
        self.scopes.complete()
        self.entities = Entities()
        grids = np.array([row for _, row in level], np.int32)
        n = 32
        self.entities.upsert(
            "device", Strings.of([f"D{i:02d}" for i in range(n)]), grids[np.arange(n) % len(grids)], np.full(n, np.nan),
            np.full(n, np.nan), {"period_s": np.full(n, 60.0), "in_service": np.ones(n, np.int8)},
            np.zeros(n, np.int64),
        )  # fmt: skip
        self._add_kinds(kinds, words, grids)

    def _add_kinds(self, kinds: Sequence[str], words: Sequence[str], grids: Int32) -> None:
        rng, n = np.random.Generator(np.random.Philox(key=5)), 32
        at = np.full(n, START_MS)
        for kind in sorted(kinds, key=lambda kind: kind == "device"):  # what is observed comes first
            # texts and relations name other entities; nobody counts them
            fields = [f for f in KINDS[kind].fields if f.kind not in (Kind.TEXT, Kind.SECRET)]
            attrs = {f.name: _column(f, n, rng, at, words) for f in fields if f.name not in _PLAIN}
            codes = Strings.of(subjects_of(kind))
            nowhere = np.full(n, np.nan)
            scope = grids[np.arange(n) % len(grids)]
            if kind == "device" and "facility" in kinds:
                attrs["observes"] = Strings.of(subjects_of("facility"))
            self.entities.upsert(kind, codes, scope, nowhere, nowhere, attrs, np.zeros(n, np.int64))

    def grid_codes(self) -> list[str]:
        """Codes of the sixteen grids."""
        tree = self.scopes
        return [tree.code[r] for r in range(len(tree)) if tree.level[r] == GRID and not tree.unlocated[r]]


#: Attributes that stay as they are: every device of the tiny city serves and sends once a minute.
_PLAIN = ("synthetic", "period_s", "in_service")


def subjects_of(kind: str) -> list[str]:
    """Codes of the 32 entities of a kind in the tiny city; subject i lies in grid i modulo 16."""
    return [f"D{i:02d}" if kind == "device" else f"{kind}{i:02d}" for i in range(32)]


def _column(field: Field, n: int, rng: np.random.Generator, at: Int64, words: Sequence[str] = ()) -> Column:
    """Random values of a field, one in ten absent where it may be; `words` are codes that somebody asks for."""
    gone = np.zeros(n, np.bool_) if field.required else rng.random(n) < 0.1
    if field.kind is Kind.CODE:
        names = field.choices or tuple(dict.fromkeys(("a", "b", *words)))
        return Coded(np.where(gone, -1, rng.integers(0, len(names), n)).astype(np.int32), names)
    if field.kind in (Kind.TEXT, Kind.SECRET):
        return Strings.of([f"k{i}" for i in rng.integers(0, 20, n)])
    if field.kind is Kind.FLAG:
        return np.where(gone, -1, rng.integers(0, 2, n)).astype(np.int8)
    if field.kind is Kind.TIME:
        return np.where(gone, MISSING, at + rng.integers(-3_600_000, 3_600_000, n))
    lo, hi = field.lo if field.lo is not None else 0, field.hi if field.hi is not None else 1000
    steps = rng.integers(int(lo * field.per_unit), int(min(hi, lo + 1000) * field.per_unit) + 1, n)
    return np.where(gone, MISSING, steps)


def random_events(
    city: TinyCity, kind: EventType, n: int, rng: np.random.Generator, *, span_ms: int = 7_200_000,
    properties: Iterable[str] = (), prefix: str = "e", words: Sequence[str] = (), grids: Sequence[int] = (),
) -> EventBatch:  # fmt: skip
    """n events of a type within `span_ms` before START_MS, on the devices or grids of the tiny city.

    `grids`: only of subjects that lie in the grids with these numbers, and there; () = any subject in any grid.
    """
    time = START_MS - rng.integers(0, span_ms, n).astype(np.int64)
    # a revision is what a command of a person knew, and no reading or record has one
    fields = {f.name: _column(f, n, rng, time, words) for f in kind.fields if f.name != "rev"}
    names = tuple(properties) or tuple(city.vocabulary.properties)
    if "property" in fields:
        codes = rng.integers(0, len(names), n).astype(np.int32)
        fields["property"] = Coded(codes, names)
        lo, hi, steps = (
            np.array([getattr(city.vocabulary.properties[p], a) for p in names]) for a in ("lo", "hi", "per_unit")
        )
        span = np.minimum(hi, lo + 300)
        fields["value"] = np.rint((lo[codes] + rng.random(n) * (span - lo)[codes]) * steps[codes]).astype(np.int64)
    number, place = rng.integers(0, 32, n), rng.integers(0, 16, n)
    if len(grids):
        here = np.flatnonzero(np.isin(np.arange(32) % 16, np.array(grids)))
        number = rng.choice(here, n)
        place = number % 16
    known = "subject" in kind.key or kind.subject != "?"
    entities = subjects_of(kind.subject if kind.subject in KINDS else "device")
    subject = [entities[i] if known else f"S{i}" for i in number.tolist()]
    found = city.grid_codes()
    scope = [found[i] for i in place.tolist()]
    return EventBatch.of(
        kind.name, time, [f"{prefix}{i}" for i in range(n)], subject=subject, scope=scope, fields=fields
    )


def types_of(spec: Spec, vocabulary: Vocabulary) -> list[EventType]:
    """Event types that an indicator reads, through events or through tables of newest events."""
    names = {a.table for a in spec.params.values()} | {t for t, _ in spec.feeds}
    if "device" in names:  # its rows know when they were last heard
        names.add("device.status")
    return [t for t in vocabulary.types.values() if t.name in names or t.family in names]


def words_of(spec: Spec) -> list[str]:
    """Texts that an indicator compares codes with, so that random events hold them (at most 24)."""
    exprs = [e for a in spec.params.values() for e in (a.value, a.where, a.start, a.end, a.at, a.weight)]
    exprs += [e for a in spec.params.values() for _, e in a.columns]
    found = dict.fromkeys(t for e in exprs if e is not None for t in re.findall(r"'([^']{1,60})'", repr(e)))
    return list(found)[:24]


def kinds_of(spec: Spec, vocabulary: Vocabulary) -> list[str]:
    """Kinds of entities that an indicator reads: tables of its tallies, subjects of its events, what these observe."""
    tables = {a.table for a in spec.params.values()} | {t for t, _ in spec.feeds}
    if "ent.observes." in repr([(a.where, a.value, a.columns) for a in spec.params.values()]):
        tables |= {"device", "facility"}
    return sorted((tables | {t.subject for t in types_of(spec, vocabulary)}) & set(KINDS))


def properties_of(spec: Spec, vocabulary: Vocabulary) -> list[str]:
    """Observed properties that an indicator names."""
    texts = " ".join(repr((a.where, a.value)) for a in spec.params.values()) + repr(spec.feeds)
    return [p for p in vocabulary.properties if f"'{p}'" in texts]
