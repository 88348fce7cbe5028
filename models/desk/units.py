"""A unit of the city: what it says of itself, the work it has, and what it does at a time.

Its state is never told whole: `unit.state` says ready, busy or off, the moves of cases say what it was sent to and how
far it is. The law of both is `state`, the first that holds: silent, off, on_scene, en_route, busy, ready.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citytwin.models.columns import MISSING

STATES: tuple[str, ...] = ("ready", "en_route", "on_scene", "busy", "off", "silent")
TITLES: dict[str, dict[str, str]] = {
    "ready": {"zh": "备勤", "en": "ready"},
    "en_route": {"zh": "在途", "en": "en route"},
    "on_scene": {"zh": "到场", "en": "on scene"},
    "busy": {"zh": "忙", "en": "busy"},
    "off": {"zh": "下勤", "en": "off duty"},
    "silent": {"zh": "失联", "en": "silent"},
}

#: Skills that the built-in categories and the demo's units speak of; a pack may use words of its own.
SKILLS: dict[str, dict[str, str]] = {
    "drainage": {"zh": "排水", "en": "drainage"},
    "pump": {"zh": "抽排", "en": "pumping"},
    "medical": {"zh": "急救", "en": "medical"},
    "fire": {"zh": "消防", "en": "fire"},
    "rescue": {"zh": "救援", "en": "rescue"},
    "traffic": {"zh": "交通疏导", "en": "traffic"},
    "order": {"zh": "秩序", "en": "public order"},
    "patrol": {"zh": "巡查", "en": "patrol"},
    "sanitation": {"zh": "环卫", "en": "sanitation"},
    "road": {"zh": "道路抢修", "en": "road repair"},
    "power": {"zh": "电力抢修", "en": "power repair"},
    "gas": {"zh": "燃气抢修", "en": "gas repair"},
    "water": {"zh": "供水抢修", "en": "water repair"},
    "lighting": {"zh": "照明维修", "en": "lighting repair"},
    "green": {"zh": "园林", "en": "green space"},
}

MINUTE_MS = 60_000
#: How long a unit with work may say nothing, by kind, "" for all others. Local defaults, no standard: vehicles say
#: where they are four times a minute, so that five minutes are many; a team on foot reports by hand.
QUIET_MS: dict[str, int] = {"": 20 * MINUTE_MS, "ambulance": 5 * MINUTE_MS, "fire_engine": 5 * MINUTE_MS}

#: How far a unit is with a case, in the order in which one follows the other.
STAGES: tuple[str, ...] = ("sent", "received", "en_route", "on_scene")
ROLES: tuple[str, ...] = ("lead", "support")


@dataclass(slots=True)
class Task:
    """What a unit does for one case: its role, how far it is (STAGES), since when it has it and stands there (ms)."""

    role: str
    stage: str
    given: int
    since: int


@dataclass(slots=True)
class Unit:
    """What is known of one unit; `work` by case code, times ms UTC, MISSING or NaN where nothing was said.

    `said`: ready, busy or off, as of `said_at`; "" before it said any. `seen`: its last sign of life; `placed`: when it
    was where it is. `silent`: it has been found to be silent.
    """

    code: str
    kind: str = ""
    name: str = ""
    skills: tuple[str, ...] = ()
    capacity: int = 1
    home: str = ""
    shift_until: int = MISSING
    said: str = ""
    said_at: int = MISSING
    lon: float = math.nan
    lat: float = math.nan
    placed: int = MISSING
    seen: int = MISSING
    silent: bool = False
    work: dict[str, Task] = field(default_factory=dict)

    @property
    def load(self) -> int:
        """Cases that it has."""
        return len(self.work)

    @property
    def case(self) -> str:
        """The case that it is busy with: the one in which it is farthest, then the one it has longest; "" for none."""
        if not self.work:
            return ""
        return min(self.work, key=lambda c: (-STAGES.index(self.work[c].stage), self.work[c].given, c))

    @property
    def state(self) -> str:
        """What it does, one of STATES."""
        if self.silent:
            return "silent"
        if self.said == "off":
            return "off"
        stage = self.work[self.case].stage if self.work else ""
        if stage in ("en_route", "on_scene"):
            return stage
        return "busy" if self.work or self.said == "busy" else "ready"

    def quiet_since(self) -> int:
        """Since when it says nothing while it has work (ms); MISSING without work.

        A unit that was not heard before it was sent has its whole limit from then on.
        """
        if not self.work:
            return MISSING
        return max(self.seen, min(task.given for task in self.work.values()))

    def hear(self, time: int, lon: float = math.nan, lat: float = math.nan) -> None:
        """Take a sign of life, and the place if it says one and none newer is known."""
        self.seen = max(self.seen, time)
        if not (math.isnan(lon) or math.isnan(lat)) and time >= self.placed:
            self.lon, self.lat, self.placed = lon, lat, time

    def say(self, time: int, fields: Mapping[str, Any]) -> None:
        """Take what a `unit.state` says, unless a newer one was heard; what it leaves out stays as it was."""
        if time < self.said_at:
            return
        self.said, self.said_at = str(fields.get("state", self.said)), time
        self.kind = str(fields.get("kind", self.kind))
        self.name = str(fields.get("name", self.name))
        self.home = str(fields.get("home", self.home))
        self.capacity = int(fields.get("capacity", self.capacity))
        self.shift_until = int(fields.get("shift_until", self.shift_until))
        if "skills" in fields:
            self.skills = tuple(sorted(set(str(fields["skills"]).split())))

    def row(self) -> dict[str, Any]:
        """The unit as pages read it: plain JSON values, None for what is not known."""
        placed = not math.isnan(self.lon)
        return {
            "code": self.code, "name": self.name or self.code, "kind": self.kind, "skills": list(self.skills),
            "state": self.state, "case": self.case or None, "lon": self.lon if placed else None,
            "lat": self.lat if placed else None, "load": self.load, "capacity": self.capacity,
            "home": self.home or None, "shift_until": _known(self.shift_until), "seen": _known(self.seen),
        }  # fmt: skip


def _known(time: int) -> int | None:
    return None if time == MISSING else time


def quiet_limit(kind: str, limits: Mapping[str, int]) -> int:
    """How long a unit of a kind may say nothing while it has work (ms); `limits` as QUIET_MS."""
    return limits.get(kind, limits[""])
