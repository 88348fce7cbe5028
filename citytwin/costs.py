"""What an indicator costs: time and memory of its formula, and memory of its windows in a large city."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin.indicators.api import Aggregate, Spec, Window, evaluate
from citytwin.indicators.view import View

if TYPE_CHECKING:
    from citytwin.engine import Engine

#: Budgets: a tick works out some 10,000 scopes, and there are a hundred indicators.
US_PER_1000, US_A_CALL = 2_000.0, 50_000.0
STATE_BYTES, PEAK_BYTES, LEAK_BYTES = 2 << 30, 64 << 20, 1 << 20
_SCOPES, _REPEATS, _CALLS = 10_000, 5, 20
#: A slot of a pane, and a column of it: see indicators.panes.
_SLOT, _COLUMN = 24, 8
#: Buckets that the values of one pane and scope are thought to fall into.
_BUCKETS = 20


@dataclass(slots=True)
class Facts:
    """What a check found out beside problems.

    `cost_us`: of the formula for 1,000 scopes, of a class form for one call; `state_bytes`: windows over 10,000 grids.
    """

    cost_us: float = 0.0
    state_bytes: int = 0
    notes: list[str] = field(default_factory=list)


def check(spec: Spec, engine: Engine, facts: Facts) -> Iterator[tuple[str, str]]:
    """Problems of cost; fills in the facts."""
    call = _call(spec, engine)
    many, budget = (1, US_A_CALL) if spec.cls is not None else (_SCOPES / 1000, US_PER_1000)
    facts.cost_us = round(_time(call) / many, 1)
    if facts.cost_us > budget:
        what = "a call" if spec.cls is not None else "1,000 scopes"
        yield (
            "cost",
            f"takes {facts.cost_us:,.0f} us for {what}, the budget is {budget:,.0f}; work on whole arrays with NumPy "
            "instead of a loop over scopes",
        )
    else:
        peak, kept = _memory(call)
        if peak > PEAK_BYTES:
            yield "memory", f"takes {peak >> 20:,} MiB to work out 10,000 scopes, the budget is {PEAK_BYTES >> 20}"
        elif kept > LEAK_BYTES:
            yield "memory", f"keeps {kept >> 10:,} KiB more after {_CALLS} calls; keep nothing between calls"
    facts.state_bytes = sum(state_bytes(a, spec.window) for a in spec.params.values())
    if facts.state_bytes > STATE_BYTES:
        panes = max(window_of(a, spec.window).panes for a in spec.params.values())
        yield (
            "cost",
            f"{panes:,} panes over 10,000 grids may take {facts.state_bytes / 2**30:.1f} GiB, the budget is "
            f"{STATE_BYTES >> 30}; take longer panes, as in sliding 30d/1d",
        )


def _call(spec: Spec, engine: Engine) -> Callable[[], Any]:
    """The formula over 10,000 scopes, or one call of a class form in the tiny city."""
    line = engine.board.lines[spec.id]
    if line.instance is not None:
        instance, view = line.instance, View(engine.board, line)
        return lambda: instance.values(view)
    rng = np.random.Generator(np.random.Philox(key=16))
    arrays = {n: np.floor(rng.random(_SCOPES) * 1000) for n in spec.params}
    return lambda: evaluate(spec, {n: v.copy() for n, v in arrays.items()}, _SCOPES)


def _memory(call: Callable[[], Any]) -> tuple[int, int]:
    """Bytes that one call takes at most, and bytes that more calls leave behind."""
    call()
    tracemalloc.start()
    try:
        call()
        peak, before = tracemalloc.get_traced_memory()[1], tracemalloc.get_traced_memory()[0]
        if peak > PEAK_BYTES:
            return peak, 0
        for _ in range(_CALLS):
            call()
        return peak, tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def _time(call: Callable[[], Any]) -> float:
    """Microseconds of a call on a processor, the best of some: others use the machine too."""
    best = np.inf
    for _ in range(_REPEATS):
        started = time.thread_time_ns()
        call()
        best = min(best, (time.thread_time_ns() - started) / 1000)
    return float(best)


def window_of(agg: Aggregate, window: Window) -> Window:
    """The window that an aggregate has under that of its indicator."""
    return agg.window or window


def state_bytes(agg: Aggregate, window: Window) -> int:
    """Bytes of an aggregate when something falls into every pane of every one of 10,000 grids."""
    panes = window_of(agg, window).panes
    if agg.kind in ("ind", "tally", "rows") or not panes:
        return _SCOPES * 3 * _COLUMN
    groups = _SCOPES * max(panes, agg.keep)
    per = {"quantile": _BUCKETS * (_SLOT + _COLUMN), "distinct": 4 * (_SLOT + 4 * _COLUMN), "mean": _SLOT + 2 * _COLUMN}
    return groups * per.get(agg.kind, _SLOT + _COLUMN)
