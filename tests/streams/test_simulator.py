"""The simulated city: the same for any steps, lawful cases, a story that rises and falls, faults in their shares."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.models.lifecycle import next_state
from citytwin.streams.simulator import Simulator, Town
from citytwin.streams.simulator.incidents import WorkClock
from citytwin.streams.simulator.noise import normal, uniform
from citytwin.streams.simulator.truth import rows_of
from citytwin.streams.simulator.writer import concat
from tests.streams.towns import small_city

START = 1_795_000_000_000  # a Wednesday, 19:06 in Wuhan
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
TOWN = Town.of(small_city())


def together(batches: list[EventBatch]) -> dict[str, EventBatch]:
    """All batches of a type as one."""
    by_type: dict[str, list[EventBatch]] = {}
    for batch in batches:
        by_type.setdefault(batch.type, []).append(batch)
    return {t: concat(v) for t, v in by_type.items()}


def plain(batches: list[EventBatch]) -> dict[str, list[dict[str, Any]]]:
    """All events as dictionaries, by type, in order of arrival, with their places."""
    out = {}
    for type_, batch in together(batches).items():
        at = [
            (None if np.isnan(x) else x, None if np.isnan(y) else y) for x, y in zip(batch.lon, batch.lat, strict=True)
        ]
        out[type_] = [e | {"at": p} for e, p in zip(rows_of(batch), at, strict=True)]
    return out


def run(minutes: int, seed: int = 3, **options: Any) -> list[EventBatch]:
    """Everything of the first minutes in one step."""
    return Simulator(TOWN, seed, START, **options).step(START + minutes * MINUTE)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 170_000), min_size=1, max_size=6), st.integers(0, 2**40))
def test_steps_do_not_matter(sizes: list[int], seed: int) -> None:
    end = START + 4 * MINUTE
    stepped: list[EventBatch] = []
    sim, now = Simulator(TOWN, seed, START), START
    for size in sizes:
        now = min(now + size, end)
        stepped += sim.step(now)
    stepped += sim.step(end)
    assert plain(stepped) == plain(Simulator(TOWN, seed, START).step(end))


def test_another_seed_is_another_city() -> None:
    assert plain(run(3, seed=3)) != plain(run(3, seed=4))


def test_nothing_arrives_early_and_steps_take_what_is_due() -> None:
    sim = Simulator(TOWN, 3, START)
    for k in range(1, 40):
        for batch in sim.step(START + k * 5_000):
            assert (batch.time <= START + k * 5_000).all()
            assert (batch.time >= START - MINUTE).all()


def test_devices_read_at_their_period_and_properties() -> None:
    obs = together(run(30, story=False))["obs"]
    prop = obs.fields["property"]
    assert isinstance(prop, Coded)
    speed = [e for e in rows_of(obs.take(prop.equals("traffic.speed"))) if not e["corrects"]]
    device = speed[0]["subject"]
    times = sorted({e["time"] for e in speed if e["subject"] == device})
    assert set(np.diff(times).tolist()) == {MINUTE}
    assert set(filter(None, prop.tolist())) == {p for name in TOWN.streams.properties for p in [name]}


def test_values_stay_in_the_range_of_their_property() -> None:
    for event in rows_of(together(run(20))["obs"]):
        prop = TOWN.vocabulary.properties[event["property"]]
        assert prop.lo <= event["value"] / prop.per_unit <= prop.hi


def test_telemetry_has_faults_in_their_shares() -> None:
    sim = Simulator(TOWN, 3, START, load=2_000.0, story=False)
    late, seen, n = 0, Counter[tuple[str, str]](), 0
    kinds: Counter[str] = Counter()
    corrected = 0
    for second in range(1, 61):
        for batch in sim.step(START + second * 1_000):
            if batch.type == "obs":
                late += int((START + second * 1_000 - batch.time > 2_000).sum())
                corrected += int((batch.revision > 0).sum())
                n += len(batch)
                events = list(rows_of(batch))
                seen.update((e["source"], e["id"]) for e in events)
                kinds.update(e["quality"] for e in events)
    assert n == pytest.approx(120_000, rel=0.05)
    assert 0.02 * n < late < 0.06 * n
    assert 0.001 * n < sum(c - 1 for c in seen.values()) < 0.004 * n
    assert 0.002 * n < kinds["bad"] < 0.008 * n
    assert 0.0002 * n < corrected < 0.001 * n


def test_a_correction_names_its_original() -> None:
    obs = list(rows_of(together(run(90, seed=8, story=False))["obs"]))
    first = {(e["source"], e["id"]): e for e in obs if not e["corrects"]}
    fixes = [e for e in obs if e["corrects"]]
    assert fixes
    for fix in fixes:
        original = first[fix["source"], fix["corrects"]]
        assert (fix["subject"], fix["property"], fix["time"]) == (
            original["subject"], original["property"], original["time"],
        )  # fmt: skip
        assert fix["revision"] == 1


def test_some_devices_say_nothing() -> None:
    sim = Simulator(TOWN, 3, START, story=False, remember=True)
    sim.iot.silent_share = 0.3
    sim.step(START + 20 * MINUTE)
    truth = sim.truth(START + 20 * MINUTE)
    assert truth["devices_in_service"] == 162
    assert 60 < (truth["devices_online"] or 0) < 150


def test_the_story_rises_and_falls() -> None:
    sim = Simulator(TOWN, 1, START, remember=True)
    depth, rain, busy, calls = [], [], [], []
    for k in range(1, 16):
        now = START + k * MINUTE
        sim.step(now)
        truth = sim.truth(now)
        depth.append(truth["waterlog_depth_now"] or 0.0)
        rain.append(truth["rain_1h_max"] or 0.0)
        busy.append(truth["units_busy"] or 0.0)
        calls.append(truth["calls_offered_1h"] or 0.0)
    assert rain[0] == 0.0
    assert depth[0] == 0.0
    assert rain[-1] > 4.0
    assert max(depth) >= 15.0
    assert depth[-1] < max(depth) / 2
    assert max(busy) >= 1.0
    assert calls[-1] > calls[0] + 20
    closed = [e for e in rows_of(together(run(15, seed=1))["case.reported"]) if e["category"] == "flood.waterlog"]
    assert closed


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_every_cycle_floods_something(seed: int) -> None:
    sim = Simulator(TOWN, seed, START, speed=5.0)
    types = together([b for k in range(1, 10) for b in sim.step(START + k * MINUTE)])
    reported = types["case.reported"].fields["category"]
    assert isinstance(reported, Coded)
    assert reported.equals("flood.waterlog").sum() >= 2


def lives(batches: list[EventBatch]) -> dict[str, list[dict[str, Any]]]:
    """Moves of each case in order."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for type_, batch in together(batches).items():
        if type_.startswith("case."):
            for event in rows_of(batch):
                cases.setdefault(event["subject"], []).append(event)
    return {c: sorted(v, key=lambda e: (e["time"], e["source"], e["id"])) for c, v in cases.items()}


