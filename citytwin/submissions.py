"""What waits for the engine's thread: submissions in a queue bounded by events and bytes, and calls between them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from citytwin.clock import Clock
from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.streams.records import size_of

T = TypeVar("T")
#: Nobody waits that far ahead: the clock was set back, and who waits must look again.
_FAR_MS = 60_000


class Busy(Exception):
    """The queue is full (HTTP 429); `retry_after_s` says when to come again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many events are waiting; send again in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class Unavailable(Exception):
    """Events cannot be kept now (HTTP 503); the text says why and what to do."""


@dataclass(slots=True)
class Submission:
    """Batches that came in together, in one future."""

    batches: Sequence[EventBatch]
    arrived_ms: int
    future: Future[list[Changes]] = field(default_factory=Future)
    events: int = 0
    size: int = 0

    def __post_init__(self) -> None:
        self.events = sum(map(len, self.batches))
        self.size = sum(map(size_of, self.batches))


@dataclass(slots=True)
class Call:
    """Something to do in the engine's thread between two groups."""

    run: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


class Queue:
    """First in, first out; submissions are refused beyond the bounds, calls never."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.max_events, self.max_bytes = max_events, max_bytes
        self.events = self.size = 0
        self.closed = ""
        self._items: deque[Submission | Call] = deque()
        self._condition = threading.Condition()

    def put(self, item: Submission | Call) -> None:
        """Add one. Raises Busy, or Unavailable once closed."""
        with self._condition:
            if self.closed:
                raise Unavailable(self.closed)
            if isinstance(item, Submission):
                # One that alone is beyond the bounds is taken when nothing else waits, else it never could be.
                over = self.events + item.events > self.max_events or self.size + item.size > self.max_bytes
                if over and self._items:
                    raise Busy(1.0)
                self.events += item.events
                self.size += item.size
            self._items.append(item)
            self._condition.notify_all()

    def take(self, clock: Clock, until_ms: int | None, max_events: int) -> list[Submission] | Call | None:
        """The next call, or the submissions before it up to `max_events`; None at the time or once closed and empty."""
        with self._condition:
            while not self._items and not self.closed:
                if until_ms is None:
                    self._condition.wait()
                elif not 0 < until_ms - clock.now_ms() <= _FAR_MS:
                    return None
                else:
                    clock.wait(self._condition, until_ms)
            if not self._items:
                return None
            first = self._items[0]
            if isinstance(first, Call):
                self._items.popleft()
                return first
            return self._group(max_events)

    def _group(self, max_events: int) -> list[Submission]:
        group: list[Submission] = []
        events = 0
        while self._items and isinstance(item := self._items[0], Submission):
            if group and events + item.events > max_events:
                break
            self._items.popleft()
            group.append(item)
            events += item.events
            self.events -= item.events
            self.size -= item.size
        return group

    def close(self, why: str) -> None:
        """Take nothing more; what waits is still handed out."""
        with self._condition:
            self.closed = self.closed or why
            self._condition.notify_all()

    def drain(self) -> list[Submission | Call]:
        """Take out everything that waits, when nobody is left to do it."""
        with self._condition:
            left = list(self._items)
            self._items.clear()
            self.events = self.size = 0
            return left


def done_now(lock: AbstractContextManager[Any], run: Callable[[], T]) -> Future[T]:
    """The future of what is done at once, under a lock, in the thread that asks."""
    done: Future[T] = Future()
    with lock:
        try:
            done.set_result(run())
        except Exception as error:
            done.set_exception(error)
    return done


class Desks(Protocol):
    """Where commands go: the runtime of one process, or a gateway's copy of the desk."""

    @property
    def position(self) -> int:
        """Position of the newest event in the state."""

    def submit(self, batches: Sequence[EventBatch]) -> Future[list[Changes]]:
        """Changes per batch, once they are kept and judged. Raises Busy, Unavailable (the future too)."""

    def call(self, run: Callable[[], T]) -> Future[T]:
        """Do something with the state between two events."""


class Doorway(Desks, Protocol):
    """Where the doors for other systems bring what they take, and what they refuse."""

    def refuse(self, door: str, place: str, rejections: Sequence[Rejection]) -> Future[int]:
        """Keep what a door refused as dead letters, told by `place`. Raises Busy, Unavailable (the future too)."""
