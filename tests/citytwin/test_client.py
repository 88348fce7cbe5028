"""The Python client against a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from citytwin.client import CityError, Rows, connect
from citytwin.dashboards.access import Access
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.models.frame import Frame
from tests.dashboards.conftest import Running, running
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads, values

__all__ = ["running"]


def test_five_lines_in_a_notebook(running: Running) -> None:
    with connect(running.url) as city:
        assert [i["id"] for i in city.indicators()] == ["calls", "pressure"]
        rows = city.values("calls", level="district")
        assert [(r.code, r.value, r.quality, r.band) for r in rows] == [
            ("D0", 10.0, "good", ""), ("D1", 40.0, "good", ""), ("D2", 70.0, "good", "yellow"),
        ]  # fmt: skip
        frame = rows.to_frame()
        assert frame.set_index("code").loc["D2", "value"] == 70.0
        assert frame.attrs["at"] == 1_000_000


def test_reads(running: Running) -> None:
    with connect(running.url) as city:
        assert [e["code"] for e in city.entities("device")] == ["V0", "V1", "V2", "V3", "V4"]
        assert city.series("calls", start=5000) == [(5000, 1.5), (6000, None)]
        assert city.series("calls")[0][1] == 1.5
        assert city.scopes(level="district")[1]["code"] == "D1"
        assert city.search("区1")[0]["what"] == "scope"
        assert next(city.cases(open=True))["code"] == "K1"
        assert city.ingest([{"id": "1"}])["accepted"] == 1
        with pytest.raises(CityError, match="no indicator nope") as refused:
            city.values("nope")
        assert refused.value.status == 404


def test_watch_goes_on_after_a_restart(running: Running) -> None:
    with connect(running.url) as city:
        live = city.watch("calls", scope="D1", max_hz=20)
        first = next(live)
        assert [r.value for r in first["calls"]] == [40.0]
        running.web.gateway.publish(Frame(2, 2, 2, {"calls": values([4], [41.0])}))
        assert [r.value for r in next(live)] == [41.0]
        for connection in list(running.web.gateway.connections.values()):
            assert connection.transport is not None
            connection.transport.loop.call_soon_threadsafe(connection.transport.transport.abort)
        running.web.gateway.publish(Frame(3, 3, 3, {"calls": values([4], [42.0])}))
        assert [r.value for r in next(live)] == [42.0]
        assert running.web.hub.counts["resumed"] + running.web.hub.counts["snapshots"] >= 1
        live.close()  # type: ignore[attr-defined]


def test_follow_gives_each_entry_once(running: Running) -> None:
    with connect(running.url) as city:
        entries = city.follow("ticker")
        assert next(entries)["text"] == "first"
        for i in range(3):
            running.web.gateway.publish(Frame(i, i, i, ticker=({"t": i, "scope": 0},)))
        assert [next(entries)["t"] for _ in range(3)] == [0, 1, 2]
        entries.close()  # type: ignore[attr-defined]


@pytest.fixture
def guarded() -> Iterator[str]:
    parts = Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), access=Access(token="s3"))
    thread = ServerThread(Web(parts))
    yield f"http://127.0.0.1:{thread.start()}"
    thread.stop()


def test_token(guarded: str) -> None:
    with pytest.raises(CityError, match="Bearer"):
        connect(guarded)
    with connect(guarded, token="s3") as city:
        assert isinstance(next(city.watch("calls")), Rows)
        city.token = "wrong"
        with pytest.raises(CityError, match="token"):
            next(city.watch("calls"))


def test_wrong_requests(running: Running) -> None:
    with pytest.raises(ValueError, match="is no address"):
        connect("localhost")
    with connect(running.url) as city, pytest.raises(CityError, match="no scope"):
        next(city.watch("calls", scope="nowhere"))
    assert threading.active_count() < 20
