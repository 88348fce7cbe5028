"""What authors of indicators write with: `@indicator`, the aggregates, the expression spaces, the class form."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from citytwin.geo.scopes import LEVELS
from citytwin.indicators.declare import (
    Aggregate,
    Window,
    col,
    count,
    datastreams,
    distinct,
    duration_ms,
    ent,
    ind,
    maximum,
    mean,
    minimum,
    now,
    quantile,
    row,
    rows,
    tally,
    total,
    twin,
)
from citytwin.indicators.expr import Expr
from citytwin.models.columns import Bool, Coded, Float64, Int32, Int64
from citytwin.models.thresholds import Editions, Threshold
from citytwin.models.vocabulary import ALWAYS

if TYPE_CHECKING:
    from citytwin.geo.scopes import ScopeTree
    from citytwin.indicators.quality import Standing
    from citytwin.twin.entities import Entities

__all__ = [
    "Aggregate", "Context", "Expr", "Indicator", "Panes", "Rows", "Spec", "Window", "col", "count", "datastreams",
    "describe_class", "distinct", "duration_ms", "ent", "evaluate", "finish", "ind", "indicator", "maximum", "mean",
    "minimum", "now", "quantile", "row", "rows", "source_hash", "source_text", "tally", "total", "twin",
]  # fmt: skip


class Context(Protocol):
    """What `values` of a class form may read."""

    now: int
    scopes: ScopeTree
    entities: Entities

    def panes(self, name: str) -> Panes: ...

    def tally(self, name: str) -> Float64: ...

    def rows(self, name: str) -> Rows: ...

    def value(self, id: str) -> Float64: ...

    def standing(self, id: str, rows: Int32) -> Standing: ...

    def moved(self) -> Bool: ...

    def down_to(self, level: int) -> Int32: ...

    def relative(self, id: str, rows: Int32) -> Float64: ...

    def spec(self, id: str) -> Spec: ...

    def ids(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Panes:
    """Panes of an aggregate by group (own scope or entity row): `sums[g, p]`, `counts[g, p]` of pane `first + p`.

    `groups` int32[G]; sums in units (float64 of exact integers), counts int64; the last pane is the open one.
    """

    groups: Int32
    first: int
    pane_ms: int
    sums: Float64
    counts: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a table that a class form asked for: their scope and entity rows (int32[n], entity -1 = none), columns.

    `row` int64[n]: their numbers in the table. Columns are float64[n] (NaN missing, flags 0 or 1) or Coded.
    """

    row: Int64
    scope: Int32
    entity: Int32
    columns: Mapping[str, Float64 | Coded]

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def none(cls, names: Iterable[str]) -> Rows:
        """No rows, with these columns."""
        empty = np.zeros(0, np.int32)
        return cls(np.zeros(0, np.int64), empty, empty, {n: np.zeros(0) for n in names})

    def number(self, name: str) -> Float64:
        """A column of numbers (float64[n]). Raises TypeError for codes."""
        column = self.columns[name]
        if isinstance(column, Coded):
            raise TypeError(f"{name} is a code; read it with code({name!r})")
        return column

    def code(self, name: str) -> Coded:
        """A column of codes. Raises TypeError for numbers."""
        column = self.columns[name]
        if not isinstance(column, Coded):
            raise TypeError(f"{name} is a number; read it with number({name!r})")
        return column


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
    #: Bands with edition, validity, source and status; those of an indicator without editions hold always.
    thresholds: tuple[Threshold, ...] = ()
    #: Parameter of which the bands are shares ("" = they are values).
    of: str = ""

    def bands_at(self, time_ms: int) -> Mapping[str, float]:
        """The bands in force at a time (ms UTC); none where no edition was."""
        if len(self.thresholds) < 2:
            return self.bands
        found = next((t for t in self.thresholds if t.valid_from <= time_ms < t.valid_to), None)
        return found.bands if found is not None else {}

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
    moved, and then only `ctx.moved()`, the scopes at which one did, keep no older value. `whole`: a value rests on what
    is elsewhere in the city too (neighbours, ranks, people away from home), so an explanation tells of all of it.
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
    editions: ClassVar[tuple[Threshold, ...]] = ()
    every: ClassVar[str] = "1s"
    whole: ClassVar[bool] = False

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Scope rows (int32[m]) and their values (float64[m]); rows not named have no data."""
        raise TypeError(f"{type(self).__name__} has no values(ctx); write one that returns (rows, values)")

    def detail(self, ctx: Context) -> Mapping[int, Mapping[str, Any]]:
        """Extra plain facts by scope row, as the primary pollutant; empty by default."""
        return {}


def source_text(thing: Any) -> str:
    """The source of a formula or class; where there is none, its name and compiled code, the same in each process.

    A one-liner's is its expression.
    """
    if isinstance(given := getattr(thing, "__source__", None), str):
        return given
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
    editions: Sequence[Threshold] = (), of: str = "",
) -> Callable[[Callable[..., Any]], Spec]:  # fmt: skip
    """Declare an indicator on a pure function whose parameter defaults are aggregates. Raises TypeError, ValueError.

    `editions`: bands that change with time, instead of `bands`. `of`: the bands are shares of that parameter.
    """

    def wrap(function: Callable[..., Any]) -> Spec:
        params = {p.name: p.default for p in inspect.signature(function).parameters.values()}
        bad = [n for n, d in params.items() if not isinstance(d, Aggregate)]
        if bad:
            raise TypeError(f"parameters {bad} need an aggregate as default, e.g. n=count('case.opened')")
        return Spec(
            id, theme, Window.parse(window), unit, better, tuple(levels.split()), decimals, name or {}, meaning or {},
            _newest(bands or {}, editions), source, status, owner, tuple(feeds), tuple(examples), params, function,
            window_text=window, code_hash=source_hash(function),
            thresholds=_thresholds(bands or {}, editions, source, status), of=of,
        )  # fmt: skip

    return wrap


def _newest(bands: Mapping[str, float], editions: Sequence[Threshold]) -> Mapping[str, float]:
    if editions and bands:
        raise ValueError("give bands, or editions of them, not both")
    return editions[-1].bands if editions else bands


def _thresholds(
    bands: Mapping[str, float], editions: Sequence[Threshold], source: str, status: str
) -> tuple[Threshold, ...]:
    if editions:
        return tuple(Editions(editions).all)
    return (Threshold(bands, "", -ALWAYS, ALWAYS, source, status),) if bands else ()


def describe_class(cls: type[Indicator]) -> Spec:
    """The spec of a class form. Raises TypeError for aggregates that are none."""
    bad = [n for n, a in cls.aggregates.items() if not isinstance(a, Aggregate)]
    if bad:
        raise TypeError(f"{cls.__name__}.aggregates {bad}: use count(), total(), tally() and the like")
    return Spec(
        cls.id, cls.theme, Window.parse(cls.window), cls.unit, cls.better, tuple(cls.levels.split()), cls.decimals,
        cls.name, cls.meaning, _newest(cls.bands, cls.editions),
        cls.source, cls.status, cls.owner, tuple(cls.feeds), tuple(cls.examples),
        dict(cls.aggregates), None, cls, duration_ms(cls.every) if cls.every else 0, window_text=cls.window,
        code_hash=source_hash(cls), thresholds=_thresholds(cls.bands, cls.editions, cls.source, cls.status),
    )  # fmt: skip
