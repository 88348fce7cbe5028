"""Crowds: Fruin's levels of service on walkways from persons per m2, with hysteresis and the time to a limit.

Source: Fruin 1971, "Pedestrian Planning and Design": space of 35, 25, 15, 10 and 5 square feet a person.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from citytwin.models.columns import Float64, Int64

SQUARE_FOOT: float = 0.3048**2
LEVELS: str = "ABCDEF"
#: Space in square feet a person below which a level begins: B, C, D, E, F.
EDGES_FT2: tuple[float, ...] = (35.0, 25.0, 15.0, 10.0, 5.0)
#: The same as persons per m2: 0.31, 0.43, 0.72, 1.08, 2.15.
EDGES: Float64 = 1.0 / (np.array(EDGES_FT2) * SQUARE_FOOT)
#: Level where nothing is known.
NONE: int = -1


def density(persons: ArrayLike, area_m2: ArrayLike) -> Float64:
    """Persons per m2 (float64, broadcast), NaN where the area is not above 0."""
    area = np.asarray(area_m2, np.float64)
    return np.asarray(np.asarray(persons, np.float64) / np.where(area > 0, area, np.nan))


def density_of_flow(per_minute: ArrayLike, width_m: ArrayLike, speed_ms: ArrayLike) -> Float64:
    """Persons per m2 in a corridor by its flow in persons a minute, its width in m and the speed in m/s (float64).

    NaN where width or speed are not above 0: people who stand still do not flow.
    """
    swept = np.multiply(width_m, speed_ms) * 60.0
    return density(per_minute, np.where(np.minimum(width_m, speed_ms) > 0, swept, np.nan))


def level(persons_m2: ArrayLike) -> Int64:
    """Level 0 (A) to 5 (F) of densities (int64), NONE where NaN. Space of exactly an edge has the worse level.

    >>> "".join(LEVELS[k] for k in level(np.array([0.2, 0.6, 1.0, 3.0])))
    'ACDF'
    """
    d = np.asarray(persons_m2, np.float64)
    return np.where(np.isnan(d), NONE, np.searchsorted(EDGES * (1 - 1e-12), d, side="right")).astype(np.int64)


def steady_level(persons_m2: ArrayLike, before: Int64, margin: float = 0.1) -> Int64:
    """Level with hysteresis (int64): it rises at an edge, and falls only below (1 - `margin`) of the edge it came over.

    `before` is the level so far (NONE = take the plain one); a density of NaN is NONE.
    """
    d = np.asarray(persons_m2, np.float64)
    plain = level(d)
    held = level(d / (1.0 - margin))  # what the level would be if it were a margin more crowded
    kept = np.minimum(np.maximum(before, plain), np.maximum(held, plain))
    return np.where((plain == NONE) | (before == NONE), plain, kept).astype(np.int64)


def seconds_to(
    limit: ArrayLike, before: ArrayLike, now: ArrayLike, elapsed_s: ArrayLike, most_s: float = 3600.0
) -> Float64:
    """Seconds until a density reaches a limit if it goes on as it did over the last `elapsed_s` (float64, broadcast).

    0 where it is there, inf where it does not rise or would take longer than `most_s`: no straight line holds that
    long. NaN where a density is unknown or no time has passed.
    """
    a, b, top = (np.asarray(v, np.float64) for v in (before, now, limit))
    span = np.asarray(elapsed_s, np.float64)
    rise = (b - a) / np.where(span > 0, span, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = (top - b) / rise
    left = np.where((rise > 0) & (left <= most_s), left, np.where(np.isnan(rise + top), np.nan, np.inf))
    return np.where(b >= top, 0.0, left)
