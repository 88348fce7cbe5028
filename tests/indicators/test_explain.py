"""Why is this number: on random histories the events given, fed alone to a fresh engine, give the value again.

What is called a count or a sum: the parameters of kind count, total, distinct and tally by sum, of the indicator itself
and of those that it reads. Dropping one event that gives something to such a parameter changes at least one of them;
of cases and folded families, whose rows need all of their moves, the events of one row are dropped together, and of
registers one entity. A mean, a largest value, a quantile or a class form may stay the same without an event.
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from citytwin.engine import Engine
from citytwin.indicators import panes
from citytwin.indicators.api import Spec
from citytwin.indicators.explain import explain
from citytwin.indicators.registry import Registry, builtin
from citytwin.indicators.told import EventTold, Explanation, Fact
from citytwin.models.columns import Coded, Strings
from citytwin.models.entities import KINDS
from citytwin.models.vocabulary import Kind
from citytwin.twin.entities import Entities
from tests.conftest import Figure
from tests.indicators.histories import Step, history
from tests.indicators.town import batches, town

PROVE = os.environ.get("CITYTWIN_TEST_PROVE") == "1"
TRIALS = 1_000 if PROVE else 36
#: Trials of one history: (indicator, scope) at its last tick.
EACH = 12
#: Events, or rows, that are dropped one by one in a trial.
DROPS = 6
SEED = int(os.environ.get("CITYTWIN_TEST_SEED") or datetime.now(UTC).strftime("%Y%m%d"))
REGISTRY = builtin()
_SUMS = {"count", "total", "distinct", "tally"}


@pytest.fixture(autouse=True, scope="module")
def _forgetful() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panes, "FORGET_FROM", 0)
        yield


def play(steps: list[Step]) -> Engine:
    """A history in an engine of all indicators."""
    engine = Engine(town()[0], REGISTRY)
    for position, step in enumerate(steps, 1):
        if step.tick:
            engine.tick(step.tick, position)
        else:
            for batch in batches(step.events):
                engine.feed(batch, position)
    return engine


def whole(engine: Engine, id: str, row: int, parameter: str = "", limit: int = 1000) -> Explanation:
    """An explanation with the evidence of all its pages."""
    first = explain(engine, id, row, parameter=parameter, limit=limit)
    entities, events, after = list(first.entities), list(first.events), first.next
    while after:
        page = explain(engine, id, row, parameter=parameter, limit=limit, after=after)
        entities += page.entities
        events += page.events
        after = page.next
    assert (len(entities), len(events)) == (first.entities_total, first.events_total)
    skipped = explain(engine, id, row, parameter=parameter, limit=limit, after="events")
    assert (skipped.entities, list(skipped.events)) == ((), events[:limit])
    return _with(first, entities, events)


def _with(explanation: Explanation, entities: list[Fact], events: list[EventTold]) -> Explanation:
    return dataclasses.replace(explanation, entities=tuple(entities), events=tuple(events), next="")


def family(spec: Spec) -> list[Spec]:
    """An indicator and those that it reads."""
    found = {spec.id: spec}
    for agg in spec.params.values():
        if agg.kind == "ind":
            found |= {s.id: s for s in family(REGISTRY[agg.table])}
    return list(found.values())


def raw(event: EventTold) -> dict[str, Any]:
    """An event as a source would send it."""
    place = {"lon": event.lon, "lat": event.lat} if event.lon is not None else {}
    return {
        "type": event.type, "id": event.id, "source": event.source, "time": event.time, "subject": event.subject,
        "scope": event.scope, **place, **event.fields,
    }  # fmt: skip


def registers(engine: Engine, told: Explanation, gone: str = "") -> Entities:
    """Registers with nothing but the facts told, and the bare subjects of the events."""
    entities, known = Entities(), {f.code: f for f in told.entities}
    rows = {engine.entities.row(e.subject) for e in told.events} - {-1}
    for row in sorted(rows | {engine.entities.row(code) for code in known}):
        code = engine.entities.code(row)
        said = {k: v for k, v in (known[code].attributes if code in known else {}).items() if v is not None}
        ends = said.pop("valid_to", None)
        if code != gone:
            put(entities, list(KINDS)[int(engine.entities.kind[row])], code, int(engine.entities.scope[row]), said)
            if ends is not None:
                entities.remove(Strings.of([code]), np.array([ends], np.int64))
    return entities


def put(entities: Entities, kind: str, code: str, scope: int, said: dict[str, Any]) -> None:
    """One entity with some attributes."""
    columns: dict[str, Any] = {}
    since, lon, lat = (np.array([said.pop(n, other)]) for n, other in (("since", 0), ("lon", np.nan), ("lat", np.nan)))
    for name, value in said.items():
        field = KINDS[kind].field(name)
        if field is not None and field.kind is Kind.CODE:
            columns[name] = Coded.of([value])
        elif isinstance(value, str):
            columns[name] = Strings.of([value])
        else:
            dtype = {Kind.FLAG: np.int8, Kind.NUMBER: np.float64}.get(field.kind if field else Kind.TIME, np.int64)
            columns[name] = np.array([value], dtype)
    entities.upsert(kind, Strings.of([code]), np.array([scope], np.int32), lon, lat, columns, since)


def again(engine: Engine, told: Explanation, events: list[EventTold], entities: Entities | None = None) -> Engine:
    """A fresh engine that got only these events, with the registers of the other one or those given."""
    city = town()[0]
    city.entities = Entities.from_state(engine.entities.state()) if entities is None else entities
    fresh = Engine(city, Registry(family(REGISTRY[told.id])))
    fresh.pulse.load(engine.pulse.state())
    for batch in batches([raw(e) for e in events]):
        changes = fresh.feed(batch, 1)
        assert not changes.rejected
        assert changes.accepted == len(batch)
    fresh.tick(told.now, 2)
    return fresh


def sums(engine: Engine, id: str, row: int) -> dict[str, float]:
    """Counts and sums of an indicator and those that it reads, at a scope; not of what rests on all the city."""
    out = {}
    for spec in family(REGISTRY[id]):
        if spec.cls is not None and spec.cls.whole:
            continue
        for name, param in engine.board.lines[spec.id].params.items():
            agg = spec.params[name]
            if agg.kind in _SUMS and agg.reduce == "sum":
                out[name if spec.id == id else f"{spec.id}:{name}"] = float(param.values()[row])
    return out


def rows_of(engine: Engine, event: EventTold) -> tuple[str, str]:
    """What must be dropped together with an event: itself, or all moves of its row."""
    kind = engine.vocabulary.types[event.type]
    if kind.family in engine.tables and not kind.key:
        return kind.family, event.subject
    return event.source, event.id


def check(engine: Engine, id: str, row: int, chance: random.Random) -> int:
    """One trial; how many drops it made."""
    told = whole(engine, id, row)
    if chance.random() < 0.2:  # pages of any size say the same, in the same order
        assert whole(engine, id, row, limit=chance.choice((1, 3, 40))) == told
    line = engine.board.lines[id]
    assert not told.error
    assert told.complete
    if told.value is not None:  # else it may be blank: nothing was ever heard
        assert told.value == told.computed
    fresh = again(engine, told, list(told.events))
    assert explain(fresh, id, row).computed == told.computed, f"{id} at {row}: {told}"
    assert sums(fresh, id, row) == sums(engine, id, row)
    if all(s.cls is None for s in family(REGISTRY[id])):  # a class may read the registers as it likes
        bare = again(engine, told, list(told.events), registers(engine, told))
        assert explain(bare, id, row).computed == told.computed, f"{id} at {row} of facts alone: {told}"
    assert {t.name: t.value for t in told.parameters if t.sums} == {
        n: v for n, v in sums(engine, id, row).items() if n in line.spec.params
    }
    for term in told.parameters:
        if term.sums:
            gives = [e.gives for e in told.events] + [f.gives for f in told.entities]
            assert sum(g.get(term.name, 0) for g in gives) == pytest.approx(term.value)
    return drop(engine, told, row, chance)


def drop(engine: Engine, told: Explanation, row: int, chance: random.Random) -> int:
    """Leave out some of the events that give something to a count or a sum, each in turn."""
    full = sums(engine, told.id, row)
    groups: dict[tuple[str, str], list[EventTold]] = {}
    for event in told.events:
        groups.setdefault(rows_of(engine, event), []).append(event)
    giving = [k for k, es in groups.items() if any(set(e.gives) & set(full) for e in es)]
    for key in chance.sample(giving, min(DROPS, len(giving))):
        rest = [e for k, es in groups.items() if k != key for e in es]
        left = sums(again(engine, told, rest), told.id, row)
        assert left != full, f"{told.id} at {row} without {key}"
    facts = [f.code for f in told.entities if set(f.gives) & set(full)]
    for code in chance.sample(facts, min(DROPS, len(facts))):
        rest = [e for e in told.events if e.subject != code]
        left = sums(again(engine, told, rest, registers(engine, told, code)), told.id, row)
        assert left != full, f"{told.id} at {row} without {code}"
    return min(DROPS, len(giving)) + min(DROPS, len(facts))


def explained(chance: random.Random, wanted: int) -> tuple[int, int]:
    """So many trials; the drops they made, and how many numbers there were at all."""
    trials = drops = known = 0
    while trials < wanted:
        steps = history(chance.randbytes(20))
        cut = chance.choice([i for i, s in enumerate(steps) if s.tick]) + 1
        engine = play(steps[:cut])
        for _ in range(min(EACH, wanted - trials)):
            moved = [s for s in REGISTRY if not np.isnan(engine.board.lines[s.id].value).all()]
            spec = chance.choice(moved if moved and chance.random() < 0.7 else list(REGISTRY))
            scopes = np.flatnonzero(engine.scopes.level <= spec.finest)
            there = [r for r in scopes.tolist() if not np.isnan(engine.board.lines[spec.id].value[r])]
            row = chance.choice(there if there and chance.random() < 0.8 else scopes.tolist())
            drops += check(engine, spec.id, row, chance)
            trials += 1
            known += bool(there)
    return drops, known


def test_the_events_given_make_some_numbers_again() -> None:
    explained(random.Random(SEED + 100_000_000), 10)


@pytest.mark.slow
def test_the_events_given_make_the_number_again(figure: Figure) -> None:
    drops, known = explained(random.Random(SEED), TRIALS)
    figure("numbers explained, made again from the events given alone", TRIALS, "numbers")
    figure("events, rows and entities left out, each of which changed a count or sum", drops, "of them")
    assert drops > TRIALS // 10
    assert known > TRIALS // 3


PLUGIN = """
from citytwin.indicators.api import col, indicator, maximum

@indicator("warmest", theme="iot", window="sliding 1h/1m", levels="city grid", decimals=1)
def warmest(level=maximum("obs", col.value, col.property == "gas.ch4_lel")):
    \"\"\"Largest of the hour.\"\"\"
    return level
"""


def test_a_plugin_is_explained_as_a_built_in_one() -> None:
    engine, now = Engine(town()[0], Registry([])), 1_750_000_000_000
    engine.tick(now, 1)
    readings = [
        {"type": "obs", "id": f"g{i}", "source": "s", "subject": "G1", "property": "gas.ch4_lel", "value": value,
         "quality": "good", "time": now - (9 - i) * 60_000}
        for i, value in enumerate((1.0, 7.5, 7.5, 0.2))
    ]  # fmt: skip
    for batch in batches(readings):
        engine.feed(batch, 2)
    engine.define("plugin", {"file": "warmest.py", "text": PLUGIN, "version": "1"}, 3)
    engine.tick(now + 1000, 4)
    told = explain(engine, "warmest", 0)
    assert (told.value, told.computed) == (7.5, 7.5)
    assert [(e.id, e.gives) for e in told.events] == [("g1", {"level": 7.5})], "of equals the first"
    assert [f.code for f in told.entities] == []
