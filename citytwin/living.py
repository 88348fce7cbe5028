"""A simulated city that lives elsewhere: its events go to a door over HTTP, and it goes on where it was."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from citytwin.clock import Clock
from citytwin.sending import Sender, step_by_step
from citytwin.streams.simulator import Simulator

DAY = 86_400_000
_STEP_S = 0.5
#: What was not told while the simulator was away is told for so long back; older readings would be refused.
_CATCH_UP_MS = DAY
_OPEN_DAYS = 30


class State(msgspec.Struct):
    """What a simulated city must remember: everything up to `told_ms` was taken."""

    seed: int
    speed: float
    anchor_ms: int
    told_ms: int


@dataclass(frozen=True, slots=True)
class Options:
    """Seed and pace of the story; `load`: readings a second instead of each device at its period."""

    seed: int = 7
    speed: float = 1.0
    load: float | None = None


def remembered(path: Path | None) -> State | None:
    """The state of a file, None where there is none that can be read."""
    if path is None or not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except msgspec.MsgspecError:
        return None


def remember(path: Path | None, state: State) -> None:
    """Write the state aside and rename it."""
    if path is not None:
        aside = path.with_name(path.name + ".part")
        aside.write_bytes(msgspec.json.encode(state))
        os.replace(aside, path)


def live(
    city: Any, sender: Sender, options: Options, *, file: Path | None, clock: Clock, stop: threading.Event,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Send the city's life as it comes until `stop` is set. Raises Stopped, NotTaken."""
    now = clock.now_ms()
    state = remembered(file) or State(options.seed, options.speed, now, now)
    away = now - state.told_ms
    days = min(_OPEN_DAYS, -(-(now - state.anchor_ms) // DAY))
    sim = Simulator(
        city, state.seed, now, speed=state.speed, load=options.load, anchor_ms=state.anchor_ms, open_days=days
    )
    if away > 1000:
        since = max(state.told_ms, now - _CATCH_UP_MS)
        say(f"telling what happened in the {away / 1000:.0f} s since the last run")
        for batch in sim.history(days, now, since):
            sender.put([batch])
    told = state.told_ms = now
    remember(file, state)
    while not stop.wait(_STEP_S):
        for until in step_by_step(clock.now_ms(), told):
            sender.put(sim.step(until))
            told = state.told_ms = until
            remember(file, state)
