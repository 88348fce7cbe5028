"""citytwin check"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
def command(files: tuple[Path, ...]) -> int:
    """Check files of indicators against the contract that the built-in ones pass too.

    Looks at names, units, bands, sources and examples, then feeds events in many orders: late, twice, corrected. Each
    problem is one line: indicator, rule, what is wrong. Leaves with 1 if there is any.
    """
    from citytwin.conformance import check_file

    count = 0
    for file in files:
        problems = check_file(file)
        count += len(problems)
        for problem in problems:
            click.echo(f"{file}: {problem}")
        if not problems:
            click.echo(f"{file}: ok")
    return 1 if count else 0
