"""A small made-up city for tests of the simulator: real twin tables, no files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from citytwin.models.columns import Coded, Column, Strings
from citytwin.models.events import VOCABULARY
from citytwin.twin.entities import Entities

#: properties of a device, its period in seconds, how many there are
DEVICES = (
    ("traffic.speed traffic.flow", 60, 40),
    ("water.pressure", 60, 20),
    ("air.pm25 air.pm10 air.o3", 300, 10),
    ("gas.ch4_lel", 60, 20),
    ("rain.depth", 60, 30),
    ("waterlog.depth", 60, 30),
    ("river.level", 60, 2),
    ("crowd.count", 30, 10),
)


def place(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Random places of a box of some 20 km."""
    return 114.2 + 0.2 * rng.random(n), 30.5 + 0.2 * rng.random(n)


def small_city(seed: int = 5) -> Any:
    """A city of 120 grids, 162 devices, 12 stations, 40 roads."""
    rng, entities = np.random.default_rng(seed), Entities()

    def put(kind: str, prefix: str, n: int, attrs: dict[str, Column]) -> None:
        lon, lat = place(rng, n)
        codes = Strings.of([f"{prefix}{i:04d}" for i in range(n)])
        entities.upsert(kind, codes, np.full(n, -1, np.int32), lon, lat, attrs, np.zeros(n, np.int64))

    put("grid", "G", 120, {"population": rng.integers(100, 3000, 120)})
    put("facility", "R", 40, {"facility_kind": Coded.of(["road"] * 40), "free_flow_kmh": np.full(40, 60_000)})
    put("facility", "S", 12, {"facility_kind": Coded.of(["ems_station", "fire_station", "police_station"] * 4)})
    for k, (properties, period, n) in enumerate(DEVICES):
        attrs: dict[str, Column] = {
            "properties": Coded.of([properties] * n), "period_s": np.full(n, period * 1000),
            "in_service": np.ones(n, np.int8),
        }  # fmt: skip
        if k == 0:
            attrs["observes"] = Strings.of([f"R{i:04d}" for i in range(n)])
        put("device", f"D{k}", n, attrs)
    return SimpleNamespace(entities=entities, vocabulary=VOCABULARY(), calendar=SimpleNamespace(days={}))
