"""Codes of the city and their check digits: what a code may look like, checked a column at a time.

Each scheme is a function from `Strings` to faults (uint8[n] of `Fault`, 0 = good). `SCHEMES` holds them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from citytwin.models.columns import Bool, Int64, Strings, UInt8


class Fault(IntEnum):
    """Why a code is refused; the first that is found counts."""

    NONE = 0
    LENGTH = 1
    ALPHABET = 2
    AREA = 3
    DATE = 4
    SEQUENCE = 5
    TYPE = 6
    CHECK = 7


#: What a fault means, for people.
FAULT_TEXT: dict[Fault, dict[str, str]] = {
    Fault.NONE: {"zh": "编码有效", "en": "the code is valid"},
    Fault.LENGTH: {"zh": "编码长度不对", "en": "the code has a wrong length"},
    Fault.ALPHABET: {"zh": "含有不允许的字符", "en": "a character is not allowed at its place"},
    Fault.AREA: {"zh": "行政区划代码不存在", "en": "the area code begins with no province"},
    Fault.DATE: {"zh": "日期不存在", "en": "the date does not exist"},
    Fault.SEQUENCE: {"zh": "顺序号不能为零", "en": "the sequence number is zero"},
    Fault.TYPE: {"zh": "类型代码不在表中", "en": "the type or class is not in the table"},
    Fault.CHECK: {"zh": "校验码不符", "en": "the check character does not fit"},
}

Checker = Callable[[Strings], UInt8]

_DIGITS = b"0123456789"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_USCC = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
#: First two digits of GB/T 2260: provinces, autonomous regions, municipalities, 71 Taiwan, 81 and 82 Hong Kong and
#: Macao (83 stands in residence permits of people from Taiwan, 91 for foreign countries).
PROVINCES = (
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83, 91,
)  # fmt: skip
_IS_PROVINCE = np.isin(np.arange(100), PROVINCES)
_CITIZEN_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_CITIZEN_CHECK = np.frombuffer(b"10X98765432", np.uint8)
_USCC_WEIGHTS = np.array([pow(3, i, 31) for i in range(17)], np.int64)
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def _table(allowed: bytes) -> Bool:
    found = np.zeros(256, np.bool_)
    found[np.frombuffer(allowed, np.uint8)] = True
    return found


def _all(places: Bool) -> Bool:
    whole: Bool = np.logical_and.reduce(places, axis=1)
    return whole


_IS_DIGIT, _IS_USCC, _IS_UPPER = _table(_DIGITS), _table(_USCC), _table(_LETTERS)
_IS_ID = _table(_DIGITS + _LETTERS + _LETTERS.lower() + b"._:@-")
_USCC_VALUE = np.zeros(256, np.int64)
_USCC_VALUE[np.frombuffer(_USCC, np.uint8)] = np.arange(31)


class _Rows:
    """Rows of one width as a byte matrix; faults are noted for the whole column, the first one stays."""

    def __init__(self, codes: Strings, width: int) -> None:
        self.faults: UInt8 = np.where(codes.lengths() == width, Fault.NONE, Fault.LENGTH).astype(np.uint8)
        self.at = np.flatnonzero(self.faults == Fault.NONE)
        self.bytes: UInt8 = codes.data[codes.offsets[self.at][:, None] + np.arange(width)]

    def need(self, good: Bool, fault: Fault) -> None:
        """Note a fault where a condition does not hold and none was noted."""
        bad = self.at[~good]
        self.faults[bad] = np.where(self.faults[bad] == Fault.NONE, fault, self.faults[bad])

    def need_digits(self, first: int, last: int) -> None:
        """Places first..last - 1 are decimal digits."""
        self.need(_all(_IS_DIGIT[self.bytes[:, first:last]]), Fault.ALPHABET)

    def number(self, first: int, last: int) -> Int64:
        """Value of the digits at first..last - 1 (nonsense where they are none)."""
        powers = 10 ** np.arange(last - first - 1, -1, -1, dtype=np.int64)
        value: Int64 = (self.bytes[:, first:last].astype(np.int64) - 48) @ powers
        return value

    def need_area(self, first: int) -> None:
        """The two digits there are those of a province."""
        self.need(_IS_PROVINCE[self.number(first, first + 2) % 100], Fault.AREA)


def uscc(codes: Strings) -> UInt8:
    """Unified social credit code, 18 places, GB 32100-2015.

    The check value is (31 - sum mod 31) mod 31: without the second mod a sum of 0 has no character.
    """
    rows = _Rows(codes, 18)
    rows.need(_all(_IS_USCC[rows.bytes]), Fault.ALPHABET)
    rows.need_digits(2, 8)
    rows.need_area(2)
    total = _USCC_VALUE[rows.bytes[:, :17]] @ _USCC_WEIGHTS
    rows.need((31 - total % 31) % 31 == _USCC_VALUE[rows.bytes[:, 17]], Fault.CHECK)
    return rows.faults


def citizen(codes: Strings) -> UInt8:
    """Citizen number, 18 places, GB 11643-1999; areas that no longer exist are valid, people keep their number."""
    rows = _Rows(codes, 18)
    rows.need_digits(0, 17)
    rows.need(_IS_DIGIT[rows.bytes[:, 17]] | (rows.bytes[:, 17] == ord("X")), Fault.ALPHABET)
    rows.need_area(0)
    year, month, day = rows.number(6, 10), rows.number(10, 12), rows.number(12, 14)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days = _MONTH_DAYS[np.where((month >= 1) & (month <= 12), month, 0)] + (leap & (month == 2))
    rows.need((year >= 1800) & (day >= 1) & (day <= days), Fault.DATE)
    rows.need(_mod_11_2(rows.bytes[:, :17]) == rows.bytes[:, 17], Fault.CHECK)
    return rows.faults


def _mod_11_2(body: UInt8) -> UInt8:
    """Check character of ISO 7064 MOD 11-2 over 17 digits a row."""
    check: UInt8 = _CITIZEN_CHECK[((body.astype(np.int64) - 48) @ _CITIZEN_WEIGHTS) % 11]
    return check


def _either(*forms: Checker) -> Checker:
    """Good if one of the forms finds no fault; the fault is that of the form that has the code's length."""

    def check(codes: Strings) -> UInt8:
        found = forms[0](codes)
        for form in forms[1:]:
            other = form(codes)
            found = np.where((found == Fault.LENGTH) | (other == Fault.NONE), other, found)
        return found.astype(np.uint8)

    return check


