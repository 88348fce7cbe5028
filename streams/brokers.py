"""What Kafka is to us: how brokers are reached, which topics a city has, and errors that say what to do."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

#: Largest record that is written or read, and the largest fetch of one partition.
MAX_RECORD_BYTES = 8 << 20
#: Where a reader may start besides an offset.
EARLIEST, LATEST = -2, -1
#: How long a call waits for a broker.
TIMEOUT_MS = 30_000


class BrokerError(RuntimeError):
    """Kafka could not do it; the text says what to do. `passing`: trying again later may help."""

    passing = True


class Refused(BrokerError):
    """Trying again will not help: a setting, a right or a topic is wrong."""

    passing = False


class Fenced(Refused):
    """Another process with the same transactional id took over; this one must end."""


class LogGap(Refused):
    """A topic does not hold the offset that is needed: it was trimmed, truncated or made anew."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """How brokers are reached; `security`: plaintext, ssl, sasl_plaintext or sasl_ssl."""

    bootstrap: str = "127.0.0.1:9092"
    security: str = "plaintext"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    mechanism: str = "SCRAM-SHA-256"
    username: str = ""
    password: str = field(default="", repr=False)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of every client. Raises Refused where a certificate cannot be read."""
        given: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap.split(","), "client_id": "citytwin",
            "security_protocol": self.security.upper(), "request_timeout_ms": TIMEOUT_MS,
        }  # fmt: skip
        if self.security.endswith("ssl"):
            given["ssl_context"] = self._tls()
        if self.security.startswith("sasl"):
            given |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.username}
            given["sasl_plain_password"] = self.password
        return given

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        except (OSError, ssl.SSLError) as error:
            raise Refused(
                f"the certificates for Kafka cannot be read ({error}): look at kafka.ca_file, kafka.cert_file and "
                "kafka.key_file"
            ) from error
        return context


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Message(Protocol):
    """A record as it was read; `timestamp` in ms UTC, `value` None for a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


_ADVICE: tuple[tuple[tuple[str, ...], type[BrokerError], str], ...] = (
    (("ProducerFenced", "InvalidProducerEpoch", "TransactionCoordinatorFenced"), Fenced,
     "another process with the same transactional id took over; this one must end"),
    (("OffsetOutOfRangeError", "NoOffsetForPartitionError"), LogGap,
     "the topic does not hold that offset: records were deleted, or the topic was made anew; restore the topic, or "
     "start over from a checkpoint that it still covers"),
    (("AuthenticationFailedError", "SaslAuthenticationFailed", "AuthenticationMethodNotSupported",
      "UnsupportedSaslMechanismError", "IllegalSaslStateError"), Refused,
     "the broker refused the login: look at kafka.security, kafka.mechanism, kafka.username and kafka.password_file"),
    (("TopicAuthorizationFailedError", "GroupAuthorizationFailedError", "ClusterAuthorizationFailedError",
      "TransactionalIdAuthorizationFailed"), Refused,
     "the account may not do that: give kafka.username the rights that docs/bridge.md lists"),
    (("UnknownTopicOrPartitionError", "InvalidTopicError", "InvalidPartitionsError"), Refused,
     "the topic or partition is not there: the city's own are made by `citytwin topics create` (see kafka.prefix and "
     "kafka.shards), foreign ones by those they belong to"),
    (("MessageSizeTooLargeError", "RecordListTooLargeError", "RecordTooLargeError"), Refused,
     f"a record is larger than the topic takes: set its max.message.bytes to {MAX_RECORD_BYTES}"),
    (("InvalidReplicationFactorError",), Refused,
     "there are fewer brokers than kafka.replication: start more, or lower it"),
    (("NotEnoughReplicasError", "NotEnoughReplicasAfterAppendError"), BrokerError,
     "fewer replicas are in sync than kafka.min_isr asks for: bring the missing brokers back"),
    (("KafkaConnectionError", "NoBrokersAvailable", "NodeNotReadyError", "KafkaTimeoutError", "RequestTimedOutError",
      "KafkaUnavailableError", "TimeoutError", "OSError"), BrokerError,
     "no broker answers: start Kafka, or look at kafka.bootstrap and kafka.security"),
)  # fmt: skip


def told(error: BaseException, doing: str) -> BrokerError:
    """The error of a client as one sentence about what was done and what to do."""
    names = [c.__name__ for c in type(error).__mro__]
    for known, kind, advice in _ADVICE:
        if any(n in known for n in names):
            return kind(f"{doing}: {advice} ({type(error).__name__}: {str(error)[:300]})")
    return BrokerError(f"{doing} failed ({type(error).__name__}: {str(error)[:300]}); the broker's log may say more")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: partitions, copies, settings. `leaderless`: partitions that nobody can write now."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)
    leaderless: int = 0
    in_sync: int = 0


@dataclass(frozen=True, slots=True)
class Described:
    """What a cluster holds: id, brokers ("host:port"), and topics by name."""

    cluster_id: str
    brokers: tuple[str, ...]
    topics: Mapping[str, Topic]


def plan(
    prefix: str, shards: int, replication: int = 1, min_isr: int = 1, hours: Mapping[str, float] | None = None
) -> list[Topic]:
    """The topics of a city. `hours`: how long each keeps its records, by last name; what is not named keeps always."""
    kept = hours or {}

    def topic(name: str, partitions: int = 1) -> Topic:
        retention = round(kept[name] * 3_600_000) if kept.get(name) else -1
        config = {
            "cleanup.policy": "delete", "retention.ms": str(retention), "retention.bytes": "-1",
            "min.insync.replicas": str(min_isr), "max.message.bytes": str(MAX_RECORD_BYTES),
            "compression.type": "producer", "unclean.leader.election.enable": "false",
        }  # fmt: skip
        return Topic(f"{prefix}.{name}", partitions, replication, config)

    return [topic("events", shards), *map(topic, ("registers", "desk", "parts", "board", "deadletters"))]


def topic_of(name: str, parts: Sequence[Mapping[str, Any]], config: Mapping[str, str]) -> Topic:
    """A topic as a broker describes it."""
    replication = min((len(p["replicas"]) for p in parts), default=0)
    leaderless = sum(p["leader"] < 0 for p in parts)
    return Topic(name, len(parts), replication, config, leaderless, min((len(p["isr"]) for p in parts), default=0))


def check_shards(topics: Sequence[Topic], there: Mapping[str, Topic]) -> None:
    """Raise Refused where one of the topics is there with another number of partitions."""
    for topic in topics:
        found = there.get(topic.name)
        if found is not None and found.partitions != topic.partitions:
            raise Refused(
                f"{topic.name} has {found.partitions} partitions and kafka.shards says {topic.partitions}: the number "
                f"is fixed when the topic is made. Set kafka.shards = {found.partitions}, or move to another number "
                f"with `citytwin reshard --shards {topic.partitions}`"
            )
