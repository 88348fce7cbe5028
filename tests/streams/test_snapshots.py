"""Snapshots: exact, written aside, and passed over when damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from citytwin.streams import snapshots
from citytwin.streams.snapshots import BadSnapshot, Snapshot, Snapshots, read, write
from citytwin.streams.store import LogFull


def sample(position: int) -> Snapshot:
    """Arrays of several kinds."""
    arrays = {
        "time": np.arange(1000, dtype=np.int64) * position,
        "lon": np.array([np.nan, -0.0, np.inf]),
        "none": np.empty((0, 4), np.int32),
        "grid": np.arange(12, dtype=np.int8).reshape(3, 4)[:, ::2],
        "one": np.array(7, np.uint64),
    }
    return Snapshot(position, arrays, {"names": ["武汉", "x"], "k": position})


def same(a: Snapshot, b: Snapshot) -> bool:
    """Equal in position, meta and bytes of arrays."""
    return (
        (a.position, a.meta, list(a.arrays)) == (b.position, b.meta, list(b.arrays))
        and all(a.arrays[k].dtype == b.arrays[k].dtype and a.arrays[k].shape == b.arrays[k].shape for k in a.arrays)
        and all(a.arrays[k].tobytes() == b.arrays[k].tobytes() for k in a.arrays)
    )


@pytest.mark.parametrize("level", [0, 1])
def test_round_trip(tmp_path: Path, level: int) -> None:
    digest = write(tmp_path / "s.bin", sample(5), level=level)
    assert len(digest) == 64
    assert same(read(tmp_path / "s.bin"), sample(5))
    assert write(tmp_path / "t.bin", sample(5), level=level) == digest, "equal state, equal file"
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["s.bin", "t.bin"]


def test_large_arrays_go_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_PIECE", 1000)
    array = np.random.default_rng(1).integers(0, 2**60, 12_345)
    write(tmp_path / "s.bin", Snapshot(1, {"a": array}))
    assert (read(tmp_path / "s.bin").arrays["a"] == array).all()


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(st.sampled_from([np.int8, np.int32, np.int64, np.float64, np.bool_, np.uint64]), hnp.array_shapes()))
def test_any_array(tmp_path_factory: pytest.TempPathFactory, array: NDArray[Any]) -> None:
    path = tmp_path_factory.mktemp("any") / "s.bin"
    write(path, Snapshot(1, {"a": array}))
    assert read(path).arrays["a"].tobytes() == array.tobytes()


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Python objects"):
        write(tmp_path / "s.bin", Snapshot(1, {"a": np.array([object()])}))


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.bin"
    write(path, Snapshot(3, {"a": np.arange(40)}, {"k": 1}))
    good = path.read_bytes()
    for i in range(len(good)):
        path.write_bytes(good[:i] + bytes([good[i] ^ 0x41]) + good[i + 1 :])
        with pytest.raises(BadSnapshot):
            read(path)
    for cut in (0, 5, 20, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(BadSnapshot):
            read(path)
    path.write_bytes(good + b"x")
    with pytest.raises(BadSnapshot):
        read(path)


def test_newest_valid_wins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Snapshots(tmp_path / "s", keep=3)
    assert store.newest() is None
    assert store.oldest() == 0
    for position in (10, 20, 30, 40):
        store.save(sample(position))
    assert store.positions() == [40, 30, 20]
    assert store.oldest() == 20
    with store.path(40).open("r+b") as file:
        file.seek(100)
        file.write(b"damage")
    found = store.newest()
    assert found is not None
    assert same(found, sample(30))
    assert "damaged" in caplog.text
    assert "passed over" in caplog.text
    found = store.newest(upto=25)
    assert found is not None
    assert found.position == 20
    assert "ahead of the log" in caplog.text


def test_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.bin"
    write(path, sample(1))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LogFull, match="no room"):
        write(path, sample(2))
    assert same(read(path), sample(1))
    assert [p.name for p in tmp_path.iterdir()] == ["s.bin"]
