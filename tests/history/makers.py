"""Rows, frames and a small scope tree for the tests of the history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import Coded
from citytwin.models.frame import Frame, Quality, Values
from citytwin.streams.history import BEAT, Points, Rows

HOUR = 3_600_000
#: A full hour, 2026-03-01T08:00:00Z.
T0 = 1_772_352_000_000


def rows(*given: tuple[int, str, str, float], quality: int = 0) -> Rows:
    """Rows of (time, indicator, scope, value); NaN has no data."""
    time, indicator, scope, value = zip(*given, strict=True) if given else ((), (), (), ())
    grade = [Quality.NODATA if math.isnan(v) else quality for v in value]
    return Rows(
        np.array(time, np.int64), Coded.of(indicator), Coded.of(scope), np.zeros(len(time), np.int8),
        np.array(value, np.float64), np.array(grade, np.uint8),
    )  # fmt: skip


def beat(time: int, *, whole: bool = False) -> Rows:
    """The beat of a block."""
    return rows((time, BEAT, "42", float(whole)))


def told(points: Points) -> list[tuple[int, float | None]]:
    """Times and values, None for no data."""
    return [(t, None if math.isnan(v) else v) for t, v in zip(points.time.tolist(), points.value.tolist(), strict=True)]


def town() -> ScopeTree:
    """A city 42 with districts 01 and 02, a street 0101, a community 010101."""
    tree = ScopeTree()
    city = tree.add("42", "城", -1)
    one = tree.add("4201", "一区", city)
    tree.add("4202", "二区", city)
    tree.add("420101001", "街道", one)
    tree.add("420101001001", "社区", 3)
    return tree


def values(cells: Mapping[int, float], quality: int = 0) -> Values:
    """Values by scope row."""
    n = len(cells)
    value = np.array(list(cells.values()), np.float64)
    return Values(
        np.array(list(cells), np.int32), value, np.where(np.isnan(value), Quality.NODATA, quality).astype(np.uint8),
        np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.bool_), np.full(n, np.nan),
    )  # fmt: skip


def frame(now: int, cells: Mapping[str, Mapping[int, float]], *, provisional: bool = False) -> Frame:
    """A frame of values by indicator and scope row."""
    sys = {"provisional": True} if provisional else {}
    return Frame(now, now, now, values={id: values(v) for id, v in cells.items()}, sys=sys)


def sorted_rows(parts: Sequence[Rows]) -> list[tuple[int, str | None, str | None, float]]:
    """(time, indicator, scope, value) of all rows but beats, in order of time."""
    out: list[tuple[int, str | None, str | None, float]] = []
    for r in parts:
        columns = (r.time.tolist(), r.indicator.tolist(), r.scope.tolist(), r.value.tolist())
        out += [row for row in zip(*columns, strict=True) if row[1] != BEAT]
    return sorted(out, key=str)
