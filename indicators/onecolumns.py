"""Conditions and values over columns, read from the syntax tree of a one-line indicator: see indicators.oneliners."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, NoReturn

from citytwin.indicators import api
from citytwin.indicators.expr import Expr, lift, ref

DEPTH_MAX, TEXT_MAX, NUMBER_MAX = 48, 200, 1e15


class BadExpression(ValueError):
    """The expression cannot be taken; the text says what, where (column from 1) and what to write instead."""


def refuse(node: ast.AST | None, why: str) -> NoReturn:
    """Raise BadExpression about a place of the text."""
    at = getattr(node, "col_offset", None)
    raise BadExpression(why if at is None else f"column {at + 1}: {why}")


#: What people write first, and what to write here.
_HINTS: dict[type[ast.AST], str] = {
    ast.BoolOp: "write & and | instead of `and` and `or`, with brackets around each comparison",
    ast.Not: "write ~(...) instead of `not`",
    ast.IfExp: "write where(condition, a, b) instead of `a if condition else b`",
    ast.Pow: "there are no powers: multiply",
    ast.JoinedStr: "there are no format strings; write the text itself",
    ast.In: "write .isin([...]) instead of `in`",
    ast.NotIn: "write ~(... .isin([...])) instead of `not in`",
    ast.Is: "write == instead of `is`",
    ast.IsNot: "write != instead of `is not`",
    ast.Mod: "there is no % here; the sign of a percentage goes into `unit`",
    ast.FloorDiv: "there is no // here; in a condition write (a / b).floor()",
    ast.BitXor: "there is no ^: multiply instead of a power",
    ast.NamedExpr: "names cannot be given here; an aggregate that is written twice is counted once",
    ast.Lambda: "functions cannot be made here",
    ast.Subscript: "there is nothing to take a part of; columns are col.<field>",
    ast.Starred: "arguments are written one by one",
}
SYMBOLS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.BitAnd: "&", ast.BitOr: "|",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "&": operator.and_,
    "|": operator.or_, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
    "!=": operator.ne,
}  # fmt: skip
#: Methods of columns: the least and the most arguments that each takes.
METHODS = {
    "isin": (1, 1), "known": (0, 0), "where": (2, 2), "floor": (0, 0), "clip": (2, 2), "lookup": (1, 2),
    "startswith": (1, 1), "exp10": (0, 0), "abs": (0, 0),
}  # fmt: skip
_SPACES = ("col", "row", "ent")
_COLUMNS = "columns are col.<field>, row.<column> and ent.<attribute>"


def unknown(node: ast.AST) -> NoReturn:
    """Refuse a part that has no meaning here."""
    refuse(node, _HINTS.get(type(node), f"{type(node).__name__} is not allowed in an expression"))


def number(node: ast.AST) -> float:
    """A plain number, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -number(node.operand)
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(node, "a plain number is needed here")
    try:
        found = float(value)
    except OverflowError:
        found = float("inf")
    if not abs(found) <= NUMBER_MAX:
        refuse(node, f"the number is too large; at most {NUMBER_MAX:g}")
    return found


