"""Many corrections at once: exact, in one pass over the ledger, and none waits for ever."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
import pytest

from citytwin import revisions
from citytwin.engine import Engine
from citytwin.indicators.registry import builtin
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Int64
from citytwin.snapshot import restore, take
from citytwin.twin.tables import NewestTable
from tests.conftest import Figure, proving
from tests.indicators.oracle_law import DAY, HOUR, MINUTE
from tests.indicators.town import batches, town

REGISTRY = builtin()
NOW = 1_750_000_000_000 // HOUR * HOUR
ROWS, CORRECTIONS = (2_000_000, 10_000) if proving() else (200_000, 10_000)


def engine(now: int = NOW) -> Engine:
    """The town at a time."""
    made = Engine(town()[0], REGISTRY)
    made.tick(now, 1)
    return made


def gas(ids: list[str], subjects: list[str], values: list[int], times: list[int], **more: Any) -> EventBatch:
    """Good readings of methane, in tenths of a percent."""
    n = len(ids)
    fields: dict[str, Any] = {"property": Coded.of(["gas.ch4_lel"] * n), "quality": Coded.of(["good"] * n)}
    fields["value"] = np.array(values, np.int64)
    return EventBatch.of("obs", times, ids, "s", subjects, fields=fields, **more)


def history(seed: int, n: int = 300) -> EventBatch:
    """Readings with corrections of some, several of one, some before their originals, some retracted."""
    rng = np.random.default_rng(seed)
    ids, target = [f"e{i}" for i in range(n)], rng.integers(0, n, n)
    about = [*range(n), *target.tolist()]
    later = rng.integers(1, 4, n)
    events = gas(
        [*ids, *(f"c{i}" for i in range(n))], ["G1" if i % 3 else "G2" for i in about],
        rng.integers(0, 200, 2 * n).tolist(), (NOW - rng.integers(0, 9 * MINUTE, 2 * n)).tolist(),
        corrects=[""] * n + [ids[t] for t in target], revision=[0] * n + later.tolist(),
        retracted=[False] * n + (rng.random(n) < 0.4).tolist(),
    )  # fmt: skip
    return events.take(rng.permutation(2 * n))


@pytest.mark.parametrize("seed", range(4))
def test_corrections_of_one_batch_equal_corrections_one_by_one(seed: int) -> None:
    events, said = history(seed), []
    for size in (1, 7, len(events)):
        one = engine()
        for start in range(0, len(events), size):
            one.feed(events.take(np.arange(start, min(start + size, len(events)))), 2)
        one.tick(NOW + 1000, 3)
        said.append((one.frame_hash(), one.state_hash(), one.last_seen.data.tolist()))
    assert said[0] == said[1] == said[2]


def test_a_batch_of_corrections_takes_one_pass_over_the_ledger(monkeypatch: pytest.MonkeyPatch, figure: Figure) -> None:
    one, rng = engine(), np.random.default_rng(5)
    for part in range(ROWS // 100_000):
        times = (NOW - rng.integers(MINUTE, HOUR, 100_000)).tolist()
        one.feed(gas([f"{part}.{i}" for i in range(100_000)], ["G1", "G2"] * 50_000, [5] * 100_000, times), 2)
    ids = [f"n{i}" for i in range(CORRECTIONS)]
    times = [NOW - CORRECTIONS + i for i in range(CORRECTIONS)]
    one.feed(gas(ids, ["G1"] * CORRECTIONS, [90] * CORRECTIONS, times), 3)
    passes, rebuild = list[int](), NewestTable._rebuild

    def counted(table: NewestTable, slots: Int64) -> None:
        passes.append(len(slots))
        rebuild(table, slots)

    monkeypatch.setattr(NewestTable, "_rebuild", counted)
    gone = gas(
        [f"c{i}" for i in ids], ["G1"] * CORRECTIONS, [0] * CORRECTIONS, times, corrects=ids[::-1],
        revision=[1] * CORRECTIONS, retracted=[True] * CORRECTIONS,
    )  # fmt: skip
    started = time.perf_counter()
    assert one.feed(gone, 4).corrected == CORRECTIONS
    one.tick(NOW + 1000, 5)
    spent = time.perf_counter() - started
    figure(f"{CORRECTIONS} retractions of the newest of {ROWS} readings", spent, "s")
    assert [n for n in passes if n] == [1]
    assert one.board.lines["gas_ch4_max"].value[0] == 0.5


def case(name: str, id: str, code: str, ago: int, **more: Any) -> dict[str, Any]:
    """A move of a case."""
    return {"type": f"case.{name}", "time": NOW - ago, "id": id, "source": "desk", "subject": code, **more}


def feed(one: Engine, events: list[dict[str, Any]], position: int = 2) -> None:
    """Feed raw events, none of which is refused."""
    for batch in batches(events):
        assert not one.feed(batch, position).rejected


def waiting(one: Engine) -> int:
    """Corrections that wait for their originals."""
    return len(one.revisions.chains)


def test_a_correction_without_an_original_is_given_up_after_the_horizon() -> None:
    one = engine()
    one.feed(gas(["w", "v"], ["G1", "G2"], [9, 9], [NOW - MINUTE, NOW], corrects=["x", "y"], revision=[1, 1]), 2)
    assert not one.tick(NOW - MINUTE + DAY, 3).refused
    frame = one.tick(NOW - MINUTE + DAY + 1, 4)
    assert [(r.reason, r.field, r.id, r.source) for r in frame.refused] == [("horizon", "corrects", "w", "s")]
    assert (waiting(one), one.stats.rejected) == (1, {"horizon": 1})
    one.feed(gas(["y"], ["G2"], [50], [NOW + DAY]), 5)  # the other's original came in time
    one.tick(NOW + 3 * DAY, 6)
    assert one.stats.rejected == {"horizon": 1}


def test_of_corrections_that_may_wait_for_ever_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "WAITING_MAX", 3)
    one = engine()
    feed(one, [case("accepted", f"w{i}", f"K{i}", 1000 * (i + 1), corrects=f"x{i}", revision=1) for i in range(5)])
    feed(one, [case("reported", "r1", "K1", 9000), case("accepted", "x1", "K1", 8000)])
    frame = one.tick(NOW + 1, 3)
    assert [(r.reason, r.id, r.head) for r in frame.refused] == [("horizon", "w4", b"K4")]
    assert not one.tick(NOW + 40 * DAY, 4).refused
    assert one.cases is not None
    assert one.cases.count_by_state()["accepted"] == 1


def test_a_flood_of_such_corrections_leaves_bit_by_bit_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "GIVEN_UP_MAX", 4)
    one = engine()
    ids = [f"w{i}" for i in range(10)]
    one.feed(gas(ids, ["G1"] * 10, [9] * 10, [NOW] * 10, corrects=["x"] * 6 + ids[:4], revision=[1] * 10), 2)
    held = take(one)
    other = restore(town()[0], REGISTRY, held.arrays, msgspec.json.decode(msgspec.json.encode(held.meta)))
    for which in (one, other):
        told = [[r.id for r in which.tick(NOW + DAY + 1 + k, 3 + k).refused] for k in range(4)]
        assert told == [ids[:4], ids[4:8], ids[8:], []]
        assert waiting(which) == 0
    assert one.state_hash() == other.state_hash()


def test_what_one_ledger_forgets_does_not_touch_the_corrections_of_another() -> None:
    one = engine()
    feed(one, [case("reported", "r", "K", 9000), case("accepted", "a", "K", 8000)])
    feed(one, [case("filed", "f", "K", 7000, due_at=NOW + HOUR)])
    feed(one, [case("filed", "g", "K", 7000, due_at=NOW - HOUR, corrects="f", revision=1)])
    one.feed(gas([f"e{i}" for i in range(9000)], ["G1"] * 9000, [5] * 9000, [NOW] * 9000), 3)
    one.tick(NOW + 3 * DAY, 4)
    assert one.ledgers["obs"].base == 9000
    feed(one, [case("filed", "h", "K", 7000, due_at=NOW + 9 * DAY, corrects="f", revision=2)], 5)
    one.tick(NOW + 3 * DAY + 1000, 6)
    ledger = one.ledgers["case"]
    assert [ledger.id.strings[int(i)] for i in np.flatnonzero(ledger.live.data)] == ["r", "a", "h"]
    assert one.board.lines["case_overdue_open"].value[0] == 0
