"""Recounts of fire brigade and ambulances, accidents, hazards, plans, and of what callers say and how many call."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import Any

from tests.indicators.oracle_law import DAY, HOUR, MINUTE, rounded

SCALES = (
    ("livelihood", "demand_resolution_rate", 100, 90, 80),
    ("livelihood", "demand_satisfaction_rate", 100, 95, 85),
    ("livelihood", "demand_surge_z", 1, 3, 5),
    ("emergency", "fire_arrival_5min_rate", 100, 90, 80),
    ("emergency", "fire_total_response_p90", 288, 384, 480),
    ("emergency", "ems_turnout_3min_rate", 100, 95, 90),
    ("emergency", "ems_response_mean", 9, 12, 15),
    ("emergency", "accident_grade_max", 1, 2, 3),
    ("emergency", "hazard_rectification_rate", 100, 95, 90),
    ("emergency", "response_level_active", 0, 1, 3),
)
_CASES, _RUNS = (("case", ""),), (("emergency", ""),)
FEEDS: dict[str, tuple[tuple[tuple[str, str], ...], int, bool]] = {
    "demand_resolution_rate": (_CASES, 3, True),
    "demand_satisfaction_rate": (_CASES, 3, True),
    "demand_surge_z": (_CASES, 2, True),
    "fire_arrival_5min_rate": (_RUNS, 2, False),
    "fire_total_response_p90": (_RUNS, 2, False),
    "ems_turnout_3min_rate": (_RUNS, 1, False),
    "ems_response_mean": (_RUNS, 2, False),
    "accident_grade_max": (_RUNS, 1, False),
    "hazard_rectification_rate": ((("hazard", ""),), 3, True),
    "response_level_active": ((("plan", ""),), 1, False),
}
SKETCHES = {"fire_total_response_p90": 1}
RUN = ("received", "dispatched", "turnout", "arrived", "controlled", "closed")


# What happens.


def run(writer: Any, w: bytes) -> None:
    """A run of fire engines or ambulances, told up to some step, now and then a step twice or missing."""
    choice, time, code = random.Random(w), writer.time(w[1], w[2]), f"run{w[3] % 9}"
    kind = ("fire", "ems", "ems", "police")[w[4] % 4]
    for k, word in enumerate(RUN[: 1 + w[5] % 7]):
        if choice.random() < 0.9:
            writer.add(f"emergency.{word}", time, code, w[7] if k == 0 else 0, kind=kind, unit="u")
        if choice.random() < 0.1:
            writer.add(f"emergency.{word}", time + choice.choice((-MINUTE, MINUTE)), code, w[8], kind=kind)
        time += choice.choice((1_000, 59_500, 90_000, 2 * MINUTE, 3 * MINUTE, 3 * MINUTE + 1, 5 * MINUTE))


def accident(writer: Any, w: bytes) -> None:
    """An accident at work: a first toll, and now and then a last one."""
    choice, time, code = random.Random(w), writer.time(w[1], w[2]) - w[6] % 3 * DAY, f"accident{w[3] % 4}"
    for word in ("received", "closed")[: 1 + w[4] % 2]:
        toll = {
            "deaths": choice.choice((0, 2, 3, 9, 10, 29, 30, None)),
            "serious_injured": choice.choice((0, 9, 10, 49, 50, 99, 100, None)),
            "loss_yuan": choice.choice((0, 9_999_999, 10_000_000, 50_000_000, 100_000_000, None)),
        }
        if choice.random() < 0.6:
            toll = {k: None if choice.random() < 0.7 else v for k, v in toll.items()}
        writer.add(f"emergency.{word}", time, code, w[7], kind="work_safety", **toll)
        time += choice.choice((MINUTE, 9 * HOUR))


def hazard(writer: Any, w: bytes) -> None:
    """A hazard that is found, looked at and rectified in some order."""
    choice, time, code = random.Random(w), writer.time(w[1], w[2]) - w[8] % 3 * 9 * HOUR, f"hazard{w[3] % 6}"
    due = time + choice.choice((HOUR, 7 * HOUR, 20 * HOUR))
    if w[4] % 8:
        writer.add("hazard.found", time, code, w[7], due_at=due, grade="general")
    for _ in range(w[5] % 4):
        time += choice.choice((MINUTE, 3 * HOUR, 8 * HOUR))
        if choice.random() < 0.6:
            writer.add("hazard.rectified", time, code)
        else:
            writer.add("hazard.inspected", time, code, passed=choice.choice((True, False, None)))


def plan(writer: Any, w: bytes) -> None:
    """A plan begins, changes and ends, not always in this order."""
    choice, time, code = random.Random(w), writer.time(w[1], w[2]) - w[8] % 4 * HOUR, f"plan{w[3] % 3}"
    for word in ("activated", "changed", "ended", "changed")[w[4] % 5 == 0 : 1 + w[5] % 4]:
        level = None if word == "ended" else choice.randrange(1, 5)
        writer.add(f"plan.{word}", time, code, w[7], level=level, plan="flood" if word == "activated" else None)
        time += choice.choice((0, MINUTE, 2 * HOUR))


def weeks(writer: Any, w: bytes) -> None:
    """Cases accepted over the weeks before, some hours of the day more than others, and a rush at the end."""
    choice, end, days = random.Random(w), writer.ticks[w[1] % len(writer.ticks)], 8 + w[3] % 26
    for k in range(10 + w[4] % 50):
        back = choice.randrange(days) * DAY + choice.choice((0, 0, 1, 5, 12)) * HOUR + choice.randrange(HOUR)
        time = end - (choice.randrange(2 * HOUR) if k < w[5] % 24 else back)
        for move in ("reported", "accepted"):
            writer.add(f"case.{move}", time, f"week{w[6]}.{k}", w[7] if k % 3 else 1 + k % 5, actor="a")


deeds = (run, run, accident, hazard, plan, weeks)


def revise(first: dict[str, Any], w: bytes) -> dict[str, Any]:
    """A correction tells another toll, level or kind of run."""
    if "level" in first:
        return {"level": 1 + w[6] % 4}
    if first["type"].startswith("emergency."):
        return {"deaths": (0, 3, 10, 30)[w[6] % 4]} if "deaths" in first else {"kind": ("fire", "ems")[w[6] % 2]}
    return {}


# What it comes to.


def recount(oracle: Any, live: list[dict[str, Any]], newest: dict[Any, Any], out: dict[str, dict[int, float]]) -> None:
    """All of these themes."""
    del newest
    runs = oracle.journeys(live, *(f"emergency.{word}" for word in RUN)).values()
    fires(oracle, [r for r in runs if r.get("kind") == "fire"], out)
    ambulances(oracle, [r for r in runs if r.get("kind") == "ems"], out)
    accidents(oracle, [r for r in runs if r.get("kind") == "work_safety"], out)
    hazards(oracle, live, out)
    plans(oracle, live, out)
    cases = list(oracle.fold([e for e in live if e["type"].startswith("case.")]).values())
    answers(oracle, cases, out)
    surges(oracle, cases, out)


def step(runs: list[dict[str, Any]], begin: str, end: str) -> list[tuple[dict[str, Any], int]]:
    """Runs with both times in order, and the ms between them."""
    both = [(r, r[end] - r[begin]) for r in runs if begin in r and end in r]
    return [(r, ms) for r, ms in both if ms >= 0]


def month(oracle: Any, time: int) -> bool:
    """Whether a time has come and is of the last 30 days in hours."""
    return bool(time <= oracle.now and oracle.inside(time, 30 * DAY, HOUR))


def fires(oracle: Any, runs: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Arrivals of the fire brigade."""
    arrived = [(r, ms) for r, ms in step(runs, "dispatched_at", "arrived_at") if month(oracle, r["arrived_at"])]
    out["fire_arrival_5min_rate"] = oracle.upto(2, oracle.share((r["at"], ms <= 300_000) for r, ms in arrived))
    came = [(r, ms) for r, ms in step(runs, "received_at", "arrived_at") if month(oracle, r["arrived_at"])]
    groups = oracle.grouped((r["at"], ms / 1000) for r, ms in came)
    out["fire_total_response_p90"] = oracle.upto(2, {k: oracle.quantile(sorted(v), 0.9) for k, v in groups.items()})


