"""History in InfluxDB: measurement = indicator, tags `scope` and `level`, fields `value` and `quality`, times in ms.

Writes go through the client's batching WriteApi, one batch in flight, so that order is kept and memory bounded. What
the server does not take now lies in a spool on disk and is sent, oldest first, before anything newer. What it will
never take (a time beyond its retention) is counted and kept as line protocol in `refused.lp`.
Reads are InfluxQL, which 1.8 and 2 have in common (2 maps buckets to databases by itself since 2.4).
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from influxdb_client import BucketRetentionRules, InfluxDBClient, WriteOptions, WritePrecision
from influxdb_client.client.exceptions import InfluxDBError
from urllib3.exceptions import HTTPError

from citytwin.models.frame import Quality
from citytwin.streams.history import (
    BEAT,
    LEVEL_NAMES,
    LOOK_BACK_MS,
    POINTS_MAX,
    HistoryError,
    Points,
    Rows,
    Standing,
    held,
)
from citytwin.streams.history import between as cut
from citytwin.streams.spool import Spool

_log = logging.getLogger(__name__)
#: The server read the batch and says no for good.
_REFUSED = (400, 413, 422)
#: So long one call of `work` sends what was spilled, before newer rows are looked at.
_REPLAY_S = 1.0
#: So long rows may wait for others to make a batch with.
_HOLD_S = 1.0
_REFUSED_MAX = 16 << 20
#: What the client says of an address that is told anyway, and of a time that is another in each try.
_NOISE = re.compile(r"HTTPS?Connection(Pool)?\(host=[^)]*\): |\s*\(read timeout=[^)]*\)")
_DROPPED = re.compile(r"dropped=(\d+)")


@dataclass(frozen=True, slots=True)
class Server:
    """Where InfluxDB is and how to be let in. `bucket`: on 1.8 the database, or `database/retention policy`."""

    url: str
    bucket: str = "citytwin"
    org: str = "-"
    token: str = ""
    user: str = ""
    password: str = ""
    ca_file: str = ""
    timeout_s: float = 5.0

    def client(self) -> InfluxDBClient:
        """A client. Raises HistoryError for settings that cannot be used."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HistoryError(f"influx.url is {self.url!r}; it must be like http://127.0.0.1:8086")
        if parts.username or parts.password:
            raise HistoryError("influx.url must not hold a password; use influx.user and influx.password_file")
        if self.ca_file and not Path(self.ca_file).is_file():
            raise HistoryError(f"influx.ca_file: there is no file {self.ca_file}")
        # 1.8 takes an account as a token of this form; 2 has tokens only.
        token = self.token or (f"{self.user}:{self.password}" if self.user else ":")
        given: dict[str, Any] = {"ssl_ca_cert": self.ca_file} if self.ca_file else {}
        return InfluxDBClient(
            self.url, token=token, org=self.org, timeout=round(self.timeout_s * 1000), enable_gzip=False, **given
        )

    def place(self) -> tuple[str, str]:
        """Database and retention policy of the bucket, "" for the default one."""
        database, _, policy = self.bucket.partition("/")
        return database, policy

    def plain(self, error: Exception) -> str:
        """What an error of the client means, and what to do."""
        status, said = _status(error), _said(error)
        where = f"InfluxDB at {self.url}"
        if status in (401, 403):
            return (
                f"{where} does not let us in ({status} {said}): check influx.token_file, or for 1.8 influx.user and "
                "influx.password_file, and that they may write to the bucket"
            )
        if status == 404:
            return f"{where} has no bucket {self.bucket} ({said}): run `citytwin influx setup`"
        if status:
            return f"{where} answers {status}: {said}"
        if "CERTIFICATE" in said.upper():
            return f"{where} shows a certificate that is not trusted: name its authority in influx.ca_file ({said})"
        return f"{where} does not answer ({said}): look whether it runs and influx.url is right"


