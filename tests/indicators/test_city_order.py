"""Lamps, components, hot spots, rescue and surges: what the recount of a small town does not reach."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from citytwin.engine import Engine
from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.expr import ref
from citytwin.indicators.registry import Registry, builtin
from citytwin.indicators.themes.emergency import accident_grade
from citytwin.models.columns import Strings
from citytwin.models.events import VOCABULARY
from citytwin.twin.entities import Entities
from tests.indicators.oracle_law import DAY, HOUR, MINUTE
from tests.indicators.recounts.governance import hot_places
from tests.indicators.test_oracle import published
from tests.indicators.town import OFFSET_MS, TIMEZONE, batches, town

#: Local midnight of 2026-06-21 in China.
MIDNIGHT = 1_781_971_200_000
NOON = MIDNIGHT + 12 * HOUR


def engine_of(*ids: str, city: Any = None) -> Engine:
    """An engine of a few indicators in the town."""
    specs = {s.id: s for s in builtin()}
    return Engine(city or town()[0], Registry([specs[i] for i in ids]))


def feed(engine: Engine, events: list[dict[str, Any]], now: int) -> None:
    """Number events, take them in a minute before the tick, and tick."""
    if engine.now:
        engine.tick(now - MINUTE, 1)
    for k, e in enumerate(events):
        e.setdefault("id", f"{now}.{k}")
        e.setdefault("source", "s1")
    for batch in batches(events):
        engine.feed(batch, 1)
    engine.tick(now, 1)


def lamps(time: int, **states: int) -> list[dict[str, Any]]:
    """States of lamps at a time."""
    about = {"type": "obs", "time": time, "property": "lamp.power_state", "quality": "good"}
    return [about | {"subject": code, "value": value} for code, value in states.items()]


def test_by_day_only_lamps_that_burn_always_count() -> None:
    engine = engine_of("streetlight_lit_rate")
    feed(engine, lamps(NOON - MINUTE, lamp1=1, lamp2=0, lamp3=0, lamp4=0), NOON)
    assert published(engine, "streetlight_lit_rate")[0] == 50.0
    grid = engine.scopes.row("C0101")
    assert grid not in published(engine, "streetlight_lit_rate")


def test_by_night_all_lamps_count_from_a_quarter_of_an_hour_after_sunset() -> None:
    sunset = MIDNIGHT + 19 * HOUR + 29 * MINUTE  # in Wuhan on the longest day
    engine = engine_of("streetlight_lit_rate")
    feed(engine, lamps(sunset - MINUTE, lamp1=1, lamp2=0, lamp3=1, lamp4=0), sunset + 5 * MINUTE)
    assert published(engine, "streetlight_lit_rate")[0] == 100.0
    feed(engine, lamps(sunset + 18 * MINUTE, lamp1=1, lamp2=1, lamp3=1, lamp4=0), sunset + 20 * MINUTE)
    assert published(engine, "streetlight_lit_rate")[0] == 75.0


def test_a_lamp_that_is_silent_leaves_the_rate_by_the_clock() -> None:
    engine = engine_of("streetlight_lit_rate")
    feed(engine, lamps(NOON - 14 * MINUTE, lamp1=0) + lamps(NOON - MINUTE, lamp3=1), NOON)
    assert published(engine, "streetlight_lit_rate")[0] == 50.0
    engine.tick(NOON + MINUTE, 2)
    assert published(engine, "streetlight_lit_rate")[0] == 100.0


def test_components_follow_the_register() -> None:
    engine = engine_of("facility_intact_rate")

    def becomes(state: str, time: int) -> float:
        feed(engine, [{"type": "facility.changed", "time": time, "subject": "part1", "state": state}], time)
        return published(engine, "facility_intact_rate")[engine.scopes.row("C0011")]

    engine.tick(NOON - MINUTE, 1)
    assert published(engine, "facility_intact_rate")[engine.scopes.row("C0011")] == 100.0
    assert becomes("damaged", NOON) == 0.0
    assert becomes("normal", NOON + MINUTE) == 100.0
    feed(engine, [{"type": "facility.changed", "time": NOON + 2 * MINUTE, "subject": "part1",
                   "state": "out_of_service"}], NOON + 2 * MINUTE)  # fmt: skip
    assert engine.scopes.row("C0011") not in published(engine, "facility_intact_rate")


def test_a_cover_that_is_open_and_tilted_is_one() -> None:
    engine = engine_of("manhole_alarm_open")
    about = {"type": "obs", "time": NOON - MINUTE, "quality": "good"}
    said = [
        about | {"subject": "cover1", "property": "manhole.open", "value": 1},
        about | {"subject": "cover1", "property": "manhole.tilt", "value": 40},
        about | {"subject": "cover2", "property": "manhole.tilt", "value": 15},
        {"type": "case.reported", "time": NOON - HOUR, "subject": "K", "category": "sanitation.litter", "scope": "C0"},
    ]
    feed(engine, said, NOON)
    assert published(engine, "manhole_alarm_open")[0] == 2
    engine.tick(NOON + HOUR, 2)
    assert published(engine, "manhole_alarm_open") == {}


_EDGES = (
    ("deaths", ((0, 1), (2, 1), (3, 2), (9, 2), (10, 3), (29, 3), (30, 4))),
    ("serious_injured", ((9, 1), (10, 2), (49, 2), (50, 3), (99, 3), (100, 4))),
    ("loss_yuan", ((9_999_999, 1), (10_000_000, 2), (49_999_999, 2), (50_000_000, 3), (99_999_999, 3), (10**8, 4))),
)


@pytest.mark.parametrize(("field", "amount", "wanted"), [(f, a, g) for f, edges in _EDGES for a, g in edges])
def test_grades_of_accidents_include_their_edges(field: str, amount: float, wanted: int) -> None:
    names = [name for name, _ in _EDGES]
    grade = accident_grade(*(ref("row", name) for name in names))
    columns = {name: np.array([amount if name == field else np.nan, 0.0, 3.0]) for name in names}
    env: Any = SimpleNamespace(get=lambda space, name: columns[name])
    values: Any = grade.evaluate(env)
    assert values.tolist() == [wanted, 1, 2]


def test_an_order_without_a_turnout_is_missed_by_the_clock() -> None:
    engine = engine_of("ems_turnout_3min_rate")
    run = {"subject": "run", "kind": "ems", "scope": "C0"}
    feed(engine, [run | {"type": "emergency.dispatched", "time": NOON}], NOON + 3 * MINUTE)
    assert published(engine, "ems_turnout_3min_rate") == {}
    engine.tick(NOON + 3 * MINUTE + 1, 2)
    assert published(engine, "ems_turnout_3min_rate")[0] == 0.0
    feed(engine, [run | {"type": "emergency.turnout", "time": NOON + 3 * MINUTE}], NOON + 4 * MINUTE)
    assert published(engine, "ems_turnout_3min_rate")[0] == 100.0


def accepted(times: list[int], scope: str = "C00") -> list[dict[str, Any]]:
    """Cases that are reported and accepted at times."""
    return [
        {"type": f"case.{move}", "time": time - back, "subject": f"D{time}", "scope": scope, "id": f"{move}{time}"}
        for time in times for back, move in enumerate(("accepted", "reported"))
    ]  # fmt: skip


def test_a_surge_shows_at_once_and_stays_until_an_hour_closes_without_it() -> None:
    engine = engine_of("demand_surge_z")
    usual = [MIDNIGHT - day * DAY + 12 * HOUR + k * MINUTE for day in range(1, 13) for k in range(1 + day % 3)]
    feed(engine, accepted(usual), NOON + MINUTE)
    assert published(engine, "demand_surge_z")[0] < 1
    feed(engine, accepted([NOON + 2 * MINUTE + k for k in range(12)]), NOON + 3 * MINUTE)
    surge = published(engine, "demand_surge_z")
    assert surge[0] > 5
    assert surge[engine.scopes.row("C00")] == surge[0]
    assert engine.scopes.row("C1") not in surge
    engine.tick(NOON + HOUR + MINUTE, 3)
    assert published(engine, "demand_surge_z")[0] > 5
    engine.tick(NOON + 2 * HOUR + MINUTE, 4)
    assert published(engine, "demand_surge_z")[0] < 1


def test_less_than_nine_days_foretell_nothing() -> None:
    engine = engine_of("demand_surge_z")
    feed(engine, accepted([NOON - 9 * DAY - HOUR + 1]), NOON)
    assert published(engine, "demand_surge_z") == {}
    feed(engine, accepted([NOON - 9 * DAY - 2 * HOUR - 1]), NOON + MINUTE)
    assert published(engine, "demand_surge_z")[0] == 0.0


def field_city(side: int) -> tuple[Any, list[int], list[tuple[float, float]]]:
    """A city of one community of side * side grids."""
    tree, codes = ScopeTree(), [f"g{i:03d}" for i in range(side * side)]
    row = -1
    for code in ("c", "cd", "cds", "cdsm"):
        row = tree.add(code, code, row)
    rows = [tree.add(code, code, row) for code in codes]
    tree.complete()
    places = [(114.2 + 0.011 * (i % side), 30.5 + 0.01 * (i // side)) for i in range(side * side)]
    lon, lat = (np.array(part) for part in zip(*places, strict=True))
    entities = Entities()
    entities.upsert("grid", Strings.of(codes), np.array(rows, np.int32), lon, lat, {}, np.zeros(side * side, np.int64))
    city = SimpleNamespace(
        scopes=tree, entities=entities, vocabulary=VOCABULARY(), timezone=TIMEZONE, name="field", locator=None,
        box=(114, 30, 115, 31), edition="1", calendar=None, sources=[], problems=[], title={"en": "F", "zh": "田"},
    )  # fmt: skip
    return city, rows, places


@pytest.mark.parametrize("reverse", [False, True])
def test_hot_spots_are_found_where_cases_pile_up(reverse: bool) -> None:
    chance, side = random.Random(3), 12
    city, rows, places = field_city(side)
    count = [chance.randrange(3) for _ in rows]
    for x, y in ((3, 3), (3, 4), (4, 3), (4, 4)):
        count[y * side + x] += 6
    events = []
    for i, n in enumerate(count):
        for k in range(n):
            about = {"subject": f"K{i}.{k}", "scope": f"g{i:03d}"}
            for step, move in enumerate(("reported", "accepted", "filed")):
                event = about | {"type": f"case.{move}", "time": NOON - DAY + k * HOUR + step, "id": f"{i}.{k}.{move}"}
                events.append(event | ({"due_at": NOON + DAY} if move == "filed" else {}))
    engine = engine_of("case_hotspot_grids", city=city)
    feed(engine, events[::-1] if reverse else events, NOON)
    wanted = hot_places(places, count)
    assert sum(wanted) >= 4
    assert published(engine, "case_hotspot_grids")[0] == sum(wanted)
    engine.tick(NOON + 7 * DAY, 2)
    assert published(engine, "case_hotspot_grids")[0] == 0


def test_windows_of_the_town_begin_at_its_midnight() -> None:
    assert (MIDNIGHT + OFFSET_MS) % DAY == 0
