"""Recounts of bins, lamps, components, manhole covers, cases and grid workers."""

from __future__ import annotations

import math
import random
from typing import Any

from tests.indicators.oracle_law import DAY, DONE, HOUR, MINUTE, OPEN, rounded

DEVICES: tuple[tuple[str, int, float | None, int | None, dict[str, Any]], ...] = (
    ("bin1", 3, 300, 1, {"observes": "part1", "properties": "bin.fill"}),
    ("bin2", 3, 300, 1, {"properties": "bin.fill"}),
    ("bin3", 13, None, 1, {"properties": "bin.fill"}),
    ("lamp1", 4, 300, 1, {"observes": "part2", "properties": "lamp.power_state"}),
    ("lamp2", 4, 300, 1, {"observes": "part3", "properties": "lamp.power_state"}),
    ("lamp3", 12, 300, 1, {"observes": "part4", "properties": "lamp.power_state"}),
    ("lamp4", 5, 300, 1, {"properties": "lamp.power_state"}),
    ("cover1", 6, 300, 1, {"observes": "part5", "properties": "manhole.open manhole.tilt"}),
    ("cover2", 6, 300, 1, {"properties": "manhole.tilt"}),
    ("cover3", 11, 300, 1, {"properties": "manhole.open manhole.tilt"}),
)
FACILITIES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("part1", 3, {"facility_kind": "waste_bin", "state": "normal"}),
    ("part2", 4, {"facility_kind": "streetlight", "state": "normal", "schedule": "always"}),
    ("part3", 4, {"facility_kind": "streetlight", "state": "damaged", "schedule": "dusk"}),
    ("part4", 12, {"facility_kind": "streetlight", "schedule": "always"}),
    ("part5", 6, {"facility_kind": "manhole", "state": "normal"}),
    ("part6", 6, {"facility_kind": "hydrant", "state": "out_of_service"}),
    ("part7", 9, {"facility_kind": "park", "state": "damaged"}),
    ("part8", 15, {"facility_kind": "signal", "state": "lost"}),
)
SENT: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "bin.fill": (("bin1", "bin2", "bin3"), (0, 89.9, 90, 120.5)),
    "lamp.power_state": (("lamp1", "lamp2", "lamp3", "lamp4"), (0, 1, 1)),
    "manhole.open": (("cover1", "cover3"), (0, 1)),
    "manhole.tilt": (("cover1", "cover2", "cover3"), (0, 14.9, 15, 90)),
}
SCALES = (
    ("sanitation", "bin_overflow_ratio", 0, 5, 10),
    ("lighting", "streetlight_lit_rate", 100, 98, 96),
    ("lighting", "facility_intact_rate", 100, 98, 95),
    ("lighting", "manhole_alarm_open", 0, 1, 5),
    ("social_governance", "case_overdue_open", 0, 0.01, 0.05),
    ("social_governance", "case_closing_rate", 100, 95, 90),
    ("social_governance", "case_rework_rate", 0, 5, 10),
    ("social_governance", "case_handling_time_p90", 0.8 + (0.8 - 1), 0.8, 1),
    ("social_governance", "case_hotspot_grids", 0, 1, 10),
    ("social_governance", "grid_worker_presence", 100, 90, 80),
    ("social_governance", "grid_patrol_coverage", 100, 95, 85),
    ("social_governance", "proactive_discovery_rate", 80, 60, 40),
)
_CASES, _WALKS = (("case", ""),), (("vehicle.pos", ""),)
FEEDS: dict[str, tuple[tuple[tuple[str, str], ...], int, bool]] = {
    "bin_overflow_ratio": ((("obs", "bin.fill"),), 4, False),
    "streetlight_lit_rate": ((("obs", "lamp.power_state"),), 4, False),
    "facility_intact_rate": ((), 4, False),
    "manhole_alarm_open": ((("obs", "manhole.open"), ("obs", "manhole.tilt"), ("case", "")), 4, False),
    "case_accepted_rate_10k": (_CASES, 3, True),
    "case_filing_rate": (_CASES, 2, True),
    "case_closing_rate": (_CASES, 4, True),
    "case_rework_rate": (_CASES, 2, True),
    "case_handling_time_p90": (_CASES, 2, False),
    "case_hotspot_grids": (_CASES, 2, False),
    "grid_worker_presence": (_WALKS, 3, False),
    "grid_patrol_coverage": (_WALKS, 3, False),
    "proactive_discovery_rate": (_CASES, 2, True),
}
SKETCHES = {"case_handling_time_p90": 2}
HORIZON = {"vehicle.pos": DAY}
COMPONENTS = (
    "waste_bin", "streetlight", "manhole", "hydrant", "bus_stop", "signal", "transformer", "gas_regulator", "bridge",
    "underpass",
)  # fmt: skip
NOT_IN_SERVICE = ("closed", "out_of_service", "planned", "removed", "void")
CATEGORIES = ("facility.manhole", "facility.manhole.cover", "facility.road", "sanitation.litter")
CHANNELS = ("patrol", "12345", "iot", "video", "ai", None)
HOMES = ("C0000", "C0011", "C1101", "C010", "nowhere", None)


