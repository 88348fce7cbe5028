"""The days before now: cases, calls and deliveries at their real rates, telemetry thinned to what its horizon keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Int64
from citytwin.streams.simulator.weather import SEEN_MS
from citytwin.streams.simulator.writer import Outbox, in_order

if TYPE_CHECKING:
    from citytwin.streams.simulator.run import Simulator

HOUR, DAY = 3_600_000, 86_400_000
#: Telemetry comes at its full rate for this long before the end. Before that slow properties come once an hour, and dry
#: rain gauges every ten minutes: a reading of no rain adds nothing.
FULL_MS = 70 * HOUR // 60
#: Positions of units are worth something for so long.
UNITS_MS = HOUR // 6
SLOW = ("air.", "wq.", "river.", "noise.", "water.pressure", "water.turbidity", "water.chlorine", "water.ph", "power.",
        "bin.", "heat.")  # fmt: skip
#: Every quarter of an hour, as the night flow of metering areas is worked out from such means.
QUARTER = ("water.flow",)
#: The last two days come in chunks of this length, those before a day at a time: fewer and larger batches.
CHUNK_MS = 6 * HOUR


def history(sim: Simulator, since_ms: int, until_ms: int) -> Iterator[EventBatch]:
    """Events of [since, until], in order of arrival by chunks of hours or a day; none older than its type is kept."""
    box, begin = Outbox(most=64), since_ms
    days = range(sim.day_of(since_ms) - sim.open_days, sim.day_of(until_ms) + 1)
    sim.begin(box, since_ms)
    for daily in sim.families:
        for day in range(sim.day_of(since_ms) - daily.before, days.start):
            daily.plan(sim.about(day, box))
    for day in days:
        sim.plan_day(day, box, sim.day_of(since_ms), sim.day_of(until_ms))
    if sim.story is not None:
        sim.story.plan(until_ms + SEEN_MS, box, since_ms)
    box.take(since_ms)
    while begin < until_ms:
        chunk = CHUNK_MS if begin >= until_ms - 2 * DAY else DAY
        end = min((begin // chunk + 1) * chunk, until_ms)
        telemetry(sim, begin, end, until_ms, box)
        for family in sim.minutely:
            full = max(min(until_ms - family.full_ms, end), begin)
            thin = max(until_ms - family.kept_ms, begin)
            if full > thin:
                family.past(thin, full, box)
            if end > full:
                family.minute(full, end, box)
        for batch in in_order(box.take(end), sim.order):
            kept = within(sim, batch, until_ms)
            if len(kept):
                yield kept
        begin = end


def within(sim: Simulator, batch: EventBatch, until_ms: int) -> EventBatch:
    """The events that are younger than the horizon of their type, with ten minutes to spare."""
    oldest = until_ms - sim.town.vocabulary.types[batch.type].horizon_ms + 600_000
    return batch if oldest <= int(batch.time.min()) else batch.take(batch.time >= oldest)


def telemetry(sim: Simulator, begin: int, end: int, until_ms: int, box: Outbox) -> None:
    """Readings of a chunk: everything in the last hour, of what lies before it rain and the slow properties."""
    horizon = sim.town.vocabulary.types["obs"].horizon_ms if sim.writer.knows("obs") else 0
    full, oldest = until_ms - FULL_MS, until_ms - horizon
    if end <= max(oldest, begin):
        return
    start = max(begin, oldest)
    if start < full:
        stop = min(end, full)
        row, time = sim.iot.due(start, stop, sim.town.streams.rows("rain.depth"))
        told = (time // 60_000 % 10 == 0) | (sim.iot.rain_at(row, time) > 0)
        sim.iot.send(box, row[told], time[told])
        sim.iot.send(box, *first_of(sim, start, stop, HOUR, SLOW))
        sim.iot.send(box, *first_of(sim, start, stop, HOUR // 4, QUARTER))
    for minute in range(max(start, full) // 60_000 * 60_000, end, 60_000):
        sim.iot.send(box, *sim.iot.due(minute, minute + 60_000))
        if minute >= until_ms - UNITS_MS:
            sim.units.minute(minute, minute + 60_000, box)


def first_of(sim: Simulator, start: int, stop: int, span: int, prefixes: tuple[str, ...]) -> tuple[Int64, Int64]:
    """The first reading in every `span` ms of each datastream whose property begins so: rows and times."""
    names = [p for p in sim.town.streams.properties if p.startswith(prefixes)]
    rows = np.concatenate([sim.town.streams.rows(p) for p in names]) if names else np.zeros(0, np.int64)
    row, time = sim.iot.due(start, stop, rows)
    part = time // span - start // span  # one number of row and part is sorted much quicker than the pair
    _, first = np.unique(row * (stop // span - start // span + 1) + part, return_index=True)
    first = np.sort(first)
    return row[first], time[first]
