"""The offices by the day: applications, lists of items and applications, inspections."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Bool, Coded, Int64
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.day import DAY, HOUR, MINUTE, Day, Stem, hours_of, office_hours
from citytwin.streams.simulator.exchange import seats
from citytwin.streams.simulator.incidents import BY_HOUR, WorkClock
from citytwin.streams.simulator.writer import Plain, joined

HALL, LISTS, MARKET = "service/hall", "service/items", "market/inspection"
#: How many items the offices handle and how many of them online, applications of the office, services of the city code.
ITEMS, ONLINE, APPS, SERVICES = 1_090, 1_060, 33, 127
#: Those that people apply for.
ITEM_NAMES = tuple(f"item-{i:04d}" for i in range(150))
#: So many applications of a day are decided by a machine just after midnight.
AT_ONCE = 5
#: Promised working days of an application.
_PROMISED = np.array([1, 2, 3, 5])


def applications_of_day(day: Day) -> None:
    """Applications and their ends: within the promised working days, a few later; licences from the base or brought.

    The first of a day are of items that a machine decides at once, at any hour.
    """
    town, rng = day.town, day.random("applications")
    time = day.midnight + hours_of(rng, 1_900.0 if day.works else 600.0, BY_HOUR + 1.0, 10 * MINUTE)
    n = len(time)
    limit = _PROMISED[rng.choice(4, n, p=(0.45, 0.2, 0.2, 0.15))] * 8.0 * HOUR
    clock = WorkClock.around(day.midnight, town.offset_ms, town.off, town.on)
    due = clock.after(time, limit)
    late = rng.random(n) < 0.006
    soon = clock.after(time, limit * (0.02 + 0.9 * rng.beta(1.3, 3.5, n)))
    done = np.where(late, due + (rng.uniform(1, 40, n) * HOUR).astype(np.int64), np.maximum(soon, time + 5 * MINUTE))
    at_once = np.arange(n) < AT_ONCE
    time = np.where(at_once, day.midnight + 8_000 + np.arange(n) * 9_000, time)
    due, done = np.where(at_once, time + 60_000, due), np.where(at_once, time + 20_000, done)
    needed = np.where(at_once, 2, rng.binomial(4, 0.45, n))
    stem, at = day.stem(b"S", n), town.near(rng, town.draw(rng, n))
    subject = joined(stem, n)
    apply: dict[str, Plain] = {
        "item": Coded(rng.integers(0, len(ITEM_NAMES), n).astype(np.int32), ITEM_NAMES), "due_at": due,
        "licences_needed": needed, "licences_reused": rng.binomial(needed, 0.912),
    }  # fmt: skip
    day.say("service.apply", time, stem, HALL, word="apply", subject=subject, at=at, fields=apply, begun=time)
    result = Coded(rng.choice(3, n, p=(0.93, 0.05, 0.02)).astype(np.int32), ("granted", "refused", "withdrawn"))
    day.say(
        "service.done", done, stem, HALL, word="done", subject=subject, at=at, fields={"result": result}, begun=time
    )


def online(seed: int, item: Int64, day: int) -> Bool:
    """Whether items can be handled online on a day: those beyond ONLINE never, the others but for a day's outage."""
    down: Bool = noise.uniform(seed, "item down", item, day) < 0.0015
    return (item < ONLINE) & ~down


def say_items(day: Day, item: Int64, time: Int64, mark: bytes) -> None:
    """Items as they are on the day; two in three belong to a district and have the place of its seat."""
    n = len(item)
    up = online(day.seed, item, day.day)
    whole = up & (noise.uniform(day.seed, "full online", item) < 0.775)
    fields: dict[str, Plain] = {
        "state": Coded(np.where(up, 0, 1).astype(np.int32), ("online", "offline")),
        "full_online": whole.astype(np.int8),
    }  # fmt: skip
    stem: Stem = [mark, noise.digits(time, 13), b"-", noise.digits(item, 4)]
    subject, at = joined([b"item-", noise.digits(item, 4)], n), seats(day, item % 3 > 0, item)
    day.say("service.item", time, stem, LISTS, subject=subject, at=at, fields=fields)


def say_live(day: Day, type: str, letters: bytes, number: Int64, time: Int64, mark: bytes) -> None:
    """Applications of the office (`office.app`) or services of the city code (`citycode.service`): all live."""
    n = len(number)
    stem: Stem = [mark, letters, noise.digits(time, 13), b"-", noise.digits(number, 3)]
    subject = joined([letters, noise.digits(number, 3)], n)
    day.say(type, time, stem, LISTS, subject=subject, fields={"state": ["live"] * n})


def lists_of_day(day: Day) -> None:
    """Items whose state is another one than yesterday, and every hour a few of each list as they are."""
    item, rng = np.arange(ITEMS, dtype=np.int64), day.random("items")
    moved = item[online(day.seed, item, day.day) != online(day.seed, item, day.day - 1)]
    say_items(day, moved, day.midnight + 2 * HOUR + np.sort(rng.integers(0, HOUR, len(moved))), b"m")
    serial = day.day * 24 + np.arange(24)
    hour = day.midnight + np.arange(24) * HOUR
    again = (serial[:, None] * 8 + np.arange(8)).ravel() % ITEMS
    say_items(day, again, np.repeat(hour, 8) + np.tile(np.arange(8), 24) * 1_000 + MINUTE, b"h")
    say_live(day, "office.app", b"app-", serial % APPS, hour + 3 * MINUTE, b"h")
    say_live(day, "citycode.service", b"code-", serial % SERVICES, hour + 4 * MINUTE, b"h")


def inspections_of_day(day: Day) -> None:
    """Inspections that are planned on a day for one of the next weeks: most done in time, a few late, some never."""
    rng = day.random("inspections")
    n = int(rng.poisson(75 if day.works else 6)) + 1
    time = day.midnight + office_hours(rng, n)
    # a date is over at its end
    due = day.midnight + rng.integers(1, 16, n) * DAY
    kind = rng.choice(3, n, p=(0.958, 0.03, 0.012))
    share = np.where(kind == 0, 0.25 + 0.72 * rng.beta(3, 2, n), rng.uniform(1.05, 1.4, n))
    done = time + ((due - time) * share).astype(np.int64)
    stem, at = day.stem(b"N", n, 4), day.town.near(rng, day.town.draw(rng, n))
    subject = joined(stem, n)
    plan: dict[str, Plain] = {"due_at": due, "plan": [f"plan-{day.day // 30 % 4 + 1}"] * n}
    day.say("inspection.planned", time, stem, MARKET, word="planned", subject=subject, at=at, fields=plan, begun=time)
    result = Coded((rng.random(n) < 0.08).astype(np.int32), ("passed", "failed"))
    day.say("inspection.done", done, stem, MARKET, word="done", subject=subject, at=at, fields={"result": result},
            who=kind < 2, begun=time)  # fmt: skip
