"""History in the real InfluxDB: the same answers as from Parquet; nothing lost and order kept while it is away."""

from __future__ import annotations

import json
import resource
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from citytwin.cli import cli
from citytwin.historian import Historian
from citytwin.streams.history import HistoryError, Rows
from citytwin.streams.influx import InfluxStore, Server, batches, setup
from citytwin.streams.parquet import ParquetStore
from tests.conftest import Figure, proving
from tests.history.makers import HOUR, T0, beat, frame, rows, told, town
from tests.servers.influx import PASSWORD, USER, Influx
from tests.servers.process import until

MINUTE = 60_000
#: A server that is not there, and pauses for tests.
NOBODY, QUICK = Server("http://127.0.0.1:1"), (0.2, 1.0)


def reach(server: Influx, bucket: str, **given: Any) -> Server:
    """How the history reaches the test's server."""
    account = {"user": USER, "password": PASSWORD} if server.authority else {}
    return Server(server.url, bucket, ca_file=server.ca_file, **{"timeout_s": 20.0, **account, **given})


def drained(store: InfluxStore) -> Callable[[], bool]:
    """Whether all that waited is sent, after another try."""

    def look() -> bool:
        store.work()
        return not store.spool and not store.standing.waiting

    return look


def number(server: Influx, database: str, what: str) -> float:
    """One number that InfluxDB tells itself."""
    series = server.query(f"SELECT {what}", database)
    return float(series[0]["values"][0][1]) if series else 0.0


