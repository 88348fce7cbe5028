"""Turn spans of bytes into columns: numbers bit-exact, times to milliseconds, texts to Strings, codes to Coded."""

# ruff: noqa: PLR1714, SIM109  (chains of comparisons compile to branches, sets and tuples do not)
from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int32, Int64, Strings, UInt8
from citytwin.streams.scan import ABSENT, FALSE, INTEGER, NULL, REAL, STRING, TRUE

#: State of a converted value.
NONE, HERE, BAD = range(3)
_HARD = 3
_POWERS: Float64 = np.array([10.0**e for e in range(23)])
_TO_1970 = 719_468  # days from 0000-03-01 to 1970-01-01
_STEPS_MAX = float(2**62)


@njit(cache=True, nogil=True)
def _decimal(buf: UInt8, i: int, end: int) -> tuple[float, bool]:
    """Value of a JSON number; False where it is too long to be exact here (mantissa < 2**53 and |exponent| <= 22)."""
    negative = buf[i] == 45
    if negative:
        i += 1
    mantissa, exponent, seen = np.int64(0), 0, 0
    point = False
    while i < end:
        b = buf[i]
        if b == 46:
            point = True
        elif b > 57 or b < 48:
            break
        else:
            if mantissa != 0 or b != 48:
                seen += 1
                if seen > 18:
                    return 0.0, False
            mantissa = mantissa * 10 + (b - 48)
            if point:
                exponent -= 1
        i += 1
    if i < end:
        i += 1
        minus = buf[i] == 45
        if minus or buf[i] == 43:
            i += 1
        power = 0
        while i < end:
            power = min(power * 10 + (buf[i] - 48), 9999)
            i += 1
        exponent += -power if minus else power
    if mantissa == 0:
        return 0.0, True
    if mantissa > 9007199254740992 or exponent > 22 or exponent < -22:
        return 0.0, False
    value = mantissa * _POWERS[exponent] if exponent >= 0 else mantissa / _POWERS[-exponent]
    return (-value if negative else value), True


@njit(cache=True, nogil=True)
def _floats(buf: UInt8, start: Int32, stop: Int32, kind: UInt8, out: Float64, state: UInt8) -> int:
    hard = 0
    for i in range(len(start)):
        k = kind[i]
        out[i] = np.nan
        if k == INTEGER or k == REAL:
            out[i], plain = _decimal(buf, start[i], stop[i])
            state[i] = HERE if plain else _HARD
            hard += not plain
        else:
            state[i] = NONE if k == ABSENT or k == NULL else BAD
    return hard


@njit(cache=True, nogil=True)
def _integers(buf: UInt8, start: Int32, stop: Int32, kind: UInt8, out: Int64, state: UInt8) -> None:
    for i in range(len(start)):
        k = kind[i]
        out[i] = MISSING
        if k == INTEGER and stop[i] - start[i] <= 18:
            a = start[i]
            negative = buf[a] == 45
            value = np.int64(0)
            for j in range(a + negative, stop[i]):
                value = value * 10 + (buf[j] - 48)
            out[i] = -value if negative else value
            state[i] = HERE
        else:
            state[i] = NONE if k == ABSENT or k == NULL else BAD


@njit(cache=True, nogil=True)
def _two(buf: UInt8, i: int) -> int:
    """Two decimal digits at i, -1 if they are none."""
    a, b = buf[i], buf[i + 1]
    return (a - 48) * 10 + (b - 48) if 48 <= a <= 57 and 48 <= b <= 57 else -1


