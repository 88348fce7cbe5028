"""Log-bucket quantiles: within 1 % of the exact one, equal in any merge order, subtractable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.indicators.buckets import bucket_of, value_of
from citytwin.indicators.histograms import Histograms
from citytwin.models.columns import Float64, Int64

#: Three scopes of their own below the city.
TREE = np.array([[0, -1], [0, 1], [0, 2], [0, 3]], np.int32)


def quantiles(scope: Int64, bucket: Int64, q: float) -> Float64:
    """The quantile at the four scopes of TREE."""
    held = Histograms(q)
    held.resize(len(TREE))
    held.add(scope, bucket, np.ones(len(bucket), np.int64))
    held.settle(TREE)
    return held.total.data.copy()


@pytest.mark.parametrize("shape", ["lognormal", "uniform", "exponential"])
@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 0.95, 1.0])
def test_the_error_is_at_most_one_percent(shape: str, q: float) -> None:
    rng = np.random.Generator(np.random.Philox(key=3))
    values = {
        "lognormal": rng.lognormal(3, 2, 20_001), "uniform": rng.random(20_001) * 500,
        "exponential": rng.exponential(40, 20_001),
    }[shape]  # fmt: skip
    bucket = bucket_of(values)
    got = quantiles(np.zeros(len(bucket), np.int64), bucket, q)[0]
    exact = np.sort(values)[int(q * 20_000)]
    assert abs(got - exact) <= 0.0100001 * exact


@given(st.lists(st.floats(1e-5, 1e9), min_size=1, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_merging_in_any_order_gives_the_same(values: list[float], random: object) -> None:
    bucket = bucket_of(np.array(values))
    order = np.random.Generator(np.random.Philox(key=len(values))).permutation(len(values))
    scope = np.zeros(len(values), np.int64)
    assert quantiles(scope, bucket, 0.9)[0] == quantiles(scope, bucket[order], 0.9)[0]


@given(st.floats(1e-5, 1e10))
def test_a_bucket_stands_for_its_values(value: float) -> None:
    stands = value_of(bucket_of(np.array([value])))[0]
    assert abs(stands - value) <= 0.0100001 * value


def test_scopes_are_apart_and_nothing_is_nan() -> None:
    got = quantiles(np.array([2, 2, 1]), bucket_of(np.array([1.0, 100.0, 5.0])), 1.0)
    assert np.isnan(got[3])
    assert np.allclose(got[:3], [100, 5, 100], rtol=0.01)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(1e-5, 1e9)), min_size=2, max_size=60), st.integers(1, 59))
@settings(max_examples=200, deadline=None)
def test_what_is_taken_out_leaves_what_was_never_in(pairs: list[tuple[int, float]], gone: int) -> None:
    scope, bucket = np.array([s for s, _ in pairs]), bucket_of(np.array([v for _, v in pairs]))
    gone = gone % len(pairs)
    held = Histograms(0.5)
    held.resize(len(TREE))
    held.add(scope, bucket, np.ones(len(pairs), np.int64))
    held.settle(TREE)
    held.add(scope[:gone], bucket[:gone], np.full(gone, -1))
    held.settle(TREE)
    assert np.array_equal(held.total.data, quantiles(scope[gone:], bucket[gone:], 0.5), equal_nan=True)
