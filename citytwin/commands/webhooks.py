"""citytwin webhooks"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from citytwin.commands import options

if TYPE_CHECKING:
    from citytwin.config import Config
    from citytwin.streams.hookstore import HookStore


@click.group()
def command() -> None:
    """Tell other systems of events: list, add and remove targets, drive dead letters again.

    A running city takes changes up within a second. Targets of the settings (`[[webhooks.targets]]`) are listed too.
    """


def _open(config_path: Path | None, data: Path | None) -> tuple[Config, HookStore]:
    from citytwin.hooked import store

    config = options.settings(config_path, data__dir=data).config
    folder = Path(config.data.dir)
    if not folder.is_dir():
        raise click.ClickException(f"{folder} is not there; name the city's data folder with --data")
    return config, store(config, folder)


@command.command("list")
@options.config_file
@options.data
@click.option("--dead", "name", default="", metavar="NAME", help="Show the dead letters of this target.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_targets(config_path: Path | None, data: Path | None, name: str, limit: int) -> None:
    """List targets with what waits, what was sent, what failed, what is dead and what was dropped at the bound."""
    from citytwin.hooked import targets

    config, store = _open(config_path, data)
    with store:
        if name:
            for x in store.dead(name, limit):
                made = datetime.fromtimestamp(x.made_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                click.echo(f"{x.id:>7}  {made}  {x.type:<20}  {x.tries} tries  {x.why}  {x.key}")
            return
        fixed = targets(config)
        added = [t for t in store.targets() if t.name not in {f.name for f in fixed}]
        for target in [*fixed, *added]:
            counts = "  ".join(f"{k} {v}" for k, v in store.counts(target.name).items())
            where = f" at {' '.join(target.scopes)}" if target.scopes else ""
            origin = "settings" if target in fixed else "added"
            click.echo(f"{target.name}  {target.url}  {' '.join(target.types)}{where}  ({origin})\n    {counts}")
        if not fixed and not added:
            click.echo("no targets; `citytwin webhooks add NAME URL --types 'case.*'` adds one")


@command.command()
@options.config_file
@options.data
@click.argument("name")
@click.argument("url")
@click.option("--types", required=True, help="Patterns of event types, parted by blanks: 'case.* alarm.raised'.")
@click.option("--scopes", default="", help="Codes of scopes; only what lies at or below one of them is told.")
@click.option("--secret-file", type=click.File("r"), help="Holds the secret; without one a secret is made and shown.")
@click.option("--private", is_flag=True, help="The address may lie in a private network.")
@click.option("--texts", is_flag=True, help="Tell free texts of cases, and who at the desk did it, too.")
def add(
    config_path: Path | None, data: Path | None, name: str, url: str, types: str, scopes: str,
    secret_file: click.utils.LazyFile | None, private: bool, texts: bool,
) -> None:  # fmt: skip
    """Tell the address URL of events from now on, or change the target NAME."""
    import secrets

    from citytwin.streams.hooks import Target

    secret = str(secret_file.read()).strip() if secret_file is not None else secrets.token_hex(32)
    target = Target(name, url, tuple(types.split()), secret, tuple(scopes.split()), private, texts)
    if problem := target.problem():
        raise click.ClickException(problem)
    _, store = _open(config_path, data)
    with store:
        store.add(target)
    click.echo(f"{name} is told of {types}")
    if secret_file is None:
        click.echo(f"secret {secret}")


@command.command()
@options.config_file
@options.data
@click.argument("name")
def remove(config_path: Path | None, data: Path | None, name: str) -> None:
    """Forget an added target, and all that it was still to be told."""
    _, store = _open(config_path, data)
    with store:
        if not store.remove(name):
            raise click.ClickException(f"there is no added target {name}; `citytwin webhooks list` shows all")
    click.echo(f"{name} is told nothing more")


@command.command()
@options.config_file
@options.data
@click.argument("name")
@click.argument("number", type=int, required=False)
def retry(config_path: Path | None, data: Path | None, name: str, number: int | None) -> None:
    """Drive the dead letters of a target again, all or the one of a NUMBER."""
    from citytwin.clock import SystemClock

    _, store = _open(config_path, data)
    with store:
        count = store.retry(name, number, SystemClock().now_ms())
    click.echo(f"{count} of {name} will be sent again")
