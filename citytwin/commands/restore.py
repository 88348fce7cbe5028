"""citytwin restore"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.data
@click.argument("source", type=click.Path(path_type=Path))
def command(config_path: Path | None, data: Path | None, source: Path) -> None:
    """Bring the backup SOURCE back into the data folder, which must be empty or not there yet.

    Every file is compared with the backup's manifest and every record of the log is checked. Start the city on the
    folder afterwards: it comes back to the state at the end of the backup's log.
    """
    from citytwin.streams.backup import restore

    folder = Path(options.settings(config_path, data__dir=data).config.data.dir)
    made = restore(source, folder)
    click.echo(f"{folder}: log to position {made.position}, snapshot {made.snapshot}, verified")
