"""citytwin doctor"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.data
@options.city
@options.port
@click.option("--quick", is_flag=True, help="Do not read the whole log.")
def command(config_path: Path | None, data: Path | None, city: str | None, port: int | None, quick: bool) -> int:
    """Look for what is wrong on this machine and say what to do.

    Checks Python and packages, settings, the data folder, free space, the clock, the port, every record of the log,
    every snapshot, the city pack and the built pages; and what the settings name beyond this machine: Kafka with its
    topics, lag and clocks, checkpoints, InfluxDB, MQTT. Changes nothing. Leaves with 1 if anything must be done.
    """
    from citytwin.doctor import examine

    flags = {"data__dir": data, "city__pack": city, "server__port": port}
    settings = options.settings(config_path, **flags)
    found = []
    for finding in examine(settings.config, quick=quick, given=settings.origin):
        found.append(finding)
        click.echo(f"{finding.level:<5} {finding.subject:<10} {finding.text}")
    return 1 if any(f.level == "wrong" for f in found) else 0
