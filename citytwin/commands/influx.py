"""citytwin influx"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.group()
def command() -> None:
    """Keep the history in an InfluxDB."""


@command.command()
@options.config_file
@click.option("--url", help="Address of the server, like http://127.0.0.1:8086.")
@click.option("--bucket", help="Bucket of InfluxDB 2; on 1.8 the database, or database/policy.")
@click.option("--keep-days", type=click.FloatRange(0), help="Retention; 0 keeps for ever.")
def setup(config_path: Path | None, url: str | None, bucket: str | None, keep_days: float | None) -> None:
    """Make the database (1.8) or bucket (2) and set its retention; harmless when they are there.

    Account or token come from the settings [influx]; on 1.8 they must be those of an admin for this once.
    """
    found = options.settings(
        config_path, **{"influx__url": url, "influx__bucket": bucket, "influx__keep_days": keep_days}
    )
    from citytwin.history import server
    from citytwin.streams.influx import setup as make

    click.echo(make(server(found.config), found.config.influx.keep_days))
