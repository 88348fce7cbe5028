"""Webhooks against a real receiver that is ill, hangs, drips, moves, comes and goes; and a sender that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Strings
from citytwin.models.events import VOCABULARY
from citytwin.posting import NotPosted, post
from citytwin.streams.hooks import Target, verify
from citytwin.streams.hookstore import HookStore
from citytwin.streams.log import Events, SqliteLog
from citytwin.webhooks import Pace, Source, Webhooks
from tests.doors.receiver import Call, Receiver
from tests.doors.sender import NOW_MS, Fixed, closed

SECRET = "0123456789abcdef0123"


class Hurried(Fixed):
    """A clock that goes an hour further whenever it is looked at: every delay is over at once."""

    def __init__(self) -> None:
        self._ms, self._lock = NOW_MS, threading.Lock()

    def now_ms(self) -> int:
        """An hour later."""
        with self._lock:
            self._ms += 3_600_000
            return self._ms


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver().start()
    yield found
    found.stop()


@contextmanager
def hooks(
    folder: Path, *targets: Target, clock: Fixed | None = None, most: int = 1000, **source: Any
) -> Iterator[tuple[Webhooks, SqliteLog]]:
    """Webhooks over a log of their own, running."""
    pace = Pace(tries=source.pop("tries", 15), timeout_s=source.pop("timeout_s", 5.0), max_age_ms=10**15)
    with SqliteLog(folder / "log.db") as log, HookStore(folder / "hooks.db", most=most) as store:
        found = Webhooks(store, Source(log, VOCABULARY(), fixed=targets, **source), pace, clock or Fixed(), lambda: 0.5)
        found.start(log.end)
        try:
            yield found, log
        finally:
            found.stop()


def target(receiver: Receiver, name: str = "t", types: Sequence[str] = ("case.*",), **more: Any) -> Target:
    return Target(name, receiver.url, tuple(types), SECRET, private=True, **more)


def say(found: Webhooks, log: SqliteLog, *batches: EventBatch) -> None:
    """Commit batches and tell the webhooks, as the engine does."""
    log.append([Events(b) for b in batches])
    found.upto(log.end)


def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come to be so")


def test_events_are_told_once_signed_and_keyed(tmp_path: Path, receiver: Receiver) -> None:
    with hooks(tmp_path, target(receiver)) as (found, log):
        obs = EventBatch.of("device.status", [NOW_MS], ["d"], subject=["D"])
        say(found, log, closed(0, 5), obs, closed(5, 5))
        calls = receiver.wait(lambda c: len(c) >= 10)
        until(lambda: found.store.counts("t")["sent"] == 10)
    assert [c.headers["idempotency-key"] for c in calls] == [f"x#e{i}" for i in range(10)]
    for call in calls:
        assert verify(SECRET, call.headers["x-citytwin-signature"], call.body, NOW_MS // 1000)
        assert call.headers["content-type"] == "application/cloudevents+json"
    assert json.loads(calls[3].body)["subject"] == "C-e3"
    assert "wang" not in str(calls[3].body)
    assert calls[0].path == "/hook?x=1"
    with hooks(tmp_path, target(receiver)) as (found, log):
        say(found, log, closed(10, 1))
        assert len(receiver.wait(lambda c: len(c) >= 11)) == 11, "a restart tells nothing again"


def test_an_ill_target_is_tried_again_and_then_given_up(tmp_path: Path, receiver: Receiver) -> None:
    answers = iter([500, 429, 503, 204])
    receiver.answer = lambda _: next(answers)
    with hooks(tmp_path, target(receiver), clock=Hurried()) as (found, log):
        say(found, log, closed(0, 1))
        calls = receiver.wait(lambda c: len(c) >= 4)
        assert len({c.headers["idempotency-key"] for c in calls}) == 1
        until(lambda: found.store.counts("t")["sent"] == 1)
        receiver.answer = lambda c: 204 if b"e2" in c.body else 400
        say(found, log, closed(1, 2))
        until(lambda: found.store.counts("t")["dead"] == 1)
        until(lambda: found.store.counts("t")["sent"] == 2)
        assert found.store.counts("t")["failed"] == 3 + 15
        dead = found.store.dead("t")[0]
        assert (dead.key, dead.tries, dead.why) == ("x#e1", 15, "the target answered 400")
        receiver.answer = lambda _: 204
        assert found.store.retry("t", dead.id, found.clock.now_ms()) == 1
        until(lambda: found.store.counts("t")["sent"] == 3)
        left = found.store.counts("t")
        assert (left["waiting"], left["dead"], left["dropped"]) == (0, 0, 0)


def test_gone_is_gone_and_redirects_are_not_followed(tmp_path: Path, receiver: Receiver) -> None:
    other = Receiver().start()
    receiver.location = other.url
    receiver.answer = lambda c: 410 if b"e0" in c.body else 307
    with hooks(tmp_path, target(receiver), tries=2, clock=Hurried()) as (found, log):
        say(found, log, closed(0, 2))
        until(lambda: found.store.counts("t")["dead"] == 2)
        whys = {d.key[-2:]: (d.tries, d.why) for d in found.store.dead("t")}
    assert whys["e0"] == (1, "the target answered 410")
    assert whys["e1"] == (2, "the target answered 307; redirects are not followed")
    assert not other.calls
    other.stop()


def test_one_that_hangs_holds_up_nobody(tmp_path: Path, receiver: Receiver) -> None:
    hanging = Receiver(answer=lambda _: None).start()
    with hooks(tmp_path, target(hanging, "hangs"), target(receiver), timeout_s=0.5) as (found, log):
        say(found, log, closed(0, 50))
        receiver.wait(lambda c: len(c) >= 50)
        until(lambda: found.store.counts("hangs")["failed"] >= 1)
        until(lambda: any("no answer within 0.5 s" in str(r) for r in _whys(found.store, "hangs")))
    hanging.stop()


def _whys(store: HookStore, name: str) -> list[object]:
    return [r[0] for r in store._rows("SELECT why FROM delivery WHERE target = ?", name)]


@pytest.mark.parametrize("drip", [b"x", b"HTTP/1.1 200 OK\r\nA: b\r\n"], ids=["no line", "endless heads"])
def test_a_dripping_server_is_ended(receiver: Receiver, drip: bytes) -> None:
    receiver.drip = drip
    with pytest.raises(NotPosted):
        post(receiver.url, b"{}", {}, 0.6, private=True)


def test_private_targets_and_unknown_names_are_refused(receiver: Receiver) -> None:
    for url in (receiver.url, receiver.url.replace("127.0.0.1", "localhost"), "http://[::1]:1/", "http://0.0.0.0:1/"):
        with pytest.raises(NotPosted, match="private network"):
            post(url, b"{}", {}, 2.0)
    with pytest.raises(NotPosted, match="not known"):
        post("http://nowhere.invalid/", b"{}", {}, 2.0)
    assert not receiver.calls


def test_a_target_that_is_killed_and_comes_back_gets_all(tmp_path: Path) -> None:
    first = Receiver().start()
    with hooks(tmp_path, target(first), clock=Hurried()) as (found, log):
        say(found, log, closed(0, 20))
        first.wait(lambda c: len(c) >= 20)
        until(lambda: found.store.counts("t")["sent"] == 20)
        first.stop()
        say(found, log, closed(20, 20))
        until(lambda: found.store.counts("t")["failed"] >= 3)
        second = Receiver(port=first.port).start()
        second.wait(lambda c: len({x.headers["idempotency-key"] for x in c}) == 20)
        until(lambda: found.store.counts("t")["waiting"] == 0)
        assert found.store.counts("t")["sent"] == 40
        second.stop()


def test_scopes_refusals_and_age_are_kept_to(tmp_path: Path, receiver: Receiver) -> None:
    def where(batch: EventBatch) -> list[list[str]]:
        return [["C", "D1"] if i % 2 else ["C", "D2"] for i in range(len(batch))]

    refused: Callable[[int], set[int]] = lambda position: {1} if position == 1 else set()  # noqa: E731
    mine = target(receiver, scopes=("D1", "D7"))
    with hooks(tmp_path, mine, where=where, refused=refused) as (found, log):
        say(found, log, closed(0, 4), closed(4, 2))
        calls = receiver.wait(lambda c: len(c) >= 2)
        until(lambda: found.position == 2)
        assert [c.headers["idempotency-key"][-2:] for c in calls] == ["e3", "e5"]
        found.pace = Pace(max_age_ms=1000)
        old = closed(6, 2)
        say(found, log, EventBatch.of("case.closed", [NOW_MS - 2000] * 2, old.id, "x", old.subject), closed(8, 2))
        assert [c.headers["idempotency-key"][-2:] for c in receiver.wait(lambda c: len(c) >= 3)][2:] == ["e9"]


def test_at_the_bound_the_oldest_go_counted(tmp_path: Path) -> None:
    with hooks(tmp_path, Target("t", "http://127.0.0.1:1/", ("case.*",), SECRET, private=True), most=10) as (
        found,
        log,
    ):
        say(found, log, closed(0, 30))
        until(lambda: found.position == 1)
        assert (found.store.counts("t")["waiting"], found.store.counts("t")["dropped"]) == (10, 20)


def test_a_target_of_another_process_is_taken_up_and_let_go(tmp_path: Path, receiver: Receiver) -> None:
    with hooks(tmp_path) as (found, log):
        say(found, log, closed(0, 1))
        until(lambda: found.position == 1)
        with HookStore(tmp_path / "hooks.db") as other:
            other.add(target(receiver))
            until(lambda: "t" in found.senders)
            say(found, log, closed(1, 1))
            assert b"e1" in receiver.wait(lambda c: len(c) >= 1)[0].body
            other.remove("t")
        until(lambda: "t" not in found.senders)


def test_a_backup_whose_log_ends_earlier_goes_on_from_there(tmp_path: Path, receiver: Receiver) -> None:
    with HookStore(tmp_path / "hooks.db") as store:
        store.take_in((), 500, NOW_MS)
    with hooks(tmp_path, target(receiver)) as (found, log):
        say(found, log, closed(0, 2))
        assert len(receiver.wait(lambda c: len(c) >= 2)) == 2


def test_killed_between_sending_and_marking(tmp_path: Path, receiver: Receiver) -> None:
    """Every event arrives; the one that was not marked arrives twice, under one key."""
    command = [sys.executable, "-m", "tests.doors.sender", str(tmp_path), receiver.url, SECRET, "8"]
    killed = subprocess.run([*command, "die"], capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr
    assert len(receiver.calls) == 3
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert again.stdout == "done\n"
    keys = [c.headers["idempotency-key"] for c in receiver.calls]
    assert sorted(keys) == sorted([f"x#e{i}" for i in range(8)] + ["x#e2"])
    bodies = {c.body for c in receiver.calls if c.headers["idempotency-key"] == "x#e2"}
    assert len(bodies) == 1


def test_hostile_words_stay_words(tmp_path: Path, receiver: Receiver) -> None:
    fields = {"reason": Strings.of(["<script>alert(1)</script>\r\nX-Evil: 1 \x00 13812345678"])}
    batch = EventBatch.of("case.closed", [NOW_MS], ["a\r\nb"], "x", ["C"], fields=fields)
    with hooks(tmp_path, target(receiver, texts=True)) as (found, log):
        say(found, log, batch)
        call: Call = receiver.wait(lambda c: len(c) >= 1)[0]
    assert "x-evil" not in call.headers
    assert call.headers["idempotency-key"] == "x#a%0D%0Ab"
    assert json.loads(call.body)["data"]["reason"] == "<script>alert(1)</script>\r\nX-Evil: 1 \x00 ***"
