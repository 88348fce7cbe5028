"""An indicator of another package, installed beside CityTwin, over 4,969 real service requests of New York.

The real command finds it by its entry point; pandas counts the same from the same file.
"""

from __future__ import annotations

import csv
import gzip
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from citytwin.client import connect
from tests.conftest import Figure

FILE = Path(__file__).parents[1] / "data" / "service_requests_311.csv.gz"
ZONE = "America/New_York"
PLUGIN = '''
from citytwin.indicators.api import col, indicator, quantile

MINUTES = (col.closed_at - col.created_at) / 60_000


@indicator(
    "minutes_to_close", theme="livelihood", window="sliding 90d/1d", unit="min", better="down", levels="city district",
    decimals=3, name={"zh": "结案用时中位数", "en": "Median time to close"}, source="test", status="L", owner="hotline",
    meaning={"zh": "已结案请求的用时中位数", "en": "Median time to close of the requests that were closed"},
)
def minutes_to_close(q=quantile("case.history", MINUTES, 0.5, where=col.closed_at.known())):
    """Median of closing minus creation, by the sketch."""
    return q


INDICATORS = (minutes_to_close,)
'''


def install(folder: Path) -> Path:
    """Lay the package out as pip does: module, name and version, entry point."""
    facts = folder / "minutes_to_close-1.dist-info"
    facts.mkdir(parents=True)
    (folder / "minutes_to_close.py").write_text(PLUGIN, "utf-8")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: minutes-to-close\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[citytwin.indicators]\nminutes = minutes_to_close:INDICATORS\n")
    return folder


@dataclass
class Done:
    """What the replay said, what it wrote at the end, and the cases it serves."""

    said: list[str]
    values: dict[tuple[str, str], dict[str, str]]
    cases: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def requests() -> pd.DataFrame:
    """The file, its local times turned to UTC."""
    table = pd.read_csv(FILE, dtype=str, keep_default_na=False)
    for name in ("Created Date", "Closed Date"):
        naive = pd.to_datetime(table[name], format="%m/%d/%Y %H:%M")
        table[f"naive {name}"] = naive
        table[name] = naive.dt.tz_localize(ZONE, ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
    table["minutes"] = (table["Closed Date"] - table["Created Date"]).dt.total_seconds() / 60
    return table


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The command with the plugin on its path."""
    folder = tmp_path_factory.mktemp("requests")
    (folder / "requests.csv").write_bytes(gzip.decompress(FILE.read_bytes()))
    return run(folder)


def run(folder: Path) -> Done:
    """Replay, read the cases from the API, stop, read the values."""
    verb = ("replay", "requests.csv", "--city", "new_york", "--mapping", "service_requests_311")
    options = ("--values", "values.csv", "--serve", "--port", "0")
    command = [sys.executable, "-c", "from citytwin.cli import main; main()", *verb, *options]
    env = {**os.environ, "PYTHONPATH": str(install(folder / "site"))}
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = []
        for line in child.stdout:
            said.append(line.strip())
            if line.rstrip().endswith("values in values.csv"):
                break
        assert said[0].startswith("ready http://"), said
        with connect(said[0].split()[1], timeout=60) as city:
            cases = {c["code"]: c for c in city.cases()}
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    with (folder / "values.csv").open(encoding="utf-8", newline="") as file:
        return Done(said, {(r["indicator"], r["scope"]): r for r in csv.DictReader(file)}, cases)


def minutes(case: dict[str, Any]) -> float:
    """How long the case took."""
    return float(case["closed_at"] - case["reported_at"]) / 60_000


def test_every_request_is_a_case(done: Done, requests: pd.DataFrame) -> None:
    assert "4969 rows, 4969 events of 2025-01-01T15:54:00Z to 2025-03-14T05:20:00Z" in done.said[1]
    assert done.said[2] == "4969 accepted, 0 duplicates, 0 rejected"
    assert set(done.cases) == set(requests["Unique Key"])
    assert sum(c["state"] == "closed" for c in done.cases.values()) == 4692
    assert sum(c["open"] for c in done.cases.values()) == 277


def test_each_case_took_as_long_as_pandas_says(done: Done, requests: pd.DataFrame) -> None:
    for code, created, took in zip(requests["Unique Key"], requests["Created Date"], requests["minutes"], strict=True):
        case = done.cases[code]
        assert case["reported_at"] == created.timestamp() * 1000
        assert np.isnan(took) if case["closed_at"] is None else minutes(case) == took


def test_times_to_close_are_the_known_ones(done: Done) -> None:
    took = np.array([minutes(c) for c in done.cases.values() if c["closed_at"] is not None])
    assert len(took) == 4692
    assert np.median(took) == 269
    assert int((took == 0).sum()) == 309
    assert took.min() == 0
    assert took.max() // 60 == 684


def test_the_change_to_summer_time_is_seen(done: Done, requests: pd.DataFrame) -> None:
    """Local times subtracted as they stand are an hour off for 79 cases."""
    naive = (requests["naive Closed Date"] - requests["naive Created Date"]).dt.total_seconds() / 60
    took = [minutes(c) if (c := done.cases[k])["closed_at"] is not None else np.nan for k in requests["Unique Key"]]
    off = (naive - np.array(took)).dropna()
    assert off.value_counts().to_dict() == {0.0: 4613, 60.0: 79}


def test_the_sketch_is_within_a_hundredth(done: Done, requests: pd.DataFrame, figure: Figure) -> None:
    closed = requests[requests["minutes"].notna()]
    groups = {"NYC": closed, **{b: g for b, g in closed.groupby("Borough") if b != "Unspecified"}}
    assert len(groups) == 6
    for scope, rows in groups.items():
        exact = rows["minutes"].quantile(0.5, interpolation="lower")
        found = float(done.values["minutes_to_close", scope]["value"])
        assert found == pytest.approx(exact, rel=0.01), scope
    city = float(done.values["minutes_to_close", "NYC"]["value"])
    figure("median time to close of 4,692 requests by the sketch, exactly 269", city, "min")


def test_open_requests_of_each_borough_are_the_backlog(done: Done, requests: pd.DataFrame) -> None:
    still = requests[requests["Closed Date"].isna()]
    expected = {"NYC": len(still), **still["Borough"].value_counts().to_dict()}
    for scope, count in expected.items():
        assert float(done.values["case_backlog", scope]["value"]) == count
