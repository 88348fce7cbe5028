"""Rules and plans of a city in shards say what they say in one process at the same tick, whatever restarts between."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from citytwin import desking
from citytwin.indicators.registry import builtin
from citytwin.models.desk.event import Draft
from citytwin.models.desk.ruletoml import parse_rules
from citytwin.models.shards import DESK, route
from citytwin.streams.records import Events
from citytwin.streams.wire import from_bytes, to_bytes
from tests.cluster.split import Split
from tests.conftest import proving
from tests.indicators.histories import Writer, history
from tests.indicators.oracle_law import HOUR
from tests.indicators.town import batches, town

HISTORIES = 400 if proving() else 8
SEED = int(datetime.now(UTC).strftime("%Y%m%d"))
REGISTRY = builtin()

_RULE = """
[[rule]]
id = "{id}"
version = 1
valid_from = 2000-01-01T00:00:00+08:00
theme = "t"
title = {{ zh = "一", en = "one" }}
text = {{ zh = "{{place}}", en = "{{place}}" }}
priority = {priority}
at = "{at}"
confidence = 0.5
source = "test"
status = "L"
{more}

[rule.when]
label = {{ zh = "一", en = "one" }}
unit = ""
{when}
"""


def rules() -> list[Any]:
    """A threshold with a hold time, counts, silence, a rise, and values and bands of indicators."""
    rain, pm25 = (f'type = "obs"\nwhere = \'col.property == "{name}"\'' for name in ("rain.depth", "air.pm25"))
    case = 'case = { category = "flood.waterlog", level = 2 }'
    told = [
        ("rain", 3, "subject", 'off = "5m"', f'kind = "threshold"\n{rain}\nabove = 3\nhold = "1m"\nfresh = "2h"'),
        ("cases", 2, "district", "", _count("case.reported", "district")),
        ("states", 4, "subject", 'off = "1m"', _count("device.status", "subject")),
        ("silent", 4, "subject", "", f'kind = "absence"\n{rain}\nwithin = "3h"'),
        ("rise", 3, "subject", "", f'kind = "rate"\n{pm25}\nabove = 0.5\nwithin = "6h"'),
        (
            "backlog",
            1,
            "district",
            case,
            'kind = "threshold"\nindicator = "case_backlog"\nby = "district"\nabove = 0.5',
        ),
        ("intact", 2, "city", "", 'kind = "threshold"\nindicator = "facility_intact_rate"\nby = "city"\nband = "red"'),
    ]
    text = [_RULE.format(id=id, priority=p, at=at, more=more, when=when) for id, p, at, more, when in told]
    return parse_rules("\n".join(text))


def _count(type: str, by: str) -> str:
    return f'kind = "count"\ntype = "{type}"\nby = "{by}"\nwithin = "6h"\nleast = 1'


def city() -> Any:
    """The town, with rules."""
    made = town()[0]
    made.rules = rules()
    return made


class Told(Split):
    """A city in shards whose desk is told of markers, some of them late, some more than once."""

    def __init__(self, shards: int, chance: random.Random) -> None:
        super().__init__(city, REGISTRY, shards)
        self.chance = chance
        self.alone_said: list[list[Draft]] = []
        self.desk_said: list[list[Draft]] = []

    def tick(self, now: int) -> None:
        """A marker; then the desk is told of all that it does not know, or, now and then, of nothing yet."""
        self.mark(now)
        assert self.alone.rules is not None
        self.alone_said.append(list(self.alone.rules.said))
        if self.chance.random() < 0.7:
            self.tell()

    def tell(self) -> None:
        """What is waiting, as bytes; half of it a second time, as another clock would."""
        desk = self.parts[DESK]
        waiting = [piece for k in sorted(self.merge.tellings) for piece in self.merge.tellings[k]]
        for piece in waiting:
            told = from_bytes(to_bytes(piece))
            before = desk.engine.told.k
            taken = desk.tell(told)  # type: ignore[arg-type]
            if taken and desk.engine.told.k > before:
                assert desk.engine.rules is not None
                self.desk_said.append(list(desk.engine.rules.said))
            if self.chance.random() < 0.5:
                assert not desk.tell(told)  # type: ignore[arg-type]

    def heard(self) -> None:
        """What the desk has to say comes back as events, in both."""
        found = desking.batches(self.parts[DESK].engine)
        kinds = self.alone.vocabulary.types
        assert all((route(b, kinds[b.type], self.shards) == DESK).all() for b in found)
        self.segment[DESK] += [from_bytes(to_bytes(Events(b))).batch for b in found]  # type: ignore[union-attr]


@pytest.mark.parametrize("number", range(HISTORIES))
def test_the_same_is_said_at_the_same_tick(number: int) -> None:
    chance = random.Random(SEED * 100_003 + number)
    split = Told(chance.choice((1, 2, 3, 5)), chance)
    for step in history(chance.randbytes(20)):
        split.put(batches(step.events))
        if not step.tick:
            continue
        split.tick(step.tick)
        split.heard()
        if chance.random() < 0.3:
            split.restart(chance.choice((DESK, *range(split.shards))))
        if chance.random() < 0.3:
            split.restart_merge()
    split.mark(split.alone.now + 1000)  # the desk says how far it was told
    split.alone_said.append(list(split.alone.rules.said))  # type: ignore[union-attr]
    split.tell()
    assert len(split.desk_said) == len(split.alone_said)
    assert [_plain(s) for s in split.desk_said] == [_plain(s) for s in split.alone_said], f"seed {SEED}, {number}"
    assert split.differences() == []
    alone, desk = split.alone.desk, split.parts[DESK].engine.desk
    assert alone is not None
    assert desk is not None
    assert desk.drafts.keys() <= alone.drafts.keys()


def _plain(said: list[Draft]) -> list[str]:
    return [repr(draft) for draft in said]


def test_every_rule_speaks() -> None:
    """The histories above make each of the rules say something; a comparison of silence would show nothing."""
    spoke = set[str]()
    for number in range(12):
        split = Told(2, random.Random(number))
        for step in history(random.Random(7_000 + number).randbytes(20)):
            split.put(batches(step.events))
            if step.tick:
                split.tick(step.tick)
        spoke |= {str(d.fields["rule"]) for said in split.desk_said for d in said if d.type == "alarm.raised"}
    assert spoke >= {"rain", "cases", "states", "silent", "backlog"}


def test_the_desk_knows_where_units_are() -> None:
    """Positions go to the shard of the vehicle; the desk gets the newest of each unit, and no other vehicle's."""
    split, start = Told(3, random.Random(3)), 1_790_000_000_000
    said = Writer(start - HOUR, [start])

    def move(code: str, time: int, lon: float) -> None:
        told = said.add("vehicle.pos", start + time, code)
        told["lon"], told["lat"] = lon, 30.55

    def tick(time: int) -> None:
        split.put(batches(said.events))
        said.events.clear()
        split.tick(start + time)
        split.restart_merge()

    for code in ("U1", "U2"):
        said.add("unit.state", start, code, state="ready", kind="pump").update(lon=114.0, lat=30.5)
    tick(1000)
    for step in range(5):
        for code in ("U1", "B7"):
            move(code, 2000 + step, 114.01 + step / 100)
    move("U1", 2001, 114.15)
    tick(3000)
    split.tell()
    alone, desk = split.alone.desk, split.parts[DESK].engine.desk
    assert alone is not None
    assert desk is not None
    first, second = desk.parts["unit"].rows()
    assert [first, second] == list(alone.parts["unit"].rows())
    assert (first["code"], first["lon"], second["lon"]) == ("U1", pytest.approx(114.05), 114.0)
    told = [h for k in split.merge.tellings for piece in split.merge.tellings[k] for h in piece.heard if h.sign == 0]
    assert {s for h in told for s in h.batch.subject.tolist()} == {"U1"}, "other vehicles are of no concern"
