"""The columnar path of a mapping: NDJSON rows that make one event each, from columns, constants and value maps."""

from __future__ import annotations

from collections.abc import Mapping as Map
from collections.abc import Sequence

import numpy as np

from citytwin.models.columns import Coded, Float64, Int64, Strings, UInt8
from citytwin.models.vocabulary import EventType, Kind
from citytwin.streams import scan
from citytwin.streams.build import Absent, Cells, Columns, build
from citytwin.streams.cloudevents import SpanCells, is_utf8
from citytwin.streams.convert import BAD, HERE
from citytwin.streams.decoded import MAX_EVENT_BYTES, Decoded, merge, pick
from citytwin.streams.getters import Getter
from citytwin.streams.rules import Rules

_STEPS_MAX = 2**62


class _Constant(Absent):
    """The same text in every row."""

    def __init__(self, n: int, value: str) -> None:
        super().__init__(n)
        self._value, self._here = value, np.full(n, HERE, np.uint8)

    def codes(self) -> tuple[Coded, UInt8]:
        """One name."""
        return Coded(np.zeros(self._n, np.int32), (self._value,)), self._here

    def texts(self) -> tuple[Strings, UInt8]:
        """One text over and over."""
        raw = np.frombuffer(self._value.encode(), np.uint8)
        return Strings(np.tile(raw, self._n), np.arange(self._n + 1, dtype=np.int64) * len(raw)), self._here


class _Millis(SpanCells):
    """Times as integers of milliseconds."""

    def times(self) -> tuple[Int64, UInt8]:
        """Integers as they are."""
        return self.integers()


class _Scaled(SpanCells):
    """Numbers in another unit."""

    factor = 1.0
    offset = 0.0

    def floats(self) -> tuple[Float64, UInt8]:
        """value * factor + offset."""
        value, state = super().floats()
        return value * self.factor + self.offset, state


class _Translated(SpanCells):
    """Codes through a table; whole numbers may be keys too."""

    table: Map[str, str] = {}

    def codes(self) -> tuple[Coded, UInt8]:
        """Names replaced; what the table lacks is left to the law."""
        buf, start, stop, kind = self._spans
        found, state = SpanCells(buf, start, stop, np.where(kind == scan.INTEGER, scan.STRING, kind)).codes()
        known: dict[str, int] = {}
        codes = [known.setdefault(self.table[n], len(known)) if n in self.table else -2 for n in found.names]
        out = np.array([*codes, -1], np.int32)[found.codes]
        return Coded(np.maximum(out, -1), tuple(known)), np.where(out == -2, BAD, state).astype(np.uint8)


class _Nullable(SpanCells):
    """Texts of which some mean null: rows that hold one are left to the law."""

    nulls: frozenset[str] = frozenset()

    def codes(self) -> tuple[Coded, UInt8]:
        """Codes; a null text is not plain."""
        found, state = super().codes()
        if not any(n in self.nulls for n in found.names):
            return found, state
        null = np.array([*(n in self.nulls for n in found.names), False])[found.codes]
        return found, np.where(null, BAD, state).astype(np.uint8)


class FlatLines:
    """Reads the plain rows of one mapping at the speed of columns and hands back the others."""

    def __init__(self, event: EventType, rules: Rules, keys: scan.Keys) -> None:
        self._event, self._rules, self._keys = event, rules, keys
        self._envelope: dict[str, Getter | str] = {}
        self._fields: dict[str, Getter | str] = {}

    @classmethod
    def of(
        cls, event: EventType, envelope: Map[str, Getter], fields: Map[str, Getter], skip: Sequence[str],
        constant: Map[str, object], ignore: Sequence[str], rules: Rules,
    ) -> FlatLines | None:  # fmt: skip
        """The path for one event, None where the mapping asks for more than it can."""
        getters = [*envelope.values(), *fields.values()]
        if skip or not all(_fits(g) for g in getters):
            return None
        names = dict.fromkeys([*(g.columns[0] for g in getters if g.const is None), *ignore])
        made = cls(event, rules, scan.Keys.of(tuple(names)))
        made._envelope = {n: g if g.const is None else str(g.const) for n, g in envelope.items()}
        made._envelope.update({n: str(v) for n, v in constant.items()})
        made._fields = {n: g if g.const is None else str(g.const) for n, g in fields.items()}
        return made

    def decode(self, body: bytes, line: int) -> tuple[Decoded, list[tuple[int, bytes]]]:
        """The plain rows as a batch, and line and text of the others."""
        spans, where = scan.scan_lines(body, self._keys)
        slow = spans.slow | (spans.row_stop - spans.row_start > MAX_EVENT_BYTES)
        if not is_utf8(body):
            slow[:] = True
        good = np.flatnonzero(~slow)
        parts = []
        if len(good):
            rows: Int64 | slice = slice(None) if len(good) == len(slow) else good
            batch, ok = build(
                self._event, self._columns(self._envelope, spans, rows), self._columns(self._fields, spans, rows),
                self._rules,
            )  # fmt: skip
            slow[good[~ok]] = True
            parts.append((batch, where[good] + line) if ok.all() else (pick(batch, ok), where[good[ok]] + line))
        rest = np.flatnonzero(slow)
        cut = zip(where[rest].tolist(), spans.row_start[rest].tolist(), spans.row_stop[rest].tolist(), strict=True)
        return merge(parts, [], len(where)), [(i + line, body[a:b]) for i, a, b in cut]

    def _columns(self, getters: Map[str, Getter | str], spans: scan.Spans, rows: Int64 | slice) -> Columns:
        n = spans.kind[:, rows].shape[1]
        cells: dict[str, Cells] = {}
        for name, getter in getters.items():
            cells[name] = _Constant(n, getter) if isinstance(getter, str) else _cells(getter, spans, rows)
        return Columns(cells, n)


def _fits(getter: Getter) -> bool:
    """Whether a value can be read as a column: one key, and a conversion that has columns."""
    if getter.const is not None:
        return isinstance(getter.const, str) and getter.kind in (Kind.CODE, Kind.TEXT)
    if not getter.plain or len(getter.columns) != 1 or "." in getter.columns[0]:
        return False
    if getter.map:
        return getter.kind is Kind.CODE and getter.default is None and all(map(_is_text, getter.map.values()))
    if getter.kind is Kind.TIME:
        return getter.format in ("ms", "rfc3339") or not (getter.format or getter.times.patterns)
    # another unit of a whole number, or other nulls of a text that is no code, take the law
    if getter.kind is Kind.INTEGER:
        return getter.factor == 1 and getter.offset == 0
    return getter.kind in (Kind.CODE, Kind.NUMBER, Kind.FLAG) or getter.nulls <= {""}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _cells(getter: Getter, spans: scan.Spans, rows: Int64 | slice) -> Cells:
    at = spans.buf, *spans.column(getter.columns[0], rows)
    if getter.kind is Kind.TIME and getter.format == "ms":
        return _Millis(*at)
    if getter.kind is Kind.NUMBER and (getter.factor, getter.offset) != (1, 0):
        scaled = _Scaled(*at)
        scaled.factor, scaled.offset = getter.factor, getter.offset
        return scaled
    if getter.map:
        mapped = _Translated(*at)
        mapped.table = {k: str(v) for k, v in getter.map.items()}
        return mapped
    if getter.kind is Kind.CODE and getter.nulls - {""}:
        nullable = _Nullable(*at)
        nullable.nulls = getter.nulls
        return nullable
    return SpanCells(*at)