class Sender:
    """One batch at a time through the batching WriteApi; its callbacks say what became of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._client = server.client()
        for name in ("influxdb_client.client.write_api", "influxdb_client.client.write.retry"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # each failure is told by us, once
        # Retries are ours: the client's would hold one batch for minutes and lose it then.
        options = WriteOptions(batch_size=1, flush_interval=10_000, max_retries=0, max_close_wait=2_000)
        self._api = self._client.write_api(
            options, success_callback=lambda _to, data: self._done(data, None), error_callback=self._failed
        )
        self._answered = threading.Condition()
        self._flight: bytes | None = None
        self._error: Exception | None = None

    def _failed(self, _to: object, data: Any, error: Exception) -> None:
        self._done(data, error)

    def _done(self, data: Any, error: Exception | None) -> None:
        with self._answered:
            if data is self._flight or data == self._flight:
                self._flight, self._error = None, error
                self._answered.notify_all()

    def send(self, payload: bytes) -> Exception | None:
        """Write a batch and wait for its answer; the error if it failed."""
        with self._answered:
            self._flight, self._error = payload, None
        self._api.write(self.server.bucket, self.server.org, payload, WritePrecision.MS)
        patience = 3 * self.server.timeout_s + 5
        with self._answered:
            if not self._answered.wait_for(lambda: self._flight is None, patience):
                self._flight = None
                return TimeoutError(f"no answer within {patience:g} s")
            return self._error

    def ask(self, query: str, how: str = "GET") -> list[dict[str, Any]]:
        """The series that an InfluxQL query gives, times in ms. Raises HistoryError."""
        database, policy = self.server.place()
        given = [("q", query), ("db", database), ("epoch", "ms"), *([("rp", policy)] if policy else [])]
        try:
            response = self._client.api_client.call_api(
                "/query", how, query_params=given, header_params={"Accept": "application/json"},
                _preload_content=False, _return_http_data_only=True,
            )  # fmt: skip
            answer = json.loads(response.data)
        except (InfluxDBError, HTTPError, OSError, ValueError) as error:
            raise HistoryError(self.server.plain(error)) from error
        result: dict[str, Any] = (answer.get("results") or [{}])[0]
        if wrong := answer.get("error") or result.get("error"):
            missing = "database not found" in wrong
            raise HistoryError(f"InfluxDB: {wrong}" + (": run `citytwin influx setup`" if missing else ""))
        return list(result.get("series") or [])

    def version(self) -> str:
        """Version that the server tells, like `1.8.10`. Raises HistoryError."""
        try:
            answer = self._client.api_client.call_api("/ping", "GET", _preload_content=False)
        except (InfluxDBError, HTTPError, OSError) as error:
            raise HistoryError(self.server.plain(error)) from error
        headers = {k.lower(): v for k, v in dict(answer[2]).items()}
        return str(headers.get("x-influxdb-version", "")).removeprefix("v")

    def keep_bucket(self, keep_s: int) -> str:
        """Make or change the bucket of InfluxDB 2 with this retention (0: for ever). Raises HistoryError."""
        name, rules = self.server.bucket, [BucketRetentionRules(type="expire", every_seconds=keep_s)]
        try:
            api = self._client.buckets_api()
            found = api.find_bucket_by_name(name)
            if found is None:
                api.create_bucket(bucket_name=name, org=self.server.org, retention_rules=rules)
                return f"bucket {name} made"
            found.retention_rules = rules
            api.update_bucket(found)
        except (InfluxDBError, HTTPError, OSError) as error:
            raise HistoryError(self.server.plain(error)) from error
        return f"bucket {name} is there"

    def close(self) -> None:
        """End the client."""
        self._api.close()
        self._client.close()


class InfluxStore:
    """The history in an InfluxDB server, with a spool for the time it is away."""

    name = "influx"

    def __init__(
        self, server: Server, folder: Path, *, spool_bytes: int = 512 << 20, batch: int = 5_000, beat_ms: int = 10_000,
        retry_s: tuple[float, float] = (1.0, 30.0), clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`folder`: for what the server does not take, at most `spool_bytes`; `retry_s`: first and longest pause.

        Raises HistoryError.
        """
        self.server, self._batch, self._beat_ms, self._clock = server, batch, beat_ms, clock
        self.standing = Standing()
        self._sender = Sender(server)
        self._refused = folder / "refused.lp"
        try:
            self.spool = Spool(folder, spool_bytes)
        except OSError as error:
            raise HistoryError(f"the spool {folder} cannot be used: {error.strerror}") from error
        self._retry_s, self._pause, self._retry_at = retry_s, retry_s[0], 0.0
        self._held: list[Rows] = []
        self._since = 0.0
        self._note()

    # Writing.

    def write(self, rows: Rows) -> None:
        """Send rows once there are enough for a batch, or put them behind those that wait."""
        if not len(rows):
            return
        if not self._held:
            self._since = self._clock()
        self._held.append(rows)
        if sum(map(len, self._held)) >= self._batch:
            self.flush()

    def work(self) -> None:
        """Send what was held for a second, and what waits, oldest first, for about a second."""
        if self._held and self._clock() - self._since >= _HOLD_S:
            self.flush()
        until = self._clock() + _REPLAY_S
        while self.spool and self._clock() >= self._retry_at and self._clock() < until:
            found = self.spool.peek(self._batch)
            if not found or not self._sent(b"\n".join(p for p, _ in found), sum(n for _, n in found)):
                break
            self.spool.pop()
        self._note()

    def flush(self) -> None:
        """Send what is held, in batches, or spill it."""
        parts, self._held = self._held, []
        for payload, count in batches(Rows.concat(parts), self._batch):
            if self.spool or not self._sent(payload, count):
                self.spool.append(payload, count)
        self._note()

    def _sent(self, payload: bytes, count: int) -> bool:
        """Whether the server is done with it: it took it, or never will."""
        if self._clock() < self._retry_at:
            return False
        error = self._sender.send(payload)
        if error is not None:
            self.standing.errors += 1
            if _status(error) not in _REFUSED:
                self.standing.trouble = self.server.plain(error)
                self._retry_at = self._clock() + self._pause
                self._pause = min(2 * self._pause, self._retry_s[1])
                return False
            gone = min(count, int(found[1]) if (found := _DROPPED.search(_said(error))) else count)
            self._keep_refused(payload, error)
            self.standing.refused += gone
            count -= gone
        self._pause, self.standing.trouble = self._retry_s[0], ""
        self.standing.written += count
        return True

    def _keep_refused(self, payload: bytes, error: Exception) -> None:
        _log.warning("InfluxDB refused points for good: %s; they are in %s", _said(error), self._refused)
        try:
            if self._refused.exists() and self._refused.stat().st_size > _REFUSED_MAX:
                self._refused.replace(self._refused.with_suffix(".lp.1"))
            with self._refused.open("ab") as out:
                out.write(b"# " + _said(error).replace("\n", " ").encode() + b"\n" + payload + b"\n")
        except OSError as second:
            _log.warning("%s cannot be written: %s", self._refused, second)

    def _note(self) -> None:
        standing = self.standing
        standing.spilled, standing.dropped = self.spool.size, self.spool.dropped
        standing.waiting = self.spool.rows + sum(map(len, self._held))

    # Reading.

    def read(self, indicator: str, scope: str, start: int, stop: int, step: int) -> Points:
        """The series start <= time < stop; see History."""
        since = start - LOOK_BACK_MS if step else start
        chosen = f'FROM {_name(indicator)} WHERE "scope" = {_text(scope)} AND time >= {since}ms AND time < {stop}ms'
        if not step:
            newest = f"ORDER BY time DESC LIMIT {POINTS_MAX}"
            found = self._sender.ask(f'SELECT "value", "quality" {chosen} {newest}')
            return cut(_points(found), start, stop)
        by = f"GROUP BY time({step}ms) fill(none)"
        points = _points(self._sender.ask(f'SELECT last("value"), last("quality") {chosen} {by}'))
        chosen = f"FROM {_name(BEAT)} WHERE time >= {since}ms AND time < {stop}ms"
        beats = _points(self._sender.ask(f'SELECT max("value"), max("quality") {chosen} {by}'))
        return held(points, beats, start, stop, step, self._beat_ms)

    def close(self) -> None:
        """Send what is held; leave what waits on disk for the next start."""
        self.flush()
        self._sender.close()
        self.spool.close()


