"""Fixtures for authors of indicators: `city`, `feed`, `at`. pytest finds them where CityTwin is installed.

def test_half_of_the_closed_cases_came_back(city, feed, at):
    city.use("plugins/gov_case_reopen_rate.py")
    feed({"type": "case.closed", "subject": "C1"}, {"type": "case.closed", "subject": "C2"})
    feed({"type": "case.reopened", "subject": "C1", "time": "+1s"})
    at("+5m")
    assert city.value("gov.case.reopen_rate") == 50
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from citytwin.models.batch import Changes
    from citytwin.tryout import SmallCity


@pytest.fixture
def city() -> SmallCity:
    """A tiny city without indicators; `city.use(...)` puts yours on its board."""
    from citytwin.tryout import SmallCity  # only tests that ask for it pay for the import

    return SmallCity()


@pytest.fixture
def feed(city: SmallCity) -> Callable[..., Changes]:
    """Take events in: `feed({"type": "case.filed", "subject": "C1", "due_at": "+1d"})`."""
    return city.feed


@pytest.fixture
def at(city: SmallCity) -> Callable[[str | int], int]:
    """Move the clock and tick: `at("+5m")`."""
    return city.at
