"""Bad events through the whole door: each is a dead letter with a reason or taken by a rule, the state untouched."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from citytwin.app import Node
from citytwin.clock import ManualClock
from citytwin.config import Config
from citytwin.config import Engine as EngineSettings
from citytwin.engine import Engine
from citytwin.indicators.registry import builtin
from citytwin.models.batch import REASONS, Rejection
from citytwin.streams.codec import Codec
from citytwin.streams.deadletters import LetterGone
from tests.conftest import proving
from tests.indicators.oracle_law import HOUR, MINUTE
from tests.indicators.town import town
from tests.streams.test_badinput import mutated

EVENTS, EACH = 10_000 if proving() else 1_500, 20
NOW = 1_750_000_000_000 // HOUR * HOUR
DEVICES = (("G1", "gas.ch4_lel"), ("G2", "gas.ch4_lel"), ("P1", "water.pressure"), ("H1", "river.level"))
LINES = "application/x-ndjson"
Event = dict[str, Any]
#: What may come of a fault: reasons, or "" where a rule takes the event.
TAKEN = frozenset({""})


def rfc3339(ms: int) -> str:
    """A time as events have it."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def good(number: int, rng: random.Random) -> Event:
    """A reading, or the report of a case."""
    device, prop = rng.choice(DEVICES)
    event = {
        "specversion": "1.0", "id": f"g{number}", "source": "gw", "subject": device, "type": "obs",
        "time": rfc3339(NOW - rng.randrange(9 * MINUTE)), "lon": 114.12, "lat": 30.62,
        "data": {"property": prop, "value": round(rng.uniform(0.1, 1.9), 3), "quality": "good"},
    }  # fmt: skip
    if rng.random() < 0.2:
        event |= {"type": "case.reported", "subject": f"K{number}", "data": {"category": "well cover"}}
    return event


def changed(**values: Any) -> Callable[[Event, Event, random.Random], Event]:
    """A fault that sets attributes of a reading."""
    return lambda event, _old, _rng: event | values


def told(**values: Any) -> Callable[[Event, Event, random.Random], Event]:
    """A fault that sets fields of a reading."""
    return lambda event, _old, _rng: event | {"data": event["data"] | values}


def history(created: int, closed: int) -> Event:
    """A record of another system."""
    data = {"created_at": rfc3339(created), "closed_at": rfc3339(closed)}
    return {"type": "case.history", "subject": "H", "data": data}


#: Faults of a reading: how it is made from the event and an earlier good one, and what may come of it.
FAULTS: dict[str, tuple[Callable[[Event, Event, random.Random], Event], frozenset[str]]] = {
    "unknown device": (changed(subject="X9"), frozenset({"unknown_subject"})),
    "no device": (
        changed(type="device.status", subject="R1", data={"state": "online"}), frozenset({"unknown_subject"}),
    ),
    "far future": (changed(time=rfc3339(NOW + 9 * HOUR)), frozenset({"future"})),
    "too old": (changed(time=rfc3339(NOW - 30 * HOUR)), frozenset({"horizon"})),
    "year 1": (changed(time="0001-01-01T00:00:00Z"), frozenset({"out_of_range"})),
    "no time": (changed(time="yesterday"), frozenset({"bad_time"})),
    "same id, other content": (lambda e, old, _: e | {"id": old["id"]}, frozenset({"conflict"})),
    "the same again": (lambda _e, old, _r: dict(old), TAKEN),
    "swapped": (changed(lon=30.62, lat=114.12), frozenset({"swapped_lonlat"})),
    "another city": (changed(lon=121.5, lat=31.2), frozenset({"outside_city"})),
    "unknown grid": (changed(gridid="C9999"), frozenset({"unknown_scope"})),
    "not a number": (told(value=float("nan")), frozenset({"bad_number"})),
    "endless": (told(value=float("-inf")), frozenset({"bad_number"})),
    "a word for a number": (told(value="much"), frozenset({"wrong_type"})),
    "out of range": (told(value=1e9), frozenset({"out_of_range"})),
    "unknown property": (told(property="air.gold"), frozenset({"unknown_property"})),
    "unknown field": (told(colour="red"), frozenset({"unknown_field"})),
    "unknown type": (changed(type="obs.new"), frozenset({"unknown_type"})),
    "nothing said": (changed(data={}), frozenset({"missing"})),
    "long": (told(quality="x" * 70_000), frozenset({"too_large", "bad_code"})),
    "retracted without an original": (
        lambda e, _o, _r: e | {"corrects": "never" + e["id"], "revision": 1, "retracted": True}, TAKEN,
    ),
    "retracted without naming one": (changed(retracted=True), frozenset({"bad_correction"})),
    "corrects itself": (lambda e, _o, _r: e | {"corrects": e["id"], "revision": 1}, frozenset({"bad_correction"})),
    "corrects another device's": (
        lambda e, old, _: e | {"corrects": old["id"], "revision": 1, "subject": "A3"}, frozenset({"bad_correction"}),
    ),
    "no revision": (changed(corrects="g0"), frozenset({"bad_correction"})),
    "closed before it began": (changed(**history(NOW - HOUR, NOW - 2 * HOUR)), frozenset({"out_of_range"})),
    "a move that none can make": (
        lambda e, _o, _r: e | {"type": "case.closed", "subject": "L" + e["id"], "data": {}}, TAKEN,
    ),
}  # fmt: skip


