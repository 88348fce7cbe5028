"""Move a city to another number of shards: what its topics hold, into topics of another prefix, sharded anew.

Events keep their order within the shard that they come from; markers stay behind, for the new clock writes its own.
Registers, definitions and the desk are copied as they are, without markers. What is written is durable before it is
reported; a run that was cut off leaves a target that is not empty, which the next run refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from citytwin import topics
from citytwin.config import Config
from citytwin.models.batch import EventBatch
from citytwin.models.vocabulary import Vocabulary
from citytwin.streams import wire
from citytwin.streams.bridging import spread
from citytwin.streams.brokers import EARLIEST, Cluster, Place, Refused, Topic
from citytwin.streams.kafka import Message, Reader, Writer, create_topics, describe
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.records import Definition, Events

#: Records that are read together; some 200 MB at 900 kB each.
_RECORDS = 200


@dataclass(slots=True)
class Moved:
    """What was moved: events, definitions, and the records that they came in and went out as."""

    events: int = 0
    definitions: int = 0
    read: int = 0
    written: int = 0


class Reshard:
    """One move of the city of the settings to `shards` shards under the prefix `target`."""

    def __init__(self, config: Config, vocabulary: Vocabulary, target: str, shards: int) -> None:
        if target == config.kafka.prefix:
            raise Refused(f"the topics of {target} cannot move into themselves: name another prefix with --to")
        self._config, self._vocabulary, self.target, self.shards = config, vocabulary, target, shards
        self._cluster: Cluster = topics.cluster(config)
        self.moved = Moved()

    async def run(self, progress: Callable[[Moved], None] = lambda _: None) -> Moved:
        """Make the topics and move. Raises BrokerError; Refused where that would not be exact."""
        source = self._config.kafka.prefix
        there = (await describe(self._cluster, f"{source}.")).topics
        if f"{source}.events" not in there:
            raise Refused(f"{source}.events is not there: look at kafka.prefix")
        await create_topics(self._cluster, topics.wanted(self._config, self.target, self.shards))
        await self._check_empty()
        async with Writer(self._cluster) as writer:
            for name in ("registers", "desk", "events"):
                await self._topic(writer, name, there[f"{source}.{name}"], progress)
        return self.moved

    async def _check_empty(self) -> None:
        places = [Place(f"{self.target}.events", p) for p in range(self.shards)]
        places += [Place(f"{self.target}.{n}", 0) for n in ("registers", "desk")]
        async with Reader(self._cluster, dict.fromkeys(places, EARLIEST)) as reader:
            ends = await reader.end_offsets(places)
        if full := sorted({p.topic for p, end in ends.items() if end}):
            raise Refused(
                f"{', '.join(full)} holds records already: name another prefix with --to, or delete the topic"
            )

    async def _topic(self, writer: Writer, name: str, topic: Topic, progress: Callable[[Moved], None]) -> None:
        places = [Place(topic.name, p) for p in range(topic.partitions)]
        # what a clock wrote in a transaction that was given up is no part of the log
        async with Reader(self._cluster, dict.fromkeys(places, EARLIEST), committed_only=True) as reader:
            ends = await reader.end_offsets(places)
            while any([await reader.position(p) < ends[p] for p in places]):
                for place, records in (await reader.take(_RECORDS)).items():
                    mine = [r for r in records if r.offset < ends[place]]
                    await self._write(writer, name, mine)
                    progress(self.moved)
            if await reader.end_offsets(places) != ends:
                raise Refused(
                    f"{topic.name} grew while it was moved: stop bridges and clocks, then move into another --to"
                )

    async def _write(self, writer: Writer, name: str, records: list[Message]) -> None:
        """Definitions stay where they stand among the events of their topic; events are sharded anew."""
        out: list[tuple[str, int, Events | Definition]] = []
        batches: list[EventBatch] = []
        for record in records:
            found = self._opened(record)
            if isinstance(found, Events):
                batches.append(found.batch)
            elif isinstance(found, Definition):
                out += [*self._sharded(name, batches), (name, 0, found)]
                batches = []
                self.moved.definitions += 1
        out += self._sharded(name, batches)
        sent = [await writer.send(f"{self.target}.{t}", p, wire.to_bytes(found)) for t, p, found in out]
        for one in sent:
            await one
        self.moved.read += len(records)
        self.moved.written += len(sent)

    def _sharded(self, name: str, batches: list[EventBatch]) -> list[tuple[str, int, Events | Definition]]:
        self.moved.events += sum(map(len, batches))
        if name != "events":
            return [(name, 0, Events(batch)) for batch in batches]
        found = spread(batches, self._vocabulary, self.shards, self._config.bridge.batch_events)
        return [(out.topic, out.partition, Events(out.batch)) for out in found]

    def _opened(self, record: Message) -> wire.Message:
        try:
            return wire.from_bytes(record.value or b"")
        except CorruptRecord as error:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            raise Refused(f"{place} cannot be read ({error}): restore the topic from a backup first") from error


def next_prefix(prefix: str) -> str:
    """The prefix of the next epoch.

    >>> next_prefix("citytwin"), next_prefix("citytwin-e2")
    ('citytwin-e2', 'citytwin-e3')
    """
    stem, _, number = prefix.rpartition("-e")
    return f"{stem}-e{int(number) + 1}" if stem and number.isdigit() else f"{prefix}-e2"
