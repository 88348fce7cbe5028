"""The oracle: a plain recount of every indicator from raw events. Imports nothing of the program.

It keeps all accepted events in a list, and at each question works everything out anew: which revision counts, the
newest reading of each datastream, the fold of each case, the sums of each window. Slow, short, and independent.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from tests.indicators import recounts
from tests.indicators.oracle_law import (
    CHANGE_2026,
    CONGESTED,
    DAY,
    DAY_TABLE,
    DONE,
    HELD,
    HORIZON,
    HOUR,
    HOUR_TABLE,
    MESSAGES,
    MINUTE,
    MOVES,
    OPEN,
    PM_TAIL,
    POLLUTANTS,
    TPI,
    WATER,
    iaqi,
    interpolate,
    rounded,
)

HORIZON = HORIZON | recounts.joined("HORIZON")
FUTURE = recounts.joined("FUTURE")
REFUSE = tuple(refuse for refuse in recounts.of("refuse", None) if refuse)
#: What an event has beside its fields.
FRAME = ("type", "time", "id", "source", "subject", "scope", "lon", "lat", "corrects", "revision", "retracted", "at")
Event = dict[str, Any]
Values = dict[str, dict[int, float]]


class Oracle:
    """Takes raw events and ticks in the order of the log; `values()` recounts everything at the last tick."""

    def __init__(self, world: Any, origin: int) -> None:
        self.world, self.origin, self.now = world, origin, 0
        self.seen: dict[tuple[str, str], Event] = {}
        self.refused: list[tuple[str, str]] = []
        self.lost: set[tuple[str, str]] = set()

    # What is taken.

    def feed(self, events: Iterable[Event]) -> None:
        """Take a batch in: the door looks at each event as things stand before the batch."""
        for event, reason in [(e, self._reason(e)) for e in events]:
            key = (event["source"], event["id"])
            if reason:
                self.refused.append((event["id"], reason))
            elif key not in self.seen:
                self.seen[key] = event
            elif self.seen[key] != event:
                self.refused.append((event["id"], "conflict"))

    def _reason(self, e: Event) -> str:
        kind = self.world.entities.get(e["subject"], {}).get("kind")
        if (e["type"] == "obs" and e["subject"] and not kind) or (e["type"] == "device.status" and kind != "device"):
            return "unknown_subject"
        for refuse in REFUSE:
            if reason := refuse(self, e):
                return str(reason)
        horizon = HORIZON.get(e["type"], 2**62)
        if self.now and e["time"] > self.now + FUTURE.get(e["type"], MINUTE):
            return "future"
        if self.now and e["time"] < self.now - horizon:
            return "horizon"
        if e.get("corrects"):
            original = self.seen.get((e["source"], e["corrects"]))
            if original and (original["type"], original["subject"]) != (e["type"], e["subject"]):
                return "bad_correction"
            if original and original["time"] < self.now - horizon:
                return "horizon"
        return ""

    def tick(self, now: int) -> None:
        """Move the clock; a correction whose original did not come within the horizon is given up."""
        self.now = max(self.now, now)
        for key, e in self.seen.items():
            waits = e.get("corrects") and (e["source"], e["corrects"]) not in self.seen
            if waits and e["time"] < self.now - HORIZON.get(e["type"], 2**62):
                self.lost.add(key)

    # What counts.

    def live(self) -> list[Event]:
        """The revision that counts of each event, in the order (time, source, id, revision)."""
        later: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for key, e in self.seen.items():
            if e.get("corrects") and key not in self.lost:
                later[e["source"], e["corrects"]].append(e)
        out = []
        for key, original in self.seen.items():
            if original.get("corrects"):
                continue
            fits = [e for e in later[key] if (e["type"], e["subject"]) == (original["type"], original["subject"])]
            best = max(fits, key=lambda e: (e["revision"], e["time"], e["id"].encode()), default=original)
            if not best.get("retracted"):
                out.append(best | {"at": self.scope(best)})
        return sorted(out, key=lambda e: (e["time"], e["source"], e["id"].encode(), e.get("revision", 0)))

    def scope(self, e: Event) -> int:
        """Scope row: named, else of the place, else of the entity, else -1."""
        if e.get("scope"):
            return int(self.world.unlocated[self.world.row[e["scope"]]])
        if e.get("lon") is not None:
            found = self.world.locate(e["lon"], e["lat"])
            if found >= 0:
                return int(found)
        entity = self.world.entities.get(e["subject"])
        return -1 if entity is None else int(entity["scope"])

    def pane(self, time: int, length: int) -> int:
        """Number of the pane that holds a time."""
        return (time - self.origin) // length

    def inside(self, time: int, length: int, pane: int, back: int = 0) -> bool:
        """Whether a time lies in the window of `length` in panes of `pane` (`back` = 1: the one before)."""
        current = self.pane(self.now, pane) - back
        return current - length // pane < self.pane(time, pane) <= current

    def above(self, scope: int) -> list[int]:
        """All scopes that count what belongs to a scope."""
        return list(self.world.path(self.world.unlocated[0] if scope < 0 else scope))

    def grouped(self, items: Iterable[tuple[int, Any]]) -> dict[int, list[Any]]:
        """Everything that belongs to each scope, at every level."""
        out: dict[int, list[Any]] = defaultdict(list)
        for scope, item in items:
            for row in self.above(scope):
                out[row].append(item)
        return out

    def upto(self, finest: int, found: dict[int, float]) -> dict[int, float]:
        """Only scopes down to a level."""
        return {row: v for row, v in found.items() if self.world.level[row] <= finest}

    # The indicators.

    def values(self) -> Values:
        """Every indicator at every scope that has a value; `<id>|closed` for tumbling windows."""
        live = self.live()
        obs = [e for e in live if e["type"] == "obs"]
        newest = {(e["subject"], e["property"]): e for e in obs}
        out: Values = {}
        self.traffic(out, newest)
        self.readings(out, obs)
        self.air(out, obs)
        self.flood(out, obs, newest)
        self.cases(out, [e for e in live if e["type"].startswith("case.")])
        self.services(out, live)
        self.devices(out, live)
        self.coverage(out)
        for module in recounts.MODULES:
            module.recount(self, live, newest, out)
        return out

    @staticmethod
    def journeys(live: list[Event], *types: str) -> dict[str, Event]:
        """A folded family by subject: times of each move (first `_at`, newest `_last`), newest fields, place `at`."""
        out: dict[str, Event] = {}
        for e in live:
            if e["type"] not in types:
                continue
            row, word = out.setdefault(e["subject"], {"at": -1}), e["type"].rpartition(".")[2]
            row.setdefault(f"{word}_at", e["time"])
            row[f"{word}_last"] = e["time"]
            row |= {k: v for k, v in e.items() if k not in FRAME and v is not None}
            if e["at"] >= 0:
                row["at"] = e["at"]
        return out

    def share(self, part: Iterable[tuple[int, bool]], decimals: int = 2) -> dict[int, float]:
        """Percentage of the true ones, by scope."""
        return {row: rounded(100 * sum(v) / len(v), decimals) for row, v in self.grouped(part).items()}

    def traffic(self, out: Values, newest: dict[tuple[str, str], Event]) -> None:
        """Travel time, its index, congested length."""
        tti, lengths = [], []
        for (subject, prop), e in newest.items():
            if prop != "traffic.speed" or e.get("quality") != "good" or self.now >= e["time"] + 15 * MINUTE:
                continue
            entity = self.world.entities.get(subject, {})
            seen = self.world.entities.get(entity.get("observes", ""), {})
            road = {k: seen.get(k, entity.get(k)) for k in ("length_m", "free_flow_kmh", "road_class")}
            if road["length_m"] is None:
                continue
            v = e["value"]
            if road["road_class"]:
                jam = v <= CONGESTED[road["road_class"]]
                lengths.append((e["at"], (round(road["length_m"] * 10), jam)))
            flow = newest.get((subject, "traffic.flow"))
            if flow is None or v < 1 or abs(flow["time"] - e["time"]) > 15 * MINUTE or road["free_flow_kmh"] is None:
                continue
            vkt = flow["value"] * road["length_m"] / 1000
            tti.append((e["at"], (round(vkt * road["free_flow_kmh"] / v * 1000), round(vkt * 1000))))
        found = {}
        for row, parts in self.grouped(tti).items():
            time, free = sum(p[0] for p in parts) / 1000, sum(p[1] for p in parts) / 1000
            if free:
                found[row] = rounded(time / free, 3)
        out["traffic_tti"] = found
        out["traffic_tpi"] = self.upto(2, {r: rounded(interpolate(v, TPI), 2) for r, v in found.items()})
        out["congested_length_ratio"] = {
            row: rounded(100 * (sum(m for m, jam in v if jam) / 10) / (sum(m for m, _ in v) / 10), 2)
            for row, v in self.grouped(lengths).items()
        }

    def readings(self, out: Values, obs: list[Event]) -> None:
        """Pressure, gas, standing water, water classes, valid share: over the readings of windows."""

        def good(prop: str, length: int, pane: int, back: int = 0) -> list[Event]:
            return [
                e for e in obs
                if e["property"] == prop and e.get("quality") == "good" and self.inside(e["time"], length, pane, back)
            ]  # fmt: skip

        pressure = good("water.pressure", DAY, 15 * MINUTE)
        out["water_pressure_compliance"] = self.upto(2, self.share((e["at"], e["value"] >= 0.14) for e in pressure))
        for id, prop, length in (
            ("gas_ch4_max", "gas.ch4_lel", 10 * MINUTE), ("waterlog_depth_max", "waterlog.depth", 30 * MINUTE),
        ):  # fmt: skip
            groups = self.grouped((e["at"], e["value"]) for e in good(prop, length, MINUTE))
            out[id] = {row: rounded(max(v), 1) for row, v in groups.items()}
        for key, back in (("surface_water_class", 0), ("surface_water_class|closed", 1)):
            graded = []
            for factor, limits in WATER.items():
                for e in good(f"wq.{factor}", DAY, DAY, back):
                    worse = (e["value"] < x if factor == "do" else e["value"] > x for x in limits)
                    graded.append((e["at"], 1.0 + sum(worse)))
            out[key] = self.upto(2, {row: max(v) for row, v in self.grouped(graded).items()})
        hour = [e for e in obs if self.inside(e["time"], HOUR, MINUTE)]
        out["obs_valid_rate"] = self.share((e["at"], e.get("quality") == "good") for e in hour)

    def air(self, out: Values, obs: list[Event]) -> None:
        """Both air quality indices, in exact fractions of units."""
        hours: dict[str, dict[str, dict[int, list[Fraction]]]] = {p: defaultdict(dict) for p in POLLUTANTS}
        for e in obs:
            kind, _, pollutant = e["property"].partition(".")
            if kind == "air" and e.get("quality") == "good" and e["subject"]:
                found = hours[pollutant][e["subject"]].setdefault(self.pane(e["time"], HOUR), [])
                found.append(Fraction(round(e["value"] * (100 if pollutant == "co" else 10)), 1))
        current = self.pane(self.now, HOUR)
        means = {
            p: {
                s: {h: self.reported(v) for h, v in by.items() if current - 24 < h <= current} for s, by in of.items()
            }
            for p, of in hours.items()
        }  # fmt: skip
        day: dict[str, dict[str, int]] = {p: {} for p in POLLUTANTS}
        for p, of in means.items():
            for station, by in of.items():
                found_day = self.largest_8h(by, current) if p == "o3" else self.mean_of(list(by.values()), 20)
                if found_day is not None:
                    day[p][station] = found_day
        out["aqi"] = self.upto(2, self.index(day, self.now, hourly=False))
        newest: dict[str, int] = {}
        for of in means.values():
            for station, by in of.items():
                newest[station] = max([newest.get(station, 0), *(h for h in by if h >= current - 1)])
        now_means = {
            p: {s: by[newest[s]] for s, by in of.items() if newest[s] and newest[s] in by} for p, of in means.items()
        }
        shift = 0 if current in newest.values() or not any(newest.values()) else HOUR
        out["aqi_hourly"] = self.index(now_means, self.now - shift, hourly=True)

    @staticmethod
    def reported(steps: list[Fraction]) -> int:
        """Mean in whole reported steps (readings are ten times finer), half to even."""
        return round(sum(steps) / len(steps) / 10)

    @staticmethod
    def mean_of(values: list[int], least: int) -> int | None:
        """Mean half to even, if there are enough."""
        return round(Fraction(sum(values), len(values))) if values and len(values) >= least else None

    def largest_8h(self, by: dict[int, int], current: int) -> int | None:
        """Largest mean of eight hours, of at least six; of at least fourteen such means."""
        spans = []
        for end in range(current - 16, current + 1):
            mean = self.mean_of([by[h] for h in range(end - 7, end + 1) if h in by], 6)
            if mean is not None:
                spans.append(mean)
        return max(spans) if len(spans) >= 14 else None

    def index(self, means: dict[str, dict[str, int]], time: int, *, hourly: bool) -> dict[int, float]:
        """AQI by scope: mean over stations, sub-index, largest."""
        new = time >= CHANGE_2026
        tables = dict(HOUR_TABLE if hourly else DAY_TABLE)
        tables["pm25"] = (0, 35, 60 if new else 75, 115, 150, 250, 350, 500)
        tables["pm10"] = (0, 50, 120 if new else 150, 250, *PM_TAIL)
        best: dict[int, float] = {}
        for pollutant, of in means.items():
            placed = ((int(self.world.entities[s]["scope"]), v) for s, v in of.items())
            for row, values in self.grouped(placed).items():
                steps = round(Fraction(sum(values), len(values)))
                value = iaqi(Fraction(steps, 10 if pollutant == "co" else 1), tables[pollutant])
                best[row] = max(best.get(row, 0.0), float(value))
        return best

    def flood(self, out: Values, obs: list[Event], newest: dict[tuple[str, str], Event]) -> None:
        """Rain of an hour, the river, waterlogged points."""
        rain: dict[str, int] = defaultdict(int)
        for e in obs:
            fits = e["property"] == "rain.depth" and e.get("quality") == "good" and e["subject"]
            if fits and self.inside(e["time"], HOUR, 5 * MINUTE):
                rain[e["subject"]] += round(e["value"] * 100)
        placed = ((int(self.world.entities[s]["scope"]), v / 100) for s, v in rain.items())
        out["rain_1h_max"] = {row: rounded(max(v), 2) for row, v in self.grouped(placed).items()}
        fine = [(s, p, e) for (s, p), e in newest.items() if e.get("quality") == "good"]
        hankou = [
            e["value"] for s, p, e in fine
            if p == "river.level" and self.world.entities.get(s, {}).get("station") == "hankou"
        ]  # fmt: skip
        out["river_level"] = {0: rounded(max(hankou), 2)} if hankou else {}
        points = self.grouped((e["at"], e["value"] >= 15) for _, p, e in fine if p == "waterlog.depth")
        out["waterlog_points"] = {row: float(sum(v)) for row, v in points.items()}

    def fold(self, events: list[Event]) -> dict[str, Event]:
        """Each case as it stands: newest known fields, `<state>_at` of its moves, when it was filed, holds, rework."""
        cases: dict[str, Event] = {}
        for e in events:
            case = cases.setdefault(
                e["subject"], {"state": "new", "due": None, "closed": None, "until": None, "at": -1}
            )
            move = e["type"][5:]
            if (move == "verified" and not e["passed"]) or (move == "history" and e.get("closed_at") is None):
                move += "-"
            following = MOVES[case["state"]].get(move)
            if following is None:
                continue
            if following == "<":
                cases[e["subject"]] = case["saved"]
                continue
            if following == "merged":
                case["saved"] = dict(case)
            for known in [case, case["saved"]] if case["state"] == "merged" else [case]:
                self.told(known, e)
            self.move(case, move, following, e)
        return {code: c for code, c in cases.items() if c["state"] != "new"}

    def told(self, case: Event, e: Event) -> None:
        """What an event says of a case besides what it does to it."""
        case |= {k: v for k, v in e.items() if k not in (*FRAME, "due_at", "closed_at", "until") and v is not None}
        if e["at"] >= 0:
            case["at"] = e["at"]

    def move(self, case: Event, move: str, following: str, e: Event) -> None:
        """What a move does to the state, the clocks and the counts of a case."""
        if move == "extended":
            case["due"] = e["due_at"]
        if following == "=":
            return
        hold = max(0, case["until"] - e["time"]) if case["state"] in HELD else 0
        if move == "filed" or (move == "reopened" and e.get("due_at") is not None):
            case["due"] = e["due_at"]
        if following in HELD:
            hold -= max(0, e["until"] - e["time"])
            case["until"] = e["until"]
        if case["due"] is not None:
            case["due"] -= hold
        if move.startswith("history"):
            case["due"], case["closed"] = e.get("due_at"), e.get("closed_at")
        if move == "closed":
            case["closed"] = e["time"]
        if move == "reopened":
            case["closed"] = None
        if move == "filed" or move.startswith("history"):
            case["filed"] = e["created_at"] if move != "filed" else e["time"]
        if move.rstrip("-") not in ("reopened", "history"):
            case[f"{following}_at"] = e["time"]
        case["held"] = case.get("held", 0) - hold
        case["rework"] = case.get("rework", 0) + (move == "verified-")
        case["state"] = following

    def cases(self, out: Values, events: list[Event]) -> None:
        """Backlog, overdue, closed on time."""
        cases = self.fold(events).values()
        # tallies over cases know every scope: no case is a true zero
        zero = dict.fromkeys(range(len(self.world.level)), 0.0)
        is_open = [c for c in cases if c["state"] in OPEN]
        late = []
        for c in is_open:
            if c["due"] is None:
                continue
            held = c["state"] in HELD and c["until"] > c["due"] and self.now < c["until"]
            if not held and self.now > c["due"]:
                late.append(c)
        for id, picked in (("case_backlog", is_open), ("case_overdue_open", late)):
            out[id] = zero | {row: float(len(v)) for row, v in self.grouped((c["at"], 1) for c in picked).items()}
        for key, back in (("case_on_time_closing_rate", 0), ("case_on_time_closing_rate|closed", 1)):
            due = []
            for c in cases:
                if c["due"] is None or c["due"] > self.now:
                    continue
                if not self.inside(c["due"], 30 * DAY, 30 * DAY, back) or c["state"] not in OPEN + DONE:
                    continue
                held = c["state"] in HELD and self.now < c["until"]
                on_time = c["state"] in DONE and c["closed"] is not None and c["closed"] <= c["due"]
                due.append((c["at"], (on_time, held)))
            out[key] = {
                row: rounded(100 * sum(o for o, _ in v) / (len(v) - sum(h for _, h in v)), 2)
                for row, v in self.grouped(due).items() if len(v) > sum(h for _, h in v)
            }  # fmt: skip

    def services(self, out: Values, live: list[Event]) -> None:
        """Hotline, city code, deliveries, latency."""
        hour = [e for e in live if self.inside(e["time"], HOUR, MINUTE)]
        offered, answered = (sum(e["type"] == f"call.{t}" for e in hour) for t in ("offered", "answered"))
        out["hotline_answer_rate"] = {0: rounded(100 * min(answered, offered) / offered, 2)} if offered else {}
        waits = sorted(e["wait_s"] for e in hour if e["type"] in ("call.answered", "call.abandoned"))
        out["hotline_wait_p95"] = {0: self.quantile(waits)} if waits else {}
        for key, back in (("citycode_active_users", 0), ("citycode_active_users|closed", 1)):
            uses = [e for e in live if e["type"] == "citycode.use" and self.inside(e["time"], DAY, DAY, back)]
            groups = self.grouped((e["at"], e["user"]) for e in uses)
            out[key] = self.upto(1, {row: float(len(set(v))) for row, v in groups.items()})
        batches = {e["subject"]: e for e in live if e["type"] == "data.batch"}.values()
        for key, back in (("data_timeliness_rate", 0), ("data_timeliness_rate|closed", 1)):
            due = [b for b in batches if b["due_at"] <= self.now and self.inside(b["due_at"], DAY, DAY, back)]
            parts = ((b["at"], b.get("received_at") is not None and b["received_at"] <= b["due_at"]) for b in due)
            out[key] = self.upto(1, self.share(parts))
        waits = sorted(
            e["published_ts"] - e["event_ts"]
            for e in live
            if e["type"] == "indicator.value" and self.inside(e["time"], 5 * MINUTE, 10_000)
        )
        out["e2e_latency_p95"] = {0: self.quantile(waits)} if waits else {}

    @staticmethod
    def quantile(ordered: list[float], q: float = 0.95) -> float:
        """The value of rank floor(q * (n - 1)), exactly; the sketch is within 1 % of it."""
        return float(ordered[math.floor(q * (len(ordered) - 1))])

    def devices(self, out: Values, live: list[Event]) -> None:
        """Online devices."""
        seen: dict[str, int] = {}
        for e in live:
            if e["type"] in MESSAGES and e["subject"] in self.world.entities:
                seen[e["subject"]] = max(seen.get(e["subject"], 0), e["time"])
        parts = []
        for code, entity in self.world.entities.items():
            if entity["kind"] == "device" and entity.get("in_service") == 1:
                last: Any = seen.get(code)
                period = entity.get("period_s")
                said = last is not None and period is not None
                parts.append((entity["scope"], said and last - MINUTE <= self.now <= last + period * 3000))
        out["device_online_rate"] = self.share(parts)

    def coverage(self, out: Values) -> None:
        """People near a ready station, by the haversine formula."""
        entities = self.world.entities.values()
        stations = [e for e in entities if e.get("facility_kind") == "ems_station" and e.get("state") != "closed"]
        people = [
            (e["scope"], (e["population"], any(self.km(e["lonlat"], s["lonlat"]) <= 5 for s in stations)))
            for e in entities
            if e["kind"] == "grid"
        ]
        found = {
            row: 100 * sum(n for n, near in v if near) / total
            for row, v in self.grouped(people).items()
            if (total := sum(n for n, _ in v))
        }
        out["ems_coverage_5km"] = self.upto(2, {row: rounded(v, 2) for row, v in found.items()})

    @staticmethod
    def km(a: tuple[float, float], b: tuple[float, float]) -> float:
        """Great-circle distance."""
        (x0, y0), (x1, y1) = ((math.radians(p[0]), math.radians(p[1])) for p in (a, b))
        half = math.sin((y1 - y0) / 2) ** 2 + math.cos(y0) * math.cos(y1) * math.sin((x1 - x0) / 2) ** 2
        return 2 * 6371.0088 * math.asin(math.sqrt(half))
