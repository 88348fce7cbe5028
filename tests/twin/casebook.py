"""A city that speaks of cases only, tables and files of raw events, and the clocks that both hold."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from citytwin.models.case_events import case_types
from citytwin.models.columns import MISSING, Coded
from citytwin.models.desk.casebody import CaseFile
from citytwin.models.desk.casefile import fold
from citytwin.models.vocabulary import Vocabulary
from citytwin.twin.cases import CaseTable
from tests.indicators.town import batches, town
from tests.models.desk.casework import LAW
from tests.twin.case_reference import Clocks

#: A city that speaks of cases only: what has to be made anew after a crash is little.
CITY = town()[0]
CITY.vocabulary = Vocabulary().add(case_types())
CITY.sources = []


def of_file(file: CaseFile) -> Clocks:
    """The clocks that a file holds."""

    def known(time: int) -> int | None:
        return None if time == MISSING else time

    return Clocks(
        file.state, known(file.since), known(file.due_at), file.deferred_ms, known(file.times.get("closed", MISSING)),
        file.returns, file.rework, file.reopened, file.merges,
    )  # fmt: skip


def of_table(cases: CaseTable, slot: int) -> Clocks:
    """The clocks that the table holds."""
    row = np.array([slot])

    def number(name: str) -> int | None:
        values = cases.column(name, row)
        assert not isinstance(values, Coded)
        value = float(values[0])
        return None if np.isnan(value) else int(value)

    state = cases.column("state", row)
    assert isinstance(state, Coded)
    return Clocks(
        str(state[0]), number("since"), number("due_at"), number("deferred_ms") or 0, number("closed_at"),
        number("returns") or 0, number("rework") or 0, number("reopened") or 0, number("merges") or 0,
    )  # fmt: skip


def table_of(events: list[dict[str, Any]], chance: random.Random | None = None) -> CaseTable:
    """The table of cases after these events, in any order of arrival."""
    engine = Engine(CITY, Registry([]))
    found = list(events)
    if chance is not None:
        chance.shuffle(found)
    for batch in batches(found):
        assert not engine.feed(batch, 1).rejected
    assert engine.cases is not None
    engine.cases.settle()
    return engine.cases


def file_in(cases: CaseTable, code: str) -> CaseFile:
    """The file of a case from the table."""
    return fold(code, cases.events_of(code), LAW, rev=cases.rev(code), newest=cases.newest(code))
