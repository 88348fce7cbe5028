"""Engine against oracle: shuffled, late, duplicated, corrected, retracted histories; every indicator and scope."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from citytwin.engine import Engine
from citytwin.indicators import panes
from citytwin.indicators.api import Spec, indicator, row, tally
from citytwin.indicators.registry import Registry, builtin
from tests.indicators import recounts
from tests.indicators.histories import Step, histories
from tests.indicators.oracle import Oracle
from tests.indicators.oracle_law import HOUR, MINUTE
from tests.indicators.oracle_quality import Watch, composites
from tests.indicators.town import OFFSET_MS, batches, town

PROVE = os.environ.get("CITYTWIN_TEST_PROVE") == "1"
#: In each of four parts; the quick tests take the first.
HISTORIES = 2_500 if PROVE else 15
#: Other histories every day; CITYTWIN_TEST_SEED plays those of another run again.
SEED = int(os.environ.get("CITYTWIN_TEST_SEED") or datetime.now(UTC).strftime("%Y%m%d"))
#: Shrinking a failure takes minutes; the seed brings it back.
PHASES = tuple(Phase) if PROVE else (Phase.explicit, Phase.generate)
REGISTRY = builtin()
SKETCHES = {"hotline_wait_p95": 2, "e2e_latency_p95": 0} | recounts.joined("SKETCHES")
#: How far a sketch may be off, relative to the value.
ALPHA = 0.01


def published(engine: Engine, id: str, closed: bool = False) -> dict[int, float]:
    """Values by scope row, those without data left out."""
    values = engine.current(id)
    numbers = values.closed if closed else values.value
    return {r: v for r, v in zip(values.rows.tolist(), numbers.tolist(), strict=True) if not np.isnan(v)}


def scales(engine: Engine, id: str) -> dict[int, float]:
    """What the bands of an indicator are shares of, by scope row that has a value."""
    values = engine.current(id)
    if values.scale is None:
        return {}
    known = ~np.isnan(values.value) & ~np.isnan(values.scale)
    return dict(zip(values.rows[known].tolist(), values.scale[known].tolist(), strict=True))


def differences(engine: Engine, oracle: Oracle) -> list[str]:
    """What engine and oracle do not agree on."""
    out = []
    watch = Watch(oracle)
    for key, found in watch.blank(oracle.values()).items():
        id, _, part = key.partition("|")
        got = scales(engine, id) if part == "scale" else published(engine, id, part == "closed")
        wanted = found if part != "scale" else {r: v for r, v in found.items() if r in published(engine, id)}
        if id in SKETCHES:
            slack = {r: ALPHA * abs(v) + 0.5 * 10 ** -SKETCHES[id] + 1e-9 for r, v in wanted.items()}
            fine = set(got) == set(wanted) and all(abs(got[r] - wanted[r]) <= slack[r] for r in got)
        else:
            fine = got == wanted
        if not fine:
            odd = {r for r in set(got) | set(wanted) if got.get(r) != wanted.get(r)}
            out.append(f"{key}: " + ", ".join(f"{r}: {got.get(r)} not {wanted.get(r)}" for r in sorted(odd)[:6]))
    numbers = {line: published(engine, line) for line in engine.board.lines}
    shares = {i: scales(engine, i) for i, line in engine.board.lines.items() if line.spec.of}
    made = composites(watch, lambda i, r: numbers[i].get(r), shares)
    for id, line in engine.board.lines.items():
        trust = zip(line.quality.tolist(), line.fresh.tolist(), line.expected.tolist(), strict=True)
        got_parts = {r: (numbers[id].get(r), t) for r, t in enumerate(trust)}
        parts = made.get(id) or {r: (v, watch.trust(id, r, v)) for r, (v, _) in got_parts.items()}
        odd = {r for r, part in parts.items() if part != got_parts[r]}
        if odd:
            out.append(f"{id}: " + ", ".join(f"{r}: {got_parts[r]} not {parts[r]}" for r in sorted(odd)[:6]))
    out += [f"{id} raised {line.error}" for id, line in engine.board.lines.items() if line.error]
    return out


def run(steps: list[Step]) -> tuple[Engine, Oracle]:
    """Play a history to both; they must agree at every tick."""
    city, world = town()
    engine = Engine(city, REGISTRY)
    oracle = Oracle(world, -OFFSET_MS)
    for position, step in enumerate(steps, 1):
        if step.tick:
            engine.tick(step.tick, position)
            oracle.tick(step.tick)
            found = differences(engine, oracle)
            assert not found, "\n".join(found)
        else:
            for batch in batches(step.events):
                engine.feed(batch, position)
            # the engine sees a batch type by type, as the door splits it
            for name in dict.fromkeys(e["type"] for e in step.events):
                oracle.feed(e for e in step.events if e["type"] == name)
    assert engine.stats.accepted == len(oracle.seen)
    return engine, oracle


@pytest.fixture(autouse=True, scope="module")
def _forgetful() -> Iterator[None]:
    """Panes out of reach are dropped at once: a small town would else never drop any."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panes, "FORGET_FROM", 0)
        yield


