"""Changes of the registers by the day: organisations that begin and end, components that break and are repaired."""

from __future__ import annotations

import numpy as np

from citytwin.models.codes import uscc_check
from citytwin.models.columns import Coded, Int64, Strings
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.day import HOUR, Day, Stem, office_hours
from citytwin.streams.simulator.writer import Plain

SOURCE, PARTS = "registry/organisations", "cityparts"
#: Organisations that begin and end on a working day: the register grows by one or two in a hundred a month.
BEGIN, END = 4.0, 3
INDUSTRIES = ("C", "E", "F", "G", "H", "I", "J", "K", "L", "M", "O", "P", "Q", "R")
#: Components that people report as broken.
PART_KINDS = ("manhole", "streetlight", "waste_bin", "signal", "hydrant", "elevator")


def organisations_of_day(day: Day) -> None:
    """New organisations with codes of their own, and old ones of the pack that end: each at most once in years."""
    if not day.works:
        return
    town, rng = day.town, day.random("organisations")
    n = int(rng.poisson(BEGIN)) + 1
    time = day.midnight + office_hours(rng, n)
    grid = town.draw(rng, n)
    codes, at = new_codes(day, n), town.near(rng, grid)
    linked = np.flatnonzero((rng.random(n) < 0.97) & (len(town.addresses) > 0))
    address = [""] * n
    for i in linked.tolist():
        address[i] = town.addresses[int(rng.integers(len(town.addresses)))]
    staff = np.minimum(np.exp(rng.normal(1.6, 0.9, n)), 400).astype(np.int64) + 1
    fields: dict[str, Plain] = {
        "name": [f"武汉新设{c[-8:]}号示例单位" for c in codes], "name_en": [f"New Sample Unit {c[-8:]}" for c in codes],
        "state": ["active"] * n, "synthetic": np.ones(n, np.int8), "employees": staff,
        "industry": Coded(rng.integers(0, len(INDUSTRIES), n).astype(np.int32), INDUSTRIES),
        "scale_class": Coded(np.searchsorted([10, 100, 300], staff, "right").astype(np.int32), _SIZES),
        "licences": rng.integers(1, 4, n), "major_hazard": np.zeros(n, np.int8), "credit_flag": ["normal"] * n,
        "grid": town.grids.code.take(grid), "address": Strings.of(address),
    }  # fmt: skip
    day.say("org.registered", time, day.stem(b"G", n, 3), SOURCE, subject=Strings.of(codes), at=at, fields=fields)
    _end(day, rng)


_SIZES = ("micro", "small", "medium", "large")


def new_codes(day: Day, n: int) -> list[str]:
    """Valid credit codes: 91, the area, NA for a new organisation of the simulator, day and number, check."""
    bodies = [f"91420100NA{day.day % 100_000:05d}{i:02d}" for i in range(n)]
    return [body + uscc_check(body) for body in bodies]


def _end(day: Day, rng: np.random.Generator) -> None:
    """Organisations of the pack that end on a day, each in its turn by chance."""
    known = len(day.town.organisations)
    if known < 100:
        return
    order = np.argsort(noise.uniform(day.seed, "ends", np.arange(known)), kind="stable")
    row = order[(day.day * END + np.arange(END)) % known]
    time = day.midnight + office_hours(rng, END)
    day.say("org.cancelled", time, day.stem(b"L", END, 3), SOURCE, subject=day.town.organisations.take(row),
            fields={"why": ["closed"] * END})  # fmt: skip


def broken(seed: int, row: Int64, day: int) -> np.ndarray:
    """Whether components are broken on a day (bool[n]): some for a few days."""
    return noise.uniform(seed, "component", row, (day + row) // 4) < 0.012


def components_of_day(day: Day) -> None:
    """Components that broke or were repaired since yesterday, and every day one that is as it was."""
    sites, rng = day.town.sites, day.random("components")
    rows = sites.of(*PART_KINDS)
    if not len(rows):
        return
    now, before = broken(day.seed, rows, day.day), broken(day.seed, rows, day.day - 1)
    told = np.flatnonzero(now != before)
    told = np.union1d(told, [day.day % len(rows)])
    time = day.midnight + np.sort(rng.integers(8 * HOUR, 20 * HOUR, len(told)))
    state = Coded(now[told].astype(np.int32), ("normal", "damaged"))
    stem: Stem = [b"part", noise.digits(rows[told], 6), b"-", noise.digits(np.full(len(told), day.day), 6)]
    day.say("facility.changed", time, stem, PARTS, subject=sites.places.code.take(rows[told]), fields={"state": state})
