"""One log, one answer: batch sizes, hash seeds, snapshots and changed definitions leave every frame as it must be.

The log is that of a small town, three minutes before local midnight and three after, simulated: rain, calls, cases,
late, doubled and corrected readings; hour and day windows close in it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from citytwin.app import Node
from citytwin.config import Config
from citytwin.config import Engine as EngineSettings
from citytwin.engine import Engine
from citytwin.indicators.api import col, count, indicator, source_text
from citytwin.indicators.registry import Registry, builtin, installed
from citytwin.models.columns import Float64
from citytwin.snapshot import definitions
from citytwin.streams.log import Definition, Record, SqliteLog, Tick
from citytwin.streams.simulator import Simulator
from citytwin.twin.pack import load_city
from tests.citytwin.recount import Hashes, city, fresh, hashes
from tests.conftest import proving

#: Minutes of a city, in processes of their own: too long for `make check`.
pytestmark = pytest.mark.slow

MIDNIGHT = 1_795_017_600_000  # of 2026-11-19 in Wuhan
START, STEP, TICKS = MIDNIGHT - 180_000, 30_000, 12
KEPT = (2, 5, 6, 9)  # ticks after which a snapshot is taken; the sixth is at midnight
CONFIG = Config(engine=EngineSettings(health=False, snapshots=9))


@dataclass
class Run:
    """A city that ran and was closed: its folder, what it said at each tick, where its snapshots lie (not the last)."""

    folder: Path
    said: list[Hashes]
    positions: list[int]


def open_city(folder: Path, registry: Callable[[], Registry] = installed) -> Node:
    """The city of the folder."""
    return Node(CONFIG, folder=folder, load=city, registry=registry)


def live(node: Node, simulator: Simulator, until: int) -> Hashes:
    """Events up to a time, the tick, what the city says."""
    node.runtime.submit(simulator.step(until)).result()
    node.runtime.advance(until).result()
    engine = node.engine
    return node.runtime.call(lambda: (engine.now, engine.frame_hash(), engine.state_hash())).result()


def keep(node: Node) -> int:
    """Take a snapshot now and wait until it is written; its position."""
    keeper = node.runtime.keeper
    assert keeper is not None
    node.runtime.call(lambda: keeper.offer(node.engine.snapshot)).result()
    keeper.wait()
    return node.snapshots.positions()[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twelve ticks of the simulated city."""
    folder = tmp_path_factory.mktemp("run")
    with open_city(folder) as node:
        simulator = Simulator(city(), 7, START, speed=6.0, load=25.0)
        node.start(live=False)
        said, positions = [], []
        for k in range(1, TICKS + 1):
            said.append(live(node, simulator, START + k * STEP))
            if k in KEPT:
                positions.append(keep(node))
        assert node.engine.stats.accepted > 8_000
        stats = node.engine.stats
        assert min(stats.duplicates, stats.late) > 10
        assert stats.corrected > 3
    return Run(folder, said, positions)


def test_every_frame_is_another(run: Run) -> None:
    """What the tests below compare does change."""
    assert len({frame for _, frame, _ in run.said}) == TICKS
    assert [now for now, _, _ in run.said] == [START + k * STEP for k in range(1, TICKS + 1)]
    assert MIDNIGHT in {now for now, _, _ in run.said}


def test_hash_seeds_and_batch_sizes_leave_every_frame_equal(run: Run) -> None:
    """In processes of their own, from the beginning and from each snapshot; their definitions are ours too."""
    command = [sys.executable, "-m", "tests.citytwin.recount", str(run.folder)]
    root = Path(__file__).parents[2]
    children = [
        subprocess.Popen(
            [*command, size], cwd=root, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True
        )
        for seed, size in (("0", "0"), ("12345", "300"), ("1", "997"))[: 3 if proving() else 2]
    ]
    ours = definitions(city(), installed()), Engine(load_city("wuhan"), installed()).state_hash()
    for text in [child.communicate(timeout=300)[0] for child in children]:
        found = json.loads(text)
        assert (found.pop("definitions"), found.pop("pack")) == ours
        assert [tuple(h) for h in found.pop("0")] == run.said
        for k, position in zip(KEPT, run.positions, strict=True):
            assert [tuple(h) for h in found.pop(str(position))] == run.said[k:], position
        assert list(found.values()) == [[]], "the last snapshot is that of the end"


def copy(run: Run, target: Path, kept: set[int]) -> Path:
    """The folder as a crash would leave it: the log, and of the snapshots only these."""
    shutil.copytree(run.folder, target, ignore=shutil.ignore_patterns("*.lock"))
    for file in (target / "snapshots").iterdir():
        if int(file.stem.split("-")[1]) not in kept:
            file.unlink()
    return target


@pytest.mark.parametrize("which", [None, 0, 1, 2, 3])
def test_a_city_comes_back_from_any_snapshot_and_goes_on(run: Run, tmp_path: Path, which: int | None) -> None:
    position = 0 if which is None else run.positions[which]
    folder = copy(run, tmp_path / "city", {position})
    with open_city(folder) as node:
        assert node.recovered.snapshot == position
        assert node.recovered.position == node.log.end
        assert (node.engine.now, node.engine.frame_hash(), node.engine.state_hash()) == run.said[-1]
        assert written(node) == 1, "nothing was changed, so there is nothing to tell again"
        node.start(live=False)
        after = live(node, Simulator(city(), 8, START + TICKS * STEP), START + (TICKS + 2) * STEP)
    with SqliteLog(folder / "log.db", read_only=True) as log:
        assert hashes(fresh(), log)[-1] == after


