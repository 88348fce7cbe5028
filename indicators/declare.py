"""The algebra of aggregates: what authors declare, by event (count, total, ...) and by row of a table (tally)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from citytwin.indicators.expr import Expr, Literal, Space, lift, ref

col = Space("col")
row = Space("row")
ent = Space("ent")
#: The time of the tick, for expressions of tallies that need it beside start, end and at.
now = ref("now", "ms")

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as 30s, 15m, 24h, 30d; ValueError for anything else.

    >>> duration_ms("15m")
    900000
    """
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text)
    if not found:
        raise ValueError(f"{text!r} is no duration; write a whole number and ms, s, m, h or d, as in 15m")
    return int(found[1]) * _UNITS_MS[found[2]]


@dataclass(frozen=True, slots=True)
class Window:
    """A window: kind instant, sliding or tumbling; `length_ms` of it and `pane_ms` of its panes (0 when instant)."""

    kind: str
    length_ms: int = 0
    pane_ms: int = 0

    @classmethod
    def parse(cls, text: str) -> Window:
        """Window of a text: `instant`, `sliding 24h/15m`, `tumbling 1d`; ValueError otherwise."""
        if text == "instant":
            return cls("instant")
        kind, _, rest = text.partition(" ")
        length, _, pane = rest.partition("/")
        if kind == "tumbling" and length and not pane:
            return cls(kind, duration_ms(length), duration_ms(length))
        if kind == "sliding" and pane:
            whole, part = duration_ms(length), duration_ms(pane)
            if whole % part:
                raise ValueError(f"window {text!r}: {length} is no multiple of {pane}")
            return cls(kind, whole, part)
        raise ValueError(f"{text!r} is no window; write instant, sliding 24h/15m or tumbling 1d")

    @property
    def panes(self) -> int:
        """Number of panes in the window (1 for tumbling, 0 for instant)."""
        return self.length_ms // self.pane_ms if self.pane_ms else 0


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """One declared aggregate; `key(window)` names the state it needs, so that equal ones are kept once."""

    kind: str  # count total mean max min quantile distinct tally rows datastreams ind
    table: str
    value: Expr | None = None
    where: Expr | None = None
    per_unit: int = 1
    by: str = "scope"
    window: Window | None = None
    q: float = 0.0
    reduce: str = "sum"
    start: Expr | None = None
    end: Expr | None = None
    at: Expr | None = None
    keep: int = 0
    weight: Expr | None = None
    season_ms: int = 0
    columns: tuple[tuple[str, Expr], ...] = ()

    def key(self, window: Window) -> str:
        """Canonical text of this aggregate under a window."""
        w = self.window or window
        parts = (self.kind, self.table, self.value, self.where, self.per_unit, self.by, self.q, self.reduce)
        more = (self.weight, self.season_ms, self.columns)
        named = self.weight is not None or self.season_ms or self.columns
        return repr((*parts, self.start, self.end, self.at, self.keep, w, *(more if named else ())))


def _expr(value: Expr | Literal | None) -> Expr | None:
    return None if value is None else lift(value)


def _window(text: str | None) -> Window | None:
    return None if text is None else Window.parse(text)


# The makers below say `Any` because a formula sees arrays (or plain numbers) where the declaration holds an aggregate.


def count(type: str, where: Expr | None = None, *, by: str = "scope", window: str | None = None, keep: int = 0) -> Any:
    """Number of events of a type in the window."""
    return Aggregate("count", type, None, where, 1, by, _window(window), keep=keep)


def total(
    type: str, value: Expr, where: Expr | None = None, *, per_unit: int = 1000, by: str = "scope",
    window: str | None = None, keep: int = 0,
) -> Any:  # fmt: skip
    """Sum over events of rint(value * per_unit), divided by per_unit: exact in any order."""
    return Aggregate("total", type, value, where, per_unit, by, _window(window), keep=keep)


def mean(
    type: str, value: Expr, where: Expr | None = None, *, per_unit: int = 1000, by: str = "scope",
    window: str | None = None, keep: int = 0,
) -> Any:  # fmt: skip
    """Exact sum divided by the number of events with a value."""
    return Aggregate("mean", type, value, where, per_unit, by, _window(window), keep=keep)


def maximum(
    type: str, value: Expr, where: Expr | None = None, *, per_unit: int = 1000, window: str | None = None
) -> Any:
    """Largest value of the window."""
    return Aggregate("max", type, value, where, per_unit, window=_window(window))


def minimum(
    type: str, value: Expr, where: Expr | None = None, *, per_unit: int = 1000, window: str | None = None
) -> Any:
    """Smallest value of the window."""
    return Aggregate("min", type, value, where, per_unit, window=_window(window))


def quantile(
    type: str, value: Expr, q: float, where: Expr | None = None, *, window: str | None = None,
    weight: Expr | None = None, season: str = "",
) -> Any:  # fmt: skip
    """Quantile q of the window by a log-bucket histogram: value error at most 1 %, equal in any merge order.

    `weight`: an event counts rint(weight) times, not at all below 1. `season` (as "1d"): of the window only the panes
    at the phase of the open one count, as the same hour of each day.
    """
    length = duration_ms(season) if season else 0
    return Aggregate("quantile", type, value, where, q=q, window=_window(window), weight=weight, season_ms=length)


def distinct(type: str, key: Expr, where: Expr | None = None, *, window: str | None = None) -> Any:
    """Number of distinct keys in the window, exact at every level."""
    return Aggregate("distinct", type, key, where, window=_window(window))


def tally(
    table: str, value: Expr | Literal = 1, where: Expr | None = None, *, start: Expr | None = None,
    end: Expr | None = None, at: Expr | None = None, reduce: str = "sum", per_unit: int = 1,
    window: str | None = None, q: float = 0.5,
) -> Any:  # fmt: skip
    """Sum (or max, min, quantile q) over the rows of a table of what each contributes now.

    A row counts while `where` holds and start <= now < end; with `at`, while that time lies in the window.
    """
    if reduce not in ("sum", "max", "min", "quantile"):
        raise ValueError(f"reduce={reduce!r}: write sum, max, min or quantile")
    return Aggregate(
        "tally",
        table,
        _expr(value),
        where,
        per_unit,
        window=_window(window),
        reduce=reduce,
        start=start,
        end=end,
        at=at,
        q=q if reduce == "quantile" else 0.0,
    )


def rows(table: str, where: Expr | None = None, **columns: Expr | Literal) -> Any:
    """The rows of a table for a class form, with a column for each named expression: see `Context.rows`."""
    return Aggregate("rows", table, None, where, columns=tuple((n, lift(e)) for n, e in sorted(columns.items())))


def datastreams(property: str = "", count: str = "expected") -> Any:
    """Number of datastreams of a property ("" = all): `expected`, ever `heard`, or `fresh`, heard within two periods.

    They are those that feeds count: see `indicators.datastreams`.
    """
    if count not in ("expected", "heard", "fresh"):
        raise ValueError(f"count={count!r}: write expected, heard or fresh")
    where = ref("row", "property") == property if property else None
    return Aggregate("datastreams", "obs", None, where, reduce=count)


def twin(attribute: str, per_unit: int = 1) -> Any:
    """An attribute of entities summed by scope, as in twin("grid.population")."""
    kind, _, name = attribute.partition(".")
    return Aggregate("tally", kind, ref("row", name), ref("row", name).known(), per_unit)


def ind(id: str) -> Any:
    """The value of another indicator at the same scope."""
    return Aggregate("ind", id)
