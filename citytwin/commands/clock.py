"""citytwin clock"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.city
@click.option("--instance", metavar="NAME", help="Name of this member, the same after each restart.")
def command(config_path: Path | None, city: str | None, instance: str | None) -> None:
    """Say when each segment ends, merge the parts of all shards, put frames on the board.

    Run one, and one more to stand by: it takes over when the active one has been silent for cluster.takeover_ms.
    Prints `ready` once it reads. Ends gracefully on SIGINT and SIGTERM. Exit code 70: it cannot go on; the last line
    says why and what to do.
    """
    options.log_to_stderr()
    config = options.settings(config_path, city__pack=city, cluster__instance=instance).config
    from citytwin.cluster.serving import quiet, run_clock, until_told

    quiet()
    until_told(lambda stop: run_clock(config, stop, click.echo))
