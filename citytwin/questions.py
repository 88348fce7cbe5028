"""Questions about the state of a tick: answered between the tick and what is fed after it, in the engine's thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

from citytwin.dashboards.ports import Refused
from citytwin.models.frame import Frame
from citytwin.runtime import EngineLike, Runtime
from citytwin.submissions import Unavailable

T = TypeVar("T")
#: So many questions wait for a tick; more are told to come again.
WAITING_MAX = 64
#: A question waits so long for its tick; where the clock does not tick it is told so.
PATIENCE_S = 15.0
#: After one tick answers begin as long as they have taken less than this together; the others wait for the next one.
SPARE_S = 0.25


class Questions:
    """Whoever asks what a number rests on must not see events that were fed after the number was made."""

    def __init__(self, runtime: Runtime, engine: EngineLike, stopwatch: Callable[[], float]) -> None:
        """`stopwatch`: seconds that only go forward."""
        self._runtime, self._engine, self._stopwatch = runtime, engine, stopwatch
        self._ticked = -1
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()

    def ask(self, run: Callable[[], T]) -> T:
        """What `run` finds in the state of the newest tick, or of the next one. Raises Refused, and what it raises."""
        future: Future[T] = Future()
        try:
            self._runtime.call(lambda: self._take(run, future)).result(PATIENCE_S)
            return future.result(PATIENCE_S)
        except Unavailable as error:
            raise Refused(503, "unavailable", "Service Unavailable", str(error), 5) from error
        except TimeoutError as error:
            future.cancel()
            detail = f"no tick for {PATIENCE_S:.0f} s: numbers are explained after one; ask again"
            raise Refused(503, "no_tick", "Service Unavailable", detail, 5) from error

    def _take(self, run: Callable[[], T], future: Future[T]) -> None:
        if self._engine.position == self._ticked:  # nothing was fed since the tick
            _answer(run, future)
        elif len(self._waiting) >= WAITING_MAX:
            detail = f"{WAITING_MAX} questions wait already; ask again"
            future.set_exception(Refused(503, "busy", "Service Unavailable", detail, 2))
        else:
            self._waiting.append((run, future))

    def ticked(self, frame: Frame) -> None:
        """Answer those that waited for this tick; called right after it, in the engine's thread."""
        self._ticked, begun = frame.position, self._stopwatch()
        while self._waiting and self._stopwatch() - begun < SPARE_S:
            _answer(*self._waiting.popleft())


def _answer(run: Callable[[], T], future: Future[T]) -> None:
    if future.cancelled():
        return
    try:
        found = run()
    except Exception as error:
        future.set_exception(error)
        return
    try:
        future.set_result(found)
    except InvalidStateError:  # the asker went away meanwhile
        return
