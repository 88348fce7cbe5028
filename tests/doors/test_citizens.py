"""Which cases the Open311 door tells, against a plain loop over what was fed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from citytwin.citizens import asked_for, services, told
from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.streams.open311 import MAX_ANSWER, Known, Question, question_of
from citytwin.testing import START_MS, TinyCity
from tests.conftest import Figure, proving

HOUR = 3_600_000
SERVICES = services()
KINDS = ("facility.manhole", "sanitation.litter", "street.stall")


def engine_with(count: int, seed: int = 1) -> tuple[Engine, dict[str, tuple[int, str, bool, bool]]]:
    """An engine with cases: time, category, whether it is closed (rejected), whether it may be told."""
    rng, engine = np.random.default_rng(seed), Engine(TinyCity(), Registry([]))
    engine.tick(START_MS, 1)
    time_ms = START_MS - rng.integers(0, 200 * 24, count) * HOUR
    kind, over, drill, hidden = (rng.integers(0, n, count) for n in (3, 2, 5, 5))
    codes = [f"{'drill/' if d == 0 else ''}K-{i}" for i, d in enumerate(drill.tolist())]
    fields = {
        "category": Coded.of([KINDS[k] for k in kind]), "confidential": (hidden == 0).astype(np.int8),
        "text": Strings.of(["他人的话"] * count),
    }  # fmt: skip
    engine.feed(EventBatch.of("case.reported", time_ms, codes, "12345", codes, fields=fields), 2)
    gone = np.flatnonzero(over == 0)
    names = [codes[i] for i in gone]
    engine.feed(EventBatch.of("case.rejected", time_ms[gone] + 1, [f"r{n}" for n in names], "12345", names), 3)
    engine.tick(START_MS + HOUR, 4)
    open_to_all = (drill != 0) & (hidden != 0)
    facts = zip(time_ms.tolist(), kind.tolist(), over.tolist(), open_to_all.tolist(), strict=True)
    return engine, {c: (t, KINDS[k], o == 0, p) for c, (t, k, o, p) in zip(codes, facts, strict=True)}


def ask(engine: Engine, question: Question) -> list[Known]:
    return told(engine, asked_for(engine, question))


@pytest.mark.parametrize(
    "query",
    [
        {}, {"status": "open"}, {"status": "closed"}, {"service_code": "facility.manhole,street.stall"},
        {"start_date": "2026-06-01T00:00:00Z", "end_date": "2026-06-20T00:00:00Z", "status": "open"},
        {"start_date": "2026-03-01T00:00:00Z", "service_code": "sanitation.litter"},
        {"end_date": "2020-01-01T00:00:00Z"},
    ],
)  # fmt: skip
def test_what_is_told_is_what_a_plain_loop_finds(query: dict[str, str]) -> None:
    engine, cases = engine_with(800)
    question = question_of(query, SERVICES, START_MS + HOUR)
    wanted = {
        code
        for code, (at, kind, closed, public) in cases.items()
        if public and question.start <= at < question.end
        if not question.services or kind in question.services
        if question.open is None or closed != question.open
    }
    found = ask(engine, question)
    assert {k.code for k in found} == wanted
    assert [k.requested for k in found] == sorted((cases[c][0] for c in wanted), reverse=True)
    assert not any(k.text for k in found), "words of people who reported elsewhere stay here"


def test_a_code_finds_what_may_be_told() -> None:
    engine, cases = engine_with(100)
    for code, (_, kind, closed, public) in cases.items():
        found = ask(engine, Question((code, code, "nothing")))
        assert len(found) == int(public)
        if public:
            assert (found[0].code, found[0].service, found[0].state == "rejected") == (code, kind, closed)


def test_an_answer_is_bounded_and_quick(figure: Figure) -> None:
    engine, cases = engine_with(100_000 if proving() else 4_000)
    question = question_of({}, SERVICES, START_MS + HOUR)
    began = time.thread_time()
    rows = asked_for(engine, question)
    figure("Open311: choosing among all cases, engine waits", (time.thread_time() - began) * 1000, "ms")
    newest = sorted((at for at, _, _, public in cases.values() if public and at >= question.start), reverse=True)
    assert len(newest) > MAX_ANSWER
    assert [k.requested for k in told(engine, rows)] == newest[:MAX_ANSWER]
