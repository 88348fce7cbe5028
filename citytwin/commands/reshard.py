"""citytwin reshard"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from citytwin.commands import options

if TYPE_CHECKING:
    from citytwin.reshard import Moved


@click.command()
@options.config_file
@options.city
@click.option("--shards", type=click.IntRange(1, 1024), required=True, help="The new number of shards.")
@click.option("--to", "target", metavar="PREFIX", help="Prefix of the new topics [default: kafka.prefix with -e2].")
def command(config_path: Path | None, city: str | None, shards: int, target: str | None) -> None:
    """Move a city to another number of shards, into topics of another prefix.

    Stop bridges, workers and clocks first; gateways may go on showing the last frame. The old topics stay as they are,
    so that going back is setting the old prefix again.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    config = options.settings(config_path, city__pack=city).config
    from citytwin.reshard import Reshard, next_prefix
    from citytwin.twin.pack import load_city

    move = Reshard(config, load_city(config.city.pack).vocabulary, target or next_prefix(config.kafka.prefix), shards)

    def progress(moved: Moved) -> None:
        click.echo(f"\r{moved.events} events in {moved.read} records", nl=False, err=True)

    moved = asyncio.run(move.run(progress))
    click.echo("", err=True)
    click.echo(f"moved {moved.events} events and {moved.definitions} definitions into {move.target}.events")
    click.echo(
        f'next: set kafka.prefix = "{move.target}" and kafka.shards = {shards} for every process, give workers and '
        "clocks a new folder of checkpoints, start them, then the bridges (their groups go on where they stopped). "
        f"Once the frames are right, delete the topics {config.kafka.prefix}.*"
    )
