"""Forecasts against R's published fits, statsmodels, and a plain recursion in Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.columns import Float64
from citytwin.models.forecast import (
    Forecaster,
    HoltWinters,
    Residuals,
    SeasonalNaive,
    Smoothing,
    backtest,
    decompose,
)
from tests.models.series import AIR_PASSENGERS, AUSTRES, CO2

Figure = Callable[[str, float, str], None]


def run(model: HoltWinters, values: Float64) -> float:
    """Feed values of one series; the sum of squared errors."""
    return sum(float(v - model.update(np.array([v]))[0]) ** 2 for v in values)


def test_additive_recursion_equals_r() -> None:
    season = np.array([[-20.0, -15, 5, 0, -2, 12, 25, 24, 8, -10, -25, -2]])
    model = HoltWinters(Smoothing(0.3, 0.05, 0.4, 12), np.array([126.0]), np.array([1.0]), season)
    sse = run(model, AIR_PASSENGERS[12:])  # R takes the first period for the start
    assert model.level[0] == pytest.approx(493.29765505605, abs=1e-9)
    assert model.trend[0] == pytest.approx(3.49189623075, abs=1e-9)
    assert sse == pytest.approx(53453.3934732, abs=1e-7)
    says = [465.985576, 453.289731, 502.308656, 513.356096, 525.181247, 579.314768]
    assert model.forecast(6)[0].round(6).tolist() == says


def test_recursion_without_season_equals_r() -> None:
    # R: HoltWinters(austres, gamma=FALSE), which starts from the second value and the first step
    model = HoltWinters(Smoothing(1.0, 0.4062519, 0.0, 1, "none"), AUSTRES[1:2], AUSTRES[1:2] - AUSTRES[:1])
    run(model, AUSTRES[2:])
    got = (model.level[0], model.trend[0].round(4), model.forecast(1)[0, 0].round(2))
    assert got == (17661.5, 43.2471, 17704.75)


def as_r_starts(history: Float64, rule: Smoothing) -> HoltWinters:
    """Ours, but with the level at the middle of the first period."""
    level, trend, season = decompose(history[None], rule.period, rule.seasonal == "multiplicative")
    return HoltWinters(rule, level - trend * rule.period / 2, trend, season)


def test_additive_fit_of_r_from_its_own_start() -> None:
    model = as_r_starts(CO2[:24], Smoothing(0.512648, 0.009498, 0.472887, 12))
    run(model, CO2[12:])
    assert (model.level[0].round(5), model.trend[0].round(5)) == (364.76163, 0.12474)  # 364.76162 by all its digits
    model = as_r_starts(CO2[:24], Smoothing(0.512648, 0.009497669, 0.472887, 12))
    run(model, CO2[12:])
    assert (model.level[0].round(5), model.trend[0].round(5)) == (364.76162, 0.12474)


def test_multiplicative_fit_of_r_from_its_own_start() -> None:
    # the example of R's help page: HoltWinters(AirPassengers, seasonal = "mult")
    model = as_r_starts(AIR_PASSENGERS[:24], Smoothing(0.2755925, 0.03269295, 0.8707292, 12, "multiplicative"))
    run(model, AIR_PASSENGERS[12:])
    assert (model.level[0].round(5), model.trend[0].round(6)) == (469.32322, 3.021539)
    says = [0.9464611, 0.8829239, 0.9717369, 1.0304825, 1.0476884, 1.1805272]
    says += [1.3590778, 1.3331706, 1.1083381, 0.9868813, 0.8361333, 0.9209877]
    assert model.season[0] == pytest.approx(says, abs=1e-7)


@pytest.mark.parametrize("seasonal", ["additive", "multiplicative"])
def test_statsmodels_forecasts_the_same(seasonal: str) -> None:
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    alpha, beta = 0.3, 0.05
    # statsmodels corrects the season by the error of the forecast, R by what is left of it after the level moved
    gamma = 0.4 if seasonal == "additive" else 0.0
    season = AIR_PASSENGERS[:12] - 126.0 if seasonal == "additive" else AIR_PASSENGERS[:12] / 126.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ExponentialSmoothing(
            AIR_PASSENGERS[12:],
            trend="add",
            seasonal="add" if seasonal == "additive" else "mul",
            seasonal_periods=12,
            initialization_method="known",
            initial_level=126.0,
            initial_trend=1.0,
            initial_seasonal=season,
        ).fit(smoothing_level=alpha, smoothing_trend=beta, smoothing_seasonal=gamma * (1 - alpha), optimized=False)
    rule = Smoothing(alpha, beta, gamma, 12, "additive" if seasonal == "additive" else "multiplicative")
    model = HoltWinters(rule, np.array([126.0]), np.array([1.0]), season[None])
    foreseen = [float(model.update(np.array([v]))[0]) for v in AIR_PASSENGERS[12:]]
    assert foreseen == pytest.approx(fit.fittedvalues.tolist(), rel=1e-9)
    assert model.season[0].tolist() == pytest.approx(fit.season[-12:].tolist(), rel=1e-9, abs=1e-9)
    # the last one of its period statsmodels 0.15 forecasts by a season that is one period old
    assert model.forecast(11)[0].tolist() == pytest.approx(fit.forecast(11).tolist(), rel=1e-9)


@given(st.lists(st.floats(1, 1000), min_size=12, max_size=40), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_multiplicative_recursion_is_the_textbooks(xs: list[float], alpha: float, beta: float, gamma: float) -> None:
    level, trend, season = xs[0], 0.5, [0.8, 1.0, 1.3, 0.9]
    rule = Smoothing(alpha, beta, gamma, 4, "multiplicative")
    model = HoltWinters(rule, np.array([level]), np.array([trend]), np.array([season]))
    for t, x in enumerate(xs):
        s = season[t % 4]
        assert model.update(np.array([x]))[0] == pytest.approx((level + trend) * s, rel=1e-9, abs=1e-9)
        before = level
        level = alpha * x / s + (1 - alpha) * (level + trend) if s > 0 else level + trend
        trend = beta * (level - before) + (1 - beta) * trend if s > 0 else trend
        season[t % 4] = gamma * x / level + (1 - gamma) * s if level > 0 else s
    assert model.level[0] == pytest.approx(level, rel=1e-9, abs=1e-9)


def test_series_do_not_know_each_other() -> None:
    rng = np.random.default_rng(3)
    values = rng.poisson(20, (5, 60)).astype(np.float64)
    rule = Smoothing(period=6)
    together = Forecaster(5, rule)
    alone = [Forecaster(1, rule) for _ in range(5)]
    for t in range(60):
        got = together.update(values[:, t])
        each = [f.update(values[i : i + 1, t]) for i, f in enumerate(alone)]
        assert np.array_equal(got.foreseen, np.concatenate([e.foreseen for e in each]), equal_nan=True)
        assert np.array_equal(got.z, np.concatenate([e.z for e in each]), equal_nan=True)


def test_decomposition_of_a_pure_series_is_exact() -> None:
    for period in (4, 5, 12, 24, 7):
        t = np.arange(2 * period, dtype=np.int64)
        season: Float64 = np.sin(np.arange(float(period)) * 2 * np.pi / period)
        season -= season.mean()
        level, trend, got = decompose((100 + 2.0 * t + season[t % period])[None], period, multiplicative=False)
        assert (level[0], trend[0]) == pytest.approx((100 + 2 * (period - 1), 2.0))
        assert got[0] == pytest.approx(season)
        factor = 1 + 0.5 * season
        level, trend, got = decompose((100 * factor[t % period])[None], period, multiplicative=True)
        assert (level[0], trend[0]) == pytest.approx((100.0, 0.0))
        assert got[0] == pytest.approx(factor)


@pytest.mark.parametrize("seasonal", ["additive", "multiplicative"])
def test_a_pure_series_is_forecast_without_error(seasonal: str) -> None:
    rule = Smoothing(period=24, seasonal="additive" if seasonal == "additive" else "multiplicative")
    t = np.arange(24 * 6)
    wave = np.sin(2 * np.pi * t / 24)
    values = 200 + 0.5 * t + 50 * wave if seasonal == "additive" else 200 * (1 + 0.5 * wave)
    model = Forecaster(1, rule)
    steps = [model.update(values[i : i + 1]) for i in range(len(t))]
    assert np.isnan([s.foreseen[0] for s in steps[:24]]).all()
    assert [s.foreseen[0] for s in steps[24:48]] == values[:24].tolist()  # a naive day
    assert [s.foreseen[0] for s in steps[48:]] == pytest.approx(values[48:].tolist())
    assert model.errors.mae()[0] < 50


def test_a_series_without_season_starts_after_four_values() -> None:
    model = Forecaster(1, Smoothing(alpha=0.5, beta=0.5, period=1, seasonal="none"))
    foreseen = [float(model.update(np.array([10.0 + 3 * t])).foreseen[0]) for t in range(8)]
    assert foreseen[4:] == pytest.approx([22.0, 25.0, 28.0, 31.0])
    assert model.forecast(2)[0].tolist() == pytest.approx([34.0, 37.0])


def test_gaps_are_bridged_and_never_spread() -> None:
    rule = Smoothing(period=4)
    t = np.arange(48)
    values = np.stack([50 + 10.0 * np.cos(np.pi * t / 2)] * 3)
    values[1, [2, 9, 20, 21, 33]] = np.nan
    values[2, :] = np.nan
    model = Forecaster(3, rule)
    for column in values.T:
        model.update(column)
    assert model.ready.tolist() == [True, True, False]
    assert model.forecast(4)[1] == pytest.approx(values[0, :4])
    assert np.isnan(model.forecast(4)[2]).all()
    values[2, 0] = 7.0
    model.update(np.array([60.0, np.nan, 7.0]))
    assert np.isnan(model.forecast(3)[2]).all()
    assert model.forecast(4)[2, 3] == 7.0


def test_counts_of_zero_do_not_divide() -> None:
    rule = Smoothing(period=3, seasonal="multiplicative")
    model = Forecaster(2, rule)
    for t in range(60):
        step = model.update(np.array([0.0, 5.0 * (t % 3 == 0)]))
        assert not np.isinf(step.foreseen).any()
    assert np.isfinite(model.forecast(6)).all()


def test_z_is_by_the_spread_of_the_slot() -> None:
    rng = np.random.default_rng(4)
    period = 4
    model = Forecaster(1, Smoothing(0.1, 0.0, 0.1, period), kept=28)
    noise = np.array([1.0, 5.0, 20.0, 1.0])
    for t in range(period * 40):
        model.update(np.array([100 + 10 * (t % period) + rng.normal(0, noise[t % period])]))
    spread = model.spread(period)[0]
    assert spread[2] > 2 * spread[1] > 4 * spread[0]
    error = model.errors.error[0, 0]
    expected = 1.4826 * np.median(np.abs(error - np.median(error)))
    assert spread[0] == pytest.approx(expected)
    forecast = model.forecast(1)[0, 0]
    assert model.update(np.array([forecast + 5 * spread[0]])).z[0] == pytest.approx(5.0)


def test_a_floor_keeps_quiet_series_quiet() -> None:
    model = Forecaster(2, Smoothing(period=2))
    for _ in range(40):
        model.update(np.array([3.0, 3.0]), floor=1.0)
    assert model.update(np.array([4.0, 3.0]), floor=1.0).z.tolist() == pytest.approx([1.0, 0.0])


def test_errors_are_means_of_what_was_forecast() -> None:
    errors = Residuals(2, 2, 3)
    for t, (value, foreseen) in enumerate([(10.0, 8.0), (0.0, 1.0), (20.0, 25.0), (4.0, np.nan)]):
        errors.note(t, np.array([value, np.nan]), np.array([foreseen, 1.0]))
    assert errors.mae()[0] == pytest.approx((2 + 1 + 5) / 3)
    assert errors.mape()[0] == pytest.approx(100 * (0.2 + 0.25) / 2)
    assert np.isnan([errors.mae()[1], errors.mape()[1], errors.spread(np.array([0]))[1, 0]]).all()
    for t in range(4, 12):  # the ring forgets
        errors.note(t, np.array([5.0, 5.0]), np.array([4.0, 5.0]))
    assert errors.mae().tolist() == [1.0, 0.0]


def test_backtest_tells_whether_the_model_is_worth_it() -> None:
    rng = np.random.default_rng(5)
    t = np.arange(24 * 28)
    base = 40 + 20 * np.sin(2 * np.pi * t / 24) + 10 * np.sin(2 * np.pi * (t - 5) / 12)
    history = rng.poisson(np.maximum(base, 1), (20, len(t))).astype(np.float64)
    found = backtest(Smoothing(), history)
    assert found.spread.shape == (20, 24)
    assert (found.mae < found.naive_mae).all()
    assert (found.mape > 0).all()
    # a plain loop over the first series says the same
    model, seen = Forecaster(1, Smoothing()), []
    for i, x in enumerate(history[0]):
        foreseen = model.update(np.array([x])).foreseen[0]
        if i >= 48:
            seen.append(abs(x - foreseen))
    assert found.mae[0] == pytest.approx(np.mean(seen))
    naive = np.abs(history[:, 48:] - history[:, 24:-24]).mean(axis=1)
    assert found.naive_mae == pytest.approx(naive)


def test_passengers_are_forecast_better_than_naively() -> None:
    rule = Smoothing(0.3, 0.05, 0.4, 12, "multiplicative")
    found = backtest(rule, AIR_PASSENGERS[None])
    assert found.mae[0] < 0.5 * found.naive_mae[0]
    assert found.mape[0] < 5


def test_a_forecaster_goes_on_from_its_state_and_grows() -> None:
    rng = np.random.default_rng(6)
    values = rng.poisson(15, (3, 80)).astype(np.float64)
    whole, half = Forecaster(3, Smoothing(period=5)), Forecaster(3, Smoothing(period=5))
    for t in range(33):
        whole.update(values[:, t])
        half.update(values[:, t])
    rest = Forecaster(0, Smoothing(period=5))
    rest.load(half.state())
    rest.resize(4)
    fresh = Forecaster(1, Smoothing(period=5))
    fresh.t = fresh.naive.t = fresh.model.t = 33
    for t in range(33, 80):
        more = np.append(values[:, t], values[0, t])
        a, b, c = whole.update(values[:, t]), rest.update(more), fresh.update(values[:1, t])
        assert np.array_equal(b.foreseen, np.append(a.foreseen, c.foreseen), equal_nan=True)
        assert np.array_equal(b.z, np.append(a.z, c.z), equal_nan=True)
    assert rest.ready.all()


def test_seasonal_naive_keeps_the_old_where_none_came() -> None:
    naive = SeasonalNaive(1, 2)
    seen = [float(naive.update(np.array([v]))[0]) for v in (1.0, 2.0, np.nan, 4.0, 5.0)]
    assert seen == pytest.approx([np.nan, np.nan, 1.0, 2.0, 1.0], nan_ok=True)
    assert naive.forecast(3).tolist() == [[4.0, 5.0, 4.0]]


def test_rules_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="not all in"):
        Smoothing(alpha=1.5)
    with pytest.raises(ValueError, match="does not go with"):
        Smoothing(period=1)
    with pytest.raises(ValueError, match="does not go with"):
        Smoothing(period=24, seasonal="none")
    with pytest.raises(ValueError, match="do not go with"):
        HoltWinters(Smoothing(period=3), np.zeros(2), np.zeros(2), np.zeros((2, 4)))


def test_a_step_of_many_series_is_cheap(figure: Figure) -> None:
    import timeit

    model = Forecaster(1000, Smoothing())
    values = np.random.default_rng(7).poisson(9, (1000, 200)).astype(np.float64)
    for t in range(190):
        model.update(values[:, t])
    took = min(timeit.repeat(lambda: model.model.update(values[:, 0]), number=20, repeat=5)) / 20
    figure("Holt-Winters, one value for each of 1,000 series", took * 1e6, "us")
    took = min(timeit.repeat(lambda: model.update(values[:, 1]), number=5, repeat=5)) / 5
    figure("the same with errors, spread and z", took * 1e3, "ms")
