"""The risk of grids, from the published values of its parts and plain counts of cases, hazards and sites."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

#: Part: middle, slope, and the value up to which it is nothing.
MEASURED = {
    "case_overdue_open": (4.0, 1.0, 0.0), "waterlog_risk_max": (70.0, 0.1, 20.0), "crowd_density_max": (3.0, 2.0, 0.5),
    "gas_ch4_max": (15.0, 0.4, 5.0),
}  # fmt: skip
URGENT = ("power_outage", "gas_leak", "water.burst", "flood.waterlog", "traffic.accident", "traffic.signal")


def recount(oracle: Any, live: Any, newest: Any, out: Any) -> None:
    """Nothing here: the score is made of published values, see `risks`."""
    del oracle, live, newest, out


def counts(oracle: Any, live: list[dict[str, Any]]) -> list[Counter[int]]:
    """Open urgent cases, hazards beyond their deadline, sites of major hazard, by scope row at every level."""
    working = ("filed", "dispatched", "received", "arrived", "handled", "verified")
    open_states = (*working, "deferred", "returned", "parked")
    cases = oracle.fold([e for e in live if e["type"].startswith("case.")]).values()
    urgent = [c["at"] for c in cases if c["state"] in open_states and c.get("category") in URGENT]
    hazards = oracle.journeys(live, "hazard.found", "hazard.inspected", "hazard.rectified").values()
    late = [h["at"] for h in hazards if "rectified_at" not in h and h.get("due_at", math.inf) < oracle.now]
    sites = [
        e["scope"] for e in oracle.world.entities.values() if e["kind"] == "organisation" and e.get("major_hazard") == 1
    ]
    return [Counter(row for at in found for row in oracle.above(at)) for found in (urgent, late, sites)]


def chance(value: float | None, middle: float, slope: float, zero: float) -> float:
    """Logistic, 0 up to `zero` and where nothing is known."""
    if value is None or value <= zero:
        return 0.0
    return 1.0 / (1.0 + math.exp(-slope * (value - middle)))


def risks(oracle: Any, live: list[dict[str, Any]], given: Callable[[str, int], float | None]) -> dict[int, float]:
    """Risk by scope row, of grids and as the highest of those below; scopes without one are left out."""
    urgent, late, sites = counts(oracle, live)
    out: dict[int, float] = {}
    for row, level in enumerate(oracle.world.level):
        if level != 4:
            continue
        values = {id: given(id, row) for id in MEASURED}
        if all(v is None for v in values.values()):
            continue
        spared = 1.0
        for id, law in MEASURED.items():
            spared *= 1.0 - chance(values[id], *law)
        for count, law in ((urgent, (3.0, 1.2, 0.0)), (late, (3.0, 1.2, 0.0)), (sites, (6.0, 0.8, 0.0))):
            spared *= 1.0 - chance(float(count[row]), *law)
        for up in oracle.above(row):
            out[up] = max(out.get(up, 0.0), 100.0 * (1.0 - spared))
    return out
