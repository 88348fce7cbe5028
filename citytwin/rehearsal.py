"""A new indicator on real events before it counts: the last hour of a city, written by one process and read by another.

What is written is what the ledgers hold of the types that a text names: live events (corrections have settled), the
newest if there are more than EVENTS_MAX, and the registers. The file is for one check and gone after it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from citytwin.costs import Facts
from citytwin.engine import Engine
from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.api import Spec
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Column, Int32, Int64, Strings
from citytwin.models.vocabulary import EventType, Kind, Vocabulary
from citytwin.streams.pack import pack, unpack
from citytwin.streams.snapshots import Snapshot, read, write
from citytwin.testing import NoLocator
from citytwin.tryout import needed
from citytwin.twin.entities import Entities
from citytwin.twin.growable import GrowText
from citytwin.twin.ledger import Ledger
from citytwin.units import split_state

#: The last hour, and how many events of it at most.
SPAN_MS, EVENTS_MAX = 3_600_000, 200_000
#: A working-out of all scopes that takes longer is refused: a tick has half a second for a hundred indicators.
CALL_MS = 100.0
_REPEATS = 3


class Declared(msgspec.Struct):
    """A source of events that the pack declares: see twin.pack.Source."""

    id: str
    period_s: float
    types: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Recording:
    """Copies of a running engine, taken between two steps; `save` writes them, in any thread."""

    now: int
    timezone: str
    vocabulary: Vocabulary
    codes: list[str]
    states: dict[str, dict[str, Any]]
    batches: list[tuple[EventBatch, Int32]]
    sources: list[Declared]

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(len(b) for b, _ in self.batches)

    def save(self, path: Path) -> None:
        """Write it as one file."""
        arrays, plain = split_state(self.states)
        codes = np.array([*self.codes, ""], dtype=object)
        for i, (batch, scope) in enumerate(self.batches):
            placed = replace(batch, scope=Strings.of(codes[scope].tolist()))
            arrays[f"batch {i}"] = np.frombuffer(pack(placed), np.uint8)
        facts = {"now": self.now, "timezone": self.timezone, "plain": plain}
        facts |= {"vocabulary": msgspec.to_builtins(self.vocabulary), "sources": msgspec.to_builtins(self.sources)}
        write(path, Snapshot(0, arrays, facts), level=0)


def record(engine: Engine, text: str) -> Recording:
    """What the last hour held of the types that a text names; in the engine's thread."""
    wanted = [t for t in engine.vocabulary.types.values() if f'"{t.name}"' in text or f"'{t.name}'" in text]
    families = {t.family for t in engine.vocabulary.types.values() if t.family}
    named = {f for f in families if f'"{f}"' in text or f"'{f}'" in text}
    wanted += [t for t in engine.vocabulary.types.values() if t.family in named and t not in wanted]
    since = engine.now - SPAN_MS
    room, batches = EVENTS_MAX, []
    for kind in wanted:
        found = _rows(engine.ledger_of(kind), kind, since, room)
        if len(found[1]):
            batches.append(found)
            room -= len(found[1])
    sources = [Declared(s.id, float(s.period_s), tuple(s.types)) for s in getattr(engine.city, "sources", ())]
    states = {"scopes": engine.scopes.state(), "entities": engine.entities.state()}
    codes = list(engine.scopes.code)
    return Recording(engine.now, engine.city.timezone, engine.vocabulary, codes, states, batches, sources)


def _rows(ledger: Ledger, kind: EventType, since: int, most: int) -> tuple[EventBatch, Int32]:
    """Live events of a type since a time, the last that came if they are many, and their scope rows (-1 unknown)."""
    move = next(i for i, t in enumerate(ledger.types) if t.name == kind.name)
    hit = ledger.live.data & (ledger.move.data == move) & (ledger.time.data >= since)
    rows = np.flatnonzero(hit)[-most:] if most > 0 else np.zeros(0, np.int64)
    fields = {f.name: _column(ledger, f.name, f.kind, rows) for f in kind.fields}
    batch = EventBatch.of(
        kind.name, ledger.time.data[rows], ledger.id.strings.take(rows),
        Coded(ledger.source.data[rows], ledger.sources.names), ledger.subject.strings.take(rows),
        ledger.lon.data[rows], ledger.lat.data[rows], fields=fields,
    )  # fmt: skip
    return batch, ledger.scope.data[rows]


def _column(ledger: Ledger, name: str, kind: Kind, rows: Int64) -> Column:
    held = ledger.columns[name]
    if isinstance(held, GrowText):
        return held.strings.take(rows)
    if kind is Kind.CODE:
        return Coded(held.data[rows], ledger.names[name].names)
    values: Column = held.data[rows]
    return values


class RecordedCity:
    """The city of a recording, as an engine needs it; without geometry, for every event names its scope."""

    def __init__(self, kept: Snapshot) -> None:
        facts = kept.meta
        parts: dict[str, dict[str, Any]] = {"scopes": {}, "entities": {}}
        for key, value in (*kept.arrays.items(), *facts["plain"].items()):
            part, _, name = key.partition("/")
            if part in parts:
                parts[part][name] = value
        self.name, self.edition, self.timezone = "recording", "", str(facts["timezone"])
        self.vocabulary = msgspec.convert(facts["vocabulary"], Vocabulary)
        self.sources = msgspec.convert(facts["sources"], list[Declared])
        self.scopes, self.entities = ScopeTree.from_state(parts["scopes"]), Entities.from_state(parts["entities"])
        self.box, self.locator = None, NoLocator()


def rehearse(spec: Spec, known: Registry, path: Path, facts: Facts) -> Iterator[tuple[str, str]]:
    """Problems of an indicator with a recording; notes in `facts` how many values it gave."""
    kept = read(path)
    city = RecordedCity(kept)
    engine = Engine(city, Registry([spec, *needed([spec], known)]))
    engine.entities.only_dirty(np.arange(engine.entities.n, dtype=np.int64))
    batches = [unpack(kept.arrays[k].tobytes()) for k in sorted(kept.arrays) if k.startswith("batch ")]
    for batch in batches:
        engine.feed(batch, 0)
    now = int(kept.meta["now"])
    engine.tick(now, 0)
    line = engine.board.lines[spec.id]
    if line.error:
        yield "real events", f"raised {line.error} on the last hour of the city"
        return
    there = int(np.count_nonzero(~np.isnan(line.value)))
    events = sum(map(len, batches))
    wanted = int(np.count_nonzero(engine.scopes.level <= spec.finest))
    facts.notes.append(f"{spec.id}: {events:,} events of the last hour give {there:,} values at {wanted:,} scopes")
    spent = _time(engine, now)
    if spent > CALL_MS:
        yield "cost", f"takes {spent:,.0f} ms to work out the scopes of this city, the budget is {CALL_MS:g}"


def _time(engine: Engine, now: int) -> float:
    """Milliseconds of a processor to work everything out again, the best of some."""
    best = np.inf
    for i in range(_REPEATS):
        engine.board.whole = True
        started = time.thread_time()
        engine.board.evaluate(now + i)
        best = min(best, time.thread_time() - started)
    return float(best * 1000)