@settings(
    max_examples=HISTORIES, deadline=None, database=None, phases=PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)  # fmt: skip
@given(histories)
def recounted(steps: list[Step]) -> None:
    note(f"the histories of CITYTWIN_TEST_SEED={SEED}")
    run(steps)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2, 3))])
def test_every_indicator_equals_the_recount(part: int) -> None:
    seed(SEED + 100_000_000 * part)(recounted)()


NOW = 1_750_000_000_000 // HOUR * HOUR


def said(type: str, id: str, subject: str, **more: Any) -> dict[str, Any]:
    """An event a minute before NOW."""
    return {"type": type, "time": NOW - MINUTE, "id": id, "source": "s", "subject": subject, **more}


GAS = said("obs", "g", "G1", property="gas.ch4_lel", value=5.0, quality="good")
CORRECTS = {"id": "c", "corrects": "g", "revision": 1}


@pytest.mark.parametrize("first_alone", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "misfit",
    [
        GAS | CORRECTS | {"subject": "G2", "value": 50.0},
        said("unit.state", "c", "G1", state="busy") | CORRECTS,
        GAS | CORRECTS | {"corrects": "x", "value": 50.0},
    ],
    ids=["another subject", "another type", "nothing known"],
)
def test_a_correction_that_fits_no_original_changes_nothing(
    misfit: dict[str, Any], reverse: bool, first_alone: bool
) -> None:
    pair = [misfit, GAS] if reverse else [GAS, misfit]
    feeds = [Step([e]) for e in pair] if first_alone else [Step(pair)]
    engine, _ = run([*feeds, Step([], NOW)])
    assert published(engine, "gas_ch4_max")[0] == 5.0


def test_a_reading_ahead_of_the_clock_counts_in_the_slope_from_its_five_minutes_on() -> None:
    at = NOW + 2 * MINUTE
    rise = {at - (30 - 10 * k) * MINUTE: 25 + k / 100 for k in range(3)} | {at + 4 * MINUTE: 25.5}
    river = [
        said("obs", f"r{k}", "H1", property="river.level", value=value, quality="good") | {"time": time}
        for k, (time, value) in enumerate(rise.items())
    ]
    engine, oracle = run([Step(river), Step([], at)])
    assert published(engine, "river_rise_rate")[0] == 6.0
    engine.tick(at + 4 * MINUTE, 9)
    oracle.tick(at + 4 * MINUTE)
    assert published(engine, "river_rise_rate")[0] > 60
    assert differences(engine, oracle) == []


def test_a_correction_may_name_a_case_that_never_comes() -> None:
    lost = said("case.filed", "c", "K", corrects="x", revision=1, due_at=NOW)
    engine, _ = run([Step([lost]), Step([], NOW)])
    assert published(engine, "case_backlog")[0] == 0


