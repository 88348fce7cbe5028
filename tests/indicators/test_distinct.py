"""Distinct counts: exact up to the bound, sketches beyond it, the same in any order, and exact again the next day."""

from __future__ import annotations

import numpy as np
import pytest

from citytwin.engine import Engine
from citytwin.indicators import distinct as distincts
from citytwin.indicators.api import Spec, col, distinct, indicator
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Int64, Strings
from citytwin.snapshot import restore
from citytwin.testing import START_MS, TinyCity

HOUR, DAY = 3_600_000, 86_400_000
#: Three standard errors of a sketch of 2^12 registers.
ERROR = 3 * 1.04 / 64


def users(window: str) -> Spec:
    """Distinct users down to grids under a window."""

    @indicator("u", theme="t", window=window, levels="city district street community grid", decimals=0)
    def measure(n: object = distinct("citycode.use", col.user)) -> object:
        return n

    return measure


def uses(user: Int64, time: Int64, seed: int = 1) -> EventBatch:
    """Uses of the city code, at grids by the number of the user."""
    city = TinyCity()
    grids = city.grid_codes()
    n = len(user)
    return EventBatch.of(
        "citycode.use", time, [f"{seed}-{i}" for i in range(n)], scope=[grids[u % len(grids)] for u in user.tolist()],
        fields={"user": Strings.of([f"u{u}" for u in user.tolist()])},
    )  # fmt: skip


def engine_of(window: str, *batches: EventBatch, now: int = START_MS) -> Engine:
    engine = Engine(TinyCity(), Registry([users(window)]))
    for batch in batches:
        engine.feed(batch, 1)
    engine.tick(now, 2)
    return engine


@pytest.fixture(autouse=True)
def _small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distincts, "EXACT_MAX", 5_000)


@pytest.mark.parametrize("window", ["tumbling 1d", "sliding 2h/1h"])
@pytest.mark.parametrize("n", [4_000, 60_000])
def test_within_three_standard_errors_at_every_scope(window: str, n: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=n))
    user, time = rng.integers(0, n, 2 * n), START_MS - rng.integers(0, HOUR, 2 * n)
    parts = [uses(u, t, i) for i, (u, t) in enumerate(zip(np.split(user, 8), np.split(time, 8), strict=True))]
    engine = engine_of(window, *parts)
    (state,) = [d for _, d in engine.aggregates.distincts.values()]
    assert any(w.sketched for w in state.windows.values()) == (n > 5_000)
    seen = np.unique(user)
    value = engine.board.lines["u"].value
    assert abs(value[0] - len(seen)) <= (ERROR * len(seen) if n > 5_000 else 0)
    for i, code in enumerate(engine.city.grid_codes()):  # type: ignore[attr-defined]
        mine = np.count_nonzero(seen % 16 == i)
        assert abs(value[engine.scopes.row(code)] - mine) <= (max(2, 1.5 * ERROR * mine) if n > 5_000 else 0)


@pytest.mark.parametrize("window", ["tumbling 1d", "sliding 2h/1h"])
def test_any_order_gives_the_same_and_so_does_a_restart(window: str) -> None:
    rng = np.random.Generator(np.random.Philox(key=4))
    user, time = rng.integers(0, 30_000, 40_000), START_MS - rng.integers(0, 90 * 60_000, 40_000)
    whole = uses(user, time)
    plain = engine_of(window, whole)
    order = rng.permutation(len(whole))
    mixed = engine_of(window, *(whole.take(rows) for rows in np.array_split(order, 9)))
    assert np.array_equal(plain.board.lines["u"].value, mixed.board.lines["u"].value, equal_nan=True)
    half = Engine(TinyCity(), Registry([users(window)]))
    half.feed(whole.take(order[:20_000]), 1)
    half.tick(START_MS - 1000, 2)
    taken = half.snapshot()
    again = restore(TinyCity(), half.registry, taken.arrays, taken.meta)
    again.feed(whole.take(order[20_000:]), 3)
    again.tick(START_MS, 4)
    assert np.array_equal(plain.board.lines["u"].value, again.board.lines["u"].value, equal_nan=True)


def test_a_new_day_is_exact_again_and_the_closed_one_keeps_its_estimate() -> None:
    many = np.arange(20_000)
    engine = engine_of("tumbling 1d", uses(many, np.full(20_000, START_MS - HOUR)))
    open_value = engine.board.lines["u"].value[0]
    assert abs(open_value - 20_000) <= ERROR * 20_000
    engine.tick(START_MS + DAY - 1000, 3)
    engine.feed(uses(np.arange(7), np.full(7, START_MS + DAY - 1000), 2), 3)
    engine.tick(START_MS + DAY, 4)
    line = engine.board.lines["u"]
    assert (line.value[0], line.closed[0]) == (7, open_value)
    engine.tick(START_MS + 2 * DAY, 5)
    assert (line.value[0], line.closed[0]) == (0, 7)
    (state,) = [d for _, d in engine.aggregates.distincts.values()]
    assert not state.sketches.panes


def test_a_retraction_before_the_bound_counts_after_it_is_within_the_error() -> None:
    engine = engine_of("tumbling 1d", uses(np.arange(100), np.full(100, START_MS - HOUR)))
    gone = EventBatch.of(
        "citycode.use", [START_MS - HOUR] * 40, [f"r{i}" for i in range(40)], corrects=[f"1-{i}" for i in range(40)],
        revision=[1] * 40, retracted=[True] * 40,
    )  # fmt: skip
    engine.feed(gone, 3)
    engine.tick(START_MS + 1, 4)
    assert engine.board.lines["u"].value[0] == 60
    engine.feed(uses(np.arange(100, 20_100), np.full(20_000, START_MS - HOUR), 2), 5)
    engine.tick(START_MS + 2, 6)
    assert abs(engine.board.lines["u"].value[0] - 20_060) <= ERROR * 20_060
