"""Rules of the nine kinds: what a code and each attribute may hold, checked a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from citytwin.models import codes as coding
from citytwin.models.codes import Checker, Fault
from citytwin.models.columns import MISSING, Bool, Coded, Column, Float64, Strings, UInt8
from citytwin.models.vocabulary import Field, Kind

#: (row, field, reason code of `models.batch.REASONS`, sentence).
Problem = tuple[int, str, str, str]
Columns = Mapping[str, Column]


def _share(codes: Strings, low: str, high: str) -> Bool:
    """Rows that hold only characters low..high (and at least one)."""
    data = codes.data[codes.offsets[0] : codes.offsets[-1]]
    inside = np.concatenate([[0], np.cumsum((data >= ord(low)) & (data <= ord(high)))])
    cut = codes.offsets - codes.offsets[0]
    size = codes.lengths()
    whole: Bool = (inside[cut[1:]] - inside[cut[:-1]] == size) & (size > 0)
    return whole


def _or_own(national: Checker) -> Checker:
    """A code of digits alone must follow the national scheme; any other is an id of one's own."""

    def check(codes: Strings) -> UInt8:
        digits = _share(codes, "0", "9")
        return np.where(digits, national(codes), coding.own_id(codes)).astype(np.uint8)

    return check


def house(codes: Strings) -> UInt8:
    """House code: building 17 digits, unit 2, floor 2, room 2."""
    faults = np.where(codes.lengths() == 23, Fault.NONE, Fault.LENGTH).astype(np.uint8)
    rows = np.flatnonzero(faults == Fault.NONE)
    if len(rows):
        parts = codes.take(rows)
        faults[rows] = coding.building(_cut(parts, 0, 17))
        faults[rows[~_share(parts, "0", "9")]] = Fault.ALPHABET
    return faults


def _cut(codes: Strings, first: int, last: int) -> Strings:
    """Places first..last - 1 of rows that are all long enough."""
    width = last - first
    data = codes.data[(codes.offsets[:-1, None] + np.arange(first, last)).ravel()]
    return Strings(data, np.arange(len(codes) + 1, dtype=np.int64) * width)


def address(codes: Strings) -> UInt8:
    """Address code of digits: the area code of its area (6, 9 or 12 digits), or community 12 and up to 28 more."""
    size = codes.lengths()
    faults = np.where(np.isin(size, (2, 4, 6, 9)) | ((size >= 12) & (size <= 40)), Fault.NONE, Fault.LENGTH)
    rows = np.flatnonzero((faults == Fault.NONE) & (size >= 2))
    faults[rows] = coding.area(_cut(codes.take(rows), 0, 2))
    return faults.astype(np.uint8)


def person(codes: Strings) -> UInt8:
    """A person is a keyed hash of 32 hexadecimal digits, never a number of a person."""
    faults = np.where(codes.lengths() == 32, Fault.NONE, Fault.LENGTH).astype(np.uint8)
    wrong = ~np.isin(codes.data, np.frombuffer(b"0123456789abcdef", np.uint8))
    count = np.concatenate([[0], np.cumsum(wrong)])
    bad = count[codes.offsets[1:]] > count[codes.offsets[:-1]]
    faults[bad & (faults == Fault.NONE)] = Fault.ALPHABET
    return faults


#: How the code of each kind is checked; a city may put another scheme in its place.
KEYS: dict[str, Checker] = {
    "map": coding.own_id,
    "address": _or_own(address),
    "building": _or_own(coding.building),
    "grid": _or_own(coding.grid),
    "population": person,
    "house": _or_own(house),
    "organisation": coding.uscc,
    "facility": _or_own(coding.component),
    "device": _or_own(coding.video_device),
}


def number_of(field: Field, column: Column) -> Float64:
    """A numeric column in units (float64[n], NaN missing); integers of a NUMBER count steps of the resolution."""
    assert not isinstance(column, Strings | Coded)
    if column.dtype == np.float64:
        return column.astype(np.float64)
    missing = column == (-1 if field.kind is Kind.FLAG else MISSING)
    return np.where(missing, np.nan, column / (field.per_unit if field.kind is Kind.NUMBER else 1))


def absent(field: Field, column: Column) -> Bool:
    """Rows without a value."""
    if isinstance(column, Strings):
        empty: Bool = column.lengths() == 0
        return empty
    if isinstance(column, Coded):
        return column.codes < 0
    return np.isnan(number_of(field, column))


def check_codes(check: Checker, codes: Strings) -> Iterator[Problem]:
    """Problems of the codes of a kind."""
    faults = check(codes)
    for row in np.flatnonzero(faults).tolist():
        reason = "missing" if not codes.lengths()[row] else "bad_code"
        yield row, "code", reason, coding.FAULT_TEXT[Fault(int(faults[row]))]["en"]


