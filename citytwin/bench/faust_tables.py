"""Job W in a plain Faust app on a real broker: an event a record, state in tables, as Faust's own guide has it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import faust
import msgspec

from citytwin.bench.plain import Plain
from citytwin.bench.town import BenchCity


async def run(bootstrap: str, topic: str, name: str, folder: str, city: BenchCity, stop: asyncio.Event) -> None:
    """Take events until told to end; prints how many, every thousand."""
    plain = Plain(city)
    app: Any = faust.App(
        f"{name}-faust", broker=f"kafka://{bootstrap}", store="memory://", autodiscover=False, datadir=folder,
        web_enabled=False, topic_partitions=4, consumer_auto_offset_reset="earliest",
    )  # fmt: skip
    events = app.topic(topic, value_serializer="raw", key_serializer="raw")
    newest = app.Table(f"{name}-newest", default=bytes)
    seen = 0

    async def work(stream: Any) -> None:
        nonlocal seen
        async for line in stream:
            plain.step(line)
            with contextlib.suppress(msgspec.DecodeError, KeyError, UnicodeDecodeError):
                newest[msgspec.json.decode(line)["device"]] = line.decode()
            seen += 1
            if seen % 1000 == 0:
                print(seen, flush=True)

    app.agent(events)(work)
    starting = asyncio.ensure_future(app.start())
    await stop.wait()
    starting.cancel()
    await app.stop()
