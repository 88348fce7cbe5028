"""citytwin check"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from citytwin.trial import Limits, Verdict

#: Seconds for all built-in and installed indicators together.
_ALL_S = 1800.0


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--builtin", is_flag=True, help="All built-in and installed indicators, as without a FILE.")
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="Time for each file.")
@click.option("--memory", type=click.IntRange(64), default=1024, show_default=True, help="MiB that a file may take.")
def command(files: tuple[Path, ...], builtin: bool, seconds: float, memory: int) -> int:
    """Check files of indicators (Python or TOML) against the contract that the built-in ones pass too.

    Looks at names, units, bands, sources and examples; tries the formula on arrays; feeds events in many orders: late,
    twice, tick by tick, in one district only; looks at time and memory. Each file runs in a process of its own, so that
    one that loops or takes all memory is named too. Each problem is one line: file, indicator, rule, what to do. Leaves
    with 1 if there is any. A Python file is run: check only what you would run.
    """
    from citytwin.trial import Limits, check_text

    limits, bad = Limits(seconds, memory), 0
    if builtin or not files:
        verdict = check_text("built-in", None, Limits(_ALL_S, memory))
        bad += _tell("built-in", verdict, quiet=True)
        if not verdict.problems:
            click.echo(f"{len(verdict.ids)} built-in and installed indicators keep the contract")
    for file in files:
        bad += _check(file, limits)
    return 1 if bad else 0


def _check(file: Path, limits: Limits) -> int:
    from citytwin.indicators.loading import NotAnIndicator
    from citytwin.plugins import plugin_files, read
    from citytwin.trial import check_text

    try:
        text = read(file)
        others = []
        if "ind(" in text:  # it reads others: those beside it too
            others = [(p.name, read(p)) for p in plugin_files(file.parent) if p.name != file.name]
    except NotAnIndicator as error:
        click.echo(str(error))
        return 1
    return _tell(str(file), check_text(file.name, text, limits, others=others))


def _tell(file: str, verdict: Verdict, quiet: bool = False) -> int:
    for problem in verdict.problems:
        name = f"{problem.indicator}: " if problem.indicator else ""
        click.echo(f"{file}: {name}{problem.rule}: {problem.message}")
    wrong = {p.indicator for p in verdict.problems}
    for id in verdict.ids:
        cost, state = verdict.costs[id]
        if not quiet and id not in wrong and "" not in wrong:
            click.echo(f"{file}: {id} ok ({cost:,.1f} us, at most {state / 2**20:,.1f} MiB over 10,000 grids)")
    for note in verdict.notes:
        click.echo(f"{file}: {note}")
    return len(verdict.problems)
