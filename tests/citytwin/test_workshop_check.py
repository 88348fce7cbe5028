"""`citytwin check`: every way to be bad is caught in a process of its own and named in words; good ones pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citytwin.cli import main
from citytwin.conformance import check, is_additive
from citytwin.costs import Facts
from citytwin.engine import Engine
from citytwin.indicators.api import Spec
from citytwin.indicators.contract import Problem
from citytwin.indicators.loading import load_text
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.purity import impure
from citytwin.rehearsal import RecordedCity, record
from citytwin.streams.snapshots import read
from citytwin.testing import START_MS, TinyCity, random_events
from citytwin.trial import Limits, check_text
from citytwin.trial_child import check_asked
from tests.citytwin.bad_plugins import CAUGHT, DEADLY, GOOD, LOOP, RAISES
from tests.conftest import Figure, proving

LIMITS = Limits(seconds=4, memory_mb=512)


def assert_named(name: str, problems: list[Problem]) -> None:
    """Some problem has the rule and the words."""
    _, rule, words = CAUGHT[name]
    assert any(p.rule == rule and re.search(words, p.message) for p in problems), list(map(str, problems))


@pytest.mark.slow
@pytest.mark.parametrize("name", DEADLY)
def test_a_deadly_one_is_named(name: str) -> None:
    assert_named(name, check_text(f"{name}.py", CAUGHT[name][0], LIMITS).problems)


@pytest.mark.parametrize("name", sorted(set(CAUGHT) - set(DEADLY)))
def test_a_bad_one_is_named(name: str) -> None:
    """As the process does it, in this one: a process takes seconds."""
    assert_named(name, list(problems_of(f"{name}.py", CAUGHT[name][0])))


def problems_of(file: str, text: str) -> Iterator[Problem]:
    """Problems of a text, one after the other."""

    def say(indicator: str = "", problem: tuple[str, str] | None = None, **_: object) -> None:
        if problem is not None:
            found.append(Problem(indicator, *problem))

    found: list[Problem] = []
    check_asked({"file": file, "text": text, "others": [], "memory_mb": 512}, say)
    yield from found


def test_a_good_one_passes(figure: Figure) -> None:
    verdict = check_text("good.py", GOOD, LIMITS)
    assert verdict.problems == []
    assert verdict.ids == ["good.calls"]
    figure("check of one indicator in a process of its own", verdict.seconds, "s")


@pytest.mark.slow
def test_problems_of_two_indicators_are_both_told() -> None:
    text = GOOD + RAISES[RAISES.index("@indicator") :].replace("def bad", "def worse")
    verdict = check_text("two.py", text, LIMITS)
    assert [p.indicator for p in verdict.problems] == ["bad.raises"]
    assert verdict.ids == ["good.calls", "bad.raises"]


@pytest.mark.slow
def test_the_command_tells_all_and_leaves_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "loop.py"
    good.write_text(GOOD, "utf-8")
    bad.write_text(LOOP, "utf-8")
    with pytest.raises(SystemExit) as left:
        main(["check", "--seconds", "4", str(good), str(bad), str(tmp_path / "none.py")])
    said = capsys.readouterr().out
    assert left.value.code == 1
    assert f"{good}: good.calls ok (" in said
    assert f"{bad}: bad.loop: time: does not come to an end within 4 s" in said
    assert "none.py: no such file" in said


@pytest.mark.slow
def test_one_that_reads_its_neighbour_is_checked_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.py").write_text(GOOD, "utf-8")
    reader = tmp_path / "reader.py"
    text = GOOD.replace("good.calls", "good.twice").replace('count("call.offered")', 'ind("good.calls")')
    reader.write_text(text.replace("return n", "return 2 * n").replace('"gives": 1}', '"gives": 2}'), "utf-8")
    with pytest.raises(SystemExit) as left:
        main(["check", str(reader)])
    assert left.value.code == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_built_in_ones_keep_the_contract(part: int) -> None:
    """A sixth of them, another one each day; all of them when proving."""
    specs = list(builtin()) if proving() else list(builtin())[datetime.now(UTC).toordinal() % 6 :: 6]
    assert [p for spec in specs[part::4] for p in check(spec)] == []


def test_all_built_in_ones_are_checked_where_no_file_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    checked, told = list[str](), list[str]()

    def noted(spec: Spec, *_: object) -> list[Problem]:
        checked.append(spec.id)
        return []

    monkeypatch.setattr("citytwin.conformance.check", noted)
    asked: dict[str, Any] = {"file": "built-in", "text": None, "memory_mb": 512, "real": None, "others": []}
    check_asked(asked, lambda **said: told.append(said["indicator"]))
    assert set(checked) == set(told) >= {s.id for s in builtin()}


def test_what_it_costs_is_found_out() -> None:
    facts = Facts()
    assert check(builtin()["case_backlog"], facts=facts) == []
    assert facts.state_bytes > 0
    assert facts.cost_us > 0


@pytest.mark.parametrize(
    ("formula", "sum_of_parts"),
    [("n", True), ("3 * n", True), ("n + 1", False), ("n * n", False), ("100 * n / n", False), ("n.nope", False)],
)
def test_sums_are_recognised(formula: str, sum_of_parts: bool) -> None:
    assert is_additive(spec(f"return {formula}")) is sum_of_parts


def spec(body: str) -> Spec:
    """The indicator of a function body."""
    return load_text("a.py", GOOD.replace("return n", body)).specs[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from datetime import datetime\nx = datetime.now()", "line 2: asks for the time now"),
        ("import os.path", "line 1: imports os.path"),
        ("x = open('table.csv')", "line 1: calls open"),
        ("import numpy as np\nr = np.random.default_rng(1)", "line 2: uses np.random"),
    ],
)
def test_what_a_replay_would_get_wrong_is_seen_in_the_text(text: str, words: str) -> None:
    assert any(words in s for s in impure(text))


def test_the_ordinary_is_not_suspected() -> None:
    assert list(impure(GOOD)) == []
    assert list(impure("from datetime import timedelta\nHOUR = timedelta(hours=1)\nlast.now = 3")) == []


# The last hour of a city.


def busy() -> Engine:
    """The tiny city after calls and cases, some of them older than an hour."""
    city = TinyCity()
    engine, rng = Engine(city, Registry([])), np.random.default_rng(4)
    for kind in ("call.offered", "call.answered", "obs"):
        batch = random_events(city, city.vocabulary.types[kind], 900, rng, properties=["rain.depth"], prefix=kind)
        engine.feed(batch, 1)
    engine.tick(START_MS, 2)
    return engine


def test_the_last_hour_is_recorded_and_read_again(tmp_path: Path) -> None:
    engine = busy()
    recording = record(engine, GOOD)
    ledger = engine.ledgers["call"]
    recent = ledger.time.data >= START_MS - 3_600_000
    assert recording.events == int((recent & (ledger.move.data == 0)).sum())
    recording.save(tmp_path / "hour.bin")
    again = RecordedCity(read(tmp_path / "hour.bin"))
    assert again.scopes.code == engine.scopes.code
    assert again.entities.n == engine.entities.n
    assert again.vocabulary == engine.vocabulary


@pytest.mark.slow
def test_a_file_is_tried_on_the_last_hour(tmp_path: Path) -> None:
    engine = busy()
    engine.feed(calls(20), 3)
    engine.tick(START_MS + 1000, 4)
    record(engine, GOOD).save(tmp_path / "hour.bin")
    picky = GOOD.replace("return n", 'if n.max() > 9:\n        raise ValueError("too many")\n    return n')
    crowd = picky.replace("n.max() > 9", "n.max() == CALLS").replace("META =", f"CALLS = {offered(engine)}\nMETA =")
    fine = check_text("good.py", GOOD, LIMITS, real=tmp_path / "hour.bin")
    assert fine.problems == []
    assert re.search(r"good.calls: [\d,]+ events of the last hour give [\d,]+ values", fine.notes[0])
    bad = check_text("crowd.py", crowd, LIMITS, real=tmp_path / "hour.bin")
    assert [p.rule for p in bad.problems] == ["real events"]
    assert "too many on the last hour of the city" in bad.problems[0].message


def calls(n: int) -> EventBatch:
    """Calls of this minute."""
    city = TinyCity()
    kind = city.vocabulary.types["call.offered"]
    return random_events(city, kind, n, np.random.default_rng(9), span_ms=60_000, prefix="now")


def offered(engine: Engine) -> int:
    """Calls that the window of an hour holds in the city."""
    ledger = engine.ledgers["call"]
    since = (engine.now // 60_000 - 59) * 60_000
    return int(((ledger.time.data >= since) & (ledger.move.data == 0)).sum())
