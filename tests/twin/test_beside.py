"""Districts beside each other, of the real pack and of squares."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import shapely

from citytwin.geo.scopes import ScopeTree
from citytwin.twin.beside import districts_beside
from citytwin.twin.pack import load_city


def squares(*corners: tuple[float, float]) -> Any:
    """A city of square districts of one degree."""
    scopes = ScopeTree()
    city = scopes.add("city", "city", -1)
    rows = np.array([scopes.add(c, c, city) for c, _ in zip("ABCDEF", corners, strict=False)], np.int32)
    shapes = np.array([shapely.box(x, y, x + 1, y + 1) for x, y in corners], object)
    levels = [1] if corners else []
    return SimpleNamespace(levels_with_geometry=lambda: levels, polygons=lambda _: (rows, shapes), scopes=scopes)


def test_squares_that_touch_or_nearly_do() -> None:
    assert districts_beside(squares((0, 0), (1, 0), (2.0005, 0), (9, 9))) == {
        "A": frozenset("B"), "B": frozenset("AC"), "C": frozenset("B"), "D": frozenset(),
    }  # fmt: skip


def test_a_pack_without_borders_knows_no_neighbours() -> None:
    assert districts_beside(squares()) is None


def test_wuhan() -> None:
    city = load_city("wuhan")
    beside = districts_beside(city)
    assert beside is not None
    assert len(beside) == 13
    assert all(a in beside[b] for a, some in beside.items() for b in some)
    name = dict(zip(city.scopes.name, city.scopes.code, strict=True))
    assert {name["江汉区"], name["武昌区"]} <= beside[name["江岸区"]]  # across the Yangtze
    assert name["蔡甸区"] not in beside[name["新洲区"]]
