"""Cameras, crowds, organisations, inspections, beds, schools, calls for help, sights and courts, counted plainly."""

from __future__ import annotations

import random
from typing import Any

from tests.indicators.oracle_law import DAY, HOUR, MESSAGES, MINUTE, rounded

Event = dict[str, Any]

_CAMERA = {"device_kind": "camera"}
DEVICES = (
    ("c-cam1", 0, 300, 1, {**_CAMERA, "role": "key_area", "observes": "c-hall1", "building": "c-b1", "grid": "C0000"}),
    ("c-cam2", 0, 60, 1, {**_CAMERA, "role": "key_area", "grid": "C0000"}),
    ("c-cam3", 9, None, 1, {**_CAMERA, "role": "ordinary"}),
    ("c-cam4", 9, 300, 0, {**_CAMERA, "role": "key_area"}),
    ("c-cam5", 13, 300, None, {**_CAMERA, "role": "key_area"}),
    ("c-count", 3, 60, 1, {"device_kind": "crowd_counter", "observes": "c-hall2", "properties": "crowd.count"}),
    ("c-lost", 6, 60, 1, {"device_kind": "crowd_counter", "observes": "c-hall3", "properties": "crowd.count"}),
)  # fmt: skip
CAMERAS = ("c-cam1", "c-cam2", "c-cam3", "c-cam4", "c-cam5")
FACILITIES = (
    ("c-hall1", 0, {"facility_kind": "venue", "usable_area_m2": 120.5, "building": "c-b1", "grid": "C0000"}),
    ("c-hall2", 3, {"facility_kind": "venue", "usable_area_m2": 33.3, "building": "c-b1", "grid": "none"}),
    ("c-hall3", 6, {"facility_kind": "venue", "usable_area_m2": 0.0, "building": "c-a1", "grid": "C0010"}),
    ("c-lake", 2, {"facility_kind": "scenic_area", "capacity": 300, "building": "c-b2", "grid": "C0011"}),
    ("c-hill", 12, {"facility_kind": "scenic_area", "capacity": 77}),
    ("c-path", 2, {"facility_kind": "scenic_area"}),
    ("c-park", 2, {"facility_kind": "venue", "capacity": 10}),
    ("c-court1", 4, {"facility_kind": "sports_venue", "courts": 3, "open_hours": 12.5}),
    ("c-court2", 11, {"facility_kind": "sports_venue", "courts": 5, "open_hours": 14.0}),
    ("c-court3", 11, {"facility_kind": "sports_venue", "courts": 2}),
    ("c-court4", 11, {"facility_kind": "park", "courts": 2, "open_hours": 24.0}),
    ("c-bed1", 1, {"facility_kind": "hospital"}), ("c-bed2", 13, {"facility_kind": "hospital"}),
    ("c-school1", 5, {"facility_kind": "school"}), ("c-school2", 8, {"facility_kind": "school"}),
)  # fmt: skip

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)


def check_character(body: str) -> str:
    """Last place of a unified social credit code (GB 32100-2015) after these 17."""
    total = sum(_ALPHABET.index(c) * w for c, w in zip(body, _WEIGHTS, strict=True))
    return _ALPHABET[(31 - total % 31) % 31]


def right(code: str) -> bool:
    """Whether a code keeps the rule; all areas of the tests are of province 42 or 35."""
    fits = len(code) == 18 and set(code) <= set(_ALPHABET) and code[2:8].isdigit() and code[2:4] in ("42", "35")
    return fits and check_character(code[:17]) == code[17]


CODES = tuple(body + check_character(body) for body in (f"91420100MA0000{i}5" for i in (10, 27, 33, 48, 51, 69)))
#: Organisations that the register has from the start; two more come by events alone.
ENTITIES: tuple[tuple[str, str, int, Event], ...] = (
    ("building", "c-b1", 0, {"grid": "C0000"}), ("building", "c-b2", 2, {}), ("address", "c-a1", 0, {}),
    ("organisation", CODES[0], 0, {"address": "c-a1", "grid": "C0000"}), ("organisation", CODES[1], 0, {}),
    ("organisation", CODES[2], 6, {"address": "c-b1", "grid": "C0110"}), ("organisation", CODES[3], 9, {}),
    ("house", "c-h1", 0, {"building": "c-b1", "address": "c-a1", "grid": "C0000"}),
    ("house", "c-h2", 0, {"building": "c-b1", "grid": "C0000"}), ("house", "c-h3", 15, {"building": "c-none"}),
    ("population", "c-p1", 0, {"grid": "C0000", "house": "c-h1"}), ("population", "c-p2", 10, {"house": "c-h2"}),
)  # fmt: skip
SENT = {"crowd.count": (("c-cam1", "c-count", "c-lost", "c-hall1"), (0, 30, 71, 72, 259, 260, 482))}

