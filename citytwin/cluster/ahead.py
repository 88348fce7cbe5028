"""Looking ahead while a part is missing: a second merge that goes on with what there is, and what it showed wrongly."""

from __future__ import annotations

import numpy as np

from citytwin.cluster.merge import Merge
from citytwin.cluster.shard import Register
from citytwin.indicators.line import Line, values_at
from citytwin.models.frame import Frame, Values
from citytwin.models.part import Marker, Part
from citytwin.streams.parts import BoardFrame

_SHOWN = ("value", "quality", "closed", "fresh", "expected", "scale")


class Ahead:
    """Provisional frames from a clone of the final state: each part once, in the order in which it came."""

    def __init__(self, merge: Merge) -> None:
        self._merge = merge.clone(merge.engine.base)
        self._heard: set[tuple[int, int]] = set()

    @property
    def k(self) -> int:
        """The newest marker that was shown."""
        return self._merge.engine.k

    @property
    def registers(self) -> int:
        """Offset in the registers up to which they are in force here."""
        return self._merge.registers

    def heard(self, k: int, shard: int) -> bool:
        """Whether a part is in."""
        return (k, shard) in self._heard

    def put(self, part: Part) -> None:
        """Take a part in."""
        self._heard.add((part.k, part.shard))
        self._merge.look_ahead(part)

    def close(self, marker: Marker, registers: list[Register], missing: list[int]) -> BoardFrame:
        """The provisional frame of a marker: values and facts; cases and the ticker wait for the final one."""
        frame = self._merge.close(marker, registers)
        shown = Frame(frame.k, frame.now, frame.position, frame.values, frame.twin, sys={**frame.sys})
        return BoardFrame(shown, final=False, missing=tuple(missing))

    def corrected(self, final: Frame, merge: Merge) -> Frame:
        """The final frame that has caught up: with every value in which what was shown differs from the final state."""
        values = dict(final.values)
        for id, line in merge.engine.board.lines.items():
            rows = np.flatnonzero(_differs(line, self._merge.engine.board.lines[id]))
            if len(rows):
                told = values[id].rows if id in values else np.zeros(0, np.int32)
                values[id] = _at(line, np.union1d(rows, told).astype(np.int32))
        return Frame(
            final.k, final.now, final.position, values, final.twin, final.cases, final.ticker, final.sys, final.refused
        )


def _differs(line: Line, other: Line) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    out = np.zeros(len(line.value), np.bool_)
    for name in _SHOWN:
        a, b = getattr(line, name), getattr(other, name)
        out |= ~((a == b) | (np.isnan(a) & np.isnan(b)))
    return out


def _at(line: Line, rows: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Values:
    return values_at(line, rows)
