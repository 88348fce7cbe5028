"""Find where the values of JSON objects lie: one pass over the bytes, a span per known key, no Python objects.

A scan takes only what is plain: keys it knows, each once, values without escapes, no nesting but under the keys that
may nest. Whatever else an object holds makes the row `slow`: it is read again by the law (`streams.rules`). So a scan
can be wrong only by taking a text that is not JSON, which the tests compare with the law on mutated rows.
"""

# ruff: noqa: PLR1714  (chains of comparisons compile to branches, sets and tuples do not)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from citytwin.models.columns import Bool, Int32, Int64, UInt8

#: What a span holds.
ABSENT, STRING, INTEGER, REAL, TRUE, FALSE, NULL, OBJECT, ARRAY = range(9)
#: How a scan of an array ended.
CLOSED, CUT_OFF, TRAILING, TOO_MANY, NO_COMMA = range(5)

_MAX_KEYS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """The keys that a scan knows: `blob[cut[k]:cut[k + 1]]` is key k, `nests[k]` whether it may hold an object."""

    names: tuple[str, ...]
    blob: UInt8
    cut: Int32
    nests: Bool

    @classmethod
    def of(cls, names: Sequence[str], nested: Sequence[str] = ()) -> Keys:
        """Table of the given names."""
        raw = [n.encode() for n in names]
        cut = np.cumsum([0, *(len(r) for r in raw)]).astype(np.int32)
        nests = np.array([n in nested for n in names], np.bool_)
        return cls(tuple(names), np.frombuffer(b"".join(raw), np.uint8), cut, nests)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Where the values of n rows lie in `buf`: `start`, `stop` int32[keys, n], `kind` uint8[keys, n].

    `slow`: rows that the scan did not take (bool[n]); `row_start`, `row_stop`: where each row's text lies (int64[n]).
    """

    buf: UInt8
    keys: Keys
    start: Int32
    stop: Int32
    kind: UInt8
    slow: Bool
    row_start: Int64
    row_stop: Int64

    def column(self, name: str, rows: Int64 | slice) -> tuple[Int32, Int32, UInt8]:
        """Start, stop and kind of one key for some rows."""
        k = self.keys.names.index(name)
        return self.start[k, rows], self.stop[k, rows], self.kind[k, rows]


@njit(cache=True, nogil=True)
def _space(buf: UInt8, i: int, end: int, lines: bool) -> int:
    """Position after white space; in lines a line feed is none."""
    while i < end:
        b = buf[i]
        if b > 32 or not (b == 32 or b == 9 or b == 13 or (b == 10 and not lines)):
            return i
        i += 1
    return i


@njit(cache=True, nogil=True)
def _string(buf: UInt8, i: int, end: int) -> Any:
    """Position of the closing quote of a plain string that begins at i, -1 if there is none or it is not plain."""
    # an unsigned index spares the test for a negative one at each byte: a third of the time
    at, stop, one = np.uintp(i), np.uintp(end), np.uintp(1)
    while at < stop:
        b = buf[at]
        if b == 34:
            return np.int64(at)
        if b == 92 or b < 32:
            return -1
        at += one
    return -1


@njit(cache=True, nogil=True)
def _digits(buf: UInt8, i: int, end: int) -> int:
    """Position after a run of decimal digits."""
    while i < end and 48 <= buf[i] <= 57:
        i += 1
    return i


@njit(cache=True, nogil=True)
def _number(buf: UInt8, i: int, end: int) -> tuple[int, int]:
    """Position after a JSON number and its kind; -1 where the text is no number."""
    if buf[i] == 45:
        i += 1
    first = i
    i = _digits(buf, i, end)
    if i == first or (buf[first] == 48 and i > first + 1):
        return -1, 0
    kind = INTEGER
    if i < end and buf[i] == 46:
        kind = REAL
        first = i + 1
        i = _digits(buf, first, end)
        if i == first:
            return -1, 0
    if i < end and (buf[i] == 101 or buf[i] == 69):
        kind = REAL
        i += 1
        if i < end and (buf[i] == 43 or buf[i] == 45):
            i += 1
        first = i
        i = _digits(buf, first, end)
        if i == first:
            return -1, 0
    return i, kind


@njit(cache=True, nogil=True)
def _nested(buf: UInt8, i: int, end: int, lines: bool) -> int:
    """Position after the bracket that closes the one at i, by counting alone; -1 if none does."""
    depth = 0
    while i < end:
        b = buf[i]
        if b == 34:
            i += 1
            while i < end and buf[i] != 34:
                i += buf[i] == 92
                # a raw line feed ends the line, whatever string it seems to lie in
                if i >= end or buf[i] < 32:
                    return -1
                i += 1
        elif b == 123 or b == 91:
            depth += 1
        elif b == 125 or b == 93:
            depth -= 1
            if depth == 0:
                return i + 1
        elif b == 10 and lines:
            return -1
        i += 1
    return -1


@njit(cache=True, nogil=True)
def _word(buf: UInt8, i: int, end: int) -> tuple[int, int]:
    """Position after `true`, `false` or `null` and its kind; -1 if it is none of them."""
    if i + 4 <= end and buf[i] == 116 and buf[i + 1] == 114 and buf[i + 2] == 117 and buf[i + 3] == 101:
        return i + 4, TRUE
    if i + 4 <= end and buf[i] == 110 and buf[i + 1] == 117 and buf[i + 2] == 108 and buf[i + 3] == 108:
        return i + 4, NULL
    if i + 5 <= end and buf[i] == 102 and buf[i + 1] == 97 and buf[i + 2] == 108 and buf[i + 3] == 115:
        return (i + 5, FALSE) if buf[i + 4] == 101 else (-1, 0)
    return -1, 0


@njit(cache=True, nogil=True)
def _same(buf: UInt8, a: int, size: int, blob: UInt8, b: int) -> bool:
    """Whether two byte runs are equal."""
    p, q, one = np.uintp(a), np.uintp(b), np.uintp(1)
    for _ in range(size):
        if buf[p] != blob[q]:
            return False
        p += one
        q += one
    return True


@njit(cache=True, nogil=True)
def _slot(buf: UInt8, a: int, size: int, blob: UInt8, cut: Int32, guess: int) -> int:
    """Which key the bytes are, -1 if none; `guess` is tried first because rows tend to look alike."""
    if guess >= 0 and cut[guess + 1] - cut[guess] == size and _same(buf, a, size, blob, cut[guess]):
        return guess
    for k in range(len(cut) - 1):
        if cut[k + 1] - cut[k] == size and _same(buf, a, size, blob, cut[k]):
            return k
    return -1


@njit(cache=True, nogil=True)
def _value(buf: UInt8, i: int, end: int, lines: bool, nests: bool) -> tuple[int, int, int, int]:
    """Span, kind and position after the value at i; position -1 if it is not plain."""
    b = buf[i]
    if b == 34:
        q = _string(buf, i + 1, end)
        return (i + 1, q, STRING, q + 1) if q >= 0 else (0, 0, 0, -1)
    if b == 45 or 48 <= b <= 57:
        if i + 1 >= end:
            return 0, 0, 0, -1
        p, kind = _number(buf, i, end)
        return i, p, kind, p
    if b == 123:
        p = _nested(buf, i, end, lines) if nests else -1
        return i, p, OBJECT, p
    p, kind = _word(buf, i, end)
    return i, p, kind, p


@njit(cache=True, nogil=True)
def _object(
    buf: UInt8, i: int, end: int, lines: bool, blob: UInt8, cut: Int32, nests: Bool, guess: Int32,
    start: Int32, stop: Int32, kind: UInt8, row: int,
) -> int:  # fmt: skip
    """Scan the object at i into row `row`; position after it, -1 if it is not plain."""
    if i >= end or buf[i] != 123:
        return -1
    i = _space(buf, i + 1, end, lines)
    if i < end and buf[i] == 125:
        return i + 1
    for nth in range(_MAX_KEYS):
        if i >= end or buf[i] != 34:
            return -1
        q = _string(buf, i + 1, end)
        if q < 0:
            return -1
        k = _slot(buf, i + 1, q - i - 1, blob, cut, guess[nth])
        if k < 0 or kind[k, row] != ABSENT:
            return -1
        guess[nth] = k
        i = _space(buf, q + 1, end, lines)
        if i >= end or buf[i] != 58:
            return -1
        i = _space(buf, i + 1, end, lines)
        if i >= end:
            return -1
        a, b, what, i = _value(buf, i, end, lines, nests[k])
        if i < 0:
            return -1
        start[k, row], stop[k, row], kind[k, row] = a, b, what
        i = _space(buf, i, end, lines)
        if i >= end:
            return -1
        if buf[i] == 125:
            return i + 1
        if buf[i] != 44:
            return -1
        i = _space(buf, i + 1, end, lines)
    return -1


@njit(cache=True, nogil=True)
def _scan_lines(
    buf: UInt8, blob: UInt8, cut: Int32, nests: Bool, start: Int32, stop: Int32, kind: UInt8, slow: Bool,
    row_start: Int64, row_stop: Int64, line_of: Int64,
) -> int:  # fmt: skip
    """One object a line; the number of rows. Blank lines are no rows but are counted in `line_of`."""
    guess = np.full(_MAX_KEYS, -1, np.int32)
    end, i, n, line = len(buf), 0, 0, 0
    while i < end:
        first = _space(buf, i, end, True)
        if first < end and buf[first] != 10:
            p = _object(buf, first, end, True, blob, cut, nests, guess, start, stop, kind, n)
            if p >= 0:
                p = _space(buf, p, end, True)
            slow[n] = p < 0 or (p < end and buf[p] != 10)
            i = first if slow[n] else p
            while i < end and buf[i] != 10:
                i += 1
            row_start[n], row_stop[n], line_of[n] = first, i, line
            n += 1
        else:
            i = first
        i += 1
        line += 1
    return n


@njit(cache=True, nogil=True)
def _past_text(buf: UInt8, i: int, end: int) -> int:
    """Position of the quote that closes the one at i, or beyond the end."""
    i += 1
    while i < end and buf[i] != 34:
        i += 2 if buf[i] == 92 else 1
    return i


@njit(cache=True, nogil=True)
def _element(buf: UInt8, i: int, end: int) -> int:
    """Position after an array's element that is not plain, by counting brackets; -1 if it does not end."""
    depth = 0
    while i < end:
        b = buf[i]
        if b == 34:
            i = _past_text(buf, i, end)
        elif b == 123 or b == 91:
            depth += 1
        elif b == 125 or b == 93:
            if depth == 0:
                return i
            depth -= 1
        elif b == 44 and depth == 0:
            return i
        i += 1
    return -1


