"""The edition of holidays to begin with: the notices of the State Council as the library chinese-calendar has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from chinese_calendar.constants import holidays, workdays

from citytwin.models.desk.calendar import Edition, day_number

#: Zones whose cities keep the holidays of China.
CHINA_ZONES = frozenset({"Asia/Shanghai", "Asia/Chongqing", "Asia/Harbin", "Asia/Urumqi", "PRC"})
#: National holidays of fixed date: New Year, Labour Day (two days), National Day (three). Those of the lunar calendar
#: and the days in lieu are only known from a notice. Source: regulation on public holidays, in force 2025-01-01.
FIXED = frozenset({(1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3)})


def china() -> Edition:
    """The holidays and make-up working days of all years that the library knows.

    >>> sorted(china().years)[0]
    2004
    """
    days = {day_number(d): False for d in holidays} | {day_number(d): True for d in workdays}
    years = frozenset(d.year for d in holidays)
    return Edition(f"cn-{min(years)}-{max(years)}", days, years, fixed=FIXED)


def base_edition(
    zone: str, weekend: frozenset[int] = frozenset({6, 7}), days: Mapping[str, bool] | None = None
) -> Edition:
    """The edition of a city: its country's where known, under what its own pack says (`days`: ISO date to worked).

    Years of which the pack lists days are the pack's, whole. Raises ValueError for a day that is no ISO date.
    """
    start = china() if zone in CHINA_ZONES else Edition("week")
    start = Edition(start.id, start.days, start.years, weekend, start.fixed)
    told = {date.fromisoformat(text): worked for text, worked in (days or {}).items()}
    if not told:
        return start
    return start.amended(
        f"{start.id}+pack", {day_number(d): worked for d, worked in told.items()}, {d.year for d in told}
    )
