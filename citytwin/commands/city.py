"""citytwin city"""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Make city packs: a city is data, a folder with a manifest, scopes, entities and sources."""


@command.command("import")
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
def import_pack(manifest: Path, out: Path) -> int:
    """Make a city pack in the folder OUT from GeoJSON and CSV files, as MANIFEST (a TOML file) describes them.

    Rows that cannot be used are reported by file, line, field and reason; the rest is taken. Leaves with 1 if any
    row was left out. Use the pack with `citytwin run --city OUT`.
    """
    from citytwin.twin.import_city import import_city

    report = import_city(manifest, out)
    for line in report.lines():
        click.echo(line)
    return 1 if report.problems else 0
