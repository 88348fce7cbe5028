"""Fine dust, noise, rain, rivers, standing water and pumps recounted, with what the town has and says of them."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from fractions import Fraction
from typing import Any

from tests.indicators.oracle_law import CHANGE_2026, DAY, HOUR, MINUTE, rounded

DEVICES: tuple[Any, ...] = (
    ("NS1", 2, 60, 1, {"zone_class": "1", "properties": "noise.laeq"}),
    ("NS2", 2, 60, 1, {"zone_class": "4a", "properties": "noise.laeq"}),
    ("NS3", 13, 60, 1, {"zone_class": "4b"}),
    ("NS4", 13, 60, 1, {}),
    ("H3", 3, 600, 1, {"warning_level": 27.3, "properties": "river.level"}),
    ("H4", 12, 600, 1, {"warning_level": 24.5}),
    ("WS1", 1, 600, 1, {"properties": "rain.forecast_1h"}),
    ("WS2", 14, 600, 1, {}),
    ("L5", 7, 300, 1, {"observes": "LP1", "properties": "waterlog.depth"}),
    ("L6", 0, 300, 1, {"observes": "LP2"}),
    ("L7", 15, 300, 1, {"observes": "LP3"}),
    ("N3", 12, 300, 1, {"properties": "rain.depth"}),
    ("DP1", 5, 60, 1, {"device_kind": "drain_pump", "nominal_flow": 1200.5}),
    ("DP2", 5, 60, 1, {"device_kind": "drain_pump", "nominal_flow": 800.0}),
    ("DP3", 10, 60, 0, {"device_kind": "drain_pump", "nominal_flow": 300.0}),
    ("DP4", 10, 60, None, {"device_kind": "drain_pump", "nominal_flow": 99.96}),
    ("DP5", 10, 60, 1, {"device_kind": "drain_pump"}),
)
FACILITIES: tuple[Any, ...] = (
    ("LP1", 7, {"facility_kind": "low_point", "catchment_m2": 20_000.0, "curve_number": 90.0, "storage_m3": 120.0,
                "pump_m3s": 0.05}),
    ("LP2", 0, {"facility_kind": "underpass", "catchment_m2": 45_000.0, "curve_number": 84.0, "storage_m3": 200.0,
                "pump_m3s": 0.2}),
    ("LP3", 15, {"facility_kind": "underpass", "catchment_m2": 9000.0}),
)  # fmt: skip
SENT: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "noise.laeq": (("NS1", "NS2", "NS3", "NS4"), (0, 44.9, 45, 55, 55.1, 60, 70, 70.1, 101.3)),
    "river.level": (("H1", "H2", "H3", "H4"), (24.999, 25, 27.3, 27.301, 27.315)),
    "rain.forecast_1h": (("WS1", "WS2"), (0, 4.5, 60)),
    "rain.depth": (("N1", "N2", "N3"), (0, 0.01, 0.1, 7.5)),
    "waterlog.depth": (("L1", "L2", "L3", "L5", "L6", "L7"), (0, 3.5, 14.9, 15, 26.6)),
}
FEEDS: dict[str, Any] = {
    "pm25_24h": ((("obs", "air.pm25"),), 4, False),
    "noise_compliance": ((("obs", "noise.laeq"),), 2, True),
    "rainstorm_signal_level": ((("obs", "rain.depth"),), 2, False),
    "river_level_margin": ((("obs", "river.level"),), 1, False),
    "river_rise_rate": ((("obs", "river.level"),), 1, False),
    "waterlog_risk_max": ((("obs", "waterlog.depth"), ("obs", "rain.depth")), 4, False),
    "pump_availability": ((("device.status", ""),), 1, False),
}
CHANGE_2031 = 1_924_992_000_000 - 8 * HOUR  # 2031-01-01 00:00 in China
#: Bands of fine dust are those of the edition in force.
SCALES: tuple[Any, ...] = (
    ("environment", "pm25_24h", 35, 75, 115, 0, CHANGE_2026),
    ("environment", "pm25_24h", 5, 60, 115, CHANGE_2026, CHANGE_2031),
    ("environment", "pm25_24h", 0, 50, 115, CHANGE_2031, 2**62),
    ("environment", "noise_compliance", 100, 90, 80),
    ("weather_flood", "rainstorm_signal_level", 0, 1, 4),
    ("weather_flood", "river_level_margin", 4.6, 2.3, 0),
    ("weather_flood", "river_rise_rate", 0, 10, 20),
    ("weather_flood", "waterlog_risk_max", 40, 60, 80),
    ("weather_flood", "pump_availability", 100, 95, 90),
)
#: Limits by zone class, day and night (GB 3096).
ZONES = {"0": (50, 40), "1": (55, 45), "2": (60, 50), "3": (65, 55), "4a": (70, 55), "4b": (70, 60)}


# What is said.


def noise(writer: Any, w: bytes) -> None:
    """A station for some hours, loud or quiet."""
    choice = random.Random(w)
    device, values = choice.choice(SENT["noise.laeq"][0]), SENT["noise.laeq"][1]
    low = choice.randrange(len(values))
    for k in range(1 + choice.randrange(40)):
        writer.add("obs", writer.time(w[1], w[2]) - k * 37 * MINUTE, device, property="noise.laeq", quality="good",
                   value=values[max(0, low - choice.randrange(3))])  # fmt: skip


def storm(writer: Any, w: bytes) -> None:
    """A gauge for half a day of heavy rain."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    device, most = choice.choice(("N1", "N2", "N3")), choice.choice((0.7, 1.1, 2.9))
    for k in range(choice.choice((36, 72, 150))):
        writer.add("obs", time - k * 5 * MINUTE, device, property="rain.depth", quality="good",
                   value=round(most * choice.choice((1, 1, 0.5)), 2))  # fmt: skip


