"""Frame: everything that changed between two ticks, of one log position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from citytwin.models.batch import Rejection
from citytwin.models.columns import Bool, Float64, Int32, UInt8


class Quality(IntEnum):
    """How far a value can be trusted, worst last."""

    GOOD = 0
    PROVISIONAL = 1
    PARTIAL = 2
    STALE = 3
    NODATA = 4
    ERROR = 5


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Values of one indicator that changed: parallel columns over scope rows.

    `value` float64 rounded as declared, NaN = no data; `quality` uint8 of `Quality`; `fresh` of `expected` int32 inputs
    were in time (0 of 0 where inputs are not counted); `restated`: a closed window changed; `closed` float64: the last
    closed window (NaN: none).
    """

    rows: Int32
    value: Float64
    quality: UInt8
    fresh: Int32
    expected: Int32
    restated: Bool
    closed: Float64
    #: What the bands are shares of, by row (None: the bands are values).
    scale: Float64 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """Rows of one twin table that changed, with the columns that pages show (plain JSON values per row)."""

    rows: Int32
    columns: Mapping[str, list[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """All changes of tick `k`: `now` ms UTC, `position` of the log it stems from.

    `refused`: events fed earlier that turned out to be illegal (a case's move, a correction that fits no original).
    """

    k: int
    now: int
    position: int
    values: Mapping[str, Values] = field(default_factory=dict)
    twin: Mapping[str, Delta] = field(default_factory=dict)
    cases: tuple[Mapping[str, Any], ...] = ()
    ticker: tuple[Mapping[str, Any], ...] = ()
    sys: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[Rejection, ...] = ()
    #: Rows of the desk's parts that changed, by part: each with `code`, and `open`: whether it is still shown.
    desk: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
