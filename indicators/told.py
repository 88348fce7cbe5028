"""What an explanation tells, as plain values: None stands for no number, times are ms UTC, scopes are codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reach:
    """A window in force, end excluded, None: no bound; `closed_*`: the last closed one of a tumbling window."""

    text: str
    start: int | None = None
    end: int | None = None
    closed_start: int | None = None
    closed_end: int | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """A parameter of the formula with its value at the scope, and how many events and table rows make it up.

    `sums`: the value is the sum of what the evidence gives under this name. `id`: the indicator that it reads.
    """

    name: str
    kind: str
    table: str
    text: str
    value: float | None
    window: Reach
    events: int
    rows: int
    sums: bool
    id: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """An indicator that is read, as it stands at the scope."""

    id: str
    value: float | None
    quality: str
    fresh: int
    expected: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A source that an indicator expects: the time of the newest event it was heard by, None if never."""

    id: str
    last: int | None


@dataclass(frozen=True, slots=True)
class Feed:
    """Inputs of one feed at the scope: in time, ever heard, expected; sources, where they are the inputs."""

    table: str
    name: str
    fresh: int
    heard: int
    expected: int
    sources: tuple[Heard, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """An entity of a register: the attributes that were read, and what it contributes by parameter."""

    kind: str
    code: str
    scope: str
    attributes: Mapping[str, Any]
    gives: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class EventTold:
    """An event as it counts: `fields` in units, those that are there; `gives` its contribution by parameter.

    One that is older than events are kept has no id, and a subject only where it is a registered entity.
    """

    type: str
    id: str
    source: str
    time: int
    revision: int
    subject: str
    scope: str
    lon: float | None
    lat: float | None
    fields: Mapping[str, Any]
    gives: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an indicator has its value at a scope (row), as of the tick of `now`.

    `entities` then `events` are one list, of which this is a page: `next` is the place to go on from, "" at the end.
    `complete`: the evidence is all that the value rests on; if not, `note` says what is no longer kept. `scale`: what
    the bands are shares of. `error`: what the formula raised.
    """

    id: str
    row: int
    now: int
    value: float | None
    computed: float | None
    closed: float | None
    scale: float | None
    quality: str
    fresh: int
    expected: int
    window: Reach
    parameters: tuple[Term, ...]
    reads: tuple[Read, ...]
    feeds: tuple[Feed, ...]
    entities_total: int
    events_total: int
    entities: tuple[Fact, ...]
    events: tuple[EventTold, ...]
    next: str
    complete: bool
    note: str
    error: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def plain(value: float) -> float | None:
    """The number, None for NaN."""
    return None if value != value else float(value)  # noqa: PLR0124
