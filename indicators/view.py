"""What a class form sees of the board: implements indicators.api.Context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from citytwin.indicators.api import Panes, Rows, Spec
from citytwin.indicators.line import Line
from citytwin.indicators.quality import Standing
from citytwin.models.columns import Bool, Float64, Int32

if TYPE_CHECKING:
    from citytwin.indicators.board import Board


class View:
    """What a class form sees: implements indicators.api.Context."""

    def __init__(self, board: Board, line: Line) -> None:
        self._board, self._line = board, line
        self.now, self.scopes, self.entities = board.now, board.scopes, board.entities

    def panes(self, name: str) -> Panes:
        """Panes per entity of an aggregate declared with by="subject"."""
        return self._line.aggregates.forms.panes(f"{self._line.spec.id}/{name}")

    def tally(self, name: str) -> Float64:
        """Values by scope of any other declared aggregate."""
        return self._line.params[name].values()

    def rows(self, name: str) -> Rows:
        """Rows of a table that was declared with rows(), as they are now."""
        return self._line.aggregates.rows(self._line.spec.params[name], self.now)

    def value(self, id: str) -> Float64:
        """Newest values of another indicator by scope; they cannot be written to."""
        view = self._board.lines[id].value.view()
        view.flags.writeable = False
        return view

    def standing(self, id: str, rows: Int32) -> Standing:
        """How far one may count on another indicator at some scope rows."""
        return self._board.lines[id].standing(rows)

    def relative(self, id: str, rows: Int32) -> Float64:
        """Values of another indicator as its bands are meant: shares where it is declared `of` a parameter."""
        line = self._board.lines[id]
        if not line.spec.of:
            return line.value[rows]
        with np.errstate(all="ignore"):
            return line.value[rows] / line.scale[rows]

    def moved(self) -> Bool:
        """Scopes at which an indicator that is read (declared with ind()) or a tally differs since the last tick."""
        board = self._board
        whole = board.whole or self._line.again or bool(self._line.error) or not self._line.children
        out = np.full(len(self.scopes), whole)
        for param in self._line.params.values():
            if param.stirred():
                out |= param.changed()
        for child in self._line.children:
            if board.lines[child].altered is not board.none:
                out |= board.lines[child].altered
        return out

    def down_to(self, level: int) -> Int32:
        """Rows of all scopes down to a level (0 the city): the same array each time."""
        return self._board.down_to(level)

    def spec(self, id: str) -> Spec:
        """The declaration of another indicator."""
        return self._board.lines[id].spec

    def ids(self) -> Sequence[str]:
        """All indicators, in the order of evaluation."""
        return tuple(self._board.lines)
