"""Working time: hand-computed examples, the count of 2026, and brute force over minutes and days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import chinese_calendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citytwin.models.columns import MISSING
from citytwin.models.desk.calendar import (
    CHINA_MS,
    UNITS,
    Edition,
    Limit,
    WorkCalendar,
    day_number,
    held_ms,
    recomputed_due,
)
from citytwin.models.desk.holidays import base_edition, china
from citytwin.twin.pack import load_city
from tests.conftest import Figure, proving

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
CHINA = WorkCalendar(china())
#: A morning and an afternoon, so that a day has two spans.
SPLIT = WorkCalendar(
    china(), hours=((9 * HOUR, 12 * HOUR), (13 * HOUR + 30 * MINUTE, 17 * HOUR + 30 * MINUTE))
)  # fmt: skip
CALENDARS = st.sampled_from((CHINA, SPLIT))
#: The years of the library and some beyond it on both sides.
TIMES = st.integers(0, 2_200_000_000_000)
AMOUNTS = st.integers(0, 60 * 24 * 60).map(lambda minutes: minutes / 60)


def at(text: str) -> int:
    """A time in China, ms UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) - CHINA_MS


@pytest.mark.parametrize(
    ("start", "limit", "due"),
    [
        ("2026-11-27T16:00", "2h", "2026-11-27T18:00"),
        ("2026-11-27T16:59", "30min", "2026-11-27T17:29"),
        # Friday afternoon: an hour on Friday, three on Monday
        ("2026-11-27T16:00", "4wh", "2026-11-30T12:00"),
        ("2026-11-27T17:00", "8wh", "2026-11-30T17:00"),
        ("2026-11-28T03:00", "1wh", "2026-11-30T10:00"),
        ("2026-11-27T16:00", "1wd", "2026-11-30T17:00"),
        ("2026-11-28T03:00", "2wd", "2026-12-01T17:00"),
        # before the Spring Festival of 2026: the 14th (Saturday) is worked, the 15th to the 23rd are not
        ("2026-02-13T16:00", "2wh", "2026-02-14T10:00"),
        ("2026-02-14T16:00", "2wh", "2026-02-24T10:00"),
        ("2026-02-13T10:00", "2wd", "2026-02-24T17:00"),
        # National Day: 1 to 7 October, the 10th (Saturday) is worked
        ("2026-09-30T16:30", "1wh", "2026-10-08T09:30"),
        ("2026-09-30T16:30", "3wd", "2026-10-10T17:00"),
    ],
)
def test_due_by_hand(start: str, limit: str, due: str) -> None:
    assert CHINA.due(at(start), Limit.parse(limit)) == at(due)


def test_2026_has_248_working_days() -> None:
    assert CHINA.working_days(2026) == 248


def test_the_editions_say_what_the_library_says() -> None:
    days = [date(2004, 1, 1) + timedelta(days=k) for k in range((date(2027, 1, 1) - date(2004, 1, 1)).days)]
    assert all(CHINA.is_working(day_number(d)) == chinese_calendar.is_workday(d) for d in days)


def test_one_file_knows_the_library() -> None:
    root, rooms = Path(__file__).resolve().parents[3], ("citytwin", "models", "twin", "streams")
    asking = [
        p.name for room in rooms for p in (root / room).glob("**/*.py") if "chinese_calendar" in p.read_text("utf-8")
    ]
    assert asking == ["holidays.py"]


@pytest.mark.parametrize("name", ["wuhan", "new_york"])
def test_a_pack_has_the_last_word_on_its_years(name: str) -> None:
    city = load_city(name)
    edition = base_edition(city.timezone, city.calendar.weekend, city.calendar.days)
    work, days = WorkCalendar(edition), [date(2025, 1, 1) + timedelta(days=k) for k in range(365)]
    assert all(work.is_working(day_number(d)) == city.calendar.working(d.isoformat()) for d in days)
    assert edition.days[day_number(date(2025, 1, 1))] is False
    assert 2024 in edition.years if name == "wuhan" else edition.years == {2025}


def test_beyond_the_notices_there_are_weekends_and_holidays_of_fixed_date() -> None:
    free = [d for d in range(day_number(date(2027, 1, 1)), day_number(date(2028, 1, 1))) if not CHINA.is_working(d)]
    weekdays = {d for d in free if date.fromordinal(719_163 + d).isoweekday() < 6}
    fixed = ("2027-01-01", "2027-10-01")  # the others of 2027 lie on weekends
    assert weekdays == {day_number(date.fromisoformat(d)) for d in fixed}
    assert CHINA.provisional(at("2026-12-30T10:00"), at("2027-01-04T10:00"))
    assert not CHINA.provisional(at("2026-01-01T00:00"), at("2026-12-31T23:59"))


def test_a_new_edition_moves_what_is_due_and_leaves_what_was_before_it() -> None:
    notice = {day_number(date(2027, 2, d)): False for d in range(5, 12)} | {day_number(date(2027, 2, 13)): True}
    new = WorkCalendar(china().amended("cn-2027", notice, [2027]))
    start, limit = at("2027-02-04T16:00"), Limit.parse("4wh")
    assert CHINA.due(start, limit) == at("2027-02-05T12:00")
    assert new.due(start, limit) == at("2027-02-12T12:00")
    assert not new.provisional(start, new.due(start, limit))
    # the year is the edition's: the fixed holidays of the fallback are gone where it does not name them
    assert new.is_working(day_number(date(2027, 10, 1)))
    assert all(new.is_working(d) == CHINA.is_working(d) for d in range(0, day_number(date(2027, 1, 1))))
    march = [day_number(date(2026, 3, d)) for d in (2, 3, 4)]
    late = china().amended("cn-2026b", {march[0]: False, march[1]: False}, valid_from=march[1])
    assert [WorkCalendar(late).is_working(d) for d in march] == [True, False, True]


