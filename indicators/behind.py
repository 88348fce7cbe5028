"""The events behind rows of tables: newest events with their siblings, whole cases and folded families, registers.

A table means something else when only some of the events are there: an older reading counts where the newest is not
among them, a case with half its moves is open again. `complete` adds what prevents it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from citytwin.indicators.api import Aggregate
from citytwin.indicators.buckets import value_of
from citytwin.indicators.columns import EntityTable
from citytwin.indicators.evidence import first_of, last_of, sorted_once
from citytwin.indicators.sight import READ, Outlook, refs_of, siblings_of
from citytwin.indicators.tally import Tally
from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int64, Strings
from citytwin.models.hashing import hash_strings
from citytwin.twin.ledger import Ledger
from citytwin.twin.tables import NewestTable


class Behind:
    """Adds to an outlook's evidence what rows of tables rest on."""

    def __init__(self, outlook: Outlook) -> None:
        self.outlook, self.sight, self.evidence = outlook, outlook.sight, outlook.evidence
        #: Tables of newest events that expressions read, with the properties that they read beside.
        self._read: dict[str, set[str]] = {}
        self._folded: set[str] = set()
        self._seen = False

    # What declarations ask for.

    def tally(self, tally: Tally, owners: set[str], label: str, fine: bool) -> None:
        """The rows that count at the scope now; `fine`: extremes of each own scope below."""
        rows, agg = np.flatnonzero(tally.contrib.data != MISSING), tally.spec
        rows = rows[self.outlook.below[tally.where_at.data[rows]]]
        stored = tally.contrib.data[rows]
        amount = stored * (-1 if agg.reduce == "min" else 1) / agg.per_unit
        if agg.reduce == "quantile":
            amount = value_of(stored)
        elif agg.reduce == "sum":
            rows, amount = rows[stored != 0], amount[stored != 0]
        else:
            groups = tally.where_at.data[rows].astype(np.int64) if fine else np.zeros(len(rows), np.int64)
            kept = self._best(agg.table, rows, stored, groups)
            rows, amount = rows[kept], amount[kept]
        self._rest_on(agg, rows, amount, owners, label)

    def rows(self, agg: Aggregate, owners: set[str], label: str) -> None:
        """The rows that a class form asks for, as far as they lie below or are said of all that is above."""
        found = self.sight.aggregates.rows(agg, self.sight.now)
        mine = found.row[self.outlook.said[found.scope]]
        self._rest_on(agg, mine, np.ones(len(mine)), owners, label)

    def datastreams(self, prop: str, owners: set[str], label: str) -> None:
        """The newest reading of each datastream of a property, and the devices that declare any."""
        slots, entities = self.streams(prop), self.sight.entities
        self.newest("obs", slots, np.full(len(slots), READ), owners, label)
        said = entities.attr("properties")
        assert isinstance(said, Coded)
        told = np.array([prop in text.split() or not prop for text in said.names] + [False])
        entity = self.sight.tables["obs"].entities(slots).astype(np.int64)
        rows = np.union1d(np.flatnonzero(told[said.codes]), entity[entity >= 0])
        rows = rows[self.outlook.inside(rows)]
        names = ("in_service", "period_s", "properties", "valid_to")
        self.evidence.state(owners, label, rows, np.full(len(rows), READ), names)

    def _best(self, table: str, rows: Int64, stored: Int64, groups: Int64) -> Int64:
        """Places of the rows that hold the largest stored number of their group; of equals the first in order."""
        if len(rows) == 0:
            return rows
        best = np.full(int(groups.max()) + 1, MISSING, np.int64)
        np.maximum.at(best, groups, stored)
        held = np.flatnonzero(stored == best[groups])
        keys = {int(h): self._order_of(table, int(rows[h])) for h in held}
        chosen: dict[int, int] = {}
        for h in sorted(keys, key=keys.__getitem__):
            chosen.setdefault(int(groups[h]), h)
        return np.array(sorted(chosen.values()), np.int64)

    def _order_of(self, table: str, row: int) -> tuple[int, str, str]:
        """What orders rows of a table whatever the order of arrival: their first event, or the code of an entity."""
        place = self.outlook.place_behind(table)
        if not place:
            return 0, "", self.sight.entities.code(row)
        index = self._live_of(table, np.array([row], np.int64))
        if len(index) == 0:
            return MISSING, "", str(row)
        ledger = self.sight.ledgers[place]
        at = int(first_of(ledger, index, np.zeros(len(index), np.int64))[0])
        source = ledger.sources.names[int(ledger.source.data[at])]
        return int(ledger.time.data[at]), source, ledger.id.strings[at]

    def _rest_on(self, agg: Aggregate, rows: Int64, amount: Float64, owners: set[str], label: str) -> None:
        table, reads = self.sight.tables[agg.table], refs_of(agg)
        if isinstance(table, EntityTable):
            names = {name.partition(".")[0] for space, name in reads if space == "row"} - {"last_seen"}
            self.evidence.state(owners, label, rows, amount, tuple(sorted(names)))
            self.outlook.follow(agg, rows, owners, "row")
            if ("row", "last_seen") in reads:
                self._seen = True
                self.last_words(rows, owners)
        elif isinstance(table, NewestTable):
            self._read.setdefault(agg.table, set()).update(siblings_of(agg))
            self.newest(agg.table, rows, amount, owners, label)
            self._siblings(agg.table, rows, siblings_of(agg), owners)
        else:
            self._folded.add(agg.table)
            self._whole(agg.table, rows, amount, owners, label)
        self.outlook.follow(agg, table.entities(rows).astype(np.int64), owners)

    # Rows to events.

    def newest(self, name: str, slots: Int64, amount: Float64, owners: set[str], label: str) -> None:
        """The newest event of each slot; of one that is no longer in the ledger the slot itself."""
        table = self.sight.tables[name]
        assert isinstance(table, NewestTable)
        place = self.outlook.place_behind(name)
        base, held = self.sight.ledgers[place].base, table.now.row.data[slots]
        here, gone = held >= base, (held >= 0) & (held < base)
        self.evidence.add(owners, label, place, held[here] - base, amount[here])
        if gone.any():
            self.evidence.add(owners, label, name, slots[gone], amount[gone], lost=True)
            self.outlook.note(f"newest events of {name} that are older than events are kept are told without their id")

    def _siblings(self, name: str, slots: Int64, props: Iterable[str], owners: set[str]) -> None:
        """The newest readings of other properties of the same subjects."""
        table = self.sight.tables[name]
        assert isinstance(table, NewestTable)
        for prop in sorted(props) if len(slots) else ():
            other = table.siblings(slots, hash_strings(Strings.of([prop])))
            other = sorted_once(other)
            other = other[table.present(other)]
            self.newest(name, other, np.full(len(other), READ), owners, "")

    def _whole(self, name: str, rows: Int64, amount: Float64, owners: set[str], label: str) -> None:
        """Every live event of the rows of a folded table; the last of each carries what the row contributes."""
        place = self.outlook.place_behind(name)
        ledger, index = self.sight.ledgers[place], self._live_of(name, rows)
        told, last = np.full(len(index), READ), last_of(ledger, index, ledger.slot.data[index].astype(np.int64))
        beside = np.argsort(rows, kind="stable")
        at = beside[np.searchsorted(rows, ledger.slot.data[last], sorter=beside)]
        told[np.searchsorted(index, last)] = amount[at]
        self.evidence.add(owners, label, place, index, told)

    def _live_of(self, name: str, rows: Int64) -> Int64:
        """Live events of rows of a table (array indices)."""
        source = self.sight.aggregates.source(name)
        ledger = source.ledger
        wanted = np.zeros(self.sight.tables[name].n + 1, np.bool_)  # the last stands for events of no row
        wanted[rows] = True
        return source.pick(np.flatnonzero(ledger.live.data & wanted[_within(ledger, len(wanted))]))

    def last_words(self, rows: Int64, owners: set[str]) -> None:
        """The newest event of each entity, of whatever type: that of which `last_seen` is the time."""
        self.sight.last_seen.resize(self.sight.entities.n)
        seen, wanted = self.sight.last_seen.data, np.zeros(self.sight.entities.n + 1, np.bool_)
        wanted[rows] = True
        for name, table in sorted(self.sight.tables.items()):
            if not isinstance(table, NewestTable) or table.n == 0 or not wanted.any():
                continue
            owner = table.entity.data
            slots = np.flatnonzero(wanted[owner] & table.present(np.arange(table.n)))
            slots = slots[table.now.time.data[slots] == seen[owner[slots]]]
            _, first = np.unique(owner[slots], return_index=True)
            self.newest(name, slots[first], np.full(len(first), READ), owners, "")
            wanted[owner[slots]] = False

    def streams(self, prop: str) -> Int64:
        """Slots of the table of newest readings that are inputs of a property ("" = all) below."""
        table = self.sight.tables["obs"]
        assert isinstance(table, NewestTable)
        slots = np.arange(table.n, dtype=np.int64)
        if table.n == 0:
            return slots
        codes, names = table.codes("property")
        mine = np.ones(table.n, np.bool_) if prop == "" else codes == (names.index(prop) if prop in names else -2)
        entity = table.entity.data.astype(np.int64)
        here: Bool = self.outlook.below[self.outlook.placed(table.now.scope.data)]
        return slots[mine & table.present(slots) & np.where(entity >= 0, self.outlook.inside(entity), here)]

    # What keeps it true.

    def complete(self) -> None:
        """Add newest events where older ones are there, whole rows where some of their events are, until none lacks."""
        before = -1
        while before != (before := self.evidence.total()):
            for name, props in self._read.items():
                slots = self._slots_in(name)
                self.newest(name, slots, np.full(len(slots), READ), set(), "")
                self._siblings(name, slots, props, set())
            for name in self._folded:
                rows = self._slots_in(name)
                self._whole(name, rows, np.full(len(rows), READ), set(), "")
            if self._seen:
                self.last_words(self._speakers(), set())

    def _slots_in(self, name: str) -> Int64:
        """Rows of a table of which some event is among the evidence."""
        source = self.sight.aggregates.source(name)
        index = source.pick(self.evidence.held(self.outlook.place_of(source.ledger)))
        return sorted_once(source.ledger.slot.data[index])

    def _speakers(self) -> Int64:
        """Entities that sent some event of the evidence whose type keeps newest events."""
        found = [np.zeros(0, np.int64)]
        for name, table in self.sight.tables.items():
            if isinstance(table, NewestTable):
                found.append(table.entity.data[self._slots_in(name)].astype(np.int64))
        return sorted_once(np.concatenate(found))


def _within(ledger: Ledger, size: int) -> Int64:
    """Rows of the events of a ledger in its table, the last of `size` for events that have none or a later one."""
    slot = ledger.slot.data.astype(np.int64)
    return np.where((slot < 0) | (slot >= size - 1), size - 1, slot)