def setup(server: Server, keep_days: float) -> str:
    """Make database or bucket with this retention (0 = for ever); what is there now. Raises HistoryError."""
    sender = Sender(server)
    try:
        version, keep_s = sender.version(), round(keep_days * 86_400)
        kept = f"keeps {keep_days:g} days" if keep_s else "keeps for ever"
        if version.startswith(("2.", "3.")):  # a 1.8 that was built from source tells no number
            return f"InfluxDB {version} at {server.url}: {sender.keep_bucket(keep_s)}, {kept}"
        database, policy = server.place()
        policy = policy or "autogen"
        sender.ask(f"CREATE DATABASE {_name(database)}", "POST")
        there = {row[0] for s in sender.ask(f"SHOW RETENTION POLICIES ON {_name(database)}") for row in s["values"]}
        verb, duration = ("ALTER" if policy in there else "CREATE"), f"{keep_s}s" if keep_s else "INF"
        rest = f"RETENTION POLICY {_name(policy)} ON {_name(database)} DURATION {duration} REPLICATION 1 DEFAULT"
        sender.ask(f"{verb} {rest}", "POST")
        return f"InfluxDB {version or '1'} at {server.url}: database {database}, policy {policy}, {kept}"
    finally:
        sender.close()


def batches(rows: Rows, size: int) -> Iterator[tuple[bytes, int]]:
    """Line protocol of at most `size` rows each."""
    names, scopes = [_measurement(n) for n in rows.indicator.names], [_tag(n) for n in rows.scope.names]
    levels = [_tag(n) for n in LEVEL_NAMES]
    for begin in range(0, len(rows), size):
        cut = slice(begin, begin + size)
        columns = (rows.time[cut], rows.indicator.codes[cut], rows.scope.codes[cut], rows.level[cut], rows.quality[cut])
        lines = [
            f"{names[i]},level={levels[l]},scope={scopes[s]} quality={q}i{_number(v)} {t}"
            for (t, i, s, l, q), v in zip(
                zip(*(c.tolist() for c in columns), strict=True), rows.value[cut].tolist(), strict=True
            )
        ]
        yield "\n".join(lines).encode(), len(lines)


