"""Units of the city: they circle at home, drive to what they are sent to, and come back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from citytwin.models.columns import Bool, Coded, Float64, Int64
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.day import DAY, HOUR
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, joined

#: A unit says where it is every 15 seconds and what it does every 10 minutes.
POSITION_MS, STATE_MS = 15_000, 600_000
#: Shifts change at 8 and at 20 o'clock.
SHIFTS_MS = (8 * HOUR, 20 * HOUR)


@dataclass(frozen=True, slots=True)
class Trip:
    """Unit `unit` leaves at `depart`, is there at `arrive`, turns at `back` and is home as long after as it drove."""

    unit: int
    depart: int
    arrive: int
    back: int
    lon: float
    lat: float

    @property
    def home(self) -> int:
        """When the unit is back."""
        return self.back + self.arrive - self.depart


@dataclass(slots=True)
class Units:
    """Where each unit is and what it does, at any time after the last trip that is remembered."""

    town: Town
    writer: Writer
    seed: int
    trips: deque[Trip] = field(default_factory=lambda: deque(maxlen=512))

    def nearest(self, lon: float, lat: float, time: int, skill: str = "") -> int:
        """The nearest unit that is free at a time, one with a skill if any of those is; -1 if none is."""
        busy = [t.unit for t in self.trips if t.home > time]
        far = np.hypot(self.town.units.lon - lon, self.town.units.lat - lat)
        far[busy] = np.inf
        able = np.array([skill in words.split() for words in self.town.units.skills], np.bool_)
        if np.isfinite(far[able]).any():
            far[~able] = np.inf
        return int(far.argmin()) if len(far) and np.isfinite(far).any() else -1

    def assign(self, trip: Trip, box: Outbox) -> None:
        """Note a trip and say so: busy when it begins, ready when the unit is home."""
        self.trips.append(trip)
        at = np.array([trip.unit, trip.unit], np.int64)
        self.say(box, at, np.array([trip.depart, trip.home], np.int64), np.array([1, 0]))

    def circle(self, unit: Int64, time: Int64) -> tuple[Float64, Float64]:
        """Where a unit is that has nothing to do: on a loop of some 300 m around its home."""
        turn = time / 240_000 * 2 * np.pi + 6.28 * noise.uniform(self.seed, "turn", unit)
        reach = 0.0015 + 0.0015 * noise.uniform(self.seed, "reach", unit)
        lon, lat = self.town.units.lon[unit], self.town.units.lat[unit]
        return lon + reach * np.cos(turn), lat + reach * np.sin(turn * 2) * 0.6

    def at(self, unit: Int64, time: Int64) -> tuple[Float64, Float64]:
        """Longitude and latitude of units at times: float64[n] each."""
        lon, lat = self.circle(unit, time)
        for trip in self.trips:
            rows = np.flatnonzero((unit == trip.unit) & (time > trip.depart) & (time < trip.home))
            if not len(rows):
                continue
            t, drive = time[rows], trip.arrive - trip.depart
            share = np.clip(np.minimum((t - trip.depart) / drive, (trip.home - t) / drive), 0.0, 1.0)
            lon[rows] += share * (trip.lon - lon[rows])
            lat[rows] += share * (trip.lat - lat[rows])
        return lon, lat

    def minute(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Positions and states that fall into [from, to)."""
        n = len(self.town.units)
        if not n:
            return
        unit, time = self.due(from_ms, to_ms, POSITION_MS, n)
        lon, lat = self.at(unit, time)
        lon2, lat2 = self.at(unit, time + 1_000)
        east, north = (lon2 - lon) * 95_900, (lat2 - lat) * 111_300
        fields: dict[str, Plain] = {
            "speed": np.minimum(np.hypot(east, north) * 3.6, 120.0),
            "heading": np.degrees(np.arctan2(east, north)) % 360,
            "kind": self.kinds(unit),
        }
        ids = joined([b"v", noise.digits(unit, 5), b"-", noise.digits(time, 13)], len(unit))
        subject = self.town.units.code.take(unit)
        batch = self.writer.batch(
            "vehicle.pos", time, ids, "vehicles", subject=subject, lon=lon, lat=lat, fields=fields
        )
        box.add(batch, time + 120)
        unit, time = self.due(from_ms, to_ms, STATE_MS, n)
        self.say(box, unit, time, self.busy(unit, time).astype(np.int64))

    def due(self, from_ms: int, to_ms: int, period: int, n: int) -> tuple[Int64, Int64]:
        """Who reports when in [from, to), each unit at a phase of its own."""
        phase = np.arange(n) * 997 % (period // 1000) * 1000
        first = -(-(from_ms - phase) // period) * period + phase
        count = np.maximum(-(-(to_ms - first) // period), 0)
        unit = np.repeat(np.arange(n), count)
        step = np.arange(len(unit)) - np.repeat(np.cumsum(count) - count, count)
        return unit.astype(np.int64), first[unit] + step * period

    def busy(self, unit: Int64, time: Int64) -> Bool:
        """Whether units are on a trip at times."""
        out = np.zeros(len(unit), np.bool_)
        for trip in self.trips:
            out |= (unit == trip.unit) & (time >= trip.depart) & (time < trip.home)
        return out

    def kinds(self, unit: Int64) -> Coded:
        """The kind of each unit."""
        return Coded.of(self.town.units.kind).take(unit)

    def shift_until(self, time: Int64) -> Int64:
        """When the shift of a time ends: at `SHIFTS_MS` of the local day (int64 ms)."""
        local = time + self.town.offset_ms
        edges = np.array([*SHIFTS_MS, DAY + SHIFTS_MS[0]], np.int64)
        return time - local % DAY + edges[np.searchsorted(edges, local % DAY, "right")]

    def say(self, box: Outbox, unit: Int64, time: Int64, state: Int64) -> None:
        """States of units: 0 ready, 1 busy."""
        if not len(unit):
            return
        crews = self.town.units
        fields: dict[str, Plain] = {
            "state": Coded(state.astype(np.int32), ("ready", "busy")), "kind": self.kinds(unit),
            "name": [crews.name[u] for u in unit.tolist()], "skills": Coded.of(crews.skills).take(unit),
            "capacity": crews.capacity[unit], "home": Coded.of(crews.home).take(unit),
            "shift_until": self.shift_until(time),
        }  # fmt: skip
        lon, lat = self.at(unit, time)
        ids = joined([b"u", noise.digits(unit, 5), b"-", noise.digits(time, 13)], len(unit))
        subject = self.town.units.code.take(unit)
        batch = self.writer.batch("unit.state", time, ids, "vehicles", subject=subject, lon=lon, lat=lat, fields=fields)
        box.add(batch, time + 100)
