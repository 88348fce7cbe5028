"""What the state refuses of events that are well formed, with the reason that it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Coded
from citytwin.testing import START_MS, TinyCity

YEAR_1 = -62_135_596_800_000
HOUR = 3_600_000


def history(created: int, closed: int, due: int = MISSING) -> EventBatch:
    """A record of another system."""
    fields: dict[str, Any] = {"created_at": [created], "closed_at": [closed], "due_at": [due]}
    columns = {name: np.array(values, np.int64) for name, values in fields.items()}
    return EventBatch.of("case.history", [START_MS], ["h"], subject=["K"], fields=columns)


def refused(batch: EventBatch, now: int = START_MS) -> list[tuple[str, str]]:
    """Reason and field of each refusal, the state untouched by them."""
    engine = Engine(TinyCity(), Registry([]))
    if now:
        engine.tick(now, 1)
    before = engine.state_hash()
    found = [(r.reason, r.field) for r in engine.feed(batch, 2).rejected]
    assert (engine.state_hash() == before) == (len(found) == len(batch))
    return found


@pytest.mark.parametrize("now", [0, START_MS])
@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (history(START_MS - HOUR, START_MS), []),
        (history(START_MS, START_MS), []),
        (history(START_MS, MISSING), []),
        (history(START_MS, START_MS - 1), [("out_of_range", "closed_at")]),
        (history(YEAR_1, START_MS), [("out_of_range", "created_at")]),
        (history(START_MS - HOUR, YEAR_1), [("out_of_range", "closed_at")]),
        (history(START_MS - HOUR, START_MS, YEAR_1), [("out_of_range", "due_at")]),
        (EventBatch.of("case.reported", [YEAR_1], ["r"], subject=["K"]), [("out_of_range", "time")]),
    ],
    ids=["closed", "at once", "open", "backwards", "created in year 1", "closed in year 1", "due in year 1", "year 1"],
)
def test_a_record_of_history_has_times_that_can_be(batch: EventBatch, said: list[tuple[str, str]], now: int) -> None:
    assert refused(batch, now) == said


def test_an_event_cannot_correct_itself() -> None:
    fields: dict[str, Any] = {
        "property": Coded.of(["water.pressure"] * 2), "value": np.array([1, 1]), "quality": Coded.of(["good"] * 2)
    }  # fmt: skip
    batch = EventBatch.of(
        "obs", [START_MS] * 2, ["a", "b"], subject=["D00"] * 2, corrects=["a", "a"], revision=[1, 1], fields=fields
    )
    assert refused(batch) == [("bad_correction", "corrects")]
