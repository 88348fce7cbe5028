"""Weather of the city: fronts that move over it, rain at any place and minute, standing water at low points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from citytwin.models.columns import Float64, Int64
from citytwin.streams.simulator import noise

MINUTE = 60_000
DAY = 86_400_000
#: A degree of longitude is this much shorter than one of latitude (cosine of 30.5 degrees).
SQUEEZE = 0.862
#: A front is seen coming so long before it rains.
SEEN_MS = 600_000
#: Drains swallow this much rain, mm a minute; only what comes beyond it stands.
DRAIN_MM_MIN = 0.4


@dataclass(frozen=True, slots=True)
class Front:
    """A patch of rain, at most `peak` mm/min, `width` degrees wide; it moves (`dx`, `dy`) degrees in `length_ms`."""

    start_ms: int
    length_ms: int
    peak: float
    lon: float
    lat: float
    dx: float
    dy: float
    width: float

    def rate(self, t: Int64, lon: Float64, lat: Float64) -> Float64:
        """Rain in mm/min at places and times (broadcast together)."""
        u = (t - self.start_ms) / self.length_ms
        inside = (u > 0) & (u < 1)
        x = (lon - self.lon - self.dx * (u - 0.5)) * SQUEEZE
        y = lat - self.lat - self.dy * (u - 0.5)
        shape = np.exp(-(x * x + y * y) / (2 * self.width * self.width))
        return np.asarray(np.where(inside, self.peak * np.sin(np.pi * np.clip(u, 0, 1)) ** 2 * shape, 0.0))


@dataclass(slots=True)
class Weather:
    """Fronts of ordinary days (by seed) up to `calm_from_ms`, and those that a story adds."""

    seed: int
    lon: float
    lat: float
    calm_from_ms: int
    story: Sequence[Front] = ()

    def ordinary(self, day: int) -> list[Front]:
        """Fronts of one UTC day: most days none, some two; light to heavy, never a cloudburst."""
        rng = noise.generator(self.seed, "weather", day)
        fronts = []
        for _ in range(int(rng.poisson(0.5))):
            start = day * DAY + int(rng.integers(0, DAY))
            angle, length = rng.uniform(0, 2 * np.pi), int(rng.uniform(1.0, 5.0) * 60) * MINUTE
            lon, lat = self.lon + rng.normal(0, 0.15), self.lat + rng.normal(0, 0.12)
            peak, path = float(rng.gamma(1.5, 0.12)), 0.6
            front = Front(start, length, peak, lon, lat, path * np.cos(angle), path * np.sin(angle), 0.2)
            if start + length < self.calm_from_ms:
                fronts.append(front)
        return fronts

    def fronts(self, from_ms: int, to_ms: int) -> list[Front]:
        """All fronts that rain at some time of the span."""
        days = range((from_ms - 6 * 60 * MINUTE) // DAY, to_ms // DAY + 1)
        every = [f for day in days for f in self.ordinary(day)] + list(self.story)
        return [f for f in every if f.start_ms < to_ms and f.start_ms + f.length_ms > from_ms]

    def usual(self, t: Int64) -> Float64:
        """Rain of ordinary fronts in mm/min over the middle of the city: what cases of a day are planned with."""
        out = np.zeros(len(t))
        for day in range(int(t.min()) // DAY - 1, int(t.max()) // DAY + 1):
            for front in self.ordinary(day):
                out += front.rate(t, np.full(len(t), self.lon), np.full(len(t), self.lat))
        return out

    def rain(self, t: Int64, lon: Float64, lat: Float64) -> Float64:
        """Rain in mm/min at places and times: float64 of their broadcast shape."""
        out = np.zeros(np.broadcast_shapes(t.shape, lon.shape))
        if t.size:
            for front in self.fronts(int(t.min()), int(t.max()) + 1):
                out += front.rate(t, lon, lat)
        return out

    def ahead(self, t: Int64, lon: Float64, lat: Float64) -> Float64:
        """Rain of the next hour in mm, of fronts that begin within ten minutes: later ones nobody sees coming."""
        out = np.zeros(len(t))
        if not len(t):
            return out
        step = np.arange(0, 60 * MINUTE, 2 * MINUTE)
        for front in self.fronts(int(t.min()), int(t.max()) + 60 * MINUTE):
            seen = np.flatnonzero(front.start_ms <= t + SEEN_MS)
            if len(seen):
                out[seen] += 2 * front.rate(t[seen, None] + step, lon[seen, None], lat[seen, None]).sum(axis=1)
        return out

    def standing(
        self, t: Int64, lon: Float64, lat: Float64, gain: Float64, pace: float = 1.0, hours: float = 2.0
    ) -> Float64:
        """Water in cm at low points: what the drains left of the rain of the last hours, draining off by itself.

        `gain` cm of water per mm left over; `pace` > 1 plays rise and fall faster, as a story does.
        """
        step = int(MINUTE / pace)
        back = np.arange(0, int(hours * 60)) * step
        if not len(t) or not self.fronts(int(t.min()) - int(back[-1]), int(t.max()) + 1):
            return np.zeros(len(t))
        rain = self.rain((t[:, None] - back), lon[:, None], lat[:, None])
        left = np.maximum(rain - DRAIN_MM_MIN, 0.0) * np.exp(-back / (12 * step))
        return np.asarray(gain * left.sum(axis=1))