def _number(value: float) -> str:
    return f",value={value!r}" if -1e308 < value < 1e308 else ""


def _clean(name: str) -> str:
    """Line protocol has no way to say a line break, or a backslash before its own separators."""
    return name.replace("\n", " ").rstrip("\\")


def _measurement(name: str) -> str:
    return _clean(name).replace(",", "\\,").replace(" ", "\\ ")


def _tag(name: str) -> str:
    return _measurement(name).replace("=", "\\=")


def _name(name: str) -> str:
    escaped = _clean(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(text: str) -> str:
    escaped = _clean(text).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _points(series: list[dict[str, Any]]) -> Points:
    rows = series[0]["values"] if series else []
    time, value, quality = zip(*rows, strict=True) if rows else ((), (), ())
    levels = np.array([Quality.GOOD if q is None else q for q in quality], np.uint8)
    values = np.array([np.nan if v is None else v for v in value], np.float64)
    # the last number of a step may be older than the moment that had none
    values[levels >= Quality.NODATA] = np.nan
    points = Points(np.array(time, np.int64), values, levels)
    return points.take(np.argsort(points.time, kind="stable"))


def _status(error: Exception) -> int:
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status", None)
    return int(status) if status else 0


def _said(error: Exception) -> str:
    if isinstance(reason := getattr(error, "reason", None), Exception):
        error = reason  # of all the tries the last one
    body = getattr(error, "body", None) or getattr(getattr(error, "response", None), "data", None)
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or error)
    try:
        told = json.loads(text)
        text = str(told.get("error") or told.get("message") or text) if isinstance(told, dict) else text
    except ValueError:
        pass
    return " ".join(_NOISE.sub("", text).split())[:300]
