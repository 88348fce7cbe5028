"""The pure step: `feed` takes a batch in, `tick` moves the clock and gives the frame. Nothing else changes state.

No await, clock or randomness in here: time comes with the batch or the tick, ids with the event. Replaying a log gives
equal frames whatever the sizes of its batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin import desking, digests, intake, ruling, showing
from citytwin.annex import Annexes
from citytwin.facts import Counted, Stats, Ticker, ToldUpTo, Watermarks
from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.board import Board
from citytwin.indicators.columns import EntityTable
from citytwin.indicators.outlet import own_scopes
from citytwin.indicators.pulse import Pulse
from citytwin.indicators.registry import Registry
from citytwin.indicators.rules.part import NEVER
from citytwin.indicators.sources import Source
from citytwin.indicators.trend import Trend
from citytwin.intake import CityLike
from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.models.columns import MISSING, Bool, Float64, Int32, Int64, UInt64
from citytwin.models.entities import KINDS
from citytwin.models.frame import Frame, Values
from citytwin.models.hashing import Allocate, Keys, combine, hash_coded
from citytwin.models.shards import DESK_FAMILIES, Ownership
from citytwin.models.vocabulary import ALWAYS, EventType
from citytwin.registers import Registers
from citytwin.revisions import Revisions
from citytwin.twin.cases import CaseTable
from citytwin.twin.growable import Grow
from citytwin.twin.journeys import JourneyTable
from citytwin.twin.ledger import Ledger, absent
from citytwin.twin.tables import NewestTable, Table
from citytwin.units import PerUnit, origin_ms

if TYPE_CHECKING:
    from citytwin.snapshot import Snapshot

_DROP_EVERY_MS = 60_000


class Engine:
    """A city's twin and its indicators, as the fold of batches and ticks."""

    def __init__(
        self, city: CityLike, registry: Registry, *, allocate: Allocate = np.empty, own: Ownership | None = None
    ) -> None:
        """`own`: set where only a part of the city is counted here, or parts are merged (citytwin.cluster)."""
        #: `base`: what is always in force; `registry`: with the plugins that are in force now.
        self.city, self.base, self.registry = city, registry, registry
        self.scopes, self.entities, self.vocabulary = city.scopes, city.entities, city.vocabulary
        self.now = self.position = self.k = 0
        self.own, self.stats = own, Stats()
        self._allocate = allocate
        self._types = list(self.vocabulary.types.values())
        self.places = intake.Places(city)
        self.last_seen = Grow(np.int64, MISSING)
        self.watermarks, self.ticker = Watermarks(), Ticker()
        self.last_drop = 0
        self._make_ledgers()
        self.revisions = Revisions(self._types, self.ledgers, self._change, allocate)
        self._make_tables()
        unknown = intake.unknown_scope(self.scopes)
        self.sources = self._sources()
        self.aggregates = Aggregates(self.sources, self.tables, self.entities, origin_ms(city), unknown, own)
        self.annexes = Annexes(self.aggregates)
        keyed = {t.name: self.ledger_of(t) for t in self._types if t.key}
        links = (self.annexes.relations, self.annexes.linked)
        self.registers = Registers(self.entities, self.vocabulary, keyed, self._change, *links)
        #: Definitions of the log that could not be followed, by file.
        self.troubles: dict[str, str] = {}
        #: Digest of the cases as shards told it, where they are merged.
        self.told_cases: int | None = None
        self.pulse = Pulse(getattr(city, "sources", ()), self._types)
        self.board = Board(list(registry), self.aggregates, self.scopes, self.entities, self.pulse)
        self.trend = Trend(self.scopes)
        (self.desk, self.casework), self.rules = desking.desk_of(self), ruling.book(self)
        #: Of a city in shards: what hears for the rules here, and what the desk was told of by the clock.
        self.ear, self.told = ruling.ear(self), ToldUpTo()

    # Building.

    def _make_ledgers(self) -> None:
        self.ledgers: dict[str, Ledger] = {}
        families: dict[str, list[EventType]] = {}
        for kind in self._types:
            families.setdefault(kind.family or kind.name, []).append(kind)
        for name, kinds in families.items():
            self.ledgers[name] = Ledger(tuple(kinds), {}, self._allocate)

    def ledger_of(self, kind: EventType) -> Ledger:
        """The ledger that holds events of a type."""
        return self.ledgers[kind.family or kind.name]

    def _make_tables(self) -> None:
        self.newest: dict[str, NewestTable] = {}
        for kind in self._types:
            if kind.key:
                self.newest[kind.name] = NewestTable(self.ledger_of(kind), self._per_unit(kind))
        self.cases = CaseTable(self.ledgers["case"]) if "case" in self.ledgers else None
        folded = {k.family: k for k in self._types if k.folded}
        self.journeys = {name: JourneyTable(self.ledgers[name], self._per_unit(kind)) for name, kind in folded.items()}
        kinds: dict[str, Table] = {k: EntityTable(self.entities, k, self.last_seen, self.own) for k in KINDS}
        self.tables: dict[str, Table] = {**kinds, **self.newest, **self.journeys}
        if self.cases is not None:
            self.tables["case"] = self.cases

    def _per_unit(self, kind: EventType) -> Mapping[str, int | Float64]:
        """Steps per unit of each field; an array by property code where the property decides."""
        return PerUnit(self.vocabulary, self.ledger_of(kind), kind)

    def _sources(self) -> dict[str, Source]:
        out: dict[str, Source] = {}
        for name, ledger in self.ledgers.items():
            for i, kind in enumerate(ledger.types):
                alone = len(ledger.types) == 1
                out[kind.name] = Source(ledger, None if alone else i, self._per_unit(kind))
            out.setdefault(name, Source(ledger, None, self._per_unit(ledger.types[0])))
        return out

    # The step.

    def feed(self, batch: EventBatch, position: int) -> Changes:
        """Take events of one type in. Refused rows are named in the answer; the state does not know them."""
        kind = self.vocabulary.types[batch.type]
        if desking.one_by_one(self, batch):
            return desking.feed_each(self, batch, position)
        self.position = max(self.position, position)
        refusals = intake.Refusals(batch, np.ones(len(batch), np.bool_))
        subject, entity = intake.check_subjects(batch, kind, self.entities, refusals)
        intake.check_times(batch, kind, self.now, refusals)
        corrects = intake.check_corrections(batch, kind, refusals)
        if kind.register is not None:
            self.registers.check(batch, kind, refusals)
        if corrects.any():
            self.revisions.check(batch, kind, corrects, self.now, refusals)
        scope = self.places.resolve(batch, entity, refusals)
        if kind.family == "case" and self.cases is not None:
            intake.check_cases(batch, kind, self.cases, self.revisions, refusals)
        desking.admit(self, batch, kind, scope, refusals)
        if not refusals.ok.all():
            rows = np.flatnonzero(refusals.ok)
            batch, subject, entity, scope, corrects = (
                batch.take(rows), subject.take(rows), entity[rows], scope[rows], corrects[rows],
            )  # fmt: skip
        else:
            rows = np.arange(len(batch))
        changes = self._take_in(batch, kind, subject, entity, scope, corrects, refusals, rows)
        for rejection in refusals.out:
            self.stats.refuse(rejection.reason)
        return changes

    def _take_in(
        self, batch: EventBatch, kind: EventType, subject: Keys, entity: Int32, scope: Int32, corrects: Bool,
        refusals: intake.Refusals, origin: Int64,
    ) -> Changes:  # fmt: skip
        """Deduplicate, append to the ledger, let corrections settle, tell all who count."""
        keys, content = intake.event_keys(batch), intake.fingerprint(batch, kind, subject)
        code, fresh = self.revisions.intern(kind, keys)
        late, duplicates = 0, 0
        if fresh.all():
            late = self.watermarks.move(batch)
        else:
            clash = self.revisions.conflicts(kind, code, content, fresh)
            late = self.watermarks.move(batch.take(np.delete(np.arange(len(batch)), clash)) if len(clash) else batch)
            mask = np.zeros(len(refusals.batch), np.bool_)
            mask[origin[clash]] = True
            refusals.refuse(mask, "conflict", "id", "this source and id came before with other content; that one stays")
            self.stats.conflicts += len(clash)
            duplicates = int(np.count_nonzero(~fresh)) - len(clash)
            new = np.flatnonzero(fresh)
            batch, keys, content, subject = batch.take(new), keys.take(new), content[new], subject.take(new)
            entity, scope, corrects = entity[new], scope[new], corrects[new]
        if len(batch):
            self._append(batch, kind, keys, content, subject, entity, scope, corrects)
        corrected, stats = int(corrects.sum()), self.stats
        stats.accepted, stats.duplicates = stats.accepted + len(batch), stats.duplicates + duplicates
        stats.late, stats.corrected = stats.late + late, stats.corrected + corrected
        return Changes(len(batch), duplicates, late, corrected, tuple(refusals.out))

    def _append(
        self, batch: EventBatch, kind: EventType, keys: Keys, content: UInt64, subject: Keys, entity: Int32,
        scope: Int32, corrects: Bool,
    ) -> None:  # fmt: skip
        ledger, revisions = self.ledger_of(kind), self.revisions
        slot = self._slots(batch, kind, subject, entity)
        awaited, chain = revisions.awaited(kind, keys, ~corrects)
        live = ~corrects
        live[awaited] = False
        rows = ledger.append(batch, keys, content, slot, entity, scope, live)
        if kind.family == "case" and self.cases is not None:
            self.cases.link(ledger.at(rows))
        elif kind.folded:
            self.journeys[kind.family].link(ledger.at(rows))
        self._change(kind, ledger, ledger.at(rows[live]), 1)
        if len(awaited) or corrects.any():
            revisions.settle(batch, kind, rows, awaited, chain, corrects)
        if kind.register is not None:
            self.registers.apply(batch, kind, scope, self.now)
        self.ticker.note(batch, scope)
        self.pulse.note(batch)

    def _slots(self, batch: EventBatch, kind: EventType, subject: Keys, entity: Int32) -> Int32:
        if kind.family == "case" and self.cases is not None:
            return self.cases.slots(subject, batch.subject)
        if kind.folded:
            return self.journeys[kind.family].slots(subject)
        if not kind.key:
            return np.full(len(batch), -1, np.int32)
        # what a log tells may be older than a field that its type is kept by now
        told = [batch.fields.get(n, absent(kind.field(n), len(batch))) for n in kind.key if n != "subject"]
        parts = [hash_coded(column) for column in told]  # type: ignore[arg-type]
        return self.newest[kind.name].slots(combine(subject, *parts), subject, entity)

    def _change(self, kind: EventType, ledger: Ledger, index: Int64, sign: int) -> None:
        """Ledger rows begin (+1) or cease (-1) to count; `live` is set before anybody looks."""
        if len(index) == 0:
            return
        ledger.live.data[index] = sign > 0
        ruling.note(self, kind, ledger, index, sign)
        if kind.name in self.newest:
            slots = self.newest[kind.name].apply(index, sign)
            if kind.name not in DESK_FAMILIES:  # what people say of a unit is no sign of life of a thing
                self._saw(self.newest[kind.name], slots, sign)
        elif kind.family == "case" and self.cases is not None:
            self.cases.apply(index, sign)
        elif kind.folded:
            self.journeys[kind.family].apply(index)
        if self.own is not None and kind.register is not None:  # registers are everywhere, and counted once
            index = self.own.pick(ledger.subject.strings, index)
        if len(index):
            self.annexes.apply(ledger, index, sign, self.above())

    def _saw(self, table: NewestTable, slots: Int64, sign: int) -> None:
        """Keep the time of each entity's newest event."""
        self.last_seen.resize(self.entities.n)
        if sign < 0:
            self._see_again(table.entity.data[slots])
            return
        entity, time = table.entity.data[slots], table.now.time.data[slots]
        known = entity >= 0
        np.maximum.at(self.last_seen.data, entity[known], time[known])
        self.annexes.mark_entities(entity[known].astype(np.int64))

    def _see_again(self, entity: Int32) -> None:
        """After retractions: the newest event of these entities over all tables, in one pass over their slots."""
        rows = np.unique(entity[entity >= 0]).astype(np.int64)
        self.last_seen.data[rows] = MISSING
        wanted = np.zeros(self.entities.n + 1, np.bool_)  # the last stands for slots without an entity
        wanted[rows] = True
        for name, each in self.newest.items():
            if name in DESK_FAMILIES:
                continue
            owner = each.entity.data
            hit = np.flatnonzero(wanted[owner])
            np.maximum.at(self.last_seen.data, owner[hit], each.now.time.data[hit])
        self.annexes.mark_entities(rows)

    # The clock.

    def above(self) -> Int32:
        """What each scope's totals are added to (int32[n, levels]); a shard adds to the scope itself only."""
        whole = self.own is None or self.aggregates.merged
        return self.scopes.ancestors() if whole else own_scopes(len(self.scopes))

    def tick(self, now: int, position: int) -> Frame:
        """Move the clock to `now` (never back) and give what changed since the last tick."""
        return self.publish(self.count(now, position))

    def count(self, now: int, position: int) -> Counted:
        """The first half of a tick: move the clock, fold, drop, and let the aggregates follow."""
        self.now, self.position, self.k = max(self.now, now), max(self.position, position), self.k + 1
        refused = self._settle_cases()
        for journeys in self.journeys.values():
            journeys.settle()
        self._drop_old()
        rows = self._dirty_rows()
        if len(self.scopes) > len(self.board.none):
            self.board.resize()
        self.annexes.tick(self.now, rows, self.above())
        return Counted(rows, refused)

    def publish(self, counted: Counted) -> Frame:
        """The second half: values of all indicators by what the aggregates hold now."""
        values = self.board.evaluate(self.now)
        self.trend.record(self.now, self.board)
        desking.tick(self)
        return showing.frame(self, counted, values)

    def _settle_cases(self) -> tuple[Rejection, ...]:
        self.revisions.give_up(self.now)
        refused, self.revisions.refused = self.revisions.refused, []
        refused += self._illegal_moves()
        for rejection in refused:
            self.stats.refuse(rejection.reason)
        return tuple(refused)

    def _illegal_moves(self) -> list[Rejection]:
        """Fold the cases that changed; moves that none could make."""
        if self.cases is None:
            return []
        self.cases.settle()
        ledger, refused = self.ledgers["case"], list[Rejection]()
        for at in self.cases.take_illegal(self.now).tolist():
            name = ledger.types[int(ledger.move.data[at])].name
            case = ledger.subject.strings[at]
            source = ledger.sources.names[int(ledger.source.data[at])]
            detail = f"case {case} cannot make the move {name} from the state it was in"
            refused.append(Rejection(-1, "illegal_move", "type", detail, case.encode(), source, ledger.id.strings[at]))
        return refused

    def _dirty_rows(self) -> dict[str, Int64]:
        changed = self.entities.take_dirty()
        self.annexes.mark_entities(changed)
        if len(changed) > 0:
            touched = np.zeros(self.entities.n + 1, np.bool_)
            touched[changed] = True
            for newest in self.newest.values():
                newest.dirty.mark(np.flatnonzero(touched[newest.entity.data]))
        return {name: table.take_dirty() for name, table in self.tables.items()}

    def _drop_old(self) -> None:
        """Now and then forget ledger rows that the horizon has passed, and their ids."""
        if self.now - self.last_drop < _DROP_EVERY_MS:
            return
        self.last_drop = self.now
        dropped = 0
        for ledger in self.ledgers.values():
            horizon = max(t.horizon_ms for t in ledger.types)
            if horizon >= ALWAYS:
                continue
            gone = ledger.drop_before(self.now - horizon - self.annexes.reach_ms(ledger))
            if len(gone) < max(4096, ledger.time.n // 4):
                continue
            for kind in ledger.types:
                if kind.name in self.newest:
                    self.newest[kind.name].drop(len(gone))
            ledger.drop(len(gone))
            self.revisions.forget(ledger, ledger.base)
            dropped += len(gone)
        if dropped:
            self.revisions.rebuild()

    def define(self, name: str, document: Mapping[str, Any], position: int) -> None:
        """Do what a definition of the log says: see citytwin.swap."""
        from citytwin import swap

        self.position = max(self.position, position)
        swap.define(self, name, document)

    def next_due(self) -> int:
        """Earliest pane edge or deadline after now: where a tick can change a value without an event."""
        rules = self.rules.next_due() if self.rules is not None else NEVER
        due = (self.annexes.next_due(), self.pulse.next_due(self.now), self.board.next_edition(self.now), rules)
        return max(min(due), self.now + 1)

    # What is shown.

    def current(self, indicator_id: str) -> Values:
        """Newest values of an indicator at all scopes that have one. KeyError for an unknown id."""
        return self.board.current(indicator_id)

    # Equality, snapshots.

    def frame_hash(self) -> str:
        """Hash of all values and qualities by scope, and of all cases: what two runs of one log must agree on."""
        return digests.frame_hash(self)

    def cases_digest(self) -> int:
        """Sum of the hashes of all cases; where shards are merged, as they told it."""
        if self.told_cases is not None:
            return self.told_cases
        return self.cases.digest() if self.cases is not None else 0

    def snapshot(self) -> Snapshot:
        """Copies of all state as arrays and plain values: see citytwin.snapshot."""
        from citytwin.snapshot import take

        return take(self)

    def state_hash(self) -> str:
        """Hash of the twin: entities, newest events, cases, ids, and the work that waits for the next tick."""
        return digests.state_hash(self)