@njit(cache=True, nogil=True)
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a Gregorian date; the year is taken to begin in March."""
    y = year - (month <= 2)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - _TO_1970


@njit(cache=True, nogil=True)
def _month_days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@njit(cache=True, nogil=True)
def _offset(buf: UInt8, i: int, end: int) -> Any:
    """Minutes of `Z` or `+hh:mm` that fills i to end; 9999 if it is neither."""
    if end - i == 1 and buf[i] == 90:
        return 0
    if end - i != 6 or (buf[i] != 43 and buf[i] != 45) or buf[i + 3] != 58:
        return 9999
    hours, minutes = _two(buf, i + 1), _two(buf, i + 4)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return 9999
    return (hours * 60 + minutes) * (-1 if buf[i] == 45 else 1)


@njit(cache=True, nogil=True)
def _instant(buf: UInt8, i: int, end: int) -> Any:
    """Milliseconds UTC of an RFC 3339 time, digits beyond the third of a second dropped; MISSING if it is none."""
    if end - i < 20 or buf[i + 4] != 45 or buf[i + 7] != 45 or buf[i + 10] != 84:
        return MISSING
    if buf[i + 13] != 58 or buf[i + 16] != 58:
        return MISSING
    high, low, month, day = _two(buf, i), _two(buf, i + 2), _two(buf, i + 5), _two(buf, i + 8)
    hour, minute, second = _two(buf, i + 11), _two(buf, i + 14), _two(buf, i + 17)
    if min(high, low, month - 1, day - 1, hour, minute, second) < 0 or high * 100 + low < 1:
        return MISSING
    year = high * 100 + low
    if month > 12 or day > _month_days(year, month) or hour > 23 or minute > 59 or second > 59:
        return MISSING
    i += 19
    fraction, weight = 0, 100
    if buf[i] == 46:
        first = i + 1
        i = first
        while i < end and 48 <= buf[i] <= 57:
            fraction += (buf[i] - 48) * weight
            weight //= 10
            i += 1
        if i == first or i >= end:
            return MISSING
    shift = _offset(buf, i, end)
    if shift == 9999:
        return MISSING
    seconds = (_days(year, month, day) * 24 + hour) * 3600 + (minute - shift) * 60 + second
    return seconds * 1000 + fraction


@njit(cache=True, nogil=True)
def _times(buf: UInt8, start: Int32, stop: Int32, kind: UInt8, out: Int64, state: UInt8) -> None:
    for i in range(len(start)):
        k = kind[i]
        out[i] = MISSING
        if k == STRING:
            out[i] = _instant(buf, start[i], stop[i])
            state[i] = BAD if out[i] == MISSING else HERE
        else:
            state[i] = NONE if k == ABSENT or k == NULL else BAD


@njit(cache=True, nogil=True)
def _codes(buf: UInt8, start: Int32, stop: Int32, kind: UInt8, out: Int32, state: UInt8) -> Int64:
    """Code of each text by open addressing; the rows in which a new text came first."""
    n = len(start)
    size = 256
    table = np.full(size, -1, np.int32)
    firsts = np.empty(64, np.int64)
    count, last = 0, -1
    for i in range(n):
        k = kind[i]
        out[i] = -1
        a, length = start[i], stop[i] - start[i]
        if k != STRING or length == 0:
            state[i] = NONE if k == ABSENT or k == NULL or k == STRING else BAD
            continue
        state[i] = HERE
        if last >= 0 and _equal(buf, a, length, start[firsts[last]], stop[firsts[last]]):
            out[i] = last
            continue
        slot = _hash(buf, a, length) & (size - 1)
        while table[slot] >= 0 and not _equal(buf, a, length, start[firsts[table[slot]]], stop[firsts[table[slot]]]):
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            if count == len(firsts):
                firsts = np.append(firsts, np.empty(count, np.int64))
            firsts[count] = i
            table[slot] = count
            count += 1
            if count * 2 > size:
                size *= 4
                table = np.full(size, -1, np.int32)
                for c in range(count):
                    f = firsts[c]
                    slot = _hash(buf, start[f], stop[f] - start[f]) & (size - 1)
                    while table[slot] >= 0:
                        slot = (slot + 1) & (size - 1)
                    table[slot] = c
                last = out[i] = count - 1
                continue
        last = out[i] = table[slot]
    return firsts[:count]


@njit(cache=True, nogil=True)
def _hash(buf: UInt8, i: int, length: int) -> np.int64:
    h = np.uint64(1469598103934665603)
    for j in range(i, i + length):
        h = (h ^ np.uint64(buf[j])) * np.uint64(1099511628211)
    return np.int64((h ^ (h >> np.uint64(29))) & np.uint64(0x7FFFFFFF))


@njit(cache=True, nogil=True)
def _equal(buf: UInt8, a: int, length: int, b: int, b_stop: int) -> bool:
    if b_stop - b != length:
        return False
    for j in range(length):  # noqa: SIM110
        if buf[a + j] != buf[b + j]:
            return False
    return True


@njit(cache=True, nogil=True)
def _offsets(start: Int32, stop: Int32, kind: UInt8, offsets: Int64) -> None:
    for i in range(len(start)):
        offsets[i + 1] = offsets[i] + (stop[i] - start[i] if kind[i] == STRING else 0)


@njit(cache=True, nogil=True)
def _copy(buf: UInt8, start: Int32, offsets: Int64, data: UInt8) -> None:
    for i in range(len(start)):
        a, b = start[i], offsets[i]
        for j in range(offsets[i + 1] - b):
            data[b + j] = buf[a + j]


@njit(cache=True, nogil=True)
def _gather(data: UInt8, offsets: Int64, rows: Int64, out: UInt8) -> None:
    at = 0
    for r in rows:
        first = offsets[r]
        for j in range(offsets[r + 1] - first):
            out[at + j] = data[first + j]
        at += offsets[r + 1] - first


@njit(cache=True, nogil=True)
def _scale(
    value: Float64, state: UInt8, per_unit: Float64, lo: Float64, hi: Float64, out: Int64, ok: Bool
) -> None:  # fmt: skip
    one = len(per_unit) == 1
    for i in range(len(value)):
        if state[i] == HERE:
            j = 0 if one else i
            steps = np.rint(value[i] * per_unit[j])
            good = lo[j] <= value[i] <= hi[j] and abs(steps) < _STEPS_MAX
            out[i] = np.int64(steps) if good else MISSING
            ok[i] &= good
        else:
            out[i] = MISSING
            ok[i] &= state[i] == NONE


def floats(buf: UInt8, start: Int32, stop: Int32, kind: UInt8) -> tuple[Float64, UInt8]:
    """Numbers as float64 (NaN where absent), bit-equal to `float(text)`, with their state (uint8[n])."""
    out, state = np.empty(len(start)), np.zeros(len(start), np.uint8)
    if _floats(buf, start, stop, kind, out, state):
        rows = np.flatnonzero(state == _HARD)
        cut = zip(start[rows].tolist(), stop[rows].tolist(), strict=True)
        out[rows] = [float(buf[a:b].tobytes()) for a, b in cut]
        state[rows] = np.where(np.isfinite(out[rows]), HERE, BAD)
    return out, state


def integers(buf: UInt8, start: Int32, stop: Int32, kind: UInt8) -> tuple[Int64, UInt8]:
    """Whole numbers of up to 17 digits as int64 (MISSING where absent) with their state."""
    out, state = np.empty(len(start), np.int64), np.empty(len(start), np.uint8)
    _integers(buf, start, stop, kind, out, state)
    return out, state


def times(buf: UInt8, start: Int32, stop: Int32, kind: UInt8) -> tuple[Int64, UInt8]:
    """RFC 3339 times as int64 ms UTC (MISSING where absent) with their state."""
    out, state = np.empty(len(start), np.int64), np.empty(len(start), np.uint8)
    _times(buf, start, stop, kind, out, state)
    return out, state


def flags(kind: UInt8) -> tuple[NDArray[np.int8], UInt8]:
    """true and false as int8 1 and 0 (-1 where absent) with their state."""
    true, false = kind == TRUE, kind == FALSE
    out = np.where(true, 1, np.where(false, 0, -1)).astype(np.int8)
    none = (kind == ABSENT) | (kind == NULL)
    return out, np.where(none, NONE, np.where(true | false, HERE, BAD)).astype(np.uint8)


def codes(buf: UInt8, start: Int32, stop: Int32, kind: UInt8) -> tuple[Coded, UInt8]:
    """Texts that repeat as Coded (-1 where absent or empty) with their state."""
    out, state = np.empty(len(start), np.int32), np.empty(len(start), np.uint8)
    first = _codes(buf, start, stop, kind, out, state)
    cut = zip(start[first].tolist(), stop[first].tolist(), strict=True)
    return Coded(out, tuple(buf[a:b].tobytes().decode("utf-8", "replace") for a, b in cut)), state


def texts(buf: UInt8, start: Int32, stop: Int32, kind: UInt8) -> Strings:
    """Texts as Strings, "" where there is none."""
    offsets = np.zeros(len(start) + 1, np.int64)
    _offsets(start, stop, kind, offsets)
    data = np.empty(offsets[-1], np.uint8)
    _copy(buf, start, offsets, data)
    return Strings(data, offsets)


def pick_texts(column: Strings, rows: Int64) -> Strings:
    """The given rows of a text column: `Strings.take` without an index a byte."""
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(column.lengths()[rows], out=offsets[1:])
    data = np.empty(offsets[-1], np.uint8)
    _gather(column.data, column.offsets, rows, data)
    return Strings(data, offsets)


def text_state(start: Int32, stop: Int32, kind: UInt8) -> UInt8:
    """State of spans read as texts: an empty one is absent."""
    none = (kind == ABSENT) | (kind == NULL) | ((kind == STRING) & (start == stop))
    return np.where(none, NONE, np.where(kind == STRING, HERE, BAD)).astype(np.uint8)


def scale(
    value: Float64, state: UInt8, per_unit: Float64 | float, lo: Float64 | float, hi: Float64 | float, ok: Bool
) -> Int64:
    """Numbers in steps: rint(value * per_unit) as int64, MISSING where absent; `ok` falls where one is out of range.

    `per_unit`, `lo`, `hi`: one number, or one a row.
    """
    out = np.empty(len(value), np.int64)
    per, low, high = (np.atleast_1d(np.asarray(x, np.float64)) for x in (per_unit, lo, hi))
    _scale(value, state, per, low, high, out, ok)
    return out
