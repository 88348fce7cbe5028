"""Real readings through the real command: the official hours of ten stations, 50 of 50."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from citytwin.twin.pack import load_city

#: Minutes of a city, in processes of their own: too long for `make check`.
pytestmark = pytest.mark.slow

FILE = Path(__file__).parents[1] / "data" / "air_quality_20190718.csv"
CHINA = timezone(timedelta(hours=8))
POLLUTANTS = 6
Values = dict[tuple[str, int], dict[str, Any]]


def replay(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`citytwin replay` of the file in a process of its own."""
    command = [sys.executable, "-c", "from citytwin.cli import main; main()", "replay", str(FILE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=300)


def official() -> list[dict[str, str]]:
    with FILE.open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def ms(row: dict[str, str]) -> int:
    return int(datetime.fromisoformat(row["TimePoint"]).replace(tzinfo=CHINA).timestamp() * 1000)


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    """What the command wrote, by scope code and time."""
    folder = tmp_path_factory.mktemp("replay")
    options = ("--city", "wuhan", "--mapping", "air_quality", "--values", "hours.csv", "--every", "1h")
    done = replay(folder, *options, "--indicator", "aqi_hourly")
    assert done.returncode == 0, done.stderr
    assert "50 rows, 293 events of 2019-07-18T04:00:00Z to 2019-07-18T08:00:00Z" in done.stdout
    assert "293 accepted, 0 duplicates, 0 rejected" in done.stdout
    with (folder / "hours.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert f"{len(rows)} values in hours.csv" in done.stdout
    assert {r["indicator"] for r in rows} == {"aqi_hourly"}
    return {(r["scope"], int(r["at_ms"])): r for r in rows}


def grids() -> dict[str, str]:
    """The grid of each station: it has no other station, so that the grid's index is the station's own."""
    city = load_city("wuhan")
    rows = {r["StationCode"]: city.entities.row(r["StationCode"]) for r in official()}
    assert min(rows.values()) >= 0, "the pack has all ten stations"
    found = {code: city.scopes.code[int(city.entities.scope[row])] for code, row in rows.items()}
    assert len(set(found.values())) == len(found) == 10
    return found


def test_the_official_hours_come_out_of_the_command(values: Values) -> None:
    grid, wrong = grids(), []
    for row in official():
        found = values[grid[row["StationCode"]], ms(row)]
        detail = json.loads(found["detail"])
        seen = (float(found["value"]), set(detail["primary"]["zh"]), detail["class"]["zh"], detail["edition"])
        told = (float(row["AQI"]), set(filter(None, row["PrimaryPollutant"].split(","))), row["Quality"])
        if seen != (*told, "HJ 633-2012"):
            wrong.append((row["StationCode"], row["TimePoint"], seen, told))
        assert (found["level"], int(found["expected"])) == ("grid", POLLUTANTS), "one station's six pollutants"
    assert len(official()) == 50
    assert not wrong


def test_marks_are_the_full_hours_and_the_end(values: Values) -> None:
    times = sorted({at for _, at in values})
    hours = sorted({ms(r) for r in official()})
    assert times == [*hours, hours[-1] + 60_000]
    city = {at: float(values["420100", at]["value"]) for at in times}
    assert all(v > 0 for v in city.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--every", "1h"), "say what --values FILE is to hold"),
        (("--values", "v.csv", "--every", "30s"), "30s is less than a minute"),
        (("--values", "v.csv", "--every", "hourly"), "'hourly' is no duration"),
        (("--values", "v.csv", "--indicator", "aqi_hurly", "--city", "new_york"), "there is no indicator aqi_hurly"),
        (("--values", "no/v.csv", "--city", "new_york"), "No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = replay(tmp_path, "--mapping", "air_quality", *arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
