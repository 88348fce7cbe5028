"""Cases around midnight: what the night shift sees to at once, so that a new month has its first numbers in minutes."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import MISSING, Int64, Strings
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.day import HOUR, MINUTE, Day, day_stamp
from citytwin.streams.simulator.incidents import ACCIDENT, CHANNELS, Cases, Life
from citytwin.streams.simulator.writer import table

#: Accidents of the evening whose limit of three hours ends at midnight, and reports that are settled at once.
EVENING, SETTLED = 7, 6


def nights_of_day(day: Day) -> None:
    """The night round of a day: reported shortly before nine in the evening, and in the first minute of the day."""
    rng = day.random("nights")
    evening = day.midnight + 21 * HOUR - MINUTE + np.sort(rng.integers(0, 90_000, EVENING))
    early = day.midnight + 3_000 + np.sort(rng.integers(0, 12_000, SETTLED))
    _live(day, b"E", evening, "patrol", rng, pace=12.0)
    _live(day, b"M", early, "app", rng, pace=400.0)


def _live(day: Day, letter: bytes, time: Int64, channel: str, rng: np.random.Generator, pace: float) -> None:
    """Cases of these times, handled at a pace of their own; all callers answer."""
    n = len(time)
    code = table([b"C", day_stamp(day.day).encode(), b"-", letter, noise.digits(np.arange(1, n + 1), 4)], n)
    lon, lat = day.town.near(rng, day.town.draw(rng, n))
    cases = Cases(
        code, time, np.full(n, ACCIDENT), np.full(n, CHANNELS.index(channel)), lon, lat, np.full(n, MISSING),
        Strings.empty(n),
    )  # fmt: skip
    life = Life(day.town, day.writer, day.box, cases, rng, pace=pace, answer=1.0, cut_ms=day.cut_ms)
    life.live()
