"""The board: formulas over aggregates, in the order of their dependence, and what changed since the last tick."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.geo.scopes import GRID, LEVELS, ScopeTree
from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.api import Indicator, Spec, evaluate, finish
from citytwin.indicators.feeds import inputs_of
from citytwin.indicators.line import Line, values_at
from citytwin.indicators.params import Param
from citytwin.indicators.pulse import Pulse
from citytwin.indicators.quality import Coverage, inherit, settle
from citytwin.indicators.view import View
from citytwin.models.columns import Bool, Float64, Int32, Int64, UInt8
from citytwin.models.frame import Quality, Values
from citytwin.twin.entities import Entities

_NO_COVERAGE = Coverage()
#: Weight of the newest tick in the moving average of what a line costs.
_COST_WEIGHT = 0.05
#: Runs code of a plugin: (id, what to run) -> its answer. Raises when it takes too long or too much.
Guard = Callable[[str, Callable[[], Any]], Any]


class Board:
    """Lines of all indicators: built-in ones over one set of aggregates, those of each plugin over their own.

    `guard` runs the code of plugins; `clock` gives nanoseconds for `Line.cost_us` (None: nobody wants to know).
    """

    def __init__(
        self, specs: Sequence[Spec], aggregates: Aggregates, scopes: ScopeTree, entities: Entities, pulse: Pulse
    ) -> None:
        self.aggregates, self.scopes, self.entities, self.pulse = aggregates, scopes, entities, pulse
        self.now = 0
        self.guard: Guard | None = None
        self.clock: Callable[[], int] | None = None
        #: Whether the next evaluation works everything out.
        self.whole = True
        self._editions = _editions(specs)
        #: Rows of all scopes down to each level: the same arrays until the tree grows, so that others can keep by them.
        self._down: list[Int32] = []
        #: Of a line of which nothing moved; shared, never written to.
        self.none = np.zeros(0, np.bool_)
        self.lines: dict[str, Line] = {s.id: self.line(s, aggregates) for s in in_order(specs)}
        self.resize()

    def line(self, spec: Spec, aggregates: Aggregates) -> Line:
        """A line over some aggregates, not yet on the board. KeyError, ValueError for what cannot be counted."""
        aggs = {n: a for n, a in spec.params.items() if a.kind != "ind"}
        children = [a.table for a in spec.params.values() if a.kind == "ind"]
        feeds = [inputs_of(f, aggregates, self.pulse) for f in spec.feeds]
        if spec.cls is not None:
            for name, agg in aggs.items():
                if agg.by != "scope":
                    aggregates.by_group(f"{spec.id}/{name}", agg, spec.window)
                elif agg.kind == "rows":
                    aggregates.declare_rows(agg, spec.every_ms)
            state = {n: a for n, a in aggs.items() if a.by == "scope" and a.kind != "rows"}
            params = {n: aggregates.param(a, spec.window) for n, a in state.items()}
            return Line(spec, params, {}, feeds, children, spec.cls(), aggregates)
        params = {n: aggregates.param(a, spec.window) for n, a in aggs.items()}
        closed: dict[str, Param] = {}
        if spec.window.kind == "tumbling":
            closed = {n: aggregates.param(a, spec.window, closed=True) for n, a in aggs.items()}
        return Line(spec, params, closed, feeds, children, None, aggregates)

    def exchange(self, gone: Iterable[str], lines: Iterable[Line]) -> None:
        """Take lines off and put others on, at once; who reads one of them is worked out again.

        Raises ValueError, and changes nothing, for a circle, or when one that stays reads one that went.
        """
        kept, come = dict(self.lines), {line.spec.id: line for line in lines}
        dropped = {id for id in gone if kept.pop(id, None) is not None}
        kept |= come
        ordered = in_order([line.spec for line in kept.values()])
        moved = dropped | set(come)
        for spec in ordered:
            line = kept[spec.id]
            if spec.id in come or moved & set(line.children):
                line.again = True
                moved.add(spec.id)
        for line in come.values():
            line.resize(len(self.scopes))
        self.lines, self._editions = {s.id: kept[s.id] for s in ordered}, _editions(ordered)

    def switch(self, id: str, off: str) -> None:
        """Switch a line off, with the reason, or on again (""). KeyError for an unknown one."""
        line = self.lines[id]
        if off != line.off:
            line.off, line.error, line.again = off, off or line.error, not off

    @property
    def costs(self) -> dict[str, float]:
        """What each line takes in a tick (us, moving average); 0 while there is no clock."""
        return {id: line.cost_us for id, line in self.lines.items()}

    def every_aggregates(self) -> list[Aggregates]:
        """The aggregates of the board and those of plugins."""
        own = {id(line.aggregates): line.aggregates for line in self.lines.values()}
        return [self.aggregates, *(a for a in own.values() if a is not self.aggregates)]

    def resize(self) -> None:
        """Follow the scope tree as it grows."""
        n = len(self.scopes)
        for aggregates in self.every_aggregates():
            aggregates.resize(n)
        self._down = [np.flatnonzero(self.scopes.level <= k).astype(np.int32) for k in range(len(LEVELS))]
        self.none = np.zeros(n, np.bool_)
        if self.aggregates.own is None or self.aggregates.merged:  # a shard has no values of its own
            for line in self.lines.values():
                line.resize(n)

    def next_edition(self, now: int) -> int:
        """When the next edition of some thresholds begins to hold (ms UTC), 2**62 for never."""
        return min((edge for edge in self._editions if edge > now), default=2**62)

    def down_to(self, level: int) -> Int32:
        """Rows of all scopes down to a level."""
        return self._down[level]

    def evaluate(self, now: int) -> dict[str, Values]:
        """Values of every indicator that changed at some scope, after `Aggregates.tick(now)`."""
        if self.now < self.next_edition(self.now) <= now:  # scores are by other bands now
            self.whole = True
        self.now = now
        out: dict[str, Values] = {}
        for id, line in self.lines.items():
            changed = self._timed(line, now)
            if changed is self.none:
                continue
            rows = np.flatnonzero(changed).astype(np.int32)
            if len(rows):
                out[id] = values_at(line, rows)
        for aggregates in self.every_aggregates():
            aggregates.clear_changed()
        self.whole = False
        return out

    def _timed(self, line: Line, now: int) -> Bool:
        if self.clock is None:
            return self._step(line, now)
        started = self.clock()
        changed = self._step(line, now)
        spent = (self.clock() - started) / 1000
        line.cost_us += _COST_WEIGHT * (spent - line.cost_us) if line.cost_us else spent
        return changed

    def _step(self, line: Line, now: int) -> Bool:
        """Work a line out again where something moved; scopes that have something new to tell."""
        n = len(self.scopes)
        if line.off:
            return self._stays_off(line)
        told = line.look(now)
        if line.error or line.again:
            told = np.ones(n, np.bool_)
        if told is None and self._still(line, now):
            line.moved = line.altered = line.restated = self.none
            return self.none
        line.moved, line.altered, line.restated = np.zeros((3, n), np.bool_)
        wanted = self.scopes.level <= line.spec.finest
        try:
            value, closed, touched = self._compute(line, now, told)
        except Exception as error:  # a plugin may raise anything; it must not stop the tick
            said = f"{type(error).__name__}: {error}"
            line.off = said if line.guarded else ""
            changed = self._failed(line, said, wanted) | line.again
            line.again = False
            return changed
        if line.error and not touched.any():
            return line.altered
        line.error = ""
        changed = self._take_over(line, value, closed, touched, wanted, told)
        if line.again:  # who was told of another definition hears of every scope
            line.again, changed = False, np.ones(n, np.bool_)
        return changed

    def _take_over(
        self, line: Line, value: Float64, closed: Float64, touched: Bool, wanted: Bool, told: Bool | None
    ) -> Bool:
        """Take values over, with their quality by own inputs or by those of the parts; what there is to tell."""
        if line.feeds or not line.children:
            if not touched.any() and told is None:
                return line.altered
            return self._settle(line, value, closed, touched, wanted, whole=told is not None)
        below = touched.copy()
        for child in line.children:
            if self.lines[child].altered is not self.none:
                below |= self.lines[child].altered
        if not below.any():
            return line.altered
        before = (line.value, line.closed, line.quality, line.fresh, line.expected)
        line.value = np.where(wanted, np.where(touched, value, line.value), np.nan)
        if line.closed_params:
            line.closed = np.where(wanted, np.where(touched, closed, line.closed), np.nan)
        self._inherit(line, below & wanted)
        return self._compare(line, before, wanted)

    def _still(self, line: Line, now: int) -> bool:
        """Whether nothing that a line is made of moved since the last tick, so that it is as it was."""
        if self.whole or line.again or any(p.stirred() for p in (*line.params.values(), *line.closed_params.values())):
            return False
        if line.spec.every_ms and now // line.spec.every_ms != line.last_period:
            return False
        return all(self.lines[c].altered is self.none or not self.lines[c].altered.any() for c in line.children)

    def _settle(self, line: Line, value: Float64, closed: Float64, touched: Bool, wanted: Bool, whole: bool) -> Bool:
        """Take over what was worked out, with its quality by the line's own inputs; what there is to tell."""
        rows = np.flatnonzero(wanted if whole else wanted & touched)
        cover = line.coverage or _NO_COVERAGE
        changed = np.zeros(len(wanted), np.bool_)
        settle(
            rows, touched, value, closed, bool(line.closed_params), line.spec.window.kind == "tumbling",
            (cover.fresh, cover.heard, cover.expected, cover.blank), line.coverage is not None,
            (line.value, line.closed, line.quality, line.fresh, line.expected),
            (line.moved, line.altered, line.restated, changed),
        )  # fmt: skip
        line.forget_standing()
        if line.spec.of:
            changed |= self._rescale(line, wanted)
        return changed

    @staticmethod
    def _rescale(line: Line, wanted: Bool) -> Bool:
        """Scopes at which what the bands are shares of is another now."""
        fresh = np.where(wanted, line.params[line.spec.of].values(), np.nan)
        moved: Bool = ~((fresh == line.scale) | (np.isnan(fresh) & np.isnan(line.scale)))
        line.scale = fresh
        line.moved |= moved
        line.altered |= moved
        return moved

    def _stays_off(self, line: Line) -> Bool:
        """One that is switched off: told once, then left alone."""
        if line.error == line.off and (line.quality == Quality.ERROR).all():
            line.moved = line.altered = line.restated = self.none
            return self.none
        line.restated = np.zeros(len(self.scopes), np.bool_)
        return self._failed(line, line.off, self.scopes.level <= line.spec.finest)

    def _failed(self, line: Line, error: str, wanted: Bool) -> Bool:
        n = len(self.scopes)
        line.error = error
        line.moved = line.altered = wanted & (line.quality != Quality.ERROR)
        line.value, line.quality = np.full(n, np.nan), np.full(n, Quality.ERROR, np.uint8)
        line.forget_standing()
        return line.altered

    def _inherit(self, line: Line, below: Bool) -> None:
        """Quality of an indicator without feeds of its own: that of those which it reads."""
        rows = np.flatnonzero(below).astype(np.int32)
        if line.instance is not None and line.spec.finest < GRID:
            rows = self.down_to(line.spec.finest)  # what the parts said of all of them is kept
        found = inherit(line.value[rows], [self.lines[c].standing(rows) for c in line.children])
        line.quality, line.fresh, line.expected = line.quality.copy(), line.fresh.copy(), line.expected.copy()
        line.quality[rows], line.fresh[rows], line.expected[rows] = found
        line.forget_standing()

    @staticmethod
    def _compare(line: Line, before: tuple[Float64, Float64, UInt8, Int32, Int32], wanted: Bool) -> Bool:
        value, closed, quality, fresh, expected = before
        same = (line.value == value) | (np.isnan(line.value) & np.isnan(value))
        same_closed = (line.closed == closed) | (np.isnan(line.closed) & np.isnan(closed))
        counts = (line.fresh != fresh) | (line.expected != expected)
        line.moved = wanted & ~same
        line.restated = wanted & ~same_closed & ~np.isnan(closed)
        line.altered = wanted & (~same | (line.quality != quality) | counts)
        shown = counts & (line.quality == int(Quality.PARTIAL))
        changed: Bool = wanted & (~same | ~same_closed | (line.quality != quality) | shown)
        return changed

    def _compute(self, line: Line, now: int, told: Bool | None) -> tuple[Float64, Float64, Bool]:
        """Values, closed values and the mask of scopes that were worked out again."""
        n = len(self.scopes)
        if line.instance is not None:
            return self._by_class(line, line.instance, now)
        touched = np.full(n, self.whole or line.again)
        for param in (*line.params.values(), *line.closed_params.values()):
            if param.stirred():
                touched |= param.changed()
        for child in line.children:
            if self.lines[child].moved is not self.none:
                touched |= self.lines[child].moved
        if told is not None:
            touched |= told
        rows = np.flatnonzero(touched)
        if len(rows) == 0:
            return line.value, line.closed, touched
        value, closed = np.full(n, np.nan), line.closed
        value[rows] = self._formula(line, line.params, rows)
        if line.closed_params:
            closed = np.full(n, np.nan)
            closed[rows] = self._formula(line, line.closed_params, rows)
        return value, closed, touched

    def _by_class(self, line: Line, instance: Indicator, now: int) -> tuple[Float64, Float64, Bool]:
        """As often as the class says: by the clock, or wherever an indicator that it reads moved."""
        n = len(self.scopes)
        every, view = line.spec.every_ms, View(self, line)
        period = now // every if every else -1
        whole = self.whole or line.again
        touched = np.full(n, whole or period != line.last_period) if every else view.moved()
        if not touched.any():
            return line.value, line.closed, touched
        line.last_period = period
        if line.coverage is not None and not line.coverage.heard.any():
            # nothing that it is fed by was ever heard: there is nothing to work out, and no number
            line.detail = {}
            return np.full(n, np.nan), line.closed, touched if whole else touched & ~np.isnan(line.value)
        chosen, found = self._run(line, lambda: instance.values(view))
        line.detail = self._run(line, lambda: instance.detail(view))
        if not every:  # what it says beside the scopes that moved is as good
            touched = touched.copy()
            touched[chosen] = True
        value = np.full(n, np.nan)
        value[chosen] = finish(np.asarray(found, np.float64), line.spec.decimals)
        return value, line.closed, touched

    def _formula(self, line: Line, params: Mapping[str, Param], rows: Int64) -> Float64:
        arrays = {name: param.values()[rows] for name, param in params.items()}
        for name, agg in line.spec.params.items():
            if agg.kind == "ind":
                arrays[name] = self.lines[agg.table].value[rows]
        result: Float64 = self._run(line, lambda: evaluate(line.spec, arrays, len(rows)))
        if result.shape != (len(rows),):
            raise ValueError(
                f"the formula gives shape {result.shape} for {len(rows)} scopes; one value a scope is needed"
            )
        return finish(result, line.spec.decimals)

    def _run(self, line: Line, call: Callable[[], Any]) -> Any:
        """Run an author's code: a plugin's under guard."""
        return self.guard(line.spec.id, call) if self.guard is not None and line.guarded else call()

    def current(self, id: str) -> Values:
        """All scopes of an indicator that have or had a value. KeyError for an unknown one."""
        line = self.lines[id]
        rows = np.flatnonzero((line.quality != Quality.NODATA) | ~np.isnan(line.closed)).astype(np.int32)
        return values_at(line, rows)

    def untouched(self) -> None:
        """No tick has been yet: the first one works everything out."""
        self.whole = True

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        out = {}
        for id, line in self.lines.items():
            for name in ("value", "closed", "scale", "quality", "fresh", "expected"):
                out[f"{id}|{name}"] = getattr(line, name).copy()
            out[f"{id}|period"] = np.array([line.last_period, line.again])
            out[f"{id}|off"] = np.frombuffer(line.off.encode(), np.uint8).copy()
        return out

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the lines that the snapshot has."""
        for id, line in self.lines.items():
            for name in ("value", "closed", "scale", "quality", "fresh", "expected"):
                setattr(line, name, state[f"{id}|{name}"].copy())
            line.last_period, line.again = int(state[f"{id}|period"][0]), bool(state[f"{id}|period"][1])
            line.off = line.error = state[f"{id}|off"].tobytes().decode()
        self.whole = False


def _editions(specs: Iterable[Spec]) -> list[int]:
    """When editions of thresholds begin to hold (ms UTC), where there are several."""
    return sorted({t.valid_from for s in specs for t in s.thresholds if len(s.thresholds) > 1})


def in_order(specs: Sequence[Spec]) -> list[Spec]:
    """Children before parents. Raises ValueError for a cycle or an unknown child."""
    known = {s.id: s for s in specs}
    done: dict[str, Spec] = {}

    def visit(spec: Spec, path: tuple[str, ...]) -> None:
        if spec.id in done:
            return
        if spec.id in path:
            raise ValueError(f"indicators depend on each other in a circle: {' > '.join((*path, spec.id))}")
        for agg in spec.params.values():
            if agg.kind == "ind":
                if agg.table not in known:
                    raise ValueError(f"{spec.id} reads the indicator {agg.table!r}, which does not exist")
                visit(known[agg.table], (*path, spec.id))
        done[spec.id] = spec

    for spec in specs:
        visit(spec, ())
    return list(done.values())
