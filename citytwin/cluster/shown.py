"""A city as a gateway shows it, pure: frames of the board over the registers; nothing is counted here.

What is shown goes on with provisional frames; a final one that comes after them is kept under them and for the log
channels, until the one that has caught up, with which every value that differs is shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from citytwin.cluster.shard import Register, put_in_force
from citytwin.cluster.under import Under
from citytwin.engine import Engine
from citytwin.facts import OVER, TICKER_MAX
from citytwin.indicators.registry import Registry
from citytwin.intake import CityLike
from citytwin.models.frame import Delta, Frame
from citytwin.models.shards import NOBODY, Ownership, name_of
from citytwin.streams.parts import BoardFrame


class ShownCity:
    """Takes frames in order, a keyframe first; gives what is to be published of each."""

    def __init__(self, city: CityLike, registry: Registry) -> None:
        self.engine = Engine(city, registry, own=Ownership(NOBODY, 1))
        self.registers = 0
        #: Readings by entity row: when the entity was last heard, newest value of each property.
        self.devices: dict[int, tuple[int, Mapping[str, float] | None]] = {}
        self.open_cases: dict[str, Mapping[str, Any]] = {}
        self.ticker: tuple[Mapping[str, Any], ...] = ()
        #: Open rows of the desk's parts, by part and code.
        self.desk: dict[str, dict[str, Mapping[str, Any]]] = {}
        self.sys: dict[str, Any] = {}
        #: Newest marker that is shown, and newest final one.
        self.k = self.final = 0
        #: Markers that are shown provisionally, and shards that they lack.
        self.missing: tuple[int, ...] = ()
        self._under = Under()

    def put_in_force(self, registers: Iterable[Register], upto: int) -> None:
        """Registers as the next frame has them."""
        put_in_force(self.engine, registers)
        self.registers = max(self.registers, upto)

    def take(self, told: BoardFrame) -> Frame | None:
        """What is to be shown of a frame; None for one that is shown already. Keyframes only serve to begin."""
        frame = told.frame
        if told.key:
            return self._begin(told) if not self.final else None
        if not told.final:
            if frame.k <= self.k:
                return None
            self.missing = told.missing
            self._under.keep(self.engine.board.lines, frame.values)
            return self._show(frame, (), provisional=True)
        if frame.k <= self.final:
            return None
        self.final = frame.k
        self._log(frame)
        self._room()
        if frame.k < self.k:  # a later one is shown; log channels miss nothing
            self._under.adopt(self.engine.board.lines, frame.values)
            return Frame(
                self.k, self.engine.now, self.number, cases=frame.cases, ticker=frame.ticker, sys=self.sys,
                desk=frame.desk,
            )  # fmt: skip
        self.missing = ()
        values = self._under.settle(self.engine.board.lines, frame.values)
        return self._show(dataclasses.replace(frame, values=values), frame.cases, provisional=False)

    @property
    def number(self) -> int:
        """Sequence of what is shown: the same at every gateway, and higher for the final frame of a marker."""
        return 2 * self.k + (self.final == self.k)

    def _begin(self, told: BoardFrame) -> Frame:
        frame = told.frame
        self.open_cases = {str(c["code"]): c for c in frame.cases}
        self.ticker = tuple(frame.ticker)
        self.desk = {part: {str(row["code"]): row for row in rows} for part, rows in frame.desk.items()}
        self.final = frame.k
        return self._show(frame, (), provisional=False)

    def _show(self, frame: Frame, cases: tuple[Mapping[str, Any], ...], *, provisional: bool) -> Frame:
        engine = self.engine
        self.k, engine.k, engine.now = frame.k, frame.k, frame.now
        self._room()
        for id, values in frame.values.items():
            if id in engine.board.lines:
                engine.board.lines[id].adopt(values)
        for delta in (d for kind, d in frame.twin.items() if kind == "device"):
            self._hear(delta)
        self.sys = {**frame.sys, "provisional": [name_of(s) for s in self.missing] if provisional else []}
        engine.position = self.number
        engine.trend.record(frame.now, engine.board)
        twin = {kind: Delta(d.rows, {}) for kind, d in frame.twin.items()}
        ticker = () if provisional else frame.ticker
        return dataclasses.replace(
            frame, position=self.number, twin=twin, cases=cases, ticker=ticker, sys=self.sys, refused=()
        )

    def _room(self) -> None:
        """Make room for scopes that are new."""
        if len(self.engine.scopes) > len(self.engine.board.none):
            self.engine.board.resize()

    def _log(self, frame: Frame) -> None:
        for case in frame.cases:
            self.open_cases.pop(str(case["code"]), None)
            if case["state"] not in OVER:
                self.open_cases[str(case["code"])] = case
        self.ticker = (*self.ticker, *frame.ticker)[-TICKER_MAX:]
        for part, rows in frame.desk.items():
            held = self.desk.setdefault(part, {})
            for row in rows:
                held.pop(str(row["code"]), None)
                if row["open"]:
                    held[str(row["code"])] = row

    def _hear(self, delta: Delta) -> None:
        self.engine.last_seen.resize(self.engine.entities.n)
        held = zip(delta.columns["seen"], delta.columns["value"], strict=True)
        self.devices.update(zip(delta.rows.tolist(), held, strict=True))
        self.engine.last_seen.data[delta.rows] = np.array(delta.columns["seen"], np.int64)
