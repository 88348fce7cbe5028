"""Ground truth: plain recounts of what was sent, in Python without anything of the engine or the indicators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Coded, Strings
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.recount import services_at

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
FINISHED = frozenset({"closed", "evaluated", "rejected", "merged", "voided"})

Event = dict[str, Any]


def rows_of(batch: EventBatch) -> Iterator[Event]:
    """Each event of a batch as a dictionary of stored values; None where missing."""
    n = len(batch)
    columns: dict[str, list[Any]] = {}
    for name, column in batch.fields.items():
        missing: Any = None if isinstance(column, Strings | Coded) else -1 if column.dtype == np.int8 else MISSING
        columns[name] = [None if v == missing else v for v in column.tolist()]
    base = {
        "time": batch.time.tolist(), "id": batch.id.tolist(), "source": batch.source.tolist(),
        "subject": batch.subject.tolist(), "corrects": batch.corrects.tolist(), "revision": batch.revision.tolist(),
    }  # fmt: skip
    for i in range(n):
        yield {k: v[i] for k, v in base.items()} | {k: v[i] for k, v in columns.items()} | {"type": batch.type}


@dataclass(slots=True)
class Truth:
    """Keeps the newest revision of every event that counts, by (source, id)."""

    town: Town
    events: dict[str, dict[tuple[str, str], Event]] = field(default_factory=dict)

    def see(self, batches: Iterable[EventBatch]) -> None:
        """Take note of events that were sent; duplicates change nothing, a correction replaces its original."""
        for batch in batches:
            known = self.events.setdefault(batch.type, {})
            for event in rows_of(batch):
                key = (event["source"], event["corrects"] or event["id"])
                old = known.get(key)
                if old is None or event["revision"] > old["revision"]:
                    known[key] = event

    def of(self, *types: str) -> list[Event]:
        """Events of these types in order of (time, source, id, revision)."""
        found = [e for t in types for e in self.events.get(t, {}).values()]
        return sorted(found, key=lambda e: (e["time"], e["source"], e["id"], e["revision"]))

    def at(self, now: int) -> dict[str, float | None]:
        """The numbers at `now`.

        cases_open, cases_overdue; waterlog_points (newest good depth >= 15 cm), waterlog_depth_now (the deepest of
        these newest), waterlog_depth_max (in thirty 1-minute panes); river_level_max (highest newest good level);
        rain_1h_max (mm in twelve 5-minute panes); devices_in_service, devices_online (last reading at most three
        periods old); calls_offered_1h, calls_answered_1h, calls_abandoned_1h (sixty 1-minute panes); codes_today,
        code_users_today, batches_due_today, batches_on_time_today (local day); units_busy; runs_open. Panes are those
        up to the open one of `now`. Those of `recount.services_at` besides. None: nothing was sent that could tell.
        """
        newest = self.readings(now)
        return {
            **self.cases(now), **self.water(newest, now), **self.services(now), "rain_1h_max": self.rain(now),
            "devices_in_service": float(len(np.unique(self.town.streams.device))),
            "devices_online": float(self.online(newest, now)), **services_at(self, now),
        }  # fmt: skip

    def readings(self, now: int) -> dict[tuple[str, str], list[Event]]:
        """Readings of each (device, property) up to `now`, oldest first."""
        out: dict[tuple[str, str], list[Event]] = {}
        for event in self.of("obs"):
            if event["time"] <= now:
                out.setdefault((event["subject"], event["property"]), []).append(event)
        return out

    def online(self, newest: dict[tuple[str, str], list[Event]], now: int) -> int:
        """Devices whose last reading or status is at most three periods old."""
        s = self.town.streams
        codes, period = s.devices.code.tolist(), dict[str, int]()
        for device, ms in zip(s.device.tolist(), s.period_ms.tolist(), strict=True):
            period[codes[device]] = ms
        last: dict[str, int] = {}
        for (subject, _), events in newest.items():
            last[subject] = max(last.get(subject, 0), events[-1]["time"])
        for event in self.of("device.status"):
            if event["time"] <= now:
                last[event["subject"]] = max(last.get(event["subject"], 0), event["time"])
        return sum(now - t <= 3 * period[code] for code, t in last.items())

    def water(self, newest: dict[tuple[str, str], list[Event]], now: int) -> dict[str, float | None]:
        """Standing water and the river."""

        def good(name: str) -> list[float]:
            scale = self.town.vocabulary.properties[name].per_unit
            kept = [[e for e in v if e["quality"] == "good"] for (_, p), v in newest.items() if p == name]
            return [v[-1]["value"] / scale for v in kept if v]

        depth, river = good("waterlog.depth"), good("river.level")
        start, scale = now // MINUTE * MINUTE - 29 * MINUTE, self.town.vocabulary.properties["waterlog.depth"].per_unit
        lately = [
            e["value"] / scale
            for (_, p), v in newest.items()
            if p == "waterlog.depth"
            for e in v
            if e["quality"] == "good" and e["time"] >= start
        ]
        return {
            "waterlog_points": float(sum(d >= 15 for d in depth)), "waterlog_depth_now": max(depth, default=None),
            "waterlog_depth_max": max(lately, default=None), "river_level_max": max(river, default=None),
        }  # fmt: skip

    def rain(self, now: int) -> float | None:
        """Most rain of one gauge in the last hour, mm."""
        start, sums = now // (5 * MINUTE) * 5 * MINUTE - 55 * MINUTE, dict[str, int]()
        for event in self.of("obs"):
            if event["property"] == "rain.depth" and event["quality"] == "good" and start <= event["time"] <= now:
                sums[event["subject"]] = sums.get(event["subject"], 0) + event["value"]
        scale = self.town.vocabulary.properties["rain.depth"].per_unit
        return max(sums.values()) / scale if sums else None

    def cases(self, now: int) -> dict[str, float | None]:
        """Cases that are open, and those beyond their due time, holds taken off."""
        state: dict[str, str] = {}
        due: dict[str, int] = {}
        hold: dict[str, int] = {}
        for event in self.of(*(t for t in self.events if t.startswith("case."))):
            case, move = event["subject"], event["type"][5:]
            if event["time"] > now:
                break
            if case in hold and move != "escalated":
                due[case] -= max(0, hold.pop(case) - event["time"])
            if move == "filed":
                due[case] = event["due_at"]
            if move == "deferred":
                hold[case] = event["until"]
                due[case] += max(0, event["until"] - event["time"])
            state[case] = move
        is_open = [c for c in due if state[c] not in FINISHED]
        return {"cases_open": float(len(is_open)), "cases_overdue": float(sum(due[c] < now for c in is_open))}

    def services(self, now: int) -> dict[str, float | None]:
        """Calls of the last hour, code uses and deliveries of the local day, units and runs of the moment."""
        midnight = (now + self.town.offset_ms) // DAY * DAY - self.town.offset_ms
        start = now // MINUTE * MINUTE - 59 * MINUTE
        calls = {
            f"calls_{t}_1h": float(sum(start <= e["time"] <= now for e in self.of(f"call.{t}")))
            for t in ("offered", "answered", "abandoned")
        }
        codes = [e for e in self.of("citycode.use") if midnight <= e["time"] <= now]
        deliveries = {e["subject"]: e for e in self.of("data.batch") if e["time"] <= now}.values()
        due = [e for e in deliveries if midnight <= e["due_at"] <= now]
        units = {e["subject"]: e["state"] for e in self.of("unit.state") if e["time"] <= now}
        begun = {e["subject"] for e in self.of("emergency.received") if e["time"] <= now}
        ended = {e["subject"] for e in self.of("emergency.closed") if e["time"] <= now}
        return {
            **calls,
            "codes_today": float(len(codes)), "code_users_today": float(len({e["user"] for e in codes})),
            "batches_due_today": float(len(due)),
            "batches_on_time_today": float(
                sum(e["received_at"] is not None and e["received_at"] <= e["due_at"] for e in due)
            ),
            "units_busy": float(sum(s == "busy" for s in units.values())), "runs_open": float(len(begun - ended)),
        }  # fmt: skip
