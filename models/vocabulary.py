"""What may be said: event types with their fields, and observed properties with unit and resolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: A horizon of "always": ids, contributions and corrections are kept as long as the log.
ALWAYS = 2**62


class Kind(Enum):
    """How a field is stored in a batch."""

    NUMBER = "number"  # int64, in units of the resolution; MISSING where absent
    INTEGER = "integer"  # int64; MISSING where absent
    TIME = "time"  # int64 ms UTC; MISSING where absent
    FLAG = "flag"  # int8: 1, 0, -1 where absent
    CODE = "code"  # Coded: few distinct texts
    TEXT = "text"  # Strings: free text or unique keys; "" where absent
    SECRET = "secret"  # Strings: HMAC-SHA-256 (first 32 hex digits) of what came in; never stored plain


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event type.

    `per_unit`: steps per unit, 1000 means a resolution of 0.001; stored integer = rint(value * per_unit).
    `lo`, `hi`: allowed range in units, inclusive. `choices`: allowed codes, empty = any.
    `default`: the code that stands in where a CODE is absent ("" = stays absent).
    """

    name: str
    kind: Kind
    unit: str = ""
    per_unit: int = 1
    lo: float | None = None
    hi: float | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    max_bytes: int = 512
    default: str = ""


@dataclass(frozen=True, slots=True)
class Property:
    """An observed property: `obs.value` of this property has this unit, steps per unit and range.

    `model`: the Smart Data Models name it maps to, where one exists.
    """

    name: str
    unit: str
    per_unit: int
    lo: float
    hi: float
    model: str = ""


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event and the laws that hold for it.

    `key`: fields (or "subject") whose newest event is kept as a row of the table of this name; () = none kept.
    `family`: types of one family are folded together (case.* into cases).
    `horizon_ms`: how long ids, contributions and corrections are kept. `subject`: kind of entity it must name
    ("" = any known or none, "?" = need not be known). `register`: (kind, operation) when it changes an entity table.
    `folded`: its family is read as a table of one row per subject, see twin.journeys.
    """

    name: str
    fields: tuple[Field, ...]
    key: tuple[str, ...] = ()
    family: str = ""
    horizon_ms: int = DAY_MS
    future_ms: int = 60_000
    subject: str = "?"
    register: tuple[str, str] | None = None
    folded: bool = False

    def field(self, name: str) -> Field:
        """The field of that name; KeyError if the type has none."""
        return next(f for f in self.fields if f.name == name)


@dataclass(slots=True)
class Vocabulary:
    """All event types and properties that a city speaks."""

    types: dict[str, EventType] = field(default_factory=dict)
    properties: dict[str, Property] = field(default_factory=dict)

    def keep_telemetry(self, horizon_ms: int) -> None:
        """Give this horizon to every type that has the usual one: readings, places, the platform's own health."""
        for name, kind in self.types.items():
            if kind.horizon_ms == DAY_MS:
                self.types[name] = replace(kind, horizon_ms=horizon_ms)

    def add(self, items: Iterable[EventType | Property]) -> Vocabulary:
        """Add types and properties; a name may be given once. Raises ValueError."""
        for item in items:
            if isinstance(item, EventType):
                table: dict[str, EventType] | dict[str, Property] = self.types
            else:
                table = self.properties
            if item.name in table:
                raise ValueError(f"{item.name} is defined twice; rename one of them")
            table[item.name] = item  # type: ignore[assignment]
        return self
