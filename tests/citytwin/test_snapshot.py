"""A snapshot at any position, between a feed and its tick too: what goes on from it equals what was never stopped."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from citytwin.engine import Engine
from citytwin.indicators.registry import builtin
from citytwin.models.batch import EventBatch
from citytwin.models.frame import Frame
from citytwin.snapshot import restore, take
from tests.conftest import proving
from tests.indicators.histories import Step, history
from tests.indicators.oracle_law import HOUR, MINUTE
from tests.indicators.town import batches, town

HISTORIES = 640 if proving() else 16
REGISTRY = builtin()
NOW = 1_750_000_000_000 // HOUR * HOUR


def again(engine: Engine) -> Engine:
    """The engine through a snapshot as it lies on the disk."""
    held = take(engine)
    arrays = {name: array.copy() for name, array in held.arrays.items()}
    return restore(town()[0], REGISTRY, arrays, msgspec.json.decode(msgspec.json.encode(held.meta)))


def shown(engine: Engine, frame: Frame) -> dict[str, Any]:
    """What a tick says, to be compared."""
    lines = {id: (line.value.tobytes(), line.closed.tobytes(), line.quality.tobytes())
             for id, line in engine.board.lines.items()}  # fmt: skip
    values = {
        id: (v.rows.tobytes(), v.value.tobytes(), v.quality.tobytes(), v.restated.tobytes())
        for id, v in frame.values.items()
    }
    twin = {kind: delta.rows.tolist() for kind, delta in frame.twin.items()}
    told = (frame.k, frame.cases, frame.ticker, frame.refused, frame.sys, twin)
    return {"lines": lines, "values": values, "told": told, "hash": (engine.frame_hash(), engine.state_hash())}


def play(steps: list[Step], cuts: set[int]) -> list[dict[str, Any]]:
    """What every tick says; after each step of `cuts` the engine goes through a snapshot."""
    engine, said = Engine(town()[0], REGISTRY), []
    for position, step in enumerate(steps, 1):
        if step.tick:
            frame = engine.tick(step.tick, position)
            said.append(shown(engine, frame))
        else:
            for batch in batches(step.events):
                engine.feed(batch, position)
        if position in cuts:
            engine = again(engine)
    return said


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_a_snapshot_at_any_position_changes_nothing_that_follows(seed: int) -> None:
    for number in range(seed, HISTORIES, 8):
        chance = random.Random(number)
        steps = history(chance.randbytes(20))
        feeds = [p for p, step in enumerate(steps, 1) if not step.tick] or [1]
        cuts = {chance.choice(feeds), chance.choice(feeds), chance.randrange(1, len(steps) + 1)}
        assert play(steps, cuts) == play(steps, set()), (number, cuts)


def event(type: str, id: str, subject: str, ago: int = MINUTE, **more: Any) -> dict[str, Any]:
    """An event shortly before NOW."""
    return {"type": type, "time": NOW - ago, "id": id, "source": "s", "subject": subject, **more}


GAS = event("obs", "g", "G1", property="gas.ch4_lel", value=5.0, quality="good")
GONE = GAS | {"id": "c", "corrects": "g", "revision": 1, "retracted": True}
PENDING = {
    "a reading": [GAS],
    "a case": [event("case.reported", "r", "K1")],
    "an original that its correction does not fit": [GONE | {"subject": "G2"}, GAS],
}


@pytest.mark.parametrize("events", list(PENDING.values()), ids=list(PENDING))
def test_the_state_hash_notices_work_that_waits_for_the_tick(events: list[dict[str, Any]]) -> None:
    engine = Engine(town()[0], REGISTRY)
    engine.tick(NOW, 1)
    for position, one in enumerate(events, 2):
        for batch in batches([one]):
            engine.feed(batch, position)
    held, fed = take(engine), engine.state_hash()
    lost = {name: a for name, a in held.arrays.items() if not name.startswith("pending")}
    meta = held.meta | {"pending": {"refused": [], "ticker": []}}
    with pytest.raises(ValueError, match="another hash"):
        restore(town()[0], REGISTRY, lost, meta)
    engine.tick(NOW, 9)
    assert engine.state_hash() != fed


def test_a_retracted_largest_value_is_counted_again_after_a_snapshot() -> None:
    engine = Engine(town()[0], REGISTRY)
    for position, one in enumerate(([GAS, GAS | {"id": "g2", "value": 3.0}], [GONE]), 1):
        for batch in batches(one):
            engine.feed(batch, position)
        if position == 1:
            engine.tick(NOW, position)
    engine = again(engine)
    engine.tick(NOW + 1000, 3)
    assert engine.board.lines["gas_ch4_max"].value[0] == 3.0


def test_a_change_of_a_register_survives_a_snapshot() -> None:
    said = []
    for stopped in (False, True):
        engine = Engine(town()[0], REGISTRY)
        for batch in batches([GAS]):
            engine.feed(batch, 1)
        engine.tick(NOW, 2)
        before = engine.board.lines["device_online_rate"].value[0]
        off = {"in_service": np.zeros(1, np.int8)}
        assert not engine.feed(
            EventBatch.of("device.changed", [NOW - 5], ["f"], subject=["G2"], fields=off), 3
        ).rejected
        engine = again(engine) if stopped else engine
        said.append(shown(engine, engine.tick(NOW + 1000, 4)))
        assert engine.board.lines["device_online_rate"].value[0] > before
    assert said[0] == said[1]


def test_a_snapshot_stays_as_it_was_when_more_is_refused() -> None:
    engine = Engine(town()[0], builtin())
    engine.stats.refuse("future")
    held = take(engine)
    engine.stats.refuse("future")
    assert held.meta["stats"]["rejected"] == {"future": 1}
