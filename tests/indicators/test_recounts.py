"""The recounts are whole: an indicator that nobody recounts would pass unseen."""

from __future__ import annotations

from citytwin.indicators.registry import builtin
from tests.indicators.oracle import Oracle
from tests.indicators.oracle_quality import FEEDS, Watch, composites
from tests.indicators.town import OFFSET_MS, town


def test_every_built_in_is_recounted() -> None:
    oracle = Oracle(town()[1], -OFFSET_MS)
    oracle.tick(1_750_000_000_000)
    told = {key.partition("|")[0] for key in oracle.values()}
    read = set(composites(Watch(oracle), lambda id, row: None, {}))
    assert {s.id for s in builtin()} - told - read == set()
    assert {s.id for s in builtin()} - set(FEEDS) - read == set()
