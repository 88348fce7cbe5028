"""citytwin audit"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.group()
def command() -> None:
    """Read the audit trail and verify it.

    The trail lies in audit/ of the data folder: who changed what, who changed accounts, who read personal data. Each
    row holds the hash of the one before. Its head is put by the hour into a file or to a webhook (audit.anchor_file,
    audit.anchor_url): keep these where whoever keeps the trail cannot change them.
    """


def _folder(config_path: Path | None, data: Path | None) -> Path:
    from citytwin.staffing import AUDIT

    folder = Path(options.settings(config_path, data__dir=data).config.data.dir) / AUDIT
    if not folder.is_dir():
        raise click.ClickException(f"{folder} is not there; name the city's data folder with --data")
    return folder


@command.command()
@options.config_file
@options.data
@click.option(
    "--anchors", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Anchors to hold the trail against, one JSON a line, as they were put elsewhere.",
)  # fmt: skip
def verify(config_path: Path | None, data: Path | None, anchors: Path | None) -> int:
    """Look at every row: exit code 0 where the trail is whole, 1 with a line for each thing that is wrong.

    Without --anchors a changed, missing or foreign row and a cut tail are found, but not a chain that was rewritten
    from some row on to its end.
    """
    from citytwin.verification import verify as look

    found = look(_folder(config_path, data), anchors)
    for problem in found.problems:
        click.echo(problem, err=True)
    held = f", held against {found.anchors} anchors" if anchors is not None else "; no anchors were given"
    word = "whole" if not found.problems else f"NOT whole: {len(found.problems)} problems"
    click.echo(f"{found.rows} rows, {found.files} sealed files, head {found.head.hash.hex()[:16]}: {word}{held}")
    return 1 if found.problems else 0


@command.command("list")
@options.config_file
@options.data
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The newest so many.")
@click.option("--who", default="", help="Only what this user did.")
@click.option("--action", default="", help="Only this action, such as read.personal.")
def list_rows(config_path: Path | None, data: Path | None, limit: int, who: str, action: str) -> None:
    """List the newest rows that are not in sealed files, oldest first."""
    from citytwin.verification import newest

    for body in newest(_folder(config_path, data), limit, who, action):
        click.echo(body)
