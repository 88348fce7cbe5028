"""Checkpoints that are lost, damaged, of another number of shards, or older than the log: exact again, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from citytwin.streams.brokers import Place
from citytwin.streams.kafka import trim
from tests.cluster.harness import Load, Member, Town, now_ms
from tests.cluster.reference import compare, lost, read
from tests.servers.kafka import Kafka
from tests.servers.process import until

SHARDS = 2
CANNOT = 70


@pytest.fixture
def town(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Town]:
    found = Town(tmp_path, kafka.bootstrap, prefix, shards=SHARDS, settings={"CLUSTER__CHECKPOINT_SECONDS": 1})
    try:
        found.create()
        yield found
    finally:
        found.close()


def at_work(town: Town) -> tuple[Member, Member, Load]:
    """A worker, a clock and a load, with some checkpoints of each."""
    worker, clock = town.add("worker"), town.add("clock")
    load = town.load(seed=3)
    until(lambda: all(len(found) >= 3 for found in saved(town, worker) + saved(town, clock)), 180, "checkpoints")
    return worker, clock, load


def saved(town: Town, member: Member) -> list[list[Path]]:
    """Its checkpoints, oldest first: a list for each shard that a worker may hold, or the clock's."""
    names = ["clock"] if member.verb == "clock" else ["desk", *(f"shard-{n:04d}" for n in range(SHARDS))]
    return [sorted(town.options.place(name).glob("snapshot-*.bin")) for name in names]


def newest_lost(files: list[Path]) -> None:
    files[-1].unlink()


def all_lost(files: list[Path]) -> None:
    for file in files:
        file.unlink()


def newest_flipped(files: list[Path]) -> None:
    data = bytearray(files[-1].read_bytes())
    data[len(data) // 2] ^= 4
    files[-1].write_bytes(data)


HARM: tuple[Callable[[list[Path]], None], ...] = (newest_lost, all_lost, newest_flipped)


def test_lost_and_damaged_checkpoints_give_exact_frames(town: Town) -> None:
    """Of worker and clock: the newest, all, a flipped bit; an older one or the log takes the place."""
    worker, clock, load = at_work(town)
    for harm in HARM:
        until(lambda: all(len(f) >= 2 for f in saved(town, worker) + saved(town, clock)), 60, "two checkpoints of each")
        back = now_ms()
        for member in (worker, clock):
            member.kill()
            for files in saved(town, member):
                harm(files)
            member.launch()
        town.caught_up(back, 180, f"worker and clock came back with {harm.__name__}")
        if harm is newest_flipped:
            assert "is damaged" in worker.said(), worker.said()
            assert "is damaged" in clock.said(), clock.said()
    town.quiet()
    last = town.settle()
    logs = town.loop.run(read(town.options))
    verdict = compare(town.options, logs)
    assert not verdict.wrong, "\n".join(verdict.wrong)
    assert verdict.finals >= last
    assert lost(logs, load.acknowledged) == []
    assert verdict.events == load.events


def refused(member: Member, *words: str) -> None:
    """It ends by itself, and says why and what to do."""
    member.launch()
    until(lambda: not member.alive, 60, f"{member.name} ends; {member.said()[-800:]}")
    assert member.code == CANNOT, member.said()[-2000:]
    last = member.said().strip().splitlines()[-1]
    assert all(word in last for word in words), last


def test_what_cannot_be_exact_is_refused(town: Town) -> None:
    """Another number of shards; a log, parts or a board that were trimmed beyond what is needed."""
    worker, clock, _ = at_work(town)
    town.quiet()
    town.settle()
    worker.stop()
    clock.stop()
    for verb in ("worker", "clock"):
        refused(town.add(verb, f"other-{verb}", KAFKA__SHARDS=SHARDS + 1), "of 2 shards", "citytwin reshard")
    for member, topic in ((worker, "events"), (clock, "parts"), (clock, "board")):
        for files in saved(town, member):
            all_lost(files)
        town.loop.run(trim(town.options.cluster, {Place(town.options.topic(topic), 0): 12}))
        refused(member, f"{topic}/0 holds offsets 12 to", "records were deleted", "restore")