def test_deferred_time_is_added_as_the_case_law_adds_it() -> None:
    filed, limit = at("2026-11-27T16:00"), Limit.parse("4wh")
    ran_out = (at("2026-11-28T00:00"), at("2026-11-28T06:00"), MISSING)
    left_early = (at("2026-11-29T00:00"), at("2026-11-30T00:00"), at("2026-11-29T01:00"))
    left_late = (at("2026-11-29T02:00"), at("2026-11-29T03:00"), at("2026-11-29T09:00"))
    backwards = (at("2026-11-29T12:00"), at("2026-11-29T11:00"), MISSING)
    assert held_ms([ran_out, left_early, left_late, backwards]) == (6 + 1 + 1) * HOUR
    assert recomputed_due(filed, limit, [], CHINA) == at("2026-11-30T12:00")
    assert recomputed_due(filed, limit, [ran_out, left_early], CHINA) == at("2026-11-30T19:00")


@given(CALENDARS, TIMES, AMOUNTS, st.sampled_from(UNITS[:2]))
def test_between_is_the_inverse_of_add(work: WorkCalendar, start: int, amount: float, unit: str) -> None:
    due = work.add(start, amount, unit)
    assert due >= start
    assert work.between(start, due, unit) * HOUR == pytest.approx(amount * HOUR, abs=1)
    if due > start:
        assert work.between(start, due - 1, unit) < work.between(start, due, unit), "the earliest such time"


@given(CALENDARS, TIMES, st.integers(1, 400))
def test_working_days_are_counted_back_to_the_same_number(work: WorkCalendar, start: int, days: int) -> None:
    due = work.add(start, days, "working_days")
    assert work.between(start, due, "working_days") == days
    assert work.between(start, due - 1, "working_days") == days - 1
    assert work.is_working(work.day_of(due - 1))


@given(CALENDARS, TIMES, st.integers(0, 30 * DAY), st.integers(1, 80), st.integers(0, 80), st.sampled_from(UNITS))
def test_add_is_monotone_in_both(work: WorkCalendar, start: int, later: int, few: int, more: int, unit: str) -> None:
    assert work.add(start, few, unit) <= work.add(start + later, few, unit)
    assert work.add(start, few, unit) <= work.add(start, few + more, unit)


@given(CALENDARS, TIMES, st.lists(st.integers(0, 20 * DAY), min_size=2, max_size=4).map(sorted))
def test_between_adds_up(work: WorkCalendar, start: int, gaps: list[int]) -> None:
    times = [start + gap for gap in gaps]
    for unit in UNITS[:2]:
        parts = sum(work.between(a, b, unit) for a, b in pairwise(times))
        assert parts == pytest.approx(work.between(times[0], times[-1], unit))
        assert work.between(times[-1], times[0], unit) == -work.between(times[0], times[-1], unit)


@pytest.mark.parametrize("work", [CHINA, SPLIT], ids=["one span", "two spans"])
def test_against_minutes_counted_one_by_one(work: WorkCalendar, figure: Figure) -> None:
    """The weeks around the National Day of 2025 and the end of what the library knows, minute by minute."""
    begin = at("2025-09-26T00:00")
    days = 400 if proving() else 20
    end = begin + days * DAY
    minutes = [
        t
        for t in range(begin, end, MINUTE)
        if chinese_calendar.is_workday(date(1970, 1, 1) + timedelta(days=(t + CHINA_MS) // DAY))
        and any(a <= (t + CHINA_MS) % DAY < b for a, b in work.hours)
    ]
    figure("minutes of working time counted one by one", len(minutes), "min")
    done = 0
    for t in range(begin, end, 7 * MINUTE):
        while done < len(minutes) and minutes[done] < t:
            done += 1
        assert work.between(begin, t, "working_hours") == pytest.approx(done / 60)
        ahead = done + 200
        if ahead <= len(minutes):
            assert work.add(t, 200 / 60, "working_hours") == minutes[ahead - 1] + MINUTE


@pytest.mark.parametrize(
    "wrong", [lambda: CHINA.add(0, 1, "weeks"), lambda: CHINA.add(0, -1, "clock_hours"),
              lambda: CHINA.add(0, 1.5, "working_days"), lambda: CHINA.between(0, 1, "weeks"),
              lambda: WorkCalendar(china(), hours=((9, 8),)), lambda: WorkCalendar(china(), hours=()),
              lambda: WorkCalendar(Edition("none", weekend=frozenset(range(1, 8)))),
              lambda: Limit.parse("2 weeks"), lambda: Limit.parse("0h"), lambda: Limit.parse("1.5wd")],
)  # fmt: skip
def test_what_is_no_working_time_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=r".{20}"):
        wrong()


def test_nothing_takes_no_time() -> None:
    night = at("2026-11-28T03:00")
    assert [CHINA.add(night, 0, unit) for unit in UNITS] == [night] * 3
