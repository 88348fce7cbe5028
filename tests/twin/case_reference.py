"""Clocks of a case worked out a second time, from intervals instead of step by step; imports nothing of the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.indicators.oracle_law import HELD, MOVES

Event = dict[str, Any]


@dataclass(frozen=True)
class Clocks:
    """What is compared: the state, when it began, the deadline, the time on hold, the counts."""

    state: str
    since: int | None
    due: int | None
    held: int
    closed: int | None
    returns: int
    rework: int
    reopened: int
    merges: int


def order(event: Event) -> tuple[int, str, bytes, int]:
    """Place of an event among those of its case."""
    return event["time"], event["source"], event["id"].encode(), event.get("revision", 0)


def live(events: list[Event]) -> list[Event]:
    """Of every event that was said, its newest revision, unless that takes it back."""
    newest = {e["id"]: e for e in events if "corrects" not in e}
    for e in sorted((e for e in events if "corrects" in e), key=lambda e: int(e["revision"])):
        newest[e["corrects"]] = e
    return sorted((e for e in newest.values() if not e.get("retracted")), key=order)


def word(event: Event) -> str:
    """The move of an event as the table of moves names it."""
    move = str(event["type"]).removeprefix("case.")
    return f"{move}-" if move == "verified" and not event["passed"] else move


def steps(events: list[Event]) -> tuple[list[tuple[Event, str, str]], int]:
    """Moves that were made as (event, move, state after), merges that were taken back left out; the count of merges."""
    made: list[tuple[Event, str, str]] = []
    merges = 0
    for event in events:
        state, move = made[-1][2] if made else "new", word(event)
        after = MOVES[state].get(move)
        if after is None:
            continue
        if after == "<":
            at = max(i for i, (_, m, _) in enumerate(made) if m == "merged")
            before = made[at - 1][2]
            made = made[:at] + [(e, m, before) for e, m, _ in made[at + 1 :]]
            continue
        merges += after == "merged"
        made.append((event, move, state if after == "=" else after))
    return made, merges


def clocks(events: list[Event]) -> Clocks:
    """The clocks of a case from all that was ever said of it."""
    made, merges = steps(live(events))
    moves = [(e, m, s) for i, (e, m, s) in enumerate(made) if MOVES[made[i - 1][2] if i else "new"][m] != "="]
    holds: list[tuple[int, int, int]] = []  # begin, end, place among the moves
    for i, (event, _, state) in enumerate(moves):
        if state in HELD:
            end = max(event["time"], event["until"])
            if i + 1 < len(moves) and moves[i + 1][0]["time"] < end:
                end = moves[i + 1][0]["time"]
            holds.append((event["time"], end, made.index(moves[i])))
    named = [
        (i, e["due_at"]) for i, (e, m, _) in enumerate(made) if m in ("filed", "extended", "reopened") and "due_at" in e
    ]
    due = None if not named else named[-1][1] + sum(end - begin for begin, end, at in holds if at > named[-1][0])
    since = next(
        (e["time"] for i, (e, _, s) in reversed(list(enumerate(moves))) if i == 0 or moves[i - 1][2] != s), None
    )
    ends = [(e["time"], m) for e, m, _ in moves if m in ("closed", "reopened")]
    return Clocks(
        made[-1][2] if made else "new", since, due, sum(end - begin for begin, end, _ in holds),
        ends[-1][0] if ends and ends[-1][1] == "closed" else None, sum(m == "returned" for _, m, _ in made),
        sum(m == "verified-" for _, m, _ in made), sum(m == "reopened" for _, m, _ in made), merges,
    )  # fmt: skip
