"""How alarms burden those who watch, counted plainly: rate, priorities, and what the desk tells of floods."""

from __future__ import annotations

from typing import Any

from tests.indicators.oracle_law import DAY, MINUTE, rounded

Event = dict[str, Any]

_WORDS = (
    "raised", "cleared", "acknowledged", "shelved", "unshelved", "suppressed", "unsuppressed", "out_of_service",
    "in_service", "escalated", "health",
)  # fmt: skip
ALONE = tuple(f"alarm.{word}" for word in _WORDS)
HORIZON = dict.fromkeys(ALONE, 35 * DAY)
SCALES = (
    ("platform", "alarm_rate", 0, 3, 11), ("platform", "alarm_high_priority_share", 0, 5, 20),
    ("platform", "alarm_flood_share", 0, 1, 5), ("platform", "alarm_chattering", 0, 1, 10),
    ("platform", "alarm_stale", 0, 5, 20), ("platform", "alarm_top_ten_share", 0, 5, 20),
)  # fmt: skip
_FEED = (("alarm.health", ""),)
FEEDS = {id: (_FEED, 1 if id in ("alarm_rate", "alarm_high_priority_share") else 0, False) for _, id, *_ in SCALES}
_DESK = "desk/auto"


def refuse(oracle: Any, e: Event) -> str:
    """What was said of an alarm stands; only the desk itself tells how its alarms are."""
    del oracle
    if e["type"] != "alarm.health":
        return "bad_correction" if e["type"] in ALONE and e.get("corrects") else ""
    return "not_allowed" if e["source"] != _DESK and not e.get("corrects") else ""


def alarms(writer: Any, w: bytes) -> None:
    """A few alarms, or notices, of one rule."""
    for k in range(1 + w[9] % 7):
        notice = (None, None, True, False)[(w[5] + k) % 4]
        time = writer.time(w[1], w[2]) - k * 50_000
        code = f"rule{w[3] % 3}@{(w[4] + k) % 5}"
        writer.add("alarm.raised", time, code, w[7] + k, priority=1 + (w[6] + k) % 4, notice=notice, rule="r")


def word(writer: Any, w: bytes) -> None:
    """The desk says how its alarms are; now and then somebody else does."""
    day = (0, 3, 199, 200, 4321)[w[4] % 5]
    event = writer.add(
        "alarm.health", writer.time(w[1], w[2]), ("alarms", "alarms", "others")[w[3] % 3], w[7] if w[8] % 3 == 0 else 0,
        operators=1 + w[5] % 4, recent=w[6] % 30, day=day, flood=w[9] % 145, top=min(day, w[5]), chattering=w[6] % 12,
        stale=w[4] % 9,
    )  # fmt: skip
    if w[3]:
        event["source"] = _DESK


deeds = (alarms, word)


def revise(first: Event, w: bytes) -> Event:
    """What a correction changes."""
    return {"chattering": w[6], "operators": 1 + w[7] % 3} if first["type"] == "alarm.health" else {}


def recount(oracle: Any, live: list[Event], newest: Any, out: dict[str, Any]) -> None:
    """Words of windows, and the newest word on the health."""
    del newest
    raised = [e for e in live if e["type"] == "alarm.raised" and not e.get("notice")]
    said = {e["subject"]: e for e in live if e["type"] == "alarm.health"}.values()
    fresh = [(e["at"], e) for e in said if oracle.now < e["time"] + 20 * MINUTE]
    told = oracle.grouped(fresh)
    recent = oracle.grouped((e["at"], e) for e in raised if oracle.inside(e["time"], 10 * MINUTE, MINUTE))
    rates = {}
    for row, level in enumerate(oracle.world.level):
        operators = max((e["operators"] for e in told.get(row, ())), default=1)
        if level <= 1:
            rates[row] = rounded(len(recent.get(row, ())) / operators, 1)
    out["alarm_rate"] = rates
    day = oracle.grouped((e["at"], e["priority"]) for e in raised if oracle.inside(e["time"], DAY, 10 * MINUTE))
    out["alarm_high_priority_share"] = oracle.upto(
        1, {row: rounded(100 * sum(p < 3 for p in v) / len(v), 1) for row, v in day.items()}
    )
    largest: dict[str, float] = {
        name: max(e[name] for _, e in fresh) for name in ("flood", "chattering", "stale", "top", "day") if fresh
    }
    out["alarm_flood_share"] = {0: rounded(100 * largest["flood"] / 144, 2)} if fresh else {}
    out["alarm_chattering"] = {0: float(largest["chattering"])} if fresh else {}
    out["alarm_stale"] = {0: float(largest["stale"])} if fresh else {}
    many = largest.get("day", 0) >= 200
    out["alarm_top_ten_share"] = {0: rounded(100 * largest["top"] / largest["day"], 1)} if many else {}
