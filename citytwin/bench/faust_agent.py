"""Job W in a Faust agent, in process and without a broker: its channel is fed directly, an event at a time.

Run as a program (`python -m citytwin.bench.faust_agent FILE SECONDS DEVICES`): Faust brings an event loop of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import faust

from citytwin.bench.job import START_MS, bodies
from citytwin.bench.plain import Plain
from citytwin.bench.town import BenchCity


async def agent_run(given: list[bytes], plain: Plain) -> tuple[float, int]:
    """CPU seconds and lines of the agent over these bodies."""
    app: Any = faust.App("citytwin-bench", broker="kafka://localhost", store="memory://", autodiscover=False)
    done = asyncio.Event()
    # an empty line stands for the end of a simulated second
    lines = [line for body in given for line in (*body.splitlines(), b"")]

    async def work(stream: Any) -> None:
        second = 0
        async for line in stream:
            if line:
                plain.step(line)
                continue
            second += 1
            plain.tick(START_MS + second * 1000)
            if second == len(given):
                done.set()

    agent = app.agent(app.channel(value_type=bytes, maxsize=10_000))(work)
    async with agent.test_context() as running:
        began = time.process_time()
        for line in lines:
            await running.put(line, wait=False)
        await done.wait()
        used = time.process_time() - began
    return used, len(lines) - len(given)


def main() -> None:
    """Print CPU seconds and lines."""
    path, seconds, devices = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    given = list(itertools.islice(bodies(path), seconds))
    print(*asyncio.run(agent_run(given, Plain(BenchCity(devices)))))


if __name__ == "__main__":
    main()
