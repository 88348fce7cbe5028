"""The watchdog: it ends what loops, only that, and takes back what has not arrived."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from citytwin.watchdog import Budget, Interrupted, TooMuch, Watchdog

QUICK = Budget(call_s=0.3, average_ms=5, ticks=3, memory_mb=64)


@pytest.fixture
def dog() -> Iterator[Watchdog]:
    """A watchdog with a small budget."""
    made = Watchdog(QUICK)
    yield made
    made.close()


def forever() -> None:
    """What a plugin should not do."""
    while True:
        pass


def stubborn() -> None:
    """What it should not do either."""
    while True:
        try:
            while True:
                pass
        except Exception as error:
            print(error)


def deaf() -> int:
    """It swallows the first three interruptions."""
    for _ in range(3):
        try:
            while True:
                pass
        except BaseException as error:
            print(error)
    return 1


def hog() -> int:
    """It takes and takes, quicker than its time runs out."""
    held = []
    while True:
        held.append(bytearray(4 << 20))


def test_what_comes_back_is_given_back(dog: Watchdog) -> None:
    assert dog("x", lambda: 7) == 7
    with pytest.raises(KeyError):
        dog("x", lambda: dict[str, int]()["no"])


@pytest.mark.parametrize("call", [forever, stubborn, deaf])
def test_a_loop_is_ended(dog: Watchdog, call: object) -> None:
    with pytest.raises(TooMuch, match=r"more than 0\.3 s of a processor"):
        dog("x", call)  # type: ignore[arg-type]
    assert dog("x", lambda: sum(range(1000))) == 499_500, "nothing is left behind"


def test_a_hog_is_ended(dog: Watchdog) -> None:
    with pytest.raises(TooMuch, match=r"MiB|processor"):
        dog("x", hog)


def test_a_hundred_loops_leave_nothing_behind() -> None:
    """Whatever moment the interruption comes in, it comes inside of the call or not at all."""
    dog = Watchdog(Budget(call_s=0.0))
    try:
        for _ in range(100):
            with contextlib.suppress(TooMuch):
                dog("x", lambda: sum(range(100_000)))
            assert sum(range(1000)) == 499_500
    except Interrupted:  # pragma: no cover
        pytest.fail("it came after the call")
    finally:
        dog.close()


def test_other_threads_are_left_alone(dog: Watchdog) -> None:
    done = threading.Event()
    seen: list[BaseException] = []

    def other() -> None:
        try:
            while not done.is_set():
                sum(range(1000))
        except BaseException as error:
            seen.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(TooMuch):
        dog("x", forever)
    done.set()
    thread.join()
    assert seen == []


def test_waiting_is_no_work_but_not_for_ever() -> None:
    dog = Watchdog(Budget(call_s=0.1))
    try:
        with pytest.raises(TooMuch, match=r"keeps the tick waiting for more than 0\.5 s"):
            dog("x", lambda: threading.Event().wait(0.8))
        assert dog("x", lambda: threading.Event().wait(0.2)) is False
    finally:
        dog.close()


def test_a_replay_has_more_patience(dog: Watchdog) -> None:
    dog.patience = 10.0

    def work() -> int:
        until = time.thread_time() + 0.6
        while time.thread_time() < until:
            pass
        return 1

    assert dog("x", work) == 1
    dog.patience = 1.0
    with pytest.raises(TooMuch):
        dog("x", work)


def test_the_slow_are_told_after_some_ticks(dog: Watchdog) -> None:
    def work() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    for _ in range(2):
        dog("slow", work)
        dog("quick", lambda: None)
        assert dog.ticked() == {}
    dog("slow", work)
    found = dog.ticked()
    assert list(found) == ["slow"]
    assert "ms a tick on average, the budget is 5" in found["slow"]
    dog("slow", work)
    assert dog.ticked() == {}, "once"
    dog.forget("slow")
    dog("slow", work)
    assert dog.ticked() == {}