def text(node: ast.AST) -> str:
    """A plain text."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        refuse(node, 'a text in quotes is needed here, as in count("case.filed")')
    if len(node.value) > TEXT_MAX:
        refuse(node, f"a text has at most {TEXT_MAX} characters")
    return node.value


def plain(node: ast.AST) -> float | str:
    """A number or a text as it stands."""
    return text(node) if isinstance(node, ast.Constant) and isinstance(node.value, str) else number(node)


def compared(node: ast.Compare) -> tuple[str, ast.expr, ast.expr]:
    """Symbol and both sides of a comparison."""
    if len(node.ops) > 1:
        refuse(node, "comparisons cannot be chained: put each into brackets, as in (a == 1) & (b == 2)")
    return _symbol(node, node.ops[0]), node.left, node.comparators[0]


def joined(node: ast.BinOp) -> tuple[str, ast.expr, ast.expr]:
    """Symbol and both sides of an operation."""
    return _symbol(node, node.op), node.left, node.right


def _symbol(node: ast.AST, op: ast.AST) -> str:
    found = SYMBOLS.get(type(op))
    if found is None:
        refuse(node, _HINTS.get(type(op), f"{type(op).__name__} is not allowed in an expression"))
    return found


def deeper(node: ast.AST, depth: int) -> int:
    """One level further down."""
    if depth >= DEPTH_MAX:
        refuse(node, f"nested deeper than {DEPTH_MAX} levels; use fewer brackets, or split it and read by ind()")
    return depth + 1


def column(node: ast.expr, depth: int) -> Expr | float | str:
    """An expression over columns, a number or a text. Raises BadExpression."""
    depth = deeper(node, depth)
    if isinstance(node, ast.Constant):
        return plain(node)
    if isinstance(node, ast.BinOp | ast.Compare):
        symbol, a, b = joined(node) if isinstance(node, ast.BinOp) else compared(node)
        return _join(node, symbol, column(a, depth), column(b, depth))
    if isinstance(node, ast.UnaryOp):
        return _unary(node, depth)
    if isinstance(node, ast.Call):
        return _method(node, depth)
    if isinstance(node, ast.Attribute):
        return _reference(node)
    if isinstance(node, ast.Name):
        if node.id == "now":
            return api.now
        refuse(node, f"there is no {node.id:.40}; {_COLUMNS}")
    unknown(node)


def _join(node: ast.AST, symbol: str, left: Expr | float | str, right: Expr | float | str) -> Expr:
    texts = sum(isinstance(v, str) for v in (left, right))
    if texts and symbol not in ("==", "!="):
        refuse(node, f"{symbol} is not for texts; compare a code by == or !=")
    if texts == 2:
        refuse(node, "one side of a comparison must be a column")
    made: Expr = _OPERATORS[symbol](lift(left), lift(right))
    return made


def _unary(node: ast.UnaryOp, depth: int) -> Expr | float:
    inner = column(node.operand, depth)
    if isinstance(inner, str):
        refuse(node, "a text has no sign")
    if isinstance(node.op, ast.USub):
        return -inner if isinstance(inner, float) else lift(0.0) - inner
    if isinstance(node.op, ast.Invert):
        return ~lift(inner)
    if isinstance(node.op, ast.UAdd):
        return inner
    refuse(node, _HINTS[ast.Not])


def _method(node: ast.Call, depth: int) -> Expr:
    func, known = node.func, ", ".join(METHODS)
    if not isinstance(func, ast.Attribute):
        name = func.id if isinstance(func, ast.Name) else type(func).__name__
        refuse(node, f"{name:.40}() cannot stand inside of an aggregate; columns have methods: {known}")
    if func.attr not in METHODS:
        refuse(node, f"columns have no method {func.attr:.40}; they have {known}")
    least, most = METHODS[func.attr]
    if node.keywords or not least <= len(node.args) <= most:
        refuse(node, f".{func.attr}() takes {most} arguments, without names")
    target = column(func.value, depth)
    if not isinstance(target, Expr):
        refuse(node, f".{func.attr}() is for columns, as in col.value.{func.attr}(...)")
    made: Expr = getattr(target, func.attr)(*_arguments(func.attr, node.args, depth))
    return made


def _arguments(name: str, nodes: list[ast.expr], depth: int) -> list[Any]:
    if name == "where":
        return [lift(column(n, depth)) for n in nodes]
    if name == "isin":
        return [[plain(n) for n in _items(nodes[0])]]
    if name == "lookup":
        return [_table(nodes[0]), *map(number, nodes[1:])]
    return [text(n) if name == "startswith" else number(n) for n in nodes]


def _items(node: ast.expr) -> list[ast.expr]:
    if not isinstance(node, ast.List | ast.Tuple):
        refuse(node, '.isin() takes a list, as in col.kind.isin(["a", "b"])')
    return node.elts


def _table(node: ast.expr) -> dict[str, float]:
    if not isinstance(node, ast.Dict):
        refuse(node, '.lookup() takes a table, as in .lookup({"branch": 20, "arterial": 40}, 0)')
    found = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            refuse(node, "a table is written entry by entry")
        found[text(key)] = number(value)
    return found


def _reference(node: ast.Attribute) -> Expr:
    """col.x, row.x, ent.x, ent.relation.x, row.sibling("property").x"""
    names: list[str] = []
    at: ast.expr = node
    while isinstance(at, ast.Attribute) and len(names) < 4:
        names.insert(0, at.attr)
        at = at.value
    if any(n.startswith("_") for n in names):
        refuse(node, "names of columns do not begin with _")
    if isinstance(at, ast.Call):
        return _sibling(at, node, names)
    if not isinstance(at, ast.Name) or at.id not in _SPACES:
        refuse(node, _COLUMNS)
    if len(names) > (3 if at.id == "ent" else 1):
        refuse(node, f"{at.id}.{'.'.join(names):.60} is no column; write {at.id}.<name>")
    return ref(at.id, ".".join(names))


def _sibling(call: ast.Call, node: ast.AST, names: list[str]) -> Expr:
    func = call.func
    known = isinstance(func, ast.Attribute) and func.attr == "sibling"
    owner = func.value if isinstance(func, ast.Attribute) else None
    named = isinstance(owner, ast.Name) and owner.id == "row"
    if not (known and named) or len(names) != 1 or len(call.args) != 1 or call.keywords:
        refuse(node, 'the only call that has columns is row.sibling("property").value')
    return ref(f"sibling:{text(call.args[0])}", names[0])
