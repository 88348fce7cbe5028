"""Sunrise and sunset: published times of Chinese cities, and PyEphem's of Wuhan, to two minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from citytwin.models.columns import MISSING
from citytwin.models.sun import CIVIL, DAY_MS, HORIZON, height, is_night, sun_times

WUHAN = (114.3055, 30.5928)
CHINA = timezone(timedelta(hours=8))
MINUTE = 60_000

#: Worked out once by PyEphem 4.2 (VSOP87, refraction 34', upper edge of the disc), which is no part of the tests.
OF_WUHAN = [
    ("2024-01-01", "07:19:48", "17:32:10"),
    ("2024-03-20", "06:26:34", "18:34:15"),
    ("2024-06-21", "05:20:49", "19:28:26"),
    ("2024-10-01", "06:16:18", "18:07:57"),
    ("2024-12-21", "07:15:50", "17:25:58"),
    ("2026-02-10", "07:07:53", "18:06:21"),
    ("2026-08-15", "05:49:08", "19:05:06"),
    ("2026-11-26", "06:57:47", "17:21:53"),
]
#: Published for 27 December 2022 (a table of daylight of Chinese cities): degrees, sunrise, sunset in UTC+8.
PUBLISHED = [
    ("Beijing", 116.40, 39.90, "07:34", "16:55"),
    ("Shanghai", 121.47, 31.23, "06:51", "16:58"),
    ("Kunming", 102.72, 25.04, "07:52", "18:27"),
    ("Hohhot", 111.75, 40.84, "07:56", "17:12"),
    ("Changchun", 125.32, 43.88, "07:11", "16:07"),
    ("Chengdu", 104.07, 30.67, "07:59", "18:09"),
    ("Tianjin", 117.20, 39.13, "07:29", "16:55"),
    ("Hefei", 117.28, 31.86, "07:09", "17:14"),
]
#: PyEphem again, in UTC, where nights are short, seasons turned round and the date changes.
ELSEWHERE = [
    (4.9, 52.37, "2025-04-10", "2025-04-10T04:53:53", "2025-04-10T18:30:29"),
    (151.21, -33.87, "2025-01-15", "2025-01-14T18:59:42", "2025-01-15T09:08:57"),
    (-21.94, 64.15, "2025-02-01", "2025-02-01T10:07:21", "2025-02-01T17:16:19"),
    (-179.5, 0.0, "2025-09-09", "2025-09-09T17:51:50", "2025-09-10T05:58:19"),
    (179.5, 10.0, "2025-09-09", "2025-09-08T17:52:19", "2025-09-09T06:06:24"),
]


def day_of(text: str) -> int:
    return int(np.datetime64(text, "D").astype(np.int64))


def local(text: str) -> int:
    """ms of a time in China."""
    return round(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp() * 1000)


@pytest.mark.parametrize(("day", "rise", "set_"), OF_WUHAN)
def test_wuhan_to_two_minutes(day: str, rise: str, set_: str) -> None:
    up, down = sun_times(*WUHAN, day_of(day))
    assert abs(int(up) - local(f"{day}T{rise}")) < 0.5 * MINUTE
    assert abs(int(down) - local(f"{day}T{set_}")) < 0.5 * MINUTE


@pytest.mark.parametrize(("city", "lon", "lat", "rise", "set_"), PUBLISHED)
def test_published_times_to_two_minutes(city: str, lon: float, lat: float, rise: str, set_: str) -> None:
    up, down = sun_times(lon, lat, day_of("2022-12-27"))
    assert abs(int(up) - local(f"2022-12-27T{rise}")) <= 2 * MINUTE, city
    assert abs(int(down) - local(f"2022-12-27T{set_}")) <= 2 * MINUTE, city


@pytest.mark.parametrize(("lon", "lat", "day", "rise", "set_"), ELSEWHERE)
def test_other_places_of_the_earth(lon: float, lat: float, day: str, rise: str, set_: str) -> None:
    times = [datetime.fromisoformat(t).replace(tzinfo=UTC).timestamp() * 1000 for t in (rise, set_)]
    got = [int(v) for v in sun_times(lon, lat, day_of(day))]
    assert got == pytest.approx(times, abs=MINUTE)


def test_places_and_days_are_broadcast() -> None:
    days = np.arange(day_of("2026-01-01"), day_of("2027-01-01"))
    up, down = sun_times(np.array([[114.3], [115.0]]), 30.6, days)
    assert up.shape == down.shape == (2, 365)
    assert (np.diff(up[0]) > DAY_MS - 2 * MINUTE).all()
    assert (up < down).all()
    assert (up[1] < up[0]).all()  # farther east it rises earlier
    midnight = days * DAY_MS - 8 * 3_600_000
    assert ((up[0] > midnight) & (down[0] < midnight + DAY_MS)).all()


def test_at_sunrise_the_sun_is_at_the_height_asked_for() -> None:
    days = np.arange(20_000, 20_365)
    for above in (HORIZON, CIVIL, 10.0):
        for at in sun_times(*WUHAN, days, above):
            assert height(*WUHAN, at) == pytest.approx(np.full(365, above), abs=0.005)


def test_lamps_are_lit_from_sunset_to_sunrise() -> None:
    day = day_of("2026-11-26")
    up, down = (int(v) for v in sun_times(*WUHAN, day))
    at = np.array([up - MINUTE, up + MINUTE, (up + down) // 2, down - MINUTE, down + MINUTE, down + 6 * 3_600_000])
    assert is_night(*WUHAN, at).tolist() == [True, False, False, False, True, True]


def test_no_sunrise_where_the_sun_does_not_set() -> None:
    summer, winter = day_of("2025-06-21"), day_of("2025-12-21")
    lat = np.array([69.65, 90.0, -90.0])
    for day in (summer, winter):
        assert all((t == MISSING).all() for t in sun_times(18.96, lat, day))
    noon = winter * DAY_MS + 11 * 3_600_000
    assert is_night(18.96, 69.65, noon)
    assert not is_night(18.96, 69.65, summer * DAY_MS)
    assert sun_times(np.nan, 30.0, summer)[0] == MISSING
