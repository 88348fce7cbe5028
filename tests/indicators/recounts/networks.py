"""Roads, buses, car parks, water, power, gas and heat recounted, with what the town has of them and says of them."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import Any

from tests.indicators.oracle_law import DAY, DONE, HOUR, MINUTE, OPEN, rounded

DEVICES: tuple[Any, ...] = (
    ("PK1", 0, 300, 1, {"observes": "CP1", "properties": "parking.occupied"}),
    ("PK2", 5, None, 1, {"observes": "CP2"}),
    ("PK3", 6, 300, 1, {"observes": "R1", "properties": "parking.occupied"}),
    ("CC1", 2, 60, 1, {"observes": "MS1", "properties": "crowd.count"}),
    ("CC2", 2, 60, 1, {"observes": "MS2"}),
    ("CC3", 8, 60, 1, {"observes": "CP1"}),
    ("CC4", 13, 60, 1, {"observes": "MS3", "properties": "crowd.count"}),
    ("Q1", 3, 900, 1, {"properties": "water.turbidity water.chlorine water.ph"}),
    ("Q2", 12, 900, 1, {"properties": "water.ph"}),
    ("F1", 1, 900, 1, {"observes": "DM1", "properties": "water.flow"}),
    ("F2", 2, 900, 1, {"observes": "DM2"}),
    ("F3", 15, 900, 1, {}),
    ("V1", 4, 900, 1, {"nominal_voltage": 220.0, "phases": 1, "properties": "power.voltage"}),
    ("V2", 7, 900, 1, {"nominal_voltage": 10_000.0, "phases": 3, "properties": "power.voltage"}),
    ("V3", 7, 900, 1, {"nominal_voltage": 35_000.0, "phases": 3}),
    ("V4", 7, 900, 1, {}),
    ("V5", 11, 900, 1, {"nominal_voltage": 380.0, "phases": 3}),
    ("HT1", 0, 300, 1, {"observes": "H-1", "properties": "heat.indoor_temp"}),
    ("HT2", 1, 300, 1, {"observes": "H-2", "properties": "heat.indoor_temp"}),
    ("HT3", 9, 300, 1, {"properties": "heat.indoor_temp"}),
)
FACILITIES: tuple[Any, ...] = (
    ("CP1", 0, {"facility_kind": "parking", "capacity": 40}),
    ("CP2", 5, {"facility_kind": "parking", "capacity": 200}),
    ("CP3", 5, {"facility_kind": "parking", "capacity": 20}),
    ("CP4", 10, {"facility_kind": "parking"}),
    ("MS1", 2, {"facility_kind": "metro_station", "usable_area_m2": 150.5}),
    ("MS2", 2, {"facility_kind": "metro_station"}),
    ("MS3", 13, {"facility_kind": "metro_station", "usable_area_m2": 60.0}),
    ("DM1", 1, {"facility_kind": "dma"}),
    ("DM2", 2, {"facility_kind": "dma"}),
)
ENTITIES: tuple[Any, ...] = (("house", "H-1", 0, {"heated": 1}), ("house", "H-2", 1, {"heated": 0}))
SENT: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "parking.occupied": (("PK1", "PK2", "PK3", "CP3", "CP4"), (0, 11, 19, 37, 38, 40, 190)),
    "crowd.count": (("CC1", "CC2", "CC3", "CC4"), (0, 129, 240, 323, 324, 602)),
    "water.turbidity": (("Q1",), (0.3, 1, 1.001)),
    "water.chlorine": (("Q1",), (0.049, 0.05, 0.4)),
    "water.ph": (("Q1", "Q2"), (6.49, 6.5, 7, 8.5, 8.51)),
    "water.flow": (("F1", "F2", "F3"), (12.5, 20, 33.33, 60)),
    "power.voltage": (
        ("V1", "V2", "V3", "V4", "V5"),
        (197.9, 198, 220, 235.4, 235.5, 353.3, 353.4, 406.6, 406.7, 9299.9, 9300, 10_700, 10_700.1),
    ),
    "gas.safe": (("G1", "G2"), (0, 1, 1)),
    "gas.ch4_lel": (("G1", "G2"), (0, 0.1, 9.9, 10, 19.9, 20, 55.5)),
    "heat.indoor_temp": (("HT1", "HT2", "HT3"), (17.9, 18, 18.1, 21)),
}
_CASES, _TRIPS = (("case", ""),), (("transit.trip", ""),)
FEEDS: dict[str, Any] = {
    "network_mean_speed": ((("obs", "traffic.speed"),), 2, False),
    "travel_time_reliability_p95": ((("obs", "traffic.speed"),), 2, False),
    "traffic_incidents_open": (_CASES, 4, False),
    "bus_departure_punctuality": (_TRIPS, 1, False),
    "metro_station_density_max": ((("obs", "crowd.count"),), 4, False),
    "parking_occupancy": ((("obs", "parking.occupied"),), 4, False),
    "parking_full_count": ((("obs", "parking.occupied"),), 2, False),
    "water_quality_compliance": (tuple(("obs", f"water.{p}") for p in ("turbidity", "chlorine", "ph")), 2, False),
    "dma_night_flow_ratio": ((("obs", "water.flow"),), 3, False),
    "power_asai": (_CASES, 2, False),
    "voltage_compliance": ((("obs", "power.voltage"),), 2, False),
    "outage_customers_now": (_CASES, 4, False),
    "gas_leak_open": ((("obs", "gas.ch4_lel"),), 4, False),
    "heating_indoor_temp_compliance": ((("obs", "heat.indoor_temp"),), 3, False),
}
SCALES: tuple[Any, ...] = (
    ("traffic", "network_mean_speed", 30, 25, 20),
    ("traffic", "travel_time_reliability_p95", 1.8 + (1.8 - 2.5), 1.8, 2.5),
    ("traffic", "traffic_incidents_open", 0, 20, 50),
    ("public_transport", "bus_departure_punctuality", 100, 90, 80),
    ("public_transport", "metro_station_density_max", 2.15 + (2.15 - 4), 2.15, 4),
    ("parking", "parking_occupancy", 75, 85, 95),
    ("parking", "parking_full_count", 0.3 + (0.3 - 0.5), 0.3, 0.5),
    ("water", "water_quality_compliance", 100, 99, 95),
    ("water", "dma_night_flow_ratio", 0.35 + (0.35 - 0.5), 0.35, 0.5),
    ("power", "power_asai", 99.95 + (99.95 - 99.9), 99.95, 99.9),
    ("power", "voltage_compliance", 100, 98, 95),
    ("power", "outage_customers_now", 0, 500, 5000),
    ("gas", "gas_leak_open", 0, 1, 3),
    ("heating", "heating_indoor_temp_compliance", 100, 98, 95),
)
SKETCHES = {"travel_time_reliability_p95": 2}
HORIZON = {"transit.trip": 3 * DAY}
FUTURE = {"transit.trip": DAY}


# What is said.


def trips(writer: Any, w: bytes) -> None:
    """Trips that are planned, leave, and are cancelled."""
    for k in range(1 + w[9] % 4):
        choice = random.Random(w + bytes([k]))
        time = writer.time(w[1], w[2])
        planned = time + choice.choice((-9 * HOUR, -10 * MINUTE, -5 * MINUTE, -MINUTE, 0, 4 * MINUTE, 5 * HOUR))
        late = choice.choice((None, None, -61_000, -60_000, 0, 1, 300_000, 300_001, 20 * MINUTE))
        writer.add(
            "transit.trip", time, f"TR{choice.randrange(8)}", choice.randrange(64), route="bus-1", sched_dep=planned,
            actual_dep=None if late is None else planned + late, cancelled=choice.choice((None, None, False, True)),
        )  # fmt: skip


#: Most moves of a case of ours, in their order.
_PATH = ("reported", "accepted", "filed", "dispatched", "received", "handled", "verified", "closed", "reopened")


def trouble(writer: Any, w: bytes) -> None:
    """An accident, an outage or a leak as a case that walks some way."""
    choice = random.Random(w)
    time = writer.time(w[1], w[2]) - choice.choice((0, HOUR, 30 * HOUR))
    said: dict[str, Any] = {
        "category": choice.choice(("traffic.accident", "traffic.jam", "power_outage", "power_outage", "gas_leak", "x")),
        "channel": choice.choice((None, "iot", "12345")),
    }
    customers = choice.choice((None, 0, 7, 40, 10_000))
    place = choice.randrange(64)
    for move in _PATH[: choice.randrange(2, len(_PATH) + 1)]:
        more: dict[str, Any] = {}
        if move == "reported":
            more = dict(said)
        elif move == "filed":
            more = {"due_at": time + 9 * HOUR, "customers": customers}
            more |= {"category": "power_outage"} if choice.random() < 0.3 else {}
        elif move == "verified":
            more = {"passed": choice.random() < 0.9}
        writer.add(f"case.{move}", time, f"N{w[3] % 6}", place, **more)
        time += choice.choice((0, MINUTE, 17 * MINUTE, 5 * HOUR))


def water_day(writer: Any, w: bytes) -> None:
    """A meter of a metering area for a day or so, a reading each quarter, some left out."""
    choice = random.Random(w)
    device, count = choice.choice(("F1", "F1", "F2", "F3")), choice.choice((60, 97, 110))
    gaps, start = choice.choice((0, 0.1, 0.3)), writer.time(w[1], w[2]) - (count - 1) * 15 * MINUTE
    for k in range(count):
        if choice.random() >= gaps:
            writer.add("obs", start + k * 15 * MINUTE, device, property="water.flow", quality="good",
                       value=choice.choice(SENT["water.flow"][1]))  # fmt: skip


def heat(writer: Any, w: bytes) -> None:
    """A network says whether it is in season; some rooms are measured."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    for k in range(choice.randrange(3)):
        writer.add("heating.season", time - k * HOUR, f"net{choice.randrange(3)}", choice.randrange(64),
                   on=choice.random() < 0.7)  # fmt: skip
    for _ in range(choice.randrange(8)):
        devices, values = SENT["heat.indoor_temp"]
        writer.add("obs", time - choice.randrange(20) * 11 * MINUTE, choice.choice(devices), quality="good",
                   property="heat.indoor_temp", value=choice.choice(values))  # fmt: skip


