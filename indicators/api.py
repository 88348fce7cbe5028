"""What authors of indicators write with: `@indicator`, the aggregates, the expression spaces, the class form."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from citytwin.geo.scopes import LEVELS
from citytwin.indicators.expr import Expr, Literal, Space, lift, ref
from citytwin.models.columns import Bool, Float64, Int32, Int64

if TYPE_CHECKING:
    from citytwin.geo.scopes import ScopeTree
    from citytwin.indicators.quality import Standing
    from citytwin.twin.entities import Entities

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

    kind: str  # count total mean max min quantile distinct tally twin ind
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

    def key(self, window: Window) -> str:
        """Canonical text of this aggregate under a window."""
        w = self.window or window
        parts = (self.kind, self.table, self.value, self.where, self.per_unit, self.by, self.q, self.reduce)
        return repr((*parts, self.start, self.end, self.at, self.keep, w))


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


def quantile(type: str, value: Expr, q: float, where: Expr | None = None, *, window: str | None = None) -> Any:
    """Quantile q of the window by a log-bucket histogram: value error at most 1 %, equal in any merge order."""
    return Aggregate("quantile", type, value, where, q=q, window=_window(window))


def distinct(type: str, key: Expr, where: Expr | None = None, *, window: str | None = None) -> Any:
    """Number of distinct keys in the window, exact at every level."""
    return Aggregate("distinct", type, key, where, window=_window(window))


def tally(
    table: str, value: Expr | Literal = 1, where: Expr | None = None, *, start: Expr | None = None,
    end: Expr | None = None, at: Expr | None = None, reduce: str = "sum", per_unit: int = 1,
    window: str | None = None,
) -> Any:  # fmt: skip
    """Sum (or max, min) over the rows of a table of what each contributes now.

    A row counts while `where` holds and start <= now < end; with `at`, while that time lies in the window.
    """
    if reduce not in ("sum", "max", "min"):
        raise ValueError(f"reduce={reduce!r}: write sum, max or min")
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
    )


def twin(attribute: str, per_unit: int = 1) -> Any:
    """An attribute of entities summed by scope, as in twin("grid.population")."""
    kind, _, name = attribute.partition(".")
    return Aggregate("tally", kind, ref("row", name), ref("row", name).known(), per_unit)


def ind(id: str) -> Any:
    """The value of another indicator at the same scope."""
    return Aggregate("ind", id)


class Context(Protocol):
    """What `values` of a class form may read."""

    now: int
    scopes: ScopeTree
    entities: Entities

    def panes(self, name: str) -> Panes: ...

    def tally(self, name: str) -> Float64: ...

    def value(self, id: str) -> Float64: ...

    def standing(self, id: str, rows: Int32) -> Standing: ...

    def moved(self) -> Bool: ...

    def spec(self, id: str) -> Spec: ...

    def ids(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Panes:
    """Panes of an aggregate by group (scope or entity row): `sums[g, p]`, `counts[g, p]` of pane `first + p`.

    `groups` int32[G]; sums in units (float64 of exact integers), counts int64; the last pane is the open one.
    """

    groups: Int32
    first: int
    pane_ms: int
    sums: Float64
    counts: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """All that is known of an indicator: metadata, aggregates by parameter, and the formula or the class."""

    id: str
    theme: str
    window: Window
    unit: str
    better: str
    levels: tuple[str, ...]
    decimals: int
    name: Mapping[str, str]
    meaning: Mapping[str, str]
    bands: Mapping[str, float]
    source: str
    status: str
    owner: str
    feeds: tuple[tuple[str, str], ...]
    examples: tuple[Mapping[str, Any], ...]
    params: Mapping[str, Aggregate]
    formula: Callable[..., Any] | None
    cls: type[Indicator] | None = None
    every_ms: int = 0
    window_text: str = ""
    code_hash: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finest(self) -> int:
        """Number of the finest level that has values."""
        return max(LEVELS.index(level) for level in self.levels)

    def __call__(self, **given: float) -> float | None:
        """The formula on plain numbers, rounded as declared; None = no data.

        >>> from citytwin.indicators.api import count, indicator
        >>> @indicator("x", theme="t", window="sliding 1h/1m", unit="%", levels="city", decimals=1)
        ... def share(a=count("obs"), n=count("obs")):
        ...     return 100 * a / n
        >>> share(a=1, n=3), share(a=0, n=0)
        (33.3, None)
        """
        if self.formula is None:
            raise TypeError(f"{self.id} is a class form; feed it batches in a test instead of numbers")
        arrays = {name: np.array([float(given[name])]) for name in self.params}
        result = finish(evaluate(self, arrays, 1), self.decimals)[0]
        return None if np.isnan(result) else float(result)


def evaluate(spec: Spec, arrays: Mapping[str, Float64], n: int) -> Float64:
    """The formula over arrays; division by zero and the like give NaN. Raises what the formula raises."""
    assert spec.formula is not None
    with np.errstate(all="ignore"):
        result = np.asarray(spec.formula(**arrays), np.float64)
    return np.full(n, result) if result.ndim == 0 else result


def finish(values: Float64, decimals: int) -> Float64:
    """Rounded as declared, infinities made NaN, minus zero made zero."""
    rounded = np.round(values, decimals) + 0.0
    return np.where(np.isfinite(rounded), rounded, np.nan)


class Indicator:
    """Class form, for state that is no sum: metadata as class attributes and `values(ctx)`.

    `every`: how often it is worked out; "" for one made of other indicators alone: in each tick in which one of them
    moved, and then only `ctx.moved()`, the scopes at which one did, keep no older value.
    """

    id: ClassVar[str]
    theme: ClassVar[str]
    window: ClassVar[str] = "instant"
    unit: ClassVar[str] = ""
    better: ClassVar[str] = "up"
    levels: ClassVar[str] = "city"
    decimals: ClassVar[int] = 2
    name: ClassVar[Mapping[str, str]] = {}
    meaning: ClassVar[Mapping[str, str]] = {}
    bands: ClassVar[Mapping[str, float]] = {}
    source: ClassVar[str] = ""
    status: ClassVar[str] = "L"
    owner: ClassVar[str] = ""
    feeds: ClassVar[tuple[tuple[str, str], ...]] = ()
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    aggregates: ClassVar[Mapping[str, Any]] = {}
    every: ClassVar[str] = "1s"

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Scope rows (int32[m]) and their values (float64[m]); rows not named have no data."""
        raise TypeError(f"{type(self).__name__} has no values(ctx); write one that returns (rows, values)")

    def detail(self, ctx: Context) -> Mapping[int, Mapping[str, Any]]:
        """Extra plain facts by scope row, as the primary pollutant; empty by default."""
        return {}


