"""The benchmark runs, says what it must, and its engine and plain loop hold the same totals."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from citytwin.bench import main
from citytwin.bench.baselines import differences, run_plain
from citytwin.bench.job import FORMATS, START_MS, Job, bodies, prepare, readings
from citytwin.bench.plain import NAMES
from citytwin.bench.town import BenchCity
from citytwin.bench.whole import measure

JOB = Job(events=12_000, devices=600, seconds=80)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.mark.parametrize("form", FORMATS)
def test_engine_and_plain_loop_hold_the_same_totals(form: str, folder: Path) -> None:
    files, city = prepare(JOB, folder), BenchCity(JOB.devices, n_cells=100)
    result, engine = measure(form, bodies(files[form]), city, folder)
    plain, _, lines = run_plain(bodies(files["ndjson"]), city)
    assert (result.rows, result.accepted) == (lines, plain.accepted)
    assert result.accepted + result.refused == JOB.events
    assert differences(plain, engine, city) == []


def test_many_cells_over_many_minutes(folder: Path) -> None:
    """Enough panes that those out of reach are forgotten while windows still move."""
    job, city = Job(events=60_000, devices=4_000, seconds=250), BenchCity(4_000)
    files = prepare(job, folder, ("ndjson",))
    _, engine = measure("ndjson", bodies(files["ndjson"]), city, folder)
    plain, _, _ = run_plain(bodies(files["ndjson"]), city)
    assert differences(plain, engine, city) == []


def test_a_lost_event_is_noticed(folder: Path) -> None:
    files, city = prepare(JOB, folder), BenchCity(JOB.devices, n_cells=100)
    _, engine = measure("ndjson", itertools.islice(bodies(files["ndjson"]), 10), city, folder)
    short = [b if i else b[b.index(b"\n") + 1 :] for i, b in enumerate(itertools.islice(bodies(files["ndjson"]), 10))]
    plain, _, _ = run_plain(short, city)
    assert differences(plain, engine, city)


def test_the_job_is_as_it_is_described() -> None:
    r = readings(Job(events=50_000, devices=1_000, seconds=100))
    late = r.time < START_MS + r.second * 1000
    assert 0.002 < (r.flaw > 0).mean() < 0.008
    assert 0.04 < late.mean() < 0.06
    moving = r.device >= 800
    assert len(set(zip(r.device[~moving].tolist(), r.lon[~moving].tolist(), strict=True))) <= 800
    assert len(NAMES) == 20


def test_a_smoke_run_writes_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "bench.json"
    assert main(["--quick", "--only", "whole", "--only", "devices", "--folder", str(folder), "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    names = {f["name"] for f in found}
    assert {
        "plain Python loop",
        "ndjson: events per second of a core",
        "arrow: tick",
        "restart with 5000 devices",
    } <= names
    assert all(set(f) == {"name", "value", "unit", "ratio", "command"} for f in found)
    assert "plain Python loop" in capsys.readouterr().out
