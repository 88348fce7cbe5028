"""The board: formulas over aggregates, in the order of their dependence, and what changed since the last tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.api import Indicator, Panes, Spec, evaluate, finish
from citytwin.indicators.params import Param
from citytwin.indicators.quality import Coverage, feed_tallies, grade
from citytwin.indicators.tally import Tally
from citytwin.models.columns import Bool, Float64, Int32, Int64, UInt8
from citytwin.models.frame import Quality, Values
from citytwin.twin.entities import Entities


@dataclass(eq=False)
class Line:
    """One indicator on the board: its parameters and its newest values by scope."""

    spec: Spec
    params: dict[str, Param]
    closed_params: dict[str, Param]
    feeds: list[tuple[Tally, Tally]]
    children: list[str]
    instance: Indicator | None
    value: Float64 = field(default_factory=lambda: np.zeros(0))
    closed: Float64 = field(default_factory=lambda: np.zeros(0))
    quality: UInt8 = field(default_factory=lambda: np.zeros(0, np.uint8))
    fresh: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    expected: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    moved: Bool = field(default_factory=lambda: np.zeros(0, np.bool_))
    restated: Bool = field(default_factory=lambda: np.zeros(0, np.bool_))
    error: str = ""
    detail: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    last_period: int = -1

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        more = n - len(self.value)
        if more > 0:
            self.value = np.append(self.value, np.full(more, np.nan))
            self.closed = np.append(self.closed, np.full(more, np.nan))
            self.quality = np.append(self.quality, np.full(more, Quality.NODATA, np.uint8))
            self.fresh = np.append(self.fresh, np.zeros(more, np.int32))
            self.expected = np.append(self.expected, np.zeros(more, np.int32))
            self.moved, self.restated = np.zeros(n, np.bool_), np.zeros(n, np.bool_)


class Board:
    """Lines of all indicators over one set of aggregates."""

    def __init__(self, specs: Sequence[Spec], aggregates: Aggregates, scopes: ScopeTree, entities: Entities) -> None:
        self.aggregates, self.scopes, self.entities = aggregates, scopes, entities
        self.now = 0
        self._specs = {s.id: s for s in specs}
        self.lines: dict[str, Line] = {s.id: self._line(s) for s in in_order(specs)}
        self._everything = True
        self.resize()

    def _line(self, spec: Spec) -> Line:
        aggs = {n: a for n, a in spec.params.items() if a.kind != "ind"}
        children = [a.table for a in spec.params.values() if a.kind == "ind"]
        feeds = [feed_tallies(self.aggregates, f) for f in spec.feeds]
        if spec.cls is not None:
            for name, agg in aggs.items():
                if agg.by == "subject":
                    self.aggregates.by_subject(f"{spec.id}/{name}", agg, spec.window)
            params = {n: self.aggregates.param(a, spec.window) for n, a in aggs.items() if a.by != "subject"}
            return Line(spec, params, {}, feeds, children, spec.cls())
        params = {n: self.aggregates.param(a, spec.window) for n, a in aggs.items()}
        closed: dict[str, Param] = {}
        if spec.window.kind == "tumbling":
            closed = {n: self.aggregates.param(a, spec.window, closed=True) for n, a in aggs.items()}
        return Line(spec, params, closed, feeds, children, None)

    def resize(self) -> None:
        """Follow the scope tree as it grows."""
        n = len(self.scopes)
        self.aggregates.resize(n)
        for line in self.lines.values():
            line.resize(n)

    def evaluate(self, now: int) -> dict[str, Values]:
        """Values of every indicator that changed at some scope, after `Aggregates.tick(now)`."""
        self.now = now
        out: dict[str, Values] = {}
        for id, line in self.lines.items():
            changed = self._step(line, now)
            rows = np.flatnonzero(changed).astype(np.int32)
            if len(rows):
                out[id] = values_at(line, rows)
        self.aggregates.clear_changed()
        self._everything = False
        return out

    def _step(self, line: Line, now: int) -> Bool:
        n = len(self.scopes)
        line.moved = np.zeros(n, np.bool_)
        line.restated = np.zeros(n, np.bool_)
        wanted = self.scopes.level <= line.spec.finest
        before = (line.value, line.closed, line.quality, line.fresh)
        try:
            value, closed, touched = self._compute(line, now)
        except Exception as error:  # a plugin may raise anything; it must not stop the tick
            line.error = f"{type(error).__name__}: {error}"
            line.value, line.quality = np.full(n, np.nan), np.full(n, Quality.ERROR, np.uint8)
            line.moved = wanted & (before[2] != Quality.ERROR)
            return line.moved
        line.error = ""
        if not touched.any() and not any(t.moved_now() for pair in line.feeds for t in pair):
            return line.moved
        coverage = Coverage.of(line.feeds, n) if line.feeds else None
        line.value = np.where(wanted, np.where(touched, value, line.value), np.nan)
        line.closed = np.where(wanted, np.where(touched, closed, line.closed), np.nan)
        line.quality = grade(line.value, coverage, line.spec.window.kind == "tumbling", self.scopes)
        if coverage is not None:
            line.fresh, line.expected = coverage.fresh, coverage.expected
        same = (line.value == before[0]) | (np.isnan(line.value) & np.isnan(before[0]))
        same_closed = (line.closed == before[1]) | (np.isnan(line.closed) & np.isnan(before[1]))
        counts = (line.quality == Quality.PARTIAL) & (line.fresh != before[3])
        line.moved = wanted & ~same
        line.restated = wanted & ~same_closed & ~np.isnan(before[1])
        changed: Bool = wanted & (~same | ~same_closed | (line.quality != before[2]) | counts)
        return changed

    def _compute(self, line: Line, now: int) -> tuple[Float64, Float64, Bool]:
        """Values, closed values and the mask of scopes that were worked out again."""
        n = len(self.scopes)
        none = np.full(n, np.nan)
        if line.instance is not None:
            period = now // line.spec.every_ms
            if period == line.last_period and not self._everything:
                return line.value, line.closed, np.zeros(n, np.bool_)
            line.last_period = period
            view = View(self, line)
            chosen, found = line.instance.values(view)
            line.detail = line.instance.detail(view)
            value = none.copy()
            value[chosen] = finish(np.asarray(found, np.float64), line.spec.decimals)
            return value, none, np.ones(n, np.bool_)
        touched = np.full(n, self._everything)
        for param in (*line.params.values(), *line.closed_params.values()):
            touched |= param.changed()
        for child in line.children:
            touched |= self.lines[child].moved
        rows = np.flatnonzero(touched)
        if len(rows) == 0:
            return line.value, line.closed, touched
        value, closed = none.copy(), none.copy()
        value[rows] = self._formula(line, line.params, rows)
        if line.closed_params:
            closed[rows] = self._formula(line, line.closed_params, rows)
        return value, closed, touched

    def _formula(self, line: Line, params: Mapping[str, Param], rows: Int64) -> Float64:
        arrays = {name: param.values()[rows] for name, param in params.items()}
        for name, agg in line.spec.params.items():
            if agg.kind == "ind":
                arrays[name] = self.lines[agg.table].value[rows]
        return finish(evaluate(line.spec, arrays, len(rows)), line.spec.decimals)

    def current(self, id: str) -> Values:
        """All scopes of an indicator that have or had a value. KeyError for an unknown one."""
        line = self.lines[id]
        rows = np.flatnonzero((line.quality != Quality.NODATA) | ~np.isnan(line.closed)).astype(np.int32)
        return values_at(line, rows)

    def untouched(self) -> None:
        """No tick has been yet: the first one works everything out."""
        self._everything = True

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        out = {}
        for id, line in self.lines.items():
            for name in ("value", "closed", "quality", "fresh", "expected"):
                out[f"{id}|{name}"] = getattr(line, name).copy()
            out[f"{id}|period"] = np.array([line.last_period])
        return out

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the lines that the snapshot has."""
        for id, line in self.lines.items():
            for name in ("value", "closed", "quality", "fresh", "expected"):
                setattr(line, name, state[f"{id}|{name}"].copy())
            line.last_period = int(state[f"{id}|period"][0])
        self._everything = False


class View:
    """What a class form sees: implements indicators.api.Context."""

    def __init__(self, board: Board, line: Line) -> None:
        self._board, self._line = board, line
        self.now, self.scopes, self.entities = board.now, board.scopes, board.entities

    def panes(self, name: str) -> Panes:
        """Panes per entity of an aggregate declared with by="subject"."""
        return self._board.aggregates.panes(f"{self._line.spec.id}/{name}")

    def tally(self, name: str) -> Float64:
        """Values by scope of any other declared aggregate."""
        return self._line.params[name].values()

    def value(self, id: str) -> Float64:
        """Newest values of another indicator by scope."""
        return self._board.lines[id].value

    def spec(self, id: str) -> Spec:
        """The declaration of another indicator."""
        return self._board.lines[id].spec

    def ids(self) -> Sequence[str]:
        """All indicators, in the order of evaluation."""
        return tuple(self._board.lines)


def values_at(line: Line, rows: Int32) -> Values:
    """The line's values at the rows."""
    return Values(
        rows, line.value[rows], line.quality[rows], line.fresh[rows], line.expected[rows], line.restated[rows],
        line.closed[rows],
    )  # fmt: skip


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
