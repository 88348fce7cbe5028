"""Where the shell gets its time: the system's clock, or one that a test or a replay moves by hand."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """A clock in ms UTC that a thread can wait by."""

    def now_ms(self) -> int:
        """The time now."""

    def wait(self, condition: threading.Condition, until_ms: int) -> None:
        """Wait on the held condition until it is notified or the time has come."""


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        """The time now (ms UTC)."""
        return time.time_ns() // 1_000_000

    def wait(self, condition: threading.Condition, until_ms: int) -> None:
        """Wait on the held condition until it is notified or the time has come."""
        left = (until_ms - self.now_ms()) / 1000
        if left > 0:
            # Not for long: a clock that is set back meanwhile would make it a wait for ever.
            condition.wait(min(left, 1.0))


class ManualClock:
    """A clock that stands still until it is moved; who waits by it is woken then."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._waiting: set[threading.Condition] = set()

    def now_ms(self) -> int:
        """The time now (ms UTC)."""
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Move it, back too."""
        self._now_ms = now_ms
        for condition in list(self._waiting):
            with condition:
                condition.notify_all()

    def wait(self, condition: threading.Condition, until_ms: int) -> None:
        """Wait on the held condition until it is notified or the clock was moved to the time."""
        # The condition is held from here to the wait, so a `set` in between finds it registered and waits for it.
        self._waiting.add(condition)
        if self._now_ms < until_ms:
            condition.wait()
