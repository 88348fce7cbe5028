"""Values of indicators as a file of rows, CSV or NDJSON: as they stand when `write` is called."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any, Self

import msgspec
import numpy as np

from citytwin.app import Node
from citytwin.geo.scopes import LEVELS
from citytwin.models.frame import Quality

COLUMNS = ("indicator", "scope", "level", "value", "closed", "quality", "fresh", "expected", "at_ms", "detail")
Row = tuple[Any, ...]


class ValuesFile:
    """Rows of a node's indicators at all scopes that have a value, moment after moment.

    `detail` is what an indicator says beside its number (the primary pollutant, the class, the edition): an object, as
    JSON text in CSV.
    """

    def __init__(self, node: Node, path: Path, only: Collection[str] = ()) -> None:
        """Make the file, NDJSON for a name that ends so; `only` these indicators. Raises OSError, KeyError."""
        registry = node.engine.registry
        self._node, self._specs = node, [registry[id] for id in only] or list(registry)
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._put = self._ndjson if path.suffix in (".ndjson", ".jsonl", ".json") else self._csv
        self._csv_rows = csv.writer(self._file)
        if self._put == self._csv:
            self._csv_rows.writerow(COLUMNS)
        self._at_ms = -1
        #: How many rows were written.
        self.count = 0

    def write(self) -> None:
        """Add what is there now, all of one position; a moment that is in the file already is not added again."""
        now = self._node.engine.now
        if now == self._at_ms:
            return
        self._at_ms = now
        for row in self._node.runtime.call(lambda: list(self._rows())).result():
            self._put(row)
            self.count += 1

    def _rows(self) -> Iterator[Row]:
        engine = self._node.engine
        scopes, now = engine.scopes, engine.now
        for spec in self._specs:
            v, detail = engine.current(spec.id), engine.board.lines[spec.id].detail
            for i, row in enumerate(v.rows.tolist()):
                place = (spec.id, scopes.code[row], LEVELS[int(scopes.level[row])])
                numbers = (_real(v.value[i]), _real(v.closed[i]), Quality(int(v.quality[i])).name.lower())
                yield (*place, *numbers, int(v.fresh[i]), int(v.expected[i]), now, detail.get(row))

    def _csv(self, row: Row) -> None:
        self._csv_rows.writerow((*row[:-1], "" if row[-1] is None else _json(row[-1])))

    def _ndjson(self, row: Row) -> None:
        self._file.write(_json(dict(zip(COLUMNS, row, strict=True))) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _real(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def _plain(value: Any) -> Any:
    """What a plugin may have put into its detail: NumPy values become numbers and lists, anything else its text."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
