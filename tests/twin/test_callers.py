"""Which cases a caller reported: found by the keyed hash, also of late events, whatever was asked for before."""

from __future__ import annotations

from typing import Any

import numpy as np

from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from tests.indicators.town import batches
from tests.models.desk.casework import START
from tests.twin.casebook import CITY
from tests.twin.test_case_files import raw


def reported(code: str, at: int, caller: str = "") -> dict[str, Any]:
    return raw("reported", START + at, f"r{code}{at}") | {"subject": code} | ({"caller": caller} if caller else {})


def codes(engine: Engine, caller: str) -> list[str]:
    assert engine.cases is not None
    return [engine.cases.code.strings[row] for row in engine.cases.callers.slots(caller).tolist()]


def test_cases_of_a_caller_are_found_the_last_one_told_first() -> None:
    engine = Engine(CITY, Registry([]))

    def feed(*events: dict[str, Any]) -> None:
        for batch in batches(list(events)):
            engine.feed(batch, 1)

    assert codes(engine, "aa") == []
    feed(reported("K1", 0, "aa"), reported("K2", 1), reported("K3", 2, "bb"))
    assert (codes(engine, "aa"), codes(engine, "bb"), codes(engine, "")) == (["K1"], ["K3"], [])
    feed(reported("K4", -5, "aa"), raw("accepted", START + 9, "a1"))
    feed(reported("K1", 7, "aa"))
    assert codes(engine, "aa") == ["K1", "K4"], "a case is named once"
    assert engine.cases is not None
    assert np.array_equal(engine.cases.callers.slots("cc"), [])
