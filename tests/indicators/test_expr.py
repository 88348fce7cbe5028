"""Expressions: missing values, codes, canonical text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from citytwin.indicators.expr import Expr, Space, as_mask, as_numbers, pinned_code
from citytwin.models.columns import Coded

col, row = Space("col"), Space("row")


class Env:
    def get(self, space: str, name: str) -> Any:
        columns = {
            "a": np.array([1.0, np.nan, 3.0, 0.0]), "b": np.array([1.0, 2.0, np.nan, 0.0]),
            "c": Coded.of(["x", None, "y", "x"]), "d": Coded.of(["x", None, "x", "y"]),
        }  # fmt: skip
        return columns[name]


def mask(expr: Expr) -> list[bool]:
    return [bool(b) for b in as_mask(expr.evaluate(Env()), 4)]


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        (col.a == 1, [True, False, False, False]), (col.a != 1, [False, False, True, True]),
        (col.a >= col.b, [True, False, False, True]), (col.a.known(), [True, False, True, True]),
        (col.a, [True, False, True, False]), (~(col.a == 1), [False, True, True, True]),
        (col.c == "x", [True, False, False, True]), (col.c != "x", [False, False, True, False]),
        (col.c == "z", [False] * 4), (col.c == col.d, [True, False, False, False]),
        (col.c.isin(["y", "z"]), [False, False, True, False]), (col.a.isin([0, 3]), [False, False, True, True]),
        (col.c.known() & (col.a > 0), [True, False, True, False]),
        ((col.a == 1) | (col.b == 2), [True, True, False, False]),
    ],
)  # fmt: skip
def test_conditions(expr: Expr, wanted: list[bool]) -> None:
    assert mask(expr) == wanted


def test_numbers() -> None:
    table = col.c.lookup({"x": 2, "y": 3}, -1)
    assert as_numbers(table.evaluate(Env()), 4).tolist() == [2, -1, 3, 2]
    mixed = (col.a + 1).where(col.c == "x", col.b * 2 - 1)
    assert np.array_equal(as_numbers(mixed.evaluate(Env()), 4), [2, 3, np.nan, 1], equal_nan=True)
    assert as_numbers((10 - col.b.clip(0, 1)).floor().evaluate(Env()), 4)[0] == 9
    with pytest.raises(TypeError, match="lookup"):
        as_numbers(col.c.evaluate(Env()), 4)


def test_declarations_have_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"& \| ~"):
        bool(col.a == 1)


def test_a_pinned_property_is_found_only_where_it_must_hold() -> None:
    pinned = row.property == "rain.depth"
    assert pinned_code(pinned & (row.value > 1), "row", "property") == "rain.depth"
    assert pinned_code(pinned | (row.value > 1), "row", "property") is None
    assert pinned_code(~pinned, "row", "property") is None
    assert pinned_code(None, "row", "property") is None
    other = (row.value.where(row.value > 0, 1) > 0) & ((row.value > 1) | (row.value < 0))
    assert pinned_code(other & pinned, "row", "property") == "rain.depth"
    assert pinned_code(other & (row.value == pinned), "row", "property") is None
    assert pinned_code(row.property != "rain.depth", "row", "property") is None
