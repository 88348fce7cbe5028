"""Likely duplicates: which open cases may be the same matter, with every term of the score shown.

A pair is looked at when the sub-classes are the same or a mapped pair, the places lie within `distance_m` or the
component or building is the same, and the reports lie within `within_ms`. Its score is the weighted mean of

* distance: exp(-metres / distance_m); 1 at the same component or in the same building
* text: Jaccard's index of the sets of letters and pairs of letters of what was said
* component: 1 the same, 0 another
* time: exp(-gap / within_ms)

over the terms that can be known: one without texts or components has no weight. From `ask` on a pair is asked about,
from `likely` on it is shown first; nothing is merged without a person. Weights, reach and thresholds are local defaults
(no standard names the numbers) and may be set for each sub-class.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

METRES = 6_371_000.0 * math.pi / 180.0
CELL_M = 100.0
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
TERMS: tuple[str, ...] = ("distance", "text", "component", "time")


@dataclass(frozen=True, slots=True)
class Bounds:
    """When two cases of a sub-class are asked about; `status` L: a local default."""

    distance_m: float = 200.0
    within_ms: int = 2 * HOUR_MS
    ask: float = 0.42
    likely: float = 0.55
    weights: Mapping[str, float] = field(
        default_factory=lambda: {"distance": 0.4, "text": 0.4, "component": 0.15, "time": 0.05}
    )
    status: str = "L"

    def __post_init__(self) -> None:
        if set(self.weights) != set(TERMS) or min(self.weights.values()) < 0 or sum(self.weights.values()) <= 0:
            raise ValueError(f"weights {dict(self.weights)}: give {', '.join(TERMS)}, none below 0, not all 0")
        if not (self.distance_m > 0 and self.within_ms > 0 and 0 <= self.ask <= self.likely <= 1):
            raise ValueError("distance_m and within_ms are above 0, 0 <= ask <= likely <= 1")


@dataclass(frozen=True, slots=True)
class Report:
    """A case: sub-class, time (ms), place (NaN unknown), words, component and building ("" unknown)."""

    code: str
    category: str
    time: int
    lon: float = math.nan
    lat: float = math.nan
    text: str = ""
    address: str = ""
    component: str = ""
    building: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A case that may be the same: metres (inf unknown) and ms between both, each term (None: not known), the score."""

    code: str
    score: float
    distance_m: float
    gap_ms: int
    terms: Mapping[str, float | None]
    likely: bool

    def row(self) -> dict[str, Any]:
        """As pages read it."""
        return {
            "code": self.code, "score": round(self.score, 3), "likely": self.likely,
            "distance_m": round(self.distance_m) if math.isfinite(self.distance_m) else None,
            "gap_s": round(self.gap_ms / 1000),
            "terms": {k: None if v is None else round(v, 3) for k, v in self.terms.items()},
        }  # fmt: skip


def grams(text: str) -> frozenset[str]:
    """Single letters and pairs of letters of a text, without case, width, blanks and punctuation.

    >>> sorted(grams("Ａ1, 灯"))
    ['1', '1灯', 'a', 'a1', '灯']
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    letters = "".join(c for c in plain if unicodedata.category(c)[0] in "LN")
    return frozenset(letters) | {letters[i : i + 2] for i in range(len(letters) - 1)}


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Share of what is in both of what is in either, 0 for two empty sets.

    >>> jaccard(frozenset("abc"), frozenset("bcd"))
    0.5
    """
    either = len(a | b)
    return len(a & b) / either if either else 0.0


