"""Every process is restarted in turn while clients watch: log channels without gap or double, and no false value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from citytwin.engine import Engine
from tests.cluster.harness import PROVE, Member, Town, now_ms
from tests.cluster.reference import Logs, compare, read
from tests.cluster.watchers import Picture, Watcher
from tests.servers.kafka import Kafka
from tests.servers.process import until

Values = dict[str, float | None]


def test_a_rolling_restart_shows_nothing_false(
    kafka: Kafka, prefix: str, tmp_path: Path, figure: Callable[[str, float, str], None]
) -> None:
    """Two of each, three clients; gateways, clocks and workers one after the other, then a worker that freezes."""
    town = Town(tmp_path, kafka.bootstrap, prefix, shards=4)
    try:
        town.create()
        for verb in ("clock", "clock", "worker", "worker", "gateway", "gateway"):
            town.add(verb)
        town.load(seed=5)
        ports = [gateway.port for gateway in town.of("gateway")]
        for gateway in town.of("gateway"):
            gateway.wait()
        watchers = [Watcher(ports), Watcher(ports[::-1]), Watcher(ports)]
        for watcher in watchers:
            watcher.start()
        until(lambda: all(len(w.pictures) >= 3 for w in watchers), 60, lambda: f"clients see the city; {town.words()}")
        for member in [*town.of("gateway"), *town.of("clock"), *town.of("worker")[: 2 if PROVE else 1]]:
            _restart(town, member)
        _freeze(town, town.of("worker")[0])
        town.quiet()
        last = town.settle()
        until(lambda: all(w.pictures[-1].position >= 2 * last + 1 for w in watchers), 60, "clients see the last frame")
        for watcher in watchers:
            watcher.stop()
        logs = town.loop.run(read(town.options))
    finally:
        town.close()
    truth: dict[int, Values] = {}
    verdict = compare(town.options, logs, lambda engine: truth.__setitem__(engine.k, _city(engine)))
    assert not verdict.wrong, "\n".join(verdict.wrong)
    for watcher in watchers:
        assert watcher.wrong == []
        _logged(watcher, logs)
        _nothing_false(watcher.pictures, truth)
    assert any(p.provisional for w in watchers for p in w.pictures), "nobody was shown a provisional frame"
    gaps = sorted(g for w in watchers for g in w.gaps)
    assert gaps
    assert sum(w.resumed for w in watchers) >= 4 * len(gaps)
    figure("rolling: news again at another gateway, p50", gaps[len(gaps) // 2], "s")
    figure("rolling: news again at another gateway, longest", gaps[-1], "s")


def _restart(town: Town, member: Member) -> None:
    member.stop()
    member.start()
    town.caught_up(now_ms(), 120, f"{member.name} was restarted")


def _freeze(town: Town, member: Member) -> None:
    """Shorter than its session: its shards stay with it, and frames lack them meanwhile."""
    before = len(town.board.provisionals)
    member.freeze()
    until(lambda: len(town.board.provisionals) >= before + 2, 30, "provisional frames")
    member.thaw()
    town.caught_up(now_ms(), 120, f"{member.name} froze")


def _city(engine: Engine) -> Values:
    """Values of all indicators for the whole city."""
    found = {id: float(line.value[0]) for id, line in engine.board.lines.items()}
    return {id: None if np.isnan(value) else value for id, value in found.items()}


def _logged(watcher: Watcher, logs: Logs) -> None:
    """What came over log channels is what final frames have, each entry once and in order."""
    for channel, numbered in watcher.entries.items():
        name = "cases" if channel == "case" else channel
        told = [item for final in logs.finals for item in getattr(final.frame, name)]
        assert numbered, f"nothing came on {channel}, {len(told)} were told"
        assert [n for n, _ in numbered] == list(range(numbered[0][0], numbered[0][0] + len(numbered))), channel
        for number, item in numbered:
            said = told[number - 1]
            key = "code" if channel == "case" else "id"
            assert item[key] == said[key], (channel, number)


def _around(pictures: list[Picture], truth: dict[int, Values], k: int, id: str) -> str:
    """What was true and what was shown of one value near a frame, for a failure."""
    true = {n: truth[n].get(id) for n in range(k - 4, k + 3) if n in truth}
    seen = [(p.position, p.provisional, p.values.get(id)) for p in pictures if abs(p.position - 2 * k) < 9]
    return f"true {true}, shown {seen}"


def _nothing_false(pictures: list[Picture], truth: dict[int, Values]) -> None:
    """What was shown is the final value, or was marked provisional."""
    for picture in pictures:
        k, final = divmod(picture.position, 2)
        assert picture.provisional in (None, not final), picture.position
        if final:
            odd = {id: (v, truth[k].get(id)) for id, v in picture.values.items() if v != truth[k].get(id)}
            assert not odd, f"frame {k}: {odd}; {_around(pictures, truth, k, next(iter(odd)))}"
    marked = sum(p.provisional is not None for p in pictures)
    assert marked > len(pictures) / 2, f"of {len(pictures)} pictures only {marked} say whether they are final"
    assert [p.position for p in pictures] == sorted(p.position for p in pictures)
