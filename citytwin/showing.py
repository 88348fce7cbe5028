"""What of a tick is shown: the frame with its rows, cases and facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from citytwin import desking
from citytwin.facts import CASES_MAX, OVER, Counted, case_facts
from citytwin.models.columns import Int64
from citytwin.models.frame import Delta, Frame, Values

if TYPE_CHECKING:
    from citytwin.engine import Engine


def frame(engine: Engine, counted: Counted, values: dict[str, Values]) -> Frame:
    """The frame of the tick that `counted` began."""
    cases = desking.follow(engine, counted.rows.get("case", np.zeros(0, np.int64)))
    return Frame(
        engine.k, engine.now, engine.position, values, _twin_delta(engine, counted.rows), case_deltas(engine, cases),
        engine.ticker.take(), sys_facts(engine, len(cases)), counted.refused,
        engine.desk.changed() if engine.desk is not None else {},
    )  # fmt: skip


def with_desk(engine: Engine, frame: Frame) -> Frame:
    """The frame of the newest tick, with what the desk's rows became by what was fed since."""
    fresh = engine.desk.changed() if engine.desk is not None else {}
    if not fresh:
        return frame
    rows = {name: {row["code"]: row for row in told} for name, told in frame.desk.items()}
    for name, told in fresh.items():
        rows[name] = {**rows.get(name, {}), **{row["code"]: row for row in told}}
    return replace(frame, desk={name: tuple(held.values()) for name, held in rows.items()})


def seen_entities(engine: Engine, rows: Mapping[str, Int64]) -> Int64:
    """Entity rows of which a reading changed (int64, sorted, unique)."""
    slots = rows.get("obs", np.zeros(0, np.int64))
    if len(slots) == 0:
        return slots
    entity = engine.newest["obs"].entity.data[slots]
    return np.unique(entity[entity >= 0]).astype(np.int64)


def _twin_delta(engine: Engine, rows: Mapping[str, Int64]) -> dict[str, Delta]:
    if len(rows.get("obs", ())) == 0:
        return {}
    return {"device": Delta(seen_entities(engine, rows).astype(np.int32), {})}


def case_deltas(engine: Engine, rows: Int64) -> tuple[Mapping[str, Any], ...]:
    """Facts of the cases that changed; of too many (a bulk import) none."""
    if engine.cases is None or not 0 < len(rows) <= CASES_MAX:
        return ()
    return tuple(desking.case_rows(engine, case_facts(engine.cases, rows)))


def open_cases(engine: Engine) -> list[dict[str, Any]]:
    """Facts of every case that is not over."""
    if engine.cases is None:
        return []
    rows = np.arange(engine.cases.n, dtype=np.int64)
    return desking.case_rows(engine, [c for c in case_facts(engine.cases, rows) if c["state"] not in OVER])


def sys_facts(engine: Engine, cases: int) -> dict[str, Any]:
    """What the engine has counted, for the channel `sys`."""
    stats = engine.stats
    return {
        "accepted": stats.accepted, "duplicates": stats.duplicates, "conflicts": stats.conflicts,
        "late": stats.late, "corrected": stats.corrected, "rejected": dict(stats.rejected),
        "watermarks": dict(engine.watermarks.times), "cases_skipped": cases if cases > CASES_MAX else 0,
        "cases": engine.cases.count_by_state() if engine.cases is not None else {},
        "errors": {id: line.error for id, line in engine.board.lines.items() if line.error},
    }  # fmt: skip
