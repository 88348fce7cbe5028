"""How much memory the state of an indicator takes: its arrays, found by walking from its line."""

from __future__ import annotations

from typing import Any

import numpy as np

from citytwin.indicators.line import Line

#: Modules whose objects are state of an indicator; ledgers, tables and registers belong to the city.
_OURS = ("citytwin.indicators.", "citytwin.twin.growable", "citytwin.twin.deadlines", "citytwin.models.hashing")
_NOT = frozenset({"table", "_table", "_tables", "entities", "_entities", "_sources", "aggregates", "_aggregates"})


def bytes_of(line: Line) -> int:
    """Bytes of the line's arrays and of the aggregates behind its parameters, shared ones counted whole."""
    seen: set[int] = set()
    arrays = (line.value, line.closed, line.scale, line.quality, line.fresh, line.expected)
    params = (*line.params.values(), *line.closed_params.values())
    return sum(a.nbytes for a in arrays) + sum(_bytes(p, seen) for p in params)


def _bytes(thing: Any, seen: set[int]) -> int:
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        base = thing.base if isinstance(thing.base, np.ndarray) else thing
        if base is not thing and id(base) in seen:
            return 0
        seen.add(id(base))
        return int(base.nbytes)
    if isinstance(thing, dict):
        return sum(_bytes(v, seen) for v in tuple(thing.values()))
    if isinstance(thing, list | tuple):
        return sum(_bytes(v, seen) for v in tuple(thing))
    if not type(thing).__module__.startswith(_OURS):
        return 0
    return sum(_bytes(v, seen) for name, v in _parts(thing) if name not in _NOT)


def _parts(thing: Any) -> list[tuple[str, Any]]:
    found = list(vars(thing).items()) if hasattr(thing, "__dict__") else []
    for cls in type(thing).__mro__:
        slots = getattr(cls, "__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        found += [(n, getattr(thing, n)) for n in names if hasattr(thing, n)]
    return found
