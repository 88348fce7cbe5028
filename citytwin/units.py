"""Small readings that the step needs: steps per unit, where panes begin, flat names of a nested state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from citytwin.intake import CityLike
from citytwin.models.columns import Float64
from citytwin.models.vocabulary import EventType, Vocabulary
from citytwin.twin.ledger import Ledger


class PerUnit(Mapping[str, "int | Float64"]):
    """Steps per unit by field; for a field whose property decides, an array by the ledger's property codes."""

    def __init__(self, vocabulary: Vocabulary, ledger: Ledger, kind: EventType) -> None:
        self._known, self._ledger = vocabulary.properties, ledger
        self._fixed = {f.name: f.per_unit for f in ledger.fields.values()}
        self._by_property = any(f.name == "property" for f in kind.fields)

    def __getitem__(self, name: str) -> int | Float64:
        if not (self._by_property and name == "value"):
            return self._fixed[name]
        names = self._ledger.names["property"].names
        return np.array([self._known[n].per_unit if n in self._known else 1 for n in names], np.float64)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fixed)

    def __len__(self) -> int:
        return len(self._fixed)


def origin_ms(city: CityLike) -> int:
    """Local midnight of 1970-01-01 in the city's standard time, ms UTC: where panes begin."""
    offset = datetime(1970, 1, 1, tzinfo=ZoneInfo(city.timezone)).utcoffset()
    return -int(offset.total_seconds() * 1000) if offset else 0


def split_state(state: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and plain values of a nested state, under flat names."""
    arrays: dict[str, NDArray[Any]] = {}
    meta: dict[str, Any] = {}
    for name, value in state.items():
        key = f"{prefix}{name}"
        if isinstance(value, np.ndarray):
            arrays[key] = value
        elif isinstance(value, Mapping):
            inner_arrays, inner_meta = split_state(value, f"{key}/")
            arrays |= inner_arrays
            meta |= inner_meta
        else:
            meta[key] = value
    return arrays, meta
