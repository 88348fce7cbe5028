"""Backups of a cluster: real events there and back at the same offsets, growing, cut off, damaged, of another log."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from citytwin.cli import cli
from citytwin.models.batch import EventBatch
from citytwin.streams import clusterbackup
from citytwin.streams.archive import Archive, BadArchive, Raw
from citytwin.streams.backup import MANIFEST, BadBackup
from citytwin.streams.clusterbackup import bring_back, check, manifest_of, push, save
from citytwin.streams.pack import pack, unpack
from citytwin.streams.simulator import Simulator
from citytwin.streams.store import StoreError
from tests.citytwin.brokers import MemoryBroker
from tests.streams.towns import small_city

START = 1_754_000_000_000


@pytest.fixture(scope="module")
def batches() -> list[EventBatch]:
    """Five minutes of a simulated town."""
    sim = Simulator(small_city(), 7, START, story=False)
    return [b for minute in range(1, 6) for b in sim.step(START + minute * 60_000)]


@pytest.fixture
def broker(batches: list[EventBatch]) -> MemoryBroker:
    """A log of real events in two shards, with the marks of transactions, and one of which the beginning is gone."""
    made = MemoryBroker({"events": 2, "registers": 1, "desk": 1})
    for i, batch in enumerate(batches):
        made.say("events", i % 2, pack(batch), marks=i % 3 == 0)
    made.say("registers", 0, b"register", marks=1)
    for i in range(40):
        made.say("desk", 0, b"%d" % i)
    made.forget("desk", 0, 11)
    return made


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """Two checkpoints, and one that is only being written."""
    folder = tmp_path / "checkpoints"
    for name in ("shard-0000/0000000004.ckpt", "shard-0001/0000000003.ckpt", "shard-0001/0000000009.ckpt.part"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 100)
    return folder


def keep(broker: MemoryBroker, target: Path, checkpoints: Path | None) -> clusterbackup.Manifest:
    """A backup."""
    return asyncio.run(save(broker, target, prefix="ct", cluster="c1", checkpoints=checkpoints))


def empty(like: MemoryBroker) -> MemoryBroker:
    """New topics with as many partitions."""
    return MemoryBroker({t: len(parts) for t, parts in like.records.items()})


def values(broker: MemoryBroker, topic: str, partition: int) -> dict[int, bytes]:
    """Records that say something, by offset."""
    return {r.offset: r.value for r in broker.records[topic][partition] if r.value is not None}


def test_there_and_back_at_the_same_offsets(
    broker: MemoryBroker, checkpoints: Path, tmp_path: Path, batches: list[EventBatch]
) -> None:
    made = keep(broker, tmp_path / "b", checkpoints)
    assert check(tmp_path / "b") == made
    again = empty(broker)
    written = asyncio.run(push(tmp_path / "b", made, again))
    assert written == len(batches) + 1 + 29
    assert asyncio.run(again.spans()) == asyncio.run(broker.spans())
    for topic, parts in broker.records.items():
        for partition in range(len(parts)):
            assert values(again, topic, partition) == values(broker, topic, partition)
    assert sum(len(unpack(v)) for p in (0, 1) for v in values(again, "events", p).values()) == sum(map(len, batches))
    assert bring_back(tmp_path / "b", made, tmp_path / "new") == 2
    assert (tmp_path / "new/shard-0000/0000000004.ckpt").read_bytes() == b"shard-0000/0000000004.ckpt" * 100


def test_keys_times_and_headers_come_back(broker: MemoryBroker, tmp_path: Path) -> None:
    again = empty(broker)
    asyncio.run(push(tmp_path / "b", keep(broker, tmp_path / "b", None), again))
    assert again.records["desk"][0] == broker.records["desk"][0]


def test_it_grows_and_outlives_what_the_broker_deletes(broker: MemoryBroker, checkpoints: Path, tmp_path: Path) -> None:
    first = keep(broker, tmp_path / "b", checkpoints)
    assert keep(broker, tmp_path / "b", checkpoints).topics == first.topics, "nothing new"
    before = values(broker, "desk", 0)
    broker.forget("desk", 0, 40)
    broker.say("desk", 0, b"new")
    (checkpoints / "shard-0000/0000000005.ckpt").write_bytes(b"newer")
    second = keep(broker, tmp_path / "b", checkpoints)
    assert second.topics["desk"][0] == (11, 41)
    assert set(first.files) & {n for n in second.files if n.startswith("log/")}
    assert [p.name for p in sorted((tmp_path / "b").glob("checkpoints-*"))] == ["checkpoints-000003"]
    again = empty(broker)
    asyncio.run(push(tmp_path / "b", check(tmp_path / "b"), again))
    assert values(again, "desk", 0) == {**before, 40: b"new"}


def test_many_segments(broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusterbackup, "SEGMENT", 500)
    monkeypatch.setattr("citytwin.streams.archive._PIECE", 100)
    made = keep(broker, tmp_path / "b", None)
    assert len(Archive(tmp_path / "b/log").segments("desk", 0)) == 3
    again = empty(broker)
    asyncio.run(push(tmp_path / "b", made, again))
    assert values(again, "desk", 0) == values(broker, "desk", 0)
    (tmp_path / "b/log/desk/00000" / sorted((tmp_path / "b/log/desk/00000").iterdir())[1].name).unlink()
    with pytest.raises(BadBackup, match="is missing"):
        check(tmp_path / "b")
    with pytest.raises(BadArchive, match=r"records .* are missing"):
        Archive(tmp_path / "b/log").segments("desk", 0)


def test_a_restore_that_was_cut_off_goes_on(
    broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusterbackup, "SEGMENT", 300)
    made, again = keep(broker, tmp_path / "b", None), empty(broker)
    again.fail_at = 9
    with pytest.raises(OSError, match="gone"):
        asyncio.run(push(tmp_path / "b", made, again))
    asyncio.run(push(tmp_path / "b", made, again))
    assert asyncio.run(push(tmp_path / "b", made, again)) == 0, "nothing is left to do"
    assert asyncio.run(again.spans()) == asyncio.run(broker.spans())
    assert values(again, "events", 1) == values(broker, "events", 1)


def test_topics_that_hold_something_else_are_refused(broker: MemoryBroker, tmp_path: Path) -> None:
    made, other = keep(broker, tmp_path / "b", None), empty(broker)
    other.say("events", 0, b"another city")
    with pytest.raises(BadBackup, match="record 0 is not the one of the backup"):
        asyncio.run(push(tmp_path / "b", made, other))
    for _ in range(99):
        other.say("events", 0, b"x")
    with pytest.raises(BadBackup, match="holds 100 records, the backup ends"):
        asyncio.run(push(tmp_path / "b", made, other))
    with pytest.raises(BadBackup, match="must have 2 partitions, there are 3"):
        asyncio.run(push(tmp_path / "b", made, MemoryBroker({"events": 3, "registers": 1, "desk": 1})))


def test_a_log_that_is_another_one_is_not_added(broker: MemoryBroker, tmp_path: Path) -> None:
    keep(broker, tmp_path / "b", None)
    with pytest.raises(BadBackup, match="name a new folder"):
        asyncio.run(save(broker, tmp_path / "b", prefix="ct", cluster="c2", checkpoints=None))
    with pytest.raises(BadBackup, match="this is another log"):
        keep(empty(broker), tmp_path / "b", None)
    last = broker.records["desk"][0][-1]
    broker.records["desk"][0][-1] = last._replace(value=b"changed")
    with pytest.raises(BadBackup, match="record 39 is not the one"):
        keep(broker, tmp_path / "b", None)
    broker.records["desk"][0][-1] = last
    for _ in range(20):
        broker.say("desk", 0, b"y")
    broker.forget("desk", 0, 50)
    with pytest.raises(BadBackup, match="records 40 to 49 were deleted before they were archived"):
        keep(broker, tmp_path / "b", None)


@pytest.mark.parametrize("kind", ["log", "checkpoints-000001", MANIFEST])
@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_damage_is_refused_by_name(
    broker: MemoryBroker, checkpoints: Path, tmp_path: Path, kind: str, how: str
) -> None:
    keep(broker, tmp_path / "b", checkpoints)
    at = tmp_path / "b" / kind
    path = at if at.is_file() else next(p for p in sorted(at.rglob("*")) if p.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data if how == "flip" else data[: len(data) // 2])
    said = CliRunner().invoke(cli, ["restore", "--check", str(tmp_path / "b")])
    assert isinstance(said.exception, StoreError)
    assert path.name in str(said.exception)
    if kind == "log" and how != "gone":
        with pytest.raises(BadArchive, match=r"damaged|no segment"):
            [r for t, ps in Archive(tmp_path / "b/log").topics().items() for p in ps for r in archived(tmp_path, t, p)]


def archived(folder: Path, topic: str, partition: int) -> list[Raw]:
    """All that an archive holds of a partition."""
    return list(Archive(folder / "b/log").read(topic, partition))


def test_a_backup_cut_off_leaves_the_older_one(broker: MemoryBroker, checkpoints: Path, tmp_path: Path) -> None:
    first = keep(broker, tmp_path / "b", checkpoints)
    broker.say("desk", 0, b"later")

    async def cut(*_: object) -> None:
        raise OSError(5, "cut off")

    real: Callable[..., object] = broker.spans
    broker.spans = cut  # type: ignore[assignment, method-assign]
    with pytest.raises(OSError, match="cut off"):
        keep(broker, tmp_path / "b", checkpoints)
    assert check(tmp_path / "b") == first
    broker.spans = real  # type: ignore[assignment, method-assign]
    assert keep(broker, tmp_path / "b", checkpoints).topics["desk"][0] == (11, 41)


def test_nothing_is_overwritten(broker: MemoryBroker, checkpoints: Path, tmp_path: Path) -> None:
    made = keep(broker, tmp_path / "b", checkpoints)
    (checkpoints / "shard-0001/0000000009.ckpt.part").unlink()
    assert bring_back(tmp_path / "b", made, checkpoints) == 2, "the same is there already"
    (checkpoints / "shard-0000/0000000009.ckpt").write_bytes(b"newer")
    with pytest.raises(BadBackup, match="not empty"):
        bring_back(tmp_path / "b", made, checkpoints)
    with pytest.raises(BadBackup, match="not empty"):
        keep(broker, checkpoints, None)
    with pytest.raises(BadBackup, match="there is no folder"):
        keep(broker, tmp_path / "c", tmp_path / "nowhere")


def test_checkpoints_that_come_and_go_meanwhile(
    broker: MemoryBroker, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = shutil.copyfile, checkpoints / "shard-0000/0000000004.ckpt"

    def copy(source: Path, target: Path) -> None:
        if source == gone and gone.exists():
            gone.unlink()
            (checkpoints / "shard-0000/0000000008.ckpt").write_bytes(b"newer")
        real(source, target)

    monkeypatch.setattr("citytwin.streams.backup.shutil.copyfile", copy)
    made = keep(broker, tmp_path / "b", checkpoints)
    names = [n.split("/", 1)[1] for n in made.files if n.startswith("checkpoints-")]
    assert names == ["shard-0000/0000000008.ckpt", "shard-0001/0000000003.ckpt"]


def test_folders_of_another_kind(tmp_path: Path) -> None:
    assert manifest_of(tmp_path) is None
    (tmp_path / MANIFEST).write_text('{"format": 1, "position": 3, "snapshot": 0, "files": {}}')
    assert manifest_of(tmp_path) is None
    (tmp_path / MANIFEST).write_text(
        '{"format": 9, "prefix": "", "cluster": "", "topics": {}, "checkpoints": "", "files": {}}'
    )
    with pytest.raises(BadBackup, match="another version"):
        manifest_of(tmp_path)