def source_text(thing: Any) -> str:
    """The source of a formula or class; where there is none, its name and compiled code, the same in each process."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        parts = [thing, *vars(thing).values()] if isinstance(thing, type) else [thing]
        code = [_compiled(p.__code__) for p in parts if hasattr(p, "__code__")]
        return " ".join([f"{thing.__module__}.{thing.__qualname__}", *code])


def _compiled(code: CodeType) -> str:
    """Instructions, names and constants; sets in order, code inside code without its address."""
    held = (
        _compiled(c) if isinstance(c, CodeType) else repr(sorted(map(repr, c)) if isinstance(c, frozenset) else c)
        for c in code.co_consts
    )
    return f"{code.co_code.hex()} {code.co_names} {' '.join(held)}"


def source_hash(thing: Any) -> str:
    """Hash of the source text of a formula or class, so that a change of definition is seen."""
    return hashlib.blake2b(source_text(thing).encode(), digest_size=8).hexdigest()


def indicator(
    id: str, *, theme: str, window: str = "instant", unit: str = "", better: str = "up", levels: str = "city",
    decimals: int = 2, name: Mapping[str, str] | None = None, meaning: Mapping[str, str] | None = None,
    bands: Mapping[str, float] | None = None, source: str = "", status: str = "L", owner: str = "",
    feeds: Sequence[tuple[str, str]] = (), examples: Sequence[Mapping[str, Any]] = (),
) -> Callable[[Callable[..., Any]], Spec]:  # fmt: skip
    """Declare an indicator on a pure function whose parameter defaults are aggregates. Raises TypeError, ValueError."""

    def wrap(function: Callable[..., Any]) -> Spec:
        params = {p.name: p.default for p in inspect.signature(function).parameters.values()}
        bad = [n for n, d in params.items() if not isinstance(d, Aggregate)]
        if bad:
            raise TypeError(f"parameters {bad} need an aggregate as default, e.g. n=count('case.opened')")
        return Spec(
            id, theme, Window.parse(window), unit, better, tuple(levels.split()), decimals, name or {}, meaning or {},
            bands or {}, source, status, owner, tuple(feeds), tuple(examples), params, function,
            window_text=window, code_hash=source_hash(function),
        )  # fmt: skip

    return wrap


def describe_class(cls: type[Indicator]) -> Spec:
    """The spec of a class form. Raises TypeError for aggregates that are none."""
    bad = [n for n, a in cls.aggregates.items() if not isinstance(a, Aggregate)]
    if bad:
        raise TypeError(f"{cls.__name__}.aggregates {bad}: use count(), total(), tally() and the like")
    return Spec(
        cls.id, cls.theme, Window.parse(cls.window), cls.unit, cls.better, tuple(cls.levels.split()), cls.decimals,
        cls.name, cls.meaning, cls.bands, cls.source, cls.status, cls.owner, tuple(cls.feeds), tuple(cls.examples),
        dict(cls.aggregates), None, cls, duration_ms(cls.every) if cls.every else 0, window_text=cls.window,
        code_hash=source_hash(cls),
    )  # fmt: skip
