"""Classes of surface water at, just inside and just outside every limit."""

from __future__ import annotations

import numpy as np
import pytest

from citytwin.models.water import CLASSES, LIMITS, MORE_IS_BETTER, factor_class, section_class


@pytest.mark.parametrize("factor", LIMITS)
def test_a_limit_belongs_to_the_best_class_that_has_it(factor: str) -> None:
    worse = -0.001 if factor in MORE_IS_BETTER else 0.001
    for limit in LIMITS[factor]:
        best = LIMITS[factor].index(limit) + 1
        last = 5 - LIMITS[factor][::-1].index(limit)
        assert factor_class(factor, np.array([limit]))[0] == best
        assert factor_class(factor, np.array([limit + worse]))[0] == last + 1


def test_the_worst_factor_decides_and_missing_ones_do_not() -> None:
    nan = np.nan
    got = section_class(
        {
            "do": np.array([8.0, nan, nan, 1.0]),
            "nh3n": np.array([0.6, 0.1, nan, 0.1]),
            "tp": np.array([0.3, nan, nan, nan]),
        }
    )
    assert got.tolist() == [4, 1, 0, 6]
    assert len(CLASSES) == 6


def test_an_unknown_factor_is_refused() -> None:
    with pytest.raises(KeyError):
        factor_class("gold", np.array([1.0]))
