"""What of the frames becomes rows of the history: changes, conflated to a step, and a whole picture each hour."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import Bool, Coded, Float64, Int32, Int64, UInt8
from citytwin.models.frame import Quality, Values
from citytwin.streams.history import BEAT, HOUR_MS, Rows


@dataclass(slots=True)
class _Line:
    """Newest value and quality of one indicator by scope row, when it changed, what was not yet written."""

    value: Float64 = field(default_factory=lambda: np.zeros(0))
    quality: UInt8 = field(default_factory=lambda: np.zeros(0, np.uint8))
    time: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    new: Bool = field(default_factory=lambda: np.zeros(0, np.bool_))

    def resize(self, n: int) -> None:
        """Make room for n scopes."""
        more = n - len(self.value)
        if more > 0:
            self.value = np.append(self.value, np.full(more, np.nan))
            self.quality = np.append(self.quality, np.full(more, Quality.NODATA, np.uint8))
            self.time = np.append(self.time, np.zeros(more, np.int64))
            self.new = np.append(self.new, np.zeros(more, np.bool_))


class Recorder:
    """Folds values into blocks of rows. It holds 18 bytes an indicator and scope, whatever comes."""

    def __init__(self, scopes: ScopeTree, levels: Collection[int], every_ms: int) -> None:
        """`levels` of scopes that are kept; a block each `every_ms`, with the newest change of each (0: each frame)."""
        self.scopes, self.every_ms = scopes, every_ms
        self._levels = np.array(sorted(levels), np.int8)
        self._lines: dict[str, _Line] = {}
        self._now = -1
        self._pending = False
        self._gone: Collection[str] | None = None

    def prime(self, now: int, values: Mapping[str, Values]) -> None:
        """Know all values as they stand at `now`: the first block is a whole picture."""
        self._lines.clear()
        for id, v in values.items():
            self._apply(id, v, now)
        self._now = -1

    def fold(self, now: int, values: Mapping[str, Values], in_force: Collection[str] | None = None) -> list[Rows]:
        """Take a frame; the blocks that are complete by it. Indicators not `in_force` are forgotten.

        Frames not newer than the last are left out: the history of their time is written.
        """
        if now <= self._now:
            return []
        out: list[Rows] = []
        before = self._now
        step = max(self.every_ms, 1)
        if self._pending and now // step != before // step:
            out += self.flush()
        for id, v in values.items():
            self._apply(id, v, now)
        if in_force is not None:
            self._lines = {id: line for id, line in self._lines.items() if id in in_force}
        self._now, self._pending = now, True
        if before < 0 or now // HOUR_MS != before // HOUR_MS:
            out.append(self._block(now, whole=True))
        elif not self.every_ms:
            out += self.flush()
        return out

    def flush(self) -> list[Rows]:
        """The block of what is pending, whatever the time."""
        return [self._block(self._now, whole=False)] if self._pending else []

    def _apply(self, id: str, v: Values, now: int) -> None:
        line = self._lines.get(id)
        if line is None:
            line = self._lines[id] = _Line()
        line.resize(len(self.scopes))
        kept = np.isin(self.scopes.level[v.rows], self._levels)
        rows, value, quality = v.rows[kept], v.value[kept], v.quality[kept]
        old = line.value[rows]
        differs = (old != value) & ~(np.isnan(old) & np.isnan(value)) | (line.quality[rows] != quality)
        rows = rows[differs]
        line.value[rows], line.quality[rows], line.time[rows] = value[differs], quality[differs], now
        line.new[rows] = True

    def _block(self, now: int, *, whole: bool) -> Rows:
        chosen: list[tuple[int, Int32]] = []
        ids = tuple(self._lines)
        for at, line in enumerate(self._lines.values()):
            mask = line.quality != Quality.NODATA if whole else line.new
            rows = np.flatnonzero(mask).astype(np.int32)
            line.new[:] = False
            if len(rows):
                chosen.append((at, rows))
        self._pending = False

        def column(pick: Callable[[_Line], Float64 | Int64 | UInt8], kind: type[np.generic], beat: float) -> np.ndarray:
            parts = [pick(self._lines[ids[at]])[rows] for at, rows in chosen]
            return np.concatenate([*parts, np.array([beat])]).astype(kind)

        scope = np.concatenate([*(rows for _, rows in chosen), np.zeros(1, np.int32)])
        used, codes = np.unique(scope, return_inverse=True)
        names = tuple(self.scopes.code[r] for r in used.tolist())
        indicator = np.repeat([*(at for at, _ in chosen), len(ids)], [*(len(r) for _, r in chosen), 1])
        time = np.full(len(scope), now, np.int64) if whole else column(lambda x: x.time, np.int64, now)
        return Rows(
            time, Coded(indicator.astype(np.int32), (*ids, BEAT)), Coded(codes.astype(np.int32), names),
            self.scopes.level[scope].astype(np.int8), column(lambda x: x.value, np.float64, float(whole)),
            column(lambda x: x.quality, np.uint8, 0),
        )  # fmt: skip
