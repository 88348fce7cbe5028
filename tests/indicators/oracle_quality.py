"""The second half of the oracle: how far each value can be trusted, recounted from raw events. Imports no engine.

A number comes with its quality and with how many of its inputs were in time, of how many that should have been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from math import inf
from typing import Any

from tests.indicators import oracle_law, recounts
from tests.indicators.oracle import Event, Oracle, Values
from tests.indicators.oracle_law import MESSAGES, SILENT_S, THEMES, interpolate, rounded
from tests.indicators.recounts import risk

FEEDS = oracle_law.FEEDS | recounts.joined("FEEDS")
#: Types that look like one of a family and are none.
ALONE = {name for found in recounts.of("ALONE", ()) for name in found}
#: In the order of the themes; within one, those of `oracle_law` first.
SCALES = sorted(
    (*oracle_law.SCALES, *(scale for found in recounts.of("SCALES", ()) for scale in found)),
    key=lambda scale: THEMES.index(scale[0]),
)

GOOD, PROVISIONAL, PARTIAL, STALE, NODATA = range(5)
#: In time, ever heard, expected.
Counts = tuple[int, int, int]
#: Quality, inputs in time, inputs expected.
Trust = tuple[int, int, int]
#: A value (None: no data) and its trust.
Part = tuple[float | None, Trust]


def late(now: int, time: int, period_s: float | None) -> bool:
    """Whether what was last heard at a time is silent for two periods."""
    return now >= time + 2000 * (SILENT_S if period_s is None else period_s)


@cache
def fitting(type: str) -> tuple[str, ...]:
    """Feeds that events of a type belong to: those of the type itself, and of its family."""
    named = {f for feeds, *_ in FEEDS.values() for f, _ in feeds} - {"obs", "device"}
    return tuple(f for f in sorted(named) if type == f or (type.startswith(f + ".") and type not in ALONE))


class Watch:
    """Counts the inputs of one moment of an oracle."""

    def __init__(self, oracle: Oracle) -> None:
        self.world, self.now, self.above = oracle.world, oracle.now, oracle.above
        self.seen = list(oracle.seen.values())
        self.oracle = oracle
        self.live = live = oracle.live()
        self.newest: dict[tuple[str, str], Event] = {
            (e["subject"], e["property"]): e for e in live if e["type"] == "obs"
        }
        self.last: dict[str, int] = {}
        for e in live:
            if e["type"] in MESSAGES:
                self.last[e["subject"]] = max(self.last.get(e["subject"], e["time"]), e["time"])
        self.declared = {
            (code, name)
            for code, entity in self.world.entities.items() if entity.get("in_service") != 0
            for name in entity.get("properties", "").split()
        }  # fmt: skip
        #: Newest time of each source, and the sources of each feed.
        self.spoke: dict[str, int] = {}
        self.tellers: dict[str, set[str]] = defaultdict(set)
        for e in self.seen:
            fits, source = fitting(e["type"]), e["source"]
            for feed in fits:
                self.tellers[feed].add(source)
            if fits or source in self.world.sources:
                self.spoke[source] = max(self.spoke.get(source, e["time"]), e["time"])
        self.feeds = {f: self.inputs(*f) for f in {f for feeds, *_ in FEEDS.values() for f in feeds}}
        self.kept: dict[tuple[str, int, float | None], Trust] = {}

    def inputs(self, table: str, prop: str) -> dict[int, Counts]:
        """Counts of a feed by scope row."""
        if table == "obs":
            return self.summed(self.streams(prop))
        return self.summed(self.devices()) if table == "device" else self.sources(table)

    def summed(self, found: list[tuple[int, Counts]]) -> dict[int, Counts]:
        """Summed over all scopes that hold them."""
        out: dict[int, Counts] = defaultdict(lambda: (0, 0, 0))
        for place, (f, h, e) in found:
            for row in self.above(place):
                a, b, c = out[row]
                out[row] = (a + f, b + h, c + e)
        return out

    def streams(self, prop: str) -> list[tuple[int, Counts]]:
        """Datastreams that are declared by a device in service, or heard."""
        fits = [code for code, name in self.declared if prop in ("", name)]
        out = [(int(self.world.entities[code]["scope"]), (0, 0, 1)) for code in fits]
        for (subject, name), e in self.newest.items():
            entity = self.world.entities.get(subject, {})
            if prop not in ("", name) or entity.get("in_service") == 0:
                continue
            fresh = not late(self.now, e["time"], entity.get("period_s"))
            extra = (subject, name) not in self.declared
            out.append((entity.get("scope", e["at"]), (int(fresh), 1, int(extra))))
        return out

    def devices(self) -> list[tuple[int, Counts]]:
        """Devices in service by their newest message."""
        out = []
        for code, entity in self.world.entities.items():
            if entity["kind"] == "device" and entity.get("in_service") == 1:
                heard = code in self.last
                fresh = heard and not late(self.now, self.last[code], entity.get("period_s"))
                out.append((entity["scope"], (int(fresh), int(heard), 1)))
        return out

    def sources(self, feed: str) -> dict[int, Counts]:
        """Sources that are declared for a type or family of events, or said one: the same for every scope."""
        says, newest = self.world.sources, self.spoke
        expected = self.tellers[feed] | {
            s for s, (_, types) in says.items() if any(fnmatchcase(f"{feed}{x}", t) for t in types for x in ("", ".x"))
        }
        heard = [s for s in expected if s in newest]
        fresh = [s for s in heard if not late(self.now, newest[s], says.get(s, (None,))[0])]
        return dict.fromkeys(range(len(self.world.level)), (len(fresh), len(heard), len(expected)))

    def blank(self, values: Values) -> Values:
        """Values without the numbers that nobody ever said: a zero of a desk that was never heard."""
        out = {}
        for key, found in values.items():
            feeds = FEEDS[key.partition("|")[0]][0]
            mute = [self.feeds[f] for f in feeds if f[0] != "obs"]
            out[key] = {r: v for r, v in found.items() if not any(m.get(r, (0, 0, 0))[1] == 0 for m in mute)}
        return out

    def trust(self, id: str, row: int, value: float | None) -> Trust:
        """Quality and inputs of one value of an indicator that has feeds of its own, or none."""
        key = (id, row, value)
        if key not in self.kept:
            self.kept[key] = self.judged(*key)
        return self.kept[key]

    def judged(self, id: str, row: int, value: float | None) -> Trust:
        """What `trust` keeps."""
        feeds, finest, provisional = FEEDS[id]
        if self.world.level[row] > finest:
            return NODATA, 0, 0
        counts = [self.feeds[f].get(row, (0, 0, 0)) for f in feeds]
        fresh, heard, expected = (sum(c[i] for c in counts) for i in range(3))
        if heard and not fresh:
            return STALE, fresh, expected
        if value is None:
            return NODATA, fresh, expected
        return (PARTIAL if fresh < expected else PROVISIONAL if provisional else GOOD), fresh, expected


def known(part: Part) -> bool:
    """Whether a composite may count on it."""
    return part[0] is not None and part[1][0] <= PARTIAL


def missing(part: Part) -> bool:
    """Whether it should be there and is not."""
    quality, fresh, expected = part[1]
    return not known(part) and (quality == STALE or fresh < expected)


def composite(parts: list[Part], scores: list[float | None], least: bool = False) -> Part:
    """Mean (or the least) of the scores that count, its quality, the inputs of all parts."""
    counted = [s for p, s in zip(parts, scores, strict=True) if known(p) and s is not None]
    old = [s for p, s in zip(parts, scores, strict=True) if missing(p) and s is not None]
    gone = sum(missing(p) for p in parts)
    chosen: list[Any] = counted or old
    value = (min(chosen) if least else rounded(sum(chosen) / len(chosen), 1)) if chosen else None
    if counted and gone > len(counted):
        value = None
    fresh, expected = (sum(p[1][i] for p in parts) for i in (1, 2))
    if not any(map(known, parts)) and any(p[1][0] == STALE for p in parts):
        return value, (STALE, fresh, expected)
    if value is None:
        return None, (NODATA, fresh, expected)
    if any(missing(p) or p[1][0] == PARTIAL for p in parts):
        return value, (PARTIAL, fresh, expected)
    provisional = any(p[1][0] == PROVISIONAL for p in parts)
    return value, (PROVISIONAL if provisional else GOOD, fresh, expected)


def inherited(value: float | None, parts: list[Part]) -> Part:
    """A value made of other indicators, with the trust of its parts."""
    fresh, expected = (sum(p[1][i] for p in parts) for i in (1, 2))
    if any(p[1][0] == STALE for p in parts) and not any(known(p) for p in parts):
        return value, (STALE, fresh, expected)
    if value is None:
        return None, (NODATA, fresh, expected)
    if any(missing(p) or p[1][0] == PARTIAL for p in parts):
        return value, (PARTIAL, fresh, expected)
    provisional = any(known(p) and p[1][0] == PROVISIONAL for p in parts)
    return value, (PROVISIONAL if provisional else GOOD, fresh, expected)


def grid_risk(watch: Watch, given: Callable[[str, int], float | None]) -> dict[int, Part]:
    """The risk of every scope from the published values of its parts."""
    found = risk.risks(watch.oracle, watch.live, given)
    out = {}
    for row in range(len(watch.world.level)):
        value = rounded(found[row], 1) if row in found else None
        parts = [(v, watch.trust(i, row, v)) for i in risk.MEASURED for v in [given(i, row)]]
        out[row] = inherited(value, parts)
    return out


def models(watch: Watch, given: Callable[[str, int], float | None]) -> dict[int, Part]:
    """How many indicators have a number at the city that counts, itself left out; nothing where nobody publishes."""
    mine, numbers = "indicator_models", {id: given(id, 0) for id in FEEDS}
    count = sum(known((v, watch.trust(id, 0, v))) for id, v in numbers.items() if id != mine)
    value = float(count) if watch.feeds["indicator.value", ""][0][1] else None
    rows = range(len(watch.world.level))
    return {row: (v, watch.trust(mine, row, v)) for row in rows for v in [None if row else value]}


def composites(
    watch: Watch, given: Callable[[str, int], float | None], scales: Mapping[str, Mapping[int, float]]
) -> dict[str, dict[int, Part]]:
    """Scores and the health index from the published values of their parts (None = no data), and their trust.

    `scales`: by scope row, what the bands of an indicator are shares of; a share of nothing has no score.
    """
    out: dict[str, dict[int, Part]] = defaultdict(dict)
    for row, level in enumerate(watch.world.level):
        if level > 3:
            continue
        themes: dict[str, tuple[list[Part], list[float | None]]] = {}
        for theme, id, best, warn, alarm, *dated in SCALES:
            if dated and not dated[0] <= watch.now < dated[1]:
                continue
            value = given(id, row)
            knots = ((float(best), 100.0), (float(warn), 60.0), (float(alarm), 0.0))
            parts, scores = themes.setdefault(theme, ([], []))
            parts.append((value, watch.trust(id, row, value)))
            if id in scales and value is not None:
                whole = scales[id].get(row)
                value = value / whole if whole else inf if value and whole == 0 else None
            scores.append(None if value is None else interpolate(value, knots))
        found = {theme: composite(*of) for theme, of in themes.items()}
        for theme, part in found.items():
            out[f"theme_score.{theme}"][row] = part
        parts, values = list(found.values()), [p[0] for p in found.values()]
        out["theme_score"][row] = composite(parts, values, least=True)
        out["city_health_index"][row] = composite(parts, values)
    out["grid_risk_score"] = grid_risk(watch, given)
    out["indicator_models"] = models(watch, given)
    return out
