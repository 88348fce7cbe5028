"""The final state under provisional frames, pure: what was shown too early is put right when a final frame catches up.

Provisional frames may be those of another clock than the one that says the final ones, so that nobody but who showed
them knows what they changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from citytwin.indicators.line import Line, values_at
from citytwin.models.columns import Bool
from citytwin.models.frame import Values

_SHOWN = ("value", "quality", "closed", "fresh", "expected", "scale")


class Under:
    """Lines as final frames have them, of the indicators that differ or may differ from what is shown."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    def keep(self, lines: Mapping[str, Line], values: Mapping[str, Values]) -> None:
        """Before a provisional frame is shown: keep what it is going to cover."""
        for id in values:
            if id in lines and id not in self._lines:
                line = lines[id]
                columns = {name: getattr(line, name).copy() for name in (*_SHOWN, "restated")}
                self._lines[id] = dataclasses.replace(line, **columns)

    def adopt(self, lines: Mapping[str, Line], values: Mapping[str, Values]) -> None:
        """Take a final frame in that is not shown, because a later one is."""
        self.keep(lines, values)
        for id, told in values.items():
            if id in lines:
                self._lines[id].resize(len(lines[id].value))
                self._lines[id].adopt(told)

    def settle(self, lines: Mapping[str, Line], values: Mapping[str, Values]) -> dict[str, Values]:
        """The values of a final frame that catches up, and every other in which what is shown is not final."""
        out = dict(values)
        if not self._lines:
            return out
        self.adopt(lines, values)
        for id, final in self._lines.items():
            if id not in lines:  # a plugin that was taken out meanwhile
                continue
            final.resize(len(lines[id].value))
            rows = np.flatnonzero(differs(final, lines[id]))
            told = values[id].rows if id in values else np.zeros(0, np.int32)
            if len(rows):
                out[id] = values_at(final, np.union1d(rows, told).astype(np.int32))
        self._lines = {}
        return out


def differs(line: Line, other: Line) -> Bool:
    """Scopes at which two lines show something else (bool[n])."""
    out = np.zeros(len(line.value), np.bool_)
    for name in _SHOWN:
        a, b = getattr(line, name), getattr(other, name)
        out |= ~((a == b) | (np.isnan(a) & np.isnan(b)))
    return out
