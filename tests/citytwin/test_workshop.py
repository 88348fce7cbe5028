"""The workshop of a running city: saved files come in, bad ones are told or switched off, ticks and others go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citytwin.app import Node
from citytwin.asof import PastCity, Supply
from citytwin.clock import ManualClock
from citytwin.config import City, Config
from citytwin.config import Engine as EngineSettings
from citytwin.config import Workshop as Settings
from citytwin.models.frame import Frame, Quality
from citytwin.plugins import base, plugin_files
from citytwin.streams.log import Definition, StoreUnavailable
from citytwin.testing import START_MS, TinyCity, random_events
from citytwin.trial import Verdict, check_text
from tests.citytwin.bad_plugins import CAUGHT, GOOD, HOG, LOOP, NOTHING, OTHERS, RAISES, SHAPE, function
from tests.conftest import Figure

READER = GOOD.replace("good.calls", "good.twice").replace('count("call.offered")', 'ind("good.calls")')


def passes(file: str, text: str, *_: Any, **__: Any) -> Verdict:
    """A check that finds nothing wrong, as if the file had found a way around it."""
    from citytwin.indicators.loading import load_text

    return Verdict(ids=list(load_text(file, text).ids))


class Town:
    """A node over the tiny city with a folder of plugins; time is moved by hand."""

    def __init__(self, folder: Path, **workshop: Any) -> None:
        self.folder, self.plugins = folder / "data", folder / "plugins"
        self.plugins.mkdir(exist_ok=True)
        given = Settings(**({"watch": False, "call_seconds": 0.3, "check_seconds": 20} | workshop))
        city = City(plugins=str(self.plugins))
        self.config = Config(city=city, engine=EngineSettings(health=False), workshop=given)
        self.now, self.sent = START_MS, 0
        self.node: Node
        self.open()

    def open(self) -> None:
        """Start, or start again."""
        load: Any = TinyCity
        self.node = Node(self.config, folder=self.folder, load=load, clock=ManualClock(self.now))
        self.node.start(live=False)
        self.now = max(self.now, self.node.engine.now)

    def save(self, name: str, text: str) -> None:
        """Save a file, a good while ago."""
        path = self.plugins / name
        path.write_text(text, "utf-8")
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 10_000_000_000 + self.sent))
        self.sent += 1

    def look(self, *, check: Callable[..., Verdict] = check_text) -> None:
        """The folder is looked at."""
        assert self.node.plugins is not None
        self.node.plugins._check = check
        self.node.plugins.look()

    def tick(self, seconds: int = 60) -> Frame:
        """Some calls, and a tick."""
        city, kind = TinyCity(), self.node.engine.vocabulary.types["call.offered"]
        rng = np.random.default_rng(self.sent)
        self.sent += 1
        self.now += seconds * 1000
        batch = random_events(city, kind, 20, rng, span_ms=30_000, prefix=f"c{self.sent}-")
        batch.time[:] += self.now - START_MS
        self.node.runtime.submit([batch]).result(20)
        return self.node.runtime.advance(self.now).result(60)

    def value(self, id: str) -> float:
        """The city's value."""
        return float(self.node.engine.board.lines[id].value[0])

    def state(self, id: str) -> dict[str, Any]:
        """What the workshop knows of an indicator."""
        return next(s for s in self.node.workshop.state() if s["id"] == id)

    def file(self, name: str) -> dict[str, Any]:
        """What it knows of a file."""
        return next(f for f in self.node.workshop.files() if f["file"] == name)

    def again(self) -> None:
        """Stop and start."""
        self.node.close()
        self.open()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A town that has ticked once."""
    made = Town(tmp_path)
    made.tick()
    yield made
    made.node.close()


def test_a_saved_file_is_checked_on_the_last_hour_and_comes_in_with_its_history(town: Town, figure: Figure) -> None:
    for _ in range(3):
        town.tick()
    town.save("good.py", GOOD)
    town.look()
    assert town.file("good.py")["status"] == "in force"
    assert town.file("good.py")["notes"] == ("good.calls: 80 events of the last hour give 11 values at 11 scopes",)
    frame = town.tick()
    assert town.value("good.calls") == 100, "those before it came, too"
    assert len(frame.values["good.calls"].rows) == len(town.node.engine.scopes)
    state = town.state("good.calls")
    assert (state["origin"], state["error"], state["quarantined"]) == ("file good.py", "", False)
    assert state["checked_at"] == START_MS
    assert state["bytes"] > 0
    assert state["cost_us"] > 0
    figure("cost of a small plugin a tick", state["cost_us"], "us")


def test_an_edit_shows_before_and_after(town: Town) -> None:
    town.save("good.py", GOOD)
    town.look(check=passes)
    town.tick()
    before = town.value("good.calls")
    town.save("good.py", GOOD.replace("return n", "return 2 * n"))
    town.look(check=passes)
    assert town.node.workshop.edits()[0]["after"] == {}
    town.tick()
    edit, first = town.node.workshop.edits()[:2]
    assert edit["scopes"][0] == "420100"
    assert edit["before"]["good.calls"][0] == before
    assert edit["after"]["good.calls"][0] == town.value("good.calls") == 2 * (before + 20)
    assert (edit["replaced"], edit["version"]) == (first["version"], town.state("good.calls")["version"])
    assert first["before"] == {}
    for k in range(30):
        town.save("good.py", GOOD.replace("return n", f"return n * {k + 3}"))
        town.look(check=passes)
    assert len(town.node.workshop.edits()) == 20


def test_a_failing_save_keeps_the_old_one(town: Town) -> None:
    town.save("good.py", GOOD)
    town.look(check=passes)
    town.save("good.py", GOOD.replace("return n", "return n +"))
    town.look()
    town.tick()
    assert town.value("good.calls") == 40
    file, state = town.file("good.py"), town.state("good.calls")
    assert file["status"] == "refused"
    assert file["in_force"] == state["version"] != file["version"]
    assert "SyntaxError while it was loaded in line 12: invalid syntax" in file["problems"][0]
    assert "what was in force before stays" in state["note"]
    news = town.node.workshop.edits()[0]
    assert (news["kind"], news["id"]) == ("refused", "good.calls")
    town.look()
    assert town.node.workshop.edits()[0] == news, "told once"
    town.save("good.py", GOOD)
    town.look()
    assert town.file("good.py")["status"] == "in force", "as it was: nothing to check"


def test_a_file_that_is_gone_is_taken_out(town: Town) -> None:
    town.save("good.py", GOOD)
    town.look(check=passes)
    town.tick()
    (town.plugins / "good.py").unlink()
    town.look()
    assert "good.calls" in town.node.engine.board.lines, "an editor may be putting another in its place"
    town.look()
    assert "good.calls" not in town.node.engine.registry
    assert town.node.workshop.files() == []
    news = town.node.workshop.edits()[0]
    assert (news["kind"], news["before"]["420100"]) == ("removed", 40)
    town.tick()


def test_what_is_read_by_others_stays(town: Town) -> None:
    town.save("twice.py", READER.replace("return n", "return 2 * n"))
    town.save("good.py", GOOD)
    town.look(check=passes)
    assert town.file("twice.py")["status"] == "in force", "what it reads came first"
    (town.plugins / "good.py").unlink()
    town.look()
    town.look()
    assert "good.twice reads the indicator 'good.calls'" in town.file("good.py")["problems"][0]
    town.tick()
    assert town.value("good.twice") == 2 * town.value("good.calls")
    town.save("good.py", GOOD.replace("good.calls", "good.other"))
    town.look(check=passes)
    assert "take out what reads it first" in town.file("good.py")["problems"][0]
    (town.plugins / "twice.py").unlink()
    town.look()
    town.look(check=passes)
    assert "good.other" in town.node.engine.registry, "it fits now"
    assert town.file("good.py")["status"] == "in force"


@pytest.mark.slow
def test_one_that_reads_what_is_not_there_waits_for_it(town: Town) -> None:
    town.save("twice.py", READER)
    town.look()
    assert "which does not exist" in town.file("twice.py")["problems"][0]
    town.save("good.py", GOOD)
    town.look(check=passes)
    town.look()
    assert town.file("twice.py")["status"] == "in force"


def test_a_renamed_file_takes_over(town: Town) -> None:
    town.save("good.py", GOOD)
    town.look(check=passes)
    (town.plugins / "good.py").rename(town.plugins / "better.py")
    for _ in range(3):
        town.look(check=passes)
    assert [f["file"] for f in town.node.workshop.files()] == ["better.py"]
    town.tick()
    assert town.value("good.calls") == 40


def test_the_folder_may_be_gone_for_a_while(town: Town) -> None:
    town.save("good.py", GOOD)
    town.look(check=passes)
    town.plugins.rename(town.plugins.with_name("away"))
    town.look()
    town.look()
    assert "is gone; what is in force stays" in town.file("good.py")["problems"][0]
    town.tick()
    assert town.value("good.calls") == 40
    town.plugins.with_name("away").rename(town.plugins)
    town.look(check=passes)
    assert town.file("good.py")["status"] == "in force"


def test_a_file_of_the_future_comes_in_at_the_second_look(town: Town) -> None:
    """A clock that is ahead must not keep it waiting for ever; what is being written may."""
    path = town.plugins / "good.py"
    path.write_text(GOOD, "utf-8")
    os.utime(path, (4e9, 4e9))
    town.look(check=passes)
    assert "good.calls" not in town.node.engine.registry
    town.look(check=passes)
    assert "good.calls" in town.node.engine.registry


def test_too_many_files_and_odd_names_are_told(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("citytwin.folder.FILES_MAX", 2)
    for name in ("a.py", "b.py", "c.py"):
        town.save(name, GOOD.replace("good.calls", f"good.{name[0]}"))
    town.look(check=passes)
    assert "at most 200 files" in town.file("c.py")["problems"][0]
    assert town.file("b.py")["status"] == "in force"
    (town.plugins / "a.py").rename(town.plugins / "a\tb.py")
    town.look()
    town.look()
    assert "is no name for a file of indicators" in town.file("a\tb.py")["problems"][0]
    town.look(check=passes)
    assert town.file("c.py")["status"] == "refused", "two are there still"


# What got past the check.


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("loop", LOOP, "takes more than 0.3 s of a processor in one tick"),
        ("raises", RAISES, "ValueError: boom"),
        ("shape", SHAPE, "the formula gives shape (3,)"),
        ("hog", function("hog", "held = []\nwhile len(n) > 1:\n    held.append(np.ones(1 << 19))"), "takes more"),
        ("waits", function("waits", "Event().wait(2 * (len(n) > 1))", "from threading import Event"), "tick waiting"),
    ],
)  # fmt: skip
def test_a_bad_one_is_switched_off_and_the_city_goes_on(town: Town, name: str, text: str, words: str) -> None:
    town.save("good.py", GOOD)
    town.save(f"{name}.py", text)
    town.look(check=passes)
    frames = [town.tick() for _ in range(3)]
    bad = f"bad.{name}"
    assert words in frames[0].sys["errors"][bad]
    assert [f.k for f in frames] == list(range(frames[0].k, frames[0].k + 3)), "no tick is missing"
    assert town.value("good.calls") == 80, "others go on"
    assert town.value("hotline_answer_rate") == 0
    assert set(frames[0].values[bad].quality.tolist()) == {int(Quality.ERROR)}
    assert bad not in frames[2].values, "told once"
    state = town.state(bad)
    assert state["quarantined"]
    assert words in state["error"]
    news = town.node.workshop.edits()[0]
    assert (news["kind"], news["id"]) == ("quarantined", bad)
    town.save(f"{name}.py", GOOD.replace("good.calls", bad))
    town.look(check=passes)
    town.tick()
    assert (town.state(bad)["quarantined"], town.value(bad)) == (False, 100)


def test_one_that_is_slow_tick_after_tick_is_switched_off(tmp_path: Path) -> None:
    town = Town(tmp_path, average_ms=20, slow_ticks=3, call_seconds=10)
    try:
        text = function("slow", "return n + 0 * sum(1 for _ in range(1_500_000 * (len(n) > 1)))")
        town.save("slow.py", text)
        town.save("good.py", GOOD)
        town.look(check=passes)
        frames = [town.tick() for _ in range(6)]
        assert "bad.slow" not in frames[1].sys["errors"]
        assert "ms a tick on average, the budget is 20" in frames[-1].sys["errors"]["bad.slow"]
        assert town.value("good.calls") == 120
        assert not town.node.engine.board.lines["case_backlog"].off, "built-in ones are only shown"
        town.node.workshop.release("bad.slow")
        town.tick()
        assert town.value("bad.slow") == 140
    finally:
        town.node.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loop", "raises", "shape", "nothing", "others", "hog"])
def test_the_check_keeps_the_bad_ones_out(town: Town, name: str) -> None:
    texts = {"loop": LOOP, "raises": RAISES, "shape": SHAPE, "nothing": NOTHING, "others": OTHERS, "hog": HOG}
    town.node.config.workshop.check_seconds = 4 if name == "loop" else 8
    town.save(f"{name}.py", texts[name])
    town.look()
    assert CAUGHT[name][1] in town.file(f"{name}.py")["problems"][0]
    assert f"bad.{name}" not in town.node.engine.registry
    assert town.state(f"bad.{name}")["error"] == town.file(f"{name}.py")["problems"][0]
    assert town.value("hotline_answer_rate") == 0
    town.tick()


# A restart.


def definitions(town: Town) -> list[str]:
    """What the log was told of plugins."""
    found = [r for _, r in town.node.log.read() if isinstance(r, Definition) and r.name != "definitions"]
    return [f"{r.name} {r.document.get('file') or r.document.get('indicator')}" for r in found]


@pytest.mark.slow
@pytest.mark.parametrize("from_snapshot", [True, False])
def test_a_restart_comes_back_to_what_was_in_force(town: Town, from_snapshot: bool) -> None:
    town.save("good.py", GOOD)
    town.save("loop.py", LOOP)
    town.look(check=passes)
    for _ in range(3):
        town.tick()
    expected = town.node.engine.frame_hash(), town.node.engine.state_hash()
    told = definitions(town)
    assert told == ["plugin good.py", "plugin loop.py", "switch bad.loop"]
    town.node.close()
    if not from_snapshot:
        for file in (town.folder / "snapshots").iterdir():
            file.unlink()
    town.open()
    assert (town.node.recovered.snapshot > 0) is from_snapshot
    assert (town.node.engine.frame_hash(), town.node.engine.state_hash()) == expected
    assert definitions(town) == told, "nothing was changed, so nothing is told"
    assert town.state("bad.loop")["quarantined"]
    assert town.state("good.calls")["checked_at"] == START_MS
    town.tick()
    assert town.value("good.calls") == 100


def test_what_was_saved_meanwhile_comes_in_at_the_start(town: Town) -> None:
    town.save("good.py", GOOD)
    town.look(check=passes)
    town.tick()
    town.node.close()
    town.save("good.py", GOOD.replace("return n", "return 2 * n").replace('"gives": 1}', '"gives": 2}'))
    town.open()
    assert town.file("good.py")["status"] == "in force"
    town.tick()
    assert town.value("good.calls") == 2 * 60
    assert definitions(town) == ["plugin good.py", "plugin good.py"]


def test_without_the_setting_the_files_are_out(town: Town) -> None:
    town.save("good.py", GOOD)
    town.save("twice.py", READER)
    town.look(check=passes)
    town.node.close()
    town.config.city.plugins = ""
    town.open()
    assert "good.calls" not in town.node.engine.registry
    assert town.node.engine.annexes.by_file == {}


def test_a_log_that_takes_nothing_changes_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.save("good.py", GOOD)
    append = town.node.log.append

    def full(records: Any) -> list[int]:
        if any(isinstance(r, Definition) for r in records):
            raise StoreUnavailable("the disk is full")
        return append(records)

    monkeypatch.setattr(town.node.log, "append", full)
    with pytest.raises(Exception, match="the disk is full"):
        town.look(check=passes)
    assert "good.calls" not in town.node.engine.registry
    monkeypatch.setattr(town.node.log, "append", append)
    town.look(check=passes)
    assert "good.calls" in town.node.engine.registry


@pytest.mark.slow
def test_the_thread_looks_by_itself(tmp_path: Path) -> None:
    town = Town(tmp_path, watch=True)
    try:
        town.tick()
        town.save("good.py", GOOD)
        for _ in range(600):
            if "good.calls" in town.node.engine.registry:
                break
            town.node.first_frame.wait(0.1)
            town.node.plugins._stop.wait(0.1)  # type: ignore[union-attr]
        assert "good.calls" in town.node.engine.registry
    finally:
        town.node.close()


def test_a_swap_is_quick(town: Town, figure: Figure) -> None:
    import time

    city, kind = TinyCity(), town.node.engine.vocabulary.types["obs"]
    batch = random_events(city, kind, 200_000, np.random.default_rng(3), properties=["rain.depth"], prefix="o")
    town.node.runtime.submit([batch]).result(60)
    town.tick()
    town.save("rain.py", GOOD.replace('"call.offered"', '"obs", where=col.value > 3'))
    started = time.perf_counter()
    town.look(check=passes)
    figure("swap with 200,000 readings to count in, the engine waits so long", time.perf_counter() - started, "s")
    assert len(plugin_files(town.plugins)) == 1
    town.tick()
    assert town.value("good.calls") > 50_000


def test_the_past_is_told_by_what_is_in_force_now(town: Town) -> None:
    """From a snapshot of before the swap, and from the beginning."""
    ticks = [(f.now, f.position) for f in (town.tick() for _ in range(2))]
    keeper = town.node.runtime.keeper
    assert keeper is not None
    town.node.runtime.call(lambda: keeper.offer(town.node.engine.snapshot)).result(20)
    keeper.wait()
    ticks.append((town.tick().now, town.node.runtime.position))
    town.save("good.py", GOOD)
    town.look(check=passes)
    last = town.tick()
    texts = {"good.py": GOOD}
    load: Any = TinyCity
    past = PastCity(town.folder, Supply(load, lambda: base()[0], texts))
    for (now, position), value, snapshot in ((ticks[0], 40, False), (ticks[2], 80, True)):
        past.engine = None
        past.go(position)
        assert (past.snapshots.positions()[0] <= position) is snapshot
        told, _, differ, found = past.answer("values", "good.calls", {})
        assert (told, differ) == (now, True)
        assert found.value[0] == value
    past.go(last.position)
    assert past.answer("values", "good.calls", {})[2] is False, "by then it was what it is now"