def ambulances(oracle: Any, runs: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Turnout and response of ambulances."""
    orders = []
    for r in runs:
        sent, left = r.get("dispatched_at"), r.get("turnout_at")
        if sent is None or sent > oracle.now or not oracle.inside(sent, DAY, 15 * MINUTE):
            continue
        followed = left is not None and 0 <= left - sent <= 180_000
        if oracle.now >= (left if followed else sent + 180_001):
            orders.append((r["at"], followed))
    out["ems_turnout_3min_rate"] = oracle.upto(1, oracle.share(orders))
    came = [(r, ms) for r, ms in step(runs, "received_at", "arrived_at") if month(oracle, r["arrived_at"])]
    groups = oracle.grouped((r["at"], ms) for r, ms in came)
    found = {k: rounded(sum(v) / 1000 / len(v) / 60, 2) for k, v in groups.items()}
    out["ems_response_mean"] = oracle.upto(2, found)


def grade(deaths: float, injured: float, yuan: float) -> int:
    """Grade of an accident by order 493."""
    if deaths >= 30 or injured >= 100 or yuan >= 1e8:
        return 4
    if deaths >= 10 or injured >= 50 or yuan >= 5e7:
        return 3
    return 2 if deaths >= 3 or injured >= 10 or yuan >= 1e7 else 1


def accidents(oracle: Any, runs: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """The worst accident of 30 days; a true zero everywhere else."""
    found = [
        (r["at"], grade(*(r.get(k, 0) for k in ("deaths", "serious_injured", "loss_yuan"))))
        for r in runs if "received_at" in r and month(oracle, r["received_at"])
    ]  # fmt: skip
    zero = dict.fromkeys(range(len(oracle.world.level)), 0.0)
    worst = {row: float(max(v)) for row, v in oracle.grouped(found).items()}
    out["accident_grade_max"] = oracle.upto(1, zero | worst)


def hazards(oracle: Any, live: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Hazards fixed by their deadline."""
    rows = oracle.journeys(live, "hazard.found", "hazard.inspected", "hazard.rectified").values()
    for part, back in (("", 0), ("|closed", 1)):
        due = []
        for r in rows:
            time = r.get("due_at")
            if time is None or time > oracle.now or not oracle.inside(time, 30 * DAY, 30 * DAY, back):
                continue
            fixed = r.get("rectified_last")
            failed = r.get("passed") is False and fixed is not None and r["inspected_last"] > fixed
            due.append((r["at"], fixed is not None and fixed <= time and not failed))
        out[f"hazard_rectification_rate{part}"] = oracle.upto(3, oracle.share(due))


def plans(oracle: Any, live: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """The highest level in force; a true zero everywhere else."""
    rows = oracle.journeys(live, "plan.activated", "plan.changed", "plan.ended").values()
    force = []
    for r in rows:
        over, begun = r.get("ended_last"), r.get("activated_last")
        if begun is not None and (over is None or over < max(begun, r.get("changed_last", begun))):
            force.append((r["at"], r["level"]))
    zero = dict.fromkeys(range(len(oracle.world.level)), 0.0)
    highest = {row: float(max(v)) for row, v in oracle.grouped(force).items()}
    out["response_level_active"] = oracle.upto(1, zero | highest)


def answers(oracle: Any, cases: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """What callers said when they were called back."""
    for id, field in (("demand_resolution_rate", "resolved"), ("demand_satisfaction_rate", "satisfied")):
        for part, back in (("", 0), ("|closed", 1)):
            said = []
            for c in cases:
                time = c.get("evaluated_at")
                told = time is not None and time <= oracle.now and c.get(field) is not None
                if told and oracle.inside(time, 30 * DAY, 30 * DAY, back):
                    said.append((c["at"], bool(c[field])))
            out[id + part] = oracle.upto(3, oracle.share(said))


def surges(oracle: Any, cases: list[dict[str, Any]], out: dict[str, dict[int, float]]) -> None:
    """Hourly counts of accepted cases against their forecast."""
    times = [(c["at"], c["accepted_at"]) for c in cases if "accepted_at" in c]
    times = [(at, t) for at, t in times if oracle.now - 32 * DAY <= t <= oracle.now]
    out["demand_surge_z"] = {}
    last = oracle.now // HOUR - 1
    days = min(30, (last - min((t // HOUR for _, t in times), default=last) - 1) // 24)
    if days < 9:
        return
    first = last - 24 * days
    groups = oracle.grouped((at, t // HOUR - first) for at, t in times)
    for row in {0, *groups}:
        counts: dict[int, int] = defaultdict(int)
        for h in groups.get(row, ()):
            counts[h] += 1
        if row == 0 or (oracle.world.level[row] <= 2 and max(counts) >= 0):
            series = [float(counts[h]) for h in range(24 * days)]
            z = surge(series, [counts[24 * days], counts[24 * days + 1]])
            out["demand_surge_z"][row] = rounded(max(z), 2)


def surge(series: list[float], then: list[int]) -> list[float]:
    """How far the two hours after a series are above what Holt-Winters foresees, in robust spreads."""
    level, trend, season = start(series[:48])
    errors: list[list[float]] = [[], []]
    for t in range(24, len(series)):
        k, x = t % 24, series[t]
        if t >= 48 and k < 2:
            errors[k].append(x - ((level + 1 * trend) + season[k]))
        base = level + trend
        new = 0.2 * (x - season[k]) + (1 - 0.2) * base
        trend = 0.01 * (new - level) + (1 - 0.01) * trend
        season[k] = 0.2 * (x - new) + (1 - 0.2) * season[k]
        level = new
    out = []
    for k, n in enumerate(then):
        foreseen = (level + (k + 1) * trend) + season[k]
        middle = median(errors[k])
        spread = 1.4826 * median([abs(e - middle) for e in errors[k]])
        out.append((n - foreseen) / max(spread, math.sqrt(max(foreseen, 1.0))))
    return out


def start(two_days: list[float]) -> tuple[float, float, list[float]]:
    """Level and trend at the end of the first day, and the season, of two days: a line through the moving average."""
    weights = [1 / 24 / 2, *([1 / 24] * 23), 1 / 24 / 2]
    means = [ordered(w * two_days[i + k] for k, w in enumerate(weights)) for i in range(24)]
    off = [i - 11.5 for i in range(24)]
    trend = ordered(o * m for o, m in zip(off, means, strict=True)) / sum(o * o for o in off)
    level = ordered(means) / 24 + trend * -0.5
    rest = {(12 + i) % 24: two_days[12 + i] - means[i] for i in range(24)}
    centre = ordered(rest[k] for k in range(24)) / 24
    return level, trend, [rest[k] - centre for k in range(24)]


def ordered(values: Any) -> float:
    """A sum from left to right: `sum` of Python rounds more finely from 3.12 on."""
    total = None
    for value in values:
        total = value if total is None else total + value
    return float(total or 0.0)


def median(values: list[float]) -> float:
    """The middle of a list."""
    known = sorted(values)
    return 0.5 * (known[(len(known) - 1) // 2] + known[len(known) // 2])
