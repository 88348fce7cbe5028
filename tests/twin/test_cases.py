"""Cases through the engine: what a tick tells of moves that no case can make."""

from __future__ import annotations

from typing import Any

import pytest

from citytwin.engine import Engine
from citytwin.indicators.registry import builtin
from tests.indicators.oracle_law import HOUR, MINUTE
from tests.indicators.town import batches, town

NOW = 1_750_000_000_000 // HOUR * HOUR


def move(name: str, id: str, case: str, ago: int, **more: Any) -> dict[str, Any]:
    """A move of a case, so many ms before NOW."""
    return {"type": f"case.{name}", "time": NOW - ago, "id": id, "source": "desk", "subject": case, **more}


def feed(engine: Engine, events: list[dict[str, Any]], position: int) -> None:
    """Feed raw events, none of which is refused."""
    for batch in batches(events):
        assert not engine.feed(batch, position).rejected


@pytest.fixture
def engine() -> Engine:
    """A case that goes well and a move that none can make, after a tick."""
    made = Engine(town()[0], builtin())
    feed(made, [move("reported", "r1", "K1", 9000), move("accepted", "a1", "K1", 8000)], 1)
    feed(made, [move("closed", "x", "K9", 8000)], 1)
    made.tick(NOW, 2)
    return made


@pytest.mark.parametrize(
    "waits",
    [
        move("filed", "w", "K1", 7000, due_at=NOW + HOUR, corrects="never", revision=1),
        move("accepted", "w", "K1", 7000, corrects="never", revision=1),
    ],
    ids=["filed", "accepted"],
)
def test_a_correction_without_an_original_beside_an_illegal_move_stops_no_tick(
    engine: Engine, waits: dict[str, Any]
) -> None:
    feed(engine, [waits], 3)
    frame = engine.tick(NOW + 1000, 4)
    assert not frame.refused
    assert [r.id for r in engine.tick(NOW + 2 * MINUTE, 5).refused] == ["x"]
    assert frame.sys["cases"]["accepted"] == 1


def test_an_illegal_move_that_was_corrected_in_time_is_not_told(engine: Engine) -> None:
    feed(engine, [move("closed", "y", "K9", 8000, corrects="x", revision=1, retracted=True)], 3)
    engine.tick(NOW + 1000, 4)
    assert not engine.tick(NOW + 2 * MINUTE, 5).refused
