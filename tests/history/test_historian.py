"""The historian: nobody waits for it, memory is bounded, one store that stumbles does not harm the other."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from citytwin.historian import Historian
from citytwin.metrics import HistoryMetrics
from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.models.columns import Coded
from citytwin.streams.history import Points, Rows, Standing
from citytwin.streams.parquet import ParquetStore
from tests.history.makers import T0, frame, sorted_rows, told, town


class Slow:
    """A store that waits in `write` until it may go on."""

    name = "slow"

    def __init__(self) -> None:
        self.standing, self.got = Standing(), list[Rows]()
        self.go, self.in_write, self.closed = threading.Event(), threading.Event(), False

    def write(self, rows: Rows) -> None:
        """Wait, then keep."""
        self.in_write.set()
        assert self.go.wait(30)
        self.got.append(rows)

    def read(self, indicator: str, scope: str, start: int, stop: int, step: int) -> Points:
        """Nothing."""
        return Points.none()

    def work(self) -> None:
        """Nothing is due."""

    def close(self) -> None:
        """Note it."""
        self.closed = True


def sample(metrics: HistoryMetrics, registry: CollectorRegistry, name: str, **labels: str) -> float:
    """One number of the metrics."""
    value = registry.get_sample_value(f"citytwin_history_{name}", labels)
    return -1.0 if value is None else float(value)


def test_frames_become_a_history(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    store = ParquetStore(tmp_path / "h")
    historian = Historian([store], town(), every_ms=0, metrics=HistoryMetrics(registry))
    historian.start()
    for n in range(5):
        historian.note(frame(T0 + n, {"a": {0: float(n), 1: 1.0}}))
    historian.note(frame(T0 + 5, {"a": {0: 99.0}}, provisional=True))
    historian.close()
    historian.close()
    assert told(historian.series("a", 0, T0, T0 + 9, 0)) == [(T0 + n, float(n)) for n in range(5)]
    assert told(historian.series("a", 1, T0, T0 + 9, 0)) == [(T0, 1.0)]
    assert sample(historian.metrics, registry, "rows_written", store="parquet") == 5 + 1 + 5
    assert sample(historian.metrics, registry, "ok", store="parquet") == 1
    assert sample(historian.metrics, registry, "newest_seconds") == (T0 + 4) / 1000


def test_beyond_the_bound_the_newest_values_stay_and_the_rest_is_counted() -> None:
    registry, slow = CollectorRegistry(), Slow()
    historian = Historian(
        [slow], town(), every_ms=0, queue_values=10, metrics=HistoryMetrics(registry), levels=(0, 1, 2, 3)
    )
    historian.start()
    historian.note(frame(T0, {"a": {0: 0.0}}))
    assert slow.in_write.wait(30)
    for n in range(1, 4001):
        historian.note(frame(T0 + n, {"a": {0: float(n), n % 4 + 1: float(n)}}))
    historian.note(frame(T0 + 5000, {"b": {0: 1.0}}))
    slow.go.set()
    historian.close()
    rows = sorted_rows(slow.got)
    of_city = [r for r in rows if r[1:3] == ("a", "42")]
    assert [r[3] for r in of_city] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 4000.0]
    assert of_city[-1][0] == T0 + 5000  # it has the time of the last frame that became one with it
    newest = {scope: value for _, id, scope, value in rows if id == "a"}
    assert newest == {"42": 4000.0, "4201": 4000.0, "4202": 3997.0, "420101001": 3998.0, "420101001001": 3999.0}
    kept = sum(r[1] == "a" for r in rows) + sum(r[1] == "b" for r in rows)
    assert sample(historian.metrics, registry, "dropped_total", where="queue") == 8002 - kept
    assert slow.closed


def test_a_store_that_raises_does_not_keep_rows_from_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Slow):
        name = "broken"

        def write(self, rows: Rows) -> None:
            raise RuntimeError("a bug")

    registry = CollectorRegistry()
    good = ParquetStore(tmp_path / "h")
    historian = Historian([Broken(), good], town(), every_ms=0, metrics=HistoryMetrics(registry))
    historian.start()
    historian.note(frame(T0, {"a": {0: 1.0}}))
    historian.close()
    assert told(good.read("a", "42", T0, T0 + 1, 0)) == [(T0, 1.0)]
    assert sample(historian.metrics, registry, "dropped_total", where="broken") == 2
    assert "the history broken stumbled" in caplog.text


def test_trouble_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    slow.go.set()
    historian = Historian([slow], town(), every_ms=0)
    slow.standing.trouble = "the disk is full"
    historian.start()
    for n in range(3):
        historian.note(frame(T0 + n, {"a": {0: 1.0 + n}}))
    historian.close()
    assert caplog.text.count("the disk is full") == 1
    assert historian.troubles() == {"slow": "the disk is full"}


def readings(retracted: int = -1) -> EventBatch:
    """Four readings: pressure in pascals, rain, another pressure without a number."""
    return EventBatch.of(
        "obs", [T0, T0 + 1, T0 + 2, T0 + 3], ["1", "2", "3", "4"], subject=["d1", "d1", "d2", "d3"],
        retracted=[i == retracted for i in range(4)],
        fields={
            "property": Coded.of(["water.pressure", "rain.depth", "water.pressure", "water.pressure"]),
            "value": np.array([250_000, 5, 300_000, -(2**63)], np.int64),
            "quality": Coded.of(["good", "good", "suspect", None]),
        },
    )  # fmt: skip


def test_readings_of_chosen_properties_are_kept(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path / "h")
    historian = Historian([store], town(), properties={"water.pressure": 1_000_000})
    historian.start()
    historian.readings(readings())
    historian.readings(EventBatch.of("call.offered", [T0], ["1"]))
    historian.close()
    assert told(historian.telemetry("water.pressure", "d1", T0, T0 + 9)) == [(T0, 0.25)]
    assert historian.telemetry("water.pressure", "d2", T0, T0 + 9).quality.tolist() == [2]
    assert told(historian.telemetry("water.pressure", "d3", T0, T0 + 9)) == [(T0 + 3, None)]
    assert told(historian.telemetry("rain.depth", "d1", T0, T0 + 9)) == []


def test_refused_and_retracted_readings_are_not(tmp_path: Path) -> None:
    historian = Historian([ParquetStore(tmp_path / "h")], town(), properties={"water.pressure": 1_000_000})
    refused = Changes(2, 0, 0, 0, (Rejection(2, "unknown_subject", "subject", "none"),))
    historian.readings(readings(retracted=0), refused)
    historian.close()
    assert [d for d in ("d1", "d2", "d3") if len(historian.telemetry("water.pressure", d, T0, T0 + 9).time)] == ["d3"]


def test_readings_beyond_the_bound_are_counted() -> None:
    registry, slow = CollectorRegistry(), Slow()
    slow.go.set()
    historian = Historian(
        [slow], town(), queue_values=5, properties={"rain.depth": 1, "water.pressure": 1},
        metrics=HistoryMetrics(registry),
    )  # fmt: skip
    historian.readings(readings())
    historian.readings(readings())
    historian.close()
    assert sample(historian.metrics, registry, "dropped_total", where="queue") == 4
    assert sum(map(len, slow.got)) == 4
