"""Signs of life: a member that says no parts tells the clock now and then that it is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from citytwin.cluster.board import PRESENCE
from citytwin.cluster.options import wall_ms
from citytwin.streams.arrays import split
from citytwin.streams.brokers import BrokerError, Cluster
from citytwin.streams.kafka import Writer

_log = logging.getLogger(__name__)
#: Seconds between two signs.
EVERY_S = 5.0


async def tell(cluster: Cluster, prefix: str, facts: Callable[[], Mapping[str, Any] | None]) -> None:
    """Write what `facts` gives (`role`, `id`, `active`; None: nothing now) to the city's parts, until cancelled."""
    while True:
        try:
            async with Writer(cluster) as writer:
                while True:
                    told = facts()
                    if told is not None:
                        for value in split(PRESENCE, 0, wall_ms(), msgspec.json.encode(told)):
                            await writer.write(f"{prefix}.parts", 0, value)
                    await asyncio.sleep(EVERY_S)
        except BrokerError as error:
            _log.info("%s", error)
            await asyncio.sleep(EVERY_S)
