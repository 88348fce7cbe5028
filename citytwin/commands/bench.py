"""citytwin bench"""

from __future__ import annotations

import importlib
import importlib.util

import click


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> int:
    """Measure the way from bytes to frames on this machine, with durable log, deduplication and corrections on.

    Prints a table and writes build/bench.json. Arguments go to the benchmark as they are.
    """
    if importlib.util.find_spec("citytwin.bench") is None:
        raise click.ClickException("the benchmark is not part of this installation; run it from a checkout: make bench")
    return int(importlib.import_module("citytwin.bench").main(list(arguments)) or 0)