def test_every_life_is_lawful() -> None:
    sim = Simulator(TOWN, 9, START, open_days=6)
    seen: Counter[str] = Counter()
    for case, moves in lives([*sim.history(6), *sim.step(START + 3 * HOUR)]).items():
        state = "new"
        for event in moves:
            after = next_state(state, event["type"], passed=event.get("passed") != 0)
            assert after is not None, (case, state, event["type"], [m["type"] for m in moves])
            assert event["actor"]
            assert event["reason"]
            state = after
        assert len({e["time"] for e in moves}) == len(moves)
        seen[state] += 1
        seen.update(e["type"] for e in moves)
    for needed in ("case.deferred", "case.returned", "case.merged", "case.voided", "case.rejected", "case.escalated"):
        assert seen[needed] > 0
    assert seen["evaluated"] > 100
    assert seen["closed"] > 500


def test_a_merged_child_names_a_living_parent() -> None:
    cases = lives(list(Simulator(TOWN, 9, START).history(4)))
    children = [e for moves in cases.values() for e in moves if e["type"] == "case.merged"]
    assert children
    for child in children:
        assert child["into"] in cases
        assert cases[child["into"]][-1]["type"] not in ("case.merged", "case.rejected", "case.voided")


@pytest.mark.slow
def test_most_cases_close_on_time() -> None:
    cases = lives(list(Simulator(TOWN, 9, START).history(10)))
    filed = {c: next((e["due_at"] for e in m if e["type"] == "case.filed"), None) for c, m in cases.items()}
    closed = {c: e["time"] for c, m in cases.items() for e in m if e["type"] == "case.closed"}
    on_time = [t <= d for c, t in closed.items() if (d := filed[c]) is not None]
    assert 0.7 < np.mean(on_time) < 0.99
    assert 300 < len(filed) / 10 < 2_000


