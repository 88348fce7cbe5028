"""A plugin that comes, changes, goes and comes back while a city in shards runs: as in one engine."""

from __future__ import annotations

import random

from citytwin.indicators.registry import builtin
from citytwin.streams.records import Definition
from tests.citytwin.test_swap import MANY
from tests.cluster.split import Split
from tests.indicators.histories import WORDS, Writer
from tests.indicators.oracle_law import HOUR, MINUTE
from tests.indicators.town import batches, town

BASE = 1_750_000_000_000 // HOUR * HOUR


def test_a_plugin_comes_changes_goes_and_comes_back() -> None:
    split, chance = Split(lambda: town()[0], builtin(), 4), random.Random(5)
    writer = Writer(BASE - 40 * HOUR, [BASE])
    other = MANY.replace("n + w / 10 + m", "n + w + m")
    steps = [None, MANY, None, None, other, None, "", None, MANY, None, None]
    for number, text in enumerate(steps):
        writer.ticks = [BASE + number * 7 * MINUTE]
        said = len(writer.events)
        for _ in range(25):
            writer.deed(chance.randbytes(WORDS))
        split.put(batches(writer.events[said:]))
        if text is not None:
            split.registers.append(Definition("plugin", {"file": "many.py", "text": text or None}))
        split.mark(writer.ticks[0])
        assert split.differences() == [], number
        assert split.alone.frame_hash() == split.merge.engine.frame_hash()
        assert ("many.keys" in split.alone.board.lines) == (number in range(1, 6) or number >= 8)
        if number % 3 == 1:
            split.restart_merge()
            split.restart(1)