def written(node: Node) -> int:
    """How many records of the log tell definitions."""
    return sum(isinstance(record, Definition) for _, record in node.log.read())


@indicator("low_pressure_share", theme="water", window="sliding 1h/1m", unit="%", levels="city district street grid")
def low_pressure_share(
    low: Float64 = count("obs", where=(col.property == "water.pressure") & (col.value < 0.2)),
    n: Float64 = count("obs", where=col.property == "water.pressure"),
) -> Float64:
    """Share of readings below 0.2 MPa."""
    return 100 * low / n


def doubled(**params: Float64) -> Float64:
    """Another formula over the same aggregates."""
    return 2 * next(iter(params.values()))


def more() -> Registry:
    """One indicator more."""
    return builtin().add([low_pressure_share])


def changed(id: str, **facts: Any) -> Registry:
    """One indicator with other facts."""
    return Registry([dataclasses.replace(s, **facts) if s.id == id else s for s in builtin()])


def formula() -> Registry:
    """Another formula."""
    return changed("case_backlog", formula=doubled, code_hash="another")


def threshold() -> Registry:
    """Other bands, which the score of the theme reads."""
    return changed("traffic_tti", bands={"yellow": 1.01, "red": 1.02})


def records(folder: Path) -> list[Record]:
    """The whole log."""
    with SqliteLog(folder / "log.db", read_only=True) as log:
        return [record for _, record in log.read()]


def counted(folder: Path, registry: Registry, size: int) -> Hashes:
    """What an engine says that has only ever known this registry."""
    with SqliteLog(folder / "log.db", read_only=True) as log:
        return hashes(fresh(registry), log, size)[-1]


def said(node: Node) -> Hashes:
    """What the city says now."""
    return node.engine.now, node.engine.frame_hash(), node.engine.state_hash()


@pytest.mark.parametrize("other", [more, formula, threshold])
def test_changed_definitions_count_the_log_again(run: Run, tmp_path: Path, other: Callable[[], Registry]) -> None:
    folder = copy(run, tmp_path / "city", set(run.positions))
    before = records(folder)
    with open_city(folder, other) as node:
        assert (node.recovered.snapshot, node.recovered.records) == (0, len(before))
        now, frame, state = said(node)
        assert (now, state) == (run.said[-1][0], run.said[-1][2]), "the twin is what it was"
        assert frame != run.said[-1][1], "the numbers are not"
        node.start(live=False)
        simulator = Simulator(city(), 8, START + TICKS * STEP)
        after = live(node, simulator, START + (TICKS + 1) * STEP)
    assert counted(run.folder, other(), 500) == (now, frame, state)
    assert counted(folder, other(), 700) == after
    note = records(folder)[len(before)]
    assert isinstance(note, Definition)
    assert note.document["indicators"] == other().hash()
    assert_source_is_kept(note, other())
    with open_city(folder, other) as node:
        assert node.recovered.records == 0, "its own snapshot is of use"
        assert said(node) == after
        assert written(node) == 2


def assert_source_is_kept(note: Definition, registry: Registry) -> None:
    """The record holds what was in force, to be read by who asks for it later."""
    assert set(note.document["sources"]) == {s.id for s in registry}
    kept = note.document["sources"]["water_pressure_compliance"]
    assert "def water_pressure_compliance" in kept["code"]
    assert kept["bands"] == dict(registry["water_pressure_compliance"].bands)


def test_old_definitions_bring_the_old_numbers_back(run: Run, tmp_path: Path) -> None:
    folder = copy(run, tmp_path / "city", set(run.positions))
    with open_city(folder, more) as node:
        assert said(node)[1] != run.said[-1][1]
    with open_city(folder) as node:
        assert node.recovered.snapshot == run.positions[-1], "a snapshot of the old definitions is of use again"
        assert said(node) == run.said[-1]
        assert written(node) == 3
        node.start(live=False)
        after = live(node, Simulator(city(), 8, START + TICKS * STEP), START + (TICKS + 1) * STEP)
    assert counted(folder, installed(), 200) == after
    hashes_told = [r.document["indicators"] for r in records(folder) if isinstance(r, Definition)]
    assert hashes_told == [installed().hash(), more().hash(), installed().hash()]
    assert sum(isinstance(r, Tick) for r in records(folder)) == TICKS + 1


def test_code_without_a_source_has_a_name_that_stays() -> None:
    """What was compiled from a text is not where it lies in memory, or each start would count the log again."""
    texts = []
    for formula in ("100 * a in {'x', 'y'}", "100 * a in {'x', 'y'}", "200 * a in {'x', 'y'}", "sum(2 for _ in a)"):
        made: dict[str, Any] = {"__name__": "plugin"}
        exec(f"def f(a):\n    return {formula}\nclass C:\n    def g(self, a):\n        return {formula}", made)
        texts.append((source_text(made["f"]), source_text(made["C"])))
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
    assert texts[0][0].startswith("plugin.f ")
    assert "0x" not in "".join(map(str, texts))
