"""The built-in indicators as declarations: examples, words, bands, names, and the scales of the composites."""

from __future__ import annotations

import numpy as np
import pytest

from citytwin.geo.scopes import LEVELS
from citytwin.indicators.api import Spec
from citytwin.indicators.registry import builtin
from citytwin.indicators.themes.composite import THEMES, edges, score
from citytwin.models.events import VOCABULARY
from citytwin.models.thresholds import STATUSES

#: Tier 1 of the catalogue.
WANTED = {
    "traffic_tti", "traffic_tpi", "congested_length_ratio", "network_mean_speed", "travel_time_reliability_p95",
    "traffic_incidents_open", "bus_departure_punctuality", "metro_station_density_max", "parking_occupancy",
    "parking_full_count", "water_pressure_compliance", "water_quality_compliance", "dma_night_flow_ratio",
    "power_asai", "voltage_compliance", "outage_customers_now", "gas_leak_open", "gas_ch4_max",
    "heating_indoor_temp_compliance", "aqi", "pm25_24h", "surface_water_class", "noise_compliance",
    "rain_1h_max", "rainstorm_signal_level", "river_level", "river_level_margin", "river_rise_rate",
    "waterlog_points", "waterlog_depth_max", "waterlog_risk_max", "pump_availability", "bin_overflow_ratio",
    "streetlight_lit_rate", "facility_intact_rate", "manhole_alarm_open", "case_accepted_rate_10k",
    "case_filing_rate", "case_closing_rate", "case_on_time_closing_rate", "case_backlog", "case_overdue_open",
    "case_rework_rate", "case_handling_time_p90", "case_hotspot_grids", "grid_worker_presence",
    "grid_patrol_coverage", "proactive_discovery_rate", "hotline_answer_rate", "hotline_wait_p95",
    "demand_resolution_rate", "demand_satisfaction_rate", "demand_surge_z", "citycode_active_users",
    "fire_arrival_5min_rate", "fire_total_response_p90", "ems_turnout_3min_rate", "ems_response_mean",
    "ems_coverage_5km", "accident_grade_max", "hazard_rectification_rate", "response_level_active",
    "camera_intact_key_rate", "camera_online_rate", "crowd_density_max", "entity_net_growth",
    "inspection_completion_rate", "bed_occupancy", "school_attendance_rate", "elder_sos_response_p90",
    "scenic_load_ratio", "sport_venue_utilisation", "elicence_use_rate", "online_items", "online_doable_ratio",
    "full_online_ratio", "office_apps", "citycode_services", "indicator_models", "service_on_time_rate",
    "data_timeliness_rate", "data_accuracy_rate", "catalogue_linkage_rate", "data_exchange_rate",
    "address_match_rate", "twin_link_completeness", "credit_report_timeliness", "uscc_valid_rate",
    "device_online_rate", "data_freshness_rate", "obs_valid_rate", "e2e_latency_p95", "consumer_lag_max",
    "late_event_ratio", "duplicate_event_ratio", "ws_push_latency_p95", "theme_score", "city_health_index",
    "grid_risk_score",
}  # fmt: skip
SPECS = list(builtin())


def test_the_tier_1_catalogue_is_there_over_all_themes() -> None:
    assert len(WANTED) == 99
    ids = {s.id for s in SPECS}
    assert sorted(WANTED - ids) == []
    assert {s.theme for s in SPECS} == {*THEMES, "composite"}
    scored = {s.theme for s in SPECS if len(s.bands) > 1} - {"composite"}
    assert {f"theme_score.{t}" for t in scored} <= ids


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.id)
def test_declarations_say_all_that_operators_see(spec: Spec) -> None:
    for words in (spec.name, spec.meaning):
        assert set(words) >= {"zh", "en"}
        assert all(words.values())
    assert set(spec.status.split("+")) <= set(STATUSES)
    assert spec.source
    assert spec.owner
    assert set(spec.levels) <= set(LEVELS)
    if spec.bands:
        order = list(spec.bands.values())
        assert order == sorted(order, reverse=spec.better == "up")
    known = VOCABULARY()
    for table, prop in spec.feeds:
        assert table == "device" or any(table in (t.name, t.family) for t in known.types.values())
        assert prop in known.properties or not prop


@pytest.mark.parametrize("spec", [s for s in SPECS if s.formula is not None], ids=lambda s: s.id)
def test_examples_hold_and_there_are_two(spec: Spec) -> None:
    assert len(spec.examples) >= 2
    for example in spec.examples:
        given = {k: v for k, v in example.items() if k != "gives"}
        assert spec(**given) == example["gives"], example


def test_formulas_work_on_many_scopes_at_once() -> None:
    for spec in SPECS:
        if spec.formula is None:
            continue
        names = list(spec.params)
        rows = [[float(e[n]) for n in names] for e in spec.examples]
        with np.errstate(all="ignore"):
            got = spec.formula(**dict(zip(names, np.array(rows).T, strict=True)))
        assert np.shape(got) == (len(rows),), spec.id


def spec_of(id: str) -> Spec:
    return next(s for s in SPECS if s.id == id)


def test_scores_are_100_at_best_60_at_warning_0_at_alarm() -> None:
    pressure, river, index = spec_of("water_pressure_compliance"), spec_of("river_level"), spec_of("aqi")
    assert edges(pressure, pressure.bands) == (98.0, 97.5, 97)
    assert score(pressure, pressure.bands, np.array([100, 98, 97.5, 97.25, 97, 0])).tolist() == [100, 100, 60, 30, 0, 0]
    assert edges(river, river.bands) == (25.0 - (29.73 - 25.0), 25.0, 29.73)
    assert edges(index, index.bands) == (1, 101, 201)
    assert score(index, index.bands, np.array([0.0, 51, 151, 500])).tolist() == [100, 80, 30, 0]
    assert edges(spec_of("case_backlog"), spec_of("case_backlog").bands) is None
    assert np.isnan(score(index, index.bands, np.array([np.nan]))[0])


def test_all_but_the_register_measures_have_feeds() -> None:
    """A stopped source must be seen; who lives near a station is what the register says, and that has no period."""
    silent = {s.id for s in SPECS if not s.feeds and not any(a.kind == "ind" for a in s.params.values())}
    assert silent == {"ems_coverage_5km", "facility_intact_rate", "twin_link_completeness"}
