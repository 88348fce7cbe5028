"""The baseline: job W by a plain Python loop, an event at a time, with dicts; the same outputs at three levels.

Written as a careful programmer would without columns: a C parser for JSON, places of fixed devices remembered, sums as
integers so that they are exact, windows as running sums, and only touched scopes worked out at a tick.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import msgspec
import shapely

from citytwin.bench.job import START_MS
from citytwin.bench.measures import KINDS, OVER
from citytwin.bench.town import BOX, BenchCity

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_MINUTE, _PANE, _PANES = 60_000, 10_000, 30
_KIND = {k: i for i, k in enumerate(KINDS)}
_QUALITY = {"good", "suspect", "bad"}
#: Places in an accumulator: n, sum v1, sum v2, over, good, max v1, min v2; for windows n and sum of each kind follow.
_N, _S1, _S2, _OVER, _GOOD, _MAX, _MIN = range(7)
_LOW = -(2**62)

Values = dict[str, float | None]


def _empty() -> list[Any]:
    return [0, 0, 0, 0, 0, _LOW, -_LOW, set()]


def _empty_pane() -> list[int]:
    return [0, 0, 0, 0, 0, _LOW, -_LOW, *([0] * (2 * len(KINDS)))]


def _rounded(value: float) -> float:
    return round(value * 1000) / 1000


def _mean(total: int, n: int) -> float | None:
    return _rounded(total / 100 / n) if n else None


def _share(part: int, n: int) -> float | None:
    return _rounded(100 * part / n) if n else None


class Plain:
    """State of the job as dicts; `step` takes one line in, `tick` gives the message of what changed."""

    def __init__(self, city: BenchCity) -> None:
        tree, locator = city.scopes, city.locator
        self._paths = {int(r): (int(r), int(tree.ancestors()[r, 1]), 0) for r in city.cell_rows}
        self._raster: memoryview[int] = memoryview(locator._raster.tobytes()).cast("i")
        self._locator, self._frame = locator, locator._frame
        self._shapes = list(locator._shapes)
        self._rows: list[int] = locator._rows.tolist()
        self._lists = locator._start.tolist(), locator._candidates.tolist()
        self._devices = {city.entities.code(i): i for i in range(city.entities.n)}
        self.seen: set[str] = set()
        self.place: dict[str, tuple[float, float, int]] = {}
        self.newest: dict[str, tuple[Any, ...]] = {}
        self.minutes: dict[int, dict[int, list[Any]]] = defaultdict(dict)
        self.panes: dict[int, dict[int, list[int]]] = defaultdict(dict)
        self.window: dict[int, list[int]] = {}
        self.minute, self.pane = START_MS // _MINUTE, START_MS // _PANE
        self.touched: set[int] = set()
        self.last: dict[int, tuple[Any, ...]] = {}
        self.accepted = self.refused = self.values = 0

    def locate(self, lon: float, lat: float) -> int:
        """Scope row of the cell at a place, -1 outside."""
        frame = self._frame
        (sx, sy), top = frame.scale, frame.pixels - 1
        column, line = min(int((lon - frame.west) * sx), top), min(int((lat - frame.south) * sy), top)
        found: int = self._raster[line * frame.pixels + column]
        if found >= -1:
            return self._rows[found] if found >= 0 else -1
        cuts, candidates = self._lists
        for k in range(cuts[-2 - found], cuts[-1 - found]):
            if shapely.intersects_xy(self._shapes[candidates[k]], lon, lat):
                row: int = self._rows[candidates[k]]
                return row
        return -1

    def step(self, line: bytes) -> None:
        """One line in: parse, check, deduplicate, locate, keep the newest, add up."""
        try:
            event = _decode(line)
            id, device, kind, time = event["id"], event["device"], event["type"], event["t"]
            lon, lat, v1, v2, quality = event["lon"], event["lat"], event["v1"], event["v2"], event["q"]
            west, south, east, north = BOX
            ok = (
                isinstance(id, str) and id != "" and isinstance(time, int) and device in self._devices
                and kind in _KIND and quality in _QUALITY and west <= lon <= east and south <= lat <= north
                and -1e6 <= v1 <= 1e6 and -1e6 <= v2 <= 1e6
            )  # fmt: skip
        except (msgspec.DecodeError, KeyError, TypeError):
            ok = False
        if not ok or id in self.seen:
            self.refused += 1
            return
        self.seen.add(id)
        known = self.place.get(device)
        if known is not None and known[0] == lon and known[1] == lat:
            cell = known[2]
        else:
            cell = self.locate(lon, lat)
            self.place[device] = (lon, lat, cell)
        before = self.newest.get(device)
        if before is None or (time, id) > (before[0], before[1]):
            self.newest[device] = (time, id, kind, lon, lat, v1, v2, quality, cell)
        self.accepted += 1
        self._add(cell, device, _KIND[kind], time, round(v1 * 100), round(v2 * 100), v1 > OVER, quality == "good")

    def _add(self, cell: int, device: str, kind: int, time: int, v1: int, v2: int, over: bool, good: bool) -> None:
        minutes, pane = self.minutes[time // _MINUTE], time // _PANE
        panes = self.panes[pane]
        inside = self.pane - _PANES < pane <= self.pane
        for scope in self._paths[cell]:
            acc = minutes.get(scope)
            if acc is None:
                acc = minutes[scope] = _empty()
            _count(acc, v1, v2, over, good)
            acc[7].add(device)
            part = panes.get(scope)
            if part is None:
                part = panes[scope] = _empty_pane()
            whole = self.window.get(scope)
            if whole is None:
                whole = self.window[scope] = _empty_pane()
            for each in (part, whole) if inside else (part,):
                _count(each, v1, v2, over, good)
                each[7 + 2 * kind] += 1
                each[8 + 2 * kind] += v1
            self.touched.add(scope)

    def tick(self, now: int) -> bytes:
        """Move the clock; the JSON message of all values that changed, by aggregate."""
        minute, pane = now // _MINUTE, now // _PANE
        while self.pane < pane:
            self.pane += 1
            self._slide(self.panes.pop(self.pane - _PANES, {}), self.panes.get(self.pane, {}))
        if minute != self.minute:
            for m in [m for m in self.minutes if m < minute - 1]:
                self.touched.update(self.minutes.pop(m))
            self.touched.update(self.minutes.get(minute - 1, ()))
            self.minute = minute
        out: dict[str, tuple[list[int], list[Any], list[Any]]] = {}
        for scope in self.touched:
            fresh = self._values(scope)
            old = self.last.get(scope)
            for i, name in enumerate(NAMES):
                if old is None or old[i] != fresh[i]:
                    k, v, c = out.setdefault(name, ([], [], []))
                    k.append(scope)
                    v.append(fresh[i][0])
                    c.append(fresh[i][1])
            self.last[scope] = fresh
        self.touched.clear()
        self.values += sum(len(k) for k, _, _ in out.values())
        return _encode(out)

    def _slide(self, gone: dict[int, list[int]], come: dict[int, list[int]]) -> None:
        """Take what left out of the running sums; the largest is looked for again in the panes that are left."""
        for scope, part in come.items():  # readings ahead of the clock were kept out of the window until now
            whole = self.window[scope]
            for i, x in enumerate(part):
                whole[i] = max(whole[i], x) if i == _MAX else min(whole[i], x) if i == _MIN else whole[i] + x
        kept = [self.panes[p] for p in self.panes if self.pane - _PANES < p <= self.pane]
        for scope, part in gone.items():
            whole = self.window[scope]
            for i, x in enumerate(part):
                if i not in (_MAX, _MIN):
                    whole[i] -= x
            whole[_MAX] = max((p[scope][_MAX] for p in kept if scope in p), default=_LOW)
        self.touched.update(gone)
        self.touched.update(come)

    def _values(self, scope: int) -> tuple[tuple[float | None, float | None], ...]:
        """(value, last closed value) of each aggregate of NAMES at a scope; a sliding one has none closed."""
        open_, closed = (_minute(self.minutes.get(m, {}).get(scope)) for m in (self.minute, self.minute - 1))
        w = self.window.get(scope) or _empty_pane()
        n = w[_N]
        sliding = [
            float(n), _mean(w[_S1], n), _mean(w[_S2], n), _share(w[_OVER], n), _share(w[_GOOD], n),
            w[_MAX] / 100 if n else None, *(_mean(w[8 + 2 * k], w[7 + 2 * k]) for k in range(len(KINDS))),
        ]  # fmt: skip
        return (*zip(open_, closed, strict=True), *((v, None) for v in sliding))

    def at(self, scope: int) -> dict[str, tuple[float | None, float | None]]:
        """(value, closed) by the name of the aggregate."""
        return dict(zip(NAMES, self._values(scope), strict=True))


def _count(acc: list[Any], v1: int, v2: int, over: bool, good: bool) -> None:
    acc[_N] += 1
    acc[_S1] += v1
    acc[_S2] += v2
    acc[_OVER] += over
    acc[_GOOD] += good
    acc[_MAX] = max(acc[_MAX], v1)
    acc[_MIN] = min(acc[_MIN], v2)


def _minute(acc: list[Any] | None) -> list[float | None]:
    a = acc or _empty()
    n = a[_N]
    return [
        float(n), _mean(a[_S1], n), _mean(a[_S2], n), _share(a[_OVER], n), _share(a[_GOOD], n),
        a[_MAX] / 100 if n else None, float(len(a[7])), a[_MIN] / 100 if n else None,
    ]  # fmt: skip


_SAME = ("events", "mean_v1", "mean_v2", "over", "good", "max_v1")
#: Aggregates in the order of `_values`, by the ids of `measures`.
NAMES = (
    *(f"w_{n}_1m" for n in _SAME), "w_devices_1m", "w_min_v2_1m", *(f"w_{n}_5m" for n in _SAME),
    *(f"w_{k}_5m" for k in KINDS),
)  # fmt: skip


def same(value: float | None, other: float) -> bool:
    """Whether a value of the loop equals one of the engine, None being NaN."""
    return math.isnan(other) if value is None else value == other
