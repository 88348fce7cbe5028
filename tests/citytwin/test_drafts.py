"""What the desk says by itself is said once, wherever the city stops between wanting, writing and hearing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citytwin import desking
from citytwin.app import Node
from citytwin.clock import ManualClock
from citytwin.config import Config, Engine
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.models.desk.event import AUTO, Draft
from citytwin.models.frame import Frame
from citytwin.streams.log import Events
from citytwin.testing import TinyCity

NOW = 1_750_000_000_000
CODE, UNTIL = "R1@C0", NOW + 600_000


def batch(type: str, time: int, **fields: Any) -> EventBatch:
    """One event about the alarm."""
    return EventBatch.of(type, [time], [f"{type}.{time}"], "desk/wang", subject=[CODE], fields=fields)


class City:
    """A city on a folder whose ticks the test makes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, ManualClock(NOW)
        self.open()

    def open(self) -> None:
        """Open the folder."""
        config = Config(engine=Engine(health=False))
        self.node = Node(config, folder=self.folder, load=TinyCity, registry=lambda: Registry([]), clock=self.clock)  # type: ignore[arg-type]
        self.node.start(live=False)

    def stop(self, snapshot: bool) -> None:
        """Stop, with or without a snapshot."""
        self.node.runtime.stop(snapshot=snapshot)
        self.node.close()

    def tick(self, now: int) -> None:
        """A tick."""
        self.clock.set(now)
        self.node.runtime.advance(now).result(30)

    def say(self, made: EventBatch) -> None:
        """An event that must be taken."""
        changes = self.node.runtime.submit([made]).result(30)[0]
        assert changes.accepted == 1, changes

    def auto(self) -> list[tuple[str, str]]:
        """Type and id of everything that the desk said by itself, from the log."""
        found = []
        for _, record in self.node.log.read(1):
            if isinstance(record, Events) and AUTO in record.batch.source.tolist():
                found += [(record.batch.type, id) for id in record.batch.id.tolist()]
        return found


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    found = City(tmp_path)
    found.tick(NOW)
    found.say(
        batch(
            "alarm.raised", NOW, rule=Coded.of(["R1"]), priority=np.array([2]), text_zh=Strings.of(["水"]),
            text_en=Strings.of(["water"]),
        )
    )  # fmt: skip
    found.say(
        batch("alarm.shelved", NOW, until=np.array([UNTIL]), reason=Strings.of(["works"]), actor=Coded.of(["wang"]))
    )
    yield found
    found.stop(False)


@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("written", [False, True])
def test_it_is_said_once(city: City, snapshot: bool, written: bool) -> None:
    if not written:
        city.node.runtime.drafts = tuple  # it is wanted, and the city stops before it is written
    city.tick(UNTIL + 1000)
    wanted = [id for type, id in city.auto() if type == "alarm.unshelved"]
    assert len(wanted) == written
    city.stop(snapshot)
    city.open()
    for step in range(2, 5):
        city.tick(UNTIL + 1000 * step)
    said = [id for type, id in city.auto() if type == "alarm.unshelved"]
    assert said == [f"alarm.unshelved/{CODE}/{UNTIL}"]
    assert city.node.engine.desk is not None
    assert city.node.engine.desk.drafts == {}
    row = city.node.engine.desk.parts["alarm"].rows()[0]
    assert (row["code"], row["state"]) == (CODE, "unack")


def test_one_that_is_refused_is_not_said_again(city: City) -> None:
    desk = city.node.engine.desk
    assert desk is not None
    city.node.runtime.call(lambda: setattr(desk.parts["alarm"], "check", _refuse)).result(30)
    for step in range(1, 4):
        city.tick(UNTIL + 1000 * step)
    assert [id for type, id in city.auto() if type == "alarm.unshelved"] == [f"alarm.unshelved/{CODE}/{UNTIL}"]


def test_one_that_cannot_be_an_event_is_told_and_left_out(city: City, caplog: pytest.LogCaptureFixture) -> None:
    engine = city.node.engine
    assert engine.desk is not None
    bad = [Draft("no.such", NOW, "d1", CODE), Draft("alarm.cleared", NOW, "d2", CODE, fields={"nope": 1})]
    city.node.runtime.call(lambda: engine.desk.drafts.update({d.id: d for d in bad})).result(30)  # type: ignore[union-attr]
    city.tick(NOW + 1000)
    assert engine.desk.drafts == {}
    assert "d1: there is no event type no.such" in caplog.text
    assert "d2: alarm.cleared has no field nope" in caplog.text
    assert not {"d1", "d2"} & {id for _, id in city.auto()}


def _refuse(_: Any) -> Any:
    from citytwin.models.desk.event import Refusal

    return Refusal("not_now", "", "not now")


def test_reminders_of_a_case_are_said_once_and_heard(city: City) -> None:
    runtime, engine = city.node.runtime, city.node.engine
    runtime.call(lambda: desking.attend(engine)).result(30)
    told: dict[str, Any] = {
        "category": Coded.of(["flood.waterlog"]),
        "channel": Coded.of(["12345"]),
        "level": np.array([2]),
    }
    moves: dict[str, dict[str, Any]] = {
        "case.reported": dict(told),
        "case.accepted": {},
        "case.filed": {"due_at": np.array([NOW + 9])},
    }
    for type, fields in moves.items():
        made = EventBatch.of(type, [NOW], [type], "bureau", subject=["C-1"], fields=fields)
        assert runtime.submit([made]).result(30)[0].accepted == 1
    for step in range(1, 6):
        city.tick(NOW + 3_600_000 * step)
    said = Counter(id for type, id in city.auto() if type.startswith("case."))
    assert len(said) >= 4, "half, four fifths, overdue, next level"
    assert set(said.values()) == {1}
    assert engine.desk is not None
    assert engine.desk.drafts == {}


def test_what_a_tick_makes_the_desk_say_is_in_the_frame_of_that_tick(city: City) -> None:
    """Pages do not wait another tick for an alarm; a row that changed twice is told as it is."""
    frames: list[Frame] = []
    city.node.runtime.on_frame = frames.append
    city.tick(UNTIL - 1000)
    city.say(batch("alarm.acknowledged", UNTIL - 500, occurrence=np.array([1])))
    city.tick(UNTIL + 1000)
    city.tick(UNTIL + 2000)
    shown = {frame.now: [(r["code"], r["state"]) for r in frame.desk.get("alarm", ())] for frame in frames}
    assert shown[UNTIL + 1000] == [(CODE, "ack")], "acknowledged before the tick, and shelved no more by it"
    assert shown[UNTIL + 2000] == []
