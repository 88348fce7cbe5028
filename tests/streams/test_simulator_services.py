"""What the services of the real pack say: valid, the same again, at plausible rates, moved by the story."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.city_events import city_types
from citytwin.models.codes import fault_of
from citytwin.models.columns import Coded, Strings
from citytwin.streams.arrow import encode_arrow
from citytwin.streams.codec import Codec
from citytwin.streams.simulator import Simulator, Town, history
from citytwin.streams.simulator.recount import folded
from citytwin.streams.simulator.truth import Truth
from citytwin.streams.simulator.writer import concat
from citytwin.twin.pack import City, load_city
from tests.streams.test_simulator import plain

pytestmark = pytest.mark.slow

START, MINUTE, HOUR, DAY = 1_795_000_000_000, 60_000, 3_600_000, 86_400_000
#: Those that the shell measures of itself.
MEASURED = ("indicator.value", "platform.lag", "platform.intake", "ws.push")


def at(text: str) -> int:
    """A local time of Wuhan in ms UTC."""
    return int(datetime.fromisoformat(text + "+08:00").timestamp() * 1000)


@pytest.fixture(scope="module")
def city() -> City:
    """The pack `wuhan`."""
    return load_city("wuhan")


@pytest.fixture(scope="module")
def town(city: City) -> Town:
    """The simulator's view of it."""
    return Town.of(city)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories without the readings of sensors, two thirds of all, for tests that look at something else."""
    monkeypatch.setattr(history, "telemetry", lambda *_: None)


@pytest.fixture(scope="module")
def days(town: Town) -> list[EventBatch]:
    """Three days of history and a quarter of an hour of life."""
    sim = Simulator(town, 7, START, open_days=3)
    return [*sim.history(3), *(b for k in range(1, 16) for b in sim.step(START + k * MINUTE))]


@pytest.fixture(scope="module")
def told(town: Town, days: list[EventBatch]) -> Truth:
    """The ground truth of the services after these days."""
    truth = Truth(town)
    truth.see(b for b in days if b.type not in ("obs", "citycode.use"))
    return truth


def by_type(batches: list[EventBatch]) -> dict[str, EventBatch]:
    """All batches of a type as one."""
    found: dict[str, list[EventBatch]] = defaultdict(list)
    for batch in batches:
        found[batch.type].append(batch)
    return {t: concat(v) for t, v in found.items()}


def test_three_days_are_taken_without_a_refusal(city: City, days: list[EventBatch]) -> None:
    engine, refused = Engine(load_city("wuhan"), Registry()), list[Any]()
    for position, batch in enumerate(days, 1):
        if int(batch.time.max()) > engine.now:
            engine.tick(-(-int(batch.time.max()) // (6 * HOUR)) * 6 * HOUR, position)
        refused += engine.feed(batch, position).rejected
    refused += engine.tick(START + 15 * MINUTE, len(days) + 1).refused
    assert refused == []
    assert engine.stats.conflicts == 0
    assert engine.stats.duplicates > 0


def test_every_type_passes_the_codec(city: City, days: list[EventBatch]) -> None:
    codec, said = Codec(city.vocabulary, b"0" * 32), by_type(days)
    for batch in said.values():
        some = batch.take(np.unique(np.linspace(0, len(batch) - 1, 500).astype(np.int64)))
        decoded = codec.decode(encode_arrow([some], city.vocabulary), "application/vnd.apache.arrow.stream")
        assert decoded.rejections == [], batch.type
        assert sum(map(len, decoded.batches)) == len(some)


def test_every_type_of_the_city_is_said(days: list[EventBatch]) -> None:
    said = {b.type for b in days}
    assert {t.name for t in city_types()} - said == set()
    assert {"org.registered", "org.cancelled", "facility.changed", "device.status", "vehicle.pos"} <= said
    assert not said & set(MEASURED)


def test_the_same_again(town: Town, days: list[EventBatch]) -> None:
    sim = Simulator(town, 7, START, open_days=3)
    again = [*sim.history(3), *sim.step(START + 15 * MINUTE)]
    first, second = by_type(days), by_type(again)
    assert {t: len(b) for t, b in first.items()} == {t: len(b) for t, b in second.items()}
    for type_ in ("transit.trip", "bed.change", "device.status", "venue.gate", "service.done", "plan.changed"):
        one, two = plain([first[type_]])[type_], plain([second[type_]])[type_]
        assert sorted(map(str, one)) == sorted(map(str, two)), type_


def test_a_restart_tells_the_same_of_all_services(town: Town) -> None:
    whole = Simulator(town, 6, START, open_days=26).step(START + 20 * MINUTE)
    first = Simulator(town, 6, START, open_days=26).step(START + 5 * MINUTE)
    stop, again = START + 5 * MINUTE, START + 12 * MINUTE
    second = Simulator(town, 6, again, anchor_ms=START, open_days=26)
    pieces = [*first, *second.history(26, until_ms=again, since_ms=stop), *second.step(START + 20 * MINUTE)]
    one, two = by_type(whole), by_type(pieces)
    for type_ in sorted(one.keys() | two.keys()):
        ids = [sorted(set(side[type_].id.tolist())) if type_ in side else [] for side in (one, two)]
        assert ids[0] == ids[1], type_


def test_rates_are_plausible(told: Truth) -> None:
    t = {k: v or 0.0 for k, v in told.at(START + 3 * MINUTE).items()}
    assert 0.90 < t["trips_on_time_24h"] / t["trips_due_24h"] < 0.98
    assert 3_500 < t["trips_due_24h"] < 5_500
    assert 0.7 < t["beds_taken"] / t["beds_open"] < 0.9
    assert 0.95 < t["pupils_present_today"] / t["pupils_enrolled_today"] < 0.995
    assert 0.02 < t["sights_load_max"] < 1.2
    assert t["court_hours_today"] > 500
    assert (t["items"], t["office_apps"], t["code_services"]) == (1_090, 33, 127)
    assert 1_050 <= t["items_online"] <= 1_060
    assert 0.72 < t["items_full_online"] / t["items"] < 0.82
    assert 0.95 < t["entries_linked"] / t["entries_must_link"] < 1
    assert 0.97 < t["exchanges_done_today"] / t["exchanges_due_today"] < 1
    assert 0.94 < t["records_matched_today"] / t["records_addressed_today"] < 0.98
    assert 0.98 < t["applications_on_time_30d"] / t["applications_due_30d"] < 1
    assert 0.88 < t["licences_reused_30d"] / t["licences_needed_30d"] < 0.94
    assert 0.88 < t["fire_in_5min_30d"] / t["fire_arrivals_30d"] < 0.97
    assert 0.95 < t["ems_in_3min_24h"] / t["ems_turnouts_24h"] < 1
    assert 2 < t["sos_p90_30d"] < 5
    assert 100 < t["workers_on_duty"] < 1_500
    assert t["cameras_online"] > 240
    assert t["pumps_online"] > 165


def test_uscc_are_valid_but_for_a_few(days: list[EventBatch]) -> None:
    said = by_type(days)
    codes = said["record.ingested"].fields["uscc"]
    assert isinstance(codes, Strings)
    faults = [fault_of("uscc", c) != 0 for c in codes.tolist() if c]
    assert len(faults) > 5_000
    assert 0 < np.mean(faults) < 0.003
    new = said["org.registered"].subject.tolist()
    assert len(set(new)) == len(new)
    assert all(fault_of("uscc", c) == 0 for c in new)


def test_new_organisations_are_few_and_no_old_ones(town: Town, unread: None) -> None:
    old, new, gone = set(town.organisations.tolist()), list[str](), list[str]()
    sim = Simulator(town, 7, START)
    for batch in sim.history(30):
        if batch.type == "org.registered":
            new += batch.subject.tolist()
        if batch.type == "org.cancelled":
            gone += batch.subject.tolist()
    assert 50 < len(new) == len(set(new)) < 200
    assert not old & set(new)
    assert 30 < len(gone) == len(set(gone)) < 120
    assert set(gone) <= old


def test_a_response_is_raised_and_ended(told: Truth) -> None:
    levels = [told.at(START + k * MINUTE)["plan_level"] for k in (1, 3, 7, 11, 15)]
    assert levels == [0, 1, 2, 1, 0]


def test_a_leak_is_seen_and_declared_safe(days: list[EventBatch]) -> None:
    now = [b for b in days if b.type == "obs" and int(b.time.min()) >= START - MINUTE]
    obs = concat(now)
    prop, value = obs.fields["property"], obs.fields["value"]
    assert isinstance(prop, Coded)
    assert isinstance(value, np.ndarray)
    safe, gas = prop.equals("gas.safe"), prop.equals("gas.ch4_lel")
    assert value[safe].tolist() == [0, 1]
    where = obs.subject.take(safe).tolist()
    assert len(set(where)) == 1
    mine = gas & (np.array(obs.subject.tolist()) == where[0])
    high = obs.time[mine][value[mine] >= 200]
    assert high.min() < obs.time[safe][0] < obs.time[safe][1] < high.max()


def test_a_cover_is_lifted_in_the_second_cycle(town: Town) -> None:
    sim = Simulator(town, 7, START, speed=6.0)
    said = by_type([b for k in range(1, 8) for b in sim.step(START + k * MINUTE)])
    obs, filed = said["obs"], said["case.filed"]
    prop, value = obs.fields["property"], obs.fields["value"]
    assert isinstance(prop, Coded)
    assert isinstance(value, np.ndarray)
    tilted = obs.take(prop.equals("manhole.tilt") & (value == 380)).subject.tolist()
    component = filed.fields["component"]
    assert isinstance(component, Strings)
    assert set(tilted) & set(component.tolist())


def test_an_outage_has_customers_and_ends(told: Truth) -> None:
    cases = [e for e in told.of("case.filed") if e["category"] == "power_outage"]
    assert len(cases) > 20
    assert all(e["customers"] >= 4 for e in cases)
    assert all(e["customers"] is None for e in told.of("case.filed") if e["category"] != "power_outage")
    story = [e for e in cases if e["subject"].startswith("P") and e["time"] > START]
    assert len(story) == 1
    before, after = (told.at(START + k * MINUTE)["outage_customers"] or 0 for k in (4, 8))
    assert after >= before + 200


def test_rain_is_forecast_before_it_falls_and_makes_buses_late(town: Town, unread: None) -> None:
    sim = Simulator(town, 7, START)
    sim.step(START + MINUTE)
    front = sim.story.fronts[0] if sim.story else None
    assert front is not None
    here = np.array([front.lon]), np.array([front.lat])
    early, late = front.start_ms - 30_000, front.start_ms + front.length_ms // 2
    assert sim.weather.ahead(np.array([early]), *here)[0] > 5
    assert sim.weather.rain(np.array([early]), *here)[0] == 0
    wet, dry = ([0, 0], [0, 0])
    for batch in Simulator(town, 7, START).history(2):
        if batch.type == "transit.trip":
            left, sched = batch.fields["actual_dep"], batch.fields["sched_dep"]
            assert isinstance(left, np.ndarray)
            assert isinstance(sched, np.ndarray)
            gone = left > 0
            rain = sim.weather.rain(sched[gone].astype(np.int64), batch.lon[gone], batch.lat[gone]) > 0.15
            slow = left[gone] - sched[gone] > 300_000
            for mask, count in ((rain, wet), (~rain, dry)):
                count[0] += int(slow[mask].sum())
                count[1] += int(mask.sum())
    assert wet[1] > 100
    assert wet[0] / wet[1] > 2 * dry[0] / dry[1]
    assert late > early


@pytest.mark.parametrize(
    "when", ["2026-11-18T00:00:02", "2026-10-03T00:00:02", "2026-02-17T03:10:00", "2026-07-19T05:59:30"]
)
def test_a_day_has_its_first_numbers_within_three_minutes(town: Town, unread: None, when: str) -> None:
    start = at(when)
    sim, truth = Simulator(town, 7, start, open_days=1), Truth(town)
    heard = [b for b in sim.history(1) if b.type != "obs"]
    truth.see([*heard, *(b for b in sim.step(start + 3 * MINUTE) if b.type != "obs")])
    t, midnight = truth.at(start + 3 * MINUTE), at(when[:10] + "T00:00:00")
    for name in (
        "batches_due_today", "exchanges_due_today", "records_addressed_today", "pupils_enrolled_today", "trips_due_24h",
        "workers_on_duty", "court_hours_today", "beds_open", "items", "entries_must_link",
    ):  # fmt: skip
        assert (t[name] or 0) > 0, name
    assert any(e["rows"] for e in truth.of("data.batch") if e["time"] >= midnight)
    assert any(e["uscc"] for e in truth.of("record.ingested") if e["time"] >= midnight)
    assert folded(truth, "plan", start)["standing-report"]
    assert {e["subject"]: e["on"] for e in truth.of("heating.season")}["heat-hospitals"] == 1


def test_blocks_are_heated_in_winter_only(town: Town) -> None:
    for when, on in (("2026-11-14", 0), ("2026-11-15", 1), ("2027-03-15", 1), ("2027-03-16", 0), ("2026-07-01", 0)):
        said = by_type(Simulator(town, 1, at(when + "T00:00:00")).step(at(when + "T00:00:59")))["heating.season"]
        state = dict(zip(said.subject.tolist(), np.asarray(said.fields["on"]).tolist(), strict=True))
        assert state == {"heat-hospitals": 1, "heat-blocks": on}, when


def test_declared_sources_speak_within_two_periods(city: City, town: Town) -> None:
    sim = Simulator(town, 7, START, open_days=4)
    batches = [*sim.history(4), *(b for k in range(1, 4) for b in sim.step(START + k * MINUTE))]
    heard: dict[str, list[Any]] = defaultdict(list)
    for batch in batches:
        for code in np.unique(batch.source.codes).tolist():
            heard[str(batch.source.names[code])].append(batch.time[batch.source.codes == code])
    # what is thinned in a history is looked at where it is whole
    recent = {"venues/gates", "devices/health", "grid/workers", "vehicles", *(s for s in heard if s.startswith("iot/"))}
    for source in city.sources:
        if source.id in ("citytwin/health", "wuhan/environment", "gas/patrol"):
            continue
        time = np.sort(np.concatenate(heard[source.id]))
        first = START - 10 * MINUTE if source.id in recent else START - 20 * HOUR
        time = time[time >= first]
        edges = np.concatenate([[first], time, [START + 3 * MINUTE]])
        if source.period_s * 2000 < START - first:
            assert np.diff(edges).max() < 2 * source.period_s * 1000, source.id
        assert len(time), source.id


def test_lamps_follow_the_sun_and_underpasses_burn_by_day(town: Town) -> None:
    rows = town.streams.rows("lamp.power_state")
    iot = Simulator(town, 7, START, story=False).iot
    lit = {
        when: iot.values(rows, np.full(len(rows), at(when), np.int64)) > 0
        for when in ("2026-06-21T19:00:00", "2026-12-21T19:00:00", "2026-06-21T12:00:00")
    }
    always = town.streams.always[rows]
    assert always.sum() >= 13
    assert [bool(v[~always].mean() > 0.9) for v in lit.values()] == [False, True, False]
    assert all(v[always].mean() > 0.9 for v in lit.values())


def test_car_parks_never_hold_more_than_they_have(town: Town) -> None:
    rows = town.streams.rows("parking.occupied")
    iot = Simulator(town, 7, START, story=False).iot
    full = 0
    for hour in range(24):
        taken = iot.values(rows, np.full(len(rows), START + hour * HOUR, np.int64))
        assert (taken <= town.streams.nominal[rows]).all()
        full += int((taken >= 0.95 * town.streams.nominal[rows]).sum())
    assert 24 < full < 24 * 60