def speeds(writer: Any, w: bytes) -> None:
    """Speeds of roads about one time of the day, now and a day before, some with the flow of the same time."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    for _ in range(1 + choice.randrange(6)):
        at, road = (
            time - choice.choice((0, 0, 9 * MINUTE, DAY, DAY - HOUR)),
            choice.choice(("T1", "T2", "T3", "R3", "R4")),
        )
        writer.add("obs", at, road, property="traffic.speed", quality="good",
                   value=choice.choice((0.9, 1, 7.3, 12, 33.3, 60)))  # fmt: skip
        if choice.random() < 0.5:
            writer.add("obs", at + MINUTE, road, property="traffic.flow", quality="good", value=choice.choice((3, 40)))


_METERS = ("parking.occupied", "crowd.count", "water.turbidity", "water.chlorine", "water.ph", "power.voltage")


def meters(writer: Any, w: bytes) -> None:
    """A few readings of car parks, stations, taps and voltages within minutes."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    props = choice.choice((_METERS[:1], _METERS[1:2], _METERS[2:5], _METERS[5:], _METERS))
    for _ in range(1 + choice.randrange(9)):
        prop = choice.choice(props)
        devices, values = SENT[prop]
        place = choice.randrange(64) if choice.random() < 0.2 else 0
        writer.add("obs", time - choice.randrange(6) * MINUTE, choice.choice(devices), place, property=prop,
                   quality=choice.choice(("good", "good", "good", "suspect")), value=choice.choice(values))  # fmt: skip


