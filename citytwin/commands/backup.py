"""citytwin backup"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.data
@click.option("--cluster", is_flag=True, help="Archive the log in Kafka and the checkpoints instead of a data folder.")
@click.argument("target", type=click.Path(path_type=Path))
def command(config_path: Path | None, data: Path | None, cluster: bool, target: Path) -> None:
    """Copy the data folder to the new folder TARGET, also while the city runs.

    Holds the log, the newest snapshot, history, dead letters and the privacy key (keep it as safe as the data), with a
    manifest of hashes. Nothing is overwritten. With --cluster TARGET is an archive that grows: a later call adds what
    is new in the topics and takes the newest checkpoints; call it more often than the retention of the topics.
    """
    found = options.settings(config_path, data__dir=data).config
    if cluster:
        from citytwin.archiving import backup_cluster

        click.echo(backup_cluster(found, target, lambda line: click.echo(line, err=True)))
        return
    from citytwin.streams.backup import backup

    made = backup(Path(found.data.dir), target)
    size = sum(part.size for part in made.files.values()) / 2**20
    click.echo(f"{target}: log to position {made.position}, snapshot {made.snapshot}, {size:.1f} MB")