def case_path(code: str, filed: int, due: int, closed: int | None, **reported: Any) -> list[dict[str, Any]]:
    """A case from report to filing, and to closing if it was closed."""
    begun = ["reported", "accepted"]
    times = {move: filed - 2 + k for k, move in enumerate(begun)} | {"filed": filed}
    if closed is not None:
        path = ["dispatched", "received", "handled", "verified"]
        times |= {move: closed - 4 + k for k, move in enumerate(path)} | {"closed": closed}
    events = []
    for move, time in times.items():
        event = {"type": f"case.{move}", "time": time, "id": f"{code}.{move}", "source": "desk", "subject": code}
        event |= {"due_at": due} if move == "filed" else {"passed": True} if move == "verified" else {}
        events.append(event | (reported if move == "reported" else {}))
    return events


#: Tianmen, December 2016: accepted 1054, filed 996, due 972, closed 911, on time 737; found by the city itself 953.
FILED, DUE, CLOSED, ON_TIME, ACCEPTED, FOUND = 996, 972, 911, 737, 1054, 953
#: Of those due 956 are events and 16 components, of those closed 902 and 9.
COMPONENTS = range(902, 918)
_IS_COMPONENT = row.category.startswith("facility.")


def _closing(id: str, where: Any) -> Spec:
    """The closing rate of one kind of cases."""

    def rate(
        closed: Any = tally("case", where=where & (row.done == 1), at=row.due_at),
        due: Any = tally("case", where=where & (row.counted == 1), at=row.due_at),
    ) -> Any:
        return 100 * closed / due

    return indicator(id, theme="t", window="tumbling 30d", unit="%", levels="city", owner="me")(rate)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_published_table_of_tianmen_is_reproduced(reverse: bool) -> None:
    start = 690 * 30 * 24 * HOUR - OFFSET_MS
    due, now = start + 20 * 24 * HOUR, start + 25 * 24 * HOUR
    events: list[dict[str, Any]] = []
    for i in range(ACCEPTED):
        filed = start + (i + 1) * MINUTE
        told = {
            "scope": "C0" if i % 3 else "C1",
            "channel": ("patrol", "iot", "video", "ai")[i % 4] if i < FOUND else "12345",
            "category": "facility.manhole" if i in COMPONENTS else "sanitation.litter",
        }  # fmt: skip
        if i >= FILED:
            events += case_path(f"T{i}", filed, due, None, **told)[:2]
            continue
        limit = due if i < DUE else now + 24 * HOUR
        closed = due - HOUR if i < ON_TIME else due + HOUR if i < CLOSED else None
        events += case_path(f"T{i}", filed, limit, closed, **told)
    city, world = town()
    engine, oracle = Engine(city, REGISTRY), Oracle(world, -OFFSET_MS)
    for batch in batches(events[::-1] if reverse else events):
        engine.feed(batch, 1)
    oracle.feed(events)
    engine.tick(now, 2)
    oracle.tick(now)
    assert published(engine, "case_on_time_closing_rate")[0] == 75.82
    assert published(engine, "case_filing_rate")[0] == 94.50
    assert published(engine, "case_closing_rate")[0] == 93.72
    assert published(engine, "proactive_discovery_rate")[0] == 95.68
    assert published(engine, "case_backlog")[0] == FILED - CLOSED
    assert published(engine, "case_overdue_open")[0] == DUE - CLOSED
    assert differences(engine, oracle) == []
    kinds = Engine(city, Registry([_closing("events", ~_IS_COMPONENT), _closing("components", _IS_COMPONENT)]))
    for batch in batches(events):
        kinds.feed(batch, 1)
    kinds.tick(now, 2)
    assert published(kinds, "events")[0] == 94.35
    assert published(kinds, "components")[0] == 56.25