deeds = (trips, trouble, trouble, water_day, heat, speeds, meters, meters)


def revise(first: dict[str, Any], w: bytes) -> dict[str, Any]:
    """What a correction says otherwise."""
    if first["type"] == "transit.trip":
        return {"actual_dep": first["sched_dep"] + (-MINUTE, 3 * MINUTE, HOUR)[w[6] % 3]}
    if first["type"] == "heating.season":
        return {"on": w[6] % 2 == 0}
    if first["type"] == "case.filed" and "customers" in first:
        return {"customers": (3, 900)[w[6] % 2]}
    if first["type"] == "case.reported" and "category" in first:
        return {"category": ("power_outage", "gas_leak", "traffic.jam")[w[6] % 3]}
    return {}


# What it comes to.


def recount(o: Any, live: list[Any], newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """Everything of this module."""
    obs = [e for e in live if e["type"] == "obs" and e.get("quality") == "good"]
    cases = list(o.fold([e for e in live if e["type"].startswith("case.")]).values())
    roads(o, obs, newest, out)
    jams = [(c["at"], 1) for c in cases if c.get("category", "").startswith("traffic.") and c["state"] in OPEN]
    out["traffic_incidents_open"] = zeros(o) | {row: float(len(v)) for row, v in o.grouped(jams).items()}
    buses(o, live, out)
    stations_and_parks(o, obs, newest, out)
    water(o, obs, out)
    power(o, obs, cases, out)
    leaks(o, newest, cases, out)
    rooms(o, obs, live, out)


def zeros(o: Any) -> dict[int, float]:
    """A true zero at every scope: tallies over cases know every scope."""
    return dict.fromkeys(range(len(o.world.level)), 0.0)


def road_of(o: Any, subject: str, name: str) -> Any:
    """An attribute of the road that a device observes, else its own."""
    entity = o.world.entities.get(subject, {})
    return o.world.entities.get(entity.get("observes", ""), {}).get(name, entity.get(name))


def roads(o: Any, obs: list[Any], newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """Mean speed, and the planning time index."""
    pairs = []
    for (subject, prop), e in newest.items():
        if prop != "traffic.speed" or e.get("quality") != "good" or o.now >= e["time"] + 15 * MINUTE:
            continue
        length, flow = road_of(o, subject, "length_m"), newest.get((subject, "traffic.flow"))
        if length is None or e["value"] < 1 or flow is None or abs(flow["time"] - e["time"]) > 15 * MINUTE:
            continue
        vkt = flow["value"] * length / 1000
        pairs.append((e["at"], (round(vkt * 1000), round(vkt / e["value"] * 1_000_000))))
    out["network_mean_speed"] = o.upto(2, {
        row: rounded((sum(d for d, _ in v) / 1000) / (sum(h for _, h in v) / 1_000_000), 1)
        for row, v in o.grouped(pairs).items() if sum(h for _, h in v)
    })  # fmt: skip
    ratios = []
    for e in obs:
        if e["property"] != "traffic.speed" or e["value"] < 1 or not o.inside(e["time"], 7 * DAY, HOUR):
            continue
        free, length = (road_of(o, e["subject"], name) for name in ("free_flow_kmh", "length_m"))
        same_hour = (o.pane(o.now, HOUR) - o.pane(e["time"], HOUR)) % 24 == 0
        if free is not None and length is not None and same_hour:
            ratios.append((e["at"], (free / e["value"], round(length))))
    out["travel_time_reliability_p95"] = o.upto(2, {row: weighted(v, 0.95) for row, v in o.grouped(ratios).items()})


def weighted(pairs: list[tuple[float, int]], q: float) -> float:
    """The value of rank floor(q * (W - 1)) where each value counts as often as its weight says."""
    rank, seen = math.floor(q * (sum(w for _, w in pairs) - 1)), 0
    for value, weight in sorted(pairs):
        seen += weight
        if seen > rank:
            return value
    raise AssertionError("a rank lies within the weights")


def buses(o: Any, live: list[Any], out: dict[str, dict[int, float]]) -> None:
    """Trips that left in time, of those of which it is decided."""
    parts = []
    for e in {e["subject"]: e for e in live if e["type"] == "transit.trip"}.values():
        planned, left, off = e["sched_dep"], e.get("actual_dep"), e.get("cancelled") is True
        if planned > o.now or not o.inside(planned, DAY, HOUR):
            continue
        if off or left is not None or o.now > planned + 5 * MINUTE:
            fine = not off and left is not None and -MINUTE <= left - planned <= 5 * MINUTE
            parts.append((e["at"], fine))
    out["bus_departure_punctuality"] = o.upto(1, o.share(parts))


def stations_and_parks(o: Any, obs: list[Any], newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """People in metro stations, cars in car parks."""
    dense = []
    for e in obs:
        if e["property"] == "crowd.count" and o.inside(e["time"], 10 * MINUTE, MINUTE):
            seen = o.world.entities.get(o.world.entities.get(e["subject"], {}).get("observes", ""), {})
            if seen.get("facility_kind") == "metro_station" and seen.get("usable_area_m2"):
                dense.append((e["at"], round(e["value"] / seen["usable_area_m2"] * 1000) / 1000))
    out["metro_station_density_max"] = {row: rounded(max(v), 2) for row, v in o.grouped(dense).items()}
    taken = []
    for (subject, prop), e in newest.items():
        own = o.world.entities.get(subject, {})
        if prop != "parking.occupied" or e.get("quality") != "good":
            continue
        if o.now >= e["time"] + 2000 * own.get("period_s", 3600):
            continue
        seen = o.world.entities.get(own.get("observes", ""), {})
        place = seen if seen.get("facility_kind") == "parking" else own
        if place.get("facility_kind") == "parking" and place.get("capacity"):
            taken.append((e["at"], (e["value"], place["capacity"])))
    groups = o.grouped(taken)
    out["parking_occupancy"] = {
        row: rounded(100 * sum(n for n, _ in v) / sum(c for _, c in v), 1) for row, v in groups.items()
    }
    full = {row: float(sum(n * 100 >= c * 95 for n, c in v)) for row, v in groups.items()}
    out["parking_full_count"] = o.upto(2, full)
    out["parking_full_count|scale"] = o.upto(2, {row: float(len(v)) for row, v in groups.items()})


def water(o: Any, obs: list[Any], out: dict[str, dict[int, float]]) -> None:
    """Limits of tap water, flow at night."""
    limits = {"water.turbidity": (0, 1), "water.chlorine": (0.05, 99), "water.ph": (6.5, 8.5)}
    parts = []
    for e in obs:
        if e["property"] in limits and o.inside(e["time"], DAY, HOUR):
            low, high = limits[e["property"]]
            parts.append((e["at"], low <= e["value"] <= high))
    out["water_quality_compliance"] = o.upto(2, o.share(parts))
    quarters: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for e in obs:
        seen = o.world.entities.get(o.world.entities.get(e["subject"], {}).get("observes", ""), {})
        area = seen.get("facility_kind") == "dma" and e["property"] == "water.flow"
        if area and o.inside(e["time"], DAY, 15 * MINUTE):
            quarters[e["subject"]][o.pane(e["time"], 15 * MINUTE)].append(round(e["value"] * 100))
    ratios = []
    for subject, by in quarters.items():
        night = [sum(v) / len(v) for q, v in by.items() if 8 <= q % 96 < 20]
        flow = sum(sum(v) for v in by.values()) / sum(len(v) for v in by.values())
        if len(night) >= 9 and len(by) >= 72 and flow:
            ratios.append((int(o.world.entities[subject]["scope"]), min(night) / flow))
    out["dma_night_flow_ratio"] = o.upto(3, {row: rounded(max(v), 3) for row, v in o.grouped(ratios).items()})


def power(o: Any, obs: list[Any], cases: list[Any], out: dict[str, dict[int, float]]) -> None:
    """Availability, voltage, customers without power."""
    outages = [c for c in cases if c.get("category") == "power_outage" and c.get("customers")]
    lost = []
    for c in outages:
        if c["state"] in OPEN + DONE and c.get("filed") is not None:
            end = o.now if c["closed"] is None else min(o.now, c["closed"])
            lost.append((c["at"], c["customers"] * max(0, end - max(c["filed"], o.now - 30 * DAY))))
    sums = {row: sum(v) for row, v in o.grouped(lost).items()}
    grids = [(e["scope"], e["power_customers"]) for e in o.world.entities.values() if "power_customers" in e]
    out["power_asai"] = o.upto(2, {
        row: rounded(100 * (1 - min(sums.get(row, 0) / (sum(v) * 30 * DAY), 1)), 4)
        for row, v in o.grouped(grids).items() if sum(v)
    })  # fmt: skip
    now = [(c["at"], c["customers"]) for c in outages if c["state"] in OPEN]
    out["outage_customers_now"] = zeros(o) | {row: float(sum(v)) for row, v in o.grouped(now).items()}
    parts = []
    for e in obs:
        meter = o.world.entities.get(e["subject"], {})
        nominal, phases = meter.get("nominal_voltage"), meter.get("phases")
        if e["property"] != "power.voltage" or not nominal or not o.inside(e["time"], DAY, 15 * MINUTE):
            continue
        if phases == 1 or (phases == 3 and nominal <= 20_000):
            thousandths = round(e["value"] * 10) * 100
            parts.append((e["at"], nominal * (900 if phases == 1 else 930) <= thousandths <= nominal * 1070))
    out["voltage_compliance"] = o.upto(2, o.share(parts))


def leaks(o: Any, newest: dict[Any, Any], cases: list[Any], out: dict[str, dict[int, float]]) -> None:
    """Detectors in alarm that nobody acknowledged, and cases of other channels."""
    parts = []
    for (subject, prop), e in newest.items():
        if prop == "gas.ch4_lel" and e.get("quality") != "bad":
            safe = newest.get((subject, "gas.safe"))
            checked = safe is not None and safe["value"] == 1 and safe["time"] >= e["time"]
            parts.append((e["at"], e["value"] >= 20 and not checked))
    for c in cases:
        if c.get("category") == "gas_leak" and c["state"] in OPEN and c.get("channel") != "iot":
            parts.append((c["at"], True))
    out["gas_leak_open"] = {row: float(sum(v)) for row, v in o.grouped(parts).items()}


def rooms(o: Any, obs: list[Any], live: list[Any], out: dict[str, dict[int, float]]) -> None:
    """Warm rooms by their newest hour, where a network is on."""
    world = o.world
    named: dict[int, int] = {}  # the coarsest scope whose unlocated grid it is
    for row, grid in enumerate(world.unlocated):
        if grid not in named or world.level[row] < world.level[named[grid]]:
            named[grid] = row
    told = {e["subject"]: e for e in live if e["type"] == "heating.season"}.values()
    where = [world.unlocated[0] if e["at"] < 0 else e["at"] for e in told if e["on"]]
    heated = {named.get(scope, scope) for scope in where}
    hours: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for e in obs:
        if e["property"] == "heat.indoor_temp" and e["subject"] and o.inside(e["time"], DAY, HOUR):
            house = world.entities.get(world.entities[e["subject"]].get("observes", ""), {})
            if house.get("heated") != 0:
                hours[e["subject"]][o.pane(e["time"], HOUR)].append(round(e["value"] * 10))
    parts = []
    for subject, by in hours.items():
        scope, last = int(world.entities[subject]["scope"]), by[max(by)]
        if heated & set(world.path(scope)):
            parts.append((scope, sum(last) >= 180 * len(last)))
    out["heating_indoor_temp_compliance"] = o.upto(3, o.share(parts))