@njit(cache=True, nogil=True)
def _scan_array(
    buf: UInt8, blob: UInt8, cut: Int32, nests: Bool, start: Int32, stop: Int32, kind: UInt8, slow: Bool,
    row_start: Int64, row_stop: Int64,
) -> tuple[int, int]:  # fmt: skip
    """The objects of one JSON array; the number of rows and how the array ended."""
    guess = np.full(_MAX_KEYS, -1, np.int32)
    end, n = len(buf), 0
    i = _space(buf, 0, end, False) + 1
    i = _space(buf, i, end, False)
    if i < end and buf[i] == 93:
        return 0, CLOSED if _space(buf, i + 1, end, False) == end else TRAILING
    while i < end:
        if n >= len(slow):
            return n, TOO_MANY
        p = _object(buf, i, end, False, blob, cut, nests, guess, start, stop, kind, n)
        after = _space(buf, p, end, False) if p >= 0 else end
        slow[n] = p < 0 or after >= end or (buf[after] != 44 and buf[after] != 93)
        if slow[n]:
            p = after = _element(buf, i, end)
            if p < 0:
                return n, CUT_OFF
            if buf[p] == 125:
                return n, NO_COMMA
        row_start[n], row_stop[n] = i, p
        n += 1
        if buf[after] == 93:
            return n, CLOSED if _space(buf, after + 1, end, False) == end else TRAILING
        i = _space(buf, after + 1, end, False)
    return n, CUT_OFF


