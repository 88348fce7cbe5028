"""Rows of CSV and NDJSON texts as Python values, with the line each begins on; bad rows carry their refusal."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass
from typing import Protocol

from citytwin.streams.cloudevents import parse
from citytwin.streams.decoded import BadBody
from citytwin.streams.rules import Refusal

_NO_ROW = Refusal("not_object", "", "no row")


class Layout(Protocol):
    """What a CSV reader must know."""

    @property
    def encoding(self) -> str: ...
    @property
    def delimiter(self) -> str: ...


@dataclass(slots=True)
class InputRow:
    """One row: `line` from 0, values by column (None if the row is refused: `why`), its text; `counts` 0 if counted."""

    line: int
    raw: bytes
    values: Map[str, object] | None
    why: Refusal = _NO_ROW
    counts: int = 1

    @classmethod
    def of_json(cls, line: int, raw: bytes, counts: int = 0) -> InputRow:
        """The row of one JSON object."""
        try:
            return cls(line, raw, parse(raw), counts=counts)
        except Refusal as why:
            return cls(line, raw, None, why, counts)


def ndjson_rows(body: bytes, line: int) -> Iterator[InputRow]:
    """One JSON object a line; blank lines are passed over."""
    for number, raw in enumerate(body.split(b"\n"), line):
        if text := raw.strip(b" \t\r"):
            yield InputRow.of_json(number, text, 1)


def csv_rows(body: bytes | Iterable[bytes], layout: Layout, columns: frozenset[str]) -> Iterator[InputRow]:
    """Rows under a header line. Raises BadBody where a column that is needed is not in the header."""
    lines = body.splitlines(keepends=True) if isinstance(body, bytes) else body
    text = (raw.decode(layout.encoding, "surrogateescape") for raw in lines)
    reader = csv.reader(_without_mark(text), delimiter=layout.delimiter)
    try:
        header = next(reader)
    except StopIteration:
        raise BadBody("The file is empty; a header line was expected.") from None
    except csv.Error as error:
        raise BadBody(f"The header cannot be read: {error}.") from None
    if absent := sorted(columns - set(header)):
        raise BadBody(f"The header has no column {', '.join(absent)}.")
    while True:
        line = reader.line_num
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield InputRow(line, b"", None, Refusal("too_large", "", f"the row cannot be read: {error}"))
            continue
        if values:
            yield _csv_row(line, header, values)


def _csv_row(line: int, header: list[str], values: list[str]) -> InputRow:
    row: dict[str, object] = dict(zip(header, values, strict=False))
    try:
        raw = json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raw = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")
        return InputRow(line, raw, None, Refusal("not_utf8", "", "the row's bytes are not in the file's encoding"))
    if len(values) != len(header):
        why = Refusal("wrong_type", "", f"the row has {len(values)} columns, the header {len(header)}")
        return InputRow(line, raw, None, why)
    return InputRow(line, raw, row)


def _without_mark(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield line.removeprefix("\ufeff") if number == 0 else line
