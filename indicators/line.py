"""A line of the board: one indicator with its parameters, its newest values by scope and their quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin.indicators.api import Indicator, Spec
from citytwin.indicators.params import Param
from citytwin.indicators.quality import Coverage, Inputs, Standing
from citytwin.models.columns import Bool, Float64, Int32, UInt8
from citytwin.models.frame import Quality, Values

if TYPE_CHECKING:
    from citytwin.indicators.aggregates import Aggregates


@dataclass(eq=False)
class Line:
    """One indicator on the board: its parameters and its newest values by scope.

    `moved`: scopes whose value differs since the last tick, `altered`: whose value, quality or inputs do.
    `aggregates`: where its state is kept: the board's, or those of its plugin. `guarded`: code of a plugin, which is
    switched off when it raises. `again`: all of it is worked out and told at the next tick. `off`: why it is switched
    off, "" while it is on. `cost_us`: moving average of what it takes in a tick (us).
    """

    spec: Spec
    params: dict[str, Param]
    closed_params: dict[str, Param]
    feeds: list[Inputs]
    children: list[str]
    instance: Indicator | None
    aggregates: Aggregates
    guarded: bool = False
    again: bool = False
    off: str = ""
    cost_us: float = 0.0
    value: Float64 = field(default_factory=lambda: np.zeros(0))
    closed: Float64 = field(default_factory=lambda: np.zeros(0))
    #: What the bands are shares of, where the declaration says so.
    scale: Float64 = field(default_factory=lambda: np.zeros(0))
    quality: UInt8 = field(default_factory=lambda: np.zeros(0, np.uint8))
    fresh: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    expected: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    moved: Bool = field(default_factory=lambda: np.zeros(0, np.bool_))
    altered: Bool = field(default_factory=lambda: np.zeros(0, np.bool_))
    restated: Bool = field(default_factory=lambda: np.zeros(0, np.bool_))
    coverage: Coverage | None = None
    _standing: tuple[Int32, Standing] | None = None
    error: str = ""
    detail: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    last_period: int = -1

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        more = n - len(self.value)
        if more > 0:
            self.value = np.append(self.value, np.full(more, np.nan))
            self.closed = np.append(self.closed, np.full(more, np.nan))
            self.scale = np.append(self.scale, np.full(more, np.nan))
            self.quality = np.append(self.quality, np.full(more, Quality.NODATA, np.uint8))
            self.fresh = np.append(self.fresh, np.zeros(more, np.int32))
            self.expected = np.append(self.expected, np.zeros(more, np.int32))
            self.moved, self.altered, self.restated = np.zeros((3, n), np.bool_)
            self.coverage = self._standing = None

    def look(self, now: int) -> Bool | None:
        """Count the inputs again; scopes that may have a number from now on, None when no input moved."""
        for inputs in self.feeds:
            inputs.look(now)
        before = self.coverage
        if not self.feeds or (before is not None and not any(f.moved() for f in self.feeds)):
            return None
        self.coverage = Coverage.of(self.feeds, len(self.value))
        return ~self.coverage.blank if before is None else before.blank & ~self.coverage.blank

    def standing(self, rows: Int32) -> Standing:
        """How far others may count on it at the rows; worked out once for all who ask until it changes."""
        if self._standing is None or self._standing[0] is not rows:
            parts = (self.value[rows], self.quality[rows], self.fresh[rows], self.expected[rows])
            self._standing = (rows, Standing.of(*parts))
        return self._standing[1]

    def adopt(self, values: Values) -> None:
        """Take over values that were worked out elsewhere."""
        for name in ("value", "closed", "quality", "fresh", "expected"):
            getattr(self, name)[values.rows] = getattr(values, name)
        if values.scale is not None:
            self.scale[values.rows] = values.scale
        self.forget_standing()

    def forget_standing(self) -> None:
        """Its values or their quality are others now."""
        self._standing = None


def values_at(line: Line, rows: Int32) -> Values:
    """The line's values at the rows."""
    return Values(
        rows, line.value[rows], line.quality[rows], line.fresh[rows], line.expected[rows], line.restated[rows],
        line.closed[rows], line.scale[rows] if line.spec.of else None,
    )  # fmt: skip