@pytest.mark.parametrize("kind", ["influx", "influx_tls"])
def test_it_answers_as_the_embedded_store_does(
    kind: str, prefix: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: Influx = request.getfixturevalue(kind)
    reached = reach(server, prefix)
    assert "keeps for ever" in setup(reached, 0)
    one, other = InfluxStore(reached, tmp_path / "spool"), ParquetStore(tmp_path / "h")
    odd = 'a, "b"=c\\'
    told_rows = [beat(T0, whole=True), rows((T0, "a", "42", 1.0), (T0, odd, "区 1,=x", 2.0), (T0, "a", "4201", 9.0))]
    for tick in range(1, 400):
        now = T0 + tick * 10_000
        if tick in (150, 151, 152, 153, 154, 155, 156, 157, 158, 159, 160, 161, 162):
            continue  # nobody watched for two minutes
        if tick % 7 == 0:
            value = float("nan") if tick % 5 == 0 else tick / 3
            told_rows.append(rows((now, "a", "42", value), (now, odd, "区 1,=x", -value)))
        told_rows.append(beat(now, whole=tick == 360))
    told_rows.append(rows((T0 + HOUR, "a", "42", 5.25), quality=2))
    for store in (one, other):
        for block in told_rows:
            store.write(block)
    one.flush()
    assert one.standing.errors == 0
    for indicator, scope in (("a", "42"), (odd, "区 1,=x"), ("a", "4201"), ("none", "42")):
        for start, stop in ((T0, T0 + 2 * HOUR), (T0 + 17 * MINUTE, T0 + 31 * MINUTE + 7)):
            for step in (0, MINUTE, 15 * MINUTE):
                mine, theirs = (s.read(indicator, scope, start, stop, step) for s in (one, other))
                assert told(mine) == told(theirs), (indicator, step)
                assert mine.quality.tolist() == theirs.quality.tolist()
    one.close()
    other.close()


class Load:
    """Frames of growing numbers into a historian, a hundred a second, until it is told to stop."""

    def __init__(self, historian: Historian) -> None:
        self.historian, self.frames = historian, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        #: Seconds that whoever gives the frames has waited, in all and at most.
        self.waited = self.slowest = 0.0

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            n = self.frames
            cells = {f"i{k}": {row: float(n) for row in range(5)} for k in range(20)}
            begun = time.perf_counter()
            self.historian.note(frame(T0 + n * 10, cells))
            took = time.perf_counter() - begun
            self.waited, self.slowest = self.waited + took, max(self.slowest, took)
            self.frames = n + 1


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_nothing_is_lost_while_the_server_is_away(
    how: str, influx: Influx, prefix: str, tmp_path: Path, figure: Figure
) -> None:
    away_s = 120.0 if proving() else 4.0
    influx.create(prefix)
    store = InfluxStore(reach(influx, prefix, timeout_s=1.0), tmp_path / "spool", batch=1_000, retry_s=QUICK)
    historian = Historian([store], town(), every_ms=0, levels=range(5), queue_values=500_000)
    historian.start()
    with closing(historian), Load(historian) as load:
        until(lambda: store.standing.written > 2_000, 30, "the first rows are written")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        getattr(influx, how)()
        begun, seen = time.monotonic(), load.frames
        until(lambda: time.monotonic() - begun > away_s and store.spool.rows > 1_000, away_s + 60, "rows are spilled")
        assert load.frames > seen + 50 * away_s / 4
        spilled = store.spool.size
        influx.mend()
        until(lambda: not store.spool and not store.standing.trouble, away_s + 120, "all is sent")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    assert not store.spool, "what the last second brought would be sent at the next start"
    assert store.standing.dropped == store.standing.refused == 0
    assert store.standing.errors > 0
    for k in (0, 19):
        assert number(influx, prefix, f'count("value") FROM "i{k}"') == 5 * load.frames
    assert number(influx, prefix, 'sum("value") FROM "i7" WHERE "scope" = \'42\'') == sum(range(load.frames))
    assert grown < 150, f"{grown:.0f} MB more memory"
    # a giver that waited for the server would have stood still for most of its absence
    assert load.waited < 0.1 * (time.monotonic() - begun)
    figure(f"history: longest call of the engine while InfluxDB was away ({how})", load.slowest * 1000, "ms")
    figure(f"history: rows spilled while InfluxDB was away ({how})", spilled / 2**20, "MB")
    figure(f"history: more memory while InfluxDB was away ({how})", grown, "MB")


def test_order_is_kept(influx: Influx, prefix: str, tmp_path: Path) -> None:
    """Many writes of one and the same point: the last one stays."""
    influx.create(prefix)
    store = InfluxStore(reach(influx, prefix), tmp_path / "spool", batch=10, retry_s=QUICK)
    n = 0

    def say(times: int) -> None:
        nonlocal n
        for _ in range(times):
            n += 1
            store.write(rows((T0, "a", "42", float(n))))
            store.flush()

    say(20)
    influx.kill()
    say(50)
    influx.start()
    say(5)  # newer, while older ones wait
    until(drained(store), 60, "all is sent")
    assert told(store.read("a", "42", T0, T0 + 1, 0)) == [(T0, 75.0)]
    store.close()
    store = InfluxStore(NOBODY, tmp_path / "spool")
    say(50)
    store.close()  # the process ends while the server is away
    again = InfluxStore(reach(influx, prefix), tmp_path / "spool")
    assert again.standing.waiting == 50
    again.write(rows((T0, "a", "42", 126.0)))
    until(drained(again), 60, "all is sent")
    assert told(again.read("a", "42", T0, T0 + 1, 0)) == [(T0, 126.0)]
    again.close()


def test_at_the_bound_the_oldest_go_and_are_counted(influx: Influx, prefix: str, tmp_path: Path) -> None:
    influx.create(prefix)
    store = InfluxStore(NOBODY, tmp_path / "spool", spool_bytes=20_000, batch=10)
    for n in range(1000):
        store.write(rows((T0 + n, "a", "42", float(n))))
        assert store.standing.spilled <= 20_000
    store.flush()
    standing = store.standing
    assert standing.waiting + standing.dropped == 1000
    assert standing.dropped > 0
    assert "does not answer" in standing.trouble
    store.close()
    left = 1000 - standing.dropped
    store = InfluxStore(reach(influx, prefix), tmp_path / "spool")
    until(drained(store), 60, "all is sent")
    assert told(store.read("a", "42", T0, T0 + 2000, 0)) == [(T0 + n, float(n)) for n in range(1000 - left, 1000)]
    store.close()


def test_who_is_not_let_in_is_told_what_to_do(influx_tls: Influx, prefix: str, tmp_path: Path) -> None:
    good = reach(influx_tls, prefix)
    setup(good, 30)
    wrong = Server(influx_tls.url, prefix, token="citytwin:guessed", ca_file=influx_tls.ca_file)
    store = InfluxStore(wrong, tmp_path / "spool")
    now = int(time.time() * 1000)
    store.write(rows((now, "a", "42", 1.0)))
    store.flush()
    assert "does not let us in (401" in store.standing.trouble
    assert "influx.token_file" in store.standing.trouble
    assert "guessed" not in store.standing.trouble
    with pytest.raises(HistoryError, match="does not let us in"):
        store.read("a", "42", T0, T0 + 1, 0)
    store.close()
    mended = InfluxStore(good, tmp_path / "spool")
    until(drained(mended), 30, "it is let in")
    assert told(mended.read("a", "42", now, now + 1, 0)) == [(now, 1.0)]
    mended.close()
    with pytest.raises(HistoryError, match=r"certificate that is not trusted: name its authority in influx.ca_file"):
        setup(Server(influx_tls.url, prefix, user=USER, password=PASSWORD), 30)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server("127.0.0.1:8086"), "must be like http://"),
        (Server("http://me:mine@127.0.0.1:8086"), "must not hold a password"),
        (Server("http://127.0.0.1:1"), r"does not answer .*refused.*look whether it runs"),
        (Server("https://127.0.0.1:1", ca_file="nowhere.crt"), "there is no file nowhere.crt"),
    ],
)
def test_settings_that_cannot_be_used_are_named(server: Server, said: str) -> None:
    with pytest.raises(HistoryError, match=said) as caught:
        setup(server, 0)
    assert "mine" not in str(caught.value)


