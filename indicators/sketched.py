"""Distinct counts beyond the exact bound: sketches by pane and scope at every level, unions of them for windows.

What was once added stays: a retraction after a pane went over the bound is within the error, not taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Float64, Int32, Int64, UInt64
from citytwin.models.hyperloglog import REGISTERS, HyperLogLog
from citytwin.twin.growable import Grow


class Pane:
    """The sketches of one pane: 4 kB for each scope, at any level, that counts something."""

    def __init__(self) -> None:
        self.slot = Grow(np.int64, -1)
        self.sketches = HyperLogLog(0)
        self.taken = 0

    def slots(self, scopes: Int64) -> Int64:
        """Rows of the scopes (int64, may repeat), new ones where needed."""
        self.slot.resize(max(self.slot.n, int(scopes.max(initial=-1)) + 1))
        new = np.unique(scopes[self.slot.data[scopes] < 0])
        self.slot.data[new] = np.arange(self.taken, self.taken + len(new))
        self.taken += len(new)
        if self.taken > len(self.sketches):
            more = HyperLogLog(max(16, 1 << (self.taken - 1).bit_length()))
            more.registers[: len(self.sketches)] = self.sketches.registers
            self.sketches = more
        found: Int64 = self.slot.data[scopes]
        return found

    def scopes(self) -> Int64:
        """Scopes that count something (int64)."""
        return np.flatnonzero(self.slot.data >= 0)


class Sketches:
    """Panes that went over the exact bound."""

    def __init__(self) -> None:
        self.panes: dict[int, Pane] = {}

    def __contains__(self, pane: int) -> bool:
        return pane in self.panes

    def over(self, pane: Int64) -> NDArray[np.bool_]:
        """Which of these panes are kept as sketches."""
        return np.isin(pane, list(self.panes)) if self.panes else np.zeros(len(pane), np.bool_)

    def add(self, pane: Int64, scope: Int64, keys: UInt64, ancestors: Int32) -> Int64:
        """Add keys (hashes) at their scopes and all above; returns the scopes touched (int64, unique)."""
        touched = [np.zeros(0, np.int64)]
        for p in np.unique(pane).tolist():
            at = np.flatnonzero(pane == p)
            ups = ancestors[scope[at]].astype(np.int64)
            there = ups >= 0
            rows, who = ups[there], np.broadcast_to(keys[at][:, None], ups.shape)[there]
            held = self.panes.setdefault(p, Pane())
            slots = held.slots(rows)  # before the sketches are asked: it may replace them by more
            held.sketches.add(slots, who)
            touched.append(rows)
        return np.unique(np.concatenate(touched))

    def estimate(self, panes: Iterable[int], scopes: Int64) -> Float64:
        """Distinct keys over some panes at the scopes, to whole numbers (float64[n])."""
        union = HyperLogLog(len(scopes))
        for p in panes:
            held = self.panes.get(p)
            if held is None:
                continue
            held.slot.resize(max(held.slot.n, int(scopes.max(initial=-1)) + 1))
            slot = held.slot.data[scopes]
            there = slot >= 0
            rows = np.maximum(union.registers[there], held.sketches.registers[slot[there]])
            union.registers[there] = rows
        return np.rint(union.estimate())

    def scopes(self, panes: Iterable[int]) -> Int64:
        """Scopes that count something in these panes."""
        found = [self.panes[p].scopes() for p in panes if p in self.panes]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def forget(self, before: int) -> None:
        """Drop the panes up to this one."""
        self.panes = {p: held for p, held in self.panes.items() if p > before}

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a snapshot."""
        out: dict[str, NDArray[Any]] = {}
        for p, held in self.panes.items():
            scopes = held.scopes()
            out[f"hll{p}.scope"] = scopes
            out[f"hll{p}.registers"] = held.sketches.registers[held.slot.data[scopes]].copy()
        return out

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore."""
        self.panes = {}
        for name, scopes in state.items():
            if name.startswith("hll") and name.endswith(".scope"):
                p = int(name[3 : -len(".scope")])
                held = self.panes[p] = Pane()
                slots = held.slots(scopes)
                registers = state[f"hll{p}.registers"]
                assert registers.shape[1] == REGISTERS
                held.sketches.registers[slots] = registers
