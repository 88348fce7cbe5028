"""Short-term forecasts: Holt-Winters (additive, multiplicative, without season) and seasonal naive, with their errors.

Online: O(1) a value, n series at once in columns; the slot of a value is its number modulo the period, for all alike.
A missing value (NaN) is taken as if it had been as forecast. The recursion is that of R's `HoltWinters` (Holt 1957,
Winters 1960), and so is the start by decomposition of the first two periods, but for the level: R takes the trend line
at the middle of the first period and goes on with the second; here it is taken at the end of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from citytwin.models.anomaly import robust_scale
from citytwin.models.columns import Bool, Float64, Int64

Seasonal = Literal["additive", "multiplicative", "none"]
#: Errors that a slot needs for a spread of its own.
LEAST = 7
State = Mapping[str, NDArray[np.float64] | NDArray[np.bool_] | Int64]


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Weights in 0 to 1 of what is new in level, trend and season, and the season's length in values (1 = none).

    The defaults are local ones for hourly counts of a day (period 24). ValueError for weights outside of 0 to 1, a
    season shorter than 2 values, or a period without a season.
    """

    alpha: float = 0.2
    beta: float = 0.01
    gamma: float = 0.2
    period: int = 24
    seasonal: Seasonal = "additive"

    def __post_init__(self) -> None:
        if not all(0.0 <= w <= 1.0 for w in (self.alpha, self.beta, self.gamma)):
            raise ValueError(f"weights {self.alpha}, {self.beta}, {self.gamma} are not all in [0, 1]")
        if self.period < 1 or (self.period == 1) != (self.seasonal == "none"):
            raise ValueError(f"a period of {self.period} does not go with {self.seasonal!r}: 1 is for 'none' only")


