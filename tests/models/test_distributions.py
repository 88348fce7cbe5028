"""Tails against SciPy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from citytwin.models.distributions import normal_two_sided, normal_upper, student_quantile


def test_normal_tails_equal_scipy_far_out() -> None:
    z = np.linspace(-37, 37, 2001)
    assert np.allclose(normal_upper(z), stats.norm.sf(z), rtol=1e-12, atol=0)
    assert np.allclose(normal_two_sided(z), 2 * stats.norm.sf(np.abs(z)), rtol=1e-12, atol=0)
    assert np.isnan(normal_upper(np.array([np.nan])))[0]


@given(st.floats(1e-9, 1 - 1e-9), st.floats(0.7, 1e5))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_student_quantile_equals_scipy(p: float, df: float) -> None:
    assert np.isclose(student_quantile(p, df), stats.t.ppf(p, df), rtol=1e-9, atol=1e-7)


def test_student_quantile_of_what_has_none_is_nan() -> None:
    p, df = np.array([0.0, 1.0, np.nan, 0.5, 0.5, 0.5]), np.array([3.0, 3.0, 3.0, 0.0, -1.0, np.nan])
    assert np.isnan(student_quantile(p, df)).all()
    assert abs(student_quantile(0.5, 4.0)) < 1e-50


def test_student_quantile_of_one_degree_is_a_tangent() -> None:
    p = np.array([0.01, 0.25, 0.75, 0.999999])
    assert np.allclose(student_quantile(p, 1.0), np.tan(np.pi * (p - 0.5)), rtol=1e-10)
