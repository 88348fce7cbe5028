"""Editions: which table of a standard was in force at an event's time."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Int64

T = TypeVar("T")
D = TypeVar("D", bound="Dated")

#: What stands behind a threshold: found in a source, known but unconfirmed, or a local default (shown as such).
STATUSES = {
    "V": {"zh": "标准（已核对）", "en": "standard, verified"},
    "K": {"zh": "标准（未核对）", "en": "standard, unconfirmed"},
    "S": {"zh": "项目规定", "en": "stated by the project"},
    "L": {"zh": "本地默认", "en": "local default"},
}


@dataclass(frozen=True, slots=True)
class Edition(Generic[T]):
    """A table in force in [valid_from, valid_to) ms UTC, with its source and status (a key of STATUSES)."""

    name: str
    valid_from: int
    valid_to: int
    source: str
    status: str
    table: T


@dataclass(frozen=True, slots=True)
class Threshold:
    """Bands (blue, yellow, orange, red to their edge) in force in [valid_from, valid_to) ms UTC, with what stands
    behind them: name of the edition ("" = one for all times), source and status (keys of STATUSES joined by +)."""

    bands: Mapping[str, float]
    edition: str
    valid_from: int
    valid_to: int
    source: str
    status: str

    @property
    def name(self) -> str:
        """Name of the edition."""
        return self.edition


class Dated(Protocol):
    """Something in force in [valid_from, valid_to)."""

    @property
    def name(self) -> str: ...

    @property
    def valid_from(self) -> int: ...

    @property
    def valid_to(self) -> int: ...


class Editions(Generic[D]):
    """Editions of one standard without overlap, oldest first."""

    def __init__(self, editions: Sequence[D]) -> None:
        """Raises ValueError if they overlap or are out of order."""
        for before, after in itertools.pairwise(editions):
            if before.valid_to > after.valid_from:
                raise ValueError(f"edition {after.name} begins before {before.name} ends")
        if any(e.valid_from >= e.valid_to for e in editions):
            raise ValueError("an edition must begin before it ends")
        self.all = tuple(editions)
        self._starts = [e.valid_from for e in editions]

    def at(self, time: int) -> D | None:
        """The edition in force at a time (ms UTC), None if there was none."""
        i = bisect_right(self._starts, time) - 1
        return self.all[i] if i >= 0 and time < self.all[i].valid_to else None

    def index(self, time: Int64) -> NDArray[np.int64]:
        """Index into `all` at each time (int64[n]), -1 where none was in force."""
        i = np.searchsorted(np.array(self._starts, np.int64), time, side="right").astype(np.int64) - 1
        ends = np.array([e.valid_to for e in self.all], np.int64)
        return np.where((i >= 0) & (time < ends[i]), i, -1)


def step_class(value: float, edges: Sequence[float]) -> int:
    """How many edges the value has reached: 0 below the first.

    >>> step_class(27.3, (25.0, 27.3, 29.73))
    2
    """
    return bisect_right(edges, value)