HORIZON = {"bed.change": 35 * DAY, "school.attendance": 35 * DAY, "venue.gate": DAY, "venue.booking": 35 * DAY}
SKETCHES = {"elder_sos_response_p90": 2}
SCALES = (
    ("safe_city", "camera_intact_key_rate", 100, 98, 95), ("safe_city", "camera_online_rate", 100, 95, 90),
    ("safe_city", "crowd_density_max", 2.15 + (2.15 - 4), 2.15, 4), ("economy", "entity_net_growth", 1, 0, -1),
    ("market", "inspection_completion_rate", 100, 95, 90), ("health", "bed_occupancy", 77, 85, 93),
    ("education", "school_attendance_rate", 99, 96, 93), ("elderly", "elder_sos_response_p90", 0, 5, 10),
    ("culture_tourism", "scenic_load_ratio", 0.8 + (0.8 - 1.0), 0.8, 1.0),
)  # fmt: skip
_STATUS = (("device.status", ""),)
FEEDS = {
    "camera_intact_key_rate": (_STATUS, 4, False),
    "camera_online_rate": (_STATUS, 4, False),
    "crowd_density_max": ((("obs", "crowd.count"),), 4, False),
    "entity_net_growth": ((("org.registered", ""),), 2, True),
    "inspection_completion_rate": ((("inspection", ""),), 2, True),
    "bed_occupancy": ((("bed.change", ""),), 1, False),
    "school_attendance_rate": ((("school.attendance", ""),), 2, True),
    "elder_sos_response_p90": ((("alarm", ""),), 3, False),
    "scenic_load_ratio": ((("venue.gate", ""),), 4, False),
    "sport_venue_utilisation": ((("venue.booking", ""),), 2, True),
}


# What a history may say.


def refuse(oracle: Any, e: Event) -> str:
    """The door of the register: codes of new organisations must be right, those that end known, and none taken back."""
    if e["type"].startswith("org.") and e.get("retracted"):
        return "bad_correction"
    if e["type"] == "org.registered":
        return "" if right(e["subject"]) else "invalid_entity"
    if e["type"] == "org.cancelled":
        known = any(s["type"] == "org.registered" and s["subject"] == e["subject"] for s in oracle.seen.values())
        static = oracle.world.entities.get(e["subject"], {}).get("kind") == "organisation"
        return "" if known or static else "unknown_subject"
    return ""


def _place(w: bytes) -> int:
    return w[7] if w[8] % 3 == 0 else 0


def camera(writer: Any, w: bytes) -> None:
    """A camera or two tell of themselves."""
    for k in range(1 + w[9] % 3):
        state = ("online", "online", "online", "fault")[(w[4] + k) % 4]
        diagnosis = ("ok", "ok", "ok", "blurred", None)[(w[5] + k) % 5]
        time = writer.time(w[1], w[2]) - k * 90_000
        writer.add("device.status", time, CAMERAS[(w[3] + k) % 5], _place(w), state=state, diagnosis=diagnosis)


def organisation(writer: Any, w: bytes) -> None:
    """An organisation begins, is told of again, or ends; now and then one without a right code."""
    code = CODES[w[3] % len(CODES)] if w[3] < 250 else "91420100MA00001051"
    if w[4] % 3 == 0:
        writer.add("org.cancelled", writer.time(w[1], w[2]), code, why=("closed", "revoked")[w[5] % 2])
        return
    address, grid = ("c-a1", "c-b1", None)[w[5] % 3], ("C0000", "C1111", None)[w[6] % 3]
    writer.add("org.registered", writer.time(w[1], w[2]), code, w[7], address=address, grid=grid)


