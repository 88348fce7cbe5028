"""Values of a mapping: where they come from in a row, and how texts become numbers, times and codes."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping as Map
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec

from citytwin.models.vocabulary import Kind
from citytwin.streams.rules import Refusal, Unreal, instant_of, real_of

_HOLE = re.compile(r"\{([^{}]*)\}")
_DECIMAL = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)

Scalar = str | int | float | bool


class Value(msgspec.Struct, forbid_unknown_fields=True):
    """A value of a mapping, see `streams.mapping`; `format` is `ms`, `s`, `rfc3339` or a strptime pattern."""

    column: str | list[str] = []
    const: Scalar | None = None
    template: str = ""
    map: dict[str, Scalar] = {}
    default: Scalar | None = None
    factor: float = 1.0
    offset: float = 0.0
    format: str = ""


@dataclass(frozen=True)
class Times:
    """How times without a format of their own are written: zone, strptime patterns, which of two repeated hours."""

    zone: str
    patterns: tuple[str, ...]
    fold: int

    def read(self, name: str, text: str, pattern: str) -> int:
        """Milliseconds UTC of a text; raises Refusal."""
        found = _read_time(text, (pattern,) if pattern else self.patterns, self.zone, self.fold)
        if found is None:
            raise Refusal("bad_time", name, f"{name} is not written as {pattern or ', '.join(self.patterns)}")
        return found


@functools.lru_cache(maxsize=4096)
def _read_time(text: str, patterns: tuple[str, ...], zone: str, fold: int) -> int | None:
    for pattern in patterns:
        try:
            local = dt.datetime.strptime(text, pattern)  # noqa: DTZ007
        except ValueError:
            continue
        if local.tzinfo is None:
            local = local.replace(tzinfo=ZoneInfo(zone), fold=fold)
        return (local - _EPOCH) // _MS
    return None


class Getter:
    """One value of an event from a row: constant, template or column, in the type that its field wants."""

    def __init__(
        self, value: str | Value, kind: Kind, words: Map[str, str], times: Times, nulls: frozenset[str]
    ) -> None:
        spec = Value(template=value) if isinstance(value, str) else value
        columns = [spec.column] if isinstance(spec.column, str) else spec.column
        self._template = _filled(spec.template, words)
        holes = tuple(_HOLE.findall(self._template))
        self.columns = tuple(_filled(c, words) for c in columns) or holes
        # a template of one hole and nothing else is that column, numbers and all
        self.plain = bool(columns) or (len(holes) == 1 and self._template == f"{{{holes[0]}}}")
        self.const: Scalar | None = spec.const
        if not self.plain and not holes and spec.const is None:
            self.const = self._template
        self.kind, self.nulls, self.times = kind, nulls, times
        self.map, self.default, self.format = spec.map, spec.default, spec.format
        self.factor, self.offset = spec.factor, spec.offset

    def value(self, name: str, row: Map[str, object]) -> object:
        """The value in the type of its field, None where it is null; raises Refusal."""
        if self.const is not None:
            return self.const
        raw = self._raw(row)
        if raw is None:
            return None
        if self.map:
            return self._mapped(name, raw)
        if self.kind is Kind.TIME:
            return self._time(name, raw)
        if self.kind in (Kind.NUMBER, Kind.INTEGER):
            return self._number(name, raw)
        if self.kind is Kind.FLAG and isinstance(raw, str):
            return {"true": True, "false": False}.get(raw.strip().lower(), raw)
        return str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw

    def _raw(self, row: Map[str, object]) -> object:
        """The first column that is not null, or the template filled (null if any of its columns is)."""
        nulls = self.nulls
        if self.plain:
            for column in self.columns:
                found = _column(row, column)
                if found is not None and not (isinstance(found, str) and found in nulls):
                    return found
            return None
        parts = {c: _column(row, c) for c in self.columns}
        if any(v is None or (isinstance(v, str) and v in nulls) for v in parts.values()):
            return None
        if odd := [c for c, v in parts.items() if not isinstance(v, str | int | float)]:
            raise Refusal("wrong_type", odd[0], f"{odd[0]} must be a text or a number")
        return _HOLE.sub(lambda m: str(parts[m.group(1)]), self._template)

    def _mapped(self, name: str, raw: object) -> object:
        if not isinstance(raw, str | int | float):
            raise Refusal("wrong_type", name, f"{name} must be a text or a number")
        key = str(raw).lower() if isinstance(raw, bool) else str(raw)
        if key in self.map:
            return self.map[key]
        if self.default is None:
            raise Refusal("bad_code", name, f"{name}: {key[:40]} is not in the mapping's table")
        return self.default

    def _time(self, name: str, raw: object) -> int | None:
        if self.format in ("ms", "s"):
            number = self._decimal(name, raw)
            if self.format == "ms" and isinstance(raw, int):
                return instant_of(name, raw, True)
            return instant_of(name, round(number * (1000 if self.format == "s" else 1)), True)
        text = raw.strip() if isinstance(raw, str) else raw
        rfc = self.format == "rfc3339" or not (self.format or self.times.patterns)
        if rfc or not isinstance(text, str):
            return instant_of(name, text)
        return self.times.read(name, text, self.format)

    def _number(self, name: str, raw: object) -> object:
        if self.factor == 1 and self.offset == 0 and not isinstance(raw, str):
            return raw
        return self._decimal(name, raw) * self.factor + self.offset

    def _decimal(self, name: str, raw: object) -> float:
        if isinstance(raw, str):
            text = raw.strip()
            if not _DECIMAL.fullmatch(text):
                raise Refusal("wrong_type", name, f"{name} must be a number")
            raw = float(text)
        number = real_of(name, raw)
        if number is None or isinstance(raw, Unreal):
            raise Refusal("bad_number", name, f"{name} is no number")
        return number


def _filled(text: str, words: Map[str, str]) -> str:
    """A text with the words of `each` put in; what they do not name stays for the row."""
    return _HOLE.sub(lambda m: words.get(m.group(1), m.group(0)), text)


def _column(row: Map[str, object], name: str) -> object:
    """A column, or `a.b` of a nested object where no column has the dotted name."""
    if name in row or "." not in name:
        return row.get(name)
    first, rest = name.split(".", 1)
    inner = row.get(first)
    return _column(inner, rest) if isinstance(inner, dict) else None