# What happens.


def walk(writer: Any, w: bytes) -> None:
    """A grid worker tells a few positions, mostly near home."""
    choice, time = random.Random(w), writer.time(w[1], w[2])
    home = HOMES[w[3] % len(HOMES)]
    for k in range(1 + w[4] % 4):
        at = {"C0000": 0, "C0011": 3, "C1101": 13}.get(str(home), 7)
        place = 7 * (at if choice.random() < 0.7 else choice.randrange(16)) + 6 if choice.random() < 0.8 else w[7]
        writer.add(
            "vehicle.pos", time - k * choice.choice((5_000, 10 * MINUTE, 3 * HOUR)), f"worker{w[5] % 7}", place,
            kind=("grid_worker", "grid_worker", "grid_worker", "sweeper")[w[6] % 4], home=home,
            on_duty=(True, True, True, False, None)[choice.randrange(5)], speed=3.5,
        )  # fmt: skip


def told_case(writer: Any, w: bytes) -> None:
    """A case with a category and a channel, told straight on to some state, now and then back for rework."""
    choice, code, time = random.Random(w), f"told{w[3] % 8}", writer.time(w[1], w[2]) - w[8] % 5 * 7 * HOUR
    path = ["reported", "accepted", "filed", "dispatched", "received", "handled", "verified", "closed", "evaluated"]
    if w[4] % 3 == 0:
        path[6:6] = ["verified-", "dispatched", "received", "handled"]
    for k, move in enumerate(path[: 1 + w[5] % (len(path) + 3)]):
        fields: dict[str, Any] = {"actor": "a"}
        if move == "reported" or (move == "filed" and choice.random() < 0.2):
            fields |= {"category": choice.choice(CATEGORIES), "channel": choice.choice(CHANNELS)}
        if move == "filed":
            fields["due_at"] = time + choice.choice((HOUR, 5 * HOUR, 30 * HOUR))
        if move.startswith("verified"):
            fields["passed"] = move == "verified"
        if move == "evaluated":
            fields |= {"resolved": choice.choice((True, False, None)), "satisfied": choice.choice((True, False, None))}
        writer.add(f"case.{move.rstrip('-')}", time, code, w[7] if k in (0, 2) else 0, **fields)
        time += choice.choice((MINUTE, 20 * MINUTE, 2 * HOUR))


deeds = (walk, walk, told_case, told_case)


def revise(first: dict[str, Any], w: bytes) -> dict[str, Any]:
    """A correction tells another channel, duty or answer."""
    if "channel" in first:
        return {"channel": CHANNELS[w[6] % 5], "category": CATEGORIES[w[7] % 4]}
    if "on_duty" in first:
        return {"on_duty": w[6] % 2 == 0}
    return {"resolved": w[6] % 2 == 0} if "resolved" in first else {}


# What it comes to.


