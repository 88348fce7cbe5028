"""Surface water classes by GB 3838-2002: the class of a section is that of its worst factor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from citytwin.models.columns import Float64, Int64

#: Limits of the classes I to V in mg/L (rivers), by factor; a reading equal to the limit keeps the class.
LIMITS: dict[str, tuple[float, ...]] = {
    "do": (7.5, 6, 5, 3, 2),
    "codmn": (2, 4, 6, 10, 15),
    "cod": (15, 15, 20, 30, 40),
    "bod5": (3, 3, 4, 6, 10),
    "nh3n": (0.15, 0.5, 1.0, 1.5, 2.0),
    "tp": (0.02, 0.1, 0.2, 0.3, 0.4),
}
#: Factors where more is better.
MORE_IS_BETTER: frozenset[str] = frozenset({"do"})

CLASSES: tuple[dict[str, str], ...] = (
    {"zh": "Ⅰ类", "en": "Class I"},
    {"zh": "Ⅱ类", "en": "Class II"},
    {"zh": "Ⅲ类", "en": "Class III"},
    {"zh": "Ⅳ类", "en": "Class IV"},
    {"zh": "Ⅴ类", "en": "Class V"},
    {"zh": "劣Ⅴ类", "en": "Worse than class V"},
)
#: A factor without a reading.
NONE: int = 0


def factor_class(factor: str, value: Float64) -> Int64:
    """Class 1 to 6 of one factor in mg/L (int64[n]), NONE where NaN. KeyError for an unknown factor.

    >>> factor_class("nh3n", np.array([0.15, 0.16, 2.1, np.nan])).tolist()
    [1, 2, 6, 0]
    """
    limits = np.array(LIMITS[factor])
    values = np.asarray(value, np.float64)
    if factor in MORE_IS_BETTER:
        passed = np.sum(values[:, None] < limits[None, :], axis=1)
    else:
        passed = np.searchsorted(limits, values, side="left")
    return np.where(np.isnan(values), NONE, passed + 1).astype(np.int64)


def section_class(readings: Mapping[str, Float64]) -> Int64:
    """Worst class over the factors that have a reading (int64[n]), NONE where none has one."""
    classes = [factor_class(name, values) for name, values in readings.items()]
    worst: Int64 = np.max(np.stack(classes), axis=0)
    return worst
