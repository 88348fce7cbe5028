"""Several people report one thing, and other things happen close by: what duplicates look like, with the truth.

A further report has other words, a place up to 80 m off and comes minutes to hours later. A near miss is another
incident of the same kind at most 180 m away, at about the same time, often on the same road.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from citytwin.models.columns import Float64, Int64, Strings, UInt8
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.incidents import AT_COMPONENT, CATEGORIES, CHANNELS, MINUTE, Cases
from citytwin.streams.simulator.words import Scene, neighbour, scene, tell

#: Share of incidents that others report too, mean number of their reports, share with another incident close by.
REPEATED, REPORTS, BESIDE = 0.07, 1.5, 0.06
#: Metres: how far off a further report may be, and how far away a near miss lies.
OFF_M, BESIDE_M = 80.0, (40.0, 180.0)
#: Mean time until others report it: things that stay a while, and those that people see at once.
SLOW_MS, QUICK_MS = 90 * MINUTE, 15 * MINUTE
#: Share of further reports that name the component, say by scanning its plate.
NAMES_IT = 0.3
_CITIZENS = np.array([CHANNELS.index(c) for c in ("12345", "app", "citycode")], np.int64)
#: Uniform numbers that one scene or one text takes at most.
_LOTS = 24


def witnessed(
    town: Town, rng: np.random.Generator, cases: Cases, *, repeated: float = REPEATED, beside: float = BESIDE,
    width: int = 5, haste: float = 1.0,
) -> Cases:  # fmt: skip
    """Cases with what was said of each, then further reports (`of` names their case), then near misses.

    Codes end with a number of `width` digits and are counted on. `haste`: how much sooner than usual others report.
    """
    n = len(cases)
    times = np.where(rng.random(n) < repeated, np.minimum(rng.geometric(1 / REPORTS, n), 6), 0)
    of, near = np.repeat(np.arange(n), times), np.flatnonzero(rng.random(n) < beside)
    chance = iter(rng.random(_LOTS * (2 * n + len(of) + 3 * len(near))).tolist())
    names = [CATEGORIES[c].name for c in cases.category.tolist()]
    seen = [scene(chance, name) for name in names]
    texts = [tell(chance, s) for s in seen]
    texts += [tell(chance, seen[i]) for i in of.tolist()]
    others: list[Scene] = [neighbour(chance, seen[i]) for i in near.tolist()]
    texts += [tell(chance, s) for s in others]
    row = np.concatenate([np.arange(n), of, near])
    extra = len(row) - n
    reach = np.concatenate([OFF_M * np.sqrt(rng.random(len(of))), rng.uniform(*BESIDE_M, len(near))])
    lon, lat = _moved(cases, row[n:], reach, rng.uniform(0, 2 * np.pi, extra))
    number = np.arange(n + 1, n + extra + 1)
    codes = np.concatenate([cases.code, np.hstack([_stem(cases, extra, width), noise.digits(number, width)])])
    return replace(
        cases, code=codes, time=np.concatenate([cases.time, cases.time[row[n:]] + _gap(cases, row[n:], rng, haste)]),
        category=cases.category[row],
        channel=np.concatenate([cases.channel, _CITIZENS[rng.integers(0, len(_CITIZENS), extra)]]),
        lon=np.concatenate([cases.lon, lon]), lat=np.concatenate([cases.lat, lat]),
        customers=cases.customers[row],
        component=_components(town, cases, of, near, rng), text=Strings.of(texts),
        of=np.concatenate([np.full(n, -1), of, np.full(len(near), -1)]),
    )  # fmt: skip


def _stem(cases: Cases, n: int, width: int) -> UInt8:
    """The letters before the number of a case, n times."""
    head = cases.code[:1, :-width] if len(cases) else np.zeros((1, 0), np.uint8)
    return np.repeat(head, n, axis=0)


def _gap(cases: Cases, row: Int64, rng: np.random.Generator, haste: float) -> Int64:
    """How long after its case each report or near miss comes (ms)."""
    slow = np.array([c.name in AT_COMPONENT or c.limit >= 16 for c in CATEGORIES])[cases.category[row]]
    mean = np.where(slow, SLOW_MS, QUICK_MS)
    return (np.clip(rng.exponential(mean), MINUTE, 3 * mean) / haste).astype(np.int64)


def _moved(cases: Cases, row: Int64, metres: Float64, turn: Float64) -> tuple[Float64, Float64]:
    north = metres * np.sin(turn) / 111_195
    east = metres * np.cos(turn) / (111_195 * np.cos(np.radians(cases.lat[row])))
    return cases.lon[row] + east, cases.lat[row] + north


def _components(town: Town, cases: Cases, of: Int64, near: Int64, rng: np.random.Generator) -> Strings:
    """The component of each case; some further reports name the same, a near miss is about another one."""
    known = cases.component.tolist()
    same = [
        known[i] if named else ""
        for i, named in zip(of.tolist(), (rng.random(len(of)) < NAMES_IT).tolist(), strict=True)
    ]
    other = []
    for i in near.tolist():
        rows = town.sites.of(AT_COMPONENT.get(CATEGORIES[cases.category[i]].name, ""))
        code = town.sites.places.code[int(rows[rng.integers(0, len(rows))])] if len(rows) and known[i] else ""
        other.append(code if code != known[i] else "")
    return Strings.of([*known, *same, *other])
