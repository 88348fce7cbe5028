"""Waterlogging: runoff by the curve number (SCS-CN), what storage and pumps hold, and a risk from 0 to 100.

Source: USDA NRCS, TR-55 "Urban Hydrology for Small Watersheds", 1986, equations 2-1 to 2-4. The coefficients of the
risk are local defaults without a standard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from citytwin.models.columns import Float64

MM_PER_INCH = 25.4
#: Initial abstraction as a share of the potential retention (TR-55, equation 2-2).
ABSTRACTION = 0.2
#: Curve numbers below this are no surface of a city, and 0 would retain without end.
LEAST_CN, MOST_CN = 1.0, 100.0


def retention_mm(curve_number: ArrayLike) -> Float64:
    """Potential maximum retention S in mm: 25.4 * (1000 / CN - 10) (float64); CN is taken into 1 to 100."""
    cn = np.clip(np.asarray(curve_number, np.float64), LEAST_CN, MOST_CN)
    return np.asarray(MM_PER_INCH * (1000.0 / cn - 10.0))


def runoff_mm(rain_mm: ArrayLike, curve_number: ArrayLike) -> Float64:
    """Runoff depth in mm of a rain in mm: (P - 0.2 S)^2 / (P + 0.8 S), 0 while P <= 0.2 S (float64, broadcast).

    >>> round(float(runoff_mm(5.0 * 25.4, 80)) / 25.4, 2)  # TR-55, table 2-1
    2.89
    """
    rain, s = np.maximum(np.asarray(rain_mm, np.float64), 0.0), retention_mm(curve_number)
    left = np.maximum(rain - ABSTRACTION * s, 0.0)
    # with CN 100 nothing is retained: all of the rain runs off, also none
    return np.asarray(left * left / np.where(left > 0, rain + (1 - ABSTRACTION) * s, 1.0))


def next_runoff_mm(fallen_mm: ArrayLike, coming_mm: ArrayLike, curve_number: ArrayLike) -> Float64:
    """Runoff in mm of the rain to come after what has fallen in the same event (float64, broadcast).

    Wet ground retains less: the difference of two runoffs, not the runoff of the rain to come alone.
    """
    fallen, coming = np.maximum(fallen_mm, 0.0), np.maximum(coming_mm, 0.0)
    return np.asarray(runoff_mm(np.add(fallen, coming), curve_number) - runoff_mm(fallen, curve_number))


def volume_m3(depth_mm: ArrayLike, area_m2: ArrayLike) -> Float64:
    """Volume in m3 of a depth in mm over an area in m2 (float64, broadcast)."""
    return np.multiply(depth_mm, area_m2) / 1000.0


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """risk = 100 * logistic(load * a + depth_m * b + c): the coefficients are a local default, not a standard.

    A dry place without rain is at 100 * logistic(-4) = 1.8. One whose next hour brings as much water as storage and
    pumps take is at 50, and one that stands 27 cm deep (where cities close an underpass) at 80 without any rain.
    """

    load: float = 4.0
    depth: float = 20.0
    base: float = -4.0
    status: str = "L"
    source: str = "local default"


LOCAL = RiskCurve()


@dataclass(frozen=True, slots=True, eq=False)
class Catchment:
    """What drains to n points: area in m2, curve number, storage in m3 and pump capacity in m3/s (float64[n])."""

    area_m2: Float64
    curve_number: Float64
    storage_m3: Float64
    pump_m3s: Float64

    def capacity_m3(self, seconds: float = 3600.0) -> Float64:
        """What storage and pumps take in a time (float64[n])."""
        return self.storage_m3 + self.pump_m3s * seconds


def load_ratio(volume: ArrayLike, capacity: ArrayLike) -> Float64:
    """Volume to come over what can be taken (float64), at most LOAD_MOST; so also where nothing takes what comes."""
    v, c = np.maximum(np.asarray(volume, np.float64), 0.0), np.maximum(np.asarray(capacity, np.float64), 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(v > 0, v / c, np.where(np.isnan(v) | np.isnan(c), np.nan, 0.0))
    return np.minimum(ratio, LOAD_MOST)


#: Ten times what can be taken is as bad as any more.
LOAD_MOST = 10.0


def waterlogging_risk(load: ArrayLike, depth_cm: ArrayLike, curve: RiskCurve = LOCAL) -> Float64:
    """Risk from 0 to 100 by the load of the next hour (see `load_ratio`) and the depth now in cm (float64, broadcast).

    It never falls when load or depth rise. NaN where either is unknown.
    """
    depth = np.maximum(np.asarray(depth_cm, np.float64), 0.0) / 100.0
    x = curve.load * np.asarray(load, np.float64) + curve.depth * depth + curve.base
    return np.asarray(100.0 / (1.0 + np.exp(-np.clip(x, -50.0, 50.0))))


def next_hour_risk(
    catchment: Catchment, fallen_mm: Float64, coming_mm: Float64, depth_cm: Float64, curve: RiskCurve = LOCAL
) -> Float64:
    """Risk of n points by the rain fallen and coming in the next hour in mm and the depth now in cm (float64[n])."""
    runoff = next_runoff_mm(fallen_mm, coming_mm, catchment.curve_number)
    load = load_ratio(volume_m3(runoff, catchment.area_m2), catchment.capacity_m3())
    return waterlogging_risk(load, depth_cm, curve)
