"""Tests of the package; the fixtures city, feed and at come with CityTwin."""

from reopen_rate import reopen_rate


def test_formula():
    """The formula is a function of numbers."""
    assert reopen_rate(reopened=1, closed=4) == 25
    assert reopen_rate(reopened=0, closed=0) is None


def test_half_of_the_closed_cases_came_back(city, feed, at):
    """Two districts, plain events, a clock that you move."""
    city.use(reopen_rate)
    feed({"type": "case.closed", "subject": "C1"}, {"type": "case.closed", "subject": "C2", "scope": city.grids[-1]})
    feed({"type": "case.reopened", "subject": "C1", "time": "+1s"})
    at("+1h")
    assert city.value("gov.case.reopen_rate") == 50
    assert city.value("gov.case.reopen_rate", city.districts[0]) == 100
    at("+7d")
    assert city.value("gov.case.reopen_rate") is None
