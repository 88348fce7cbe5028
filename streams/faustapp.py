"""Faust, and nothing else: a member of a group that reads partitions record by record, each from where its owner says.

Faust only deals out the partitions and hands records over. What was done with them is known by the checkpoints of
whoever listens, never by the group's offsets: after every rebalance each partition starts where its checkpoint ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import faust
from faust.transport.drivers.aiokafka import ensure_aiokafka_TP
from faust.types import TP

from citytwin.streams.brokers import MAX_RECORD_BYTES, Cluster, Place

_log = logging.getLogger(__name__)
#: A member that is silent for so long loses its partitions; brokers take no less by default.
SESSION_S = 6
#: Records of a partition that wait in memory.
BUFFER = 64


#: How often to look whether Faust still works.
_LOOK_S = 0.5


class Left(RuntimeError):
    """Faust ended by itself, and this member gets no records any more."""


class Listener(Protocol):
    """Who reads: `load` is awaited before any record of an assignment, `take` for each record in order."""

    async def load(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The partitions that are assigned now, of all that were before none is any more: where to begin in each."""

    async def take(self, place: Place, offset: int, value: bytes) -> bool:
        """Do what the record says; True when everything before and with it may be committed. It must not raise."""


class Member:
    """One member of the group `group` on some topics. `instance`: a fixed name, so that a restart is quick."""

    def __init__(
        self, cluster: Cluster, group: str, topics: Sequence[str], listener: Listener, *, instance: str = "",
        folder: str = "",
    ) -> None:  # fmt: skip
        self._listener, self._topics = listener, frozenset(topics)
        self.app = faust.App(
            group, broker=[f"kafka://{b}" for b in cluster.bootstrap.split(",")], **_security(cluster),
            stream_wait_empty=False, broker_session_timeout=SESSION_S, broker_heartbeat_interval=1,
            broker_rebalance_timeout=20, broker_request_timeout=30, stream_buffer_maxsize=BUFFER,
            consumer_auto_offset_reset="earliest", consumer_max_fetch_size=MAX_RECORD_BYTES, producer_acks=-1,
            producer_max_request_size=MAX_RECORD_BYTES, consumer_group_instance_id=instance or None,
            topic_disable_leader=True, topic_allow_declare=False, web_enabled=False, autodiscover=False,
            datadir=folder or None, store="memory://", stream_recovery_delay=0,
        )  # fmt: skip
        self.app.on_rebalance_complete.connect(self._load, weak=False)  # type: ignore[arg-type]
        for topic in topics:
            found = self.app.topic(topic, key_serializer="raw", value_serializer="raw", acks=False)
            self.app.agent(found, concurrency=1, name=f"{group}.{topic}")(self._reader(topic))

    async def _load(self, sender: Any, **_: Any) -> None:
        """Faust awaits this before it seeks and resumes; a rebalance rewinds partitions that stayed too."""
        places = [Place(tp.topic, tp.partition) for tp in sender.consumer.assignment() if tp.topic in self._topics]
        starts = {TP(*place): n for place, n in (await self._listener.load(sorted(places))).items()}
        if starts:
            # a group's offset ahead of a checkpoint that was restored would lose what lies between
            await self.commit(starts)
            await sender.consumer.seek_wait(starts)

    def _reader(self, topic: str) -> Callable[[Any], Any]:
        async def read(stream: Any) -> None:
            async for event in stream.noack().events():
                message = event.message
                place = Place(topic, message.partition)
                if await self._listener.take(place, message.offset, event.value) and self.app.consumer is not None:
                    await self.commit({message.tp: message.offset + 1})

        return read

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        """Tell the group how far partitions are, those that are still ours; False where it does not take it.

        Faust's own way ends the consumer for a partition that a rebalance took away while its checkpoint was written.
        """
        thread = self.app.consumer._thread  # type: ignore[attr-defined]
        told: bool = await thread.call_thread(self._commit_there, thread, offsets)
        return told

    async def _commit_there(self, thread: Any, offsets: Mapping[TP, int]) -> bool:
        """In the thread of the consumer, where assignments change."""
        held = {ensure_aiokafka_TP(tp): n for tp, n in offsets.items() if tp in thread.assignment()}
        try:
            if held:
                await thread._ensure_consumer().commit(held)
        except Exception as error:  # another rebalance, or the broker is away: checkpoints decide
            _log.warning("offsets of %d partitions were not committed: %s", len(held), error)
            return False
        return len(held) == len(offsets)

    async def run(self, stop: asyncio.Event) -> None:
        """Be a member until `stop` is set. Raises Left where Faust ended by itself: it does not come back."""
        starting = asyncio.ensure_future(self.app.start())
        while not stop.is_set() and not self.app.should_stop:  # its threads set that; no event of this loop would wake
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_S)
            if starting.done() and (error := starting.exception()) is not None:
                raise Left(f"{type(error).__name__}: {error}") from error
        if not stop.is_set():
            why = getattr(self.app, "crash_reason", None)
            raise Left(f"{type(why).__name__}: {why}")
        await self.app.stop()


def _security(cluster: Cluster) -> dict[str, Any]:
    options = cluster.options()
    context = options.get("ssl_context")
    if cluster.security.startswith("sasl"):
        credentials = faust.SASLCredentials(
            username=cluster.username, password=cluster.password, mechanism=cluster.mechanism, ssl_context=context
        )
        return {"broker_credentials": credentials}
    return {"broker_credentials": faust.SSLCredentials(context)} if context is not None else {}
