"""The story: a cloudburst crosses a district, water stands at low points, people call, units pump, the water falls.

One cycle after another, each with its own track by the seed; the first drops fall a minute after `anchor_ms`. At
`speed` s a cycle lasts 15 / s minutes and all of it, rain, water and people, goes s times as fast.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from citytwin.models.columns import MISSING, Float64, Int64, Strings
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.calls import ring
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.day import MINUTE, Day, Stem
from citytwin.streams.simulator.emergency import LEAK_LEL, say_safe
from citytwin.streams.simulator.incidents import ACCIDENT, CHANNELS, HOTLINE, MANHOLE, OUTAGE, WATERLOG, Cases, Life
from citytwin.streams.simulator.troubles import Troubles
from citytwin.streams.simulator.units import Trip, Units
from citytwin.streams.simulator.weather import Front, Weather
from citytwin.streams.simulator.witnesses import witnessed
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, table

CYCLE_MS = 15 * MINUTE
CALM_MS = 60_000
#: Before the story it rained for hours, so much in all, and then it was dry for more than one.
SOAK_MS, SOAK_MM, DRY_MS = 330 * MINUTE, 46.5, 70 * MINUTE
#: Water from here on is a waterlogged point, in cm, and at most so many points have a case in one cycle.
LOGGED_CM, MOST_CASES = 15.0, 8
#: Share of the flooded points that others report too.
TWICE = 0.4


@dataclass(slots=True)
class Story:
    """Plans one cycle at a time, before its minute comes."""

    town: Town
    writer: Writer
    weather: Weather
    units: Units
    seed: int
    anchor_ms: int
    speed: float = 1.0
    troubles: Troubles = field(default_factory=Troubles)
    planned: int = 0
    soak: Front = field(init=False)
    fronts: deque[Front] = field(default_factory=lambda: deque(maxlen=512))
    #: By datastream row of a low point: (pumping from, end of the cycle) of each time a unit pumped it, ms.
    relief: dict[int, deque[tuple[int, int]]] = field(default_factory=dict)

    @property
    def low_points(self) -> Int64:
        """Datastream rows of the gauges of standing water."""
        return self.town.streams.rows("waterlog.depth")

    def __post_init__(self) -> None:
        lon, lat = self.town.centre
        self.soak = Front(
            self.anchor_ms - SOAK_MS - DRY_MS, SOAK_MS, 2 * SOAK_MM * MINUTE / SOAK_MS, lon, lat, 0.02, 0.01, 2.0
        )
        self.weather.story = (self.soak,)

    def plan(self, until_ms: int, box: Outbox, after_ms: int) -> None:
        """Plan all cycles that begin before `until_ms`; those long over at `after_ms` leave nothing but are counted."""
        length = int(CYCLE_MS / self.speed)
        while self.anchor_ms + CALM_MS + self.planned * length < until_ms:
            start = self.anchor_ms + CALM_MS + self.planned * length
            if start + 40 * length > after_ms:
                self.cycle(self.planned, start, length, box)
            self.planned += 1

    def cycle(self, k: int, start: int, length: int, box: Outbox) -> None:
        """One cycle: its front, the points it floods, and what people do about them."""
        rng = noise.generator(self.seed, "story", k)
        self.fronts.append(self.front(rng, start, length))
        self.weather.story = (self.soak, *self.fronts)
        row, crossed = self.flooded(start, length)
        lon, lat = self.place(row)
        n = len(row)
        box_rng = noise.generator(self.seed, "story people", k)
        offered = crossed + (box_rng.uniform(20, 70, n) * 1000 / self.speed).astype(np.int64)
        reported = offered + (box_rng.uniform(40, 80, n) * 1000 / self.speed).astype(np.int64)
        arrive = self.send_units(row, lon, lat, reported, box, start + length)
        for point, there in zip(row.tolist(), arrive.tolist(), strict=True):
            self.relief.setdefault(point, deque(maxlen=64)).append((there + 5_000, start + 2 * length))
        self.cases(k, box_rng, reported, lon, lat, offered, box)
        self.worried(k, box_rng, start, length, box)
        self.respond(k, start, length, box)
        self.accidents(k, start, length, box)

    def front(self, rng: np.random.Generator, start: int, length: int) -> Front:
        """The cloudburst of a cycle: over one of the worse low points, along a track of its own."""
        points = self.low_points
        lon, lat = self.town.centre
        if len(points):
            prone = points[np.argsort(-self.gain(points), kind="stable")[: max(len(points) // 3, 1)]]
            a, b = self.place(prone[rng.integers(0, len(prone), 1)])
            lon, lat = float(a[0]), float(b[0])
        angle, path = rng.uniform(0, 2 * np.pi), rng.uniform(0.06, 0.14)
        dx, dy = float(path * np.cos(angle)), float(path * np.sin(angle))
        peak, width = float(rng.uniform(3.0, 5.0)), float(rng.uniform(0.035, 0.07))
        return Front(start, int(length * rng.uniform(0.45, 0.6)), peak, lon, lat, dx, dy, width)

    def flooded(self, start: int, length: int) -> tuple[Int64, Int64]:
        """Low points that reach `LOGGED_CM` without help, the deepest first: datastream rows, times of crossing."""
        points = self.low_points
        if not len(points):
            return points, points
        time = np.arange(start, start + length, max(int(20_000 / self.speed), 500), dtype=np.int64)
        lon, lat = self.place(points)
        depth = np.stack([self.free(points, lon, lat, np.full(len(points), t)) for t in time.tolist()])
        deep = depth.max(axis=0)
        order = np.argsort(-deep, kind="stable")[:MOST_CASES]
        order = order[deep[order] >= LOGGED_CM]
        return points[order], time[(depth[:, order] >= LOGGED_CM).argmax(axis=0)]

    def free(self, rows: Int64, lon: Float64, lat: Float64, time: Int64) -> Float64:
        """Water in cm that would stand without pumps."""
        return self.weather.standing(time, lon, lat, self.gain(rows), self.speed)

    def gain(self, rows: Int64) -> Float64:
        """How many cm of water a mm of rain beyond the drains makes at each low point: 0.8 to 6.3, mostly little."""
        return 0.8 + 5.5 * noise.uniform(self.seed, "low point", self.town.streams.device[rows]) ** 2

    def depth(self, rows: Int64, time: Int64) -> Float64:
        """Water in cm at low points, pumps at work where units are: float64[n]."""
        depth = self.free(rows, *self.place(rows), time)
        for point in set(rows.tolist()) & self.relief.keys():
            at = np.flatnonzero(rows == point)
            for begin, end in self.relief[point]:
                pumped = (time[at] >= begin) & (time[at] < end)
                fall = np.exp(-(time[at] - begin) / (1.5 * MINUTE / self.speed))
                depth[at] = np.where(pumped, depth[at] * fall, depth[at])
        return depth

    def place(self, rows: Int64) -> tuple[Float64, Float64]:
        """Where the devices of datastreams are."""
        at = self.town.streams.device[rows]
        return self.town.streams.devices.lon[at], self.town.streams.devices.lat[at]

    def send_units(self, row: Int64, lon: Float64, lat: Float64, reported: Int64, box: Outbox, end: int) -> Int64:
        """The nearest free unit drives to each point: times of arrival (int64 ms)."""
        arrive = reported + int(4 * MINUTE / self.speed)
        for i in range(len(row)):
            depart = int(reported[i]) + int(40_000 / self.speed)
            unit = self.units.nearest(float(lon[i]), float(lat[i]), depart, "drainage")
            if unit < 0:
                continue
            there = depart + int(2.5 * MINUTE / self.speed)
            arrive[i] = there
            back = max(end - int(MINUTE / self.speed), there + int(2 * MINUTE / self.speed))
            self.units.assign(Trip(unit, depart, there, back, float(lon[i]), float(lat[i])), box)
        return arrive

    def cases(
        self, k: int, rng: np.random.Generator, reported: Int64, lon: Float64, lat: Float64, offered: Int64, box: Outbox
    ) -> None:
        """Calls and a case for each flooded point, some reported twice, handled at the pace of the story."""
        n = len(reported)
        stamp = noise.digits(np.full(n, self.anchor_ms // 1000), 10)
        code = table([b"W", stamp, noise.digits(np.full(n, k), 5), b"-", noise.digits(np.arange(n), 2)], n)
        cases = Cases(
            code, reported, np.full(n, WATERLOG), np.full(n, HOTLINE), lon + 0.0004 * rng.random(n), lat.copy(),
            np.full(n, MISSING), Strings.empty(n),
        )  # fmt: skip
        others = noise.generator(self.seed, "story witnesses", k)
        cases = witnessed(self.town, others, cases, repeated=TWICE, beside=0.0, width=2, haste=6.0 * self.speed)
        mark, phoned = f"S{self.anchor_ms // 1000:010d}{k:05d}-".encode(), cases.channel == HOTLINE
        offered = np.concatenate([offered, cases.time[n:] - int(MINUTE / self.speed)])[phoned]
        ring(self.writer, box, rng, mark, offered, case=cases.code[phoned], reported=cases.time[phoned])
        Life(self.town, self.writer, box, cases, rng, pace=6.0 * self.speed).live()

    def worried(self, k: int, rng: np.random.Generator, start: int, length: int, box: Outbox) -> None:
        """People who call because it rains: up to ten a minute at the height of it."""
        n = int(rng.poisson(50))
        time = np.sort(start + length * np.clip(rng.normal(0.4, 0.15, n), 0.05, 0.98)).astype(np.int64)
        ring(self.writer, box, rng, f"R{self.anchor_ms // 1000:010d}{k:05d}-".encode(), time, busy=0.12)

    def respond(self, k: int, start: int, length: int, box: Outbox) -> None:
        """The flood plan: level IV when it begins to rain, III at the height of it, IV again, ended."""
        front = self.fronts[-1]
        code = f"flood-{self.anchor_ms // 1000:010d}-{k:05d}"
        day = Day(self.town, self.writer, box, self.seed, 0)
        at = np.array([front.lon]), np.array([front.lat])
        steps: tuple[tuple[str, float, dict[str, Plain]], ...] = (
            ("activated", 0.1, {"plan": ["flood.rainstorm"], "level": [1]}),
            ("changed", 0.28, {"level": [2]}),
            ("changed", 0.6, {"level": [1]}),
            ("ended", 0.85, {}),
        )
        for i, (word, share, fields) in enumerate(steps):
            time = np.array([start + int(length * share)], np.int64)
            stem: Stem = [f"{code}.{i}".encode()]
            day.say(f"plan.{word}", time, stem, "emergency/bureau", subject=Strings.of([code]), at=at, fields=fields)

    def accidents(self, k: int, start: int, length: int, box: Outbox) -> None:
        """What goes wrong besides: a gas leak or an open manhole, and an outage or a crash, in turn."""
        rng = noise.generator(self.seed, "story accidents", k)
        streams, day = self.town.streams, Day(self.town, self.writer, box, self.seed, 0)
        gas, covers = streams.rows("gas.ch4_lel"), streams.rows("manhole.open")
        if k % 2 == 0 and len(gas):
            # leaks come back at the same few worn places
            worn = gas[np.argsort(noise.uniform(self.seed, "worn", gas), kind="stable")[:6]]
            row = worn[rng.integers(0, len(worn), 1)]
            from_ms = start + int(0.15 * length)
            self.troubles.add(row, from_ms, start + int(0.7 * length), LEAK_LEL)
            for share, safe in ((0.25, 0), (0.5, 1)):
                say_safe(day, streams.device[row], np.array([start + int(share * length)], np.int64), safe)
        if k % 2 == 1 and len(covers):
            self.cover(k, covers[rng.integers(0, len(covers), 1)], start, length, rng, box)
        if k % 3 == 1:
            front, begin = self.fronts[-1], np.array([start + int(0.35 * length)], np.int64)
            lon, lat = np.array([front.lon]), np.array([front.lat])
            self.incident(b"A", k, ACCIDENT, begin, lon, lat, rng, box, pace=20.0)
        if k % 3 == 0:
            lon, lat = self.town.near(rng, self.town.draw(rng, 1))
            begin = np.array([start + int(0.3 * length)], np.int64)
            customers = np.array([int(np.exp(rng.normal(6.6, 0.5)))])
            self.incident(b"P", k, OUTAGE, begin, lon, lat, rng, box, customers=customers, pace=40.0)

    def cover(self, k: int, row: Int64, start: int, length: int, rng: np.random.Generator, box: Outbox) -> None:
        """A manhole cover is lifted: its sensor says so, a case is opened for it, somebody puts it back."""
        streams = self.town.streams
        begin, end = start + int(0.2 * length), start + int(0.75 * length)
        self.troubles.add(row, begin, end, 1.0)
        tilts = streams.rows("manhole.tilt")
        leans = tilts[streams.device[tilts] == streams.device[row[0]]]
        self.troubles.add(leans, begin, end, 38.0)
        for time, is_open in ((begin + 2_000, 1.0), (end + 2_000, 0.0)):
            self.at_once(row, time, is_open, box)
            self.at_once(leans, time, 38.0 if is_open else 1.0, box)
        lon, lat = self.place(row)
        about = streams.devices.code.take(streams.device[row])
        self.incident(
            b"M", k, MANHOLE, np.array([begin + 60_000], np.int64), lon, lat, rng, box, about=about, pace=30.0
        )

    def at_once(self, row: Int64, time: int, value: float, box: Outbox) -> None:
        """Devices say what happens to them at once, not at their next turn."""
        if not len(row):
            return
        streams, day = self.town.streams, Day(self.town, self.writer, box, self.seed, 0)
        name = streams.properties[streams.property[row[0]]]
        when = np.full(len(row), time, np.int64)
        stem: Stem = [b"e", noise.digits(row, 7), b"-", noise.digits(when, 13)]
        fields: dict[str, Plain] = {
            "property": [name] * len(row), "value": np.full(len(row), value), "quality": ["good"] * len(row),
        }  # fmt: skip
        day.say("obs", when, stem, f"iot/{name.split('.')[0]}", subject=streams.devices.code.take(streams.device[row]),
                fields=fields, per_unit=self.town.vocabulary.properties[name].per_unit)  # fmt: skip

    def incident(
        self, letter: bytes, k: int, category: int, time: Int64, lon: Float64, lat: Float64, rng: np.random.Generator,
        box: Outbox, *, customers: Int64 | None = None, about: Strings | None = None, pace: float,
    ) -> None:  # fmt: skip
        """One case of a story that sensors report; `about`: the device or component that it is about."""
        code = table([letter, noise.digits(np.array([self.anchor_ms // 1000]), 10), noise.digits(np.array([k]), 5)], 1)
        cases = Cases(
            code, time, np.array([category]), np.array([CHANNELS.index("iot")]), lon, lat,
            np.array([MISSING]) if customers is None else customers, about or Strings.empty(1),
        )  # fmt: skip
        cases = witnessed(self.town, noise.generator(self.seed, "story witness", k), cases, repeated=0.0, beside=0.0)
        Life(self.town, self.writer, box, cases, rng, pace=pace * self.speed).live()