def river(writer: Any, w: bytes) -> None:
    """A river that rises or falls for some hours."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    device, slope = choice.choice(SENT["river.level"][0]), choice.choice((-30, 0, 7, 40))
    for k in range(choice.randrange(45)):
        level = 25.5 - slope * k / 600 + choice.randrange(5) / 1000
        writer.add("obs", time - k * 10 * MINUTE - choice.randrange(3000), device, property="river.level",
                   quality="good", value=round(level, 3))  # fmt: skip


def points(writer: Any, w: bytes) -> None:
    """Standing water, rain that fell and rain to come about one time."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    for prop in ("waterlog.depth", "rain.depth", "rain.depth", "rain.forecast_1h"):
        devices, values = SENT[prop]
        for _ in range(choice.randrange(3)):
            writer.add("obs", time - choice.randrange(9) * 7 * MINUTE, choice.choice(devices), property=prop,
                       quality="good", value=choice.choice(values))  # fmt: skip


def pumps(writer: Any, w: bytes) -> None:
    """Pumps tell their state."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    for _ in range(1 + choice.randrange(4)):
        writer.add("device.status", time - choice.randrange(3) * HOUR, f"DP{1 + choice.randrange(5)}",
                   state=choice.choice(("online", "online", "offline", "fault", "maintenance")))  # fmt: skip


def dusty(writer: Any, w: bytes) -> None:
    """Two stations of fine dust for a day, an hour or so left out."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    devices, values = ("A1", "A2", "A3"), (0, 35, 60.5, 75, 114.9, 115.1, 115.5, 180)
    for device in choice.sample(devices, 1 + choice.randrange(2)):
        for k in range(19 + choice.randrange(8)):
            writer.add("obs", time - k * HOUR, device, property="air.pm25", quality="good", value=choice.choice(values))


deeds = (dusty, noise, storm, river, points, pumps)


def revise(first: dict[str, Any], w: bytes) -> dict[str, Any]:
    """What a correction says otherwise."""
    if first["type"] == "device.status":
        return {"state": ("online", "fault")[w[6] % 2]}
    return {}


# What it comes to.


