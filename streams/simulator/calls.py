"""Calls to the 12345 hotline and uses of the city code, a day at a time."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Bool, Coded, Int64, Strings, UInt8
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.day import Day, day_stamp, hours_of, people
from citytwin.streams.simulator.incidents import BY_HOUR, HOTLINE, Cases
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, joined

LINES = ("citizen", "business")
SERVICES = ("metro", "bus", "hospital", "library", "park", "permit", "tax", "school")


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


def calls_of_day(day: Day, cases: Cases, per_day: float = 1_600.0) -> None:
    """All calls of a local day: those behind the cases of the hotline, and questions that lead to none."""
    rng, stamp = day.random("calls"), day_stamp(day.day).encode()
    phoned = cases.channel == HOTLINE
    reported = cases.time[phoned]
    offered = reported - (rng.uniform(60, 240, len(reported)) * 1000).astype(np.int64)
    writer, box, cut = day.writer, day.box, day.cut_ms
    ring(writer, box, rng, b"T" + stamp + b"-C", offered, case=cases.code[phoned], reported=reported, cut_ms=cut)
    ring(writer, box, rng, b"T" + stamp + b"-Q", day.midnight + hours_of(rng, per_day, BY_HOUR), cut_ms=cut)


def codes_of_day(day: Day, per_day: float = 20_000.0) -> None:
    """Uses of the city code, mostly at the rush hours."""
    rng = day.random("citycode")
    time = day.midnight + hours_of(rng, per_day, BY_HOUR + 8.0)
    n = len(time)
    fields: dict[str, Plain] = {
        "user": people(rng, n),
        "service": Coded(rng.integers(0, len(SERVICES), n).astype(np.int32), SERVICES),
    }
    at = day.town.near(rng, day.town.draw(rng, n))
    day.say("citycode.use", time, day.stem(b"K", n, 6), "citycode", at=at, fields=fields, delay=60)
