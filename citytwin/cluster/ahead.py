"""Looking ahead while a part is missing: a second merge that goes on with what there is."""

from __future__ import annotations

from citytwin.cluster.merge import Merge
from citytwin.cluster.shard import Register
from citytwin.models.frame import Frame
from citytwin.models.part import Marker, Part
from citytwin.streams.parts import BoardFrame


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