def check_field(field: Field, column: Column | None, n: int) -> Iterator[Problem]:
    """Problems of one attribute: missing, wrong form, not among the choices, out of range, too long."""
    if column is None:
        if field.required:
            yield from ((row, field.name, "missing", "the value is required") for row in range(n))
        return
    texts = isinstance(column, Strings | Coded)
    if texts != (field.kind in (Kind.CODE, Kind.TEXT, Kind.SECRET)):
        yield from ((row, field.name, "wrong_type", f"the column must hold {field.kind.value}") for row in range(n))
        return
    if field.required:
        yield from _told(absent(field, column), field.name, "missing", "the value is required")
    if isinstance(column, Coded):
        good = [not field.choices or name in field.choices for name in column.names]
        bad = ~np.array([*good, True], np.bool_)[column.codes]
        yield from _told(bad, field.name, "bad_code", f"must be one of {', '.join(field.choices)}")
    elif isinstance(column, Strings):
        yield from _told(
            column.lengths() > field.max_bytes, field.name, "too_large", f"longer than {field.max_bytes} bytes"
        )
        if field.kind is Kind.SECRET:
            plain = (person(column) != Fault.NONE) & (column.lengths() > 0)
            yield from _told(plain, field.name, "bad_code", "must be a keyed hash of 32 hexadecimal digits")
    else:
        yield from _range(field, number_of(field, column))


def _range(field: Field, value: Float64) -> Iterator[Problem]:
    low, high = -np.inf if field.lo is None else field.lo, np.inf if field.hi is None else field.hi
    yield from _told((value < low) | (value > high), field.name, "out_of_range", f"outside {field.lo} to {field.hi}")
    yield from _told(np.isinf(value), field.name, "bad_number", "not a finite number")


def _told(bad: Bool, name: str, reason: str, detail: str) -> Iterator[Problem]:
    yield from ((row, name, reason, detail) for row in np.flatnonzero(bad).tolist())


# Rules that hold between a kind's attributes. Each gets the codes and numeric values by name (NaN where absent).

Values = Callable[[str], Float64]
Rule = tuple[str, str, Callable[[Values], Bool]]


def _positive(name: str) -> Rule:
    return name, "must be greater than 0", lambda value: value(name) <= 0


def _ascending(low: str, high: str) -> Rule:
    return high, f"must not be below {low}", lambda value: value(high) < value(low)


#: By kind: the field that is told, the sentence, and where the rule is broken (a comparison with NaN is false).
RULES: dict[str, Sequence[Rule]] = {
    "address": [
        ("primary", "an alias cannot be the primary address", lambda value: value("alias_of") * value("primary") > 0)
    ],
    "grid": [_positive("area_m2")],
    "house": [_positive("area_m2")],
    "building": [_positive("footprint_m2")],
    "device": [
        _positive("period_s"),
        _ascending("fortify_level", "warning_level"),
        _ascending("warning_level", "guarantee_level"),
        _ascending("calibrated", "calibration_due"),
    ],
    "facility": [_ascending("installed", "checked"), _positive("length_m")],
}


def check_rules(kind: str, fields: Mapping[str, Field], columns: Columns, n: int) -> Iterator[Problem]:
    """Problems between attributes of a row."""

    def value(name: str) -> Float64:
        column = columns.get(name)
        if column is None:
            return np.full(n, np.nan)
        if isinstance(column, Strings):
            return (column.lengths() > 0).astype(np.float64)
        if isinstance(column, Coded):
            return (column.codes >= 0).astype(np.float64)
        # a relation in the form of numbers is told elsewhere as a wrong type
        return number_of(fields[name], column) if name in fields else np.full(n, np.nan)

    for name, detail, broken in RULES.get(kind, ()):
        yield from _told(broken(value), name, "invalid_entity", detail)
    estate = columns.get("estate_unit")
    if isinstance(estate, Strings):
        bad = (coding.estate_unit(estate) != Fault.NONE) & (estate.lengths() > 0)
        yield from _told(bad, "estate_unit", "bad_code", "not a real-estate unit code of 28 places")


def check_relations(relations: Mapping[str, str], codes: Strings, columns: Columns) -> Iterator[Problem]:
    """A relation holds codes, and none of a row's points to itself."""
    own: list[str] | None = None
    for name in relations:
        column = columns.get(name)
        if column is None:
            continue
        if not isinstance(column, Strings | Coded):
            yield from ((row, name, "wrong_type", "the column must hold codes") for row in range(len(codes)))
            continue
        own = own or codes.tolist()
        same = [bool(a) and a == b for a, b in zip(column.tolist(), own, strict=True)]
        yield from _told(np.array(same, np.bool_), name, "invalid_entity", "an entity cannot relate to itself")
