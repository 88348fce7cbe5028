"""Emergencies by the day: runs, accidents at work, hazards, reports on plans, calls of the old, gas patrols."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Coded, Float64, Int64, Strings
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Places
from citytwin.streams.simulator.day import DAY, HOUR, MINUTE, Day, Stem, hours_of, office_hours, people
from citytwin.streams.simulator.incidents import BY_HOUR
from citytwin.streams.simulator.writer import Plain, joined

KINDS = ("fire", "ems", "police", "work_safety")
_STATION = ("fire_station", "ems_station", "police_station", "")
_SHARE = (0.14, 0.6, 0.26)
#: Median seconds of each step after the one before, and their spread (of the logarithm): fire, ems, police.
_STEPS: tuple[tuple[str, tuple[float, float, float], float], ...] = (
    ("dispatched", (42, 50, 60), 0.3), ("turnout", (48, 85, 45), 0.36), ("arrived", (156, 400, 280), 0.3),
    ("controlled", (900, 700, 1200), 0.5), ("closed", (700, 1500, 1500), 0.4),
)  # fmt: skip
_SOURCE, _BUREAU = "emergency/119-120", "emergency/bureau"
#: A detector reads this much of the lower explosive limit while gas leaks near it.
LEAK_LEL, LEAK_MS = 24.0, 1_800_000


def runs_of_day(day: Day, per_day: float = 420.0) -> None:
    """Runs of fire engines, ambulances and police cars, from the nearest of three stations of the kind."""
    town, rng = day.town, day.random("runs")
    if not len(town.stations):
        return
    begin = day.midnight + hours_of(rng, per_day, BY_HOUR + 12.0, HOUR // 2)
    n = len(begin)
    lon, lat = town.near(rng, town.draw(rng, n))
    kind = rng.choice(3, n, p=_SHARE)
    unit = _unit(town.stations, kind, lon, lat, rng)
    fields: dict[str, Plain] = {
        "kind": Coded(kind.astype(np.int32), KINDS), "unit": Coded(unit, tuple(town.stations.code.tolist())),
        "severity": rng.choice(np.array([4, 3, 2]), n, p=[0.9, 0.09, 0.01]),
    }  # fmt: skip
    stem, time = day.stem(b"E", n, 4), begin
    subject = joined(stem, n)
    day.say("emergency.received", time, stem, _SOURCE, word="received", subject=subject, at=(lon, lat), fields=fields,
            begun=begin)  # fmt: skip
    for word, median, spread in _STEPS:
        wait = np.array(median)[kind] * np.exp(spread * np.clip(rng.normal(0, 1, n), -3, 3))
        time = time + np.maximum(wait * 1000, 1000).astype(np.int64)
        day.say(f"emergency.{word}", time, stem, _SOURCE, word=word, subject=subject, at=(lon, lat), fields=fields,
                begun=begin)  # fmt: skip


def _unit(stations: Places, kind: Int64, lon: Float64, lat: Float64, rng: np.random.Generator) -> np.ndarray:
    """A station of the kind for each run: the nearest of three drawn ones (int32[n], -1 where the town has none)."""
    out = np.full(len(kind), -1, np.int32)
    for k, name in enumerate(_STATION[:3]):
        mine, at = stations.of(name), np.flatnonzero(kind == k)
        if len(mine) and len(at):
            pick = mine[rng.integers(0, len(mine), (len(at), 3))]
            far = np.hypot(stations.lon[pick] - lon[at, None], stations.lat[pick] - lat[at, None])
            out[at] = pick[np.arange(len(at)), far.argmin(axis=1)]
    return out


def accidents_of_day(day: Day, per_month: float = 4.0) -> None:
    """Accidents at work: told with a first toll, closed some days later with the last one."""
    rng = day.random("accidents")
    n = int(rng.poisson(per_month / 30))
    begin = day.midnight + office_hours(rng, n)
    lon, lat = day.town.near(rng, day.town.draw(rng, n))
    stem = day.stem(b"A", n, 3)
    deaths, hurt = rng.choice(3, n, p=(0.6, 0.32, 0.08)), np.minimum(rng.poisson(1.3, n), 8)
    loss = np.minimum(np.exp(rng.normal(13.3, 0.8, n)), 9e6).astype(np.int64) // 1000 * 1000
    first: dict[str, Plain] = {
        "kind": ["work_safety"] * n, "severity": np.full(n, 3), "deaths": np.zeros(n, np.int64),
        "serious_injured": hurt, "loss_yuan": np.zeros(n, np.int64),
    }  # fmt: skip
    last: dict[str, Plain] = {**first, "deaths": deaths, "loss_yuan": loss}
    time = begin
    for word, low, high in (("received", 0, 1), ("dispatched", 1, 3), ("arrived", 10, 40), ("controlled", 60, 400),
                            ("closed", 1500, 4000)):  # fmt: skip
        time = time + (rng.uniform(low, high, n) * MINUTE).astype(np.int64)
        short = {k: v for k, v in first.items() if k in ("kind", "severity")}
        said = {"received": first, "closed": last}.get(word, short)
        day.say(f"emergency.{word}", time, stem, _SOURCE, word=word, subject=joined(stem, n), at=(lon, lat),
                fields=said, begun=begin)  # fmt: skip


def hazards_of_day(day: Day) -> None:
    """Hazards that inspectors find: rectified within 1 to 15 days, looked at again; a few too late."""
    rng = day.random("hazards")
    n = int(rng.poisson(58 if day.works else 16)) + 2
    found = day.midnight + office_hours(rng, n)
    lon, lat = day.town.near(rng, day.town.draw(rng, n))
    major = rng.random(n) < 0.04
    limit = np.where(major, 15, rng.integers(1, 11, n)) * DAY
    share = np.where(rng.random(n) < 0.965, 0.2 + 0.78 * rng.beta(2, 2, n), rng.uniform(1.05, 1.35, n))
    # a date is over at its end
    limit = (found + limit + day.town.offset_ms) // DAY * DAY + DAY - day.town.offset_ms - found
    done = found + (limit * share).astype(np.int64)
    stem = day.stem(b"H", n, 4)
    subject, at = joined(stem, n), (lon, lat)
    about: dict[str, Plain] = {"due_at": found + limit, "grade": Coded(major.astype(np.int32), ("general", "major"))}
    day.say("hazard.found", found, stem, _BUREAU, word="found", subject=subject, at=at, fields=about, begun=found)
    early = rng.random(n) < 0.06
    again = found + ((done - found) * 0.6).astype(np.int64)
    day.say("hazard.inspected", again, stem, _BUREAU, word="checked", subject=subject, at=at, who=early, begun=found,
            fields={"passed": np.zeros(n, np.int8)})  # fmt: skip
    day.say("hazard.rectified", done, stem, _BUREAU, word="done", subject=subject, at=at, begun=found)
    day.say("hazard.inspected", done + 2 * HOUR, stem, _BUREAU, word="passed", subject=subject, at=at, begun=found,
            fields={"passed": np.ones(n, np.int8)})  # fmt: skip


def reports_of_day(day: Day) -> None:
    """The bureau says at every half hour that it has no other plan in force: its standing report never began."""
    time = day.midnight + np.arange(0, DAY, HOUR // 2, dtype=np.int64) + 2 * MINUTE
    stem = day.stem(b"standing-", len(time), 2)
    day.say("plan.ended", time, stem, _BUREAU, subject=Strings.of(["standing-report"] * len(time)))


def calls_of_the_old(day: Day, per_day: float = 90.0) -> None:
    """Old people who press their button, and when somebody spoke to them."""
    rng = day.random("sos")
    time = day.midnight + hours_of(rng, per_day, BY_HOUR + 25.0, HOUR // 2)
    n = len(time)
    at = day.town.near(rng, day.town.draw(rng, n))
    stem, fields = day.stem(b"O", n, 4), {"person": people(rng, n, 40_000)}
    answered = time + np.maximum(92_000 * np.exp(0.68 * np.clip(rng.normal(0, 1, n), -3, 3)), 4_000).astype(np.int64)
    subject = joined(stem, n)
    day.say("alarm.sos", time, stem, "civil/elders", word="sos", subject=subject, at=at, fields=fields, begun=time)
    day.say("alarm.contacted", answered, stem, "civil/elders", word="contacted", subject=subject, at=at, fields=fields,
            begun=time)  # fmt: skip


def leak_begin(seed: int, device: Int64, utc_day: Int64) -> Int64:
    """When gas leaks at a device on a UTC day (int64 ms); -1 for the most that have no leak."""
    leaks = noise.uniform(seed, "leak", device, utc_day) < 0.003
    at = utc_day * DAY + (noise.uniform(seed, "leak at", device, utc_day) * (DAY - LEAK_MS)).astype(np.int64)
    return np.where(leaks, at, -1)


def patrols_of_day(day: Day) -> None:
    """Gas patrols: unsafe when they are sent to a leak, safe when they have been there; sensors read on."""
    rows = day.town.streams.rows("gas.ch4_lel")
    device = day.town.streams.device[rows]
    for utc in range(day.midnight // DAY, (day.midnight + DAY - 1) // DAY + 1):
        begin = leak_begin(day.seed, device, np.full(len(device), utc, np.int64))
        hit = (begin >= day.midnight) & (begin < day.midnight + DAY)
        say_safe(day, device[hit], begin[hit] + 90_000, 0)
        say_safe(day, device[hit], begin[hit] + 12 * MINUTE, 1)


def say_safe(day: Day, device: Int64, time: Int64, safe: int) -> None:
    """A patrol says of detectors whether their site is safe (1) or not (0)."""
    n = len(time)
    fields: dict[str, Plain] = {"property": ["gas.safe"] * n, "value": np.full(n, float(safe)), "quality": ["good"] * n}
    stem: Stem = [b"safe-", noise.digits(device, 7), b"-", noise.digits(time, 13)]
    day.say("obs", time, stem, "gas/patrol", subject=day.town.streams.devices.code.take(device), fields=fields)
