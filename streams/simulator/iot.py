"""Telemetry: what each datastream reads at a time, and the faults of real telemetry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Bool, Coded, Float64, Int32, Int64
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.troubles import Troubles
from citytwin.streams.simulator.weather import Weather
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, joined

#: Shares of readings (per reading) with a fault, and of devices that say nothing for a span of six hours.
LATE, DUPLICATE, CORRECTED, BAD, SILENT = 0.05, 0.002, 0.0005, 0.005, 0.012
SILENCE_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class Curve:
    """An ordinary reading: base, spread between devices, swing over the day with its peak hour, noise; all in units."""

    base: float
    spread: float = 0.0
    swing: float = 0.0
    peak_hour: float = 14.0
    noise: float = 0.0
    whole: bool = False


CURVES: dict[str, Curve] = {
    "water.ph": Curve(7.3, 0.14, 0.05, 14.0, 0.04),
    "water.chlorine": Curve(0.45, 0.08, 0.03, 14.0, 0.03),
    "gas.pressure": Curve(2.2, 0.15, -0.1, 18.5, 0.03),
    "air.pm25": Curve(42.0, 8.0, 12.0, 8.0, 4.0, True),
    "air.pm10": Curve(68.0, 12.0, 16.0, 8.0, 6.0, True),
    "air.so2": Curve(8.0, 2.0, 2.0, 10.0, 1.0, True),
    "air.no2": Curve(34.0, 6.0, 14.0, 19.0, 3.0, True),
    "air.o3": Curve(80.0, 10.0, 55.0, 15.0, 6.0, True),
    "air.co": Curve(0.8, 0.1, 0.2, 8.0, 0.05),
    "power.load": Curve(420.0, 120.0, 130.0, 20.0, 15.0),
    "power.frequency": Curve(50.0, 0.0, 0.0, 12.0, 0.012),
    "weather.humidity": Curve(72.0, 4.0, -12.0, 15.0, 1.5),
    "weather.wind": Curve(2.6, 0.5, 0.8, 15.0, 0.6),
    "traffic.occupancy": Curve(22.0, 6.0, 10.0, 17.0, 3.0),
    "parking.spaces": Curve(300.0, 0.0, 0.0, 12.0, 0.0, True),
    "lamp.power": Curve(110.0, 15.0, 0.0, 12.0, 4.0),
    "wq.do": Curve(7.0, 0.8, 0.8, 15.0, 0.2),
    "wq.codmn": Curve(3.4, 0.9, 0.2, 12.0, 0.15),
    "wq.cod": Curve(14.0, 3.0, 0.6, 12.0, 0.6),
    "wq.bod5": Curve(2.6, 0.6, 0.1, 12.0, 0.15),
    "wq.nh3n": Curve(0.55, 0.25, 0.05, 12.0, 0.04),
    "wq.tp": Curve(0.11, 0.04, 0.01, 12.0, 0.008),
    "wq.ph": Curve(7.5, 0.2, 0.05, 14.0, 0.05),
    "wq.temp": Curve(18.0, 0.5, 1.0, 16.0, 0.1),
    "wq.tn": Curve(1.1, 0.3, 0.05, 12.0, 0.06),
}


@dataclass(slots=True)
class Telemetry:
    """Readings of all datastreams of a town; a reading depends only on (seed, datastream, time)."""

    town: Town
    writer: Writer
    weather: Weather
    seed: int
    #: Water at low points in cm, a function of (datastream rows, times): the story knows of the pumps.
    depth: Callable[[Int64, Int64], Float64]
    troubles: Troubles = field(default_factory=Troubles)
    phase: Int64 = field(init=False)
    silent_share: float = SILENT
    special: Mapping[str, Callable[[Telemetry, Int64, Int64], Float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        s = self.town.streams
        share = noise.uniform(self.seed, "phase", s.device, s.property.astype(np.int64))
        self.phase = (share * s.period_ms).astype(np.int64) // 1000 * 1000

    def due(self, from_ms: int, to_ms: int, rows: Int64 | None = None) -> tuple[Int64, Int64]:
        """Readings in [from, to): datastream row and time of each (int64), ordered by time."""
        pick = np.arange(len(self.town.streams)) if rows is None else rows
        period, phase = self.town.streams.period_ms[pick], self.phase[pick]
        first = -((phase - from_ms) // period) * period + phase
        n = np.maximum(-((first - to_ms) // period), 0)
        which = np.repeat(np.arange(len(pick)), n)
        step = np.arange(len(which)) - np.repeat(np.cumsum(n) - n, n)
        time = first[which] + step * period[which]
        speaks = ~self.silent(pick[which], time)
        which, time = which[speaks], time[speaks]
        order = np.argsort(time, kind="stable")
        return pick[which[order]], time[order]

    def silent(self, rows: Int64, time: Int64) -> Bool:
        """Whether the device of a datastream says nothing in the six hours around a time."""
        return self.quiet(self.town.streams.device[rows], time)

    def quiet(self, device: Int64, time: Int64) -> Bool:
        """The same by the rows of the devices."""
        quiet: Bool = noise.uniform(self.seed, "silent", device, time // SILENCE_MS) < self.silent_share
        return quiet

    def at_random(self, from_ms: int, to_ms: int, rate: float) -> tuple[Int64, Int64]:
        """Readings at `rate` a second, evenly over time and round robin over the datastreams: for load tests."""
        serial = np.arange(int(rate * from_ms / 1000), int(rate * to_ms / 1000), dtype=np.int64)
        return serial % len(self.town.streams), (serial * 1000 / rate).astype(np.int64).clip(from_ms, to_ms - 1)

    def values(self, rows: Int64, time: Int64) -> Float64:
        """The true reading of each (datastream, time), in the units of its property: float64[n]."""
        s, out = self.town.streams, np.full(len(rows), np.nan)
        kind = s.property[rows]
        for index, name in enumerate(s.properties):
            at = np.flatnonzero(kind == index)
            if len(at):
                out[at] = self.reading(name, rows[at], time[at])
        return self.troubles.apply(rows, time, out)

    def reading(self, name: str, rows: Int64, time: Int64) -> Float64:
        """Readings of one property."""
        special = self.special.get(name)
        if special is not None:
            return special(self, rows, time)
        s, prop = self.town.streams, self.town.vocabulary.properties[name]
        curve = CURVES.get(name) or Curve((prop.lo + min(prop.hi, prop.lo + 100.0)) / 2)
        own = noise.normal(self.seed, name, s.device[rows])
        jitter = noise.normal(self.seed, name + "~", s.device[rows], time // 1000)
        hour = self.hour(time)
        swing = curve.swing * np.cos((hour - curve.peak_hour) * np.pi / 12)
        value = curve.base + own * curve.spread + swing + jitter * curve.noise
        return np.clip(np.rint(value) if curve.whole else value, max(prop.lo, 0.0), prop.hi)

    def hour(self, time: Int64) -> Float64:
        """Local hour of the day, 0 to 24."""
        return np.asarray((time + self.town.offset_ms) % 86_400_000 / 3_600_000)

    def rain_at(self, rows: Int64, time: Int64) -> Float64:
        """Rain in mm/min at the devices of datastreams."""
        at = self.town.streams.device[rows]
        return self.weather.rain(time, self.town.streams.devices.lon[at], self.town.streams.devices.lat[at])

    def send(self, box: Outbox, rows: Int64, time: Int64) -> None:
        """Put the readings of (datastream, time) pairs into the outbox, with the faults of real telemetry."""
        if not len(rows) or not self.writer.knows("obs"):
            return
        stream, second = rows, time
        chance = noise.uniform(self.seed, "fault", stream, second)
        bad = noise.uniform(self.seed, "bad", stream, second) < BAD
        value = self.values(rows, time)
        value = np.where(bad, value * 1.8, value)
        extra = noise.uniform(self.seed, "delay", stream, second)
        delay = np.where(chance < LATE, 1_000 + extra * 29_000, 50 + extra * 700).astype(np.int64)
        arrival = time + delay
        batch = self.batch(rows, time, value, bad)
        box.add(batch, arrival)
        again = (chance > 0.5) & (chance < 0.5 + DUPLICATE)
        if batch is not None and again.any():
            box.add(batch.take(again), arrival[again] + 1_000 + (extra[again] * 20_000).astype(np.int64))
        wrong = (chance > 0.7) & (chance < 0.7 + CORRECTED) & ~bad
        if wrong.any():
            fixed = self.correction(rows[wrong], time[wrong], value[wrong] * 0.97)
            box.add(fixed, arrival[wrong] + 5_000 + (extra[wrong] * 20_000).astype(np.int64))

    def batch(self, rows: Int64, time: Int64, value: Float64, bad: Bool, mark: bytes = b"o") -> EventBatch | None:
        """The obs events of readings; ids are made of datastream and time, so a reading has one id for ever."""
        s, words = self.town.streams, self.town.vocabulary
        scale = np.array([words.properties[p].per_unit for p in s.properties], np.int64)[s.property[rows]]
        lo = np.array([words.properties[p].lo for p in s.properties])[s.property[rows]]
        hi = np.array([words.properties[p].hi for p in s.properties])[s.property[rows]]
        ids = joined([mark, noise.digits(rows, 7), b"-", noise.digits(time, 13)], len(rows))
        fields: dict[str, Plain] = {
            "property": Coded(s.property[rows].astype(np.int32), s.properties),
            "value": np.clip(value, lo, hi),
            "quality": Coded(np.where(bad, 1, 0).astype(np.int32), ("good", "bad")),
        }
        source = Coded(self.family()[s.property[rows]], self.families())
        return self.writer.batch(
            "obs", time, ids, source, subject=s.devices.code.take(s.device[rows]), per_unit=scale, fields=fields
        )

    def correction(self, rows: Int64, time: Int64, value: Float64) -> EventBatch | None:
        """Revision 1 of readings: the same device, property and time, another value."""
        made = self.batch(rows, time, value, np.zeros(len(rows), np.bool_), b"c")
        if made is None:
            return None
        original = joined([b"o", noise.digits(rows, 7), b"-", noise.digits(time, 13)], len(rows))
        return EventBatch.of(
            "obs", made.time, made.id, made.source, made.subject, corrects=original,
            revision=np.ones(len(rows), np.int32), fields=made.fields,
        )  # fmt: skip

    def families(self) -> tuple[str, ...]:
        """Names of the sources: one gateway for each family of properties."""
        return tuple(sorted({f"iot/{p.split('.')[0]}" for p in self.town.streams.properties}))

    def family(self) -> Int32:
        """Index into `families` for each property (int32)."""
        names = self.families()
        return np.array([names.index(f"iot/{p.split('.')[0]}") for p in self.town.streams.properties], np.int32)
