"""Parameters of formulas: each wraps the state of one aggregate under one window and gives float64 values by scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from citytwin.indicators.distinct import DistinctWindow
from citytwin.indicators.panes import Extreme, SumWindow
from citytwin.indicators.quantile import Quantile
from citytwin.indicators.rolled import Rolled
from citytwin.indicators.tally import Tally
from citytwin.models.columns import MISSING, Bool, Float64


class Param(Protocol):
    """Values of one parameter, and which scopes changed in this tick."""

    def values(self) -> Float64: ...

    def changed(self) -> Bool: ...

    def stirred(self) -> bool: ...


@dataclass(eq=False)
class SumParam:
    """A count or an exact sum."""

    view: SumWindow
    per_unit: int

    def values(self) -> Float64:
        """Totals in units; 0 for nothing."""
        return self.view.rolled.total.data / self.per_unit

    def changed(self) -> Bool:
        """Scopes that moved."""
        flags: Bool = self.view.rolled.changed.data
        return flags

    def stirred(self) -> bool:
        """Whether any scope may have moved."""
        return self.view.rolled.changed.stirred


@dataclass(eq=False)
class MeanParam:
    """Sum divided by count."""

    total: SumWindow
    counted: SumWindow
    per_unit: int

    def values(self) -> Float64:
        """Means; NaN for nothing."""
        n = self.counted.rolled.total.data
        with np.errstate(all="ignore"):
            return np.where(n > 0, self.total.rolled.total.data / self.per_unit / n, np.nan)

    def changed(self) -> Bool:
        """Scopes that moved."""
        flags: Bool = self.total.rolled.changed.data | self.counted.rolled.changed.data
        return flags

    def stirred(self) -> bool:
        """Whether any scope may have moved."""
        return self.total.rolled.changed.stirred or self.counted.rolled.changed.stirred


@dataclass(eq=False)
class ExtremeParam:
    """Largest or smallest."""

    state: Extreme

    def values(self) -> Float64:
        """Extremes in units; NaN for nothing."""
        total = self.state.rolled.total.data
        return np.where(total == MISSING, np.nan, total * self.state.sign / self.state.per_unit)

    def changed(self) -> Bool:
        """Scopes that moved."""
        flags: Bool = self.state.rolled.changed.data
        return flags

    def stirred(self) -> bool:
        """Whether any scope may have moved."""
        return self.state.rolled.changed.stirred


@dataclass(eq=False)
class QuantileParam:
    """A quantile."""

    state: Quantile

    def values(self) -> Float64:
        """Quantiles; NaN for nothing."""
        out: Float64 = self.state.rolled.total.data
        return out

    def changed(self) -> Bool:
        """Scopes that moved."""
        flags: Bool = self.state.rolled.changed.data
        return flags

    def stirred(self) -> bool:
        """Whether any scope may have moved."""
        return self.state.rolled.changed.stirred


@dataclass(eq=False)
class DistinctParam:
    """A distinct count."""

    state: DistinctWindow

    def values(self) -> Float64:
        """Counts."""
        return self.state.values()

    def changed(self) -> Bool:
        """Scopes that moved."""
        flags: Bool = self.state.rolled.changed.data
        return flags

    def stirred(self) -> bool:
        """Whether any scope may have moved."""
        return self.state.rolled.changed.stirred


@dataclass(eq=False)
class StreamsParam:
    """Datastreams that are expected, were heard or are in time."""

    total: Rolled

    def values(self) -> Float64:
        """Numbers of them."""
        return self.total.total.data.astype(np.float64)

    def changed(self) -> Bool:
        """Scopes that moved."""
        flags: Bool = self.total.changed.data
        return flags

    def stirred(self) -> bool:
        """Whether any scope may have moved."""
        return self.total.changed.stirred


@dataclass(eq=False)
class TallyParam:
    """A row aggregate."""

    state: Tally

    def values(self) -> Float64:
        """Totals in units."""
        return self.state.values()

    def changed(self) -> Bool:
        """Scopes that moved."""
        flags: Bool = self.state.changed.data
        return flags

    def stirred(self) -> bool:
        """Whether any scope may have moved."""
        return self.state.changed.stirred
