"""Ground truth of the services: plain recounts of what schools, halls, buses, registers and emergencies said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin.streams.simulator.day import DAY, HOUR

if TYPE_CHECKING:
    from citytwin.streams.simulator.truth import Truth

Event = dict[str, Any]
Numbers = dict[str, float | None]


def services_at(truth: Truth, now: int) -> Numbers:
    """The numbers of the services at `now`; None where nothing was sent that could tell.

    trips_due_24h, trips_on_time_24h (24 whole hours and the open one; at most a minute early and five late);
    beds_taken, beds_open; pupils_present_today, pupils_enrolled_today; sights_load_max (people inside by capacity);
    court_hours_today (booked and not called off); items, items_online, items_full_online, office_apps, code_services;
    entries_must_link, entries_linked; exchanges_due_today, exchanges_done_today; records_addressed_today,
    records_matched_today; applications_due_30d, applications_on_time_30d, licences_needed_30d, licences_reused_30d,
    inspections_due_30d, inspections_done_30d, hazards_due_30d, hazards_rectified_30d, credits_due_30d,
    credits_on_time_30d (31 local days, today included, due times up to now); fire_arrivals_30d, fire_in_5min_30d;
    ems_turnouts_24h, ems_in_3min_24h; sos_p90_30d (minutes); plan_level; outage_customers; cameras_online,
    pumps_online; workers_on_duty; organisations_new_30d, organisations_gone_30d.
    """
    today = (now + truth.town.offset_ms) // DAY * DAY - truth.town.offset_ms
    month, hours = today - 30 * DAY, now // HOUR * HOUR - 23 * HOUR
    return {
        **_social(truth, now, today, hours), **_offices(truth, now, month), **_data(truth, now, today, month),
        **_emergency(truth, now, month, hours), **_devices(truth, now),
        "organisations_new_30d": float(len(_said(truth, "org.registered", month, now))),
        "organisations_gone_30d": float(len(_said(truth, "org.cancelled", month, now))),
    }  # fmt: skip


def _said(truth: Truth, type: str, since: int, now: int) -> list[Event]:
    return [e for e in truth.of(type) if since <= e["time"] <= now]


def newest(events: Iterable[Event], now: int) -> list[Event]:
    """The newest event of each subject up to `now`; events come in order."""
    return list({e["subject"]: e for e in events if e["time"] <= now}.values())


def folded(truth: Truth, family: str, now: int) -> dict[str, Event]:
    """By subject: the first time of each move (`<word>_at`), the last (`<word>_last`) and the newest known fields."""
    rows: dict[str, Event] = {}
    for event in truth.of(*(t for t in truth.events if t.startswith(family + "."))):
        if event["time"] > now:
            continue
        row, word = rows.setdefault(event["subject"], {}), event["type"].rpartition(".")[2]
        row.setdefault(f"{word}_at", event["time"])
        row[f"{word}_last"] = event["time"]
        row.update({k: v for k, v in event.items() if v is not None and k not in ("time", "id", "source", "type")})
    return rows


def _count(rows: Iterable[object]) -> float:
    return float(sum(1 for row in rows if row))


def _decided(trip: Event, now: int) -> bool:
    """Whether a trip is over: it left, was cancelled, or can no longer leave in time."""
    return bool(trip["cancelled"]) or trip["actual_dep"] is not None or trip["sched_dep"] + 300_001 <= now


def _social(truth: Truth, now: int, today: int, hours: int) -> Numbers:
    trips = [e for e in newest(truth.of("transit.trip"), now) if hours <= e["sched_dep"] <= now and _decided(e, now)]
    late = [e["actual_dep"] - e["sched_dep"] for e in trips if e["actual_dep"] is not None and not e["cancelled"]]
    beds, pupils = newest(truth.of("bed.change"), now), _said(truth, "school.attendance", today, now)
    courts = [e for e in newest(truth.of("venue.booking"), now) if today <= e["start"] < today + DAY]
    sites = truth.town.sites
    room = dict(zip(sites.places.code.tolist(), sites.capacity.tolist(), strict=True))
    inside = [
        (e["entered"] - e["left"]) / room[e["subject"]]
        for e in newest(truth.of("venue.gate"), now)
        if room[e["subject"]] > 0
    ]
    return {
        "trips_due_24h": float(len(trips)), "trips_on_time_24h": _count(-60_000 <= d <= 300_000 for d in late),
        "beds_taken": float(sum(e["occupied"] for e in beds)), "beds_open": float(sum(e["open"] for e in beds)),
        "pupils_present_today": float(sum(e["present"] for e in pupils)),
        "pupils_enrolled_today": float(sum(e["enrolled"] for e in pupils)),
        "sights_load_max": max(inside, default=None),
        "court_hours_today": float(sum(e["end"] - e["start"] for e in courts if not e["cancelled"])) / HOUR,
    }  # fmt: skip


def _offices(truth: Truth, now: int, month: int) -> Numbers:
    items, asked = newest(truth.of("service.item"), now), folded(truth, "service", now)
    due = [r for r in asked.values() if "apply_at" in r and month <= r["due_at"] <= now]
    applied = [e for e in truth.of("service.apply") if month <= e["time"] <= now]
    checks = [r for r in folded(truth, "inspection", now).values() if month <= r["due_at"] <= now]
    return {
        "items": float(len(items)), "items_online": _count(e["state"] == "online" for e in items),
        "items_full_online": _count(e["full_online"] == 1 for e in items),
        "office_apps": _count(e["state"] == "live" for e in newest(truth.of("office.app"), now)),
        "code_services": _count(e["state"] == "live" for e in newest(truth.of("citycode.service"), now)),
        "applications_due_30d": float(len(due)),
        "applications_on_time_30d": _count("done_at" in r and r["done_at"] <= r["due_at"] for r in due),
        "licences_needed_30d": float(sum(e["licences_needed"] for e in applied)),
        "licences_reused_30d": float(sum(e["licences_reused"] for e in applied)),
        "inspections_due_30d": float(len(checks)), "inspections_done_30d": _count("done_at" in r for r in checks),
    }  # fmt: skip


def _data(truth: Truth, now: int, today: int, month: int) -> Numbers:
    entries = folded(truth, "catalogue", now).values()
    alive = [r for r in entries if r["must_link"] and r.get("linked_last", 0) > r.get("unlinked_last", 0)]
    asked = [e for e in newest(truth.of("data.exchange"), now) if today <= e["due_at"] <= now]
    records = [e for e in _said(truth, "record.ingested", today, now) if e["address_text"]]
    credits = [e for e in newest(truth.of("credit.record"), now) if month <= e["due_at"] <= now]
    done = [e for e in asked if e["ok"] == 1 and e["done_at"] is not None and e["done_at"] <= e["due_at"]]
    return {
        "entries_must_link": _count(r["must_link"] for r in entries), "entries_linked": float(len(alive)),
        "exchanges_due_today": float(len(asked)), "exchanges_done_today": float(len(done)),
        "records_addressed_today": float(len(records)),
        "records_matched_today": _count(e["address_id"] for e in records),
        "credits_due_30d": float(len(credits)),
        "credits_on_time_30d": _count((e["reported_at"] or now + DAY) <= e["due_at"] for e in credits),
    }  # fmt: skip


def _emergency(truth: Truth, now: int, month: int, hours: int) -> Numbers:
    runs = folded(truth, "emergency", now).values()
    fire = [r for r in runs if r["kind"] == "fire" and month <= r.get("arrived_at", 0)]
    out = [r for r in runs if r["kind"] == "ems" and hours <= r.get("turnout_at", 0)]
    hazards = [r for r in folded(truth, "hazard", now).values() if month <= r["due_at"] <= now]
    plans = [r for r in folded(truth, "plan", now).values() if "activated_at" in r]
    active = [r["level"] for r in plans if r.get("ended_last", 0) < max(r["activated_last"], r.get("changed_last", 0))]
    calls = [r for r in folded(truth, "alarm", now).values() if "sos_at" in r and month <= r.get("contacted_at", 0)]
    return {
        "fire_arrivals_30d": float(len(fire)),
        "fire_in_5min_30d": _count(r["arrived_at"] - r["dispatched_at"] <= 300_000 for r in fire),
        "ems_turnouts_24h": float(len(out)),
        "ems_in_3min_24h": _count(r["turnout_at"] - r["dispatched_at"] <= 180_000 for r in out),
        "hazards_due_30d": float(len(hazards)),
        "hazards_rectified_30d": _count(r.get("rectified_at", now) <= r["due_at"] for r in hazards),
        "plan_level": float(max(active, default=0)),
        "sos_p90_30d": quantile([(r["contacted_at"] - r["sos_at"]) / 60_000 for r in calls], 0.9),
        "outage_customers": _outages(truth, now),
    }  # fmt: skip


def quantile(values: Sequence[float], q: float) -> float | None:
    """Linear quantile; None of nothing."""
    return float(np.quantile(values, q)) if len(values) else None


def _outages(truth: Truth, now: int) -> float:
    over = {"closed", "evaluated", "rejected", "merged", "voided"}
    customers: dict[str, int] = {}
    for event in truth.of(*(t for t in truth.events if t.startswith("case."))):
        if event["time"] <= now and event["type"] == "case.filed" and event["category"] == "power_outage":
            customers[event["subject"]] = event["customers"]
        elif event["time"] <= now and event["type"][5:] in over:
            customers.pop(event["subject"], None)
    return float(sum(customers.values()))


def _devices(truth: Truth, now: int) -> Numbers:
    state = newest(truth.of("device.status"), now)
    kind = dict(zip(truth.town.streams.devices.code.tolist(), truth.town.streams.devices.kind, strict=True))
    up = [kind.get(e["subject"]) for e in state if e["state"] == "online"]
    walking = [e for e in newest(truth.of("vehicle.pos"), now) if e["kind"] == "grid_worker" and e["on_duty"] == 1]
    return {
        "cameras_online": _count(k == "camera" for k in up), "pumps_online": _count(k == "drain_pump" for k in up),
        "workers_on_duty": float(len(walking)),
    }  # fmt: skip
