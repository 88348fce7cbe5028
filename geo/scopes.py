"""Scopes: the append-only tree city > district > street > community > grid that every number belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Bool, Float64, Int32, Int64, Strings

LEVELS = ("city", "district", "street", "community", "grid")
#: Level of a grid, the finest one.
GRID = len(LEVELS) - 1
#: Appended to a scope's code for its `unlocated` child; no coding scheme uses it.
UNLOCATED_MARK = "~"


class ScopeTree:
    """Rows of scopes; a row is never renumbered or removed, row 0 is the city.

    `code`, `name` (zh), `name_en` are lists; `parent` int32 (-1 for the city), `level` int8 (index into LEVELS),
    `synthetic` and `unlocated` bool are views of n rows that are valid until the next `add`.
    """

    def __init__(self) -> None:
        self.code: list[str] = []
        self.name: list[str] = []
        self.name_en: list[str] = []
        self._rows: dict[str, int] = {}
        self._raw: dict[bytes, int] = {}
        self._unlocated_child: dict[int, int] = {}
        self._flags = np.zeros((16, 2), np.bool_)
        self._ancestors = np.full((16, len(LEVELS)), -1, np.int32)
        self._parent = np.full(16, -1, np.int32)
        self._level = np.zeros(16, np.int8)
        self._by_level: list[Int32] | None = None
        self._by_parent: tuple[Int32, Int64] | None = None

    def __len__(self) -> int:
        return len(self.code)

    @property
    def parent(self) -> Int32:
        """Row of the parent, -1 for the city (int32[n])."""
        return self._parent[: len(self)]

    @property
    def level(self) -> NDArray[np.int8]:
        """Index into LEVELS (int8[n])."""
        return self._level[: len(self)]

    @property
    def synthetic(self) -> Bool:
        """True for a scope that was generated, not surveyed (bool[n])."""
        return self._flags[: len(self), 0]

    @property
    def unlocated(self) -> Bool:
        """True for a scope that holds what has no known place inside its parent (bool[n])."""
        return self._flags[: len(self), 1]

    def row(self, code: str) -> int:
        """Row of the code, -1 if unknown."""
        return self._rows.get(code, -1)

    def rows_of(self, codes: Strings) -> Int32:
        """Rows of the codes, -1 where unknown or empty (int32[n])."""
        out = np.full(len(codes), -1, np.int32)
        filled = np.flatnonzero(codes.lengths())
        if not len(filled):
            return out
        blob, cut, find = codes.data.tobytes(), codes.offsets, self._raw.get
        pairs = zip(cut[filled].tolist(), cut[filled + 1].tolist(), strict=True)
        out[filled] = np.fromiter((find(blob[a:b], -1) for a, b in pairs), np.int32, len(filled))
        return out

    def at_level(self, level: int) -> Int32:
        """Rows of a level in ascending order (int32)."""
        if self._by_level is None:
            self._by_level = [np.flatnonzero(self.level == k).astype(np.int32) for k in range(len(LEVELS))]
        return self._by_level[level]

    def children(self, row: int) -> Int32:
        """Direct children of a row in ascending order (int32)."""
        if self._by_parent is None:
            order = np.argsort(self.parent, kind="stable").astype(np.int32)
            self._by_parent = order, np.searchsorted(self.parent[order], np.arange(len(self) + 1)).astype(np.int64)
        order, start = self._by_parent
        return order[start[row] : start[row + 1]]

    def path(self, row: int) -> list[int]:
        """The row, its parent and so on up to the city."""
        return [int(r) for r in self._ancestors[row, self._level[row] :: -1]]

    def ancestors(self) -> Int32:
        """Row's ancestor (or itself) at each level, -1 below its own level (int32[n, 5]).

        >>> tree = ScopeTree(); _ = tree.add("4201", "武汉", -1); _ = tree.add("420102", "江岸", 0)
        >>> tree.ancestors().tolist()
        [[0, -1, -1, -1, -1], [0, 1, -1, -1, -1]]
        """
        return self._ancestors[: len(self)]

    def add(
        self,
        code: str,
        name: str,
        parent: int,
        *,
        name_en: str = "",
        synthetic: bool = False,
        unlocated: bool = False,
    ) -> int:
        """Append a scope one level below `parent` (-1: the city, first row only); its row. Raises ValueError."""
        row = len(self)
        self._check(code, parent, unlocated)
        if row == len(self._parent):
            self._grow()
        level = 0 if parent < 0 else int(self._level[parent]) + 1
        self.code.append(code)
        self.name.append(name)
        self.name_en.append(name_en)
        self._rows[code] = row
        self._raw[code.encode()] = row
        self._parent[row], self._level[row], self._flags[row] = parent, level, (synthetic, unlocated)
        if parent >= 0:
            self._ancestors[row] = self._ancestors[parent]
            if unlocated:
                self._unlocated_child[parent] = row
        self._ancestors[row, level] = row
        self._by_level = self._by_parent = None
        return row

    def _check(self, code: str, parent: int, unlocated: bool) -> None:
        if not code or code in self._rows:
            raise ValueError(f"scope code {code!r} is {'used twice' if code else 'empty'}")
        if not (-1 if not len(self) else 0) <= parent < max(len(self), 0):
            raise ValueError(f"scope {code} has parent row {parent}, but the tree has {len(self)} rows and one city")
        if parent >= 0 and self._level[parent] == GRID:
            raise ValueError(f"scope {code} is below the grid {self.code[parent]}; grids have no children")
        if unlocated and parent in self._unlocated_child:
            raise ValueError(f"scope {code}: {self.code[parent]} already has an unlocated child")

    def _grow(self) -> None:
        n = len(self._parent)
        self._parent = np.concatenate([self._parent, np.full(n, -1, np.int32)])
        self._level = np.concatenate([self._level, np.zeros(n, np.int8)])
        self._flags = np.concatenate([self._flags, np.zeros((n, 2), np.bool_)])
        self._ancestors = np.concatenate([self._ancestors, np.full((n, len(LEVELS)), -1, np.int32)])

    def unlocated_child(self, row: int) -> int:
        """The grid row below `row` for what has no place in it; the chain is appended when first asked for.

        A grid is its own answer. Codes are the parent's code and a mark per level, so that every replay and shard
        names them alike.
        """
        while self._level[row] < GRID:
            child = self._unlocated_child.get(row, -1)
            if child < 0:
                code = self.code[row] + UNLOCATED_MARK
                child = self.add(code, "未定位", row, name_en="Unlocated", unlocated=True)
            row = child
        return row

    def complete(self) -> None:
        """Append the unlocated chain of every scope that is not a grid, so that later lookups append nothing."""
        for row in range(len(self)):
            self.unlocated_child(row)

    def roll_up(self, own: Int64) -> Int64:
        """Own values plus those of all rows below, exact in int64 ([..., n] to [..., n]; the input stays as it is)."""
        return self._fold(np.array(own, np.int64, order="C"), np.add)

    def roll_up_max(self, own: Float64) -> Float64:
        """Largest of own and all below ([..., n] float64); NaN means nothing and loses against any number."""
        return self._fold(np.array(own, np.float64, order="C"), np.fmax)

    def roll_up_min(self, own: Float64) -> Float64:
        """Smallest of own and all below ([..., n] float64); NaN means nothing and loses against any number."""
        return self._fold(np.array(own, np.float64, order="C"), np.fmin)

    def _fold(self, out: NDArray[Any], op: np.ufunc) -> NDArray[Any]:
        flat = out.reshape(-1, len(self))
        for level in range(GRID, 0, -1):
            rows = self.at_level(level)
            parents = self._parent[rows].astype(np.intp)
            # One-dimensional `at` runs in NumPy's indexed loop; with two dimensions it is 20 times slower.
            for line in flat:
                op.at(line, parents, line[rows])
        return out

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot needs, as arrays and lists; `from_state` restores an equal tree."""
        return {
            "code": list(self.code),
            "name": list(self.name),
            "name_en": list(self.name_en),
            "parent": self.parent.copy(),
            "synthetic": self.synthetic.copy(),
            "unlocated": self.unlocated.copy(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ScopeTree:
        """The tree that `state` was taken of. Raises ValueError if the state breaks a law of the tree."""
        tree = cls()
        columns = (state["code"], state["name"], state["name_en"], state["parent"].tolist())
        flags = (state["synthetic"].tolist(), state["unlocated"].tolist())
        for code, name, name_en, parent, synthetic, unlocated in zip(*columns, *flags, strict=True):
            tree.add(code, name, parent, name_en=name_en, synthetic=synthetic, unlocated=unlocated)
        return tree
