"""A log counted again: frame and state hash after every tick, from its beginning and from each of its snapshots.

python -m tests.citytwin.recount FOLDER EVENTS prints them as JSON; batches are cut to EVENTS rows (0: as they are).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from citytwin.engine import Engine
from citytwin.indicators.registry import Registry, installed
from citytwin.models.columns import Coded, Column, Strings
from citytwin.models.desk.event import AUTO
from citytwin.recovery import apply
from citytwin.snapshot import definitions, restore
from citytwin.streams.log import Events, Record, SqliteLog, Tick
from citytwin.streams.snapshots import Snapshots
from citytwin.twin.entities import Entities
from citytwin.twin.pack import load_city
from tests.indicators.town import SIDE, SOUTH, WEST, centre, town
from tests.streams.towns import DEVICES

#: Time of a tick (ms), frame hash, state hash, with what the desk said to it.
Hashes = tuple[int, str, str]


def city() -> Any:
    """The town of the indicators, with people, stations, roads and devices of its own for the simulator."""
    found, world = town()
    found.calendar, found.entities = SimpleNamespace(days={}), Entities()
    rng = np.random.default_rng(5)
    for grid, row in enumerate(world.grids):
        lon, lat = (np.array([x]) for x in centre(grid))
        people: dict[str, Column] = {"population": np.array([100 + 50 * grid])}
        code = Strings.of([found.scopes.code[row]])
        found.entities.upsert("grid", code, np.array([row], np.int32), lon, lat, people, np.zeros(1, np.int64))
    _put(found, rng, "facility", "Q", 40, {"facility_kind": Coded.of(["road"] * 40), **_lanes(rng, 40)})
    stations = ["ems_station", "fire_station", "police_station"] * 4
    _put(found, rng, "facility", "S", 12, {"facility_kind": Coded.of(stations)})
    for k, (properties, period, n) in enumerate(DEVICES):
        attrs: dict[str, Column] = {"properties": Coded.of([properties] * n), "period_s": np.full(n, float(period))}
        attrs["in_service"] = np.ones(n, np.int8)
        if k == 0:
            attrs["observes"] = Strings.of([f"Q{i:04d}" for i in range(n)])
        _put(found, rng, "device", f"D{k}", n, attrs)
    return found


def _lanes(rng: np.random.Generator, n: int) -> dict[str, Column]:
    classes = Coded.of([("expressway", "arterial", "branch")[i % 3] for i in range(n)])
    return {"road_class": classes, "length_m": rng.uniform(100, 900, n).round(), "free_flow_kmh": np.full(n, 60.0)}


def _put(found: Any, rng: np.random.Generator, kind: str, prefix: str, n: int, attrs: dict[str, Column]) -> None:
    """Entities somewhere in the town."""
    lon, lat = WEST + 4 * SIDE * rng.random(n), SOUTH + 4 * SIDE * rng.random(n)
    codes = Strings.of([f"{prefix}{i:04d}" for i in range(n)])
    entities: Entities = found.entities
    entities.upsert(kind, codes, found.locator.locate(lon, lat), lon, lat, attrs, np.zeros(n, np.int64))


def fresh(registry: Registry | None = None) -> Engine:
    """An engine that has seen nothing."""
    return Engine(city(), registry or installed())


def cut(record: Record, size: int) -> Iterator[Record]:
    """The record, its batch in pieces of so many events (0: whole)."""
    if not (isinstance(record, Events) and size):
        yield record
        return
    for start in range(0, len(record.batch), size):
        yield Events(record.batch.take(np.arange(start, min(start + size, len(record.batch)))))


def own(record: Record) -> bool:
    """Whether a record holds only what the desk said by itself: it follows the tick that made it say so."""
    return isinstance(record, Events) and set(record.batch.source.tolist()) == {AUTO}


def hashes(engine: Engine, log: SqliteLog, size: int = 0) -> list[Hashes]:
    """Feed an engine what it does not know of the log; what it says after each tick and what the desk said to it."""
    said: list[Hashes] = []
    ticked = False
    for position, record in log.read(engine.position + 1):
        if ticked and not own(record):
            said.append((engine.now, engine.frame_hash(), engine.state_hash()))
            ticked = False
        for piece in cut(record, size):
            apply(engine, position, piece, lambda _p, _r: None)
        ticked |= isinstance(record, Tick)
    return [*said, (engine.now, engine.frame_hash(), engine.state_hash())] if ticked else said


def everything(folder: Path, size: int) -> dict[str, Any]:
    """Definitions in force, hash of a pack, hashes from the beginning and from each snapshot."""
    kept = Snapshots(folder / "snapshots")
    with SqliteLog(folder / "log.db", read_only=True) as log:
        first = fresh()
        found: dict[str, Any] = {"definitions": definitions(first.city, first.registry)}
        found["pack"] = Engine(load_city("wuhan"), installed()).state_hash()
        found["0"] = hashes(first, log, size)
        for snapshot in kept.valid():
            engine = restore(city(), installed(), snapshot.arrays, snapshot.meta)
            found[str(snapshot.position)] = hashes(engine, log, size)
    return found


if __name__ == "__main__":
    print(json.dumps(everything(Path(sys.argv[1]), int(sys.argv[2]))))
