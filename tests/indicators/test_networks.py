"""Published figures of networks and nature, and what the clock alone does, through the engine."""

from __future__ import annotations

from typing import Any

import pytest

from citytwin.engine import Engine
from citytwin.indicators.api import Spec
from citytwin.indicators.registry import builtin
from citytwin.indicators.themes.environment import NOISE_LIMITS
from tests.indicators.oracle_law import DAY, HOUR, MINUTE
from tests.indicators.test_oracle import published
from tests.indicators.town import OFFSET_MS, PEOPLE, batches, town

REGISTRY = builtin()
#: Noon of a local day, 2025-06-16.
NOW = 1_750_003_200_000 // DAY * DAY + 12 * HOUR - OFFSET_MS
CUSTOMERS = sum(people // 3 for people in PEOPLE)


def spec_of(id: str) -> Spec:
    return next(s for s in REGISTRY if s.id == id)


def reading(prop: str, device: str, value: float, back: int = MINUTE) -> dict[str, Any]:
    """A good reading some time before NOW."""
    return {
        "type": "obs", "time": NOW - back, "id": f"{device}.{prop}.{back}", "source": "s", "subject": device,
        "property": prop, "value": value, "quality": "good",
    }  # fmt: skip


def said(type: str, subject: str, back: int, **fields: Any) -> dict[str, Any]:
    """An event some time before NOW."""
    return {"type": type, "time": NOW - back, "id": f"{subject}.{type}", "source": "s", "subject": subject, **fields}


def after(events: list[dict[str, Any]], now: int = NOW) -> Engine:
    """An engine that was told all of this."""
    engine = Engine(town()[0], REGISTRY)
    for batch in batches(events):
        engine.feed(batch, 1)
    engine.tick(now, 2)
    return engine


def value(id: str, events: list[dict[str, Any]], now: int = NOW) -> float | None:
    """The city's value."""
    return published(after(events, now), id).get(0)


@pytest.mark.parametrize(
    ("meter", "volts", "share"),
    [
        ("V1", 235.4, 100), ("V1", 235.5, 0), ("V1", 198.0, 100), ("V1", 197.9, 0),
        ("V2", 10_700, 100), ("V2", 10_700.1, 0), ("V2", 9300, 100), ("V2", 9299.9, 0),
        ("V5", 353.4, 100), ("V5", 353.3, 0), ("V5", 406.6, 100), ("V5", 406.7, 0), ("V3", 35_000, None),
    ],
)  # fmt: skip
def test_voltage_keeps_the_bands_of_gbt_12325_edges_included(meter: str, volts: float, share: float | None) -> None:
    assert value("voltage_compliance", [reading("power.voltage", meter, volts)]) == share


@pytest.mark.parametrize(
    ("mm", "hours_ago", "level"), [(100, 2, 4), (50, 2, 3), (50, 5, 2), (50, 11, 1), (99.99, 2, 3), (49.99, 2, 0)]
)
def test_rainstorm_signals_come_at_their_sums(mm: float, hours_ago: int, level: int) -> None:
    assert value("rainstorm_signal_level", [reading("rain.depth", "N1", mm, hours_ago * HOUR)]) == level


def test_rainstorm_signals_have_the_four_official_colours() -> None:
    assert list(spec_of("rainstorm_signal_level").bands.items()) == [
        ("blue", 1),
        ("yellow", 2),
        ("orange", 3),
        ("red", 4),
    ]


@pytest.mark.parametrize(("level", "margin"), [(25.16, 2.14), (25.0, 2.3), (27.3, 0.0), (29.73, -2.43)])
def test_the_margin_is_that_of_hankou_s_levels(level: float, margin: float) -> None:
    assert value("river_level_margin", [reading("river.level", "H3", level)]) == margin
    assert dict(spec_of("river_level_margin").bands) == {"yellow": round(27.30 - 25.00, 2), "red": 0}


def test_a_river_that_rises_10_mm_in_ten_minutes_rises_6_cm_an_hour() -> None:
    rising = [reading("river.level", "H3", round(25.5 - k / 100, 2), k * 10 * MINUTE) for k in range(1, 30)]
    assert value("river_rise_rate", rising) == 6.0
    assert value("river_rise_rate", rising[:2]) is None


def test_fine_dust_is_held_against_the_edition_in_force() -> None:
    china = {  # local midnights, ms UTC
        "2026-03-01": 1_772_294_400_000, "2031-01-01": 1_924_992_000_000 - OFFSET_MS,
    }  # fmt: skip
    spec = spec_of("pm25_24h")
    for time, warn in (
        (china["2026-03-01"] - 1, 75), (china["2026-03-01"], 60), (china["2031-01-01"] - 1, 60),
        (china["2031-01-01"], 50),
    ):  # fmt: skip
        assert spec.bands_at(time) == {"yellow": warn, "red": 115}


def test_fine_dust_needs_twenty_hours() -> None:
    hours = [reading("air.pm25", "A1", 75.0, k * HOUR + MINUTE) for k in range(20)]
    assert value("pm25_24h", hours) == 75
    assert value("pm25_24h", hours[:19]) is None


def test_noise_limits_are_those_of_gb_3096() -> None:
    published_table = {"0": (50, 40), "1": (55, 45), "2": (60, 50), "3": (65, 55), "4a": (70, 55), "4b": (70, 60)}
    assert published_table == NOISE_LIMITS


@pytest.mark.parametrize(
    ("station", "level", "hour", "share"),
    [
        ("NS1", 55.0, 6, 100), ("NS1", 55.1, 6, 0), ("NS1", 45.0, 5, 100), ("NS1", 45.1, 5, 0),
        ("NS2", 70.0, 11, 100), ("NS2", 55.1, 0, 0), ("NS3", 60.0, 5, 100), ("NS4", 99.0, 11, None),
    ],
)  # fmt: skip
def test_noise_is_judged_by_zone_and_local_hour(station: str, level: float, hour: int, share: float | None) -> None:
    assert value("noise_compliance", [reading("noise.laeq", station, level, (12 - hour) * HOUR)]) == share


def test_noise_of_a_period_is_the_mean_of_energies() -> None:
    loud = [reading("noise.laeq", "NS1", level, k * MINUTE) for k, level in enumerate((58.0, 40.0, 40.0), 1)]
    assert value("noise_compliance", loud) == 100  # 10 lg((10^5.8 + 2 * 10^4) / 3) = 53.4
    assert value("noise_compliance", loud[:2]) == 0  # 55.06, to 0.1 dB 55.1


def test_crowds_in_a_metro_are_red_and_yellow_where_fruin_says() -> None:
    assert spec_of("metro_station_density_max").bands["yellow"] == round(1 / (5 * 0.3048**2), 2)
    assert value("metro_station_density_max", [reading("crowd.count", "CC4", 240)]) == 4.0


@pytest.mark.parametrize(("late_s", "share"), [(-61, 0), (-60, 100), (0, 100), (300, 100), (300.001, 0)])
def test_buses_are_punctual_within_one_minute_early_and_five_late(late_s: float, share: float) -> None:
    trip = said("transit.trip", "TR1", HOUR, sched_dep=NOW - HOUR, actual_dep=NOW - HOUR + round(late_s * 1000))
    assert value("bus_departure_punctuality", [trip]) == share


def test_a_bus_that_does_not_leave_is_late_by_the_clock_alone() -> None:
    trip = said("transit.trip", "TR1", 0, sched_dep=NOW)
    engine = after([trip], NOW + 5 * MINUTE)
    assert 0 not in published(engine, "bus_departure_punctuality")
    engine.tick(NOW + 5 * MINUTE + 1, 3)
    assert published(engine, "bus_departure_punctuality")[0] == 0.0


def outage(back: int, customers: int) -> list[dict[str, Any]]:
    """A power outage that was filed some time ago and is open."""
    moves = [said(f"case.{move}", "P1x", back) for move in ("reported", "accepted")]
    for k, move in enumerate(moves):
        move["time"] -= 2 - k
    filed = said("case.filed", "P1x", back, due_at=NOW + DAY, category="power_outage", customers=customers)
    return [*moves, filed]


def test_an_open_outage_accrues_with_the_clock_and_is_clipped_to_thirty_days() -> None:
    def asai(lost_hours: float) -> float:
        return round(100 * (1 - 40 * lost_hours / (CUSTOMERS * 30 * 24)), 4)

    engine = after(outage(HOUR, 40))
    assert published(engine, "power_asai")[0] == asai(1)
    assert published(engine, "outage_customers_now")[0] == 40
    engine.tick(NOW + HOUR, 3)
    assert published(engine, "power_asai")[0] == asai(2)
    engine.tick(NOW + 100 * DAY, 4)
    assert published(engine, "power_asai")[0] == asai(30 * 24)


def test_more_customers_without_power_than_there_are_stop_at_zero() -> None:
    assert value("power_asai", outage(40 * DAY, 10 * CUSTOMERS)) == 0.0


def test_a_leak_that_was_checked_safe_is_an_alarm_again_when_it_is_read_again() -> None:
    high, safe = reading("gas.ch4_lel", "G1", 20.0, 9 * MINUTE), reading("gas.safe", "G1", 1, 5 * MINUTE)
    assert value("gas_leak_open", [high]) == 1
    assert value("gas_leak_open", [high, safe]) == 0
    assert value("gas_leak_open", [high, safe, reading("gas.ch4_lel", "G1", 21.0)]) == 1
    assert value("gas_leak_open", [high, reading("gas.safe", "G1", 0)]) == 1


def test_flow_at_night_is_held_against_the_whole_day_in_the_morning_too() -> None:
    def flow(quarter: int) -> float:
        return 5.0 if quarter % 96 < 20 else 20.0

    start = NOW - 24 * HOUR
    day = [
        reading("water.flow", "F1", flow(48 + k), NOW - (start + k * 15 * MINUTE)) for k in range(1, 97)
    ]  # noon to noon
    mean = (20 * 5 + 76 * 20) / 96
    assert value("dma_night_flow_ratio", day) == round(5 / mean, 3)
    assert value("dma_night_flow_ratio", day[:70]) is None


def test_rooms_are_judged_only_while_a_network_heats_their_place() -> None:
    cold = reading("heat.indoor_temp", "HT1", 17.9)
    season = said("heating.season", "net1", HOUR, on=True)
    assert value("heating_indoor_temp_compliance", [cold]) is None
    assert value("heating_indoor_temp_compliance", [cold, season]) == 0
    assert value("heating_indoor_temp_compliance", [cold, season | {"on": False}]) is None
    elsewhere, here = season | {"scope": "C1"}, season | {"scope": "C0"}
    assert value("heating_indoor_temp_compliance", [cold, elsewhere]) is None
    assert value("heating_indoor_temp_compliance", [cold, here]) == 0


def test_waterlogging_rises_with_rain_to_come_and_depth() -> None:
    dry = [reading("waterlog.depth", "L5", 0), reading("rain.depth", "N1", 0)]
    rain, deep = reading("rain.forecast_1h", "WS1", 60), reading("waterlog.depth", "L5", 27, 1000)
    assert value("waterlog_risk_max", dry) == 1.8
    assert value("waterlog_risk_max", [*dry, deep]) == 80.2
    assert (value("waterlog_risk_max", [*dry, rain]) or 0) > 90
    assert value("waterlog_risk_max", dry[:1]) is None


def test_pumps_that_never_told_their_state_are_in_neither_number() -> None:
    online, fault = (
        said("device.status", "DP1", HOUR, state="online"),
        said("device.status", "DP2", HOUR, state="fault"),
    )
    assert value("pump_availability", [online]) == 100
    assert value("pump_availability", [online, fault]) == round(100 * 1200.5 / 2000.5, 2)
