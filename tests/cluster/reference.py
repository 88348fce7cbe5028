"""One engine that reads the same partitions, segment by segment between markers: what every final frame must equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from citytwin.cluster.board import INTENT, BoardReader
from citytwin.cluster.options import Options
from citytwin.cluster.shown import ShownCity
from citytwin.engine import Engine
from citytwin.models.frame import Quality
from citytwin.models.part import Marker
from citytwin.models.telling import Telling
from citytwin.showing import open_cases
from citytwin.streams.brokers import EARLIEST, Place
from citytwin.streams.kafka import Reader
from citytwin.streams.parts import BoardFrame, decode_frame
from citytwin.streams.records import Definition, Events
from citytwin.streams.wire import from_bytes

#: Columns that frames tell whenever they change; how many inputs were in time only matters where some were not.
COLUMNS, INPUTS = ("value", "closed", "quality"), ("fresh", "expected")
#: Statistics that do not depend on the order between partitions, as `late` does.
COUNTS = ("accepted", "duplicates", "conflicts", "corrected", "rejected")


#: What one process reads too: it finds out by itself what the desk of a cluster is told.
Message = Events | Definition | Marker


@dataclass
class Logs:
    """What the topics hold: records by partition with their offsets, and the board."""

    records: dict[Place, list[tuple[int, Message]]]
    intents: dict[int, Marker]
    finals: list[BoardFrame]
    provisionals: list[BoardFrame] = field(default_factory=list)


@dataclass
class Verdict:
    """What came of the comparison: nothing in `wrong` when all is equal."""

    finals: int = 0
    accepted: int = 0
    events: int = 0
    wrong: list[str] = field(default_factory=list)


async def read(options: Options) -> Logs:
    """Read the topics from their beginning to their end. Raises BrokerError."""
    board = BoardReader(options)  # first: what it shows, the partitions read after it hold
    seen = await board.rest()
    await board.stop()
    places = [Place(options.topic("events"), p) for p in range(options.shards)]
    places += [Place(options.topic("desk"), 0), Place(options.topic("registers"), 0)]
    records: dict[Place, list[tuple[int, Message]]] = {p: [] for p in places}
    async with Reader(options.cluster, dict.fromkeys(places, EARLIEST)) as reader:
        ends = await reader.end_offsets(places)
        upto = dict.fromkeys(places, 0)
        while any(upto[p] < ends[p] for p in places):
            for place, found in (await reader.take(5_000)).items():
                upto[place] = found[-1].offset + 1 if found else upto[place]
                told = [(r.offset, from_bytes(r.value or b"")) for r in found if r.offset < ends[place]]
                records[place] += [(n, message) for n, message in told if not isinstance(message, Telling)]
    intents = [msgspec.json.decode(s.body, type=Marker) for s in seen if s.sort == INTENT]
    frames = [decode_frame(s.body) for s in seen if s.sort != INTENT]
    return Logs(
        records, {m.k: m for m in intents}, [f for f in frames if f.final and not f.key],
        [f for f in frames if not f.final],
    )  # fmt: skip


def compare(options: Options, logs: Logs, each: Callable[[Engine], None] | None = None) -> Verdict:
    """Play the partitions in one engine and hold every final frame against it; `each` sees it after every marker."""
    engine, shown = Engine(options.city(), options.registry()), ShownCity(options.city(), options.registry())
    at = dict.fromkeys(logs.records, 0)
    registers = Place(options.topic("registers"), 0)
    verdict, expected = Verdict(), 1
    for told in logs.finals:
        if told.frame.k != expected:
            verdict.wrong.append(f"final {told.frame.k} where {expected} must come")
            return verdict
        expected += 1
        marker = logs.intents[told.frame.k]
        before = at[registers]
        verdict.events += _segment(engine, logs, at, registers, marker)
        engine.tick(marker.now, marker.k)
        fresh = [m for _, m in logs.records[registers][before : at[registers]] if not isinstance(m, Marker)]
        shown.put_in_force(fresh, marker.registers)
        shown.take(told)
        verdict.finals += 1
        if each is not None:
            each(engine)
        wrong = differences(engine, shown, told)
        if wrong:
            verdict.wrong += [f"frame {told.frame.k}: {w}" for w in wrong[:12]]
            return verdict
        verdict.accepted = engine.stats.accepted
    return verdict


def _segment(engine: Engine, logs: Logs, at: dict[Place, int], registers: Place, marker: Marker) -> int:
    """Feed every partition up to the marker, then the registers up to where it says; how many events."""
    events = 0
    for place, records in logs.records.items():
        if place == registers:
            continue
        while True:
            assert at[place] < len(records), f"{place} has no marker {marker.k}"
            message = records[at[place]][1]
            at[place] += 1
            if isinstance(message, Marker):
                if message.k == marker.k:
                    assert message == marker, f"{place} has {message} where the board has {marker}"
                    break
                assert message.k < marker.k, f"{place} has marker {message.k} before {marker.k}"
                continue
            assert isinstance(message, Events)
            engine.feed(message.batch, marker.k)
            events += len(message.batch)
    records = logs.records[registers]
    while at[registers] < len(records) and records[at[registers]][0] < marker.registers:
        message = records[at[registers]][1]
        at[registers] += 1
        if isinstance(message, Events):
            engine.feed(message.batch, marker.k)
            events += len(message.batch)
        elif not isinstance(message, Marker):
            engine.define(message.name, message.document, marker.k)
    return events


def differences(engine: Engine, shown: ShownCity, told: BoardFrame) -> list[str]:
    """How the frame's hash, its statistics, and all that a gateway shows by the final frames differ from the engine."""
    out = []
    if told.hash != engine.frame_hash():
        out.append("the hash of all values")
    for name in COUNTS:
        one, many = getattr(engine.stats, name), told.frame.sys[name]
        if one != many:
            out.append(f"{name}: {many}, one process has {one}")
    if engine.cases is not None:
        there = {str(c["code"]): c["state"] for c in open_cases(engine)}
        if there != {code: c["state"] for code, c in shown.open_cases.items()}:
            out.append("the open cases")
    for id, line in engine.board.lines.items():
        partial = line.quality == int(Quality.PARTIAL)
        for name in (*COLUMNS, *INPUTS):
            a, b = getattr(line, name), getattr(shown.engine.board.lines[id], name)
            odd = np.flatnonzero(~((a == b) | (np.isnan(a) & np.isnan(b))) & (partial | (name in COLUMNS)))
            if len(odd):
                rows = odd[:4].tolist()
                out.append(f"{id}.{name} at rows {rows}: {a[rows]} in one process, {b[rows]} on the board")
    return out


def lost(logs: Logs, acknowledged: Mapping[Place, set[int]]) -> list[str]:
    """Records that Kafka acknowledged and does not hold."""
    out = []
    for place, offsets in acknowledged.items():
        gone = offsets - {n for n, _ in logs.records[place]}
        if gone:
            out.append(f"{place}: {sorted(gone)[:5]}")
    return out
