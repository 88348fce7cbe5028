"""Files of a city pack: plain or gzip, with a digest of all that was read and problems by file, line and field."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Most bytes that one file of a pack may unpack to.
MAX_BYTES = 512 * 2**20
#: Most problems kept; what comes after is only counted.
MAX_PROBLEMS = 10_000


@dataclass(frozen=True, slots=True)
class Problem:
    """One row or file that was left out: file, line (1 = the first, 0 = the whole file), field and reason."""

    file: str
    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.reason}"


@dataclass(slots=True)
class PackFiles:
    """Reads files below a folder; a name that ends in .gz is unpacked."""

    root: Path
    problems: list[Problem] = field(default_factory=list)
    dropped: int = 0

    def report(self, file: str, line: int, name: str, reason: str) -> None:
        """Note a problem; beyond MAX_PROBLEMS it is only counted in `dropped`."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(file, line, name, reason))
        else:
            self.dropped += 1

    def data(self, name: str) -> bytes:
        """Contents of a file of the pack. Raises ValueError for a path outside of it, OSError if it is not there."""
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"{name} lies outside the pack")
        with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as file:
            data: bytes = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"{name} unpacks to more than {MAX_BYTES} bytes")
        return data

    def text(self, name: str) -> str:
        """A file as UTF-8 text, a byte order mark left out."""
        return self.data(name).decode("utf-8-sig")

    def attempt(self, name: str) -> str | None:
        """A file as text; None with a problem noted where it cannot be read."""
        try:
            return self.text(name)
        except FileNotFoundError:
            self.report(name, 0, "", "the file is missing")
        except UnicodeDecodeError as error:
            self.report(name, 0, "", f"the file is no UTF-8: byte {error.start}")
        except (OSError, EOFError, ValueError, zlib.error) as error:
            self.report(name, 0, "", f"the file cannot be read: {error}")
        return None

    def json(self, name: str) -> Any:
        """A file as JSON; None with a problem noted where it is none."""
        text = self.attempt(name)
        if text is None:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            self.report(name, getattr(error, "lineno", 0), "", f"the file is no JSON: {error}")
            return None

    def table(self, name: str, needs: Sequence[str]) -> tuple[list[str], list[int], list[list[str]]]:
        """A CSV file: names of columns, line of each row, rows. Rows with another number of fields are reported."""
        text = self.attempt(name)
        if text is None:
            return [], [], []
        reader = csv.reader(io.StringIO(text, newline=""))
        lines: list[int] = []
        rows: list[list[str]] = []
        try:
            head = next(reader, [])
            missing = [n for n in needs if n not in head]
            if missing:
                self.report(name, 1, missing[0], f"the column is missing; the file has {', '.join(head)}")
                return [], [], []
            for row in reader:
                if len(row) == len(head):
                    lines.append(reader.line_num)
                    rows.append(row)
                elif row:
                    self.report(name, reader.line_num, "", f"the row has {len(row)} fields, the head has {len(head)}")
        except csv.Error as error:
            self.report(name, reader.line_num, "", f"no CSV from here on: {error}")
        return head, lines, rows

    def rows(self, name: str, needs: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        """Rows of a CSV file as (line, values by column)."""
        head, lines, rows = self.table(name, needs)
        for line, row in zip(lines, rows, strict=True):
            yield line, dict(zip(head, row, strict=True))

    def digest(self, names: Iterable[str]) -> str:
        """SHA-256 over names and unpacked contents of the given files, in order of names."""
        total = hashlib.sha256()
        for name in sorted(set(names)):
            try:
                data = self.data(name)
            except (OSError, EOFError, ValueError, zlib.error):
                data = b"unreadable"
            total.update(f"{name}\0{len(data)}\0".encode())
            total.update(data)
        return total.hexdigest()
