"""Log-bucket quantiles: within 1 % of the exact one, equal in any merge order, subtractable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.indicators.quantile import bucket_of, from_buckets, value_of


@pytest.mark.parametrize("shape", ["lognormal", "uniform", "exponential"])
@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 0.95, 1.0])
def test_the_error_is_at_most_one_percent(shape: str, q: float) -> None:
    rng = np.random.Generator(np.random.Philox(key=3))
    values = {
        "lognormal": rng.lognormal(3, 2, 20_001), "uniform": rng.random(20_001) * 500,
        "exponential": rng.exponential(40, 20_001),
    }[shape]  # fmt: skip
    bucket = bucket_of(values)
    got = from_buckets(np.zeros(len(bucket), np.int64), bucket, np.ones(len(bucket), np.int64), q, 1)[0]
    exact = np.sort(values)[int(q * 20_000)]
    assert abs(got - exact) <= 0.0100001 * exact


@given(st.lists(st.floats(1e-5, 1e9), min_size=1, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_merging_in_any_order_gives_the_same(values: list[float], random: object) -> None:
    bucket = bucket_of(np.array(values))
    order = np.random.Generator(np.random.Philox(key=len(values))).permutation(len(values))
    scope, one = np.zeros(len(values), np.int64), np.ones(len(values), np.int64)
    assert from_buckets(scope, bucket, one, 0.9, 1)[0] == from_buckets(scope, bucket[order], one, 0.9, 1)[0]


@given(st.floats(1e-5, 1e10))
def test_a_bucket_stands_for_its_values(value: float) -> None:
    stands = value_of(bucket_of(np.array([value])))[0]
    assert abs(stands - value) <= 0.0100001 * value


def test_scopes_are_apart_and_nothing_is_nan() -> None:
    scope, bucket = np.array([2, 2, 0]), bucket_of(np.array([1.0, 100.0, 5.0]))
    got = from_buckets(scope, bucket, np.ones(3, np.int64), 1.0, 4)
    assert np.isnan(got[[1, 3]]).all()
    assert np.allclose(got[[0, 2]], [5, 100], rtol=0.01)
