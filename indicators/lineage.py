"""Declarations as text, and what an indicator is made of: event types, aggregates, other indicators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from citytwin.indicators.api import Aggregate, Spec, Window
from citytwin.models.vocabulary import EventType

#: Settings of an aggregate that its text tells when they are not these.
_DEFAULTS = {"by": "scope", "reduce": "sum", "per_unit": 1, "q": 0.0, "keep": 0}
_EXPRESSIONS = ("where", "start", "end", "at", "weight")


@dataclass(frozen=True, slots=True)
class Lineage:
    """Event types and aggregates (canonical texts) behind an indicator, those that it reads, those that read it."""

    events: tuple[str, ...]
    aggregates: tuple[str, ...]
    reads: tuple[str, ...]
    read_by: tuple[str, ...]


def duration_text(ms: int) -> str:
    """A duration as it is written in declarations.

    >>> duration_text(900_000), duration_text(86_400_000), duration_text(1_500)
    ('15m', '1d', '1500ms')
    """
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


def window_text(window: Window) -> str:
    """A window as it is written in declarations.

    >>> window_text(Window.parse("sliding 24h/15m"))
    'sliding 1d/15m'
    """
    if window.kind == "instant":
        return "instant"
    length = duration_text(window.length_ms)
    return f"{window.kind} {length}" + (f"/{duration_text(window.pane_ms)}" if window.kind == "sliding" else "")


def aggregate_text(agg: Aggregate, window: Window) -> str:
    """The canonical text of an aggregate under a window: what is as usual is left out, so equal ones are equal texts.

    >>> from citytwin.indicators.api import col, count
    >>> aggregate_text(count("obs", where=col.quality == "good"), Window.parse("sliding 1h/1m"))
    "count(obs, where=(col.quality == 'good'), window=sliding 1h/1m)"
    """
    if agg.kind == "ind":
        return f"ind({agg.table})"
    said = [agg.table] if agg.value is None else [agg.table, repr(agg.value)]
    said += [f"{name}={getattr(agg, name)!r}" for name in _EXPRESSIONS if getattr(agg, name, None) is not None]
    said += [f"{name}={getattr(agg, name)}" for name, usual in _DEFAULTS.items() if getattr(agg, name) != usual]
    said += [f"{name}={expr!r}" for name, expr in agg.columns]
    said += [f"season={duration_text(agg.season_ms)}"] if agg.season_ms else []
    used = agg.window or window
    if used.kind != "instant" and agg.kind not in ("rows", "datastreams"):
        said.append(f"window={window_text(used)}")
    return f"{agg.kind}({', '.join(said)})"


def event_types(spec: Spec, types: Mapping[str, EventType]) -> tuple[str, ...]:
    """Names of the event types that its aggregates and feeds read, sorted; those of indicators that it reads are not.

    A table of a register reads the types that change the register, and the keyed ones if it asks for `last_seen`.
    """
    names = {a.table for a in spec.params.values() if a.kind != "ind"} | {table for table, _ in spec.feeds}
    seen = any("last_seen" in repr((a.where, a.start, a.end, a.value)) for a in spec.params.values())
    found = {t.name for t in types.values() if t.name in names or t.family in names}
    found |= {t.name for t in types.values() if t.register is not None and t.register[0] in names}
    return tuple(sorted(found | ({t.name for t in types.values() if t.key} if seen else set())))


def reads(spec: Spec) -> tuple[str, ...]:
    """Ids of the indicators that it reads, in the order of its parameters."""
    return tuple(dict.fromkeys(a.table for a in spec.params.values() if a.kind == "ind"))


def lineage(spec: Spec, specs: Iterable[Spec], types: Mapping[str, EventType]) -> Lineage:
    """What an indicator is made of, and which of `specs` read it."""
    aggregates = dict.fromkeys(aggregate_text(a, spec.window) for a in spec.params.values() if a.kind != "ind")
    read_by = tuple(other.id for other in specs if spec.id in reads(other))
    return Lineage(event_types(spec, types), tuple(aggregates), reads(spec), read_by)
