"""citytwin config"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.group()
def command() -> None:
    """Show the settings and where each comes from."""


@command.command()
@options.config_file
def show(config_path: Path | None) -> None:
    """Print every setting, its value, and where the value comes from; secrets are not told.

    Later ones win: default, citytwin.toml, CITYTWIN_SECTION__NAME in the environment, flag.
    """
    rows = list(options.settings(config_path).rows())
    wide = max(len(name) for name, _, _ in rows), max(len(value) for _, value, _ in rows)
    for name, value, origin in rows:
        click.echo(f"{name:<{wide[0]}}  {value:<{wide[1]}}  {origin}")
