"""Sunrise and sunset for a place and a local day, for the schedules of street lights.

Source: the equations of the NOAA solar calculator, after Meeus 1998, "Astronomical Algorithms": better than a minute
between 72 degrees north and south. The sun rises when its upper edge is on the horizon with standard refraction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from citytwin.models.columns import MISSING, Bool, Float64, Int64

DAY_MS: int = 86_400_000
#: Height of the sun's centre when its upper edge rises: refraction 34' and radius 16'.
HORIZON: float = -0.833
CIVIL: float = -6.0


def _sun(ms: Float64) -> tuple[Float64, Float64]:
    """Declination in radians and equation of time in minutes at instants (ms UTC)."""
    t = (ms / DAY_MS + 2440587.5 - 2451545.0) / 36525.0
    mean_longitude = np.radians((280.46646 + t * (36000.76983 + 0.0003032 * t)) % 360.0)
    anomaly = np.radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    e = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    centre = np.sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
    centre += np.sin(2 * anomaly) * (0.019993 - 0.000101 * t) + np.sin(3 * anomaly) * 0.000289
    node = np.radians(125.04 - 1934.136 * t)
    longitude = mean_longitude + np.radians(centre - 0.00569 - 0.00478 * np.sin(node))
    seconds = 21.448 - t * (46.8150 + t * (0.00059 - t * 0.001813))
    tilt = np.radians(23.0 + (26.0 + seconds / 60.0) / 60.0 + 0.00256 * np.cos(node))
    declination = np.arcsin(np.sin(tilt) * np.sin(longitude))
    y = np.tan(tilt / 2.0) ** 2
    equation = y * np.sin(2 * mean_longitude) - 2 * e * np.sin(anomaly)
    equation += 4 * e * y * np.sin(anomaly) * np.cos(2 * mean_longitude)
    equation -= 0.5 * y * y * np.sin(4 * mean_longitude) + 1.25 * e * e * np.sin(2 * anomaly)
    return declination, 4.0 * np.degrees(equation)


def height(lon: ArrayLike, lat: ArrayLike, ms: ArrayLike) -> Float64:
    """Height of the sun's centre in degrees, without refraction, at places in degrees and instants in ms UTC."""
    at = np.asarray(ms, np.float64)
    declination, equation = _sun(at)
    minutes = (at / 60_000.0) % 1440.0 + equation + 4.0 * np.asarray(lon, np.float64)
    hour, phi = np.radians(minutes / 4.0 - 180.0), np.radians(lat)
    sine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0))))


def sun_times(lon: ArrayLike, lat: ArrayLike, day: ArrayLike, above: float = HORIZON) -> tuple[Int64, Int64]:
    """When the sun rises above and sets below a height (degrees) on a local day: ms UTC, int64, broadcast.

    `day` is the number of the local day since 1970-01-01, `lon` and `lat` are degrees. MISSING where the sun does not
    cross the height on that day, or the place is unknown.
    """
    east, north, number = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (lon, lat, day)))
    noon = (number + 0.5 - east / 360.0) * DAY_MS
    phi, times = np.radians(north), []
    for side in (-1.0, 1.0):
        at = noon
        for _ in range(5):  # the sun moves on while its hour angle is worked out: five rounds are below a second
            declination, equation = _sun(at)
            cosine = np.sin(np.radians(above)) - np.sin(phi) * np.sin(declination)
            cosine /= np.cos(phi) * np.cos(declination)
            angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
            at = noon + (side * 4.0 * angle - equation) * 60_000.0
        known = np.abs(cosine) <= 1.0
        times.append(np.where(known, np.rint(np.where(known, at, 0.0)), MISSING).astype(np.int64))
    return times[0], times[1]


def is_night(lon: ArrayLike, lat: ArrayLike, ms: ArrayLike, above: float = HORIZON) -> Bool:
    """Whether the sun is below a height (degrees) at places and instants (ms UTC): bool, broadcast.

    The height is that without refraction, as for `sun_times`: lamps that must be lit from sunset to sunrise are lit
    while this is true.
    """
    return height(lon, lat, ms) < above
