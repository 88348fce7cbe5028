"""The simulator on the real pack: what the engine says equals the ground truth, and history is made in time."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from citytwin.engine import Engine
from citytwin.indicators.registry import builtin
from citytwin.models.batch import EventBatch, Rejection
from citytwin.streams.simulator import Simulator, Town
from citytwin.streams.simulator.truth import Truth
from citytwin.twin.pack import City, load_city
from tests.conftest import Figure, proving

START, MINUTE = 1_795_000_000_000, 60_000


@pytest.fixture(scope="module")
def city() -> City:
    """The pack `wuhan`."""
    return load_city("wuhan")


class Ward:
    """Feeds the same events to the engine and to the ground truth."""

    def __init__(self, city: City, town: Town) -> None:
        self.engine, self.truth = Engine(city, builtin()), Truth(town)
        self.position, self.refused = 0, list[Rejection]()

    def take(self, batches: list[EventBatch]) -> None:
        """Batches go into both."""
        for batch in batches:
            self.position += 1
            self.refused += self.engine.feed(batch, self.position).rejected
        self.truth.see(batches)

    def tick(self, now: int) -> None:
        """The engine's clock."""
        self.position += 1
        self.engine.tick(now, self.position)

    def says(self, indicator: str) -> float:
        """The engine's value for the whole city."""
        return float(self.engine.current(indicator).value[0])


def expected(truth: dict[str, float | None]) -> dict[str, float]:
    """City values of indicators that follow from the ground truth, rounded as they are declared."""
    t = {k: v or 0.0 for k, v in truth.items()}
    return {
        "case_backlog": t["cases_open"], "case_overdue_open": t["cases_overdue"],
        "waterlog_points": t["waterlog_points"], "waterlog_depth_max": t["waterlog_depth_max"],
        "rain_1h_max": t["rain_1h_max"], "citycode_active_users": t["code_users_today"],
        "device_online_rate": round(100 * t["devices_online"] / t["devices_in_service"], 2),
        "data_timeliness_rate": round(100 * t["batches_on_time_today"] / t["batches_due_today"], 2),
        "hotline_answer_rate": round(100 * min(t["calls_answered_1h"] / t["calls_offered_1h"], 1.0), 2),
        "bus_departure_punctuality": round(100 * t["trips_on_time_24h"] / t["trips_due_24h"], 2),
        "bed_occupancy": round(100 * t["beds_taken"] / t["beds_open"], 2),
        "school_attendance_rate": round(100 * t["pupils_present_today"] / t["pupils_enrolled_today"], 2),
        "online_items": t["items_online"], "full_online_ratio": round(100 * t["items_full_online"] / t["items"], 2),
        "office_apps": t["office_apps"], "citycode_services": t["code_services"],
        "catalogue_linkage_rate": round(100 * t["entries_linked"] / t["entries_must_link"], 2),
        "data_exchange_rate": round(100 * t["exchanges_done_today"] / t["exchanges_due_today"], 2),
        "address_match_rate": round(100 * t["records_matched_today"] / t["records_addressed_today"], 2),
        "response_level_active": t["plan_level"], "outage_customers_now": t["outage_customers"],
    }  # fmt: skip


@pytest.mark.slow
def test_the_engine_says_the_truth(city: City) -> None:
    town = Town.of(city)
    sim, ward = Simulator(town, 1, START, open_days=2), Ward(city, town)
    ward.take([b for b in sim.history(2) if b.type != "obs"])
    ward.tick(START)
    for k in range(1, 61 if proving() else 13):
        now = START + k * MINUTE
        ward.take(sim.step(now))
        ward.tick(now)
        if k in (1, 6, 9, 12) or k % 15 == 0:
            wanted = expected(ward.truth.at(now))
            said = {name: ward.says(name) for name in wanted}
            assert said == pytest.approx(wanted, abs=0.0051), k
    assert ward.refused == []
    assert ward.engine.stats.duplicates > 0


@pytest.mark.slow
def test_history_is_made_in_time(city: City, figure: Figure) -> None:
    town, counts, days = Town.of(city), Counter[str](), 30 if proving() else 5
    begin = time.process_time()
    for batch in Simulator(town, 1, START).history(days):
        counts[batch.type] += len(batch)
    took = time.process_time() - begin
    figure(f"history of {days} days", took, "s of one core")
    figure("events in it", sum(counts.values()), "events")
    assert took < 15
    assert 300 < counts["case.closed"] / days < 2_000
    assert sum(counts.values()) < 2_500_000
