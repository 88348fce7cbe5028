"""What waits on disk: in order, within its bound, there again after a crash."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from citytwin.streams.spool import Spool


def drained(spool: Spool) -> list[bytes]:
    """All records, oldest first, taken out."""
    out = []
    while found := spool.peek(3):
        out += [payload for payload, _ in found]
        spool.pop()
    return out


def test_it_gives_in_order_what_it_took(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10_000, segment_bytes=100)
    given = [f"record {n}".encode() * (n % 5 + 1) for n in range(50)]
    for n, record in enumerate(given[:30]):
        assert spool.append(record, n + 1)
    assert spool.peek() == [(given[0], 1)]
    assert spool.peek(100) == [(given[0], 1)]
    spool.pop()
    spool.pop()  # nothing was given since
    assert spool.peek(5) == [(given[1], 2), (given[2], 3)]
    for record in given[30:]:
        spool.append(record, 1)
    assert drained(spool) == given[1:]
    assert (spool.size, spool.rows, spool.dropped, bool(spool)) == (0, 0, 0, False)
    assert list(tmp_path.iterdir()) == []
    spool.append(b"again", 1)
    assert drained(spool) == [b"again"]


def test_beyond_the_bound_the_oldest_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000, segment_bytes=200)
    for n in range(100):
        spool.append(b"%03d" % n * 10, 2)
        assert spool.size <= 1_000
        assert sum(p.stat().st_size for p in tmp_path.iterdir()) == spool.size
    left = drained(spool)
    assert left == [b"%03d" % n * 10 for n in range(100 - len(left), 100)]
    assert spool.dropped == 2 * (100 - len(left))


def test_what_goes_while_it_was_given_out_is_not_taken_out_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 300, segment_bytes=60)
    for n in range(5):
        spool.append(b"%d" % n * 30, 1)
    assert spool.peek() == [(b"0" * 30, 1)]
    for n in range(5, 8):
        spool.append(b"%d" % n * 30, 1)
    spool.pop()
    assert drained(spool)[-1] == b"7" * 30
    assert spool.rows == 0


def test_it_is_there_again_after_a_stop_and_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "before", 10_000, segment_bytes=100)
    for n in range(20):
        spool.append(b"%02d" % n * 10, 1)
    for _ in range(7):
        spool.peek()
        spool.pop()
    # as after a kill, and the last record was only half on disk
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    spool.close()
    last = max((tmp_path / "after").iterdir())
    whole = last.read_bytes()
    last.write_bytes(whole[:-5])
    again = Spool(tmp_path / "after", 10_000, segment_bytes=100)
    left = drained(again)
    assert left == sorted(left)
    assert left[-1] == b"18" * 10  # the torn one is gone, and nothing else
    assert left[0] in (b"06" * 10, b"07" * 10)  # a segment that was begun is given from its beginning
    spool = Spool(tmp_path, 10_000)
    spool.append(b"x", 1)
    spool.close()
    assert drained(Spool(tmp_path, 10_000)) == [b"x"]


def test_a_record_that_rotted_ends_its_segment(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10_000)
    spool.append(b"good", 1)
    spool.append(b"rotten", 1)
    spool.close()
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"rotten", b"r0tten"))
    assert drained(Spool(tmp_path, 10_000)) == [b"good"]


def test_a_disk_that_takes_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, 10_000)
    spool.append(b"one", 1)
    with monkeypatch.context() as patch:

        def full(*_: object) -> object:
            raise OSError(28, "No space left on device")

        patch.setattr(Spool, "_writer", full)
        assert not spool.append(b"two", 5)
    spool.append(b"three", 1)
    assert drained(spool) == [b"one", b"three"]
    assert spool.dropped == 5
