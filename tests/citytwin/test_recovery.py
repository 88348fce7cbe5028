"""A start that cannot be made: said in a sentence, nothing half done, and possible once the cause is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from citytwin.app import Node
from citytwin.cli import is_plain
from citytwin.clock import ManualClock
from citytwin.config import Config
from citytwin.engine import Engine
from citytwin.indicators.registry import builtin
from citytwin.models.batch import EventBatch
from citytwin.recovery import ReplayFailed
from citytwin.testing import START_MS, TinyCity


def node(folder: Path) -> Node:
    """The tiny city on that folder."""
    load: Any = TinyCity
    return Node(Config(), folder=folder, load=load, registry=builtin, clock=ManualClock(START_MS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with two events and a tick, and no snapshot."""
    with node(tmp_path) as city:
        city.start(live=False)
        batch = EventBatch.of("case.reported", [START_MS, START_MS], ["a", "b"], subject=["K1", "K2"])
        city.runtime.submit([batch]).result()
        city.runtime.advance(START_MS + 1).result()
        city.runtime.stop(snapshot=False)
    return tmp_path


def fails(*_: Any) -> Any:
    """A bug of the engine."""
    raise IndexError("out of bounds")


@pytest.mark.parametrize(("step", "said"), [("feed", "position 2, 2 case.reported events"), ("tick", "a tick")])
def test_a_log_that_the_engine_cannot_take_is_said_plainly(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, said: str
) -> None:
    monkeypatch.setattr(Engine, step, fails)
    with pytest.raises(ReplayFailed, match=said) as caught:
        node(folder)
    assert is_plain(caught.value)
    assert "citytwin doctor" in str(caught.value)
    monkeypatch.undo()
    with node(folder) as city:
        assert city.engine.stats.accepted == 2
        assert city.engine.now == START_MS + 1


def test_a_snapshot_that_breaks_the_reader_only_makes_the_start_longer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with node(folder) as city:
        city.start(live=False)
        newest = city.runtime.position
    with node(folder) as city:
        assert city.recovered.snapshot == newest
    monkeypatch.setattr("citytwin.app.restore", fails)
    with node(folder) as city:
        assert (city.recovered.snapshot, city.engine.stats.accepted) == (0, 2)
