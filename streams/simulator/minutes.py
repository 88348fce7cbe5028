"""What is said every few minutes: beds, gates, health of cameras and pumps, buses that leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from citytwin.models.columns import Coded, Float64, Int64
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.day import DAY, HOUR, MINUTE, Day, Stem, day_stamp, hours_of, in_span
from citytwin.streams.simulator.iot import Telemetry
from citytwin.streams.simulator.social import visitors
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, joined

BEDS_MS, HEALTH_MS = 15 * MINUTE, 5 * MINUTE
#: Profile of bus departures by local hour; some lines run at night.
BUS_HOURS = np.array(
    [3, 2, 2, 2, 4, 22, 60, 84, 80, 58, 50, 50, 50, 50, 50, 54, 66, 82, 76, 54, 40, 32, 20, 8], np.float64
)
#: A schedule is told so long before, what becomes of it shortly before the departure.
ANNOUNCED_MS, DECIDED_MS = 3 * HOUR, 3 * MINUTE


class Minutely(Protocol):
    """A family whose events depend on the time alone, so that any span can be asked for at any time.

    `full_ms`: before the end of a history it comes at its full rate for so long; `kept_ms`: thinned for so long.
    `lag_ms`: an event may be decided so long before its time.
    """

    @property
    def lag_ms(self) -> int: ...

    @property
    def full_ms(self) -> int: ...

    @property
    def kept_ms(self) -> int: ...

    def minute(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Put the events of [from, to) into a box."""

    def past(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """The same of a time long before the end of a history: only what is worth something by then."""


@dataclass(frozen=True, slots=True)
class Beds:
    """Every hospital says every quarter of an hour how many of its open beds are taken."""

    town: Town
    writer: Writer
    seed: int
    full_ms: int = DAY
    kept_ms: int = 0
    lag_ms: int = 0

    def minute(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Beds in [from, to)."""
        rows = self.town.sites.of("hospital")
        who, time = in_span(from_ms, to_ms, BEDS_MS, np.arange(len(rows), dtype=np.int64) * 7_919 % 900 * 1_000)
        if not len(who):
            return
        beds = np.nan_to_num(self.town.sites.capacity[rows[who]], nan=400.0)
        own, local = noise.normal(self.seed, "ward", who), (time + self.town.offset_ms) / HOUR
        week = 0.02 * np.cos((local / 24 + 3) % 7 * 2 * np.pi / 7) + 0.02 * np.sin(local / 24 * 2 * np.pi / 19)
        share = 0.81 + 0.05 * own + week + 0.015 * np.cos((local % 24 - 9) * np.pi / 12)
        share = share + 0.004 * noise.normal(self.seed, "bed", who, time // BEDS_MS)
        fields: dict[str, Plain] = {
            "occupied": np.rint(beds * np.clip(share, 0.3, 1.0)).astype(np.int64), "open": beds.astype(np.int64),
        }  # fmt: skip
        ids = joined([b"bed", noise.digits(who, 5), b"-", noise.digits(time, 13)], len(who))
        subject = self.town.sites.places.code.take(rows[who])
        box.add(self.writer.batch("bed.change", time, ids, "health/beds", subject=subject, fields=fields), time + 90)

    def past(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Nothing: only the newest count of a hospital is read."""


@dataclass(frozen=True, slots=True)
class Gates:
    """Every sight and venue says each minute how many came in and went out since midnight."""

    town: Town
    writer: Writer
    seed: int
    full_ms: int = 30 * MINUTE
    kept_ms: int = 0
    lag_ms: int = 0

    def minute(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Gates in [from, to)."""
        rows = self.town.sites.of("scenic_area", "venue")
        who, time = in_span(from_ms, to_ms, MINUTE, np.arange(len(rows), dtype=np.int64) * 7 % 60 * 1_000)
        if not len(who):
            return
        day = (time + self.town.offset_ms) // DAY
        free = np.array([not self.town.works(d) for d in range(int(day.min()), int(day.max()) + 1)])[day - day.min()]
        busy = (0.28 + 0.62 * noise.uniform(self.seed, "visits", who, day)) * np.where(free, 1.35, 1.0)
        room = self.town.sites.capacity[rows[who]]
        room = np.where(np.isnan(room), np.nan_to_num(self.town.sites.area[rows[who]], nan=1500.0) / 4, room)
        entered, left = visitors((time + self.town.offset_ms) % DAY / HOUR, room, busy)
        fields: dict[str, Plain] = {
            "entered": entered.astype(np.int64),
            "left": np.minimum(left, entered).astype(np.int64),
        }
        ids = joined([b"gate", noise.digits(who, 4), b"-", noise.digits(time, 13)], len(who))
        subject = self.town.sites.places.code.take(rows[who])
        box.add(self.writer.batch("venue.gate", time, ids, "venues/gates", subject=subject, fields=fields), time + 70)

    def past(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Nothing: only the newest count of a gate is read."""


@dataclass(frozen=True, slots=True)
class Health:
    """The maintenance platform says of every camera and drain pump every five minutes whether it works.

    Of one that has fallen silent it says so once, and no more until it is back.
    """

    town: Town
    writer: Writer
    iot: Telemetry
    full_ms: int = 20 * MINUTE
    kept_ms: int = 0
    lag_ms: int = 0

    def minute(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """States in [from, to)."""
        devices, seed = self.town.streams.devices, self.iot.seed
        rows = devices.of("camera", "drain_pump")
        who, time = in_span(from_ms, to_ms, HEALTH_MS, np.arange(len(rows), dtype=np.int64) * 37 % 300 * 1_000)
        if not len(who):
            return
        device, camera = rows[who], np.isin(rows[who], devices.of("camera"))
        gone = self.iot.quiet(device, time)
        told = ~gone | ~self.iot.quiet(device, time - HEALTH_MS)
        shift = time // (4 * HOUR)
        broken = noise.uniform(seed, "broken", device, shift) < np.where(camera, 0.003, 0.012)
        serviced = noise.uniform(seed, "serviced", device, shift) < 0.002
        state = np.where(gone, 1, np.where(broken, 2, np.where(serviced, 3, 0))).astype(np.int32)
        poor = noise.uniform(seed, "poor picture", device, shift) < 0.004
        sort = (noise.uniform(seed, "which fault", device, shift) * 5).astype(np.int32) + 1
        fields: dict[str, Plain] = {
            "state": Coded(state, ("online", "offline", "fault", "maintenance")),
            "diagnosis": Coded(np.where(camera & (state == 0), np.where(poor, sort, 0), -1).astype(np.int32), _PICTURE),
        }  # fmt: skip
        ids = joined([b"st", noise.digits(device, 6), b"-", noise.digits(time, 13)], len(who))
        batch = self.writer.batch("device.status", time, ids, "devices/health", subject=devices.code.take(device),
                                  fields=fields)  # fmt: skip
        if batch is not None:
            box.add(batch.take(told), time[told] + 110)

    def past(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Nothing: only the newest state of a device is read."""


_PICTURE = ("ok", "blurred", "blocked", "dark", "moved", "frozen")


@dataclass(slots=True)
class Buses:
    """Trips of buses: a schedule told three hours ahead, then the departure or that the trip is cancelled.

    More trips are late where it rains at their depot when they should leave.
    """

    town: Town
    writer: Writer
    iot: Telemetry
    per_day: float = 4_200.0
    routes: int = 120
    full_ms: int = 3 * DAY
    kept_ms: int = 0
    lag_ms: int = 25 * MINUTE
    _known: dict[int, tuple[Int64, Int64]] = field(default_factory=dict)

    def depots(self) -> tuple[Float64, Float64]:
        """Where each route begins."""
        rng = noise.generator(self.iot.seed, "routes", 0)
        return self.town.near(rng, self.town.draw(rng, self.routes))

    def trips(self, day: int) -> tuple[Int64, Int64]:
        """Departures of local day number `day` by the schedule: times (int64 ms, whole minutes) and routes."""
        if day not in self._known:
            if len(self._known) > 8:
                self._known.clear()
            rng = noise.generator(self.iot.seed, "trips", day)
            time = hours_of(rng, self.per_day, BUS_HOURS, 10 * MINUTE) // MINUTE * MINUTE
            route = rng.integers(0, self.routes, len(time))
            self._known[day] = day * DAY - self.town.offset_ms + time, route
        return self._known[day]

    def announce(self, day: Day) -> None:
        """The schedule of trips that leave within the 24 hours from three in the morning on."""
        for of in (day.day, day.day + 1):
            sched, route = self.trips(of)
            told = sched - ANNOUNCED_MS
            mine = (told >= day.midnight) & (told < day.midnight + DAY)
            self._say(day.box, of, np.flatnonzero(mine), told[mine], sched[mine], route[mine], b"", {})

    def minute(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """What becomes of the trips that should leave three minutes after [from, to)."""
        first, last = (t + DECIDED_MS + self.town.offset_ms for t in (from_ms, to_ms - 1))
        for day in range(first // DAY, last // DAY + 1):
            sched, route = self.trips(day)
            row = np.flatnonzero((sched - DECIDED_MS >= from_ms) & (sched - DECIDED_MS < to_ms))
            self._leave(box, day, row, sched[row], route[row])

    def _leave(self, box: Outbox, day: int, row: Int64, sched: Int64, route: Int64) -> None:
        seed = self.iot.seed
        lon, lat = self.depots()
        wet = np.minimum(self.iot.weather.rain(sched - DECIDED_MS, lon[route], lat[route]), 1.0)
        off = noise.uniform(seed, "cancelled", row, day) < 0.004 + 0.03 * wet
        late = noise.uniform(seed, "late bus", row, day) < 0.03 + 0.5 * wet
        early = noise.uniform(seed, "early bus", row, day) < 0.008
        delay = 55.0 + 45.0 * np.clip(noise.normal(seed, "bus", row, day), -2.4, 3.2)
        more = 330.0 + 700.0 * noise.uniform(seed, "how late", row, day)
        delay = np.where(late, more, np.where(early, -65.0 - delay / 5, delay))
        left = sched + (delay * 1000).astype(np.int64)
        for mask, time, word, fields in (
            (~off, left, b".left", {"actual_dep": left[~off]}),
            (off, sched - MINUTE, b".off", {"cancelled": np.ones(int(off.sum()), np.int8)}),
        ):
            self._say(box, day, row[mask], time[mask], sched[mask], route[mask], word, fields)

    def _say(
        self, box: Outbox, day: int, row: Int64, time: Int64, sched: Int64, route: Int64, word: bytes,
        fields: dict[str, np.ndarray],
    ) -> None:  # fmt: skip
        if not len(row):
            return
        lon, lat = self.depots()
        stem: Stem = [b"trip-", day_stamp(day).encode(), b"-", noise.digits(row, 5)]
        given: dict[str, Plain] = {
            "route": Coded(route.astype(np.int32), tuple(f"bus-{i + 1}" for i in range(self.routes))),
            "sched_dep": sched, **fields,
        }  # fmt: skip
        batch = self.writer.batch(
            "transit.trip", time, joined([*stem, word], len(row)), "transit/dispatch", subject=joined(stem, len(row)),
            lon=lon[route], lat=lat[route], fields=given,
        )  # fmt: skip
        box.add(batch, time + 100)

    def past(self, from_ms: int, to_ms: int, box: Outbox) -> None:
        """Nothing: trips are read for a day, and kept for three."""