def bad(number: int, old: Event, rng: random.Random) -> tuple[str, bytes]:
    """A bad event of that number and the name of its fault; "" for changed bytes, of which anything may come."""
    event = good(number, rng)
    while event["type"] != "obs":
        event = good(number, rng)
    event["id"] = f"b{number}"  # changed bytes shall not make the id of a good one
    if rng.random() < 0.25:
        return "", mutated(event, rng, rng.random() < 0.002).replace(b"\n", b" ")
    name = rng.choice(list(FAULTS))
    return name, json.dumps(FAULTS[name][0](event, old, rng)).encode()


class Twice:
    """A city behind its door that gets everything, and an engine that only gets what the city took."""

    def __init__(self, folder: Path) -> None:
        config = Config(engine=EngineSettings(health=False))
        self.node = Node(config, folder=folder, load=lambda: town()[0], registry=builtin, clock=ManualClock(NOW))
        self.node.start(live=False)
        self.clean, self.position = Engine(town()[0], builtin()), 0
        city = self.clean.city
        self.codec = Codec(self.clean.vocabulary, b"another secret", city.box)
        self.refused = 0

    def send(self, texts: list[bytes]) -> dict[int, str]:
        """Reason of each refused line; the others go to the engine too."""
        taken = self.node.door.submit(b"\n".join(texts), LINES).result()
        reasons = {int(r["index"]): str(r["reason"]) for r in taken.rejected}
        self.refused += len(reasons)
        decoded = self.codec.decode(b"\n".join(t for i, t in enumerate(texts) if i not in reasons), LINES)
        assert not decoded.rejections
        self.position += 1
        for batch in decoded.batches:
            assert not self.clean.feed(batch, self.position).rejected
        return reasons

    def tick(self, now: int) -> list[Rejection]:
        """Tick both; what the tick refused."""
        frame = self.node.runtime.advance(now).result()
        self.position += 1
        mine = self.clean.tick(now, self.position)
        assert frame.refused == mine.refused
        self.refused += len(mine.refused)
        return list(mine.refused)

    def same(self) -> None:
        """City and engine agree."""
        theirs, mine = self.node.engine, self.clean
        got = self.node.runtime.call(lambda: (theirs.state_hash(), theirs.frame_hash(), theirs.watermarks.times))
        assert got.result() == (mine.state_hash(), mine.frame_hash(), mine.watermarks.times)


def test_bad_events_become_dead_letters_and_leave_the_state_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng, both, seen = random.Random(20), Twice(tmp_path), Counter[str]()
    both.tick(NOW)
    old = good(0, rng) | {"type": "obs", "subject": "G1"}
    old["data"] = {"property": "gas.ch4_lel", "value": 1, "quality": "good"}
    assert not both.send([json.dumps(old).encode()])
    for start in range(0, EVENTS, EACH):
        texts, names = list[bytes](), dict[int, str]()
        for number in range(start, start + EACH):
            texts.append(json.dumps(good(2 * number + 2, rng)).encode())
            names[len(texts)], text = bad(2 * number + 1, old, rng)
            texts.append(text)
        reasons = both.send(texts)
        assert not {i: (r, texts[i]) for i, r in reasons.items() if i not in names}, "a good event was refused"
        for i, name in names.items():
            reason = reasons.get(i, "")
            assert reason in (FAULTS[name][1] if name else REASONS.keys() | {""}), (name, reason, texts[i][:300])
            seen[reason] += 1
        if start % (10 * EACH) == 0:
            both.tick(NOW + start)
            both.same()
    late = Counter(r.reason for r in both.tick(NOW + 2 * MINUTE))
    late.update(r.reason for k in range(9) for r in both.tick(NOW + 25 * HOUR + k))
    assert late["illegal_move"] > EVENTS // 100
    assert late["horizon"] > EVENTS // 100
    both.same()
    assert both.node.letters.total() == both.refused
    assert set(both.node.letters.counts()) <= set(REASONS)
    assert len(seen) > 15
    assert both.node.runtime.status["failed"] == ""
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    both.node.close()


def test_a_dead_letter_corrected_and_retried_counts_once(tmp_path: Path) -> None:
    both, rng = Twice(tmp_path), random.Random(3)
    both.tick(NOW)
    wrong = good(7, rng) | {"type": "obs", "subject": "X9"}
    wrong["data"] = {"property": "gas.ch4_lel", "value": 4.5, "quality": "good"}
    assert both.send([json.dumps(wrong).encode()]) == {0: "unknown_subject"}
    letter = both.node.letters.list()[0]
    assert (letter.reason, letter.event, letter.source) == ("unknown_subject", "g7", "gw")

    def submit(body: bytes) -> list[Rejection]:
        answer = both.send([body])
        return [Rejection(i, reason, "", "") for i, reason in answer.items()]

    assert both.node.letters.retry(letter.id, json.dumps(wrong).encode(), submit, NOW)
    right = json.dumps(wrong | {"subject": "G1"}).encode()
    assert not both.node.letters.retry(letter.id, right, submit, NOW)
    with pytest.raises(LetterGone):
        both.node.letters.retry(letter.id, right, submit, NOW)
    assert submit(right) == []
    both.tick(NOW + 1000)
    engine = both.node.engine
    assert (engine.stats.accepted, engine.stats.duplicates) == (1, 1)
    assert engine.board.lines["gas_ch4_max"].value[0] == 4.5
    assert engine.board.lines["obs_valid_rate"].value[0] == 100
    both.same()
    both.node.close()
