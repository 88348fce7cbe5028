"""citytwin new"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.scaffold import FORMS, CannotWrite, write


@click.group()
def command() -> None:
    """Begin something of your own: `citytwin new indicator gov.case.reopen_rate`."""


@command.command()
@click.argument("id", metavar="ID")
@click.option("--theme", default="local", show_default=True, help="Theme that it is shown under.")
@click.option("--form", type=click.Choice(FORMS), default="function", show_default=True, help="How it is written.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("plugins"), show_default=True,
    help="Folder of indicators, as in city.plugins.",
)  # fmt: skip
@click.option("--owner", default="modeler", show_default=True, help="Whom to ask about it.")
def indicator(id: str, theme: str, form: str, folder: Path, owner: str) -> None:
    """Write an indicator named ID, a test of it and a page about it.

    They are complete: `citytwin check` and pytest pass at once. Change what they say, bit by bit. Nothing is
    overwritten. A function is the usual form, toml is one line without Python, a class is for what is no sum.
    """
    try:
        made = write(id, folder, theme=theme, form=form, owner=owner)
    except CannotWrite as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{made.module}  the indicator\n{made.test}  its test\n{made.page}  what to write about it")
    click.echo(
        f"\nnow    citytwin check {made.module}\n       pytest {made.test}\n"
        f"       citytwin demo --plugins {folder}   and open the page /lab"
    )
