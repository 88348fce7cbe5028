"""The step: order, lateness, corrections, retractions, snapshots and batch sizes leave the numbers equal."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from citytwin import snapshot
from citytwin.engine import Engine
from citytwin.indicators.api import col, count, distinct, ent, ind, indicator, maximum, mean, quantile, row, tally
from citytwin.indicators.expr import Expr, ref
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Float64, Strings
from citytwin.models.frame import Quality
from citytwin.testing import START_MS, TinyCity, random_events

LEVELS = "city district street community grid"
PRESSURE = col.property == "water.pressure"
MINUTE = 60_000


@indicator("share", theme="t", window="sliding 1h/15m", levels=LEVELS, feeds=(("obs", "water.pressure"),))
def share(
    ok: Float64 = count("obs", where=PRESSURE & (col.value >= 0.14)), n: Float64 = count("obs", where=PRESSURE)
) -> Float64:
    return 100 * ok / n


@indicator("peak", theme="t", window="sliding 1h/15m", levels=LEVELS, decimals=6)
def peak(m: Float64 = maximum("obs", col.value, PRESSURE, per_unit=1_000_000)) -> Float64:
    return m


@indicator("average", theme="t", window="tumbling 1h", levels=LEVELS, decimals=6)
def average(m: Float64 = mean("obs", col.value, PRESSURE, per_unit=1_000_000)) -> Float64:
    return m


@indicator("newest", theme="t", levels=LEVELS, decimals=6)
def newest(m: Float64 = tally("obs", row.value, row.property == "water.pressure", per_unit=1_000_000)) -> Float64:
    return m


@indicator("online", theme="t", levels=LEVELS)
def online(
    on: Float64 = tally(
        "device", where=row.in_service == 1, start=row.last_seen, end=row.last_seen + row.period_s * 3000
    ),
    n: Float64 = tally("device", where=row.in_service == 1),
) -> Float64:
    return 100 * on / n


@indicator("users", theme="t", window="tumbling 1d", levels="city district")
def users(n: Float64 = distinct("citycode.use", col.user)) -> Float64:
    return n


@indicator("wait", theme="t", window="sliding 1h/1m", levels="city", decimals=3)
def wait(q: Float64 = quantile("call.answered", col.wait_s, 0.95)) -> Float64:
    return q


@indicator("backlog", theme="t", levels=LEVELS)
def backlog(n: Float64 = tally("case", where=row.open)) -> Float64:
    return n


@indicator("overdue", theme="t", levels=LEVELS)
def overdue(n: Float64 = tally("case", where=row.open, start=row.due_at)) -> Float64:
    return n


ALL = (share, peak, average, newest, online, users, wait, backlog, overdue)


def engine() -> Engine:
    return Engine(TinyCity(), Registry(ALL))


def pressure(ids: list[str], subjects: list[str], values: list[float], ago_ms: list[int], **more: object) -> EventBatch:
    fields = {
        "property": Coded.of(["water.pressure"] * len(ids)),
        "value": np.array([round(v * 1_000_000) for v in values]),
        "quality": Coded.of(["good"] * len(ids)),
    }
    time = [START_MS - a for a in ago_ms]
    return EventBatch.of("obs", time, ids, subject=subjects, fields=fields, **more)  # type: ignore[arg-type]


def value(e: Engine, id: str, row: int = 0) -> float:
    return float(e.board.lines[id].value[row])


def test_a_duplicate_changes_nothing_and_other_content_is_refused() -> None:
    e = engine()
    first = pressure(["a"], ["D00"], [0.2], [10])
    assert e.feed(first, 1).accepted == 1
    assert e.feed(first, 2).duplicates == 1
    answer = e.feed(pressure(["a", "b"], ["D00", "D01"], [0.1, 0.1], [10, 10]), 3)
    assert (answer.accepted, [(r.index, r.reason) for r in answer.rejected]) == (1, [(0, "conflict")])
    e.tick(START_MS, 4)
    assert value(e, "share") == 50


def test_an_older_reading_never_replaces_a_newer_one() -> None:
    e = engine()
    e.feed(pressure(["new"], ["D00"], [0.3], [0]), 1)
    e.feed(pressure(["old"], ["D00"], [0.1], [5000]), 2)
    e.tick(START_MS, 3)
    assert value(e, "newest") == 0.3
    assert value(e, "share") == 50


@pytest.mark.parametrize("first", ["original", "correction"])
def test_a_correction_replaces_its_original_in_either_order(first: str) -> None:
    e = engine()
    original = pressure(["a"], ["D00"], [0.5], [10])
    better = pressure(["b"], ["D00"], [0.1], [10], corrects=["a"], revision=[1])
    for batch in (original, better) if first == "original" else (better, original):
        assert not e.feed(batch, 1).rejected
        e.tick(START_MS, 2)
    assert (value(e, "peak"), value(e, "newest"), value(e, "share")) == (0.1, 0.1, 0)


def test_the_highest_revision_wins_and_a_retraction_removes() -> None:
    e = engine()
    e.feed(pressure(["z"], ["D00"], [0.2], [90_000]), 1)
    e.feed(pressure(["a"], ["D00"], [0.5], [10]), 1)
    e.feed(pressure(["c"], ["D00"], [0.4], [10], corrects=["a"], revision=[2]), 1)
    e.feed(pressure(["b"], ["D00"], [0.9], [10], corrects=["a"], revision=[1]), 1)
    e.tick(START_MS, 2)
    assert (value(e, "peak"), value(e, "newest")) == (0.4, 0.4)
    e.feed(pressure(["d"], ["D00"], [0], [10], corrects=["a"], revision=[3], retracted=[True]), 3)
    e.tick(START_MS + 1000, 4)
    assert (value(e, "peak"), value(e, "newest")) == (0.2, 0.2)


def test_malformed_corrections_are_refused() -> None:
    e = engine()
    e.feed(pressure(["a"], ["D00"], [0.5], [10]), 1)
    for batch in (
        pressure(["b"], ["D01"], [0.5], [10], corrects=["a"], revision=[1]),
        pressure(["b"], ["D00"], [0.5], [10], corrects=["a"]),
        pressure(["b"], ["D00"], [0.5], [10], revision=[1]),
    ):
        assert [r.reason for r in e.feed(batch, 2).rejected] == ["bad_correction"]


def test_what_is_unknown_too_old_or_ahead_is_refused() -> None:
    e = engine()
    e.tick(START_MS, 1)
    day = 86_400_000
    batch = pressure(["a", "b", "c"], ["D99", "D00", "D00"], [0.5] * 3, [0, day + 1000, -3_600_000])
    assert [(r.index, r.reason) for r in e.feed(batch, 2).rejected] == [
        (0, "unknown_subject"),
        (2, "future"),
        (1, "horizon"),
    ]
    assert e.stats.rejected == {"unknown_subject": 1, "future": 1, "horizon": 1}


def test_windows_forget_and_the_last_closed_pane_stays_beside() -> None:
    e = engine()
    e.feed(pressure(["a"], ["D00"], [0.5], [0]), 1)
    e.tick(START_MS, 2)
    assert (value(e, "peak"), value(e, "average")) == (0.5, 0.5)
    assert e.board.lines["average"].quality[0] == Quality.PROVISIONAL
    e.tick(START_MS + 61 * MINUTE, 3)
    assert np.isnan(value(e, "peak"))
    assert np.isnan(value(e, "average"))
    assert e.board.lines["average"].closed[0] == 0.5
    e.feed(pressure(["b"], ["D00"], [0.7], [-1]), 4)
    frame = e.tick(START_MS + 61 * MINUTE + 1000, 5)
    restated = frame.values["average"]
    assert restated.closed[0] == 0.6
    assert restated.restated[0]


def test_the_clock_alone_moves_online_overdue_and_stale() -> None:
    e = engine()
    e.feed(pressure(["a"], ["D00"], [0.5], [0]), 1)
    grid = e.scopes.row(e.scopes.code[int(e.entities.scope[0])])
    due = START_MS + 10 * MINUTE
    for i, (name, fields) in enumerate((("reported", {}), ("accepted", {}), ("filed", {"due_at": np.array([due])}))):
        batch = EventBatch.of(
            f"case.{name}", [START_MS + i], [f"m{i}"], subject=["C1"], scope=[e.scopes.code[grid]], fields=fields
        )
        e.feed(batch, 2)
    e.tick(START_MS + 10, 3)
    assert (value(e, "online", grid), value(e, "backlog"), value(e, "overdue")) == (50, 1, 0)
    assert e.board.lines["share"].quality[grid] == Quality.GOOD
    assert e.next_due() <= START_MS + 2 * MINUTE
    e.tick(START_MS + 2 * MINUTE, 4)
    assert e.board.lines["share"].quality[grid] == Quality.STALE
    e.tick(START_MS + 3 * MINUTE, 5)
    assert value(e, "online", grid) == 0
    e.tick(due, 6)
    assert value(e, "overdue") == 1


def test_a_silent_source_makes_parents_partial() -> None:
    e = engine()
    subjects = [f"D{i:02d}" for i in range(32)]
    e.feed(pressure([f"a{i}" for i in range(32)], subjects, [0.2] * 32, [0] * 32), 1)
    e.tick(START_MS, 2)
    later = [f"b{i}" for i in range(31)]
    e.feed(pressure(later, subjects[:31], [0.2] * 31, [-50_000] * 31), 3)
    e.tick(START_MS + 2 * MINUTE, 4)
    line = e.board.lines["share"]
    assert (line.quality[0], line.fresh[0], line.expected[0]) == (Quality.PARTIAL, 31, 32)


def test_an_illegal_move_is_told_and_counts_nowhere() -> None:
    e = engine()
    e.feed(EventBatch.of("case.closed", [START_MS], ["x"], subject=["C9"], fields={}), 1)
    assert not e.tick(START_MS, 2).refused
    assert not e.tick(START_MS + MINUTE - 1, 3).refused
    frame = e.tick(START_MS + MINUTE, 4)
    assert [(r.reason, r.id) for r in frame.refused] == [("illegal_move", "x")]
    assert not e.tick(START_MS + 2 * MINUTE, 5).refused
    assert value(e, "backlog") == 0


def test_a_move_that_overtakes_the_one_before_it_is_not_told() -> None:
    e = engine()
    for i, name in enumerate(("accepted", "reported")):
        e.feed(EventBatch.of(f"case.{name}", [START_MS - i], [name], subject=["C9"], fields={}), 1)
        assert not e.tick(START_MS + i * 5000, 2).refused
    assert not e.tick(START_MS + 2 * MINUTE, 3).refused
    assert e.cases is not None
    assert e.cases.count_by_state()["accepted"] == 1


def test_changed_attributes_count_old_readings_again() -> None:
    @indicator("by_role", theme="t", window="sliding 1h/15m", levels="city")
    def by_role(n: Float64 = count("obs", where=PRESSURE & (ent.role == "x"))) -> Float64:
        return n

    e = Engine(TinyCity(), Registry([by_role]))
    e.feed(pressure(["a"], ["D00"], [0.5], [10]), 1)
    e.tick(START_MS, 2)
    assert value(e, "by_role") == 0
    change = EventBatch.of("device.changed", [START_MS], ["r"], subject=["D00"], fields={"role": Coded.of(["x"])})
    assert not e.feed(change, 3).rejected
    e.tick(START_MS + 1, 4)
    assert value(e, "by_role") == 1
    gone = pressure(["b"], ["D00"], [0.5], [10], corrects=["a"], revision=[1], retracted=[True])
    e.feed(gone, 5)
    e.tick(START_MS + 2, 6)
    assert value(e, "by_role") == 0


def test_one_that_reads_another_keeps_its_closed_window() -> None:
    @indicator("plain", theme="t", window="sliding 1h/15m", levels="city")
    def plain(n: Float64 = count("obs", where=PRESSURE)) -> Float64:
        return n

    @indicator("mixed", theme="t", window="tumbling 1h", levels="city")
    def mixed(n: Float64 = count("obs", where=PRESSURE), other: Float64 = ind("plain")) -> Float64:
        return n + 0 * other

    e = Engine(TinyCity(), Registry([plain, mixed]))
    e.feed(pressure(["a"], ["D00"], [0.5], [10]), 1)
    # the reading is of the hour that ends at START_MS
    seen = [e.tick(START_MS + i * 3_600_000, 2 + i).values["mixed"].closed[0] for i in range(2)]
    assert seen == [1, 0]


def test_what_is_read_through_a_relation_counts_old_readings_again() -> None:
    """A gauge observes a road: the road is registered after the reading, then changes its class."""

    @indicator("on_branches", theme="t", window="sliding 1h/15m", levels="city")
    def on_branches(n: Float64 = count("obs", where=ref("ent", "observes.road_class") == "branch")) -> Float64:
        return n

    def road(type: str, id: str, road_class: str) -> EventBatch:
        fields: dict[str, Any] = {"road_class": Coded.of([road_class]), "facility_kind": Coded.of(["road"])}
        return EventBatch.of(type, [START_MS], [id], subject=["R1"], fields=fields, scope=[TinyCity().grid_codes()[0]])

    e = Engine(TinyCity(), Registry([on_branches]))
    observes = EventBatch.of(
        "device.changed", [START_MS], ["o"], subject=["D00"], fields={"observes": Strings.of(["R1"])}
    )
    assert not e.feed(observes, 1).rejected
    e.feed(pressure(["a"], ["D00"], [0.5], [10]), 2)
    seen = []
    for position, change in enumerate(
        (None, road("facility.installed", "i", "branch"), road("facility.changed", "c", "arterial"), None), 3
    ):
        if change is not None:
            assert not e.feed(change, position).rejected
        e.tick(START_MS + position, position)
        seen.append(value(e, "on_branches"))
    e.feed(pressure(["b"], ["D00"], [0.5], [10], corrects=["a"], revision=[1], retracted=[True]), 9)
    e.tick(START_MS + 9, 9)
    assert [*seen, value(e, "on_branches")] == [0, 1, 0, 0, 0]


def _history(seed: int) -> list[EventBatch]:
    rng, city = np.random.Generator(np.random.Philox(key=seed)), TinyCity()
    kinds = ("obs", "citycode.use", "call.answered", "device.status")
    out = [
        random_events(city, city.vocabulary.types[k], 300, rng, properties=["water.pressure", "rain.depth"], prefix=k)
        for k in kinds
    ]
    obs = out[0]
    fixes = obs.take(np.arange(40))
    ids = Strings.of([f"fix{i}" for i in range(40)])
    held = fixes.fields["value"]
    assert isinstance(held, np.ndarray)
    fields = dict(fixes.fields) | {"value": held[::-1].copy()}
    out.append(
        EventBatch.of(
            "obs",
            fixes.time,
            ids,
            source=fixes.source,
            subject=fixes.subject,
            scope=fixes.scope,
            corrects=fixes.id,
            revision=np.full(40, 1, np.int32),
            retracted=np.arange(40) % 3 == 0,
            fields=fields,
        )
    )
    return out


def _run(batches: list[EventBatch], parts: int, stop: int | None = None) -> tuple[list[str], str]:
    """Frame hashes after each of three ticks; with `stop`, through a snapshot after that tick."""
    e, hashes = engine(), []
    for k in range(3):
        for batch in batches:
            third = batch.take(np.array_split(np.arange(len(batch)), 3)[k])
            for piece in np.array_split(np.arange(len(third)), parts):
                e.feed(third.take(piece), k)
        e.tick(START_MS + k * 20 * MINUTE, k)
        hashes.append(e.frame_hash())
        if k == stop:
            held = e.snapshot()
            meta = msgspec.json.decode(msgspec.json.encode(held.meta))
            e = snapshot.restore(TinyCity(), Registry(ALL), held.arrays, meta)
            assert (e.now, e.position, e.k) == (START_MS + k * 20 * MINUTE, k, k + 1)
    return hashes, e.state_hash()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_batch_sizes_and_snapshots_leave_every_frame_equal(seed: int) -> None:
    batches = _history(seed)
    whole = _run(batches, 1)
    assert _run(batches, 17) == whole
    assert [_run(batches, 3, stop=k) for k in range(3)] == [whole] * 3


def test_the_order_of_arrival_leaves_the_last_frame_equal() -> None:
    batches = _history(5)
    rng = np.random.Generator(np.random.Philox(key=9))
    shuffled = [b.take(rng.permutation(len(b))) for b in reversed(batches)]
    hashes = []
    for order in (batches, shuffled):
        e = engine()
        for batch in order:
            e.feed(batch, 1)
        e.tick(START_MS, 2)
        hashes.append(e.frame_hash())
    assert hashes[0] == hashes[1]


def test_a_snapshot_of_other_definitions_is_refused() -> None:
    held = engine().snapshot()
    with pytest.raises(snapshot.DefinitionsChanged):
        snapshot.restore(TinyCity(), Registry(ALL[:-1]), held.arrays, held.meta)


def test_a_raising_formula_is_shown_and_stops_nothing() -> None:
    @indicator("broken", theme="t", window="sliding 1h/15m", levels="city")
    def broken(n: Float64 = count("obs")) -> Float64:
        raise RuntimeError("no luck")

    e = Engine(TinyCity(), Registry([broken, newest]))
    e.feed(pressure(["a"], ["D00"], [0.5], [10]), 1)
    frame = e.tick(START_MS, 2)
    assert frame.values["broken"].quality.tolist() == [Quality.ERROR]
    assert frame.sys["errors"] == {"broken": "RuntimeError: no luck"}
    assert value(e, "newest") == 0.5


@pytest.mark.parametrize(
    "speeds",
    [
        row.property == "traffic.speed",
        (row.property == "traffic.speed") & (row.value.where(row.value > 0, 0) >= 0),
        row.property.isin(["traffic.speed"]),
    ],
    ids=["pinned", "pinned beside a choice", "not pinned"],
)
def test_a_sibling_that_changes_is_counted_at_once(speeds: Expr) -> None:
    @indicator("weighted", theme="t", levels=LEVELS)
    def weighted(m: Float64 = tally("obs", row.value * row.sibling("traffic.flow").value, speeds)) -> Float64:
        return m

    e, seen = Engine(TinyCity(), Registry([weighted])), []
    revised = {"corrects": ["f2"], "revision": [1], "retracted": [True]}
    lone = {"corrects": ["f1"], "revision": [1], "retracted": [True]}
    for k, batch in enumerate(
        (
            reading("traffic.speed", "s", 30, 9), reading("traffic.flow", "f1", 2, 8),
            reading("traffic.flow", "f2", 5, 7), reading("traffic.flow", "r2", 5, 7, **revised),
            reading("traffic.flow", "r1", 2, 8, **lone),
        )
    ):  # fmt: skip
        assert not e.feed(batch, k).rejected
        e.tick(START_MS + k, k)
        seen.append(value(e, "weighted"))
    assert seen == [0, 60, 150, 60, 0]


def reading(prop: str, id: str, number: float, ago_ms: int, **more: object) -> EventBatch:
    """One reading of a device."""
    step = TinyCity().vocabulary.properties[prop].per_unit
    fields = {"property": Coded.of([prop]), "value": np.array([round(number * step)]), "quality": Coded.of(["good"])}
    return EventBatch.of("obs", [START_MS - ago_ms], [id], subject=["D00"], fields=fields, **more)  # type: ignore[arg-type]


def test_events_of_a_log_older_than_a_key_are_taken() -> None:
    """`platform.lag` had no partition once: what a log holds must be taken for ever."""
    engine = Engine(TinyCity(), builtin())
    old = EventBatch.of("platform.lag", [START_MS], ["x"], fields={"records": np.array([7], np.int64)})
    assert engine.feed(old, 1).accepted == 1
    engine.tick(START_MS, 2)
    assert engine.board.lines["consumer_lag_max"].value[0] == 7
