"""citytwin users"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from citytwin.commands import options

if TYPE_CHECKING:
    from citytwin.accounts import Accounts

_scope = click.option(
    "--scope",
    default="*",
    show_default=True,
    metavar="CODE",
    help="Code of a district or the like; * is the city.",
)
_unchecked = click.option(
    "--unchecked", is_flag=True, help="Take the scope as it is: the city has one that the pack does not know."
)
#: Scopes that a refusal names.
_NAMED = 30
_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")


@click.group()
def command() -> None:
    """Make accounts, give and take roles.

    Accounts lie in accounts.db of the data folder. What is changed here acts at once, also on a city that runs and on
    pages that are open. A role holds at a scope: a dispatcher at 420102 sees and moves what lies in that district.
    Each change is a row of the audit trail.

    \b
    citytwin users add anna --name 安娜 --role dispatcher --scope 420102
    citytwin users grant anna shift_leader --scope 420102
    citytwin users disable anna
    """


@contextmanager
def _open(config_path: Path | None, data: Path | None) -> Iterator[Accounts]:
    from citytwin.staffing import accounts_of, audit_of

    config = options.settings(config_path, data__dir=data).config
    folder = Path(config.data.dir)
    with audit_of(folder, config) as audit, accounts_of(folder, config, audit, getpass.getuser(), "cli") as accounts:
        yield accounts


def _check(config_path: Path | None, data: Path | None, pack: str | None, scope: str) -> None:
    """Raise ClickException for a scope that the city's pack does not have: a right there would cover nothing."""
    from citytwin.models.desk.rights import EVERYWHERE
    from citytwin.twin.pack import PackError, load_city

    if scope == EVERYWHERE:
        return
    flags = {"city__pack": pack} if pack else {}
    given = options.settings(config_path, data__dir=data, **flags).config.city.pack
    try:
        scopes = load_city(given).scopes
    except PackError as error:
        said = f"{error}\nso the scope cannot be looked up; --unchecked takes it as it is"
        raise click.ClickException(said) from error
    if scopes.row(scope) >= 0:
        return
    rows = [r for r in scopes.at_level(1).tolist() if not scopes.unlocated[r]][:_NAMED]
    known = ", ".join(f"{scopes.code[r]} {scopes.name[r]}" for r in rows)
    raise click.ClickException(
        f"there is no scope {scope} in the city pack {given}. Give the code of a district ({known}), street or grid, "
        "or * for the whole city; name another pack with --city; --unchecked takes one that the pack does not know"
    )


def _password(stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@command.command()
@options.config_file
@options.data
@click.argument("user")
@click.option("--name", default="", help="Name that others read [default: USER].")
@click.option("--unit", default="", metavar="CODE", help="Code of the unit that a handler belongs to.")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="A role to give at once; may be repeated.")
@_scope
@_unchecked
@options.city
@_stdin
@click.option("--external", is_flag=True, help="No password: a provider of identities vouches for this user.")
def add(
    config_path: Path | None, data: Path | None, user: str, name: str, unit: str, roles: tuple[str, ...], scope: str,
    unchecked: bool, city: str | None, password_stdin: bool, external: bool,
) -> None:  # fmt: skip
    """Make the account USER and ask for its password."""
    from citytwin.models.desk.rights import Rights

    try:
        Rights.of((role, scope) for role in roles)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if not unchecked:
        _check(config_path, data, city, scope)
    with _open(config_path, data) as accounts:
        accounts.add(user, None if external else _password(password_stdin), name=name, unit=unit)
        for role in roles:
            accounts.grant(user, role, scope)
    click.echo(f"user {user} was made{''.join(f', {role} at {scope}' for role in roles)}")


@command.command("list")
@options.config_file
@options.data
def list_users(config_path: Path | None, data: Path | None) -> None:
    """List accounts with their roles."""
    with _open(config_path, data) as accounts:
        for u in accounts.users():
            state = "disabled" if u.disabled else "local" if u.local else "external"
            roles = " ".join(f"{role}@{scope}" for role, scope in sorted(u.grants))
            click.echo(f"{u.user:<20}  {state:<8}  {u.name:<20}  {u.unit:<10}  {roles}")


@command.command()
@options.config_file
@options.data
@click.argument("user")
@_stdin
def passwd(config_path: Path | None, data: Path | None, user: str, password_stdin: bool) -> None:
    """Give USER a new password; every session of theirs ends."""
    with _open(config_path, data) as accounts:
        accounts.passwd(user, _password(password_stdin))
    click.echo(f"user {user} has a new password")


@command.command()
@options.config_file
@options.data
@click.argument("user")
@click.argument("role")
@_scope
@_unchecked
@options.city
def grant(
    config_path: Path | None, data: Path | None, user: str, role: str, scope: str, unchecked: bool, city: str | None
) -> None:
    """Give USER the role ROLE at a scope."""
    if not unchecked:
        _check(config_path, data, city, scope)
    with _open(config_path, data) as accounts:
        accounts.grant(user, role, scope)
    click.echo(f"user {user} is {role} at {scope}")


@command.command()
@options.config_file
@options.data
@click.argument("user")
@click.argument("role")
@click.option("--scope", metavar="CODE", help="Only at this scope [default: everywhere].")
def revoke(config_path: Path | None, data: Path | None, user: str, role: str, scope: str | None) -> None:
    """Take the role ROLE from USER."""
    with _open(config_path, data) as accounts:
        went = accounts.revoke(user, role, scope)
    click.echo(f"user {user} is no {role} any more at {went} {'scope' if went == 1 else 'scopes'}")


@command.command()
@options.config_file
@options.data
@click.argument("user")
@click.option("--undo", is_flag=True, help="Let them in again.")
def disable(config_path: Path | None, data: Path | None, user: str, undo: bool) -> None:
    """Let USER in no more; every session of theirs ends."""
    with _open(config_path, data) as accounts:
        accounts.disable(user, not undo)
    click.echo(f"user {user} may come in again" if undo else f"user {user} may not come in any more")


@command.command()
def roles() -> None:
    """List the roles and what each may do."""
    from citytwin.models.desk.roles import ROLES, permissions

    for role in ROLES.values():
        click.echo(f"{role.code:<17} {role.zh}  {role.en}\n    {' '.join(sorted(permissions(role.code)))}")
