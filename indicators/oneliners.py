"""One-line indicators: a text such as `100 * count("a", where=col.late) / count("a")` becomes aggregates and a formula.

The text is read as a syntax tree and only what is named here is built from it; nothing of it is ever run as Python, so
it may come from a web form. Its bounds: LENGTH_MAX characters, PARTS_MAX parts, DEPTH_MAX levels, AGGREGATES_MAX
aggregates, texts of TEXT_MAX characters, numbers up to NUMBER_MAX. There are no powers and no repeated texts, so
nothing grows beyond float64, and a tick costs at most one array operation a part.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from citytwin.indicators import api
from citytwin.indicators.api import Aggregate, Window
from citytwin.indicators.expr import Expr, lift, truth
from citytwin.indicators.onecolumns import (
    DEPTH_MAX,
    NUMBER_MAX,
    TEXT_MAX,
    BadExpression,
    column,
    compared,
    deeper,
    joined,
    number,
    refuse,
    text,
    unknown,
)

__all__ = [
    "AGGREGATES_MAX", "DEPTH_MAX", "LENGTH_MAX", "NUMBER_MAX", "PARTS_MAX", "TEXT_MAX", "BadExpression", "Formula",
    "parse",
]  # fmt: skip
LENGTH_MAX, PARTS_MAX, AGGREGATES_MAX = 2000, 300, 16
#: Names of the aggregates of an expression, in the order in which they first appear in it.
PARAMETERS = "abcdefghijklmnop"

Run = Callable[[Mapping[str, Any]], Any]

_ARRAYS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "<": np.less, "<=": np.less_equal,
    ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
    "&": lambda a, b: truth(a) & truth(b), "|": lambda a, b: truth(a) | truth(b),
}  # fmt: skip
#: Functions of formulas: name to its number of arguments and what it does with arrays.
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "where": (3, lambda c, a, b: np.where(truth(c), a, b)),
    "clip": (3, lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi)),
    "abs": (1, np.abs),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
}
#: Aggregates: name to its maker, the names of its arguments in order, and how many of them must be given.
_AGGREGATES: dict[str, tuple[Callable[..., Any], tuple[str, ...], int]] = {
    "count": (api.count, ("type", "where"), 1),
    "total": (api.total, ("type", "value", "where"), 2),
    "sum": (api.total, ("type", "value", "where"), 2),
    "mean": (api.mean, ("type", "value", "where"), 2),
    "maximum": (api.maximum, ("type", "value", "where"), 2),
    "minimum": (api.minimum, ("type", "value", "where"), 2),
    "quantile": (api.quantile, ("type", "value", "q", "where"), 3),
    "distinct": (api.distinct, ("type", "key", "where"), 2),
    "tally": (api.tally, ("table", "value", "where"), 1),
    "twin": (api.twin, ("attribute",), 1),
    "ind": (api.ind, ("id",), 1),
}
#: Further arguments, by name only.
_NAMED = frozenset({"window", "season", "per_unit", "reduce", "q", "start", "end", "at", "weight"})
_TEXTS = frozenset({"type", "table", "attribute", "id", "window", "season", "reduce"})


class Formula:
    """The formula of one line: called with an array (or number) a parameter; `params` are its aggregates by name."""

    def __init__(self, source: str, params: Mapping[str, Aggregate], run: Run) -> None:
        self.__doc__ = self.__name__ = self.__qualname__ = self.__source__ = source
        kind = inspect.Parameter.KEYWORD_ONLY
        self.__signature__ = inspect.Signature([inspect.Parameter(n, kind, default=a) for n, a in params.items()])
        self.params, self._run = dict(params), run

    def __call__(self, **given: Any) -> Any:
        """Values of the scopes."""
        return self._run(given)


def parse(source: str) -> Formula:
    """The aggregates and the formula of an expression. Raises BadExpression.

    >>> share = parse('100 * count("call.answered") / count("call.offered")')
    >>> list(share.params), float(share(a=48.0, b=50.0))
    (['a', 'b'], 96.0)
    """
    source = source.strip()
    if not source:
        refuse(None, 'the expression is empty; write one such as count("case.filed")')
    if len(source) > LENGTH_MAX:
        refuse(None, f"the expression has {len(source)} characters; at most {LENGTH_MAX} are taken")
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = getattr(error, "msg", None) or "it is nested too deeply"
        raise BadExpression(f"this is no expression: {said}") from error
    if sum(isinstance(n, ast.expr) for n in ast.walk(tree)) > PARTS_MAX:
        refuse(None, f"the expression has more than {PARTS_MAX} parts: split it, and read the parts by ind()")
    reader = _Reader()
    run = reader.formula(tree, 0)
    if not reader.params:
        refuse(None, 'the expression reads nothing; it needs an aggregate such as count("case.filed")')
    return Formula(source, reader.params, run)


class _Reader:
    """Reads one expression: a formula over arrays, and on the way the aggregates that it is made of."""

    def __init__(self) -> None:
        self.params: dict[str, Aggregate] = {}
        self._known: dict[str, str] = {}

    def formula(self, node: ast.expr, depth: int) -> Run:
        """What to do with the arrays."""
        depth = deeper(node, depth)
        if isinstance(node, ast.Constant):
            value = number(node)
            return lambda given: value
        if isinstance(node, ast.BinOp | ast.Compare):
            symbol, a, b = joined(node) if isinstance(node, ast.BinOp) else compared(node)
            op, left, right = _ARRAYS[symbol], self.formula(a, depth), self.formula(b, depth)
            return lambda given: op(left(given), right(given))
        if isinstance(node, ast.UnaryOp):
            return self._unary(node, depth)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        if isinstance(node, ast.Name | ast.Attribute):
            refuse(node, 'columns are read inside of aggregates only, as in count("obs", where=col.value > 3)')
        unknown(node)

    def _unary(self, node: ast.UnaryOp, depth: int) -> Run:
        inner = self.formula(node.operand, depth)
        if isinstance(node.op, ast.USub):
            return lambda given: np.negative(inner(given))
        if isinstance(node.op, ast.UAdd):
            return inner
        if isinstance(node.op, ast.Invert):
            return lambda given: ~truth(inner(given))
        unknown(node.op)

    def _call(self, node: ast.Call, depth: int) -> Run:
        if not isinstance(node.func, ast.Name):
            refuse(node, "methods are for columns, inside of aggregates only")
        name = node.func.id
        if name in _FUNCTIONS:
            wanted, run = _FUNCTIONS[name]
            if len(node.args) != wanted or node.keywords:
                refuse(node, f"{name}() takes {wanted} arguments, without names")
            inner = [self.formula(a, depth) for a in node.args]
            return lambda given: run(*(part(given) for part in inner))
        if name not in _AGGREGATES:
            refuse(node, f"there is no {name:.40}(); there are {', '.join((*_AGGREGATES, *_FUNCTIONS))}")
        param = self._param(node, _aggregate(name, node, depth))
        return lambda given: given[param]

    def _param(self, node: ast.AST, agg: Aggregate) -> str:
        """Name of the parameter of an aggregate; equal ones have one."""
        key = agg.key(Window("instant"))
        if key not in self._known:
            if len(self.params) == AGGREGATES_MAX:
                refuse(node, f"at most {AGGREGATES_MAX} different aggregates are taken: split it, and read by ind()")
            name = PARAMETERS[len(self.params)]
            self._known[key], self.params[name] = name, agg
        return self._known[key]


def _aggregate(name: str, node: ast.Call, depth: int) -> Aggregate:
    make, places, needed = _AGGREGATES[name]
    allowed = [*places, *sorted(set(inspect.signature(make).parameters) & _NAMED - set(places))]
    if len(node.args) > len(places):
        refuse(node, f"{name}() takes at most {len(places)} arguments without a name: {', '.join(places)}")
    given = {place: _argument(place, value, depth) for place, value in zip(places, node.args, strict=False)}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg not in allowed:
            refuse(node, f"{name}() has no argument {keyword.arg or '**'}; it has {', '.join(allowed)}")
        if keyword.arg in given:
            refuse(node, f"{name}() was given {keyword.arg} twice")
        given[keyword.arg] = _argument(keyword.arg, keyword.value, depth)
    missing = [p for p in places[:needed] if p not in given]
    if missing:
        refuse(node, f"{name}() needs {', '.join(missing)}")
    try:
        made = make(**given)
    except (ValueError, TypeError) as error:
        raise BadExpression(f"{name}(): {error}") from error
    assert isinstance(made, Aggregate)
    return made


def _argument(place: str, node: ast.expr, depth: int) -> Any:
    if place in _TEXTS:
        return text(node)
    if place == "per_unit":
        steps = number(node)
        if steps != int(steps) or not 1 <= steps <= 1e9:
            refuse(node, "per_unit is a whole number from 1 to 1e9")
        return int(steps)
    if place == "q":
        share = number(node)
        if not 0 < share < 1:
            refuse(node, "q is a share between 0 and 1, as in 0.95")
        return share
    found = column(node, depth)
    if isinstance(found, str):
        refuse(node, f"{place} is a column, a number or a condition, not a text")
    if place == "key" and not (isinstance(found, Expr) and found.text.startswith("col.") and len(found.refs) == 1):
        refuse(node, 'distinct() counts the values of one field, as in distinct("citycode.use", col.user)')
    return lift(found)