def recount(oracle: Any, live: list[dict[str, Any]], newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """All of these themes."""
    furniture(oracle, newest, out)
    cases = list(oracle.fold([e for e in live if e["type"].startswith("case.")]).values())
    covers(oracle, newest, cases, out)
    rates(oracle, cases, out)
    times(oracle, cases, out)
    hotspots(oracle, cases, out)
    workers(oracle, [e for e in live if e["type"] == "vehicle.pos"], out)


def furniture(oracle: Any, newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """Bins, lamps, components."""
    now, known = oracle.now, oracle.world.entities
    fine = {k: e for k, e in newest.items() if e.get("quality") == "good"}
    bins = [e for (_, p), e in fine.items() if p == "bin.fill" and now < e["time"] + HOUR]
    out["bin_overflow_ratio"] = oracle.share((e["at"], e["value"] >= 90) for e in bins)
    lon, lat = (sum(e["lonlat"][i] for e in known.values()) / len(known) for i in (0, 1))
    dark = all(sun(lon, lat, now + k * 15 * MINUTE) < -0.833 for k in (-1, 0, 1))
    lamps = []
    for (subject, prop), e in fine.items():
        if prop == "lamp.power_state" and now < e["time"] + 15 * MINUTE:
            seen = known.get(known.get(subject, {}).get("observes", ""), {})
            if dark or seen.get("schedule") == "always":
                lamps.append((e["at"], e["value"] == 1))
    out["streetlight_lit_rate"] = oracle.share(lamps)
    parts = [
        (e["scope"], e["state"] == "normal") for e in known.values()
        if e.get("facility_kind") in COMPONENTS and e.get("state") and e["state"] not in NOT_IN_SERVICE
    ]  # fmt: skip
    out["facility_intact_rate"] = oracle.share(parts)


def covers(oracle: Any, newest: dict[Any, Any], cases: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Open and tilted manhole covers."""
    fresh = {
        k: e for k, e in newest.items()
        if k[1] in ("manhole.open", "manhole.tilt") and e.get("quality") == "good" and oracle.now < e["time"] + HOUR
    }  # fmt: skip
    alarms = {s for (s, p), e in fresh.items() if e["value"] >= (1 if p == "manhole.open" else 15) and s}
    reported = [
        c for c in cases
        if c["state"] in OPEN and c["state"] not in ("handled", "verified") and c.get("channel") != "iot"
        and str(c.get("category", "")).startswith("facility.manhole")
    ]  # fmt: skip
    bad = [(oracle.world.entities[s]["scope"], 1) for s in alarms] + [(c["at"], 1) for c in reported]
    watched = [(e["at"], 0) for e in fresh.values()]
    out["manhole_alarm_open"] = {row: float(sum(v)) for row, v in oracle.grouped(bad + watched).items()}


def rates(oracle: Any, cases: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Everything that is keyed to a time of a case."""
    zero = dict.fromkeys(range(len(oracle.world.level)), 0.0)
    is_open = oracle.grouped((c["at"], 1) for c in cases if c["state"] in OPEN)
    out["case_overdue_open|scale"] = zero | {row: float(len(v)) for row, v in is_open.items()}
    people = [(e["scope"], e["population"]) for e in oracle.world.entities.values() if e["kind"] == "grid"]
    residents = {row: sum(v) for row, v in oracle.grouped(people).items()}
    for part, back in (("", 0), ("|closed", 1)):

        def within(case: dict[str, Any], key: str, days: int, back: int = back) -> bool:
            time = case.get(key)
            there = time is not None and time <= oracle.now
            return there and oracle.inside(time, days * DAY, days * DAY, back)

        accepted = oracle.grouped((c["at"], 1) for c in cases if within(c, "accepted_at", 1))
        rate = {row: rounded(10_000 * len(accepted.get(row, ())) / n, 2) for row, n in residents.items() if n}
        out[f"case_accepted_rate_10k{part}"] = oracle.upto(3, rate)
        month = [c for c in cases if within(c, "accepted_at", 30)]
        share = oracle.share((c["at"], c.get("filed") is not None) for c in month)
        out[f"case_filing_rate{part}"] = oracle.upto(2, share)
        due = [c for c in cases if within(c, "due", 30) and c["state"] in OPEN + DONE]
        due = [c for c in due if not (c["state"] in ("deferred", "parked") and oracle.now < c["until"])]
        out[f"case_closing_rate{part}"] = oracle.share((c["at"], c["state"] in DONE) for c in due)
        passed = [c for c in cases if within(c, "verified_at", 30)]
        out[f"case_rework_rate{part}"] = oracle.upto(2, oracle.share((c["at"], c["rework"] > 0) for c in passed))
        filed = [c for c in cases if within(c, "filed", 30)]
        found = oracle.share((c["at"], c.get("channel") in ("patrol", "iot", "video", "ai")) for c in filed)
        out[f"proactive_discovery_rate{part}"] = oracle.upto(2, found)


def times(oracle: Any, cases: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Hours of handling against the limits of the same cases."""
    done = []
    for c in cases:
        end, sent = c.get("handled_at"), c.get("dispatched_at")
        if end is None or sent is None or c["due"] is None or c.get("filed") is None or end > oracle.now:
            continue
        limit = c["due"] - c["filed"] - c["held"]
        if end >= sent and limit > 0 and oracle.inside(end, 30 * DAY, HOUR):
            done.append((c["at"], ((end - sent) / HOUR, limit / HOUR)))
    groups = oracle.grouped(done)
    for key, which in (("case_handling_time_p90", 0), ("case_handling_time_p90|scale", 1)):
        found = {row: oracle.quantile(sorted(pair[which] for pair in v), 0.9) for row, v in groups.items()}
        out[key] = oracle.upto(2, found)


def hotspots(oracle: Any, cases: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Gi* of the cases filed in a week, by grid."""
    world = oracle.world
    places = [(e["scope"], e["lonlat"]) for e in world.entities.values() if e["kind"] == "grid"]
    count: dict[int, int] = {}
    for c in cases:
        time = c.get("filed")
        counts = time is not None and time <= oracle.now and c["state"] in OPEN + DONE
        if counts and oracle.inside(time, 7 * DAY, HOUR):
            count[c["at"]] = count.get(c["at"], 0) + 1
    hot = hot_places([p for _, p in places], [count.get(s, 0) for s, _ in places])
    groups = oracle.grouped((s, h) for (s, _), h in zip(places, hot, strict=True))
    out["case_hotspot_grids"] = oracle.upto(2, {row: float(sum(v)) for row, v in groups.items()})


def hot_places(lonlat: list[tuple[float, float]], count: list[int]) -> list[bool]:
    """Which places are hot: Gi* with the eight nearest both ways, then Benjamini-Hochberg at 1 %."""
    n = len(count)
    wide = math.cos(math.radians(sum(p[1] for p in lonlat) / n)) * 111_195
    at = [(round(lon * wide), round(lat * 111_195)) for lon, lat in lonlat]
    near: list[set[int]] = [{i} for i in range(n)]
    for i in range(n):
        far = sorted(((at[i][0] - at[j][0]) ** 2 + (at[i][1] - at[j][1]) ** 2, j) for j in range(n) if j != i)
        for _, j in far[:8]:
            near[i].add(j)
            near[j].add(i)
    mean = sum(count) / n
    variance = sum(x * x for x in count) / n - mean * mean
    if variance < 1e-9:
        return [False] * n
    z = []
    for mine in near:
        w = len(mine)
        scale = math.sqrt(variance * (n * w - w * w) / (n - 1)) if w < n else math.nan
        z.append((sum(count[j] for j in mine) - w * mean) / scale if w < n else math.nan)
    p = [math.erfc(abs(v) / math.sqrt(2)) for v in z]
    known = sorted(v for v in p if not math.isnan(v))
    fine = [v for k, v in enumerate(known, 1) if v <= 0.01 * k / len(known)]
    return [zi >= 2.58 and pi <= max(fine, default=-1) for zi, pi in zip(z, p, strict=True)]


def workers(oracle: Any, walks: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Who is on post, and which grids were visited."""
    world, now = oracle.world, oracle.now
    duty = []
    for e in {e["subject"]: e for e in walks}.values():
        if e.get("kind") == "grid_worker" and e.get("on_duty") and now < e["time"] + 12 * HOUR:
            home = world.row.get(e.get("home"), -1)
            at = e["at"] if e["at"] >= 0 else world.unlocated[0]
            known = home >= 0 and world.level[home] == 4
            duty.append((home if known else at, known and home == at and now <= e["time"] + 30 * MINUTE))
    out["grid_worker_presence"] = oracle.upto(3, oracle.share(duty))
    seen = {
        e["at"] for e in walks
        if e.get("kind") == "grid_worker" and e.get("on_duty") is not False and oracle.inside(e["time"], DAY, HOUR)
    }  # fmt: skip
    out["grid_patrol_coverage"] = oracle.upto(3, oracle.share((g, g in seen) for g in world.grids))


def sun(lon: float, lat: float, ms: float) -> float:
    """Height of the sun's centre in degrees, by the equations of the NOAA solar calculator."""
    t = (ms / 86_400_000 + 2440587.5 - 2451545.0) / 36525.0
    longitude0 = math.radians((280.46646 + t * (36000.76983 + 0.0003032 * t)) % 360.0)
    anomaly = math.radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    e = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    centre = math.sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
    centre += math.sin(2 * anomaly) * (0.019993 - 0.000101 * t) + math.sin(3 * anomaly) * 0.000289
    node = math.radians(125.04 - 1934.136 * t)
    longitude = longitude0 + math.radians(centre - 0.00569 - 0.00478 * math.sin(node))
    seconds = 21.448 - t * (46.8150 + t * (0.00059 - t * 0.001813))
    tilt = math.radians(23.0 + (26.0 + seconds / 60.0) / 60.0 + 0.00256 * math.cos(node))
    declination = math.asin(math.sin(tilt) * math.sin(longitude))
    y = math.tan(tilt / 2.0) ** 2
    equation = y * math.sin(2 * longitude0) - 2 * e * math.sin(anomaly)
    equation += 4 * e * y * math.sin(anomaly) * math.cos(2 * longitude0)
    equation -= 0.5 * y * y * math.sin(4 * longitude0) + 1.25 * e * e * math.sin(2 * anomaly)
    minutes = (ms / MINUTE) % 1440.0 + 4.0 * math.degrees(equation) + 4.0 * lon
    hour, phi = math.radians(minutes / 4.0 - 180.0), math.radians(lat)
    height = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour)
    return math.degrees(math.asin(height))
