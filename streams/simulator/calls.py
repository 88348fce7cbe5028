"""Calls to the 12345 hotline, uses of the city code, deliveries of the departments, emergency runs: a day at a time."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Bool, Coded, Float64, Int64, Strings, UInt8
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.incidents import BY_HOUR, DAY, HOTLINE, HOUR, MINUTE, Cases, day_stamp
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, joined

LINES = ("citizen", "business")
SERVICES = ("metro", "bus", "hospital", "library", "park", "permit", "tax", "school")


def people(rng: np.random.Generator, n: int, of: int = 300_000) -> Strings:
    """Keyed hashes of people, some of whom come back: 32 hex digits each."""
    who = rng.integers(0, of, n)
    return joined([noise.hex_digits(noise.bits(7, "person", who)), noise.hex_digits(noise.bits(8, "person", who))], n)


def hours_of(rng: np.random.Generator, per_day: float, shape: Float64) -> Int64:
    """Times of day in ms, Poisson in each hour by a profile: int64[n], ascending."""
    hour = np.repeat(np.arange(24), rng.poisson(per_day * shape / shape.sum()))
    return np.sort(hour * HOUR + rng.integers(0, HOUR, len(hour))).astype(np.int64)


def ring(
    writer: Writer, box: Outbox, rng: np.random.Generator, mark: bytes, offered: Int64, *, case: UInt8 | None = None,
    reported: Int64 | None = None, busy: float = 0.04, cut_ms: int = 0,
) -> None:  # fmt: skip
    """Calls offered at these times; those that lead to a case (`case` codes, `reported` times) are always answered.

    Nothing is said of calls offered before `cut_ms`.
    """
    n = len(offered)
    code = joined([mark, noise.digits(np.arange(1, n + 1), 5)], n)
    caller, line = people(rng, n), Coded((rng.random(n) < 0.1).astype(np.int32), LINES)
    lost: Bool = (rng.random(n) < busy) & (case is None)
    wait = np.where(lost, rng.uniform(15, 90, n), np.minimum(rng.lognormal(1.9, 0.7, n), 60.0))
    if reported is not None:
        wait = np.minimum(wait, (reported - offered) / 1000 * 0.5)
    picked = offered + (wait * 1000).astype(np.int64)
    talk = picked + (rng.lognormal(4.6, 0.5, n) * 1000).astype(np.int64)
    closed = talk if reported is None else np.maximum(reported, picked + 5_000)
    about = Strings.empty(n) if case is None else joined([case], n)
    parts: tuple[tuple[str, Bool, Int64, dict[str, Plain]], ...] = (
        ("offered", np.ones(n, np.bool_), offered, {"caller": caller, "line": line}),
        ("answered", ~lost, picked, {"caller": caller, "line": line, "wait_s": wait}),
        ("abandoned", lost, picked, {"caller": caller, "line": line, "wait_s": wait}),
        ("closed", ~lost, closed, {"caller": caller, "case": about, "satisfied": np.where(rng.random(n) < 0.95, 1, 0)}),
    )
    for name, who, time, fields in parts:
        batch = writer.batch(
            f"call.{name}", time, joined([mark, noise.digits(np.arange(1, n + 1), 5), f".{name}".encode()], n),
            "hotline/12345", subject=code, fields=fields,
        )  # fmt: skip
        said = who & (offered > cut_ms)
        if batch is not None:
            box.add(batch.take(said), time[said] + 80)


def calls_of_day(
    town: Town, writer: Writer, box: Outbox, seed: int, day: int, cases: Cases, per_day: float, cut_ms: int = 0
) -> None:  # fmt: skip
    """All calls of a local day: those behind the cases of the hotline, and questions that lead to none."""
    rng, stamp = noise.generator(seed, "calls", day), day_stamp(day).encode()
    phoned = cases.channel == HOTLINE
    reported = cases.time[phoned]
    offered = reported - (rng.uniform(60, 240, len(reported)) * 1000).astype(np.int64)
    ring(writer, box, rng, b"T" + stamp + b"-C", offered, case=cases.code[phoned], reported=reported, cut_ms=cut_ms)
    other = day * DAY - town.offset_ms + hours_of(rng, per_day, BY_HOUR)
    ring(writer, box, rng, b"T" + stamp + b"-Q", other, cut_ms=cut_ms)


def codes_of_day(town: Town, writer: Writer, box: Outbox, seed: int, day: int, per_day: float) -> None:
    """Uses of the city code, mostly at the rush hours."""
    rng = noise.generator(seed, "citycode", day)
    time = day * DAY - town.offset_ms + hours_of(rng, per_day, BY_HOUR + 8.0)
    n = len(time)
    lon, lat = town.near(rng, town.draw(rng, n))
    fields: dict[str, Plain] = {
        "user": people(rng, n),
        "service": Coded(rng.integers(0, len(SERVICES), n).astype(np.int32), SERVICES),
    }
    ids = joined([b"K", day_stamp(day).encode(), b"-", noise.digits(np.arange(1, n + 1), 6)], n)
    box.add(writer.batch("citycode.use", time, ids, "citycode", lon=lon, lat=lat, fields=fields), time + 60)


def batches_of_day(town: Town, writer: Writer, box: Outbox, seed: int, day: int, datasets: int = 4) -> None:
    """Deliveries of a day: announced at 00:05 with their due time, then received, a few late or not at all."""
    rng, n = noise.generator(seed, "batches", day), len(town.departments) * datasets
    dept, which = np.repeat(np.arange(len(town.departments)), datasets), np.tile(np.arange(datasets), n // datasets)
    midnight = day * DAY - town.offset_ms
    due = midnight + (7 + 3 * which) * HOUR + (dept % 4) * 15 * MINUTE
    late, lost = rng.random(n) < 0.04, rng.random(n) < 0.008
    received = due + np.where(late, rng.uniform(5, 180, n), -rng.uniform(2, 110, n)).astype(np.int64) * MINUTE
    rows = rng.integers(200, 50_000, n)
    names = tuple(f"{d}/{k}" for d in town.departments for k in range(1, datasets + 1))
    common: dict[str, Plain] = {
        "dataset": Coded(np.arange(n, dtype=np.int32), names), "dept": Coded(dept.astype(np.int32), town.departments),
        "due_at": due,
    }  # fmt: skip
    stem: list[bytes | UInt8] = [b"D", day_stamp(day).encode(), b"-", noise.digits(np.arange(1, n + 1), 4)]
    subject, begin = joined(stem, n), np.full(n, midnight + 5 * MINUTE, np.int64)
    box.add(writer.batch("data.batch", begin, joined([*stem, b".due"], n), "exchange", subject=subject, fields=common),
            begin + 50)  # fmt: skip
    full: dict[str, Plain] = {
        **common, "received_at": received, "rows": rows, "bad_rows": (rows * rng.beta(1, 200, n)).astype(np.int64),
    }  # fmt: skip
    got = writer.batch("data.batch", received, joined([*stem, b".got"], n), "exchange", subject=subject, fields=full)
    if got is not None:
        box.add(got.take(~lost), received[~lost] + 50)


def runs_of_day(
    town: Town, writer: Writer, box: Outbox, seed: int, day: int, per_day: float, cut_ms: int = 0
) -> None:  # fmt: skip
    """Emergency runs of ambulances and fire engines, from the nearest of three stations; none begun before `cut_ms`."""
    if not len(town.stations):
        return
    rng = noise.generator(seed, "runs", day)
    begin = day * DAY - town.offset_ms + hours_of(rng, per_day, BY_HOUR + 12.0)
    n = len(begin)
    lon, lat = town.near(rng, town.draw(rng, n))
    pick = rng.integers(0, len(town.stations), (n, 3))
    far = np.hypot(town.stations.lon[pick] - lon[:, None], town.stations.lat[pick] - lat[:, None])
    station = pick[np.arange(n), far.argmin(axis=1)]
    fire = np.isin(station, town.stations.of("fire_station"))
    kind = Coded(np.where(fire, 0, 1).astype(np.int32), ("fire", "ems"))
    unit = Coded(station.astype(np.int32), tuple(town.stations.code.tolist()))
    severity = rng.choice(np.array([4, 3, 2]), n, p=[0.9, 0.09, 0.01])
    stem: list[bytes | UInt8] = [b"E", day_stamp(day).encode(), b"-", noise.digits(np.arange(1, n + 1), 4)]
    time = begin
    steps = (("received", 0, 1), ("dispatched", 25, 90), ("turnout", 50, 200), ("arrived", 120, 700),
             ("controlled", 300, 2400), ("closed", 300, 1800))  # fmt: skip
    for name, low, high in steps:
        time = time + (rng.uniform(low, high, n) * 1000).astype(np.int64)
        ids = joined([*stem, f".{name}".encode()], n)
        fields: dict[str, Plain] = {"kind": kind, "unit": unit, "severity": severity}
        batch = writer.batch(f"emergency.{name}", time, ids, "emergency/119-120", subject=joined(stem, n),
                             lon=lon, lat=lat, fields=fields)  # fmt: skip
        said = begin > cut_ms
        if batch is not None:
            box.add(batch.take(said), time[said] + 80)
