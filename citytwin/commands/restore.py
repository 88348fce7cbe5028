"""citytwin restore"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.data
@click.option("--check", "only_check", is_flag=True, help="Compare the backup with its manifest, restore nothing.")
@click.option(
    "--only",
    type=click.Choice(["log", "checkpoints"]),
    help="Of a cluster's backup: only the log, or only checkpoints.",
)
@click.argument("source", type=click.Path(path_type=Path))
def command(config_path: Path | None, data: Path | None, only_check: bool, only: str | None, source: Path) -> None:
    """Bring the backup SOURCE back: a data folder, or the log and checkpoints of a cluster.

    A data folder must be empty or not there yet; every file is compared with the manifest and every record of the log
    is checked. A cluster's log goes into topics that are empty, as `citytwin topics create` makes them, each record
    with the offset that it had; a restore that was cut off goes on when it is called again. The folder of checkpoints
    must be empty. Start the city or the cluster afterwards: it comes back to the state at the end of the log.
    """
    from citytwin.streams import backup, clusterbackup

    manifest = clusterbackup.manifest_of(source)
    if only_check:
        count = len((backup.verify(source) if manifest is None else clusterbackup.check(source)).files)
        click.echo(f"{source}: {count} files are as they were saved")
        return
    found = options.settings(config_path, data__dir=data).config
    if manifest is not None:
        from citytwin.archiving import restore_cluster

        click.echo(restore_cluster(found, source, only, lambda line: click.echo(line, err=True)))
        return
    if only is not None:
        raise click.UsageError(f"{source} is the backup of a data folder; --only is for a cluster's")
    folder = Path(found.data.dir)
    made = backup.restore(source, folder)
    click.echo(f"{folder}: log to position {made.position}, snapshot {made.snapshot}, verified")
