"""Asks the city of the past: one process that replays the log to the time wanted, ended when nobody asks any more."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from citytwin.asof import put, take
from citytwin.dashboards.ports import Refused
from citytwin.streams.log import SqliteLog

#: It ends when nobody asked for so long.
IDLE_S = 300.0
#: A question waits so long for a replay before it is told to come again, and so long for its answer.
PATIENCE_S, ANSWER_S = 2.0, 60.0
#: While somebody asks for one time at least so often, another one must wait.
CLAIM_S = 15.0
_AGAIN_S = 2


@dataclass(frozen=True, slots=True)
class Make:
    """How the process comes by pack and indicators: `module:function` that takes `given` and returns a Supply."""

    function: str
    given: Mapping[str, Any] = field(default_factory=dict)


class _Process:
    """A running process: where it stands or goes to, and how far it is."""

    def __init__(self, folder: Path, make: Make, idle_s: float) -> None:
        settings = {"folder": str(folder), "make": make.function, "given": dict(make.given), "idle_s": idle_s}
        self.target = self.done = self.of = 0
        self.arrived = threading.Event()
        self.trouble: tuple[str, Any] | None = None
        self.asked_s = time.monotonic()
        self._answers: list[Future[Any]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "citytwin.asof", json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        threading.Thread(target=self._hear, name="citytwin-past", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def percent(self) -> int:
        """How far it is on its way."""
        return 100 * self.done // self.of if self.of else 0

    def send(self, *message: Any) -> None:
        """Say something; an end of it shows at the next question."""
        try:
            put(self._process.stdin, message)  # type: ignore[arg-type]
        except OSError:
            self.end()

    def go(self, position: int) -> None:
        """Set out for a position."""
        self.target, self.done, self.of, self.trouble = position, 0, 0, None
        self.arrived.clear()
        self.send("go", position)

    def ask(self, *question: Any) -> Future[Any]:
        """Ask where it stands."""
        future: Future[Any] = Future()
        self._answers.append(future)
        self.send(*question)
        return future

    def _hear(self) -> None:
        while (said := take(self._process.stdout)) is not None:  # type: ignore[arg-type]
            if said[0] == "on the way":
                self.done, self.of = said[1:]
            elif said[0] == "answer":
                self._answers.pop(0).set_result(said[1])
            elif said[0] == "failed" and self._answers:
                self._answers.pop(0).set_exception(_failed(said[1]))
            else:
                self.trouble = None if said[0] == "there" else (said[0], said[1])
                self.arrived.set()
        for future in self._answers:
            future.set_exception(_failed("the process that looks into the past has ended"))

    def end(self) -> None:
        """End it and wait until it is gone."""
        if self.alive:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Past:
    """Questions about times before the newest tick; any thread may ask."""

    def __init__(self, folder: Path, log: SqliteLog, make: Callable[[], Make], *, idle_s: float = IDLE_S) -> None:
        """`make` is asked whenever a process begins: the indicators in force may have changed."""
        self.folder, self.log, self.make, self.idle_s = folder, log, make, idle_s
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._version = ""

    def ask(self, at: int, version: str, question: str, *given: Any) -> tuple[int, int, bool, Any]:
        """(now, position, whether definitions differ, the answer) as of the last tick at or before `at` (ms UTC).

        `version`: hash of the indicators in force; another one than before begins anew. Raises Refused: 503 while the
        log is replayed, 404 before it begins.
        """
        tick = self.log.tick_before(at)
        if tick is None:
            raise _before(self.log.first_tick())
        with self._lock:
            process = self._at(tick[0], version)
            if not process.arrived.wait(PATIENCE_S):
                if not process.alive:
                    raise _failed("the process that looks into the past has ended; ask again")
                raise _again(tick[1], process.percent)
            if process.trouble is not None:
                raise self._trouble(process)
            future = process.ask(question, *given)
        try:
            found: tuple[int, int, bool, Any] = future.result(ANSWER_S)
        except TimeoutError as error:
            raise _failed(f"no answer for {ANSWER_S:.0f} s; ask again") from error
        return found

    def _at(self, position: int, version: str) -> _Process:
        """The process, on its way to a position or there."""
        if self._process is not None and not self._fits(self._process, position, version):
            self._end()
        if self._process is None:
            self._process, self._version = _Process(self.folder, self.make(), self.idle_s), version
        if self._process.target != position:
            self._process.go(position)
        self._process.asked_s = time.monotonic()
        return self._process

    def _fits(self, process: _Process, position: int, version: str) -> bool:
        """Whether a process can come to a position. Raises Refused while somebody else waits for where it goes."""
        if not process.alive or version != self._version:
            return False
        if process.target != position and not process.arrived.is_set():
            if time.monotonic() - process.asked_s < CLAIM_S:
                detail = f"another time of the past is being replayed ({process.percent} %); ask again"
                raise Refused(503, "past_busy", "Service Unavailable", detail, _AGAIN_S)
            return False
        return process.trouble is None and process.target <= position

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process = None

    def _trouble(self, process: _Process) -> Refused:
        assert process.trouble is not None
        kind, what = process.trouble
        self._end()
        if kind == "unreachable":
            return _before(self.log.tick_after(int(what)))
        return _failed(str(what))

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()


def moment(ms: int) -> str:
    """A time as people write it, UTC.

    >>> moment(1_763_800_000_000)
    '2025-11-22T08:26:40Z'
    """
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _before(first: int | None) -> Refused:
    since = f"there is data from {moment(first)} on" if first is not None else "there is no data yet"
    return Refused(404, "before_data", "Not Found", f"nothing is known of that time: {since}")


def _again(at: int, percent: int) -> Refused:
    detail = f"the log is replayed up to {moment(at)}: {percent} % done; ask again"
    return Refused(503, "past_replaying", "Service Unavailable", detail, _AGAIN_S)


def _failed(why: str) -> Refused:
    return Refused(503, "past_failed", "Service Unavailable", f"the past cannot be told: {why}", 10)
