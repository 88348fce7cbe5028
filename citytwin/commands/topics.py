"""citytwin topics"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from citytwin.commands import options


@click.group()
def command() -> None:
    """Make and list the Kafka topics of a city."""
    # what a client says while a broker is away is said by us in one sentence
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@command.command()
@options.config_file
def create(config_path: Path | None) -> None:
    """Make the topics that are not there yet.

    `<prefix>.events` gets kafka.shards partitions, which cannot be changed later: the shard of an event depends on
    their number. Topics that are there stay as they are; what differs from the settings is told.
    """
    config = options.settings(config_path).config
    from citytwin.streams.kafka import create_topics, describe
    from citytwin.topics import cluster, troubles, wanted

    topics = wanted(config)
    made = asyncio.run(create_topics(cluster(config), topics))
    for name in made:
        click.echo(f"made {name}")
    if not made:
        click.echo(f"all {len(topics)} topics of {config.kafka.prefix} are there")
    # a topic is told of to all brokers some moments after it was made
    if len(made) < len(topics):
        found = asyncio.run(describe(cluster(config), f"{config.kafka.prefix}."))
        for sentence in troubles([t for t in topics if t.name not in made], found):
            click.echo(f"note: {sentence}", err=True)


@command.command("list")
@options.config_file
def list_topics(config_path: Path | None) -> int:
    """List the topics with partitions, copies and retention, and what is wrong with them (exit code 1 then)."""
    config = options.settings(config_path).config
    from citytwin.streams.kafka import describe
    from citytwin.topics import cluster, troubles, wanted

    found = asyncio.run(describe(cluster(config), f"{config.kafka.prefix}."))
    click.echo(f"{len(found.brokers)} brokers: {', '.join(found.brokers)}")
    for name, topic in sorted(found.topics.items()):
        kept = int(topic.config.get("retention.ms", -1))
        days = "for ever" if kept < 0 else f"{kept / 3_600_000:g} h"
        click.echo(
            f"{name:<32} {topic.partitions:>4} partitions  {topic.in_sync}/{topic.replication} copies  kept {days}"
        )
    wrong = troubles(wanted(config), found)
    for sentence in wrong:
        click.echo(sentence, err=True)
    return 1 if wrong else 0