def inspection(writer: Any, w: bytes) -> None:
    """An inspection is planned and done, in time, late or never."""
    code, time, choice = f"I{w[3] % 6}", writer.time(w[1], w[2]), random.Random(w[4])
    due = time + choice.choice((-HOUR, 9 * HOUR, 30 * HOUR))
    if w[5] % 5:
        writer.add("inspection.planned", time, code, w[7], due_at=due)
    if w[6] % 3:
        writer.add("inspection.done", due + choice.choice((-2 * HOUR, 3 * HOUR)), code, _place(w), result="passed")


def counts(writer: Any, w: bytes) -> None:
    """Beds of a hospital, pupils of a school, visitors of a sight."""
    time, kind = writer.time(w[1], w[2]), w[3] % 3
    if kind == 0:
        subject = ("c-bed1", "c-bed2", "c-bed9")[w[4] % 3]
        writer.add("bed.change", time, subject, _place(w), occupied=w[5], open=(0, 100, 230)[w[6] % 3])
    elif kind == 1:
        subject = ("c-school1", "c-school2", "c-school9")[w[4] % 3]
        writer.add("school.attendance", time, subject, _place(w), present=w[5], enrolled=(0, 255, 300)[w[6] % 3])
    else:
        for k in range(1 + w[9] % 4):
            subject = ("c-lake", "c-hill", "c-path", "c-park", "c-lake")[(w[4] + k) % 5]
            writer.add("venue.gate", time - k * MINUTE, subject, _place(w), entered=w[5] + 20 * k, left=w[6] // 2)


def crowd(writer: Any, w: bytes) -> None:
    """Counters of people, shortly before a tick as a rule."""
    devices, values = SENT["crowd.count"]
    for k in range(1 + w[9] % 4):
        quality = ("good", "good", "good", "bad")[(w[4] + k) % 4]
        value, device = values[(w[5] + k) % len(values)], devices[(w[6] + k) % len(devices)]
        time = writer.time(w[1], w[2]) - k * 40_000
        writer.add("obs", time, device, _place(w), property="crowd.count", value=value, quality=quality)


def call(writer: Any, w: bytes) -> None:
    """A call for help and its answer."""
    code, time = f"SOS{w[3] % 8}", writer.time(w[1], w[2])
    if w[4] % 5:
        writer.add("alarm.sos", time, code, w[7], person=f"p{w[3] % 3}")
    for k in range(w[5] % 3):
        after = (-30_000, 0, 2, 95_000, 4 * MINUTE, 3 * HOUR)[(w[6] + k) % 6]
        writer.add("alarm.contacted", time + after, code, _place(w), person=f"p{w[3] % 3}")


def booking(writer: Any, w: bytes) -> None:
    """A court is booked, or called off."""
    time = writer.time(w[1], w[2])
    start = time + (-5 * HOUR, 0, 7 * MINUTE, 11 * HOUR)[w[4] % 4]
    end = start + (0, HOUR, 90 * MINUTE, 100_001)[w[5] % 4]
    writer.add(
        "venue.booking", time, f"BK{w[3] % 5}", (7, 5, 6, 0)[w[6] % 4] + 7 * (w[7] % 16), venue="c-court1", start=start,
        end=end, cancelled=(None, None, 0, 1)[w[8] % 4],
    )  # fmt: skip


deeds = (camera, organisation, inspection, counts, crowd, call, booking)


def revise(first: Event, w: bytes) -> Event:
    """How a correction differs."""
    if "diagnosis" in first:
        return {"diagnosis": ("ok", "dark")[w[6] % 2], "state": ("online", "offline")[w[7] % 2]}
    if "occupied" in first:
        return {"occupied": w[6], "open": 100 + w[7] % 2}
    if "enrolled" in first:
        return {"present": w[6], "enrolled": 280}
    if "entered" in first:
        return {"entered": 2 * w[6], "left": w[7]}
    if first["type"] == "venue.booking":
        return {"end": first["start"] + w[6] * MINUTE, "cancelled": w[7] % 3 // 2}
    return {}


# The recounts.


def recount(oracle: Any, live: list[Event], newest: dict[tuple[str, str], Event], out: dict[str, Any]) -> None:
    """All of them."""
    del newest
    _cameras(oracle, live, out)
    _crowds(oracle, live, out)
    _growth(oracle, out)
    _inspections(oracle, live, out)
    _counts(oracle, live, out)
    _calls(oracle, live, out)
    _courts(oracle, live, out)


def ratio(
    oracle: Any, finest: int, parts: list[tuple[int, tuple[float, float]]], decimals: int = 2
) -> dict[int, float]:
    """100 * sum of the first over sum of the second, by scope, where the second is not 0."""
    found = {}
    for row, pairs in oracle.grouped(parts).items():
        top, bottom = sum(p[0] for p in pairs), sum(p[1] for p in pairs)
        if bottom:
            found[row] = rounded(100 * top / bottom, decimals)
    return dict(oracle.upto(finest, found))


def _cameras(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    entities = oracle.world.entities
    mine = {
        c: e for c, e in entities.items()
        if e["kind"] == "device" and e.get("device_kind") == "camera" and e.get("in_service") == 1
    }  # fmt: skip
    said = {e["subject"]: e for e in live if e["type"] == "device.status"}
    good, all_ = [], [e["scope"] for e in mine.values() if e.get("role") == "key_area"]
    for code, e in said.items():
        if code in mine and mine[code].get("role") == "key_area" and e["state"] == "online":
            good += [e["at"]] if e.get("diagnosis") == "ok" else []
    intact = {r: len(v) for r, v in oracle.grouped((s, 1) for s in good).items()}
    cameras = {r: len(v) for r, v in oracle.grouped((s, 1) for s in all_).items()}
    out["camera_intact_key_rate"] = {r: rounded(100 * min(intact.get(r, 0), n) / n, 2) for r, n in cameras.items()}
    last: dict[str, int] = {}
    for e in live:
        if e["type"] in MESSAGES and e["subject"] in mine:
            last[e["subject"]] = max(last.get(e["subject"], e["time"]), e["time"])
    online = []
    for code, e in mine.items():
        period, time = e.get("period_s"), last.get(code)
        up = time is not None and period is not None and time - MINUTE <= oracle.now <= time + 3000 * period
        online.append((e["scope"], up))
    out["camera_online_rate"] = oracle.share(online)


def _crowds(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    entities, found = oracle.world.entities, []
    for e in live:
        if e["type"] != "obs" or e["property"] != "crowd.count" or e.get("quality") != "good":
            continue
        own = entities.get(e["subject"], {})
        area = entities.get(own.get("observes", ""), {}).get("usable_area_m2", own.get("usable_area_m2"))
        if area and oracle.inside(e["time"], 5 * MINUTE, 30_000):
            found.append((e["at"], round(e["value"] / area * 1000)))
    out["crowd_density_max"] = {r: rounded(max(v) / 1000, 2) for r, v in oracle.grouped(found).items()}


def organisations(oracle: Any) -> dict[str, Event]:
    """The register of organisations by what it was told, in order of arrival; what is told is not taken back."""
    found: dict[str, Event] = {}
    for code, e in oracle.world.entities.items():
        if e["kind"] == "organisation":
            said = {k: (0, e.get(k)) for k in ("address", "grid") if e.get(k)}
            found[code] = {"since": 0, "newest": 0, "end": None, "said": said | {"scope": (0, e["scope"])}}
    for e in oracle.seen.values():
        time = e["time"]
        if e["type"] == "org.registered":
            one = found.setdefault(e["subject"], {"since": time, "newest": time, "end": None, "said": {}})
            one["since"], one["newest"] = min(one["since"], time), max(one["newest"], time)
            if one["end"] is not None and one["end"] < one["newest"]:
                one["end"] = None
            placed = oracle.scope(e) if e.get("scope") or e.get("lon") is not None else None
            for key, value in (("address", e.get("address")), ("grid", e.get("grid")), ("scope", placed)):
                if value is not None and time >= one["said"].get(key, (time,))[0]:
                    one["said"][key] = (time, value)
        elif e["type"] == "org.cancelled" and time >= found[e["subject"]]["newest"]:
            one = found[e["subject"]]
            one["end"] = time if one["end"] is None else max(one["end"], time)
    return {c: one | {k: v for k, (_, v) in one["said"].items()} for c, one in found.items()}


def _growth(oracle: Any, out: dict[str, Any]) -> None:
    length, now = 30 * DAY, oracle.now
    for key, back in (("entity_net_growth", 0), ("entity_net_growth|closed", 1)):
        start = oracle.origin + (oracle.pane(now, length) - back) * length
        stop = min(start + length, now + 1)
        parts = []
        for one in organisations(oracle).values():
            begun, ended = start <= one["since"] < stop, one["end"] is not None and start <= one["end"] < stop
            stock = one["since"] < start and (one["end"] is None or one["end"] >= start)
            parts.append((one.get("scope", -1), (begun - ended, stock)))
        out[key] = ratio(oracle, 2, parts)


def _inspections(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    plans = oracle.journeys(live, "inspection.planned", "inspection.done").values()
    for key, back in (("inspection_completion_rate", 0), ("inspection_completion_rate|closed", 1)):
        due = [
            p for p in plans
            if "planned_at" in p and p["due_at"] <= oracle.now and oracle.inside(p["due_at"], 30 * DAY, 30 * DAY, back)
        ]  # fmt: skip
        out[key] = oracle.upto(2, oracle.share((p["at"], "done_at" in p) for p in due))


def _counts(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    beds = {e["subject"]: e for e in live if e["type"] == "bed.change"}.values()
    out["bed_occupancy"] = ratio(oracle, 1, [(e["at"], (e["occupied"], e["open"])) for e in beds])
    for key, back in (("school_attendance_rate", 0), ("school_attendance_rate|closed", 1)):
        rolls = [e for e in live if e["type"] == "school.attendance" and oracle.inside(e["time"], DAY, DAY, back)]
        out[key] = ratio(oracle, 2, [(e["at"], (e["present"], e["enrolled"])) for e in rolls])
    loads = []
    for e in live:
        place = oracle.world.entities.get(e["subject"], {})
        if e["type"] != "venue.gate" or place.get("facility_kind") != "scenic_area" or not place.get("capacity"):
            continue
        if oracle.inside(e["time"], 10 * MINUTE, MINUTE):
            loads.append((e["at"], round(max(0, e["entered"] - e["left"]) / place["capacity"] * 1000)))
    out["scenic_load_ratio"] = {r: rounded(max(v) / 1000, 3) for r, v in oracle.grouped(loads).items()}


def _calls(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    waits = []
    for c in oracle.journeys(live, "alarm.sos", "alarm.contacted").values():
        if "sos_at" not in c or "contacted_at" not in c or c["contacted_at"] < c["sos_at"] or c["sos_at"] > oracle.now:
            continue
        if oracle.inside(c["sos_at"], 30 * DAY, HOUR):
            waits.append((c["at"], (c["contacted_at"] - c["sos_at"]) / MINUTE))
    groups = oracle.grouped(waits)
    out["elder_sos_response_p90"] = oracle.upto(3, {r: oracle.quantile(sorted(v), 0.9) for r, v in groups.items()})


def _courts(oracle: Any, live: list[Event], out: dict[str, Any]) -> None:
    venues = [
        (e["scope"], (0, round(e["courts"] * e["open_hours"] * 1000))) for e in oracle.world.entities.values()
        if e.get("facility_kind") == "sports_venue" and e.get("courts") and e.get("open_hours")
    ]  # fmt: skip
    known = {e["subject"]: e for e in live if e["type"] == "venue.booking"}.values()
    for key, back in (("sport_venue_utilisation", 0), ("sport_venue_utilisation|closed", 1)):
        booked = [
            (e["at"], (round((e["end"] - e["start"]) / HOUR * 1000), 0)) for e in known
            if e.get("cancelled") != 1 and e["end"] > e["start"] and e["start"] <= oracle.now
            and oracle.inside(e["start"], DAY, DAY, back)
        ]  # fmt: skip
        found = {}
        for row, pairs in oracle.grouped([*venues, *booked]).items():
            hours, opened = sum(p[0] for p in pairs) / 1000, sum(p[1] for p in pairs) / 1000
            if opened:
                found[row] = rounded(100 * hours / opened, 2)
        out[key] = oracle.upto(2, found)
