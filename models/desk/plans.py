"""Plans (预案) as data: when one is called for, what is to be done by whom and when, whom to tell, when it is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citytwin.models.desk.alarm_events import COLOURS
from citytwin.models.desk.triggers import Alarm, Trigger, Value

Words = Mapping[str, str]
#: Numerals of the levels of the desk.
NUMERALS: dict[int, str] = {1: "I", 2: "II", 3: "III", 4: "IV"}
#: Severity of a CAP message by level.
SEVERITY: dict[int, str] = {1: "Extreme", 2: "Severe", 3: "Moderate", 4: "Minor"}


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a plan: it is called for once `begin` has held for `hold_ms`, at once for 0.

    It is left when `keep`, the lower limit, has not held for `lower_ms`. `choose`: levels among which a person has to
    choose; empty: this one. `basis`: where the numbers come from.
    """

    level: int
    begin: Trigger
    keep: Trigger
    hold_ms: int = 0
    lower_ms: int = 0
    choose: tuple[int, ...] = ()
    basis: Words = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A step of the checklist: number, title, role, time from the beginning (ms, 0 none), levels that have it."""

    n: int
    title: Words
    role: str
    clock_ms: int
    levels: frozenset[int]


@dataclass(frozen=True, slots=True)
class Reports:
    """Clocks of reports (信息报送), ms: the first from the beginning, each next from the last, final from the end."""

    first_ms: int
    follow_up_ms: int
    final_ms: int
    to: str
    levels: frozenset[int]
    status: str = "L"


@dataclass(frozen=True, slots=True)
class End:
    """The end: once `when` has held for `hold_ms`; `automatic`: without a person."""

    when: Trigger
    hold_ms: int
    automatic: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan; `place`: the level of the scopes at which it is judged and run, `kind`: what it is about.

    `automatic`: it starts and changes its level without a person. `levels` from the worst on, `status` V or L.
    """

    id: str
    version: int
    title: Words
    kind: str
    place: str
    levels: tuple[Level, ...]
    tasks: tuple[Task, ...]
    end: End
    reports: Reports | None = None
    automatic: bool = False
    notify: tuple[Mapping[str, Any], ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()
    cap: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    status: str = "L"
    #: Indicators and rules in their order, worked out once: they are asked for at every tick.
    _reads: tuple[tuple[str, ...], tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what it reads."""
        object.__setattr__(self, "_reads", (tuple(sorted(self.indicators())), tuple(sorted(self.alarms()))))

    def told(self, value: Value, alarm: Alarm) -> tuple[float | bool | None, ...]:
        """All that its conditions read, None where a value is unknown: equal tuples, equal answers."""
        names, rules = self._reads
        numbers = (value(name) for name in names)
        return (*(None if math.isnan(number) else number for number in numbers), *map(alarm, rules))

    def at(self, level: int) -> Level | None:
        """What is told of a level, None if it has none of its own."""
        return next((row for row in self.levels if row.level == level), None)

    def allowed(self) -> frozenset[int]:
        """Levels at which it can be run."""
        return frozenset(n for row in self.levels for n in (row.level, *row.choose))

    def conditions(self) -> tuple[Trigger, ...]:
        """All its conditions."""
        return (self.end.when, *(t for row in self.levels for t in (row.begin, row.keep)))

    def indicators(self) -> frozenset[str]:
        """Indicators that its conditions read."""
        return frozenset(name for condition in self.conditions() for name in condition.indicators)

    def alarms(self) -> frozenset[str]:
        """Rules whose alarms its conditions read."""
        return frozenset(rule for condition in self.conditions() for rule in condition.alarms)

    def tasks_at(self, level: int) -> tuple[Task, ...]:
        """The steps of a level in their order."""
        return tuple(task for task in self.tasks if level in task.levels)

    def cap_fields(self, level: int) -> dict[str, Any]:
        """Fields of a draft of a CAP message at a level: what the plan says, and the severity of the level.

        A draft only: a public warning is issued by an authorised person.
        """
        if not self.cap:
            return {}
        return {"status": "Draft", "msgType": "Alert", "scope": "Public", **self.cap, "severity": SEVERITY[level]}

    def warning(self, level: int, run: str = "") -> dict[str, Any]:
        """Fields of the `warning.issued` that an authorised person may say at a level: {} where the plan has no draft.

        When it expires is worked out by who says it: `cap_fields` has the time that it is to hold.
        """
        if not self.cap:
            return {}
        pairs = ((name, self.cap[name]) for name in ("headline", "event", "instruction"))
        texts = {f"{name}{end}": words[k] for name, words in pairs for k, end in (("zh", ""), ("en", "_en"))}
        words = {"category": self.cap["category"], "response": self.cap["responseType"]}
        return {
            "colour": COLOURS[level - 1], **texts, **{k: " ".join(v) for k, v in words.items() if v},
            "urgency": self.cap["urgency"], "certainty": self.cap["certainty"], **({"run": run} if run else {}),
        }  # fmt: skip

    def plain(self) -> dict[str, Any]:
        """As plain JSON values, for pages."""
        return {
            "id": self.id, "version": self.version, "title": dict(self.title), "kind": self.kind, "place": self.place,
            "automatic": self.automatic, "status": self.status, "source": self.source,
            "levels": [
                {
                    "level": row.level, "begin": row.begin.text, "keep": row.keep.text, "hold_ms": row.hold_ms,
                    "lower_ms": row.lower_ms, "choose": list(row.choose), "basis": dict(row.basis),
                }
                for row in self.levels
            ],
            "tasks": [
                {"n": t.n, "title": dict(t.title), "role": t.role, "clock_ms": t.clock_ms, "levels": sorted(t.levels)}
                for t in self.tasks
            ],
            "end": {"when": self.end.when.text, "hold_ms": self.end.hold_ms, "automatic": self.end.automatic},
            "notify": [dict(row) for row in self.notify],
            "resources": [dict(row) for row in self.resources], "cap": dict(self.cap),
        }  # fmt: skip