@njit(cache=True, nogil=True)
def _scan_nested(
    buf: UInt8, blob: UInt8, cut: Int32, nests: Bool, first: Int32, last: Int32, start: Int32, stop: Int32,
    kind: UInt8, slow: Bool,
) -> None:  # fmt: skip
    """One object between `first[row]` and `last[row]` of each row; a row that is already slow is left alone."""
    guess = np.full(_MAX_KEYS, -1, np.int32)
    for row in range(len(first)):
        if not slow[row]:
            i, end = first[row], last[row]
            slow[row] = _object(buf, i, end, False, blob, cut, nests, guess, start, stop, kind, row) != end


def _room(keys: Keys, n: int) -> tuple[Int32, Int32, UInt8, Bool, Int64, Int64]:
    size = (len(keys), n)
    rows = np.zeros(n, np.int64), np.zeros(n, np.int64)
    return np.empty(size, np.int32), np.empty(size, np.int32), np.zeros(size, np.uint8), np.zeros(n, np.bool_), *rows


def scan_lines(body: bytes, keys: Keys) -> tuple[Spans, Int64]:
    """Spans of a text with one object a line, and the line (from 0) of each row (int64[n])."""
    buf = np.frombuffer(body, np.uint8)
    start, stop, kind, slow, first, last = _room(keys, body.count(b"\n") + 1)
    line = np.zeros(len(slow), np.int64)
    n = _scan_lines(buf, keys.blob, keys.cut, keys.nests, start, stop, kind, slow, first, last, line)
    return Spans(buf, keys, start[:, :n], stop[:, :n], kind[:, :n], slow[:n], first[:n], last[:n]), line[:n]


def scan_array(body: bytes, keys: Keys, most: int) -> tuple[Spans, int]:
    """Spans of the objects of a JSON array, at most `most` of them, and how it ended (`CLOSED` ...)."""
    buf = np.frombuffer(body, np.uint8)
    start, stop, kind, slow, first, last = _room(keys, min(most, body.count(b",") + 1))
    n, ending = _scan_array(buf, keys.blob, keys.cut, keys.nests, start, stop, kind, slow, first, last)
    return Spans(buf, keys, start[:, :n], stop[:, :n], kind[:, :n], slow[:n], first[:n], last[:n]), int(ending)


def scan_nested(spans: Spans, name: str, rows: Int64 | slice, keys: Keys) -> Spans:
    """Spans of the objects that lie under the key `name` of some rows; rows that hold none there are slow."""
    first, last, what = spans.column(name, rows)
    start, stop, kind, _, _, _ = _room(keys, len(first))
    slow = what != OBJECT
    first, last = np.ascontiguousarray(first), np.ascontiguousarray(last)
    _scan_nested(spans.buf, keys.blob, keys.cut, keys.nests, first, last, start, stop, kind, slow)
    return Spans(spans.buf, keys, start, stop, kind, slow, first.astype(np.int64), last.astype(np.int64))
