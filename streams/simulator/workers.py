"""Grid workers: each has a beat of a few neighbouring grids, stays mostly in one of them, and walks by shifts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from citytwin.models.columns import Bool, Coded, Float64, Int64
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.day import DAY, HOUR, MINUTE, in_span
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, joined

#: A worker on duty says every five minutes where it is.
POSITION_MS = 5 * MINUTE
#: Begin and length of a shift (local hours), share of the workers: by day, late, at night.
SHIFTS = ((7.75, 9.5, 0.62), (12.5, 9.0, 0.28), (20.5, 12.0, 0.1))


@dataclass(slots=True)
class Workers:
    """Where each worker is at any time; worker w walks the grids [first[w], last[w]) in the order of their codes."""

    town: Town
    writer: Writer
    seed: int
    most: int = 1_500
    full_ms: int = 30 * MINUTE
    kept_ms: int = DAY
    lag_ms: int = 0
    first: Int64 = field(init=False)
    last: Int64 = field(init=False)
    begins: Float64 = field(init=False)
    lasts: Float64 = field(init=False)
    _grid: Int64 = field(init=False)

    def __post_init__(self) -> None:
        grids = len(self.town.grids)
        n = min(self.most, max(grids // 6, 1)) if grids else 0
        self._grid = np.argsort(np.array(self.town.grids.code.tolist(), dtype=str), kind="stable").astype(np.int64)
        edge = np.arange(n + 1, dtype=np.int64) * grids // max(n, 1)
        self.first, self.last = edge[:-1], edge[1:]
        shift = np.searchsorted(np.cumsum([s[2] for s in SHIFTS]), noise.uniform(self.seed, "shift", np.arange(n)))
        shift = np.minimum(np.where(np.arange(n) == 0, 2, shift), 2)
        self.begins = np.array([s[0] for s in SHIFTS])[shift] + noise.uniform(self.seed, "begins", np.arange(n)) * 0.5
        self.lasts = np.array([s[1] for s in SHIFTS])[shift]

    def on_duty(self, who: Int64, time: Int64) -> Bool:
        """Whether workers are on duty at times; some have a day off."""
        into, day = self._into(who, time)
        works = noise.uniform(self.seed, "day off", who, day) > 0.03
        return (into < self.lasts[who]) & works

    def _into(self, who: Int64, time: Int64) -> tuple[Float64, Int64]:
        """Hours since the last begin of each worker's shift, and the local day of that begin."""
        since = time + self.town.offset_ms - (self.begins[who] * HOUR).astype(np.int64)
        return since % DAY / HOUR, since // DAY

    def stop(self, who: Int64, time: Int64) -> Int64:
        """The grid in which a worker is (rows of `town.grids`): at home but for one short visit to each other grid."""
        into, day = self._into(who, time)
        size = self.last[who] - self.first[who]
        # the shift has as many hours of visits as grids: in each the worker is away for some minutes
        turn = (into / self.lasts[who] * size).astype(np.int64)
        span = self.lasts[who] / np.maximum(size, 1) * 60
        leaves = 3 + noise.uniform(self.seed, "leaves", who, day, turn) * np.maximum(span - 14, 1)
        minutes = (into / self.lasts[who] * size) % 1.0 * span - leaves
        there = (minutes > 0) & (minutes < 7)
        skip = noise.uniform(self.seed, "skips", who, day, turn) < 0.02
        return self._grid[self.first[who] + np.where(there & ~skip, np.minimum(turn, size - 1), size // 2)]

    def home(self, who: Int64) -> Int64:
        """The grid that each worker answers for (rows of `town.grids`)."""
        return self._grid[self.first[who] + (self.last[who] - self.first[who]) // 2]

    def minute(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Positions of those on duty in [from, to), and a last one of those whose shift ended."""
        who, time = self._due(from_ms, to_ms)
        on, before = self.on_duty(who, time), self.on_duty(who, time - POSITION_MS)
        said = on | before
        self._say(box, who[said], time[said], on[said])

    def past(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """The first position in each grid that a worker came to, and the last of a shift."""
        who, time = self._due(from_ms, to_ms)
        on, before = self.on_duty(who, time), self.on_duty(who, time - POSITION_MS)
        moved = on & (~before | (self.stop(who, time) != self.stop(who, time - POSITION_MS)))
        said = moved | (before & ~on)
        self._say(box, who[said], time[said], on[said])

    def _due(self, from_ms: int, to_ms: int) -> tuple[Int64, Int64]:
        phase = np.arange(len(self.first), dtype=np.int64) * 7_001 % 300 * 1_000
        return in_span(from_ms, to_ms, POSITION_MS, phase)

    def _say(self, box: Outbox, who: Int64, time: Int64, on: Bool) -> None:
        n = len(who)
        if not n:
            return
        grid, home = self.stop(who, time), self.home(who)
        turn = 6.28 * noise.uniform(self.seed, "steps", who, time)
        reach = 0.00025 * np.sqrt(noise.uniform(self.seed, "reach of steps", who, time))
        lon, lat = self.town.grids.lon[grid] + reach * np.cos(turn), self.town.grids.lat[grid] + reach * np.sin(turn)
        some, at = np.unique(home, return_inverse=True)
        fields: dict[str, Plain] = {
            "speed": np.rint(40 * noise.uniform(self.seed, "pace", who, time)) / 10, "kind": ["grid_worker"] * n,
            "home": Coded(at.astype(np.int32), tuple(self.town.grids.code.take(some).tolist())),
            "on_duty": on.astype(np.int8),
        }  # fmt: skip
        ids = joined([b"w", noise.digits(who, 5), b"-", noise.digits(time, 13)], n)
        subject = joined([b"worker-", noise.digits(who, 5)], n)
        batch = self.writer.batch(
            "vehicle.pos", time, ids, "grid/workers", subject=subject, lon=lon, lat=lat, fields=fields
        )
        box.add(batch, time + 150)
