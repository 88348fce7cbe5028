"""What a page asks of values over time: the last day from memory, what is older or finer from the history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citytwin.app import Node
from citytwin.clock import ManualClock
from citytwin.config import Config, ConfigError
from citytwin.config import Engine as EngineSettings
from citytwin.dashboards.ports import Refused
from citytwin.history import historian
from citytwin.history_config import History as HistorySettings
from citytwin.history_config import Influx
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded
from citytwin.streams.history import HistoryError
from citytwin.testing import START_MS, TinyCity
from tests.history.makers import HOUR

SHARE = "water_pressure_compliance"
MINUTE = 60_000


def node(folder: Path, **history: Any) -> Node:
    """The tiny city with one indicator and these settings of its history."""
    config = Config(engine=EngineSettings(health=False), history=HistorySettings(**history))
    registry = Registry([s for s in builtin() if s.id == SHARE])
    return Node(config, folder=folder, load=TinyCity, registry=lambda: registry, clock=ManualClock(START_MS))  # type: ignore[arg-type]


def pressures(now: int, good: int) -> EventBatch:
    """A reading of each of the 32 devices, so many of them in order."""
    value = np.where(np.arange(32) < good, 200_000, 100_000)
    fields: dict[str, Any] = {
        "property": Coded.of(["water.pressure"] * 32),
        "value": value,
        "quality": Coded.of(["good"] * 32),
    }
    ids, subjects = [f"{now}-{i}" for i in range(32)], [f"D{i:02d}" for i in range(32)]
    return EventBatch.of("obs", np.full(32, now - 1), ids, subject=subjects, fields=fields)


def live(city: Node, hours: Iterator[int] | range) -> None:
    """Let hours go by, with readings and a tick each quarter."""
    for quarter in [h * 4 + q for h in hours for q in range(4)]:
        now = START_MS + quarter * 15 * MINUTE
        city.runtime.submit([pressures(now, 32 - quarter % 8)]).result()
        city.runtime.advance(now).result()


def test_older_values_come_from_the_history_and_join_the_newer_ones(tmp_path: Path) -> None:
    end = START_MS + 30 * HOUR
    with node(tmp_path, every_s=900.0) as city:
        city.start(live=False)
        live(city, range(30))
        memory = city.engine.trend.series(SHARE, 0, 0, end)
        assert memory[0][0] > START_MS, "the trend has forgotten the first hours"
    with node(tmp_path, every_s=900.0) as city:
        city.start(live=False)
        found = city.views.series(SHARE, 0, START_MS, end, 15 * MINUTE)
        steps = found.t // (15 * MINUTE)
        assert (np.diff(steps) == 1).all(), "no gap and nothing twice where the two meet"
        assert len(steps) == 30 * 4
        whole = city.engine.trend.series(SHARE, 0, 0, end)
        later = found.t >= whole[0][0]
        np.testing.assert_array_equal(found.v[later], whole[1][np.isin(whole[0], found.t)])
        assert not np.isnan(found.v[~later][1:]).any()
        kept = city.views.series(SHARE, 0, START_MS, end, 0)
        assert (np.diff(kept.t) > 0).all()
        # a street is in no trend: the history alone knows it
        street = int(city.engine.scopes.at_level(2)[0])
        assert len(city.views.series(SHARE, street, START_MS, end, HOUR).t) > 20
        community = int(city.engine.scopes.at_level(3)[0])
        assert len(city.views.series(SHARE, community, START_MS, end, HOUR).t) == 0
        assert b'citytwin_history_ok{store="parquet"} 1.0' not in city.views.metrics(), "nothing was written yet"


def test_a_history_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise HistoryError("the disk is gone; look at it")

    with node(tmp_path) as city:
        assert city.history is not None
        city.start(live=False)
        monkeypatch.setattr(city.history, "series", broken)
        with pytest.raises(Refused, match="the disk is gone") as caught:
            city.views.series(SHARE, 0, START_MS, START_MS + HOUR, MINUTE)
        assert (caught.value.status, caught.value.code) == (503, "no_history")


def test_without_a_history_there_is_the_last_day(tmp_path: Path) -> None:
    with node(tmp_path, parquet=False) as city:
        assert city.history is None
        city.start(live=False)
        live(city, range(1))
        assert len(city.views.series(SHARE, 0, START_MS, START_MS + HOUR, 0).t) == 4
    assert not (tmp_path / "history").exists()


def test_telemetry_by_choice_is_kept_as_it_was_fed(tmp_path: Path) -> None:
    with node(tmp_path, telemetry="water.pressure") as city:
        city.start(live=False)
        wrong = pressures(START_MS, 32)
        city.runtime.submit([wrong.take(np.arange(3))]).result()
        city.runtime.advance(START_MS).result()
    with node(tmp_path) as city:
        assert city.history is not None
        assert city.history.telemetry("water.pressure", "D02", 0, START_MS + 1).value.tolist() == [0.2]
        assert len(city.history.telemetry("water.pressure", "D03", 0, START_MS + 1).time) == 0
        assert city.runtime.on_fed is None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Config(history=HistorySettings(levels="city planet")), "history.levels: planet is no level; city district"),
        (Config(history=HistorySettings(levels=" ")), "history.levels: nothing is no level"),
        (Config(history=HistorySettings(telemetry="water.wine")), r"no property water.wine; there is .*water.pressure"),
        (Config(influx=Influx(url="http://x", token="a", user="b", password="c")), "both given"),
        (Config(influx=Influx(url="http://x", user="b")), "influx.user and influx.password belong together"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, config: Config, said: str) -> None:
    city = TinyCity()
    with pytest.raises(ConfigError, match=said):
        historian(config, tmp_path, city.scopes, city.vocabulary)
