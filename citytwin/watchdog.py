"""Watches the code of plugins while it runs in the engine's thread: what loops or takes too much is interrupted.

A thread looks ten times a second at what runs. Beyond its budget an exception is raised in the engine's thread, at the
next step of Python there, and only while a plugin's code runs: `done` and a lock see to that. Code that does not come
back from one call of C (a huge array, a long sleep) cannot be interrupted; `citytwin check` catches that.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_LOOK_S, _AGAIN_NS = 0.1, 500_000_000
#: Waiting is not work: so many times the budget may pass on the clock before it is too long.
PATIENCE = 5
#: Weight of the newest call in the moving averages.
_WEIGHT = 0.1
_STATM = Path("/proc/self/statm")


class Interrupted(BaseException):
    """Raised in a plugin's code from outside. No Exception, so that `except Exception` in it does not swallow it."""


class TooMuch(Exception):
    """A plugin's code took too long or too much memory; the text says what."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the code of one plugin may take: seconds of a processor for a call, milliseconds on average, MiB."""

    call_s: float = 2.0
    average_ms: float = 50.0
    ticks: int = 20
    memory_mb: int = 512


@dataclass(slots=True)
class _Spent:
    """Moving averages of one indicator's calls (ms) and for how many ticks they were beyond the budget."""

    cpu: float = 0.0
    wall: float = 0.0
    beyond: int = 0
    calls: int = 0


@dataclass(slots=True)
class _Running:
    """The call that runs now."""

    id: str
    thread: int
    cpu_ns: int
    wall_ns: int
    limit_s: float
    done: bool = False
    rss: int = 0
    fired: str = ""
    fired_ns: int = 0


@dataclass(slots=True)
class _Totals:
    """What each indicator's calls took in the tick so far (ns of a processor, ns on the clock)."""

    cpu: dict[str, int] = field(default_factory=dict)
    wall: dict[str, int] = field(default_factory=dict)


class Watchdog:
    """A guard for `Board.guard`; `patience` stretches the budget of a call, for replays on a slower machine."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget, self.patience = budget or Budget(), 1.0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._running: _Running | None = None
        self._totals = _Totals()
        self._spent: dict[str, _Spent] = {}
        self._thread: threading.Thread | None = None

    # Around a call, in the engine's thread.

    def __call__(self, id: str, call: Callable[[], T]) -> T:
        """Run it. Raises TooMuch, and what it raises."""
        self._watch()
        limit = self.budget.call_s * self.patience
        running = _Running(id, threading.get_ident(), time.thread_time_ns(), time.monotonic_ns(), limit)
        try:
            try:
                self._running = running
                result = call()
            finally:
                running.done = True
                self._end(running)
        except Interrupted:
            # Whenever it arrived, `done` is set: at most one more can be on its way, and `_end` waits for it.
            running.done = True
            try:
                self._end(running)
            except Interrupted:
                self._end(running)
        if running.fired:
            raise TooMuch(running.fired)
        return result

    def _end(self, running: _Running) -> None:
        """The call is over: nothing is raised from now on, what has not arrived is taken back. Twice is harmless."""
        with self._lock:
            if running.fired:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(running.thread), None)
            if self._running is not running:
                return
            self._running = None
            cpu, wall = time.thread_time_ns() - running.cpu_ns, time.monotonic_ns() - running.wall_ns
            totals, id = self._totals, running.id
            totals.cpu[id] = totals.cpu.get(id, 0) + cpu
            totals.wall[id] = totals.wall.get(id, 0) + wall
            running.fired = running.fired or self._over(running, cpu / 1e9, wall / 1e9)

    @staticmethod
    def _over(running: _Running, cpu_s: float, wall_s: float) -> str:
        if cpu_s > running.limit_s:
            return f"takes more than {running.limit_s:g} s of a processor in one tick"
        if wall_s > running.limit_s * PATIENCE:
            return f"keeps the tick waiting for more than {running.limit_s * PATIENCE:g} s"
        return ""

    # Averages, after each tick.

    def ticked(self) -> dict[str, str]:
        """Note what the tick took; indicators that are too slow on average, with the reason, once each."""
        totals, self._totals = self._totals, _Totals()
        slow: dict[str, str] = {}
        for id, cpu in totals.cpu.items():
            spent = self._spent.setdefault(id, _Spent())
            spent.calls += 1
            weight = max(_WEIGHT, 1 / spent.calls)
            spent.cpu += weight * (cpu / 1e6 - spent.cpu)
            spent.wall += weight * (totals.wall[id] / 1e6 - spent.wall)
            most = self.budget.average_ms
            beyond = spent.cpu > most or spent.wall > most * PATIENCE
            spent.beyond = spent.beyond + 1 if beyond else 0
            if spent.beyond == self.budget.ticks:
                took = f"{max(spent.cpu, spent.wall / PATIENCE):,.0f}"
                slow[id] = f"takes {took} ms a tick on average, the budget is {most:g}: work on whole arrays with NumPy"
        return slow

    def forget(self, id: str) -> None:
        """Another definition begins anew."""
        self._spent.pop(id, None)

    # The thread that looks.

    def _watch(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, name="citytwin-watchdog", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_S):
            with self._lock:
                running = self._running
                if running is not None and not running.done and (why := self._too_much(running)):
                    self._interrupt(running, why)

    @staticmethod
    def _interrupt(running: _Running, why: str) -> None:
        now = time.monotonic_ns()
        if running.fired and now - running.fired_ns < _AGAIN_NS:
            return
        # again after a while: an author's bare `except` may swallow one
        running.fired, running.fired_ns = running.fired or why, now
        error = ctypes.py_object(Interrupted)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(running.thread), error)

    def _too_much(self, running: _Running) -> str:
        cpu = (_thread_ns(running.thread) - running.cpu_ns) / 1e9
        wall = (time.monotonic_ns() - running.wall_ns) / 1e9
        why = self._over(running, cpu, wall)
        now = _rss()
        running.rss = running.rss or now
        if not why and now - running.rss > self.budget.memory_mb << 20:
            why = f"takes more than {self.budget.memory_mb} MiB"
        return why


def _thread_ns(thread: int) -> int:
    """Time of a processor that a thread took; 0 where the system does not tell."""
    try:
        return time.clock_gettime_ns(time.pthread_getcpuclockid(thread))
    except (AttributeError, OSError):
        return 0


def _rss() -> int:
    """Bytes of memory that the process holds; 0 where the system does not tell."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
