"""Conditions of plans over indicators and alarms, written as text: `waterlog_depth_max >= 27 and alarm("R17")`.

A condition holds, does not hold, or is unknown (None): what has no value makes a comparison unknown, and `and`, `or`,
`not` treat unknown as Kleene does. So a silent gauge neither raises a plan nor ends one.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Longest condition in characters, and most of its parts.
TEXT_MAX, PARTS_MAX = 500, 150
_HOW = 'write comparisons of indicators and numbers joined by and, or, not, as in rain_1h_max >= 20 and alarm("R17")'
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip

#: Value of an indicator, NaN for none; whether an alarm of a rule is active.
Value = Callable[[str], float]
Alarm = Callable[[str], bool]
_Truth = Callable[[Value, Alarm], bool | None]
_Number = Callable[[Value], float]


class TriggerError(ValueError):
    """A text that is no condition; it says which part and how to write one."""


@dataclass(frozen=True, slots=True, eq=False)
class Trigger:
    """A condition with the indicators and the alarm rules that it reads."""

    text: str
    indicators: frozenset[str]
    alarms: frozenset[str]
    _run: _Truth

    def holds(self, value: Value, alarm: Alarm) -> bool | None:
        """Whether it holds; None where that is unknown."""
        return self._run(value, alarm)


def parse(text: str) -> Trigger:
    """A condition from its text. Raises TriggerError.

    >>> parse("a > 1 or b > 1").holds({"a": float("nan"), "b": 2.0}.get, lambda rule: False)
    True
    """
    if len(text) > TEXT_MAX:
        raise TriggerError(f"a condition has at most {TEXT_MAX} characters; use an indicator of your own instead")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise TriggerError(f"{text!r} cannot be read; {_HOW}") from error
    if sum(1 for _ in ast.walk(tree)) > PARTS_MAX:
        raise TriggerError(f"a condition has at most {PARTS_MAX} parts; use an indicator of your own instead")
    run = _truth(tree)
    calls = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    return Trigger(text, frozenset(_names(tree, calls)), frozenset(_rules(tree)), run)


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return None if head is None else f"{head}.{node.attr}"
    return None


def _names(node: ast.AST, calls: set[int]) -> Iterator[str]:
    name = _dotted(node) if isinstance(node, ast.expr) and id(node) not in calls else None
    if name is not None:
        yield name
        return
    for child in ast.iter_child_nodes(node):
        if id(child) not in calls:
            yield from _names(child, calls)


def _rules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def _fault(node: ast.expr) -> TriggerError:
    return TriggerError(f"{ast.unparse(node)!r} is no part of a condition; {_HOW}")


def _truth(node: ast.expr) -> _Truth:
    if isinstance(node, ast.BoolOp):
        return _joined(isinstance(node.op, ast.And), [_truth(v) for v in node.values])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _truth(node.operand)
        return lambda value, alarm: None if (found := inner(value, alarm)) is None else not found
    if isinstance(node, ast.Compare):
        return _comparison(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "alarm":
        if len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.Constant):
            rule = str(node.args[0].value)
            return lambda value, alarm: alarm(rule)
        raise TriggerError(f'{ast.unparse(node)!r}: an alarm is named by its rule, as in alarm("R17")')
    raise _fault(node)


def _joined(every: bool, parts: list[_Truth]) -> _Truth:
    def run(value: Value, alarm: Alarm) -> bool | None:
        found = [part(value, alarm) for part in parts]
        decided = not every
        if decided in found:
            return decided
        return None if None in found else every

    return run


def _comparison(node: ast.Compare) -> _Truth:
    unknown = [op for op in node.ops if type(op) not in _COMPARE]
    if unknown:
        raise TriggerError(f"{ast.unparse(node)!r}: compare with <, <=, > or >=; numbers are hardly ever equal")
    sides = [_number(side) for side in (node.left, *node.comparators)]
    tests = [_COMPARE[type(op)] for op in node.ops]

    def run(value: Value, alarm: Alarm) -> bool | None:
        del alarm
        numbers = [side(value) for side in sides]
        if any(math.isnan(number) for number in numbers):
            return None
        return all(test(a, b) for test, a, b in zip(tests, numbers, numbers[1:], strict=False))

    return run


def _number(node: ast.expr) -> _Number:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        constant = float(node.value)  # type: ignore[arg-type]
        return lambda value: constant
    name = _dotted(node)
    if name is not None:
        return lambda value: value(name)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return lambda value: -inner(value)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _arithmetic(_ARITHMETIC[type(node.op)], _number(node.left), _number(node.right))
    raise _fault(node)


def _arithmetic(apply: Callable[[float, float], float], left: _Number, right: _Number) -> _Number:
    def run(value: Value) -> float:
        try:
            return apply(left(value), right(value))
        except (ZeroDivisionError, OverflowError):
            return math.nan

    return run
