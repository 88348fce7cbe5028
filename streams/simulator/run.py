"""The simulator: all families of events of one city, minute by minute, from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Float64, Int64
from citytwin.streams.simulator import history as past
from citytwin.streams.simulator.calls import calls_of_day
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.day import DAY, HOUR, MINUTE, Day, Family
from citytwin.streams.simulator.families import FAMILIES, census
from citytwin.streams.simulator.incidents import Life, cases_of_day
from citytwin.streams.simulator.iot import Telemetry
from citytwin.streams.simulator.minutes import Beds, Buses, Gates, Health, Minutely
from citytwin.streams.simulator.noise import generator
from citytwin.streams.simulator.readings import SPECIAL
from citytwin.streams.simulator.story import Story
from citytwin.streams.simulator.troubles import Troubles
from citytwin.streams.simulator.truth import Truth
from citytwin.streams.simulator.units import Units
from citytwin.streams.simulator.weather import SEEN_MS, Weather
from citytwin.streams.simulator.witnesses import witnessed
from citytwin.streams.simulator.workers import Workers
from citytwin.streams.simulator.writer import Outbox, Writer, in_order

if TYPE_CHECKING:
    from citytwin.twin.pack import City

_MOVES = (
    "reported", "accepted", "rejected", "filed", "voided", "dispatched", "returned", "received", "arrived", "deferred",
    "extended", "escalated", "merged", "handled", "verified", "closed", "reopened", "evaluated",
)  # fmt: skip


class Simulator:
    """A city that lives from `start_ms` (ms UTC) on.

    The same arguments give the same events, whatever the steps. `speed`: pace of the story; `story=False`: ordinary
    life only. `load`: readings a second over all datastreams instead of each at its period. `anchor_ms`: when the
    story began, for a demo that goes on after a restart (default: `start_ms`). `open_days`: cases that began so many
    days before the start go on (needed where the log has the history; 0 = none). `remember`: keep all for `truth`.
    """

    #: Types that belong first in a step, so that a case is reported before it is filed.
    order: tuple[str, ...] = (
        "call.offered", "call.answered", "call.abandoned", *(f"case.{m}" for m in _MOVES), "call.closed",
    )  # fmt: skip

    def __init__(
        self, city: City | Town, seed: int, start_ms: int, *, speed: float = 1.0, story: bool = True,
        load: float | None = None, anchor_ms: int | None = None, open_days: int = 0, remember: bool = False,
        cases_per_day: float = 900.0,
    ) -> None:  # fmt: skip
        self.town = city if isinstance(city, Town) else Town.of(city)
        self.seed, self.load, self.open_days, self.cases_per_day = seed, load, open_days, cases_per_day
        self.start_ms, anchor = start_ms, start_ms if anchor_ms is None else anchor_ms
        self.writer, self.box = Writer(self.town.vocabulary), Outbox()
        # the story brings its own rain of the last half day
        calm = anchor - 13 * HOUR if story else 2**62
        self.weather = Weather(seed, *self.town.centre, calm_from_ms=calm)
        self.units = Units(self.town, self.writer, seed)
        troubles = Troubles()
        self.story = (
            Story(self.town, self.writer, self.weather, self.units, seed, anchor, speed, troubles) if story else None
        )
        self.iot = Telemetry(self.town, self.writer, self.weather, seed, self.depth, troubles, special=SPECIAL)
        buses = Buses(self.town, self.writer, self.iot)
        self.families = (*FAMILIES, Family(buses.announce, lasts=1, kept=4))
        self.minutely: tuple[Minutely, ...] = (
            Beds(self.town, self.writer, seed), Gates(self.town, self.writer, seed),
            Health(self.town, self.writer, self.iot), buses, Workers(self.town, self.writer, seed),
        )  # fmt: skip
        self.now, self._block_ms = start_ms, 60_000 if load is None else 1_000
        self._block = start_ms // self._block_ms
        self._told = self._block * self._block_ms
        self._day = self.day_of(start_ms) - open_days
        self._cut, self._begun = start_ms - open_days * DAY, False
        self._truth = Truth(self.town) if remember else None

    def step(self, until_ms: int) -> list[EventBatch]:
        """All events that arrive after the last step and not after `until_ms`, a batch per type, reports first."""
        while self._block * self._block_ms <= until_ms:
            self._make(self._block * self._block_ms)
            self._block += 1
        batches = in_order(self.box.take(until_ms, after_ms=self.start_ms), self.order)
        self.now = max(self.now, until_ms)
        if self._truth is not None:
            self._truth.see(batches)
        return batches

    def history(self, days: int = 30, until_ms: int | None = None, since_ms: int | None = None) -> Iterator[EventBatch]:
        """The days before `until_ms` (default: the start), telemetry thinned; see `history`.

        A simulator that goes on from there needs `open_days=days`. `since_ms`: fill a gap instead of whole days.
        """
        until = self.start_ms if until_ms is None else until_ms
        since = until - days * DAY if since_ms is None else since_ms
        story = self.story
        fresh = Simulator(
            self.town, self.seed, since, story=story is not None, speed=1.0 if story is None else story.speed,
            anchor_ms=until if story is None else story.anchor_ms, cases_per_day=self.cases_per_day,
            open_days=0 if since_ms is None else days,
        )  # fmt: skip
        for batch in past.history(fresh, since, until):
            if self._truth is not None:
                self._truth.see([batch])
            yield batch

    def truth(self, now: int) -> dict[str, float | None]:
        """Ground truth at a time from everything sent so far; ValueError unless made with `remember=True`."""
        if self._truth is None:
            raise ValueError("this simulator does not keep what it sent; make it with remember=True")
        return self._truth.at(now)

    def day_of(self, time_ms: int) -> int:
        """Local day number of a time."""
        return (time_ms + self.town.offset_ms) // DAY

    def depth(self, rows: Int64, time: Int64) -> Float64:
        """Water in cm at low points."""
        if self.story is not None:
            return self.story.depth(rows, time)
        at = self.town.streams.device[rows]
        devices = self.town.streams.devices
        return self.weather.standing(time, devices.lon[at], devices.lat[at], np.full(len(rows), 2.0))

    def plan_day(self, day: int, box: Outbox, first: int, last: int | None = None) -> None:
        """Put a local day's cases, and what else is said from local day `first` to `last` (None: open), into a box."""
        noon = day * DAY - self.town.offset_ms + np.arange(24, dtype=np.int64) * HOUR + HOUR // 2
        wet = np.minimum(self.weather.usual(noon) * 2.0, 1.5)
        cases = cases_of_day(self.town, self.seed, day, self.cases_per_day, wet)
        cases = witnessed(self.town, generator(self.seed, "witnesses", day), cases)
        Life(self.town, self.writer, box, cases, generator(self.seed, "life", day), cut_ms=self._cut).live()
        about = self.about(day, box)
        if day + 1 >= first and (last is None or day > last - 9):
            calls_of_day(about, cases)
        for family in self.families:
            if day + family.lasts >= first and (last is None or day > last - family.kept):
                family.plan(about)

    def about(self, day: int, box: Outbox) -> Day:
        """A local day that is planned into a box."""
        return Day(self.town, self.writer, box, self.seed, day, self._cut)

    def begin(self, box: Outbox, until_ms: int) -> None:
        """What stands in lists is told once, where no history told it; what is under way at the start goes on."""
        for family in self.minutely:
            if family.lag_ms:
                family.minute(self.start_ms - family.lag_ms, until_ms, box)
        if not self.open_days:
            census(self.about(self.day_of(self.start_ms), box), self.start_ms)

    def _make(self, begin: int) -> None:
        end = begin + self._block_ms
        today = self.day_of(end + 600_000)  # a call comes minutes before its case
        if not self._begun:
            self.begin(self.box, begin)
            self._begun = True
        while self._day <= today:
            self.plan_day(self._day, self.box, self.day_of(self.start_ms))
            self._day += 1
        if self.story is not None:
            self.story.plan(end + SEEN_MS, self.box, self.start_ms)
        load = self.load
        due = self.iot.due(begin, end) if load is None else self.iot.at_random(begin, end, load)
        self.iot.send(self.box, *due)
        self.units.minute(begin, end, self.box)
        while self._told < end:
            edge = (self._told // MINUTE + 1) * MINUTE
            for family in self.minutely:
                family.minute(self._told, edge, self.box)
            self._told = edge
