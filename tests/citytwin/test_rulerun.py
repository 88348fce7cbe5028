"""Rehearsal: a draft fires on the log as the live engine did, is counted, and a bad one is refused with a reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from citytwin import desking
from citytwin.asof import Supply
from citytwin.commands.rules import command
from citytwin.engine import Engine
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.models.desk.event import Draft
from citytwin.models.desk.ruletoml import parse_rules
from citytwin.rulerun import OPERATOR_MINUTES, CannotRehearse, Rehearsed, rehearse
from citytwin.streams.log import Events, Record, SqliteLog, Tick
from citytwin.streams.simulator.run import Simulator
from citytwin.testing import START_MS
from citytwin.twin.pack import CITIES, City, load_city
from tests.conftest import Figure, proving

MINUTES = 60 if proving() else 12
_RULES = CITIES / "wuhan" / "rules"
_TEXT = "\n".join(p.read_text("utf-8") for p in sorted(_RULES.glob("*.toml")))
_PROPERTIES = ("waterlog.depth", "rain.depth", "gas.ch4_lel", "gas.safe", "manhole.open", "manhole.tilt")
_TYPES = ("case.reported", "alarm.sos", "alarm.contacted", "emergency.received", "device.status")


def registry() -> Registry:
    """The indicators that the rules of the city read."""
    return Registry([s for s in builtin() if s.id in re.findall(r'^indicator = "(\w+)"', _TEXT, re.MULTILINE)])


def without_rules() -> City:
    """The pack, as if it brought none."""
    city = load_city("wuhan")
    city.rules = []
    return city


def some(batch: EventBatch) -> EventBatch:
    """What of a simulated batch the rules look at."""
    if batch.type == "obs":
        column = batch.fields["property"]
        return batch.take(np.isin(np.array([*column.names, ""])[column.codes], _PROPERTIES))  # type: ignore[union-attr]
    return batch.take(np.full(len(batch), batch.type in _TYPES))


def live(folder: Path) -> list[Draft]:
    """A city that lives for some minutes: its log in the folder, and what its rules said."""
    city = load_city("wuhan")
    engine, simulator = Engine(city, registry()), Simulator(load_city("wuhan"), 3, START_MS)
    said: list[Draft] = []
    assert not city.problems
    assert not engine.troubles, "every rule of the city can be put in force"
    with SqliteLog(folder / "log.db") as log:

        def do(record: Record) -> None:
            (at,) = log.append([record])
            if isinstance(record, Events):
                engine.feed(record.batch, at)
            elif isinstance(record, Tick):
                engine.tick(record.now, at)

        for step in range(MINUTES * 2):
            now = START_MS + (step + 1) * 30_000
            for batch in filter(len, map(some, simulator.step(now))):
                do(Events(batch))
            do(Tick(now))
            assert engine.rules is not None
            said += engine.rules.said
            for batch in desking.batches(engine):
                do(Events(batch))
    return said


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Draft]]:
    """A folder with a log, and what was said live."""
    folder = tmp_path_factory.mktemp("lived")
    return folder, live(folder)


@pytest.fixture(scope="module")
def rehearsed(lived: tuple[Path, list[Draft]]) -> Rehearsed:
    """The rules of the city, rehearsed on its log as if it had none."""
    return rehearse(lived[0], Supply(without_rules, registry), parse_rules(_TEXT))


def test_a_rehearsal_fires_as_the_live_engine_did(
    lived: tuple[Path, list[Draft]], rehearsed: Rehearsed, figure: Figure
) -> None:
    assert list(map(repr, rehearsed.draft)) == list(map(repr, lived[1]))
    assert {d.fields["rule"] for d in rehearsed.raised} >= {"flood.waterlog", "flood.depth", "flood.rising", "gas.leak"}
    assert rehearsed.in_force == []
    assert rehearsed.overlap() == (0, {})
    figure("rules rehearsed as live, drafts", len(rehearsed.draft), "drafts")


def test_the_figures_of_a_report(rehearsed: Rehearsed) -> None:
    report = rehearsed.report()
    days = (report["until"] - report["since"]) / 86_400_000
    assert report["alarms"] == sum(report["by_rule"].values()) == len(rehearsed.raised) > 0
    assert report["alarms_per_day"] == pytest.approx(report["alarms"] / days, rel=0.01)
    by_hand = 0.0
    for draft in rehearsed.raised:
        by_hand += 0 if draft.fields["notice"] else OPERATOR_MINUTES[draft.fields["priority"]]
    assert report["operator_minutes"] == by_hand > 0
    assert report["top"][0]["name"]["zh"]
    assert [p["alarms"] for p in report["top"]] == sorted((p["alarms"] for p in report["top"]), reverse=True)


DRAFT = next(text for text in _TEXT.split("[[rule]]") if 'id = "flood.depth"' in text)


def test_a_draft_beside_the_rules_in_force_overlaps_them(lived: tuple[Path, list[Draft]], tmp_path: Path) -> None:
    file = tmp_path / "draft.toml"
    file.write_text(f"[[rule]]{DRAFT.replace('flood.depth', 'deep')}")
    since = START_MS + 60_000
    until = START_MS + MINUTES * 55_000
    arguments = ["rehearse", str(file), "--data", str(lived[0]), "--json", "--city", "wuhan"]
    done = CliRunner().invoke(
        command, [*arguments, "--from", iso(since), "--to", iso(until)], catch_exceptions=False, standalone_mode=False
    )
    told = json.loads(done.output)
    there = [d for d in lived[1] if d.type == "alarm.raised" and since <= d.time < until]
    assert told["alarms"] == sum(d.fields["rule"] == "flood.depth" for d in there) > 0
    assert told["overlap"] == told["alarms"]
    assert told["overlap_by_rule"]["flood.depth"] >= told["alarms"]
    assert all(since <= alarm["time"] < until for alarm in told["raised"])
    assert (told["since"], told["until"]) == (since, until)


def iso(ms: int) -> str:
    """A time as people write it."""
    return f"{np.datetime64(ms, 'ms')}+00:00"


@pytest.mark.parametrize(
    ("verb", "change", "word"),
    [
        ("check", ("priority = 2", "priority = 9"), "priority: a number from 1"),
        ("check", ("waterlog.depth", 'waterlog.depth" & "'), "when.where"),
        ("rehearse", ('type = "obs"', 'type = "nothing"'), "when.type: there is no event type nothing"),
    ],
)
def test_a_bad_draft_is_told(
    lived: tuple[Path, list[Draft]], tmp_path: Path, verb: str, change: tuple[str, str], word: str
) -> None:
    file = tmp_path / "draft.toml"
    assert change[0] in DRAFT
    file.write_text(f"[[rule]]{DRAFT.replace(*change)}")
    more = ["--data", str(lived[0])] if verb == "rehearse" else []
    done = CliRunner().invoke(command, [verb, str(file), *more], standalone_mode=False)
    assert done.return_value == 1
    assert done.output.startswith(str(file))
    assert word in done.output


def test_a_log_without_a_tick_cannot_be_rehearsed_on(tmp_path: Path) -> None:
    with SqliteLog(tmp_path / "log.db") as log:
        assert log.end >= 0
    with pytest.raises(CannotRehearse, match="no tick"):
        rehearse(tmp_path, Supply(without_rules, registry), [])
    done = CliRunner().invoke(command, ["rehearse", str(_RULES / "flood.toml"), "--data", str(tmp_path / "none")])
    assert "there is no log" in done.output
