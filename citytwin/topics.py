"""The topics of a city by its settings: how brokers are reached, what is made, what is wrong with what is there."""

from __future__ import annotations

from citytwin.config import Config
from citytwin.streams.brokers import Cluster, Described, Topic, plan


def cluster(config: Config, bootstrap: str = "") -> Cluster:
    """How brokers are reached; `bootstrap` names others under the same account."""
    k = config.kafka
    return Cluster(
        bootstrap or k.bootstrap, k.security, k.ca_file, k.cert_file, k.key_file, k.mechanism, k.username, k.password
    )


def wanted(config: Config, prefix: str = "", shards: int = 0) -> list[Topic]:
    """The topics that the settings ask for, or those of another prefix and number of shards."""
    k = config.kafka
    hours = {
        "events": k.events_hours, "parts": k.parts_hours, "board": k.board_hours, "deadletters": k.deadletters_hours,
    }  # fmt: skip
    return plan(prefix or k.prefix, shards or k.shards, k.replication, k.min_isr, hours)


def troubles(topics: list[Topic], found: Described) -> list[str]:
    """What is wrong with the topics as they are, in sentences that say what to do; [] where nothing is."""
    said = []
    for topic in topics:
        there = found.topics.get(topic.name)
        if there is None:
            said.append(f"{topic.name} is not there: run `citytwin topics create`")
            continue
        if there.partitions != topic.partitions:
            said.append(
                f"{topic.name} has {there.partitions} partitions, the settings say {topic.partitions}: set kafka."
                "shards to that number, or run `citytwin reshard`"
            )
        if there.leaderless:
            said.append(f"{topic.name}: {there.leaderless} partitions have no leader: bring the missing brokers back")
        elif there.in_sync < there.replication:
            said.append(f"{topic.name}: {there.in_sync} of {there.replication} copies are in sync: a broker is away")
        if there.replication < topic.replication:
            said.append(
                f"{topic.name} has {there.replication} copies, the settings say {topic.replication}: raise them with "
                "kafka-reassign-partitions"
            )
        said += _differing(topic, there)
    return said


#: Settings of a topic that must be as planned, and those of which more is fine.
_SAME = ("cleanup.policy", "retention.ms", "min.insync.replicas", "max.message.bytes")


def _differing(topic: Topic, there: Topic) -> list[str]:
    return [
        f"{topic.name} has {name}={there.config[name]}, the settings say {topic.config[name]}: change it with "
        f"kafka-configs --alter --topic {topic.name} --add-config {name}={topic.config[name]}"
        for name in _SAME
        if name in there.config and there.config[name] != topic.config[name]
    ]
