"""Merging the parts of all shards into one city, pure: the same board over aggregates that take in what shards said."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from citytwin import ruling
from citytwin.cluster.shard import Gap, Register, every, put_in_force, short_hash
from citytwin.engine import Engine
from citytwin.facts import OVER, TICKER_MAX, Stats
from citytwin.indicators.inlet import Inlet
from citytwin.indicators.registry import Registry
from citytwin.intake import CityLike
from citytwin.models.columns import MISSING, Coded
from citytwin.models.frame import Delta, Frame
from citytwin.models.hashing import Allocate
from citytwin.models.part import Marker, Part
from citytwin.models.shards import DESK, NOBODY, Ownership
from citytwin.models.telling import Telling
from citytwin.snapshot import Snapshot, definitions, restore, take
from citytwin.streams.parts import dump_told, load_told
from citytwin.streams.tellings import decode, encode, of_units, pieces

_OWN, _TELL = "merge\t", "tell\t"


class Mixed(ValueError):
    """A part was counted by other definitions."""


class Merge:
    """The city of all shards. `put` each part of marker k, then `close` it; the frame is that of one process."""

    def __init__(
        self, city: CityLike, registry: Registry, shards: int, *, allocate: Allocate = np.empty,
        engine: Engine | None = None,
    ) -> None:  # fmt: skip
        """`shards` without the desk. `engine`: one that was restored."""
        self.shards = shards
        self.engine = engine or Engine(city, registry, allocate=allocate, own=Ownership(NOBODY, shards))
        self.inlet = Inlet(lambda: every(self.engine))
        self.definitions = short_hash(definitions(self.engine.city, self.engine.base))
        #: Offset in the registers up to which they are in force.
        self.registers = 0
        #: Statistics as each shard told them last.
        self.stats: dict[int, dict[str, Any]] = {}
        self.cases_by_state: dict[str, int] = {}
        #: For who comes later: open cases by code, readings by entity row, the newest lines of the ticker.
        self.open_cases: dict[str, Mapping[str, Any]] = {}
        self.devices: dict[int, tuple[int, Mapping[str, float] | None]] = {}
        self.ticker: list[Mapping[str, Any]] = []
        #: Open rows of the desk's parts, by part and code.
        self.desk: dict[str, dict[str, Mapping[str, Any]]] = {}
        #: What the desk is to be told of markers, until it says that it was; by marker, as pieces.
        self.tellings: dict[int, list[Telling]] = {}
        self._reads = ruling.reads(self.engine)
        #: How many cases and lines of the ticker were told so far: the numbers of log channels.
        self.told = {"case": 0, "ticker": 0, "alarm": 0, "unit": 0}
        self._in: set[int] = set()
        self._begin()

    def _begin(self) -> None:
        self._in = set()
        self._parts: list[Part] = []
        self._ticker: list[Mapping[str, Any]] = []
        self._cases: list[Mapping[str, Any]] = []
        self._skipped = 0
        self._rows: dict[str, tuple[Mapping[str, Any], ...]] = {}
        self._for_desk: list[tuple[int, bytes]] = []
        self._heard: list[tuple[Any, Any]] = []
        self._values: dict[int, dict[str, float]] = {}

    @property
    def members(self) -> list[int]:
        """Every shard that says parts, the desk first."""
        return [DESK, *range(self.shards)]

    @property
    def waits_for(self) -> list[int]:
        """Shards whose part of the open marker is not in."""
        return [s for s in self.members if s not in self._in]

    def put(self, part: Part) -> bool:
        """Hold a part of the open marker until it is closed; False for one that is in already.

        Raises Gap for one of a later marker, Mixed for one of other definitions.
        """
        wanted = self.engine.k + 1
        if part.k < wanted or part.shard in self._in:
            return False
        if part.facts["definitions"] != self.definitions:
            raise Mixed(
                f"shard {part.shard} is counted by other indicators, vocabulary or city pack than this clock has: "
                "run one version everywhere"
            )
        if part.k > wanted:
            raise Gap(f"shard {part.shard} says its part of marker {part.k}, that of {wanted} is missing")
        self._in.add(part.shard)
        self._parts.append(part)
        return True

    def look_ahead(self, part: Part) -> None:
        """Take in a part whatever marker is open: for a preview, which hears each shard in order but not together."""
        self.inlet.put(part.shard, part.share, self.engine.above())
        self._note(part)

    def _note(self, part: Part) -> None:
        engine, facts = self.engine, part.facts
        self.stats[part.shard] = facts["stats"]
        for source, time in facts["watermarks"].items():
            engine.watermarks.times[source] = max(time, engine.watermarks.times.get(source, MISSING))
        engine.pulse.hear(facts["pulse"], facts["feeds"])
        self._ticker += facts["ticker"]
        self._for_desk += facts.get("heard", ())
        if part.shard == DESK:
            self._rows = {name: tuple(rows) for name, rows in facts["desk"].items()}
            self.tellings = {k: told for k, told in self.tellings.items() if k > facts["told"]}
            if "cases_open" in facts:
                self.open_cases = {c["code"]: c for c in facts["cases_open"]}
            self._cases += facts["cases"]
            self._skipped += facts["cases_skipped"]
            if "cases_by_state" in facts:
                self.cases_by_state, engine.told_cases = facts["cases_by_state"], facts["cases_digest"]
        if part.newest:
            self._hear(part.newest)

    def _hear(self, newest: Mapping[str, NDArray[Any] | Coded]) -> None:
        """Keep the readings that changed, and when each entity was last heard."""
        rows, seen = np.asarray(newest["row"]), np.asarray(newest["seen"])
        self.engine.last_seen.resize(self.engine.entities.n)
        np.maximum.at(self.engine.last_seen.data, rows, seen)
        self._heard.append((rows, seen))
        names = newest["property"]
        assert isinstance(names, Coded)
        for row, name, value in zip(
            np.asarray(newest["entity"]).tolist(), names.tolist(), np.asarray(newest["value"]).tolist(), strict=True
        ):
            if value == value:  # noqa: PLR0124
                self._values.setdefault(row, {})[str(name)] = value

    def close(self, marker: Marker, registers: Iterable[Register]) -> Frame:
        """End marker k with the parts that are in, and give its frame. Raises Gap for a marker out of turn."""
        engine = self.engine
        if marker.k != engine.k + 1:
            raise Gap(f"the merge waits for marker {engine.k + 1} and got {marker.k}")
        put_in_force(engine, registers)
        self.registers = max(self.registers, marker.registers)
        self.inlet.refresh()
        for part in self._parts:  # shards had the registers in force when they said it: a plugin's counts, a new scope
            self.look_ahead(part)
        counted = engine.count(marker.now, marker.k)
        self.inlet.settle(engine.above())
        values = engine.publish(counted)
        told = ruling.readings(engine, values.values, self._reads)
        units = set(self.desk.get("unit", ())) | {row["code"] for row in self._rows.get("unit", ())}
        self.tellings[engine.k] = pieces(engine.k, engine.now, told, of_units(self._for_desk, units))
        frame = self._shown(values)
        self._begin()
        return frame

    def _shown(self, frame: Frame) -> Frame:
        twin = {"device": self._devices()} if self._heard else {}
        ticker = sorted(self._ticker, key=lambda t: (t["t"], t["type"], t["id"]))[-TICKER_MAX:]
        for case in self._cases:
            self.open_cases.pop(case["code"], None)
            if case["state"] not in OVER:
                self.open_cases[case["code"]] = case
        self.ticker = [*self.ticker, *ticker][-TICKER_MAX:]
        for name, rows in self._rows.items():
            held = self.desk.setdefault(name, {})
            for row in rows:
                held.pop(row["code"], None)
                if row["open"]:
                    held[row["code"]] = row
        fresh = {"case": len(self._cases), "ticker": len(ticker)} | {n: len(r) for n, r in self._rows.items()}
        self.told = {name: n + fresh.get(name, 0) for name, n in self.told.items()}
        sys, cases = self._sys(frame, self._skipped), tuple(self._cases)
        return Frame(frame.k, frame.now, frame.position, frame.values, twin, cases, tuple(ticker), sys, desk=self._rows)

    def _sys(self, frame: Frame, skipped: int) -> dict[str, Any]:
        counts = {"cases": self.cases_by_state, "cases_skipped": skipped}
        return {**frame.sys, **self.totals(), **counts, "told": dict(self.told), "registers": self.registers}

    def whole(self, frame: Frame) -> Frame:
        """All there is to know at the tick of a frame, for a gateway that begins with it."""
        ids = list(self.engine.board.lines)
        rows = np.array(sorted(self.devices), np.int32)
        held = [self.devices[r] for r in rows.tolist()]
        twin = {"device": Delta(rows, {"seen": [s for s, _ in held], "value": [v for _, v in held]})}
        return Frame(
            frame.k, frame.now, frame.position, {id: self.engine.current(id) for id in ids}, twin,
            tuple(self.open_cases.values()), tuple(self.ticker), frame.sys,
            desk={name: tuple(rows.values()) for name, rows in self.desk.items()},
        )  # fmt: skip

    def _devices(self) -> Delta:
        rows = np.unique(np.concatenate([r for r, _ in self._heard])).astype(np.int32)
        columns = {
            "seen": self.engine.last_seen.data[rows].tolist(),
            "value": [self._values.get(r) for r in rows.tolist()],
        }
        return Delta(rows, columns)

    def totals(self) -> dict[str, Any]:
        """Statistics of all shards, and those of the registers here."""
        all_of = [*self.stats.values(), {n: getattr(self.engine.stats, n) for n in Stats.__slots__}]
        out: dict[str, Any] = {n: sum(s[n] for s in all_of) for n in Stats.__slots__ if n != "rejected"}
        rejected: dict[str, int] = {}
        for stats in all_of:
            for reason, n in stats["rejected"].items():
                rejected[reason] = rejected.get(reason, 0) + n
        return {**out, "rejected": rejected}

    # Checkpoints

    def snapshot(self) -> Snapshot:
        """All state between two markers, as arrays and plain values."""
        held = take(self.engine, hashed=False)  # the file's own checksum says whether it is whole
        arrays: dict[str, Any] = {f"{_OWN}{k}": v for k, v in self.inlet.state().items()}
        rows: dict[str, dict[str, tuple[str, ...]]] = {}
        coded: dict[str, tuple[str, ...]] = {}
        for key, by_shard in self.inlet.rows().items():
            for shard, told in by_shard.items():
                rows.setdefault(key, {})[str(shard)] = dump_told(f"{shard} {key}", told, arrays)
        for name, column in list(arrays.items()):
            if isinstance(column, Coded):
                arrays[name], coded[name] = column.codes, tuple(column.names)
        for k, waiting in self.tellings.items():
            for i, piece in enumerate(waiting):
                arrays[f"{_TELL}{k}\t{i}"] = np.frombuffer(encode(piece), np.uint8)
        own = {
            "shards": self.shards, "registers": self.registers, "stats": {str(s): v for s, v in self.stats.items()},
            "cases_by_state": self.cases_by_state, "rows": rows, "coded": coded, "told": self.told,
            "open_cases": list(self.open_cases.values()), "ticker": self.ticker,
            "desk": {name: list(rows.values()) for name, rows in self.desk.items()},
            "tellings": sorted(self.tellings),
            "devices": [(row, seen, values) for row, (seen, values) in self.devices.items()],
        }  # fmt: skip
        return Snapshot(held.position, held.arrays | arrays, {**held.meta, "cluster": own})

    @classmethod
    def restore(
        cls, city: CityLike, registry: Registry, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any],
        shards: int, *, allocate: Allocate = np.empty,
    ) -> Self:  # fmt: skip
        """The merge that `snapshot` copied. Raises DefinitionsChanged; ValueError for another number of shards."""
        own = meta["cluster"]
        if own["shards"] != shards:
            raise ValueError(
                f"the checkpoint is of {own['shards']} shards, not of {shards}; another number of shards is another "
                "epoch: `citytwin reshard` makes it"
            )
        held = {k: v for k, v in arrays.items() if not k.startswith((_OWN, _TELL, "rows."))}
        engine = restore(city, registry, held, meta, allocate=allocate, own=Ownership(NOBODY, shards))
        found = cls(city, registry, shards, engine=engine)
        coded = {k: Coded(arrays[k], tuple(names)) for k, names in own["coded"].items()}
        rows = {
            key: {int(s): load_told(f"{s} {key}", columns, {**arrays, **coded}) for s, columns in by_shard.items()}
            for key, by_shard in own["rows"].items()
        }
        found.inlet.load({k.removeprefix(_OWN): v for k, v in arrays.items() if k.startswith(_OWN)}, rows)
        for _, aggregates in every(engine):
            aggregates.settle_counts(engine.now, engine.above())
            aggregates.clear_changed()
        found.registers, found.cases_by_state = own["registers"], own["cases_by_state"]
        found.stats = {int(s): v for s, v in own["stats"].items()}
        found.open_cases = {c["code"]: c for c in own["open_cases"]}
        found.devices = {row: (seen, values) for row, seen, values in own["devices"]}
        found.ticker, found.told = own["ticker"], own["told"]
        found.desk = {name: {row["code"]: row for row in rows} for name, rows in own["desk"].items()}
        found.tellings = {k: _pieces(arrays, k) for k in own["tellings"]}
        return found

    def clone(self, registry: Registry) -> Self:
        """One more of the same state, to look ahead with while a part is missing."""
        held, city = self.snapshot(), copy.copy(self.engine.city)
        return type(self).restore(city, registry, held.arrays, held.meta, self.shards)


def _pieces(arrays: Mapping[str, NDArray[Any]], k: int) -> list[Telling]:
    """The pieces of a marker that a checkpoint holds."""
    first = decode(arrays[f"{_TELL}{k}\t0"].tobytes())
    return [first, *(decode(arrays[f"{_TELL}{k}\t{i}"].tobytes()) for i in range(1, first.count))]
