"""citytwin docs"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--plugins", default="", metavar="FOLDER", help="A folder of indicators of your own, as city.plugins.")
def command(folder: Path, plugins: str) -> int:
    """Write a reference page for each indicator to FOLDER, as Markdown, with an index.

    Built-in indicators, those of installed packages and those of --plugins; a running city serves the same pages at
    /reference. Pages that are there are replaced.
    """
    from citytwin.indicators import reference
    from citytwin.indicators.loading import NotAnIndicator
    from citytwin.models.events import VOCABULARY
    from citytwin.plugins import base, load_file, plugin_files

    registry, types = base()[0], VOCABULARY().types
    try:
        for file in plugin_files(Path(plugins)) if plugins else ():
            registry.add(load_file(file).specs)
    except (NotAnIndicator, ValueError) as error:
        raise click.ClickException(str(error)) from error
    specs = list(registry)
    folder.mkdir(parents=True, exist_ok=True)
    for spec in specs:
        text = reference.markdown(reference.page(spec, specs, types))
        (folder / f"{spec.id}.md").write_text(text, "utf-8")
    (folder / "index.md").write_text(reference.index(specs), "utf-8")
    click.echo(f"{len(specs)} pages in {folder}")
    return 0
