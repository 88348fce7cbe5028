"""A city in shards equals the same city in one engine, at every marker."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime

import pytest

from citytwin.indicators import panes
from citytwin.indicators.registry import builtin
from citytwin.models.shards import DESK
from tests.cluster.split import Split
from tests.indicators.histories import history
from tests.indicators.town import batches, town

PROVE = os.environ.get("CITYTWIN_TEST_PROVE") == "1"
HISTORIES = 2_000 if PROVE else 16
SEED = int(os.environ.get("CITYTWIN_TEST_SEED") or datetime.now(UTC).strftime("%Y%m%d"))
REGISTRY = builtin()


@pytest.fixture(autouse=True, scope="module")
def _forgetful():  # type: ignore[no-untyped-def]
    """Panes out of reach are dropped at once: a small town would else never drop any."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panes, "FORGET_FROM", 0)
        yield


@pytest.mark.parametrize("number", range(HISTORIES))
def test_shards_equal_one_engine(number: int) -> None:
    """Histories of everything a town may send, with shards and the merge coming back from checkpoints in between."""
    chance = random.Random(SEED * 100_003 + number)
    split = Split(lambda: town()[0], REGISTRY, chance.choice((1, 2, 3, 5, 8)))
    for step in history(chance.randbytes(20)):
        split.put(batches(step.events))
        if not step.tick:
            continue
        split.mark(step.tick)
        assert split.differences() == [], f"seed {SEED}, history {number}, marker {split.alone.k}"
        assert split.alone.frame_hash() == split.merge.engine.frame_hash()
        if chance.random() < 0.4:
            split.restart(chance.choice((DESK, *range(split.shards))))
        if chance.random() < 0.3:
            split.restart_merge()
