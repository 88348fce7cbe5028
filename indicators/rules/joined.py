"""Parts over indicators, over registers, and over other parts: thresholds of values and bands, facts, all, any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from citytwin.geo.scopes import LEVELS
from citytwin.indicators.expr import Expr
from citytwin.indicators.rules.atoms import Finding, Place
from citytwin.indicators.rules.matchers import holds
from citytwin.indicators.rules.part import Board, Part, Setting
from citytwin.models.columns import Bool, Float64, Int32
from citytwin.models.desk.rules import When


class OfIndicator(Part):
    """The value of an indicator beyond an edge, or in a band or worse, at the scopes of a level."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._up: set[str] = set()
        self._rows: Int32 = np.zeros(0, np.int32)
        self._grown = -1

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Scopes at which it is up; between the edge and `clear` it stays what it was."""
        del now
        value = board.value(self.when.indicator)
        if value is None:
            self._up = set()
            return {}
        rows = self._at_level()
        here = value[rows]
        hit, clear = self._sides(here, rows, board)
        code, found = self.setting.ground.scopes.code, {}
        for i in np.flatnonzero(hit | (~clear & ~np.isnan(here))).tolist():
            row = int(rows[i])
            if hit[i] or code[row] in self._up:
                found[code[row]] = Finding(Place(code[row], "", row), True, float(here[i]))
        self._up = set(found)
        return found

    def _at_level(self) -> Int32:
        tree = self.setting.ground.scopes
        if self._grown != len(tree):
            level = LEVELS.index(self.when.by)
            self._rows = np.array([r for r in tree.at_level(level).tolist() if not tree.unlocated[r]], np.int32)
            self._grown = len(tree)
        return self._rows

    def _sides(self, value: Float64, rows: Int32, board: Board) -> tuple[Bool, Bool]:
        """Beyond the edge, and clear of it; neither where there is no value."""
        when = self.when
        if when.band:
            told = board.edge(when.indicator, when.band)
            if told is None:
                return np.zeros(len(rows), np.bool_), np.ones(len(rows), np.bool_)
            edge, below = told[0][rows], told[1]
            hit = value < edge if below else value >= edge
            return hit, ~hit
        limit = when.above if when.above is not None else when.below
        assert limit is not None
        over = limit if when.clear is None else when.clear
        if when.above is not None:
            return value > limit, value <= over
        return value < limit, value >= over

    def at(self, now: int, place: Place, board: Board, found: Mapping[str, Finding]) -> Finding:
        """At the scope of its level that the place lies in; its value is told even where it is not up."""
        row = self.setting.ground.above(place.scope, self.when.by)
        told = found.get("" if row < 0 else self.setting.ground.scopes.code[row])
        if told is not None:
            return told
        value = board.value(self.when.indicator)
        return Finding(place, False, float("nan") if value is None or row < 0 else float(value[row]))

    def own_state(self) -> dict[str, Any]:
        """Plain values."""
        return {"up": sorted(self._up)}

    def own_load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self._up = set(state["up"])


class Fact(Part):
    """What the register says of the entity that an alarm is about."""

    def __init__(self, when: When, setting: Setting, where: Expr) -> None:
        super().__init__(when, setting)
        self._where = where

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Nowhere by itself."""
        del now, board
        return {}

    def at(self, now: int, place: Place, board: Board, found: Mapping[str, Finding]) -> Finding:
        """Whether it is so of the entity."""
        del now, board, found
        return Finding(place, holds(self._where, self.setting.ground.entities, place.entity))


class Joined(Part):
    """All of several parts, or any of them."""

    def __init__(self, when: When, setting: Setting, parts: Sequence[Part]) -> None:
        super().__init__(when, setting)
        self.parts = tuple(parts)
        self._found: list[dict[str, Finding]] = []

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """All: places of the first part at which the others hold too. Any: places of all parts."""
        self._found = [part.found(now, board) for part in self.parts]
        self.due = min((part.due for part in self.parts), default=self.due)
        places: dict[str, Place] = {}
        for found in self._found[:1] if self.when.kind == "all" else self._found:
            for code, finding in found.items():
                places.setdefault(code, finding.place)
        out = {code: self._join(now, place, board) for code, place in places.items()}
        return {code: finding for code, finding in out.items() if finding.ok}

    def _join(self, now: int, place: Place, board: Board) -> Finding:
        inner = []
        for i, (part, found) in enumerate(zip(self.parts, self._found, strict=True)):
            told = found.get(place.code) if i == 0 or self.when.kind == "any" else None
            inner.append(told or part.at(now, place, board, found))
        good = [f for f in inner if f.ok]
        ok = len(good) == len(inner) if self.when.kind == "all" else bool(good)
        lead = good[0] if good else inner[0]
        return Finding(place, ok, lead.value, lead.count, max((f.since for f in good), default=0), (), tuple(inner))

    def at(self, now: int, place: Place, board: Board, found: Mapping[str, Finding]) -> Finding:
        """Whether they hold at a place that another part gave."""
        del found
        return self._join(now, place, board)
