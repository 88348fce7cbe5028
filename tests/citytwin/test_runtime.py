"""The runtime: commit before feed, answers after it, and what it does when the disk, the queue or the engine fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from citytwin.clock import ManualClock
from citytwin.keeper import Keeper, Retention
from citytwin.letterbox import Letterbox
from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.frame import Frame
from citytwin.recovery import recover
from citytwin.runtime import Busy, Runtime, Settings, Unavailable
from citytwin.streams.deadletters import DeadLetters
from citytwin.streams.log import Events, Record, SqliteLog, Tick
from citytwin.streams.snapshots import Snapshots
from tests.citytwin.fakes import FakeEngine

START = 1_000_000
WAIT_S = 20


def batch(*ids: str, subject: str = "") -> EventBatch:
    """A batch with these ids."""
    return EventBatch.of("obs", [START] * len(ids), ids, subject=[subject] * len(ids))


class City:
    """A runtime with a fake engine on a real log."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock, self.frames, self.news = ManualClock(START), list[Frame](), list[dict[str, Any]]()
        self.framed = threading.Condition()
        self.log = SqliteLog(folder / "log.db")
        self.letters = DeadLetters(folder / "dead.db")
        self.snapshots = Snapshots(folder / "snapshots")
        self.keeper = Keeper(self.snapshots, self.log, retention=Retention(days=0.1), clock=self.clock)
        self.box = Letterbox(self.letters)
        refused = lambda p, r: self.box.from_log(p, r, START)  # noqa: E731
        self.found = recover(self.log, self.snapshots, FakeEngine, FakeEngine.restore, refused=refused)
        self.engine = self.found.engine
        self.runtime = Runtime(
            self.engine,
            self.log,
            letterbox=self.box,
            position=self.found.position,
            keeper=self.keeper,
            take=self.engine.snapshot,
            clock=self.clock,
            settings=Settings(**({"health": False} | settings)),
            on_frame=self._frame,
            on_status=lambda s: self.news.append(dict(s)),
        )

    def _frame(self, frame: Frame) -> None:
        with self.framed:
            self.frames.append(frame)
            self.framed.notify_all()

    def await_frames(self, n: int) -> Frame:
        """The newest frame, once there are `n`."""
        with self.framed:
            assert self.framed.wait_for(lambda: len(self.frames) >= n, WAIT_S)
            return self.frames[-1]

    def tick_to(self, now: int) -> Frame:
        """Move the clock and wait for the frame."""
        before = len(self.frames)
        self.clock.set(now)
        frame = self.await_frames(before + 1)
        result(self.runtime.call(lambda: None))  # the turn that made the frame is over
        return frame

    def close(self, *, snapshot: bool = True) -> None:
        """Stop and close; a second time does nothing."""
        self.runtime.stop(snapshot=snapshot)
        self.log.close()
        self.letters.close()


