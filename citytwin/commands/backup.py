"""citytwin backup"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.data
@click.argument("target", type=click.Path(path_type=Path))
def command(config_path: Path | None, data: Path | None, target: Path) -> None:
    """Copy the data folder to the new folder TARGET, also while the city runs.

    Holds the log, the newest snapshot, dead letters and the privacy key (keep it as safe as the data), with a
    manifest of hashes. Nothing is overwritten.
    """
    from citytwin.streams.backup import backup

    folder = Path(options.settings(config_path, data__dir=data).config.data.dir)
    made = backup(folder, target)
    size = sum(part.size for part in made.files.values()) / 2**20
    click.echo(f"{target}: log to position {made.position}, snapshot {made.snapshot}, {size:.1f} MB")
