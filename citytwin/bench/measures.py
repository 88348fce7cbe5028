"""The 20 aggregates of job W, declared as any modeler would declare them."""

from __future__ import annotations

from citytwin.indicators.api import Spec, col, count, distinct, indicator, maximum, mean, minimum
from citytwin.indicators.registry import Registry
from citytwin.models.columns import Float64

EVENT = "bench.reading"
#: A reading above this is over the threshold.
OVER = 60.0
KINDS = ("traffic", "air", "noise", "water", "light", "bin")
LEVELS = "city district grid"
TUMBLING, SLIDING = "tumbling 1m", "sliding 5m/10s"
WINDOWS = {"1m": TUMBLING, "5m": SLIDING}
_GOOD, _HIGH = col.q == "good", col.v1 > OVER


def _windowed(tag: str) -> list[Spec]:
    """The aggregates that are asked under both windows."""

    def declare(name: str, unit: str = "") -> object:
        return indicator(f"w_{name}_{tag}", theme="bench", window=WINDOWS[tag], unit=unit, levels=LEVELS, decimals=3)

    def events(n: Float64 = count(EVENT)) -> Float64:
        return n

    def mean_v1(m: Float64 = mean(EVENT, col.v1, per_unit=100)) -> Float64:
        return m

    def mean_v2(m: Float64 = mean(EVENT, col.v2, per_unit=100)) -> Float64:
        return m

    def over(k: Float64 = count(EVENT, _HIGH), n: Float64 = count(EVENT)) -> Float64:
        return 100 * k / n

    def good(k: Float64 = count(EVENT, _GOOD), n: Float64 = count(EVENT)) -> Float64:
        return 100 * k / n

    def max_v1(m: Float64 = maximum(EVENT, col.v1, per_unit=100)) -> Float64:
        return m

    forms = (events, mean_v1, mean_v2, over, good, max_v1)
    return [declare(f.__name__, "%" if f in (over, good) else "")(f) for f in forms]  # type: ignore[operator]


@indicator("w_devices_1m", theme="bench", window=TUMBLING, levels=LEVELS, decimals=3)
def devices(n: Float64 = distinct(EVENT, col.subject)) -> Float64:
    """Distinct devices."""
    return n


@indicator("w_min_v2_1m", theme="bench", window=TUMBLING, levels=LEVELS, decimals=3)
def lowest(m: Float64 = minimum(EVENT, col.v2, per_unit=100)) -> Float64:
    """Smallest second value."""
    return m


def _of_kind(kind: str) -> Spec:
    @indicator(f"w_{kind}_5m", theme="bench", window=SLIDING, levels=LEVELS, decimals=3)
    def kind_mean(m: Float64 = mean(EVENT, col.v1, col.kind == kind, per_unit=100)) -> Float64:
        return m

    return kind_mean


def registry() -> Registry:
    """All twenty."""
    return Registry([*_windowed("1m"), *_windowed("5m"), devices, lowest, *(_of_kind(k) for k in KINDS)])
