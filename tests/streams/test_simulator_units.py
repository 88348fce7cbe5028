"""Units of the simulated city say who they are, and whole days of theirs are dispatched and held against the best."""

from __future__ import annotations

import numpy as np
import pytest

from citytwin.geo.travel import Straight
from citytwin.models.columns import Int64
from citytwin.models.desk.assignment import greedy, optimum, problem
from citytwin.models.desk.candidates import Force, Need, Policy
from citytwin.models.desk.regret import Choose, Day, offline, replay
from citytwin.models.desk.units import SKILLS
from citytwin.streams.simulator import Simulator, Town
from citytwin.streams.simulator.incidents import CATEGORIES, cases_of_day
from citytwin.streams.simulator.truth import rows_of
from citytwin.streams.simulator.units import Units
from citytwin.streams.simulator.writer import Writer
from tests.conftest import Figure, proving
from tests.streams.towns import small_city

START = 1_795_000_000_000  # a Wednesday, 19:06 in Wuhan
MINUTE, HOUR = 60_000, 3_600_000
TOWN = Town.of(small_city())


def test_units_say_who_they_are() -> None:
    sim = Simulator(TOWN, 3, START, story=False)
    said = [e for b in sim.step(START + 11 * MINUTE) if b.type == "unit.state" for e in rows_of(b)]
    last = {e["subject"]: e for e in said}
    assert len(last) == len(TOWN.units) > 100
    assert len({e["name"] for e in last.values()}) == len(last)
    assert last["U1"]["name"] == "急救1车"
    assert {word for e in last.values() for word in e["skills"].split()} <= SKILLS.keys()
    assert {"drainage", "road", "gas"} <= {word for e in last.values() for word in e["skills"].split()}
    assert all(e["capacity"] >= 1 and e["home"] for e in last.values())
    assert {e["shift_until"] for e in last.values()} == {START + 3_200_000}  # 20 o'clock


def test_shifts_change_at_eight_and_at_twenty() -> None:
    midnight = START // (24 * HOUR) * 24 * HOUR - 8 * HOUR
    hours = np.array([0, 7, 8, 19, 20, 23], np.int64)
    until = Units(TOWN, Writer(TOWN.vocabulary), 1).shift_until(midnight + hours * HOUR)
    assert ((until - midnight) // HOUR).tolist() == [8, 8, 20, 20, 32, 32]


def test_drainage_teams_go_to_standing_water() -> None:
    sim = Simulator(TOWN, 1, START)
    batches = [b for k in range(1, 11) for b in sim.step(START + k * MINUTE) if b.type == "unit.state"]
    busy = [e for b in batches for e in rows_of(b) if e["state"] == "busy"]
    assert busy
    assert all("drainage" in e["skills"] for e in busy)


#: A day's step, and after how many of them a case is no longer waited for.
STEP_MS, PATIENCE = 5 * MINUTE, 4
POLICY = Policy()


def urgent_day(seed: int, units: int, per_day: float) -> tuple[Day, list[int]]:
    """Emergencies of a simulated day for a few units of its stations, and their priorities."""
    day = START // (24 * HOUR)
    cases = cases_of_day(TOWN, seed, day, per_day, np.zeros(24))
    rows = np.flatnonzero([CATEGORIES[c].urgent for c in cases.category.tolist()])
    crew = np.random.default_rng(seed).permutation(24)[:units]  # those of the stations
    trips = Straight().trips(cases.lon[rows], cases.lat[rows], TOWN.units.lon[crew], TOWN.units.lat[crew])
    rng = np.random.default_rng(seed + 1)
    service = rng.uniform(10, 40, len(rows)) * MINUTE
    away = np.ceil((2 * trips.seconds * 1000 + service[:, None]) / STEP_MS).astype(np.int64)
    able = rng.random(away.shape) < 0.8
    at = -(-(cases.time[rows] - cases.time[0]) // STEP_MS)
    limit, leave = np.full(len(rows), 24 * 60.0), np.full(len(rows), POLICY.unserved)
    return Day(at, trips.seconds, able, away, limit, leave, STEP_MS / 1000, PATIENCE), rng.integers(
        1, 5, len(rows)
    ).tolist()


def by(method: str, day: Day, priority: list[int]) -> Choose:
    """Dispatch of what waits at a step by the batch optimum, or one by one to the nearest."""

    def choose(rows: Int64, free: Int64, waited: Int64) -> Int64:
        needs = [
            Need(f"C{i:04d}", 0.0, 0.0, priority=priority[i], limit_s=float(day.limit_s[i]), waiting_s=w * day.step_s)
            for i, w in zip(rows.tolist(), waited.tolist(), strict=True)
        ]
        eta, able = day.eta_s[np.ix_(rows, free)], day.able[np.ix_(rows, free)]
        about = problem(needs, [Force(f"U{u}") for u in free.tolist()], eta, able, POLICY)
        place = optimum(about) if method == "batch" else greedy(about, eta, needs)
        return np.where(place >= 0, free[about.unit[np.maximum(place, 0)]], -1) if len(about.unit) else place

    return choose


@pytest.mark.parametrize("seed", range(11, 21) if proving() else [11, 12])
def test_regret_of_a_simulated_day(seed: int, figure: Figure) -> None:
    day, priority = urgent_day(seed, 8, 450.0)
    best_unit, best_wait = offline(day)
    best = day.total(best_unit, best_wait)
    kept: dict[str, float] = {}
    for method in ("batch", "greedy"):
        unit, waited = replay(day, by(method, day, priority))
        for u in range(day.eta_s.shape[1]):  # no unit is at two places
            mine = np.flatnonzero(unit == u)
            start = np.sort(day.at[mine] + waited[mine])
            order = np.argsort(day.at[mine] + waited[mine])
            assert (start[:-1] + day.away[mine[order], u][:-1] <= start[1:]).all()
        kept[method] = day.total(unit, waited)
        assert kept[method] >= best - 1e-6
        figure(f"regret of {method} dispatch, day {seed}", 100 * (kept[method] / best - 1), "% of the offline optimum")
        figure(f"left by {method} dispatch, day {seed}", float((unit < 0).sum()), f"cases of {len(unit)}")
    figure(f"left by the offline optimum, day {seed}", float((best_unit < 0).sum()), f"cases of {len(best_unit)}")