#: Reach in time of sub-classes that stay longer, or go by faster, than most; the rest has the values of `Bounds`.
_STAYS, _GOES = 24 * HOUR_MS, 45 * MINUTE_MS
BOUNDS: dict[str, Bounds] = {
    "": Bounds(),
    **{
        name: Bounds(within_ms=_STAYS)
        for name in (
            "facility.streetlight", "facility.manhole", "facility.road", "facility.drain_grate", "facility.collapse",
            "sanitation.rubble", "advert.illegal", "construction.illegal", "green.tree", "traffic.signal",
            "appearance.bin", "power_outage",
        )
    },
    **{name: Bounds(within_ms=_GOES) for name in ("traffic.accident", "street.parking", "street.stall")},
}  # fmt: skip
#: Sub-classes that may be told of one thing.
MAPPED: tuple[tuple[str, str], ...] = (
    ("facility.road", "facility.collapse"), ("facility.road", "water.burst"), ("facility.collapse", "water.burst"),
    ("flood.waterlog", "water.burst"), ("flood.waterlog", "sewer.blocked"), ("flood.waterlog", "facility.drain_grate"),
    ("power_outage", "power.cable_down"), ("power_outage", "facility.streetlight"),
    ("facility.manhole", "facility.drain_grate"), ("sanitation.litter", "appearance.bin"),
    ("sanitation.rubble", "sanitation.spill"), ("sanitation.dirty_road", "sanitation.spill"),
    ("street.stall", "street.barbecue"), ("green.tree", "power.cable_down"), ("gas_leak", "emergency.fire"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Held:
    """A report in the index: metres east and north, letters of its words, the keys of the buckets that it is in."""

    report: Report
    east: float
    north: float
    letters: frozenset[str]
    keys: tuple[tuple[Any, ...], ...]


def _known(value: float) -> bool:
    return not math.isnan(value)


class Likeness:
    """The open cases by (sub-class, cell of 100 m, day), component and building: candidates of one in O(1).

    `latitude`: of the city's middle, degrees; metres are good to 1 % within half a degree of it. `bounds` by sub-class,
    "" for all others. Pairs told to be unlike stay so, also when a case is over and comes back.
    """

    def __init__(
        self, latitude: float, bounds: Mapping[str, Bounds] | None = None,
        mapped: Iterable[tuple[str, str]] = MAPPED,
    ) -> None:  # fmt: skip
        self.bounds = {**BOUNDS, **(bounds or {})}
        self._shrink = math.cos(math.radians(latitude))
        self._mapped: dict[str, set[str]] = {}
        for one, other in mapped:
            self._mapped.setdefault(one, set()).add(other)
            self._mapped.setdefault(other, set()).add(one)
        self._held: dict[str, _Held] = {}
        self._bucket: dict[tuple[Any, ...], dict[str, None]] = {}
        self._unlike: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, code: str) -> bool:
        return code in self._held

    def add(self, report: Report) -> None:
        """Take in a case, or what is known of it now: its place, words and sub-class may have changed."""
        self.remove(report.code)
        held = self._hold(report)
        self._held[report.code] = held
        for key in held.keys:
            self._bucket.setdefault(key, {})[report.code] = None

    def remove(self, code: str) -> None:
        """A case is over or merged: it is no candidate any longer; nothing if it was none."""
        held = self._held.pop(code, None)
        for key in held.keys if held is not None else ():
            bucket = self._bucket[key]
            del bucket[code]
            if not bucket:
                del self._bucket[key]

    def unlike(self, one: str, other: str) -> None:
        """A person said that these two are not the same: they are not asked about again."""
        self._unlike.setdefault(one, set()).add(other)
        self._unlike.setdefault(other, set()).add(one)

    def candidates(self, about: str | Report) -> list[Match]:
        """Cases that may be the same as one in the index, or as one that is still being typed: best first.

        KeyError for a code that is not in the index.
        """
        held = self._held[about] if isinstance(about, str) else self._hold(about)
        found: dict[str, None] = {}
        for key in self._near(held):
            found.update(self._bucket.get(key, {}))
        apart = self._unlike.get(held.report.code, set())
        matches = [self._match(held, self._held[c]) for c in found if c != held.report.code and c not in apart]
        return sorted((m for m in matches if m is not None), key=lambda m: (-m.score, m.code))

    def bound(self, one: str, other: str) -> Bounds:
        """What holds for a pair of sub-classes: of the one that reaches further in time."""
        both = (self.bounds.get(name, self.bounds[""]) for name in (one, other))
        return max(both, key=lambda b: b.within_ms)

    def _hold(self, report: Report) -> _Held:
        east, north = report.lon * METRES * self._shrink, report.lat * METRES
        keys: list[tuple[Any, ...]] = []
        if _known(east) and _known(north):
            keys.append(self._cell(report.category, east, north, report.time))
        keys += [("component", report.component)] if report.component else []
        keys += [("building", report.building)] if report.building else []
        return _Held(report, east, north, grams(report.text + report.address), tuple(keys))

    def _cell(self, category: str, east: float, north: float, time: int) -> tuple[Any, ...]:
        return (category, math.floor(east / CELL_M), math.floor(north / CELL_M), time // DAY_MS)

    def _near(self, held: _Held) -> Iterator[tuple[Any, ...]]:
        """The buckets in which a candidate can be: their number depends on the bounds alone."""
        report = held.report
        yield from (key for key in held.keys if len(key) == 2)
        if not (_known(held.east) and _known(held.north)):
            return
        for category in (report.category, *sorted(self._mapped.get(report.category, ()))):
            bound = self.bound(report.category, category)
            first, last = (report.time - bound.within_ms) // DAY_MS, (report.time + bound.within_ms) // DAY_MS
            x, y = math.floor(held.east / CELL_M), math.floor(held.north / CELL_M)
            reach = math.ceil(bound.distance_m / CELL_M)
            for day in range(first, last + 1):
                for dx in range(-reach, reach + 1):
                    for dy in range(-reach, reach + 1):
                        yield (category, x + dx, y + dy, day)

    def _match(self, one: _Held, other: _Held) -> Match | None:
        """Score a pair, None for one that is out of reach or below `ask`."""
        a, b = one.report, other.report
        if a.category != b.category and b.category not in self._mapped.get(a.category, ()):
            return None
        bound, gap = self.bound(a.category, b.category), abs(a.time - b.time)
        metres = math.hypot(one.east - other.east, one.north - other.north)
        metres = metres if _known(metres) else math.inf
        component = float(a.component == b.component) if a.component and b.component else None
        here = component == 1.0 or bool(a.building and a.building == b.building)
        if gap > bound.within_ms or (metres > bound.distance_m and not here):
            return None
        distance = 1.0 if here else math.exp(-metres / bound.distance_m)
        text = jaccard(one.letters, other.letters) if one.letters and other.letters else None
        terms = {"distance": distance, "text": text, "component": component, "time": math.exp(-gap / bound.within_ms)}
        known = {name: value for name, value in terms.items() if value is not None}
        weight = sum(bound.weights[name] for name in known)
        score = sum(bound.weights[name] * value for name, value in known.items()) / weight if weight else 0.0
        if score < bound.ask:
            return None
        return Match(b.code, score, metres, gap, terms, score >= bound.likely)