def _area_of(width: int) -> Checker:
    def check(codes: Strings) -> UInt8:
        rows = _Rows(codes, width)
        rows.need_digits(0, width)
        rows.need_area(0)
        return rows.faults

    return check


#: Area code: province 2, city 4, district 6 (or zero-padded to 6), street 9, community 12 digits.
area = _either(_area_of(6), _area_of(12), _area_of(9), _area_of(4), _area_of(2))


@dataclass(frozen=True, slots=True)
class GridScheme:
    """A way to code grids: `width` digits, of which `community` from `start` on is the 12-digit code of the community,
    followed by a sequence that is not zero unless `whole` (00: a community that is not split)."""

    name: str
    width: int
    start: int = 0
    whole: bool = False

    def faults(self, codes: Strings) -> UInt8:
        """Faults of a column of codes."""
        rows = _Rows(codes, self.width)
        rows.need_digits(0, self.width)
        rows.need_area(self.start)
        if not self.whole:
            rows.need(rows.number(self.start + 12, self.width) > 0, Fault.SEQUENCE)
        return rows.faults

    def community(self, code: str) -> str:
        """The 12-digit code of the community that the grid belongs to."""
        return code[self.start : self.start + 12]

    def sequence(self, code: str) -> int:
        """Number of the grid in its community."""
        return int(code[self.start + 12 :])

    def make(self, community: str, sequence: int, prefix: str = "") -> str:
        """The code of a grid; ValueError where the sequence does not fit (codes are never reused or wrapped)."""
        digits = self.width - self.start - 12
        if not (0 if self.whole else 1) <= sequence < 10**digits:
            raise ValueError(f"grid {sequence} of {community} does not fit {digits} digits; split the community first")
        return f"{prefix[: self.start]}{community}{sequence:0{digits}d}"


#: unit15: 12-digit area code + 3; unit14: the older CJ/T 213-2005 with 2; community20: CJ/T 349-2010, object first.
GRID_SCHEMES: dict[str, GridScheme] = {
    s.name: s for s in (GridScheme("unit15", 15), GridScheme("unit14", 14), GridScheme("community20", 20, 6, True))
}
grid = _either(*(s.faults for s in GRID_SCHEMES.values()))


def component(codes: Strings) -> UInt8:
    """City component code, 16 digits: county 6, class 2 (01-06), sub-class 2, sequence 6 (GB/T 30428.2, CJ/T 214)."""
    rows = _Rows(codes, 16)
    rows.need_digits(0, 16)
    rows.need_area(0)
    rows.need((rows.number(6, 8) >= 1) & (rows.number(6, 8) <= 6), Fault.TYPE)
    rows.need(rows.number(10, 16) > 0, Fault.SEQUENCE)
    return rows.faults


def _building17(codes: Strings) -> UInt8:
    rows = _Rows(codes, 17)
    rows.need_digits(0, 17)
    rows.need_area(0)
    rows.need(rows.number(12, 17) > 0, Fault.SEQUENCE)
    return rows.faults


