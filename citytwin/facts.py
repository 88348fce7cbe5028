"""Plain facts for pages: cases, the ticker, what the engine has counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import MISSING, Coded, Int32, Int64
from citytwin.models.lifecycle import STATES, TERMINAL
from citytwin.twin.cases import CaseTable

#: Of one batch only the last so many go to the ticker, of one tick only the last TICKER_MAX.
_TICKER_ROWS = 20
TICKER_MAX = 200
#: Of calls only those that begin or are given up: what happens in between says nothing to a reader.
_TICKER_TYPES = ("case.", "call.offered", "call.abandoned", "device.status", "unit.", "emergency.")
#: More cases than this in one tick (a bulk import) are not told one by one; `cases_skipped` counts them.
CASES_MAX = 5000
#: States in which a case is over, and shown no more.
OVER = tuple(state for state, ended in zip(STATES, TERMINAL, strict=True) if ended)
_TIMES = ("reported_at", "filed_at", "due_at", "closed_at", "since", "last_at")


class Counted(NamedTuple):
    """What the first half of a tick found: rows that changed by table, and moves that none could make."""

    rows: dict[str, Int64]
    refused: tuple[Rejection, ...]


@dataclass(slots=True)
class Stats:
    """Counts since the beginning of the log."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    corrected: int = 0
    rejected: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        """Count a refused event."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1


@dataclass(slots=True)
class ToldUpTo:
    """Marker and piece that the desk of a city in shards is told next: see models.telling."""

    next: tuple[int, int] = (1, 0)

    @property
    def k(self) -> int:
        """The newest marker of which all was told."""
        return self.next[0] - 1


class Watermarks:
    """The newest event time of each source."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}

    def move(self, batch: EventBatch) -> int:
        """Take a batch in; returns how many of its events came behind their source's watermark."""
        late = 0
        for code, name in enumerate(batch.source.names):
            times = batch.time if len(batch.source.names) == 1 else batch.time[batch.source.codes == code]
            if len(times) == 0:
                continue
            mark = self.times.get(name, MISSING)
            running = np.maximum.accumulate(np.concatenate([[mark], times[:-1]]))
            late += int(np.count_nonzero(times < running))
            self.times[name] = max(mark, int(times.max()))
        return late


class Ticker:
    """The last events of the types that people follow, taken away by each tick."""

    def __init__(self) -> None:
        self.held: deque[dict[str, Any]] = deque(maxlen=TICKER_MAX)

    def note(self, batch: EventBatch, scope: Int32) -> None:
        """Keep the last events of the batch and where they belong, if it is of a type that people follow."""
        if not batch.type.startswith(_TICKER_TYPES):
            return
        for i in range(max(0, len(batch) - _TICKER_ROWS), len(batch)):
            words = {k: v[i] for k, v in batch.fields.items() if isinstance(v, Coded)}
            self.held.append(
                {
                    "t": int(batch.time[i]),
                    "type": batch.type,
                    "subject": batch.subject[i],
                    "id": batch.id[i],
                    "scope": int(scope[i]) if scope[i] >= 0 else None,
                    "words": {k: w for k, w in words.items() if w},
                }
            )

    def take(self) -> tuple[Mapping[str, Any], ...]:
        """All that is held, oldest first."""
        held = tuple(self.held)
        self.held.clear()
        return held


def case_facts(table: CaseTable, rows: Int64) -> list[dict[str, Any]]:
    """Facts of cases: row, code, state, scope row, lon, lat, times (ms or None), category, channel."""
    columns: dict[str, list[Any]] = {"row": rows.tolist()}
    text = table.code.strings
    columns["code"] = [text[i] for i in rows.tolist()]
    for name in (*_TIMES, "lon", "lat"):
        values = table.column(name, rows)
        assert not isinstance(values, Coded)
        whole = name in _TIMES
        columns[name] = [None if v != v else int(v) if whole else v for v in values.tolist()]  # noqa: PLR0124
    for name in ("state", "category", "channel"):
        columns[name] = table.column(name, rows).tolist()
    columns["scope"] = table.scopes(rows).tolist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
