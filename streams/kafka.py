"""Kafka, and nothing else: topics, writers and readers over aiokafka, with errors that say what to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn

from citytwin.streams.brokers import (
    EARLIEST,
    MAX_RECORD_BYTES,
    BrokerError,
    Described,
    LogGap,
    Refused,
    Topic,
    check_shards,
    told,
    topic_of,
)
from citytwin.streams.brokers import LATEST as LATEST
from citytwin.streams.brokers import Cluster as Cluster
from citytwin.streams.brokers import Message as Message
from citytwin.streams.brokers import Place as Place

#: How long a writer that is stopped waits for what it was given.
CLOSING_S = 5.0


@contextlib.contextmanager
def _telling(doing: str) -> Iterator[None]:
    try:
        yield
    except BrokerError:
        raise
    except (kafka_errors.KafkaError, kafka_errors.ConsumerStoppedError, OSError, TimeoutError) as error:
        raise told(error, doing) from error


@contextlib.asynccontextmanager
async def _reaching(cluster: Cluster, doing: str) -> AsyncIterator[None]:
    with _telling(doing):
        try:
            yield
        except kafka_errors.KafkaConnectionError as error:
            raise await _cause(cluster) or error from error


@contextlib.asynccontextmanager
async def _admin(cluster: Cluster, doing: str) -> AsyncIterator[Any]:
    async with _reaching(cluster, doing):
        client = AIOKafkaAdminClient(**cluster.options())
        try:
            await client.start()
            yield client
        finally:
            await client.close()


async def _cause(cluster: Cluster) -> Exception | None:
    """Why no broker answers: a client says no more than that, one connection says what it is."""
    given = cluster.options()
    host, _, port = given.pop("bootstrap_servers")[0].rpartition(":")
    try:
        (await create_conn(host, int(port), **given)).close()
    except (kafka_errors.KafkaError, OSError, ValueError) as error:
        return error if not isinstance(error, kafka_errors.KafkaConnectionError) else None
    return None


async def describe(cluster: Cluster, prefix: str = "") -> Described:
    """Brokers, and the topics whose names begin with `prefix`. Raises BrokerError."""
    async with _admin(cluster, f"asking the brokers {cluster.bootstrap}") as client:
        about = await client.describe_cluster()
        topics = await client.describe_topics()
        brokers = tuple(f"{b['host']}:{b['port']}" for b in about["brokers"])
        found = {t["topic"]: t["partitions"] for t in topics if t["topic"].startswith(prefix)}
        config = await _configs(client, sorted(found)) if prefix else {}
    made = {name: topic_of(name, parts, config.get(name, {})) for name, parts in found.items()}
    return Described(str(about.get("cluster_id") or ""), brokers, made)


async def _configs(client: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in names])
    return {
        str(r[3]): {str(e[0]): str(e[1]) for e in r[4]}
        for answer in answers for r in answer.resources if r[0] == 0
    }  # fmt: skip


async def create_topics(cluster: Cluster, topics: Sequence[Topic]) -> list[str]:
    """Make the topics that are not there; the names of those made. Raises Refused where one has other partitions."""
    there = (await describe(cluster)).topics
    check_shards(topics, there)
    fresh = [t for t in topics if t.name not in there]
    if not fresh:
        return []
    async with _admin(cluster, f"making the topics {', '.join(t.name for t in fresh)}") as client:
        wanted = [NewTopic(t.name, t.partitions, t.replication, topic_configs=dict(t.config)) for t in fresh]
        answer = await client.create_topics(wanted)
        for name, code, *why in answer.topic_errors:
            error = kafka_errors.for_code(code)
            if code and error is not kafka_errors.TopicAlreadyExistsError:
                raise told(error(*why), f"making the topic {name}")
    for _ in range(100):
        there = (await describe(cluster)).topics
        if all(t.name in there and not there[t.name].leaderless for t in fresh):
            break
        await asyncio.sleep(0.1)
    return [t.name for t in fresh]


async def delete_topics(cluster: Cluster, names: Sequence[str]) -> None:
    """Take topics away, with all that they hold. Raises BrokerError."""
    async with _admin(cluster, f"deleting the topics {', '.join(names)}") as client:
        await client.delete_topics(list(names))


async def trim(cluster: Cluster, firsts: Mapping[Place, int]) -> None:
    """Delete what lies before an offset of each partition. Raises BrokerError."""
    async with _admin(cluster, "deleting old records") as client:
        await client.delete_records({TopicPartition(*p): RecordsToDelete(n) for p, n in firsts.items()})


async def committed(cluster: Cluster, group: str) -> dict[Place, int]:
    """Offsets that a group has committed, by partition. Raises BrokerError."""
    async with _admin(cluster, f"asking for the offsets of {group}") as client:
        found = await client.list_consumer_group_offsets(group)
    return {Place(p.topic, p.partition): int(m.offset) for p, m in found.items() if m.offset >= 0}


# --- writers


class Writer:
    """An idempotent producer; with a `transactional_id` also transactional, and a second one with that id fences it."""

    def __init__(self, cluster: Cluster, *, transactional_id: str = "", linger_ms: int = 0) -> None:
        self._cluster, self._id = cluster, transactional_id
        self._options = {
            "enable_idempotence": True, "acks": "all", "max_request_size": MAX_RECORD_BYTES,
            "max_batch_size": 1 << 20, "linger_ms": linger_ms, "transactional_id": transactional_id or None,
        }  # fmt: skip
        self._client: Any = None
        self._known: dict[str, frozenset[int]] = {}

    async def start(self) -> None:
        """Connect, and fence whoever had the transactional id. Raises BrokerError."""
        async with _reaching(self._cluster, f"connecting to {self._cluster.bootstrap}"):
            self._client = AIOKafkaProducer(**self._cluster.options(), **self._options)
            try:
                await self._client.start()
            except BaseException:
                await self.stop()
                raise

    async def stop(self) -> None:
        """Send what waits and close; a broker that is away is waited for `CLOSING_S` seconds."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(kafka_errors.KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(client.stop(), CLOSING_S)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def send(
        self, topic: str, partition: int, value: bytes | None, key: bytes | None = None,
        headers: Mapping[str, bytes] = {}, time_ms: int | None = None,
    ) -> Awaitable[int]:  # fmt: skip
        """Hand a record over, in order; awaiting what is returned gives its offset once it is durable.

        Raises BrokerError, and so does what is returned.
        """
        with _telling(f"writing to {topic}"):
            if partition not in self._known.get(topic, ()):
                await self._look(topic, partition)
            sent = await self._client.send(topic, value, key, partition, time_ms, list(headers.items()))
        return _Sent(sent, topic)

    async def _look(self, topic: str, partition: int) -> None:
        """The client would ask for a topic that is not there for half a minute."""
        found = (await self._client.client.fetch_all_metadata()).partitions_for_topic(topic)
        self._known[topic] = frozenset(found or ())
        if partition not in self._known[topic]:
            raise kafka_errors.UnknownTopicOrPartitionError(f"{topic}/{partition}")

    async def write(
        self, topic: str, partition: int, value: bytes, key: bytes | None = None, headers: Mapping[str, bytes] = {}
    ) -> int:
        """Write a record and wait until it is durable; its offset. Raises BrokerError."""
        return await (await self.send(topic, partition, value, key, headers))

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All that is written inside is seen by readers of committed records at once, or never. Raises BrokerError."""
        doing = f"a transaction of {self._id}"
        with _telling(doing):
            async with self._client.transaction():
                yield


class _Sent:
    """Awaited, it gives the offset of a record."""

    def __init__(self, sent: asyncio.Future[Any], topic: str) -> None:
        self._sent, self._topic = sent, topic

    def __await__(self) -> Generator[Any, None, int]:
        with _telling(f"writing to {self._topic}"):
            return int((yield from self._sent).offset)


# --- readers

Taken = dict[Place, list[Message]]


class _Reading:
    """What readers share: taking records and asking for offsets."""

    def __init__(self, cluster: Cluster, what: str, **options: Any) -> None:
        self._cluster, self._what = cluster, what
        self._options: dict[str, Any] = {
            "enable_auto_commit": False, "max_partition_fetch_bytes": MAX_RECORD_BYTES, "fetch_max_bytes": 32 << 20,
            "fetch_max_wait_ms": 200, **options,
        }  # fmt: skip
        self._client: Any = None

    async def _connect(self) -> None:
        self._client = AIOKafkaConsumer(**self._cluster.options(), **self._options)

    async def stop(self) -> None:
        """Leave; what was taken and not committed comes again to whoever reads next."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(kafka_errors.KafkaError, OSError):
                await client.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect. Raises BrokerError."""
        raise AssertionError("a reader says how it starts")

    async def take(self, max_records: int = 500, timeout_ms: int = 200) -> Taken:
        """The next records by partition, in order; none after `timeout_ms`. Raises BrokerError."""
        with _telling(f"reading {self._what}"):
            got = await self._client.getmany(timeout_ms=timeout_ms, max_records=max_records)
        return {Place(p.topic, p.partition): records for p, records in got.items()}

    async def end_offsets(self, places: Sequence[Place]) -> dict[Place, int]:
        """The offset that the next record of each partition will get. Raises BrokerError."""
        with _telling(f"asking for the end of {self._what}"):
            found = await self._client.end_offsets([TopicPartition(*p) for p in places])
        return {Place(p.topic, p.partition): int(n) for p, n in found.items()}

    async def start_offsets(self, places: Sequence[Place]) -> dict[Place, int]:
        """The oldest offset that each partition holds. Raises BrokerError."""
        with _telling(f"asking for the beginning of {self._what}"):
            found = await self._client.beginning_offsets([TopicPartition(*p) for p in places])
        return {Place(p.topic, p.partition): int(n) for p, n in found.items()}


class Reader(_Reading):
    """Reads partitions of its own choice, without a group: `starts` says the first offset of each.

    Never jumps over what is missing: an offset that the topic does not hold is a LogGap. `committed_only` hides what
    transactions have not committed (offsets then have holes).
    """

    def __init__(self, cluster: Cluster, starts: Mapping[Place, int], *, committed_only: bool = False) -> None:
        what = ", ".join(sorted({p.topic for p in starts}))
        level = "read_committed" if committed_only else "read_uncommitted"
        super().__init__(cluster, what, auto_offset_reset="none", isolation_level=level)
        self._starts = dict(starts)

    @classmethod
    def of(
        cls, cluster: Cluster, topic: str, partitions: Sequence[int], start: int = EARLIEST, **options: Any
    ) -> Reader:
        """A reader of one topic from the same start in each partition."""
        return cls(cluster, {Place(topic, p): start for p in partitions}, **options)

    async def start(self) -> None:
        """Connect and go to the starts. Raises BrokerError, LogGap."""
        await self._connect()
        try:
            async with _reaching(self._cluster, f"reading {self._what}"):
                self._client.assign([TopicPartition(*p) for p in self._starts])
                await self._client.start()
                await self._go()
        except BaseException:
            await self.stop()
            raise

    async def _go(self) -> None:
        places = list(self._starts)
        first, end = await self.start_offsets(places), await self.end_offsets(places)
        for place, start in self._starts.items():
            if place not in end:
                raise Refused(f"{place.topic} has no partition {place.partition}: run `citytwin topics create`")
            at = {EARLIEST: first[place], LATEST: end[place]}.get(start, start)
            if not first[place] <= at <= end[place]:
                raise LogGap(
                    f"{place.topic}/{place.partition} holds offsets {first[place]} to {end[place]}; {at} is needed: "
                    "records were deleted or the topic was made anew; restore the topic, or a checkpoint that it covers"
                )
            self.seek(place, at)

    def seek(self, place: Place, offset: int) -> None:
        """Go to an offset; the next `take` begins there."""
        with _telling(f"going to {offset} of {place.topic}"):
            self._client.seek(TopicPartition(*place), offset)

    async def position(self, place: Place) -> int:
        """The offset that the next `take` begins at. Raises BrokerError."""
        with _telling(f"reading {self._what}"):
            return int(await self._client.position(TopicPartition(*place)))


Hook = Callable[[], Awaitable[None]]


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, leaving: Hook) -> None:
        self._leaving = leaving

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._leaving()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        pass


class GroupReader(_Reading):
    """Reads topics as a member of a group; offsets are committed by hand. `instance`: a fixed name for quick restarts.

    `leaving` is awaited before partitions go to another member: finish and commit there.
    """

    def __init__(
        self, cluster: Cluster, topics: Sequence[str], group: str, *, instance: str = "", leaving: Hook | None = None
    ) -> None:
        super().__init__(
            cluster, ", ".join(topics), auto_offset_reset="earliest", group_id=group, session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000, group_instance_id=instance or None, isolation_level="read_committed",
        )  # fmt: skip
        self._topics, self._leaving = list(topics), leaving

    async def start(self) -> None:
        """Join the group. Raises BrokerError."""
        await self._connect()
        try:
            async with _reaching(self._cluster, f"reading {self._what}"):
                listener = None if self._leaving is None else _Listener(self._leaving)
                self._client.subscribe(self._topics, listener=listener)
                await self._client.start()
        except BaseException:
            await self.stop()
            raise

    def assignment(self) -> list[Place]:
        """The partitions that this member reads now."""
        return sorted(Place(p.topic, p.partition) for p in self._client.assignment())

    async def commit(self, offsets: Mapping[Place, int]) -> bool:
        """Tell the group that everything before these offsets is done; False where another member reads them now.

        Raises BrokerError.
        """
        held = self._client.assignment()
        mine = {p: n for p, n in ((TopicPartition(*at), n) for at, n in offsets.items()) if p in held}
        try:
            with _telling(f"committing offsets of {self._what}"):
                if mine:
                    await self._client.commit(mine)
        except BrokerError as error:
            if isinstance(error.__cause__, kafka_errors.CommitFailedError | kafka_errors.IllegalStateError):
                return False
            raise
        return len(mine) == len(offsets)
