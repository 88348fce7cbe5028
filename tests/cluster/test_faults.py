"""Members and brokers die, stop and freeze under load: nothing acknowledged is lost or doubled, frames are equal."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.harness import Member, Town, now_ms
from tests.cluster.reference import compare, lost, read
from tests.conftest import proving
from tests.servers.kafka import Kafka
from tests.servers.process import until

FAULTS = 30 if proving() else 3
#: Longer than a member's session, so that its shards have gone to another when it thaws.
FROZEN_S = 9.0
Figure = Callable[[str, float, str], None]
Kafkas = Callable[..., Kafka]


def hurt(town: Town, member: Member, how: str) -> int:
    """Do it, and bring the member back; when it happened (ms)."""
    happened = now_ms()
    if how == "freeze":
        member.freeze()
        until(lambda: now_ms() - happened > FROZEN_S * 1000, FROZEN_S + 5, "the end of the frost")
        member.thaw()
    elif how == "kill":
        member.kill()
        member.launch()
    else:
        member.stop()
        member.launch()
    return happened


def begin(town: Town) -> None:
    """Two workers, two clocks and a load, all of it at work."""
    for verb in ("worker", "worker", "clock", "clock"):
        town.add(verb)
    town.load(seed=11)
    until(lambda: town.board.final >= 3, 180, lambda: f"the first frames; {town.words()}")


def judge(town: Town) -> None:
    """Compare every final frame with one engine, and what was acknowledged with what is there."""
    loads = [load for load, _ in town._loads]
    town.quiet()
    last = town.settle()
    logs = town.loop.run(read(town.options), 120)
    verdict = compare(town.options, logs)
    assert not verdict.wrong, "\n".join(verdict.wrong)
    assert verdict.finals >= last
    for load in loads:
        assert lost(logs, load.acknowledged) == []
        assert verdict.events == load.events


def test_members_die_stop_and_freeze(kafka: Kafka, prefix: str, tmp_path: Path, figure: Figure) -> None:
    """A worker or a clock at random, again and again."""
    chance, took = random.Random(7), dict[str, list[float]]()
    town = Town(tmp_path, kafka.bootstrap, prefix)
    try:
        town.create()
        begin(town)
        plan = [("worker", "kill"), ("clock", "kill"), ("worker", "freeze")]
        more = [(v, h) for v in ("worker", "clock") for h in ("kill", "stop", "freeze")]
        plan += [chance.choice(more) for _ in range(FAULTS - len(plan))]
        for verb, how in plan:
            happened = hurt(town, chance.choice(town.of(verb)), how)
            took.setdefault(f"{verb} {how}", []).append(town.caught_up(happened, 180, f"{how} of a {verb}"))
        judge(town)
        for what, times in took.items():
            times.sort()
            figure(f"faults: {what}, p50 of {len(times)}", times[len(times) // 2], "s")
            figure(f"faults: {what}, p95", times[min(len(times) - 1, int(len(times) * 0.95))], "s")
    finally:
        town.close()


@pytest.mark.parametrize("nodes", [1, 3] if proving() else [3])
def test_a_broker_dies(own_kafka: Kafkas, prefix: str, tmp_path: Path, figure: Figure, nodes: int) -> None:
    """One node, or one of three with replication 3 and two in sync."""
    kafka = own_kafka(nodes=nodes)
    town = Town(tmp_path, kafka.bootstrap, prefix, replication=min(3, nodes))
    try:
        town.create()
        begin(town)
        happened = now_ms()
        kafka.nodes[0].kill()
        kafka.nodes[0].start()
        figure(f"faults: broker killed, one of {nodes}", town.caught_up(happened, 240, "the death of a broker"), "s")
        judge(town)
    finally:
        town.close()
