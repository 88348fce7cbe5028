"""Cities for many engines in one process: the pack is read once, its registers are copied for each of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from citytwin.geo.scopes import ScopeTree
from citytwin.twin.entities import Entities


class Cities:
    """Makes cities of one pack; calling it gives a new one whose registers nobody else changes."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._first: Any = None

    def __call__(self) -> Any:
        """A city as the pack has it."""
        if self._first is None:
            self._first = self._load()
            self._scopes, self._entities = self._first.scopes.state(), self._first.entities.state()
        made = copy.copy(self._first)
        made.scopes, made.entities = ScopeTree.from_state(self._scopes), Entities.from_state(self._entities)
        return made
