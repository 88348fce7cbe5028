"""Whether the sun is below the horizon: what street lamps follow."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Bool, Int64

_J2000_MS = 946_728_000_000
#: Degrees of the sun's centre at sunset: refraction and half its width.
HORIZON = -0.833


def dark(time: Int64, lon: float, lat: float) -> Bool:
    """Whether it is between sunset and sunrise at times (ms UTC) and a place (degrees): bool[n].

    Low-precision position of the sun of the Astronomical Almanac, good to a minute until 2050.
    """
    days = (time - _J2000_MS) / 86_400_000
    anomaly = np.radians(357.528 + 0.9856003 * days)
    along = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439)
    height, east = np.sin(tilt) * np.sin(along), np.arctan2(np.cos(tilt) * np.sin(along), np.cos(along))
    turn = np.radians(280.46062 + 360.98564737 * days + lon) - east
    up = np.sin(np.radians(lat)) * height + np.cos(np.radians(lat)) * np.sqrt(1 - height**2) * np.cos(turn)
    below: Bool = up < np.sin(np.radians(HORIZON))
    return below
