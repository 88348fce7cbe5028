"""Expressions over columns: a small tree that authors write with operators and the engine evaluates over arrays.

Everything evaluates to float64 in physical units (missing = NaN, times in ms), to bool, or to a `Coded` text column.
Comparisons with a missing value are false. Two expressions with the same `text` are the same.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from citytwin.models.codes import SCHEMES
from citytwin.models.columns import Bool, Coded, Float64, Strings

Array = NDArray[Any]
Value = Array | Coded | Strings | float | str | bool
Literal = float | int | str | bool


class Columns(Protocol):
    """Where an expression finds its columns: space is col, row, ent or sibling:<property>."""

    def get(self, space: str, name: str) -> Array | Coded | Strings: ...


class Expr:
    """A node of the tree; `text` is its canonical form, `refs` the (space, name) pairs it reads.

    `pins`: (space, name, code) for each column that must be this code where the expression holds.
    """

    __slots__ = ("evaluate", "pins", "refs", "text")

    def __init__(
        self, text: str, refs: frozenset[tuple[str, str]], evaluate: Callable[[Columns], Value],
        pins: frozenset[tuple[str, str, str]] = frozenset(),
    ) -> None:  # fmt: skip
        self.text = text
        self.refs = refs
        self.evaluate = evaluate
        self.pins = pins

    def __repr__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __bool__(self) -> bool:
        raise TypeError(f"{self.text} has no truth value while it is declared; combine conditions with & | ~")

    def _binary(self, other: Expr | Literal, symbol: str, swap: bool = False) -> Expr:
        left, right = lift(self), lift(other)
        if swap:
            left, right = right, left
        op = _OPERATORS[symbol]
        return Expr(
            f"({left.text} {symbol} {right.text})",
            left.refs | right.refs,
            lambda env: op(left.evaluate(env), right.evaluate(env)),
            left.pins | right.pins if symbol == "&" else self._pinned(other) if symbol == "==" else frozenset(),
        )

    def _pinned(self, other: Expr | Literal) -> frozenset[tuple[str, str, str]]:
        """What `self == other` pins: a plain column to a text."""
        names = [(space, name) for space, name in self.refs if self.text == f"{space}.{name}"]
        return frozenset((*n, other) for n in names if isinstance(other, str))

    def __add__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, "+")

    def __radd__(self, other: Literal) -> Expr:
        return self._binary(other, "+", swap=True)

    def __sub__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, "-")

    def __rsub__(self, other: Literal) -> Expr:
        return self._binary(other, "-", swap=True)

    def __mul__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, "*")

    def __rmul__(self, other: Literal) -> Expr:
        return self._binary(other, "*", swap=True)

    def __truediv__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, "/")

    def __rtruediv__(self, other: Literal) -> Expr:
        return self._binary(other, "/", swap=True)

    def __and__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, "&")

    def __or__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, "|")

    def __lt__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, "<")

    def __le__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, "<=")

    def __gt__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, ">")

    def __ge__(self, other: Expr | Literal) -> Expr:
        return self._binary(other, ">=")

    def __eq__(self, other: Expr | Literal) -> Expr:  # type: ignore[override]
        return self._binary(other, "==")

    def __ne__(self, other: Expr | Literal) -> Expr:  # type: ignore[override]
        return self._binary(other, "!=")

    def __invert__(self) -> Expr:
        return Expr(f"~{self.text}", self.refs, lambda env: ~truth(self.evaluate(env)))

    def isin(self, values: Iterable[Literal]) -> Expr:
        """True where the value is one of the given ones."""
        wanted = tuple(values)

        def run(env: Columns) -> Value:
            value = self.evaluate(env)
            if isinstance(value, Coded):
                hit = np.array([n in wanted for n in value.names] + [False], np.bool_)
                return cast(Array, hit[value.codes])
            return np.isin(np.asarray(value), np.array(wanted, np.float64))

        return Expr(f"{self.text}.isin({list(wanted)!r})", self.refs, run)

    def known(self) -> Expr:
        """True where a value is there."""

        def run(env: Columns) -> Value:
            value = self.evaluate(env)
            if isinstance(value, Strings):
                return cast(Array, value.lengths() > 0)
            return value.codes >= 0 if isinstance(value, Coded) else ~np.isnan(np.asarray(value, np.float64))

        return Expr(f"{self.text}.known()", self.refs, run)

    def where(self, condition: Expr, other: Expr | Literal) -> Expr:
        """This value where the condition holds, the other elsewhere."""
        alt = lift(other)
        return Expr(
            f"{self.text}.where({condition.text}, {alt.text})",
            self.refs | condition.refs | alt.refs,
            lambda env: np.where(
                truth(condition.evaluate(env)), np.asarray(self.evaluate(env)), np.asarray(alt.evaluate(env))
            ),
        )

    def startswith(self, prefix: str) -> Expr:
        """True where a code begins with the text."""

        def run(env: Columns) -> Value:
            value = self.evaluate(env)
            if not isinstance(value, Coded):
                raise TypeError(f"startswith needs a code column; {self.text} is none")
            hit = np.array([n.startswith(prefix) for n in value.names] + [False], np.bool_)
            return cast(Array, hit[value.codes])

        return Expr(f"{self.text}.startswith({prefix!r})", self.refs, run)

    def valid(self, scheme: str) -> Expr:
        """True where a text is a code that fits a scheme of models.codes, check character included, as in "uscc"."""
        check = SCHEMES[scheme]

        def run(env: Columns) -> Value:
            value = self.evaluate(env)
            if not isinstance(value, Strings):
                raise TypeError(f"valid needs a text column; {self.text} is none")
            return cast(Array, (check(value) == 0) & (value.lengths() > 0))

        return Expr(f"{self.text}.valid({scheme!r})", self.refs, run)

    def exp10(self) -> Expr:
        """10 to the power of the value."""
        return Expr(f"{self.text}.exp10()", self.refs, lambda env: 10.0 ** np.asarray(self.evaluate(env), np.float64))

    def abs(self) -> Expr:
        """The distance of the value from 0."""
        return Expr(f"{self.text}.abs()", self.refs, lambda env: np.abs(np.asarray(self.evaluate(env), np.float64)))

    def floor(self) -> Expr:
        """The largest whole number not above the value."""
        return Expr(f"{self.text}.floor()", self.refs, lambda env: np.floor(np.asarray(self.evaluate(env))))

    def clip(self, lo: float, hi: float) -> Expr:
        """The value, held between lo and hi."""
        return Expr(
            f"{self.text}.clip({lo}, {hi})", self.refs, lambda env: np.clip(np.asarray(self.evaluate(env)), lo, hi)
        )

    def lookup(self, table: Mapping[str, float], default: float = float("nan")) -> Expr:
        """The number that a code stands for; `default` for other codes and missing ones."""
        pairs = dict(table)

        def run(env: Columns) -> Value:
            value = self.evaluate(env)
            if not isinstance(value, Coded):
                raise TypeError(f"lookup needs a code column; {self.text} is a number")
            numbers = np.array([pairs.get(n, default) for n in value.names] + [default], np.float64)
            return cast(Array, numbers[value.codes])

        return Expr(f"{self.text}.lookup({pairs!r}, {default!r})", self.refs, run)


def _compare_codes(coded: Coded, other: Value, equal: bool) -> Bool:
    if isinstance(other, Coded):
        known: dict[str, int] = {}
        same = (coded.recode(known) == other.recode(known)) & (coded.codes >= 0)
    else:
        same = coded.equals(str(other))
    result: Bool = same if equal else ~same & (coded.codes >= 0)
    return result


def _equality(equal: bool) -> Callable[[Any, Any], Any]:
    plain = operator.eq if equal else operator.ne

    def run(a: Any, b: Any) -> Any:
        if isinstance(a, Strings) or isinstance(b, Strings):
            raise TypeError("texts are not compared; ask .known() or .valid(scheme)")
        if isinstance(a, Coded):
            return _compare_codes(a, b, equal)
        if isinstance(b, Coded):
            return _compare_codes(b, a, equal)
        result = plain(a, b)
        return result if equal else result & ~np.isnan(a) & ~np.isnan(b)

    return run


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": np.divide,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": _equality(True),
    "!=": _equality(False),
    "&": lambda a, b: truth(a) & truth(b),
    "|": lambda a, b: truth(a) | truth(b),
}


def truth(value: Value) -> Bool:
    """The value as a condition: a number holds where it is there and not 0, a code where it is there."""
    if isinstance(value, Coded):
        return value.codes >= 0
    if isinstance(value, Strings):
        return value.lengths() > 0
    array = np.asarray(value)
    if array.dtype == np.bool_:
        return array
    return cast(Bool, (array != 0) & ~np.isnan(array))


def lift(value: Expr | Literal) -> Expr:
    """A literal as an expression."""
    if isinstance(value, Expr):
        return value
    return Expr(repr(value), frozenset(), lambda env: value)


class Space:
    """`col`, `row`, `ent`: attribute access makes a reference to a column of that space."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Expr:
        if name.startswith("__"):
            raise AttributeError(name)
        return ref(self._name, name)

    def sibling(self, prop: str) -> Space:
        """The newest reading of another property of the same entity."""
        return Space(f"sibling:{prop}")


def ref(space: str, name: str) -> Expr:
    """A reference to one column."""
    label = f"{space}.{name}" if not space.startswith("sibling:") else f"row.sibling({space[8:]!r}).{name}"
    return Expr(label, frozenset({(space, name)}), lambda env: env.get(space, name))


def as_numbers(value: Value, n: int) -> Float64:
    """The result of an evaluation as float64[n]."""
    if isinstance(value, Coded | Strings | str):
        raise TypeError("a number is needed here, not a code or text; use .lookup({...}), .known() or ==")
    array = np.asarray(value, np.float64)
    return np.full(n, array) if array.ndim == 0 else array


def as_mask(value: Value, n: int) -> Bool:
    """The result of an evaluation as bool[n]."""
    mask = truth(value)
    return np.full(n, mask) if mask.ndim == 0 else mask


def pinned_code(where: Expr | None, space: str, name: str) -> str | None:
    """The code that a condition pins a column to by `==` in its outermost `&` chain, if it does.

    >>> pinned_code((ref("row", "property") == "rain.depth") & (ref("row", "value") > 0), "row", "property")
    'rain.depth'
    """
    pins = where.pins if where is not None else frozenset()
    return min((code for s, n, code in pins if (s, n) == (space, name)), default=None)