def _building18(codes: Strings) -> UInt8:
    rows = _Rows(codes, 18)
    rows.need_digits(0, 17)
    rows.need(_IS_DIGIT[rows.bytes[:, 17]] | (rows.bytes[:, 17] == ord("X")), Fault.ALPHABET)
    rows.need_area(0)
    rows.need(rows.number(12, 17) > 0, Fault.SEQUENCE)
    rows.need(_mod_11_2(rows.bytes[:, :17]) == rows.bytes[:, 17], Fault.CHECK)
    return rows.faults


#: Building code: community 12 + sequence 5 (00001-99999), optionally with a check character of ISO 7064 MOD 11-2.
building = _either(_building17, _building18)


def _device20(codes: Strings) -> UInt8:
    rows = _Rows(codes, 20)
    rows.need_digits(0, 20)
    rows.need_area(0)
    kind = rows.number(10, 13)
    # 111-199 front-end devices and peripherals, 200-299 platforms, 300-499 users, 500-599 of other platforms.
    rows.need((kind >= 111) & (kind <= 599), Fault.TYPE)
    return rows.faults


def _device16(codes: Strings) -> UInt8:
    rows = _Rows(codes, 16)
    rows.need_digits(0, 16)
    rows.need_area(0)
    return rows.faults


#: GB/T 28181: rule A centre 8, industry 2, type 3, sequence 7; rule B centre 8, industry 2, sequence 4, type 2.
video_device = _either(_device20, _device16)


def estate_unit(codes: Strings) -> UInt8:
    """Real-estate unit code, 28 places: county 6, area 3 + 3, parcel feature 2, parcel 5, fixture 1, unit 8."""
    rows = _Rows(codes, 28)
    rows.need_digits(0, 12)
    rows.need_digits(14, 19)
    rows.need_digits(20, 28)
    rows.need(_all(_IS_UPPER[rows.bytes[:, [12, 13, 19]]]), Fault.ALPHABET)
    rows.need_area(0)
    # Ownership of the parcel: state, collective, other; fixture: house, forest, other, none.
    rows.need(np.isin(rows.bytes[:, 12], list(b"GJZ")) & np.isin(rows.bytes[:, 19], list(b"FLQW")), Fault.TYPE)
    return rows.faults


def own_id(codes: Strings) -> UInt8:
    """An id of one's own: 1 to 64 of letters, digits and . _ : @ -"""
    size = codes.lengths()
    faults = np.where((size >= 1) & (size <= 64), Fault.NONE, Fault.LENGTH).astype(np.uint8)
    row = np.repeat(np.arange(len(codes)), size)
    wrong = row[~_IS_ID[codes.data[codes.offsets[0] : codes.offsets[-1]]]]
    faults[wrong] = np.where(faults[wrong] == Fault.NONE, Fault.ALPHABET, faults[wrong])
    return faults


#: Every scheme by name.
SCHEMES: dict[str, Checker] = {
    "uscc": uscc,
    "citizen": citizen,
    "area": area,
    "grid": grid,
    **{s.name: s.faults for s in GRID_SCHEMES.values()},
    "component": component,
    "building": building,
    "video_device": video_device,
    "estate_unit": estate_unit,
    "own_id": own_id,
}


def check_uscc(codes: Strings) -> Bool:
    """True where a unified social credit code is valid (bool[n])."""
    valid: Bool = uscc(codes) == Fault.NONE
    return valid


def check_citizen(codes: Strings) -> Bool:
    """True where a citizen number is valid (bool[n])."""
    valid: Bool = citizen(codes) == Fault.NONE
    return valid


def fault_of(scheme: str, code: str) -> Fault:
    """The fault of one code; KeyError for an unknown scheme.

    >>> fault_of("uscc", "91350100M000100Y43").name, fault_of("uscc", "91350100M000100Y44").name
    ('NONE', 'CHECK')
    """
    return Fault(int(SCHEMES[scheme](Strings.of([code]))[0]))


def uscc_check(body: str) -> str:
    """The check character for the first 17 places of a unified social credit code; ValueError for other texts."""
    if len(body) != 17 or not _IS_USCC[np.frombuffer(body.encode(), np.uint8)].all():
        raise ValueError(f"{body!r} is not 17 places of the alphabet {_USCC.decode()}")
    total = int(_USCC_VALUE[np.frombuffer(body.encode(), np.uint8)] @ _USCC_WEIGHTS)
    return chr(_USCC[(31 - total % 31) % 31])


def mod_11_2_check(body: str) -> str:
    """The check character for 17 digits, of citizen numbers and building codes; ValueError for other texts."""
    if len(body) != 17 or not _IS_DIGIT[np.frombuffer(body.encode(), np.uint8)].all():
        raise ValueError(f"{body!r} is not 17 digits")
    return chr(int(_mod_11_2(np.frombuffer(body.encode(), np.uint8)[None, :])[0]))
