"""One shard of a city, pure: batches in, at each marker a part out. The same engine as in one process.

Registers are in every shard, and take effect at markers: what they held when the clock wrote it is the same for all.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from citytwin import desking
from citytwin.cluster.fitting import fitting, of_registers
from citytwin.engine import Engine
from citytwin.facts import CASES_MAX, Counted, Stats
from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.outlet import Outlet
from citytwin.indicators.registry import Registry
from citytwin.intake import CityLike
from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.models.columns import Coded
from citytwin.models.hashing import Allocate
from citytwin.models.part import Marker, Part
from citytwin.models.shards import DESK, Ownership
from citytwin.models.telling import Telling
from citytwin.showing import case_deltas, open_cases, seen_entities
from citytwin.snapshot import Snapshot, definitions, restore, take
from citytwin.streams.records import Definition, Events
from citytwin.streams.tellings import heard_plain

#: A record of the registers; a Rejection stands for one that cannot be read.
Register = Events | Definition | Rejection


class Gap(ValueError):
    """A marker or record is missing before this one: going on would lose what lies between."""


class Marked(NamedTuple):
    """What a marker brought: the part, and events fed before that turned out to be illegal."""

    part: Part
    refused: tuple[Rejection, ...]


class Shard:
    """The engine of one shard. Feeding and marking are all that changes it."""

    def __init__(
        self, city: CityLike, registry: Registry, shard: int, shards: int, *, allocate: Allocate = np.empty,
        engine: Engine | None = None, digests: bool = False,
    ) -> None:  # fmt: skip
        """`shard`: its number, or DESK, of `shards` in all. `engine`: one that was restored.

        `digests`: tell a hash of all cases whenever one changed, so that frames can be compared.
        """
        self.shard, self.shards, self._digests = shard, shards, digests
        self.engine = engine or Engine(city, registry, allocate=allocate, own=Ownership(shard, shards))
        #: Offset in the registers up to which they are in force here.
        self.registers = 0
        self.outlet = Outlet(lambda: every(self.engine))
        self.outlet.begin()
        #: What the parts were counted by: parts of other indicators, vocabulary or pack do not add up with these.
        self.definitions = short_hash(definitions(self.engine.city, self.engine.base))
        self._told: dict[str, dict[str, Any]] = {}

    def feed(self, batch: EventBatch, position: int) -> Changes:
        """Take events of one type in; see Engine.feed."""
        return self.engine.feed(batch, position)

    def take_in(self, batch: EventBatch, position: int) -> Changes:
        """Feed what of a record belongs here; what does not is counted, and refused with the rest."""
        good, strays = fitting(batch, self.engine.vocabulary, self.shard, self.shards)
        self.leave_out(strays)
        changes = self.feed(good, position) if len(good) else Changes(0, 0, 0, 0)
        return dataclasses.replace(changes, rejected=(*strays, *changes.rejected))

    def tell(self, telling: Telling) -> bool:
        """Tell the desk what the clock found at a marker; False for what it was told before, or is not told yet."""
        return desking.tell(self.engine, telling)

    def leave_out(self, rejections: Iterable[Rejection]) -> None:
        """Count what cannot be fed."""
        for rejection in rejections:
            self.engine.stats.refuse(rejection.reason)

    def mark(self, marker: Marker, registers: Iterable[Register], position: int) -> Marked:
        """End a segment: put registers in force, tick, say what changed. Raises Gap for a marker out of turn."""
        engine = self.engine
        if marker.k != engine.k + 1:
            raise Gap(f"shard {self.shard} waits for marker {engine.k + 1} and got {marker.k}")
        bad = put_in_force(engine, registers)
        self.registers = max(self.registers, marker.registers)
        counted = engine.count(marker.now, position)
        share = self.outlet.take(engine.now)
        part = Part(self.shard, marker.k, engine.now, share, self._facts(counted), self._newest(counted))
        # every shard refuses the same of the registers; one of them tells
        return Marked(part, (*counted.refused, *bad) if self.shard == DESK else counted.refused)

    def _facts(self, counted: Counted) -> dict[str, Any]:
        engine = self.engine
        cases = counted.rows.get("case", np.zeros(0, np.int64))
        facts: dict[str, Any] = {
            "definitions": self.definitions,
            "stats": {name: getattr(engine.stats, name) for name in Stats.__slots__},
            "watermarks": self._news("watermarks", engine.watermarks.times),
            "pulse": self._news("pulse", engine.pulse.times),
            "feeds": self._news("feeds", {f: sorted(map(str, s)) for f, s in _feeds(engine).items()}),
            "ticker": list(engine.ticker.take()),
            "broken": {f: a.broken for f, a in engine.annexes.by_file.items() if a.broken},
        }
        if engine.ear is not None:
            facts["heard"] = heard_plain(engine.ear.take())
        if self.shard == DESK:
            cases = desking.mark(engine, cases)
            facts["told"] = engine.told.k
            facts["desk"] = engine.desk.changed() if engine.desk is not None else {}
            facts["cases"] = list(case_deltas(engine, cases))
            facts["cases_skipped"] = len(cases) if len(cases) > CASES_MAX else 0
            if facts["cases_skipped"]:  # a bulk import: who keeps the open ones is told all of them
                facts["cases_open"] = open_cases(engine)
            if len(cases) or engine.k == 1:
                facts["cases_by_state"] = engine.cases.count_by_state() if engine.cases is not None else {}
                facts["cases_digest"] = engine.cases_digest() if self._digests else None
        return facts

    def _news(self, name: str, now: Mapping[str, Any]) -> dict[str, Any]:
        """Entries that differ from what was said last."""
        before = self._told.get(name, {})
        news = {k: v for k, v in now.items() if before.get(k) != v}
        if news:
            self._told[name] = {**before, **news}
        return news

    def _newest(self, counted: Counted) -> dict[str, NDArray[Any] | Coded]:
        """Newest readings of the entities of which one changed, with when each was last heard."""
        rows = seen_entities(self.engine, counted.rows)
        if len(rows) == 0:
            return {}
        table = self.engine.newest["obs"]
        wanted = np.zeros(self.engine.entities.n + 1, np.bool_)
        wanted[rows] = True
        slots = np.flatnonzero(wanted[table.entity.data] & (table.now.row.data >= 0))
        value, prop = table.column("value", slots), table.column("property", slots)
        assert isinstance(value, np.ndarray)
        assert isinstance(prop, Coded)
        self.engine.last_seen.resize(self.engine.entities.n)
        return {
            "row": rows, "seen": self.engine.last_seen.data[rows],
            "entity": table.entity.data[slots], "property": prop, "value": value,
        }  # fmt: skip

    # Checkpoints

    def snapshot(self) -> Snapshot:
        """All state after a marker, as arrays and plain values."""
        held = take(self.engine, hashed=False)  # the file's own checksum says whether it is whole
        own = {"shard": self.shard, "shards": self.shards, "registers": self.registers, "forms": self.outlet.state()}
        return held._replace(meta={**held.meta, "cluster": own})

    @classmethod
    def restore(
        cls, city: CityLike, registry: Registry, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any],
        shard: int, shards: int, *, allocate: Allocate = np.empty, digests: bool = False,
    ) -> Self:  # fmt: skip
        """The shard that `snapshot` copied.

        Raises DefinitionsChanged; ValueError for another shard or number of them.
        """
        own = meta["cluster"]
        if (own["shard"], own["shards"]) != (shard, shards):
            raise ValueError(
                f"the checkpoint is of shard {own['shard']} of {own['shards']}, not of {shard} of {shards}; another "
                "number of shards is another epoch: `citytwin reshard` makes it"
            )
        engine = restore(city, registry, arrays, meta, allocate=allocate, own=Ownership(shard, shards))
        for _, aggregates in every(engine):
            aggregates.settle_counts(
                engine.now, engine.above()
            )  # what is made anew from the checkpoint was told before it
        found = cls(city, registry, shard, shards, engine=engine, digests=digests)
        found.registers = own["registers"]
        found.outlet.load(own["forms"])
        return found


def short_hash(document: Mapping[str, str]) -> str:
    """A short name for definitions."""
    return hashlib.blake2b(repr(sorted(document.items())).encode(), digest_size=8).hexdigest()


def put_in_force(engine: Engine, registers: Iterable[Register]) -> list[Rejection]:
    """Apply records of the registers, and tell what of them is refused: by everybody alike.

    They are counted in the statistics of the one who merges, and nowhere else.
    """
    stats, refused = engine.stats, list[Rejection]()
    kept = dataclasses.replace(stats, rejected=dict(stats.rejected))
    for record in registers:
        if isinstance(record, Definition):
            engine.define(record.name, record.document, engine.position)
            continue
        bad = [record] if isinstance(record, Rejection) else of_registers(record.batch, engine.vocabulary)
        for rejection in bad:
            engine.stats.refuse(rejection.reason)
        if isinstance(record, Events) and not bad:
            bad = list(engine.feed(record.batch, engine.position).rejected)
        refused += bad
    if not engine.aggregates.merged:
        engine.stats = kept
    return refused


def every(engine: Engine) -> Iterator[tuple[str, Aggregates]]:
    """All aggregates that are counted, by the plugin file that they belong to."""
    yield "", engine.aggregates
    yield from ((f, a.aggregates) for f, a in engine.annexes.by_file.items() if not a.broken)


def _feeds(engine: Engine) -> dict[str, Any]:
    return msgspec.convert(engine.pulse.state()["feeds"], dict[str, list[str]])