Make = Callable[..., City]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes runtimes on the same folder, one after the other."""
    made: list[City] = []

    def build(*, start: bool = True, **settings: Any) -> City:
        for old in made:
            old.close(snapshot=False)
        city = City(tmp_path, **settings)
        made.append(city)
        if start:
            city.runtime.start()
            city.await_frames(1)
        return city

    yield build
    for city in made:
        city.close(snapshot=False)


def result(future: Future[Any]) -> Any:
    """The answer, soon."""
    return future.result(WAIT_S)


def test_answer_comes_after_log_and_engine(make: Make) -> None:
    city = make()
    (changes, other) = result(city.runtime.submit([batch("a", "b", "a"), batch("c")]))
    assert (changes.accepted, changes.duplicates, other.accepted) == (2, 1, 1)
    kept = [r.batch.id.tolist() for _, r in city.log.read() if isinstance(r, Events)]
    assert kept == [["a", "b", "a"], ["c"]]
    assert list(city.engine.ids) == ["a", "b", "c"]


def test_empty_batches_are_answered_and_not_logged(make: Make) -> None:
    city = make(start=False)
    future = city.runtime.submit([batch(), batch("a"), batch()])
    city.runtime.start(live=False)
    assert [c.accepted for c in result(future)] == [0, 1, 0]
    assert city.log.end == 1


def test_ticks_are_in_the_log_before_the_frame(make: Make) -> None:
    city = make()
    frame = city.tick_to(START + 2500)
    assert frame.now == START + 2000, "ticks fall on full seconds"
    assert frame.position == city.log.end
    assert [r for _, r in city.log.read(frame.position)] == [Tick(START + 2000)]
    assert city.tick_to(START + 9000).now == START + 9000, "a late tick is one tick, not seven"


def test_clock_set_back(make: Make) -> None:
    city = make()
    city.tick_to(START + 5000)
    frame = city.tick_to(START - 100_000)
    assert frame.now == START + 5001, "the city's time never goes back"
    assert city.runtime.status["clock"] == "behind"
    city.tick_to(START + 60_000)
    assert city.runtime.status["clock"] == "ok"


def test_queue_is_bounded(make: Make) -> None:
    city = make(start=False, queue_events=10)
    first = city.runtime.submit([batch(*map(str, range(25)))])
    with pytest.raises(Busy) as busy:
        city.runtime.submit([batch("x")])
    assert busy.value.retry_after_s > 0
    city.runtime.start(live=False)
    assert result(first)[0].accepted == 25, "what is larger than the queue is taken when nothing else waits"
    assert result(city.runtime.submit([batch("x")]))[0].accepted == 1


def test_groups_share_a_commit(make: Make) -> None:
    city = make(start=False)
    futures = [city.runtime.submit([batch(str(i))]) for i in range(50)]
    commits: list[int] = []
    append = city.log.append

    def counted(records: Sequence[Record]) -> list[int]:
        commits.append(len(records))
        return append(records)

    city.log.append = counted  # type: ignore[method-assign]
    city.runtime.start(live=False)
    assert [result(f)[0].accepted for f in futures] == [1] * 50
    assert commits == [50]


def test_refused_events_become_letters_once(make: Make) -> None:
    city = make()
    (changes,) = result(city.runtime.submit([batch("a", "b", subject="bad")]))
    assert len(changes.rejected) == 2
    assert [(x.event, x.door, x.row) for x in city.letters.list()] == [("b", "log", 1), ("a", "log", 0)]
    city.close(snapshot=False)
    again = make()
    assert again.found.records > 0
    assert again.letters.total() == 2, "the replay added none"


def test_refusals_of_a_door(make: Make) -> None:
    city = make()
    bad = [Rejection(4, "bad_time", "time", "no time", b"{}")]
    assert result(city.runtime.refuse("http", "digest", bad)) == 1
    assert result(city.runtime.refuse("http", "digest", bad)) == 0
    assert city.letters.counts() == {"bad_time": 1}


def test_full_log_answers_and_goes_on(make: Make) -> None:
    city = make()
    first = city.tick_to(START + 1000)
    city.log.limit(1)
    with pytest.raises(Unavailable, match="goes on by itself"):
        result(city.runtime.submit([EventBatch.of("obs", [START] * 20_000, [f"e{i}" for i in range(20_000)])]))
    assert city.runtime.status["log"] == "full"
    assert {"log": "full"}.items() <= city.news[-1].items()
    assert not city.engine.ids, "what the log has not taken was not fed"
    city.log.limit(0)
    frame = city.tick_to(START + 3000)
    assert frame.k == first.k + 1
    assert city.runtime.status["log"] == "ok"
    assert result(city.runtime.submit([batch("a")]))[0].accepted == 1


def test_no_tick_without_the_log(make: Make) -> None:
    city = make()
    city.tick_to(START + 1000)
    frames = len(city.frames)
    city.log._db.execute("PRAGMA query_only=1")
    city.clock.set(START + 2000)
    for _ in range(2):  # the first call may come before the tick of its turn, the second comes after it
        result(city.runtime.call(lambda: None))
    assert city.runtime.status["log"] == "readonly"
    assert len(city.frames) == frames
    city.log._db.execute("PRAGMA query_only=0")
    assert city.tick_to(START + 4000).now == START + 4000
    assert city.runtime.status["log"] == "ok"


def test_a_commit_that_stood_after_all_is_fed(make: Make) -> None:
    city = make()
    city.log.append([Events(batch("hidden"))])  # in the file, but its append was reported as failed
    assert result(city.runtime.submit([batch("later")]))[0].accepted == 1
    assert list(city.engine.ids) == ["hidden", "later"]


def test_a_bug_in_the_engine_stops_it_plainly(make: Make) -> None:
    city = make()
    with pytest.raises(Unavailable, match=r"engine failed \(RuntimeError: a bug\)"):
        result(city.runtime.submit([batch("a", subject="bug")]))
    with pytest.raises(Unavailable, match="doctor"):
        city.runtime.submit([batch("b")])
    assert city.runtime.status["failed"]


def test_a_bug_in_a_tick_of_the_callers_own_stops_it_too(make: Make) -> None:
    city = make()
    result(city.runtime.submit([batch("bug in the tick")]))
    with pytest.raises(RuntimeError, match="a bug"):
        result(city.runtime.advance(city.engine.now + 1))
    with pytest.raises(Unavailable, match="doctor"):
        city.runtime.submit([batch("b")])


def test_a_listener_that_fails_does_not_stop_the_city(make: Make) -> None:
    city = make()

    def broken(_: Frame) -> None:
        raise ValueError("page")

    city.runtime.on_frame = broken
    assert result(city.runtime.advance(START + 777)).now == START + 777
    assert result(city.runtime.submit([batch("a")]))[0].accepted == 1


def test_restart_comes_to_the_same_state(make: Make) -> None:
    city = make()
    for i in range(20):
        result(city.runtime.submit([batch(f"e{i}")]))
        city.tick_to(START + (i + 1) * 1000)
    city.close(snapshot=False)
    expected = city.engine.state_hash()
    again = make(start=False)
    assert again.found.snapshot == 0
    assert again.found.events == 20
    assert again.engine.state_hash() == expected
    assert again.found.frame is not None
    assert again.found.frame.now == START + 20_000
    assert "records with 20 events" in again.found.sentence()


def test_snapshots_come_by_the_clock_and_shorten_the_replay(make: Make) -> None:
    city = make(snapshot_every_ms=5000)
    for i in range(12):
        result(city.runtime.submit([batch(f"e{i}")]))
        city.tick_to(START + (i + 1) * 1000)
        city.keeper.wait()
    assert len(city.snapshots.positions()) == 2
    city.close(snapshot=False)
    expected = city.engine.state_hash()
    again = make(start=False)
    assert again.found.snapshot == city.snapshots.positions()[0]
    assert 0 < again.found.records < again.log.end
    assert again.engine.state_hash() == expected
    again.runtime.start(live=False)
    again.close()
    last = make(start=False)
    assert last.found.records == 0, "a graceful stop leaves nothing to replay"
    assert last.engine.state_hash() == again.engine.state_hash()


def test_old_log_goes_only_as_far_as_snapshots_allow(make: Make) -> None:
    city = make(snapshot_every_ms=1000)
    city.keeper.snapshots.keep = 1
    for hour in range(6):
        result(city.runtime.submit([batch(f"e{hour}")]))
        city.tick_to(START + hour * 3_600_000 + 3000)
        city.keeper.wait()
    assert city.log.first > 1, "2.4 hours are kept"
    assert city.log.first <= city.snapshots.oldest() + 1
    city.close(snapshot=False)
    expected = city.engine.state_hash()
    assert make(start=False).engine.state_hash() == expected


def test_stop_finishes_what_waits(make: Make) -> None:
    city = make(start=False)
    futures = [city.runtime.submit([batch(str(i))]) for i in range(5)]
    city.runtime.start()
    city.runtime.stop()
    assert [result(f)[0].accepted for f in futures] == [1] * 5
    with pytest.raises(Unavailable, match="stopping"):
        city.runtime.submit([batch("x")])


def test_health_is_logged_at_a_bounded_rate_and_not_in_replay(make: Make) -> None:
    city = make(start=False, health=True)
    futures = [city.runtime.submit([batch(f"e{i}")]) for i in range(300)]
    city.runtime.start()
    for future in futures:
        result(future)
    city.tick_to(START + 1000)
    city.tick_to(START + 2000)
    result(city.runtime.call(lambda: 1))
    found = [r.batch for _, r in city.log.read() if isinstance(r, Events) and r.batch.type == "indicator.value"]
    assert sum(map(len, found)) <= 64 * 2
    assert found
    assert all((b.fields["published_ts"] >= b.fields["event_ts"]).all() for b in found)  # type: ignore[operator]
    city.close(snapshot=False)
    end = city.log.end
    assert make(start=False).log.end == end