def recount(o: Any, live: list[Any], newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """Everything of this module."""
    obs = [e for e in live if e["type"] == "obs" and e.get("quality") == "good"]
    dust(o, obs, out)
    loud(o, obs, out)
    signals(o, obs, out)
    rivers(o, obs, newest, out)
    risk(o, newest, out)
    drained(o, live, out)


def dust(o: Any, obs: list[Any], out: dict[str, dict[int, float]]) -> None:
    """Mean of hourly means, then over stations."""
    hours: dict[str, dict[int, list[Fraction]]] = defaultdict(lambda: defaultdict(list))
    for e in obs:
        if e["property"] == "air.pm25" and e["subject"] and o.inside(e["time"], DAY, HOUR):
            hours[e["subject"]][o.pane(e["time"], HOUR)].append(Fraction(round(e["value"] * 10)))
    placed = []
    for subject, by in hours.items():
        mean = o.mean_of([o.reported(v) for v in by.values()], 20)
        if mean is not None:
            placed.append((int(o.world.entities[subject]["scope"]), mean))
    groups = o.grouped(placed)
    out["pm25_24h"] = {row: float(round(Fraction(sum(v), len(v)))) for row, v in groups.items()}


def loud(o: Any, obs: list[Any], out: dict[str, dict[int, float]]) -> None:
    """Day and night of each station of the local day."""
    today = o.pane(o.now, DAY)
    periods: dict[tuple[str, int], list[int]] = defaultdict(list)
    for e in obs:
        zone = o.world.entities.get(e["subject"], {}).get("zone_class")
        begun = o.inside(e["time"], DAY, HOUR)  # a reading may be a minute ahead, in an hour that is not open yet
        if e["property"] == "noise.laeq" and zone and begun and o.pane(e["time"], DAY) == today:
            night = int(not 6 <= o.pane(e["time"], HOUR) % 24 < 22)
            periods[e["subject"], night].append(round(10.0 ** (e["value"] / 10)))
    parts = []
    for (subject, night), energies in periods.items():
        station = o.world.entities[subject]
        level = rounded(10 * math.log10(sum(energies) / len(energies)), 1)
        parts.append((int(station["scope"]), level <= ZONES[station["zone_class"]][night]))
    out["noise_compliance"] = o.upto(2, o.share(parts))


def signals(o: Any, obs: list[Any], out: dict[str, dict[int, float]]) -> None:
    """The colour that the rain of a gauge has reached."""
    sums: dict[str, dict[int, int]] = defaultdict(lambda: {3: 0, 6: 0, 12: 0})
    for e in obs:
        if e["property"] == "rain.depth" and e["subject"]:
            for span in (3, 6, 12):
                if o.inside(e["time"], span * HOUR, 5 * MINUTE):
                    sums[e["subject"]][span] += round(e["value"] * 100)
    seen = {e["subject"] for e in obs if e["property"] == "rain.depth" and o.inside(e["time"], 12 * HOUR, 5 * MINUTE)}
    placed = []
    for subject in seen - {""}:
        mm = sums[subject]
        level = 4 if mm[3] >= 10_000 else 3 if mm[3] >= 5000 else 2 if mm[6] >= 5000 else int(mm[12] >= 5000)
        placed.append((int(o.world.entities[subject]["scope"]), float(level)))
    out["rainstorm_signal_level"] = o.upto(2, {row: max(v) for row, v in o.grouped(placed).items()})


def rivers(o: Any, obs: list[Any], newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """Distance to the warning level, and the slope of six hours."""
    left = []
    for (subject, prop), e in newest.items():
        limit = o.world.entities.get(subject, {}).get("warning_level")
        if prop == "river.level" and e.get("quality") == "good" and limit is not None:
            left.append((e["at"], round((limit - e["value"]) * 1000)))
    found = {row: rounded(min(v) / 1000, 2) for row, v in o.grouped(left).items()}
    out["river_level_margin"] = o.upto(1, found)
    points: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for e in obs:
        begun = o.inside(e["time"], 6 * HOUR, 5 * MINUTE)  # one dated ahead counts when its five minutes begin
        if e["property"] == "river.level" and e["subject"] and begun and o.inside(e["time"], 6 * HOUR, 10 * MINUTE):
            points[e["subject"]].append((e["time"] // 1000, round(e["value"] * 1000)))
    slopes = []
    for subject, pairs in points.items():
        n, t, y = len(pairs), sum(t for t, _ in pairs), sum(y for _, y in pairs)
        spread = n * sum(t * t for t, _ in pairs) - t * t
        if n >= 3 and spread:
            slope = 360 * (n * sum(t * y for t, y in pairs) - t * y) / spread
            slopes.append((int(o.world.entities[subject]["scope"]), slope))
    out["river_rise_rate"] = o.upto(1, {row: rounded(max(v), 1) for row, v in o.grouped(slopes).items()})


def runoff_mm(rain: float, cn: float) -> float:
    """SCS-CN in mm."""
    s = 25.4 * (1000 / cn - 10)
    left = max(rain - 0.2 * s, 0.0)
    return left * left / (rain + 0.8 * s) if left > 0 else 0.0


def risk(o: Any, newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """Risk of each point by the rain of the finest scope that has any."""
    coming: dict[int, float] = {}
    for (_, prop), e in newest.items():
        if prop == "rain.forecast_1h" and e.get("quality") == "good" and o.now < e["time"] + 2 * HOUR:
            for row in o.above(e["at"]):
                coming[row] = max(coming.get(row, 0.0), round(e["value"] * 100) / 100)
    fallen, placed = out["rain_1h_max"], []
    for (subject, prop), e in newest.items():
        seen = o.world.entities.get(o.world.entities.get(subject, {}).get("observes", ""), {})
        if prop != "waterlog.depth" or e.get("quality") != "good" or "curve_number" not in seen:
            continue
        path = o.above(e["at"])
        before = next((fallen[row] for row in path if row in fallen), None)
        after = next((coming[row] for row in path if row in coming), before)
        if before is None or after is None:
            continue
        more = runoff_mm(before + after, seen["curve_number"]) - runoff_mm(before, seen["curve_number"])
        volume = more * seen["catchment_m2"] / 1000
        load = min(volume / (seen["storage_m3"] + seen["pump_m3s"] * 3600), 10.0)
        x = 4.0 * load + 20.0 * e["value"] / 100 - 4.0
        placed.append((e["at"], 100 / (1 + math.exp(-x))))
    out["waterlog_risk_max"] = {row: rounded(max(v), 1) for row, v in o.grouped(placed).items()}


def drained(o: Any, live: list[Any], out: dict[str, dict[int, float]]) -> None:
    """Rated flow of pumps that are online over that of all that told."""
    parts = []
    for subject, e in {e["subject"]: e for e in live if e["type"] == "device.status"}.items():
        pump = o.world.entities[subject]
        fits = pump.get("device_kind") == "drain_pump" and pump.get("in_service") != 0
        if fits and "nominal_flow" in pump:
            parts.append((e["at"], (round(pump["nominal_flow"] * 10), e["state"] == "online")))
    out["pump_availability"] = o.upto(1, {
        row: rounded(100 * (sum(f for f, up in v if up) / 10) / (sum(f for f, _ in v) / 10), 2)
        for row, v in o.grouped(parts).items()
    })  # fmt: skip
