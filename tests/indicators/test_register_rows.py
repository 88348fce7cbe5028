"""What counts by the register: links that come and go, months that are closed, entities of one kind only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from citytwin.engine import Engine
from citytwin.indicators.api import datastreams
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from tests.indicators.recounts.services import CODES
from tests.indicators.town import OFFSET_MS, batches, town

DAY = 86_400_000
#: A window of 30 days begins here.
START = 690 * 30 * DAY - OFFSET_MS
SPECS = {spec.id: spec for spec in builtin()}
GROWTH, LINKS, FRESH = "entity_net_growth", "twin_link_completeness", "data_freshness_rate"
#: The registered organisation without links that the tests change.
BARE = CODES[3]


def engine() -> Engine:
    return Engine(town()[0], Registry([SPECS[id] for id in (GROWTH, LINKS, FRESH)]))


def say(type: str, time: int, subject: str, **fields: Any) -> EventBatch:
    event = {"type": type, "time": time, "id": f"{type}{time}{subject}", "source": "s", "subject": subject, **fields}
    (batch,) = batches([event])
    return batch


def feed(engine: Engine, type: str, time: int, subject: str, **fields: Any) -> int:
    return engine.feed(say(type, time, subject, **fields), 1).accepted


def value(engine: Engine, id: str, closed: bool = False) -> float:
    line = engine.board.lines[id]
    return float((line.closed if closed else line.value)[0])


def test_a_month_that_is_closed_keeps_its_stock_and_its_growth() -> None:
    city = engine()
    feed(city, "org.registered", START + DAY, CODES[4])
    feed(city, "org.cancelled", START + 2 * DAY, CODES[0], why="revoked")
    feed(city, "org.cancelled", START + 3 * DAY, CODES[1])
    city.tick(START + 29 * DAY, 2)
    assert value(city, GROWTH) == -25.0  # four at the start, one more, two less
    city.tick(START + 30 * DAY, 3)
    assert (value(city, GROWTH), value(city, GROWTH, closed=True)) == (0.0, -25.0)
    feed(city, "org.registered", START + 30 * DAY, CODES[5])
    city.tick(START + 31 * DAY, 4)
    assert value(city, GROWTH) == pytest.approx(33.33)  # three at the start
    assert value(city, GROWTH, closed=True) == -25.0


def linked(city: Engine) -> int:
    """How many entries have all of their links."""
    names = [n for n in SPECS[LINKS].params if n.endswith("_linked")]
    return int(sum(city.board.lines[LINKS].params[n].values()[0] for n in names))


@pytest.mark.parametrize("first", [True, False])
def test_a_link_counts_from_when_its_target_is_known_and_until_it_ends(first: bool) -> None:
    city = engine()
    city.tick(START, 1)
    before = linked(city)
    if first:
        feed(city, "address.named", START, "c-new", address_level="room")
    feed(city, "org.changed", START + 1, BARE, address="c-new", grid="C0000")
    city.tick(START + 2, 2)
    assert linked(city) == before + first
    feed(city, "address.named", START + 2, "c-new", address_level="room")
    city.tick(START + 3, 3)
    assert linked(city) == before + 1
    feed(city, "address.voided", START + 4, "c-new")
    city.tick(START + 5, 4)
    assert linked(city) == before
    feed(city, "address.named", START + 6, "c-new", address_level="room")
    city.tick(START + 7, 5)
    assert linked(city) == before + 1


def test_an_event_of_one_register_does_not_end_an_entity_of_another() -> None:
    city = engine()
    changes = city.feed(say("org.cancelled", START, "P1"), 1)
    assert [r.reason for r in changes.rejected] == ["unknown_subject"]
    assert (city.entities.valid_to == np.iinfo(np.int64).min).all()


def test_datastreams_are_counted_as_expected_heard_and_fresh() -> None:
    city = engine()
    city.tick(START, 1)
    assert value(city, FRESH) == 0.0
    feed(city, "obs", START, "P1", property="water.pressure", value=0.3, quality="good")
    city.tick(START + 1_799_999, 2)
    streams = city.board.lines[FRESH].params["streams"].values()[0]
    assert value(city, FRESH) == round(100 / streams, 2)
    assert city.next_due() == START + 1_800_000
    city.tick(START + 1_800_000, 3)
    assert value(city, FRESH) == 0.0
    with pytest.raises(ValueError, match="expected, heard or fresh"):
        datastreams(count="late")
