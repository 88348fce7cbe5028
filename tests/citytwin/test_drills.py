"""Drills run through the cases and count in no indicator, however they come and whatever is taken back."""

from __future__ import annotations

from typing import Any

import numpy as np

from citytwin.engine import Engine
from citytwin.indicators.api import col, count, indicator, row, tally
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded
from citytwin.testing import TinyCity

T0 = 1_700_000_000_000
META: Any = {"theme": "t", "levels": "city district", "owner": "me", "source": "local", "window": "sliding 1h/1m"}


@indicator("drilled.filed", name={"zh": "立案", "en": "Filed"}, meaning={"zh": "立案", "en": "Filed"}, **META)
def filed(n=count("case.filed", where=col.category == "fire")):  # type: ignore[no-untyped-def]
    """Cases filed."""
    return n


@indicator("drilled.open", name={"zh": "在办", "en": "Open"}, meaning={"zh": "在办", "en": "Open"}, **META)
def unfinished(n=tally("case", where=row.open == 1)):  # type: ignore[no-untyped-def]
    """Cases that are open."""
    return n


def moves(code: str, n: int) -> list[EventBatch]:
    """A case that is reported, accepted and filed."""
    out = []
    for i, move in enumerate(("reported", "accepted", "filed")):
        fields = {"category": Coded.of(["fire"])} if move != "accepted" else {}
        if move == "filed":
            fields["due_at"] = np.array([T0 + 3_600_000])  # type: ignore[assignment]
        out.append(EventBatch.of(f"case.{move}", [T0 + i], [f"{code}.{n}.{i}"], subject=[code], fields=fields))
    return out


def run(codes: list[str]) -> Engine:
    """An engine that was told these cases and ticked."""
    engine = Engine(TinyCity(), Registry([filed, unfinished]))
    position = 0
    for n, code in enumerate(codes):
        for batch in moves(code, n):
            position += 1
            assert engine.feed(batch, position).accepted == 1
    engine.tick(T0 + 1000, position + 1)
    return engine


def test_a_drill_is_a_case_and_counts_nowhere() -> None:
    drilled, without = run(["K1", "drill/K2", "K3"]), run(["K1", "K3"])
    assert drilled.cases is not None
    assert drilled.cases.count_by_state()["filed"] == 3
    for id in ("drilled.filed", "drilled.open"):
        seen, wanted = drilled.current(id), without.current(id)
        assert wanted.value[0] == 2
        np.testing.assert_array_equal(seen.value, wanted.value)
        np.testing.assert_array_equal(seen.rows, wanted.rows)
