"""The city as of a time: a real log, a real process that replays it, the same numbers as were published then."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from citytwin import past
from citytwin.app import Node
from citytwin.asof import PastCity, Supply, Unreachable
from citytwin.config import Config, Data, Engine, LogSettings
from citytwin.dashboards.ports import Refused
from citytwin.indicators.api import count, indicator
from citytwin.indicators.explain import explain
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded
from citytwin.past import Make, Past
from citytwin.streams.log import SqliteLog
from citytwin.testing import START_MS, TinyCity

MINUTE = 60_000


@indicator("calls_told", theme="livelihood", window="sliding 1h/1m", levels="city district", decimals=0)
def calls(n: Any = count("obs")) -> Any:
    """Readings of the hour."""
    return n


@indicator("calls_told", theme="livelihood", window="sliding 1h/1m", levels="city district", decimals=0)
def twice(n: Any = count("obs")) -> Any:
    """Readings of the hour, twice."""
    return 2 * n


def supply(given: dict[str, Any]) -> Supply:
    """Pack and indicators for the other process."""
    made = {"one": lambda: Registry([calls]), "two": lambda: Registry([twice]), "all": builtin}
    load: Any = TinyCity
    return Supply(load, made[given.get("which", "one")])


def make(which: str) -> Make:
    return Make("tests.citytwin.test_asof:supply", {"which": which})


def readings(minute: int, n: int) -> EventBatch:
    """n readings of a minute, spread over the devices."""
    time = [START_MS + minute * MINUTE - 1000 - i for i in range(n)]
    ids, subjects = [f"{minute}.{i}" for i in range(n)], [f"D{i % 32:02d}" for i in range(n)]
    fields: dict[str, Any] = {
        "property": Coded.of(["water.pressure"] * n), "quality": Coded.of(["good"] * n),
        "value": np.arange(n) + 100_000,
    }  # fmt: skip
    return EventBatch.of("obs", time, ids, subject=subjects, fields=fields)


def node(folder: Path, which: str = "one", **settings: Any) -> Node:
    """A node over the tiny city, whose past is told by a process of its own."""
    load: Any = TinyCity
    config = Config(engine=Engine(health=False, **settings), data=Data(dir=str(folder)))
    return Node(config, folder=folder, load=load, registry=supply({"which": which}).registry, make=make(which))


@pytest.fixture
def city(tmp_path: Path) -> Iterator[tuple[Node, dict[int, float]]]:
    """A node that ran for twenty minutes, and what it published at each."""
    with node(tmp_path) as found:
        found.start(live=False)
        values = {}
        for minute in range(1, 21):
            found.runtime.submit([readings(minute, minute)]).result()
            found.runtime.advance(START_MS + minute * MINUTE).result()
            values[minute] = float(found.engine.current("calls_told").value[0])
        yield found, values


def wait(ask: Any) -> Any:
    """Ask until the replay is done."""
    for _ in range(200):
        try:
            return ask()
        except Refused as error:
            if error.code not in ("past_replaying", "past_busy") or not error.retry_after:
                raise
    raise AssertionError("the replay did not come to an end")


def at(minute: float) -> int:
    return START_MS + round(minute * MINUTE)


@pytest.mark.slow
def test_values_and_explanations_of_the_past_are_those_published_then(city: tuple[Node, dict[int, float]]) -> None:
    found, values = city
    for minute in (7, 7.9, 12, 3, 19):  # later ones go on, an earlier one begins anew
        told, published = wait(lambda m=minute: found.views.as_of("calls_told", at(m)))
        assert (told.now, told.differ) == (at(int(minute)), False)
        assert published.value[0] == values[int(minute)]
        told, why = wait(lambda m=minute: found.views.explain("calls_told", 0, at(m), "", "", 5))
        assert (told.now, why.value, why.computed) == (at(int(minute)), values[int(minute)], values[int(minute)])
        assert (why.events_total, len(why.events), bool(why.next)) == (int(values[int(minute)]), 5, True)


def test_an_explanation_of_now_is_of_a_tick(city: tuple[Node, dict[int, float]]) -> None:
    found, values = city
    told, why = found.views.explain("calls_told", 0, None, "", "", 1000)
    assert (told.now, why.value, why.events_total) == (at(20), values[20], int(values[20]))
    found.runtime.submit([readings(20, 25)]).result()  # five are new: the number of the tick does not know them
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("citytwin.questions.PATIENCE_S", 0.2)
        with pytest.raises(Refused, match="no tick"):
            found.views.explain("calls_told", 0, None, "", "", 1000)
    found.runtime.advance(at(20) + 1).result()
    _, why = found.views.explain("calls_told", 0, None, "", "", 1000)
    assert (why.value, why.events_total) == (values[20] + 5, values[20] + 5)


def test_times_out_of_reach_are_told(city: tuple[Node, dict[int, float]]) -> None:
    found, _ = city
    with pytest.raises(Refused, match="data from 2026-07-08T14:01:00Z on") as early:
        found.views.as_of("calls_told", at(0.5))
    assert early.value.status == 404
    url = found.serve()
    answer = httpx.get(f"{url}/api/v1/indicators/calls_told/explain?at={at(30)}")
    assert (answer.status_code, answer.json()["at"], answer.json()["asked"]) == (200, at(20), at(30))
    assert httpx.get(f"{url}/api/v1/indicators/calls_told/values?at={at(0)}").status_code == 404


def test_other_definitions_of_then_are_told(tmp_path: Path) -> None:
    with node(tmp_path) as found:
        found.start(live=False)
        found.runtime.submit([readings(1, 4)]).result()
        found.runtime.advance(at(1)).result()
    with node(tmp_path, "two") as found:
        found.start(live=False)
        found.runtime.advance(at(2)).result()
        found.runtime.advance(at(3)).result()
        told, values = wait(lambda: found.views.as_of("calls_told", at(1)))
        assert (told.differ, values.value[0]) == (True, 8)
        told, values = wait(lambda: found.views.as_of("calls_told", at(2)))
        assert (told.differ, values.value[0]) == (False, 8)


def test_a_long_replay_tells_how_far_it_is(
    city: tuple[Node, dict[int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, values = city
    monkeypatch.setattr(past, "PATIENCE_S", 0.0)
    with pytest.raises(Refused, match=r"replayed up to 2026-07-08T14:09:00Z: \d+ % done") as busy:
        found.views.as_of("calls_told", at(9))
    assert (busy.value.status, busy.value.retry_after) == (503, 2)
    with pytest.raises(Refused, match="another time"):
        found.views.as_of("calls_told", at(5))
    monkeypatch.setattr(past, "PATIENCE_S", 2.0)
    assert wait(lambda: found.views.as_of("calls_told", at(9)))[1].value[0] == values[9]


@pytest.mark.slow
def test_the_process_ends_with_the_node_and_when_nobody_asks(city: tuple[Node, dict[int, float]]) -> None:
    found, values = city
    assert found.past is not None
    found.past.idle_s = 0.2
    wait(lambda: found.views.as_of("calls_told", at(4)))
    process = found.past._process
    assert process is not None
    assert process._process.wait(30) == 0, "it ended by itself"
    found.past.idle_s = 300.0
    assert wait(lambda: found.views.as_of("calls_told", at(6)))[1].value[0] == values[6]
    process = found.past._process
    assert process is not None
    assert process.alive
    found.close()
    assert not process.alive


@pytest.mark.slow
def test_a_snapshot_shortens_the_way_and_a_shortened_log_has_an_end(tmp_path: Path) -> None:
    with node(tmp_path) as found:
        found.start(live=False)
        for minute in range(1, 11):
            found.runtime.submit([readings(minute, 2)]).result()
            found.runtime.advance(at(minute)).result()
            if minute == 6:
                found.runtime.call(lambda: found.runtime.keeper.offer(found.engine.snapshot)).result()  # type: ignore[union-attr]
        found.runtime.keeper.wait()  # type: ignore[union-attr]
        log, ticks = found.log, [found.log.tick_before(at(m)) for m in (4, 6, 8)]
        early, six, late = (t[0] for t in ticks if t is not None)
        there = PastCity(tmp_path, supply({}))
        there.go(late)
        assert there.engine is not None
        assert there.engine.current("calls_told").value[0] == 16
        seen: list[tuple[int, int]] = []
        there.tell = lambda done, of: seen.append((done, of))
        log.trim(keep_from=six + 1, before_ms=at(7))
        assert log.first > 1
        there.go(six)
        assert there.engine.current("calls_told").value[0] == 12
        with pytest.raises(Unreachable):
            there.go(early)
        with pytest.raises(Refused, match="data from"):
            wait(lambda: found.views.as_of("calls_told", at(4)))
        assert wait(lambda: found.views.as_of("calls_told", at(8)))[1].value[0] == 16


@pytest.mark.slow
def test_all_indicators_are_explained_as_they_were(tmp_path: Path) -> None:
    """The process tells of the past just what the engine told when it was the present."""
    chance = random.Random(5)
    with node(tmp_path, "all") as found:
        found.start(live=False)
        told = {}
        for minute in range(1, 6):
            found.runtime.submit([readings(minute, 40)]).result()
            found.runtime.advance(at(minute)).result()
            for id in chance.sample(list(found.engine.registry.definitions()), 6):
                told[minute, id] = explain(found.engine, id, 0)
        for (minute, id), why in told.items():
            assert wait(lambda m=minute, i=id: found.views.explain(i, 0, at(m), "", "", 100))[1] == why


def test_a_past_without_a_log_is_not_there(tmp_path: Path) -> None:
    config = Config(engine=Engine(health=False), log=LogSettings())
    load: Any = TinyCity
    with Node(config, folder=tmp_path / "a", load=load, registry=supply({}).registry) as found:
        found.start(live=False)
        with pytest.raises(Refused, match="no log that could be replayed"):
            found.views.as_of("calls_told", at(1))
    with SqliteLog(tmp_path / "empty" / "log.db") as log, pytest.raises(Refused, match="no data yet"):
        Past(tmp_path / "empty", log, lambda: make("one")).ask(at(1), "", "values", "calls_told", {})
