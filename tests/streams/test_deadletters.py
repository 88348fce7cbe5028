"""Dead letters: kept once, bounded, retried once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from citytwin.models.batch import Rejection
from citytwin.streams.deadletters import DeadLetters, LetterGone


def bad(index: int, reason: str = "bad_time", head: bytes = b"{}") -> Rejection:
    """A refused event."""
    return Rejection(index, reason, "time", "the time is no time", head, "gate", f"e{index}")


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    """An empty table."""
    with DeadLetters(tmp_path / "dead.db") as found:
        yield found


def test_kept_with_everything(letters: DeadLetters) -> None:
    assert letters.add("http", "abc", [bad(0), bad(3, "future", b"\xff\x00")], 5000) == 2
    newest, oldest = letters.list()
    assert (newest.row, newest.reason, newest.head, newest.source, newest.event) == (
        3,
        "future",
        b"\xff\x00",
        "gate",
        "e3",
    )
    assert (oldest.seen_ms, oldest.door, oldest.place, oldest.state, oldest.retried_ms) == (
        5000,
        "http",
        "abc",
        "open",
        None,
    )
    assert letters.show(oldest.id) == oldest
    assert letters.counts() == {"bad_time": 1, "future": 1}
    assert [x.row for x in letters.list(reason="future")] == [3]
    assert [x.row for x in letters.list(before=newest.id)] == [0]


def test_same_place_and_row_once(letters: DeadLetters) -> None:
    assert letters.add("http", "abc", [bad(0)], 1) == 1
    assert letters.add("http", "abc", [bad(0), bad(1)], 2) == 1
    assert letters.add("file", "abc", [bad(0)], 3) == 1
    assert letters.total() == 3


def test_replay_brings_nothing_back(letters: DeadLetters) -> None:
    letters.max_count = 2
    assert letters.add_from_log(10, [bad(0), bad(1)], 1) == 2
    assert letters.add_from_log(12, [bad(0)], 2) == 1
    letters.discard(letters.list()[0].id, 3)
    assert letters.add_from_log(10, [bad(0), bad(1)], 4) == 0
    assert letters.add_from_log(12, [bad(0)], 5) == 0
    assert [(x.place, x.state) for x in letters.list(state=None)] == [("12", "discarded"), ("10", "open")]


def test_bounded_by_count(tmp_path: Path) -> None:
    with DeadLetters(tmp_path / "d.db", max_count=10) as letters:
        letters.add("http", "a", [bad(i) for i in range(25)], 1)
        letters.add("http", "b", [bad(i) for i in range(4)], 2)
        assert letters.total() == 10
        assert letters.dropped == 4, "ten of the first body were taken in, four of them made room"
        assert [x.place for x in letters.list()] == ["b"] * 4 + ["a"] * 6


def test_bounded_by_size(tmp_path: Path) -> None:
    with DeadLetters(tmp_path / "d.db", max_bytes=20_000) as letters:
        for i in range(50):
            letters.add("http", i, [bad(0, head=b"x" * 5000)], i)
        assert 5 <= letters.total() <= 10
        assert letters.total() + letters.dropped == 50
        assert len(letters.list()[0].head) == 2048, "heads are bounded too"


def test_retry_counts_once(letters: DeadLetters) -> None:
    letters.add("http", "abc", [bad(0)], 1)
    number = letters.list()[0].id
    taken: list[bytes] = []

    def submit(body: bytes) -> list[Rejection]:
        taken.append(body)
        return [] if b"good" in body else [bad(0, "bad_code")]

    assert [r.reason for r in letters.retry(number, b"still bad", submit, 10)] == ["bad_code"]
    assert letters.show(number).state == "open"
    assert not letters.retry(number, b"good", submit, 20)
    assert (letters.show(number).state, letters.show(number).retried_ms) == ("retried", 20)
    with pytest.raises(LetterGone, match="retried already"):
        letters.retry(number, b"good", submit, 30)
    assert taken == [b"still bad", b"good"]
    assert letters.counts() == {}
    assert letters.counts("retried") == {"bad_time": 1}


def test_unknown_letter(letters: DeadLetters) -> None:
    with pytest.raises(LetterGone, match="no dead letter 7"):
        letters.show(7)


def test_odd_text_is_kept(letters: DeadLetters) -> None:
    letters.add("http", "a", [Rejection(0, "not_utf8", "\ud800", "x" * 9999, b"\xff", "s" * 9999, "武汉")], 1)
    found = letters.list()[0]
    assert (found.field, len(found.detail), len(found.source), found.event) == ("?", 1000, 200, "武汉")


def test_survives_reopening(tmp_path: Path) -> None:
    with DeadLetters(tmp_path / "d.db") as letters:
        letters.add_from_log(3, [bad(0)], 1)
        letters.backup(tmp_path / "copy.db")
    for name in ("d.db", "copy.db"):
        with DeadLetters(tmp_path / name) as letters:
            assert letters.total() == 1
            assert letters.add_from_log(3, [bad(0)], 2) == 0
