"""Readings that follow more than the hour of the day: roads, rain, water, crowds, lamps, rooms, noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from citytwin.models.columns import Float64, Int64
from citytwin.models.sun import is_night
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.emergency import LEAK_LEL, LEAK_MS, leak_begin
from citytwin.streams.simulator.iot import Telemetry

Reader = Callable[[Telemetry, Int64, Int64], Float64]
#: Limits in dB(A) by day and by night of the noise zones, in the order of `city.ZONES` (GB 3096-2008).
LIMITS = np.array([(50, 40), (55, 45), (60, 50), (65, 55), (70, 55), (70, 60), (60, 50)], np.float64)


def rush(hour: Float64) -> Float64:
    """How full the roads are by local hour: 0 at night, 1 at the peaks of 8 and 18 o'clock."""
    morning, evening = np.exp(-(((hour - 8.0) / 1.3) ** 2)), np.exp(-(((hour - 18.0) / 1.6) ** 2))
    day = 0.45 / (1 + np.exp(-(hour - 6.5) * 2)) / (1 + np.exp((hour - 21.5) * 1.5))
    return np.asarray(np.clip(np.maximum(morning, evening) * 0.95 + day * 0.4, 0.02, 1.0))


def _speed(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    s = t.town.streams
    own = noise.uniform(t.seed, "road", s.device[rows])
    jam = rush(t.hour(time)) * (0.22 + 0.42 * own) + 0.25 * np.minimum(t.rain_at(rows, time), 1.2)
    jitter = noise.normal(t.seed, "speed", s.device[rows], time // 1000)
    free = s.free_kmh[rows] if len(s.free_kmh) else 50.0
    return np.clip(free * (1 - np.minimum(jam, 0.88)) + jitter * 2.0, 3.0, 120.0)


def _flow(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    own = noise.uniform(t.seed, "lanes", t.town.streams.device[rows])
    jitter = noise.normal(t.seed, "flow", t.town.streams.device[rows], time // 1000)
    return np.maximum(np.rint((20 + 160 * rush(t.hour(time))) * (0.6 + own) + jitter * 5), 1.0)


def _rain(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    minutes = t.town.streams.period_ms[rows] / 60_000
    return np.asarray(np.floor(t.rain_at(rows, time) * minutes * 10 + 0.5) / 10)


def _depth(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    return np.asarray(np.floor(t.depth(rows, time) * 10 + 0.5) / 10)


def _river(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    own = noise.normal(t.seed, "river", t.town.streams.device[rows])
    day = time / 86_400_000
    swell = 0.25 * np.sin(day * 2 * np.pi / 23) + 0.1 * np.sin(day * 2 * np.pi / 5.3)
    jitter = noise.normal(t.seed, "wave", t.town.streams.device[rows], time // 1000) * 0.004
    rain = t.weather.standing(time, *_where(t, rows), np.full(len(rows), 0.01), 1.0, 4.0)
    return np.asarray(np.round(24.62 + 0.12 * own + swell + jitter + np.minimum(rain, 0.6), 3))


def _where(t: Telemetry, rows: Int64) -> tuple[Float64, Float64]:
    at = t.town.streams.device[rows]
    return t.town.streams.devices.lon[at], t.town.streams.devices.lat[at]


def _nominal(t: Telemetry, rows: Int64, otherwise: float) -> Float64:
    return np.nan_to_num(t.town.streams.nominal[rows], nan=otherwise)


def _crowd(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """People by the area that they have: at most some three quarters of a person a square metre."""
    device, hour = t.town.streams.device[rows], t.hour(time)
    own = noise.uniform(t.seed, "crowd", device)
    jitter = noise.normal(t.seed, "crowd~", device, time // 1000)
    density = 0.012 + 0.7 * own**1.5 * rush(hour)
    return np.maximum(np.rint(density * _nominal(t, rows, 1_200.0) * (1 + 0.04 * jitter)), 0.0)


def _gas(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Methane: near nothing, but one device in a few hundred leaks for half an hour on some day."""
    device = t.town.streams.device[rows]
    ordinary = 0.8 + 0.3 * noise.normal(t.seed, "gas", device, time // 1000)
    begin = leak_begin(t.seed, device, time // 86_400_000)
    leaks = (begin >= 0) & (time >= begin) & (time < begin + LEAK_MS)
    return np.maximum(ordinary, 0.0) + np.where(leaks, LEAK_LEL, 0.0)


def _parking(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Spaces taken: never more than there are, some car parks full."""
    device = t.town.streams.device[rows]
    own = noise.normal(t.seed, "parking", device)
    jitter = noise.normal(t.seed, "parking~", device, time // 1000)
    share = 0.6 + 0.17 * own + 0.14 * np.cos((t.hour(time) - 14.5) * np.pi / 12) + 0.012 * jitter
    return np.rint(_nominal(t, rows, 300.0) * np.clip(share, 0.02, 1.0))


def _voltage(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Volts around 1.03 of the nominal ones, lowest in the evening."""
    device = t.town.streams.device[rows]
    own = noise.normal(t.seed, "voltage", device)
    jitter = noise.normal(t.seed, "voltage~", device, time // 1000)
    share = 1.033 + 0.0125 * own - 0.012 * np.cos((t.hour(time) - 20) * np.pi / 12) + 0.006 * jitter
    return _nominal(t, rows, 220.0) * share


def _noise(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Noise some dB below the limit of the zone; at one station in ten above it."""
    device, hour = t.town.streams.device[rows], t.hour(time)
    limit = LIMITS[t.town.streams.zone[rows]]
    night = (hour < 6) | (hour >= 22)
    own = 2.3 * noise.normal(t.seed, "noise", device)
    jitter = 1.6 * noise.normal(t.seed, "noise~", device, time // 1000)
    return np.where(night, limit[:, 1], limit[:, 0]) - 3.9 + own + jitter


def _room(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Rooms: about 20.5 degrees while it is cold outside, warmer than that in summer."""
    device = t.town.streams.device[rows]
    own = noise.normal(t.seed, "room", device)
    jitter = noise.normal(t.seed, "room~", device, time // 1000)
    day = 0.6 * np.cos((t.hour(time) - 15) * np.pi / 12)
    return np.maximum(20.7, season(time) + 3.0) + 1.05 * own + day + 0.25 * jitter


def _main(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Pressure at the end of the network: lowest in the evening, far too low where a main has burst for some hours."""
    device = t.town.streams.device[rows]
    own, jitter = noise.normal(t.seed, "main", device), noise.normal(t.seed, "main~", device, time // 1000)
    burst = noise.uniform(t.seed, "burst", device, time // 14_400_000) < 0.012
    value = 0.27 + 0.03 * own - 0.05 * np.cos((t.hour(time) - 19.5) * np.pi / 12) + 0.008 * jitter
    return np.maximum(np.where(burst, 0.4 * value, value), 0.0)


def _metered(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Flow into a metering area: a quarter of the mean at night, more where pipes leak."""
    device, hour = t.town.streams.device[rows], t.hour(time)
    night = np.exp(-(((hour - 3.6) / 2.7) ** 2)) + np.exp(-(((hour - 27.6) / 2.7) ** 2))
    peaks = np.exp(-(((hour - 7.5) / 1.6) ** 2)) + np.exp(-(((hour - 19.5) / 2.2) ** 2))
    leak = np.where(noise.uniform(t.seed, "leaky", device) < 0.08, 0.3, 0.06 * noise.uniform(t.seed, "loss", device))
    jitter = noise.normal(t.seed, "meter~", device, time // 1000)
    return _nominal(t, rows, 300.0) * (0.72 * (1 - 0.76 * night + 0.3 * peaks) + leak) * (1 + 0.03 * jitter)


def _turbid(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Turbidity: clear, but for a tap in a few hundred for an hour."""
    device = t.town.streams.device[rows]
    dirty = noise.uniform(t.seed, "dirty water", device, time // 3_600_000) < 0.004
    jitter = noise.normal(t.seed, "turbid~", device, time // 1000)
    return np.maximum(0.35 + 0.08 * noise.normal(t.seed, "turbid", device) + 0.05 * jitter, 0.02) + np.where(
        dirty, 1.1, 0
    )


def _bin(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Bins fill up until the evening; one in eighty is forgotten for a day."""
    device = t.town.streams.device[rows]
    own, jitter = noise.normal(t.seed, "bin", device), noise.normal(t.seed, "bin~", device, time // 1000)
    forgotten = noise.uniform(t.seed, "forgotten", device, time // 86_400_000) < 0.0125
    value = 40.0 + 13.0 * own + 18.0 * np.cos((t.hour(time) - 20) * np.pi / 12) + 3.0 * jitter
    return np.clip(np.where(forgotten, 97.0 + jitter, value), 0.0, 120.0)


def season(time: Int64) -> Float64:
    """Mean temperature of the air at a time of the year, degrees: 4 in January, 30 in July."""
    return np.asarray(17.0 - 12.5 * np.cos((time / 86_400_000 % 365.2425 - 15) * 2 * np.pi / 365.2425))


def _air(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    device = t.town.streams.device[rows]
    jitter = 0.2 * noise.normal(t.seed, "air~", device, time // 1000)
    own = 0.8 * noise.normal(t.seed, "air", device)
    return season(time) + 4.5 * np.cos((t.hour(time) - 15) * np.pi / 12) + own + jitter


def _forecast(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Rain of the next hour in mm, as seen ten minutes before it begins; right within a tenth."""
    lon, lat = _where(t, rows)
    jitter = 1 + 0.06 * noise.normal(t.seed, "forecast", t.town.streams.device[rows], time // 1000)
    return np.round(t.weather.ahead(time, lon, lat) * np.maximum(jitter, 0.0), 1)


def _pump(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """A pump runs for a while every day, and always where it rains."""
    device = t.town.streams.device[rows]
    usual = noise.uniform(t.seed, "pump", device, time // 3_600_000) < 0.12
    return (usual | (t.rain_at(rows, time) > 0.05)).astype(np.float64)


def _pump_flow(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    jitter = noise.normal(t.seed, "pump~", t.town.streams.device[rows], time // 1000)
    return _pump(t, rows, time) * _nominal(t, rows, 900.0) * (0.9 + 0.02 * jitter)


def _tilt(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """Degrees: flat, but for a cover that is open."""
    flat = np.abs(0.8 + 0.4 * noise.normal(t.seed, "tilt", t.town.streams.device[rows], time // 1000))
    return flat + 38.0 * _flag("manhole", OPEN_COVERS)(t, rows, time)


def _flag(name: str, share: float) -> Reader:
    def read(t: Telemetry, rows: Int64, time: Int64) -> Float64:
        return (noise.uniform(t.seed, name, t.town.streams.device[rows], time // 86_400_000) < share).astype(np.float64)

    return read


def _lamp(t: Telemetry, rows: Int64, time: Int64) -> Float64:
    """On from sunset to sunrise, in underpasses always; a few are broken for a day."""
    works = noise.uniform(t.seed, "lamp", t.town.streams.device[rows], time // 86_400_000) > 0.008
    return (works & (is_night(*t.town.centre, time) | t.town.streams.always[rows])).astype(np.float64)


#: Share of the covers that are open on a day.
OPEN_COVERS = 0.004


SPECIAL: dict[str, Reader] = {
    "traffic.speed": _speed,
    "traffic.flow": _flow,
    "rain.depth": _rain,
    "waterlog.depth": _depth,
    "river.level": _river,
    "crowd.count": _crowd,
    "gas.ch4_lel": _gas,
    "lamp.power_state": _lamp,
    "manhole.open": _flag("manhole", OPEN_COVERS),
    "manhole.tilt": _tilt,
    "parking.occupied": _parking,
    "power.voltage": _voltage,
    "noise.laeq": _noise,
    "bin.fill": _bin,
    "water.pressure": _main,
    "water.flow": _metered,
    "water.turbidity": _turbid,
    "heat.indoor_temp": _room,
    "weather.temp": _air,
    "rain.forecast_1h": _forecast,
    "fire.smoke": _flag("smoke", 0.0005),
    "elevator.fault": _flag("lift", 0.004),
    "camera.intact": _flag("camera", 0.985),
    "pump.state": _pump,
    "pump.flow": _pump_flow,
}
