"""Plans in the engine: a run counts in the response level, a drill does not, authorities correct what they declared."""

from __future__ import annotations

import numpy as np

from citytwin import desking
from citytwin.engine import Engine
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import Changes, EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.testing import START_MS, TinyCity

CITY, DISTRICT = "420100", "420101"
MINUTE = 60_000


class Town:
    """A tiny city whose drafts are said as soon as a tick is over."""

    def __init__(self) -> None:
        self.city = TinyCity()
        registry = Registry([spec for spec in builtin() if spec.id == "response_level_active"])
        self.engine = Engine(self.city, registry)
        self.position, self.now = 0, START_MS

    def feed(self, batch: EventBatch) -> Changes:
        """Feed one batch."""
        self.position += 1
        return self.engine.feed(batch, self.position)

    def say(self, type_: str, subject: str, source: str = "desk/wang", **fields: object) -> Changes:
        """One event now, with its fields."""
        corrects, retracted = str(fields.pop("corrects", "")), bool(fields.pop("retracted", 0))
        columns = {
            name: Coded.of([value]) if isinstance(value, str) else np.array([value], np.int64)
            for name, value in fields.items()
        }
        return self.feed(
            EventBatch.of(
                type_, [self.now], [f"{type_}{self.now}{corrects}"], source, [subject], corrects=[corrects],
                revision=[1 if corrects else 0], retracted=[retracted], scope=Strings.of([DISTRICT]), fields=columns,
            )
        )  # fmt: skip

    def tick(self, minutes: float = 1) -> float:
        """Some ticks in which what the desk says is heard; the response level of the city."""
        for _ in range(3):
            self.now += int(minutes * MINUTE / 3)
            self.position += 1
            self.engine.tick(self.now, self.position)
            for batch in desking.batches(self.engine):
                assert self.feed(batch).rejected == ()
        return float(self.engine.board.lines["response_level_active"].value[self.city.scopes.row(CITY)])


def quiet() -> Town:
    """A town in which a plan was in force and no longer is."""
    town = Town()
    assert town.say("plan.activated", "old", "emergency/bureau", plan="flood", level=1).rejected == ()
    assert town.tick() == 1
    assert town.say("plan.ended", "old", "emergency/bureau").rejected == ()
    assert town.tick() == 0
    return town


def test_a_run_counts_in_the_response_level_until_it_is_ended() -> None:
    town = quiet()
    assert town.say("plan.started", "R-1", plan="waterlogging", level=2, area=DISTRICT).rejected == ()
    assert town.tick() == 3, "II of the desk is 3 as authorities count"
    assert town.say("plan.level_changed", "R-1", level=1).rejected == ()
    assert town.tick() == 4
    (refused,) = town.say("plan.step_done", "R-1", step=99).rejected
    assert refused.reason == "out_of_range"
    (refused,) = town.say("plan.ended", "R-9").rejected
    assert refused.reason == "unknown_case"
    assert town.say("plan.ended", "R-1").rejected == ()
    assert town.tick() == 0
    assert list(desking.batches(town.engine)) == []


def test_a_drill_counts_not() -> None:
    town = quiet()
    assert town.say("plan.started", "drill/R-1", plan="waterlogging", level=1, area=DISTRICT).rejected == ()
    assert town.tick() == 0
    assert list(desking.batches(town.engine)) == []
    assert town.engine.casework is not None
    assert town.engine.casework.plans.runs["drill/R-1"].announced == 1


def test_authorities_correct_what_they_declared() -> None:
    town = Town()
    declared = f"plan.activated{town.now}"
    town.say("plan.activated", "flood-1", "emergency/bureau", plan="flood", level=1)
    assert town.tick() == 1
    fields = {"plan": "flood", "level": 3, "corrects": declared}
    corrected = town.say("plan.activated", "flood-1", "emergency/bureau", **fields)
    assert (corrected.corrected, corrected.rejected) == (1, ())
    assert town.tick() == 3
    ended = f"plan.ended{town.now}"
    town.say("plan.ended", "flood-1", "emergency/bureau")
    assert town.tick() == 0
    back = town.say("plan.ended", "flood-1", "emergency/bureau", corrects=ended, retracted=1)
    assert (back.corrected, back.rejected) == (1, ())
    assert town.tick() == 3


def test_a_new_edition_is_taken_and_a_faulty_one_is_not() -> None:
    town = Town()
    days = Strings.of(['{"2027-01-04": 0}'])
    batch = EventBatch.of("calendar.edition", [town.now], ["e1"], "desk/admin", ["cn-2027"], fields={"days": days})
    assert town.feed(batch).rejected == ()
    assert town.engine.casework is not None
    assert town.engine.casework.days.edition == "cn-2027"
    bad = EventBatch.of("calendar.edition", [town.now], ["e2"], "desk/admin", ["x"], fields={"days": Strings.of(["x"])})
    (refused,) = town.feed(bad).rejected
    assert (refused.reason, refused.field) == ("wrong_type", "days")
