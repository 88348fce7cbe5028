"""A local day that is planned at once: each family has chance of its own, and ids that a second plan gives again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from citytwin.models.columns import Bool, Float64, Int64, Strings, UInt8
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, joined

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
#: Parts of ids of one width: constant bytes and columns of digits.
Stem = list[bytes | UInt8]


@dataclass(frozen=True, slots=True)
class Day:
    """Local day number `day` of a town; nothing is told of what began before `cut_ms`."""

    town: Town
    writer: Writer
    box: Outbox
    seed: int
    day: int
    cut_ms: int = 0

    @property
    def midnight(self) -> int:
        """Its first millisecond, ms UTC."""
        return self.day * DAY - self.town.offset_ms

    @property
    def works(self) -> bool:
        """Whether it is a working day."""
        return self.town.works(self.day)

    def random(self, name: str) -> np.random.Generator:
        """The generator of one family on this day."""
        return noise.generator(self.seed, name, self.day)

    def stem(self, letters: bytes, n: int, width: int = 5) -> Stem:
        """Codes of `n` things that begin on this day: letters, date, number."""
        return [letters, day_stamp(self.day).encode(), b"-", noise.digits(np.arange(1, n + 1), width)]

    def say(
        self, type: str, time: Int64, stem: Stem, source: str, *, word: str = "", subject: Strings | None = None,
        at: tuple[Float64, Float64] | None = None, fields: Mapping[str, Plain] | None = None, who: Bool | None = None,
        begun: Int64 | None = None, delay: int = 80, per_unit: int | None = None,
    ) -> None:  # fmt: skip
        """Put events into the box: of those in `who`, and of things that began (`begun`, ms) after the cut."""
        n = len(time)
        ids = joined([*stem, f".{word}".encode()] if word else stem, n)
        lon, lat = (None, None) if at is None else at
        batch = self.writer.batch(
            type, time, ids, source, subject=subject, lon=lon, lat=lat, fields=fields, per_unit=per_unit
        )
        if batch is None or not n:
            return
        said = np.ones(n, np.bool_) if who is None else who
        if begun is not None:
            said = said & (begun > self.cut_ms)
        self.box.add(batch.take(said), time[said] + delay)


@dataclass(frozen=True, slots=True)
class Family:
    """Events that are planned by the day.

    `lasts`: what begins on a day may still be told of so many days later. `kept`: of a history only the last so many
    days are planned, as nobody reads older ones. `before`: of so many days before a history what comes late is told.
    """

    plan: Callable[[Day], None]
    lasts: int = 1
    kept: int = 10_000
    before: int = 0


def hours_of(rng: np.random.Generator, per_day: float, shape: Float64, every_ms: int = 0) -> Int64:
    """Times of day in ms, Poisson in each hour by a profile: int64[n], ascending.

    `every_ms`: besides those, one in each such span of the day, so that it is never quiet for two of them.
    """
    hour = np.repeat(np.arange(24), rng.poisson(per_day * shape / shape.sum()))
    time = hour * HOUR + rng.integers(0, HOUR, len(hour))
    if every_ms:
        spans = np.arange(0, DAY, every_ms)
        time = np.concatenate([time, spans + rng.integers(0, every_ms, len(spans))])
    return np.sort(time).astype(np.int64)


def office_hours(rng: np.random.Generator, n: int) -> Int64:
    """Times of day in ms between half past eight and half past five: int64[n], ascending."""
    return np.sort(rng.integers(8 * HOUR + 30 * MINUTE, 17 * HOUR + 30 * MINUTE, n)).astype(np.int64)


def people(rng: np.random.Generator, n: int, of: int = 300_000) -> Strings:
    """Keyed hashes of people, some of whom come back: 32 hex digits each."""
    who = rng.integers(0, of, n)
    return joined([noise.hex_digits(noise.bits(7, "person", who)), noise.hex_digits(noise.bits(8, "person", who))], n)


def day_stamp(day: int) -> str:
    """Local day number as YYYYMMDD."""
    return str(np.datetime64(day, "D")).replace("-", "")


def in_span(from_ms: int, to_ms: int, period_ms: int, phase: Int64) -> tuple[Int64, Int64]:
    """Who of n speaks when in [from, to), each every period at a phase of its own (ms): rows and times, int64."""
    first = -(-(from_ms - phase) // period_ms) * period_ms + phase
    count = np.maximum(-(-(to_ms - first) // period_ms), 0)
    who = np.repeat(np.arange(len(phase)), count)
    step = np.arange(len(who)) - np.repeat(np.cumsum(count) - count, count)
    return who.astype(np.int64), first[who] + step * period_ms
