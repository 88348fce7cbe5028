"""Work that waits for the next tick: marked rows and cases, refusals, lines of the ticker. Part of every snapshot.

A snapshot may be taken between any two records of the log; what a feed has only marked must not be lost with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from citytwin.indicators.columns import EntityTable
from citytwin.indicators.panes import Extreme
from citytwin.models.batch import Rejection
from citytwin.models.columns import Int64
from citytwin.twin.tables import Dirty

if TYPE_CHECKING:
    from citytwin.engine import Engine

_ENTITIES = "entities"


def _marks(engine: Engine) -> dict[str, Dirty]:
    """Marks of rows by where they are."""
    marks = {f"table {name}": table.dirty for name, table in engine.newest.items()}
    if engine.cases is not None:
        marks |= {"cases to fold": engine.cases.todo, "cases": engine.cases.dirty}
    for family, folded in engine.journeys.items():
        marks |= {f"{family} to fold": folded.todo, f"folded {family}": folded.dirty}
    return marks


def _kinds(engine: Engine) -> dict[str, EntityTable]:
    return {f"kind {name}": table for name, table in engine.tables.items() if isinstance(table, EntityTable)}


def _extremes(engine: Engine) -> dict[str, Extreme]:
    """Extremes of built-in indicators and of plugins by where they are."""
    found = {f"max {key}": extreme for key, (_, extreme) in engine.aggregates.extremes.items()}
    for file, annex in engine.annexes.by_file.items():
        found |= {f"max {file}: {key}": extreme for key, (_, extreme) in annex.aggregates.extremes.items()}
    return found


def rows(engine: Engine) -> dict[str, Int64]:
    """Rows that wait, by where they are (int64, sorted, unique); places without any are left out."""
    found = {name: dirty.rows() for name, dirty in _marks(engine).items()}
    found |= {name: table.marked() for name, table in _kinds(engine).items()}
    found |= {name: extreme.waiting() for name, extreme in _extremes(engine).items()}
    found[_ENTITIES] = engine.entities.dirty()
    return {name: marked for name, marked in found.items() if len(marked)}


def load_rows(engine: Engine, found: Mapping[str, Int64]) -> None:
    """Mark just these rows in an engine that was restored."""
    none = np.zeros(0, np.int64)
    for name, dirty in _marks(engine).items():
        dirty.take()
        dirty.mark(found.get(name, none))
    for name, table in _kinds(engine).items():
        table.take_dirty()
        table.mark(found.get(name, none))
    for name, extreme in _extremes(engine).items():
        extreme.stale = [found.get(name, none)]
    engine.entities.only_dirty(found.get(_ENTITIES, none))


def plain(engine: Engine) -> dict[str, Any]:
    """What waits and is no row, as JSON has it: refusals that the next tick tells, lines of the ticker."""
    return {"refused": msgspec.to_builtins(engine.revisions.refused), "ticker": list(engine.ticker.held)}


def load_plain(engine: Engine, found: Mapping[str, Any]) -> None:
    """Hold what `plain` gave."""
    engine.revisions.refused = msgspec.convert(found["refused"], list[Rejection])
    engine.ticker.held.extend(found["ticker"])


def digest(engine: Engine) -> bytes:
    """Hash of what waits for the next tick; two engines with other work to do are not equal. Empty if nothing waits."""
    waiting = rows(engine)
    if not waiting and not engine.revisions.refused:
        return b""
    out = hashlib.blake2b(repr([(r.reason, r.id) for r in engine.revisions.refused]).encode(), digest_size=16)
    for name in sorted(waiting):
        out.update(name.encode() + waiting[name].tobytes())
    return out.digest()