def test_working_time_skips_nights_weekends_and_holidays() -> None:
    wednesday = np.datetime64("2026-11-25").astype("M8[D]").astype(int)
    clock = WorkClock.around(START, 8 * HOUR, np.array([wednesday + 1]), np.array([wednesday + 3]))
    four = wednesday * DAY + 16 * HOUR - 8 * HOUR
    due = clock.after(
        np.array([four]),
        np.array(
            [
                2.0 * HOUR,
            ]
        ),
    )  # one hour today, Thursday is off: Friday at 10
    assert due[0] == (wednesday + 2) * DAY + 10 * HOUR - 8 * HOUR
    due = clock.after(np.array([four]), np.array([10.0 * HOUR]))  # Friday whole, then Saturday, which works
    assert due[0] == (wednesday + 3) * DAY + 10 * HOUR - 8 * HOUR


def test_history_keeps_the_horizons_and_is_in_order() -> None:
    sim = Simulator(TOWN, 2, START)
    last: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for batch in sim.history(12):
        counts[batch.type] += len(batch)
        assert int(batch.time.max()) <= START
        assert int(batch.time.min()) >= START - sim.town.vocabulary.types[batch.type].horizon_ms
        assert int(batch.time.max()) >= last.get(batch.type, 0) - 6 * HOUR
        last[batch.type] = int(batch.time.max())
    assert counts["case.closed"] > 3_000
    assert counts["data.batch"] > 12 * 100
    assert counts["obs"] > 10_000


@pytest.mark.slow
def test_live_goes_on_where_history_ends() -> None:
    sim = Simulator(TOWN, 4, START, open_days=5)
    before, after = list(sim.history(5)), sim.step(START + HOUR)
    ids = [(e["source"], e["id"]) for t, b in together(before).items() if t != "obs" for e in rows_of(b)]
    later = [(e["source"], e["id"]) for t, b in together(after).items() if t != "obs" for e in rows_of(b)]
    assert not set(ids) & set(later)
    old = {e["subject"] for e in rows_of(together(before)["case.filed"])}
    assert any(e["subject"] in old for e in rows_of(together(after)["case.closed"]))


@pytest.mark.slow
def test_a_restart_fills_the_gap_and_tells_the_same_story() -> None:
    whole = Simulator(TOWN, 6, START, open_days=2).step(START + 20 * MINUTE)
    first = Simulator(TOWN, 6, START, open_days=2).step(START + 5 * MINUTE)
    stop, again = START + 5 * MINUTE, START + 12 * MINUTE
    second = Simulator(TOWN, 6, again, anchor_ms=START, open_days=2)
    pieces = [*first, *second.history(2, until_ms=again, since_ms=stop), *second.step(START + 20 * MINUTE)]
    for type_ in ("case.reported", "case.handled", "call.offered", "emergency.received"):
        assert sorted(e["id"] for e in plain(pieces)[type_]) == sorted(e["id"] for e in plain(whole)[type_])


def test_truth_equals_a_count_by_hand() -> None:
    sim = Simulator(TOWN, 3, START, remember=True)
    sim.step(START + 9 * MINUTE)
    types, now = together(run(9)), START + 9 * MINUTE
    truth = sim.truth(now)
    assert truth["calls_offered_1h"] == (types["call.offered"].time <= now).sum()
    users = types["citycode.use"].fields["user"]
    assert isinstance(users, Strings)
    assert truth["code_users_today"] == len(set(users.tolist()))
    assert all(len(u) == 32 for u in users.tolist())
    with pytest.raises(ValueError, match="remember"):
        Simulator(TOWN, 3, START).truth(now)


def test_load_makes_the_rate_asked_for() -> None:
    sim = Simulator(TOWN, 1, START, load=5_000.0, story=False)
    sim.step(START + 35_000)  # till late readings arrive as fast as they are held back
    n = sum(len(b) for k in range(36, 46) for b in sim.step(START + k * 1_000) if b.type == "obs")
    assert n == pytest.approx(50_000, rel=0.03)


def test_noise_is_even_and_normal() -> None:
    u, z = uniform(1, "x", np.arange(200_000)), normal(1, "y", np.arange(200_000))
    assert abs(u.mean() - 0.5) < 0.003
    assert abs(np.histogram(u, 10, (0, 1))[0] / 20_000 - 1).max() < 0.03
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.01
