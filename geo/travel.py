"""How long it takes from many places to many others: what every way of knowing it answers, and the plain one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from citytwin.models.columns import Bool, Float64

#: Metres of one degree of latitude on a sphere of 6,371 km.
METRES = 6_371_000.0 * np.pi / 180.0
#: How much longer the way is than the straight line. Local default; studies of cities find 1.2 to 1.6.
DETOUR = 1.4
#: Mean speed of a unit in a city, stops and all. Local default.
KMH = 24.0


@dataclass(frozen=True, slots=True, eq=False)
class Trips:
    """Seconds and metres from n places to m others, inf where one cannot get there or a place is unknown.

    `road` bool[n, m]: the way was found on roads; elsewhere it is the distance, lengthened, at a stated speed.
    """

    seconds: Float64
    metres: Float64
    road: Bool


class Travel(Protocol):
    """Something that knows travel times."""

    def trips(self, lon: Float64, lat: Float64, to_lon: Float64, to_lat: Float64) -> Trips:
        """From each of n places to each of m others; degrees, NaN where a place is unknown."""


def apart(lon: Float64, lat: Float64, to_lon: Float64, to_lat: Float64) -> Float64:
    """Metres between places in degrees, broadcast together; good to 0.1 % over the width of a city."""
    middle = np.radians((np.asarray(lat) + np.asarray(to_lat)) / 2)
    east = (np.asarray(to_lon) - np.asarray(lon)) * np.cos(middle)
    out: Float64 = np.hypot(east, np.asarray(to_lat) - np.asarray(lat)) * METRES
    return out


@dataclass(frozen=True, slots=True)
class Straight:
    """Travel by distance: the straight line `detour` times as long, at `kmh`."""

    detour: float = DETOUR
    kmh: float = KMH

    def trips(self, lon: Float64, lat: Float64, to_lon: Float64, to_lat: Float64) -> Trips:
        """Distance by the stated factor and speed.

        >>> here, there = (np.array([114.3]), np.array([30.6])), (np.array([114.3]), np.array([30.69]))
        >>> trips = Straight().trips(*here, *there)
        >>> round(float(trips.metres[0, 0])), round(float(trips.seconds[0, 0])), bool(trips.road[0, 0])
        (14011, 2102, False)
        """
        metres = apart(np.asarray(lon)[:, None], np.asarray(lat)[:, None], np.asarray(to_lon), np.asarray(to_lat))
        metres = np.where(np.isnan(metres), np.inf, metres * self.detour)
        return Trips(metres * 3.6 / self.kmh, metres, np.zeros(metres.shape, np.bool_))
