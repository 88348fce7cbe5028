"""Rows of a CSV table of the desk, with errors that name file, line, field and what would be right."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class TableError(ValueError):
    """A table that cannot be used; its text has one line a fault, `file:line: field: reason`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, and its cells by column."""

    file: str
    line: int
    cells: dict[str, str]

    def fault(self, name: str, reason: str) -> str:
        """A fault of a field of it."""
        return f"{self.file}:{self.line}: {name}: {reason}"


def rows(text: str, file: str, needs: Sequence[str], knows: Sequence[str]) -> Iterator[Row]:
    """Rows of a CSV text; raises TableError for a head that lacks `needs` or has more than `knows`."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        head = next(reader, [])
        wrong = [f"the column is missing; the table needs {', '.join(needs)}" for n in needs if n not in head]
        strange = [n for n in head if n not in knows]
        if wrong or strange:
            name = strange[0] if not wrong else next(n for n in needs if n not in head)
            reason = wrong[0] if wrong else f"no such column; there are {', '.join(knows)}"
            raise TableError(f"{file}:1: {name}: {reason}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(head):
                raise TableError(f"{file}:{reader.line_num}: : the row has {len(cells)} fields, the head {len(head)}")
            yield Row(file, reader.line_num, {k: v.strip() for k, v in zip(head, cells, strict=True)})
    except csv.Error as error:
        raise TableError(f"{file}:{reader.line_num}: : no CSV from here on: {error}") from error


def read(found: Iterator[Row], make: Callable[[Row], T]) -> list[T]:
    """Make something of each row; all ValueErrors together are one TableError."""
    made: list[T] = []
    faults: list[str] = []
    for row in found:
        try:
            made.append(make(row))
        except TableError as error:
            faults += str(error).splitlines()
    if faults:
        raise TableError("\n".join(faults))
    return made


def own(name: str) -> str:
    """The text of a table that comes with the program, beside this file."""
    return (Path(__file__).parent / name).read_text("utf-8")
