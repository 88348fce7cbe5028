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
#: Telemetry comes at its full rate for this long before the end; before that slow properties come once an hour.
FULL_MS = 70 * HOUR // 60
#: Positions of units are worth something for so long.
UNITS_MS = HOUR // 6
SLOW = ("air.", "wq.", "river.", "noise.", "water.", "power.", "bin.")
CHUNK_MS = 6 * HOUR


def history(sim: Simulator, since_ms: int, until_ms: int) -> Iterator[EventBatch]:
    """Events of [since, until], in order of arrival over chunks of six hours; nothing older than its type's horizon."""
    box, begin = Outbox(), since_ms
    days = range(sim.day_of(since_ms) - sim.open_days, sim.day_of(until_ms) + 1)
    sim.begin(box)
    for day in days:
        sim.plan_day(day, box, sim.day_of(since_ms), sim.day_of(until_ms))
    if sim.story is not None:
        sim.story.plan(until_ms + SEEN_MS, box, since_ms)
    box.take(since_ms)
    while begin < until_ms:
        end = min((begin // CHUNK_MS + 1) * CHUNK_MS, until_ms)
        telemetry(sim, begin, end, until_ms, box)
        for family in sim.minutely:
            full = max(min(until_ms - family.full_ms, end), begin)
            if full > begin:
                family.past(begin, full, box)
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
    """Readings of a chunk: everything in the last two hours, rain at its own rate and slow properties hourly before."""
    horizon = sim.town.vocabulary.types["obs"].horizon_ms if sim.writer.knows("obs") else 0
    full, oldest = until_ms - FULL_MS, until_ms - horizon
    if end <= max(oldest, begin):
        return
    start = max(begin, oldest)
    if start < full:
        stop = min(end, full)
        rain = sim.iot.due(start, stop, sim.town.streams.rows("rain.depth"))
        sim.iot.send(box, *rain)
        sim.iot.send(box, *hourly(sim, start, stop))
    for minute in range(max(start, full) // 60_000 * 60_000, end, 60_000):
        sim.iot.send(box, *sim.iot.due(minute, minute + 60_000))
        if minute >= until_ms - UNITS_MS:
            sim.units.minute(minute, minute + 60_000, box)


def hourly(sim: Simulator, start: int, stop: int) -> tuple[Int64, Int64]:
    """The first reading of every hour of each slow datastream."""
    names = [p for p in sim.town.streams.properties if p.startswith(SLOW)]
    rows = np.concatenate([sim.town.streams.rows(p) for p in names]) if names else np.zeros(0, np.int64)
    parts = []
    for hour in range(start // HOUR * HOUR, stop, HOUR):
        row, time = sim.iot.due(max(hour, start), min(hour + HOUR, stop), rows)
        _, first = np.unique(row, return_index=True)
        parts.append((row[np.sort(first)], time[np.sort(first)]))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
