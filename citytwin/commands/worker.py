"""citytwin worker"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.city
@click.option("--instance", metavar="NAME", help="Name of this member, the same after each restart.")
def command(config_path: Path | None, city: str | None, instance: str | None) -> None:
    """Count the shards of a city that Kafka deals out to this worker.

    Run as many as there is work for, up to one a shard: a shard goes to another worker when its own is gone, and comes
    back there to the newest checkpoint in cluster.checkpoints, a folder that all of them reach. Prints `ready` when it
    is a member. Ends gracefully on SIGINT and SIGTERM, with a checkpoint of every shard; a kill -9 loses nothing that
    Kafka has. Exit code 70: it cannot go on; the last line says why and what to do.
    """
    options.log_to_stderr()
    config = options.settings(config_path, city__pack=city, cluster__instance=instance).config
    from citytwin.cluster.serving import quiet, run_worker, until_told

    quiet()
    until_told(lambda stop: run_worker(config, stop, click.echo))
