"""Clock hours, working hours and working days of a city: when a limit ends, and how much of it has gone by.

An `Edition` is data: which days differ from the week. A year that no edition knows falls back to the week and the
national holidays of fixed date; `WorkCalendar.provisional` says where that was needed. Days are local day numbers
since 1970-01-01, times ms UTC. Counting days follows the Civil Code of the PRC, articles 201 and 203: the day of the
beginning is not counted, the last day is a working day and ends when business closes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import accumulate

from citytwin.models.columns import MISSING
from citytwin.models.vocabulary import DAY_MS, HOUR_MS

UNITS: tuple[str, ...] = ("clock_hours", "working_hours", "working_days")
#: Business hours of a working day, ms after local midnight. A local default, no standard.
HOURS: tuple[tuple[int, int], ...] = ((9 * HOUR_MS, 17 * HOUR_MS),)
#: Offset of Asia/Shanghai.
CHINA_MS = 8 * HOUR_MS
#: Years for which the holidays of fixed date are laid out; beyond them only the week counts.
YEARS = range(1970, 2200)
_EPOCH = date(1970, 1, 1)
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)(min|h|wh|wd)")
_SHORT = {"min": "clock_hours", "h": "clock_hours", "wh": "working_hours", "wd": "working_days"}
_UNIT = {unit: short for short, unit in _SHORT.items()}


def day_number(day: date) -> int:
    """Days since 1970-01-01.

    >>> day_number(date(2026, 1, 1))
    20454
    """
    return (day - _EPOCH).days


def year_of(day: int) -> int:
    """The year that a day number lies in."""
    return (_EPOCH + timedelta(days=day)).year


@dataclass(frozen=True, slots=True)
class Limit:
    """How long something may take: `amount` of one of UNITS; working days are whole."""

    amount: float
    unit: str

    @property
    def text(self) -> str:
        """As `parse` reads it.

        >>> Limit.parse("30min").text, Limit.parse("2h").text
        ('30min', '2h')
        """
        if self.unit == "clock_hours" and self.amount != int(self.amount):
            return f"{self.amount * 60:.10g}min"
        return f"{self.amount:.10g}{_UNIT[self.unit]}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """A limit from `30min`, `2h` (clock), `4wh` (working hours) or `3wd` (working days). Raises ValueError.

        >>> Limit.parse("4wh")
        Limit(amount=4.0, unit='working_hours')
        """
        found = _LIMIT.fullmatch(text.strip())
        if found is None:
            raise ValueError(
                f"{text!r} is no limit; write 30min, 2h (clock), 4wh (working hours) or 3wd (working days)"
            )
        amount, short = float(found[1]), found[2]
        if amount <= 0 or (short == "wd" and amount != int(amount)):
            raise ValueError(f"{text!r} is no limit; it is longer than nothing, and working days are whole")
        return cls(amount / 60 if short == "min" else amount, _SHORT[short])


@dataclass(frozen=True, slots=True)
class Edition:
    """Which days differ from the week: `days` by day number (True is worked), `years` that it knows whole.

    `weekend` weekdays, 1 is Monday; `fixed` (month, day) of holidays in the years that it does not know.
    """

    id: str
    days: Mapping[int, bool] = field(default_factory=dict)
    years: frozenset[int] = frozenset()
    weekend: frozenset[int] = frozenset({6, 7})
    fixed: frozenset[tuple[int, int]] = frozenset()

    def amended(
        self, id: str, days: Mapping[int, bool], years: Iterable[int] = (), valid_from: int = MISSING
    ) -> Edition:
        """This edition with `days` put in; of `years` nothing old is kept; days before `valid_from` stay."""
        whole = frozenset(years)
        kept = {d: w for d, w in self.days.items() if d < valid_from or year_of(d) not in whole}
        new = {d: bool(w) for d, w in days.items() if d >= valid_from}
        return Edition(id, kept | new, self.years | whole, self.weekend, self.fixed)


class WorkCalendar:
    """Working time of a city: an edition, business hours, and the fixed offset of the zone from UTC (ms)."""

    def __init__(self, edition: Edition, offset_ms: int = CHINA_MS, hours: Sequence[tuple[int, int]] = HOURS) -> None:
        """`hours`: spans of ms after local midnight in their order. Raises ValueError for others."""
        flat = [edge for span in hours for edge in span]
        if not flat or flat != sorted(set(flat)) or flat[0] < 0 or flat[-1] > DAY_MS:
            raise ValueError(f"business hours {hours} are no spans of one day in their order")
        if len(edition.weekend) >= 7:
            raise ValueError("a week without a working day has no working time")
        self.edition, self.offset_ms, self.hours = edition, offset_ms, tuple(hours)
        self.day_ms = sum(end - begin for begin, end in hours)
        self._lay_out()

    def _lay_out(self) -> None:
        """Prefix counts: working days of the week from each residue, and what the listed days change."""
        weekend = self.edition.weekend
        # day 0 was a Thursday
        self._week = [0, *accumulate(int((d + 3) % 7 + 1 not in weekend) for d in range(7))]
        listed = {
            day_number(date(year, month, day)): False
            for year in YEARS
            if year not in self.edition.years
            for month, day in self.edition.fixed
        } | dict(self.edition.days)
        differing = sorted(d for d, worked in listed.items() if worked != self._usual(d))
        self._listed, self._worked = differing, {d: listed[d] for d in differing}
        self._more = [0, *accumulate(1 if listed[d] else -1 for d in differing)]

    def _usual(self, day: int) -> bool:
        return (day + 3) % 7 + 1 not in self.edition.weekend

    def is_working(self, day: int) -> bool:
        """Whether a day number is a working day."""
        return self._worked.get(day, self._usual(day))

    def day_of(self, time: int) -> int:
        """The local day number of a time."""
        return (time + self.offset_ms) // DAY_MS

    def _before(self, day: int) -> int:
        """Working days before a day, counted from a fixed one."""
        weeks, rest = divmod(day, 7)
        return weeks * self._week[7] + self._week[rest] + self._more[bisect_left(self._listed, day)]

    def _nth(self, n: int) -> int:
        """The working day that has n working days before it."""
        near = n * 7 // self._week[7]
        for _ in range(2):  # as if all weeks were usual from there on
            near += (n - self._before(near)) * 7 // self._week[7]
        low = high = near
        step = 2
        while self._before(low + 1) > n:
            low, step = low - step, 2 * step
        step = 2
        while self._before(high + 1) <= n:
            high, step = high + step, 2 * step
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._before(middle + 1) > n else (middle + 1, high)
        return low

    def worked(self, time: int) -> int:
        """Working ms before a time, counted from a fixed one; monotone."""
        day, rest = divmod(time + self.offset_ms, DAY_MS)
        spent = sum(min(max(rest - begin, 0), end - begin) for begin, end in self.hours)
        return self._before(day) * self.day_ms + (spent if self.is_working(day) else 0)

    def _reach(self, worked: int) -> int:
        """The earliest time with so many working ms before it."""
        n, left = divmod(worked - 1, self.day_ms)
        left += 1
        at = self._nth(n) * DAY_MS - self.offset_ms
        for begin, end in self.hours:
            if left <= end - begin:
                return at + begin + left
            left -= end - begin
        raise AssertionError("a day has less working time than its hours")

    def advance(self, start: int, length: int) -> int:
        """The earliest time by which `length` ms of working time after `start` have gone by; `start` for 0."""
        return self._reach(self.worked(start) + length) if length > 0 else start

    def add(self, start: int, amount: float, unit: str) -> int:
        """When `amount` of a unit after `start` has gone by (ms). Raises ValueError for another unit or amount."""
        if amount < 0 or unit not in UNITS or (unit == "working_days" and amount != int(amount)):
            raise ValueError(f"{amount} {unit}: units are {', '.join(UNITS)}, amounts >= 0, working days whole")
        length = round(amount * HOUR_MS)
        if unit == "clock_hours":
            return start + length
        if unit == "working_hours":
            return self.advance(start, length)
        if amount == 0:
            return start
        last = self._nth(self._before(self.day_of(start) + 1) + int(amount) - 1)
        return last * DAY_MS + self.hours[-1][1] - self.offset_ms

    def due(self, start: int, limit: Limit) -> int:
        """When a limit from `start` on ends (ms)."""
        return self.add(start, limit.amount, limit.unit)

    def between(self, a: int, b: int, unit: str) -> float:
        """How much of a unit lies between two times; working days: those after the day of `a` that closed by `b`.

        Negative where b is before a. Raises ValueError for another unit.
        """
        if unit not in UNITS:
            raise ValueError(f"{unit}: units are {', '.join(UNITS)}")
        if b < a:
            return -self.between(b, a, unit)
        if unit == "clock_hours":
            return (b - a) / HOUR_MS
        if unit == "working_hours":
            return (self.worked(b) - self.worked(a)) / HOUR_MS
        day, rest = divmod(b + self.offset_ms, DAY_MS)
        closed = self._before(day + (rest >= self.hours[-1][1]))
        return float(max(0, closed - self._before(self.day_of(a) + 1)))

    def working_days(self, year: int) -> int:
        """Number of working days of a year."""
        return self._before(day_number(date(year + 1, 1, 1))) - self._before(day_number(date(year, 1, 1)))

    def provisional(self, a: int, b: int) -> bool:
        """Whether a span touches a year whose holidays no edition knows, so that its working time may still change."""
        years = range(year_of(self.day_of(a)), year_of(self.day_of(b)) + 1)
        return any(year not in self.edition.years for year in years)


def held_ms(deferrals: Iterable[tuple[int, int, int]]) -> int:
    """Clock time of deferrals, each (from, until, left): `left` is the move that ended it early, MISSING for none.

    The law of models.lifecycle: a hold ends at `until` or with the next move out of it, and never takes time away.
    """
    ends = ((begin, until if left == MISSING else min(until, left)) for begin, until, left in deferrals)
    return sum(max(0, end - begin) for begin, end in ends)


def recomputed_due(
    filed_at: int, limit: Limit, deferrals: Iterable[tuple[int, int, int]], calendar: WorkCalendar
) -> int:
    """When a case is due under a calendar: its limit from filing on, and the time of its deferrals after that (ms).

    For a limit that was never extended by name: an extension says a time, which no new edition moves.
    """
    return calendar.due(filed_at, limit) + held_ms(deferrals)


__all__ = [
    "CHINA_MS", "HOURS", "UNITS", "Edition", "Limit", "WorkCalendar", "day_number", "held_ms", "recomputed_due",
    "year_of",
]  # fmt: skip