def decompose(history: Float64, period: int, multiplicative: bool) -> tuple[Float64, Float64, Float64]:
    """Level and trend (float64[n]) and season (float64[n, period]) of two periods of values (float64[n, 2 * period]).

    The level is that at the end of the first period, as the recursion wants it that goes on with the second. The trend
    is a straight line through the moving average, the season the mean of what is left by slot, centred.
    """
    # sums are told in time order, series by series alike: a matrix product may round otherwise with other neighbours
    x = history.T
    taps = np.full(period + (period % 2 == 0), 1.0 / period)
    if period % 2 == 0:
        taps[[0, -1]] /= 2
    m, first = len(x) - len(taps) + 1, len(taps) // 2
    average = np.stack([_total(w * x[i + k] for k, w in enumerate(taps)) for i in range(m)])
    off = np.arange(m) - (m - 1) / 2
    trend = _total(o * a for o, a in zip(off, average, strict=True)) / np.sum(off * off)
    level = _total(average) / m + trend * (period - 1 - first - (m - 1) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = x[first : first + m] / average if multiplicative else x[first : first + m] - average
        slot = (first + np.arange(m)) % period
        season = np.stack([_total(rest[slot == s]) / np.sum(slot == s) for s in range(period)])
        centre = _total(season) / period
        season = season / centre if multiplicative else season - centre
    return level, trend, np.where(np.isfinite(season), season, 1.0 if multiplicative else 0.0).T


def _total(rows: Iterable[Float64]) -> Float64:
    """Sum of columns, one after the other."""
    return reduce(np.add, rows)


class HoltWinters:
    """The recursion for n series: `level`, `trend` float64[n], `season` float64[n, period], `t` values taken."""

    def __init__(self, rule: Smoothing, level: Float64, trend: Float64, season: Float64 | None = None) -> None:
        self.rule, self.t = rule, 0
        n, idle = len(level), 1.0 if rule.seasonal == "multiplicative" else 0.0
        self.level, self.trend = level.astype(np.float64), trend.astype(np.float64)
        self.season: Float64 = np.full((n, rule.period), idle) if season is None else season.astype(np.float64)
        if self.season.shape != (n, rule.period) or self.trend.shape != (n,):
            raise ValueError(f"{n} series of period {rule.period} do not go with a season of {self.season.shape}")

    def expected(self, ahead: int = 1) -> Float64:
        """Forecast of the `ahead`-th next value (float64[n])."""
        season = self.season[:, (self.t + ahead - 1) % self.rule.period]
        base = self.level + ahead * self.trend
        return base * season if self.rule.seasonal == "multiplicative" else base + season

    def forecast(self, steps: int) -> Float64:
        """Forecasts of the next values (float64[n, steps])."""
        return np.stack([self.expected(h) for h in range(1, steps + 1)], axis=1)

    def update(self, values: Float64) -> Float64:
        """Take the next value of each series (float64[n], NaN = none); what was forecast for it (float64[n])."""
        rule, slot = self.rule, self.t % self.rule.period
        foreseen, base, old = self.expected(), self.level + self.trend, self.season[:, slot]
        known = np.isfinite(values)
        x = np.where(known, values, 0.0)
        if rule.seasonal == "multiplicative":
            known = known & (old > 0)  # nothing can be divided by a season of 0: such a slot says nothing of the level
            seen = x / np.where(old > 0, old, 1.0)
        else:
            seen = x - old
        level = np.where(known, rule.alpha * seen + (1 - rule.alpha) * base, base)
        self.trend = np.where(known, rule.beta * (level - self.level) + (1 - rule.beta) * self.trend, self.trend)
        if rule.seasonal == "multiplicative":
            known = np.isfinite(values) & (level > 0)
            part = x / np.where(level > 0, level, 1.0)
        else:
            part = x - level
        if rule.seasonal != "none":
            self.season[:, slot] = np.where(known, rule.gamma * part + (1 - rule.gamma) * old, old)
        self.level = level
        self.t += 1
        return foreseen


def _started(rule: Smoothing, history: Float64) -> HoltWinters:
    """The recursion after a whole history (float64[n, 2 * period]; without a season float64[n, m >= 2])."""
    if rule.seasonal == "none":
        model, used = HoltWinters(rule, history[:, 1], history[:, 1] - history[:, 0]), 2
    else:
        model, used = (
            HoltWinters(rule, *decompose(history, rule.period, rule.seasonal == "multiplicative")),
            rule.period,
        )
    for value in history[:, used:].T:
        model.update(value)
    return model


class SeasonalNaive:
    """The forecast that any other must beat: the value of one period ago, NaN where none was; O(1), n series."""

    def __init__(self, n: int, period: int) -> None:
        self.t, self.last = 0, np.full((n, period), np.nan)

    def update(self, values: Float64) -> Float64:
        """Take the next value of each series (float64[n], NaN = none); what was forecast for it (float64[n])."""
        slot = self.t % self.last.shape[1]
        foreseen = self.last[:, slot].copy()
        self.last[:, slot] = np.where(np.isfinite(values), values, foreseen)
        self.t += 1
        return foreseen

    def forecast(self, steps: int) -> Float64:
        """Forecasts of the next values (float64[n, steps])."""
        return self.last[:, (self.t + np.arange(steps)) % self.last.shape[1]]


class Residuals:
    """The last `kept` errors (value - forecast) of each slot of the season: float64[n, period, kept], and the values.

    16 bytes an error: 11 kB a series for 28 days of hours.
    """

    def __init__(self, n: int, period: int, kept: int = 28) -> None:
        self.error, self.value = np.full((n, period, kept), np.nan), np.full((n, period, kept), np.nan)

    def note(self, t: int, values: Float64, foreseen: Float64) -> None:
        """Take what came at number t and what was forecast; NaN where either is missing."""
        _, period, kept = self.error.shape
        at = (slice(None), t % period, t // period % kept)
        self.error[at] = values - foreseen
        self.value[at] = values

    def mae(self) -> Float64:
        """Mean absolute error of one step (float64[n]), NaN without any."""
        return _mean(np.abs(self.error))

    def mape(self) -> Float64:
        """Mean absolute error in percent of the values that are not 0 (float64[n]), NaN without any."""
        share = np.full(self.error.shape, np.nan)
        np.divide(np.abs(self.error), np.abs(self.value), out=share, where=self.value != 0)
        return 100 * _mean(share)

    def spread(self, slots: Int64) -> Float64:
        """Robust standard deviation (1.4826 * MAD) of the errors of each slot (float64[n, len(slots)]), NaN without.

        A slot with fewer than LEAST errors takes that of all slots together.
        """
        part = self.error[:, slots]
        few = np.count_nonzero(~np.isnan(part), axis=2) < LEAST
        if not few.any():
            return robust_scale(part)
        pooled = robust_scale(self.error.reshape(len(part), self.error.shape[1] * self.error.shape[2]))
        return np.where(few, pooled[:, None], robust_scale(part))


def _mean(values: Float64) -> Float64:
    """Mean over all but the first axis of what is known, NaN where nothing is."""
    known = ~np.isnan(values)
    axes = tuple(range(1, values.ndim))
    total, n = np.where(known, values, 0.0).sum(axis=axes), known.sum(axis=axes)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one value told (float64[n]): the forecast made for it, and how many robust spreads of its slot it is above.

    Both are NaN where there is none yet.
    """

    foreseen: Float64
    z: Float64


class Forecaster:
    """Forecasts of n series from nothing: silent for a period, seasonal naive for one more, Holt-Winters from then on.

    A series starts when two whole periods (from slot 0 on) have a value in every slot, the gaps filled by the other
    period's; until then its naive forecast goes on. `errors` are those of the forecasts as they were made.
    """

    def __init__(self, n: int, rule: Smoothing, kept: int = 28) -> None:
        self.rule, self.t = rule, 0
        self.ready: Bool = np.zeros(n, np.bool_)
        self.naive = SeasonalNaive(n, rule.period)
        self.model = HoltWinters(rule, np.full(n, np.nan), np.full(n, np.nan))
        self.errors = Residuals(n, rule.period, kept)
        self._lead = max(2, rule.period)  # values of one half of the start; without a season it takes four values
        self._warm = np.full((n, 2, self._lead), np.nan)

    def update(self, values: Float64, floor: ArrayLike = 0.0) -> Step:
        """Take the next value of each series (float64[n], NaN = none). `floor`: least spread, in the values' unit."""
        naive, smooth = self.naive.update(values), self.model.update(values)
        foreseen = np.where(self.ready, smooth, naive)
        spread = np.maximum(self.errors.spread(np.array([self.t % self.rule.period]))[:, 0], floor)
        with np.errstate(divide="ignore", invalid="ignore"):
            off = values - foreseen
            z = np.where(off == 0, 0.0, off / spread)
        self.errors.note(self.t, values, foreseen)
        if not self.ready.all():
            self._warm[:, self.t // self._lead % 2, self.t % self._lead] = values
        self.t += 1
        if self.t % self._lead == 0 and self.t >= 2 * self._lead and not self.ready.all():
            self._start()
        return Step(foreseen, z)

    def _start(self) -> None:
        """Begin the recursion of the series that have two periods."""
        new = self.t // self._lead % 2 ^ 1
        first, second = self._warm[:, new ^ 1], self._warm[:, new]
        begun = np.isfinite(first).any(axis=1) & np.isfinite(second).any(axis=1)
        first, second = np.where(np.isnan(first), second, first), np.where(np.isnan(second), first, second)
        both = np.concatenate([first, second], axis=1)
        rows = np.flatnonzero(~self.ready & begun & np.isfinite(both).all(axis=1))
        fresh = _started(self.rule, both[rows])
        self.model.level[rows], self.model.trend[rows] = fresh.level, fresh.trend
        self.model.season[rows] = fresh.season
        self.ready[rows] = True

    def forecast(self, steps: int) -> Float64:
        """Forecasts of the next values (float64[n, steps]), NaN where there is none yet."""
        return np.where(self.ready[:, None], self.model.forecast(steps), self.naive.forecast(steps))

    def spread(self, steps: int) -> Float64:
        """Robust spread of one-step errors in the slots of the next values (float64[n, steps]): at least so far off."""
        return self.errors.spread((self.t + np.arange(steps)) % self.rule.period)

    def resize(self, n: int) -> None:
        """Make room for n series; the new ones start from nothing."""
        fresh = Forecaster(n, self.rule, self.errors.error.shape[2]).state()
        for name, old in self.state().items():
            if name != "t":
                fresh[name][: len(old)] = old
        self.load(fresh | {"t": np.array([self.t])})

    def state(self) -> dict[str, NDArray[np.float64] | NDArray[np.bool_] | Int64]:
        """Arrays for a snapshot."""
        return {
            "t": np.array([self.t]),
            "ready": self.ready.copy(),
            "last": self.naive.last.copy(),
            "level": self.model.level.copy(),
            "trend": self.model.trend.copy(),
            "season": self.model.season.copy(),
            "error": self.errors.error.copy(),
            "value": self.errors.value.copy(),
            "warm": self._warm.copy(),
        }

    def load(self, state: State) -> None:
        """Restore."""
        self.t = self.naive.t = self.model.t = int(state["t"][0])
        self.ready = state["ready"].astype(np.bool_)
        self.naive.last = state["last"].astype(np.float64)
        self.model.level, self.model.trend = state["level"].astype(np.float64), state["trend"].astype(np.float64)
        self.model.season = state["season"].astype(np.float64)
        self.errors.error, self.errors.value = state["error"].astype(np.float64), state["value"].astype(np.float64)
        self._warm = state["warm"].astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """One-step errors of a forecast over a history: `mae` and `mape` (%) float64[n], the naive one's MAE beside it, and
    the robust spread by slot of the season float64[n, period]."""

    mae: Float64
    mape: Float64
    naive_mae: Float64
    spread: Float64


def backtest(rule: Smoothing, history: Float64) -> Backtest:
    """Errors of a `Forecaster` that sees a history value by value (float64[n, m], NaN = missing).

    Both MAEs are over the values from the third period on, which both could forecast.
    """
    n, m = history.shape
    run, naive = Forecaster(n, rule, max(1, -(-m // rule.period))), SeasonalNaive(n, rule.period)
    both = Residuals(n, rule.period, run.errors.error.shape[2])
    skip = 2 * max(2, rule.period)
    for t in range(m):
        run.update(history[:, t])
        before = naive.update(history[:, t])
        both.note(t, history[:, t], before if t >= skip else np.full(n, np.nan))
        if t + 1 == skip:
            run.errors.error[:] = np.nan
    return Backtest(run.errors.mae(), run.errors.mape(), both.mae(), run.errors.spread(np.arange(rule.period)))