def test_without_a_database_rows_wait_for_the_setup(influx: Influx, prefix: str, tmp_path: Path) -> None:
    server = reach(influx, prefix)
    store = InfluxStore(server, tmp_path / "spool")
    now = int(time.time() * 1000)
    store.write(rows((now, "a", "42", 1.0)))
    store.flush()
    assert "run `citytwin influx setup`" in store.standing.trouble
    with pytest.raises(HistoryError, match="run `citytwin influx setup`"):
        store.read("a", "42", now, now + 1, 0)
    found = CliRunner().invoke(cli, ["influx", "setup", "--url", influx.url, "--bucket", prefix, "--keep-days", "30"])
    assert "keeps 30 days" in found.output
    until(drained(store), 30, "the rows are written")
    # and what is older than its retention it never takes: counted, and kept as line protocol
    store.write(rows((T0, "a", "42", 1.0), (now + 1, "a", "42", 2.0)))
    store.flush()
    assert (store.standing.refused, store.standing.written) == (1, 2)
    assert f"a,level=city,scope=42 quality=0i,value=1.0 {T0}" in (tmp_path / "spool" / "refused.lp").read_text()
    assert told(store.read("a", "42", now, now + 2, 0)) == [(now, 1.0), (now + 1, 2.0)]
    store.close()
    shown = influx.query("SHOW RETENTION POLICIES", prefix)[0]["values"]
    assert [row[:2] for row in shown] == [["autogen", "720h0m0s"]]
    assert "keeps 7 days" in setup(server, 7)
    setup(reach(influx, f"{prefix}/other"), 0)
    assert [r[:2] for r in influx.query("SHOW RETENTION POLICIES", prefix)[0]["values"]] == [
        ["autogen", "168h0m0s"], ["other", "0s"],
    ]  # fmt: skip


def test_batches_are_bounded() -> None:
    many = Rows.concat([rows((T0 + n, "a", "42", float(n))) for n in range(25)])
    assert [count for _, count in batches(many, 10)] == [10, 10, 5]
    assert sum(payload.count(b"\n") + 1 for payload, _ in batches(many, 10)) == 25


class TwoPointSeven(BaseHTTPRequestHandler):
    """The calls of InfluxDB 2 that the setup needs, as its reference has them; the server itself cannot be had here."""

    asked: ClassVar[list[tuple[str, str, Any]]] = []
    buckets: ClassVar[list[dict[str, Any]]] = []

    def _answer(self, document: Any, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Influxdb-Version", "v2.7.5")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Version, buckets, organisations."""
        if self.headers["Authorization"] != "Token secret" and self.path != "/ping":
            return self._answer({"code": "unauthorized", "message": "unauthorized access"}, 401)
        if self.path.startswith("/api/v2/orgs"):
            return self._answer({"orgs": [{"id": "0123456789abcdef", "name": "town"}]})
        return self._answer({"buckets": self.buckets} if "buckets" in self.path else {})

    def _change(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.command, self.path, document))
        self.buckets[:] = [{**document, "id": "00ff00ff00ff00ff", "orgID": "0123456789abcdef", "type": "user"}]
        self._answer(self.buckets[0], 201)

    do_POST = do_PATCH = _change

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_the_setup_speaks_to_influxdb_2() -> None:
    with HTTPServer(("127.0.0.1", 0), TwoPointSeven) as stub:
        thread = threading.Thread(target=stub.serve_forever, args=(0.05,))
        thread.start()
        server = Server(f"http://127.0.0.1:{stub.server_port}", "twin", "town", token="secret")
        try:
            assert setup(server, 30).endswith("bucket twin made, keeps 30 days")
            assert setup(server, 0).endswith("bucket twin is there, keeps for ever")
            with pytest.raises(HistoryError, match=r"does not let us in \(401 unauthorized"):
                setup(Server(server.url, "twin", "town", token="wrong"), 0)
        finally:
            stub.shutdown()
            thread.join()
    kept = [d["retentionRules"][0]["everySeconds"] for _, _, d in TwoPointSeven.asked]
    assert [how for how, _, _ in TwoPointSeven.asked] == ["POST", "PATCH"]
    assert kept == [30 * 86_400, 0]
