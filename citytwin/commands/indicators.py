"""citytwin indicators"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import click

from citytwin.commands import options

_COLUMNS = ("id", "name", "unit", "window", "levels", "status")


@click.group()
def command() -> None:
    """List what is measured: built-in indicators, those of packages and of your folder."""


@command.command("list")
@options.config_file
@click.option("--json", "as_json", is_flag=True, help="Everything that is known of them, as JSON.")
@click.option("--theme", default="", help="Only those of this theme.")
@click.option("--plugins", type=click.Path(file_okay=False, path_type=Path), help="Folder of indicators too.")
def list_all(config_path: Path | None, as_json: bool, theme: str, plugins: Path | None) -> int:
    """List all indicators: id, name, unit, window, levels, status (V verified, K known, S seed, L local).

    Files of the plugins folder that cannot be used are named below the list. Leaves with 1 if a theme has none.
    """
    from citytwin.plugins import catalogue

    found = options.settings(config_path, city__plugins=plugins).config
    rows, problems = catalogue(found.city.plugins)
    rows = [r for r in rows if not theme or r["theme"] == theme]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        _table(rows, found.language)
        known = ", ".join(sorted({r["theme"] for r in rows}))
        click.echo(f"{len(rows)} indicators" + (f" of {known}" if rows else f"; no theme is called {theme}"))
    for problem in problems:
        click.echo(problem, err=True)
    return 0 if rows else 1


def _table(rows: list[dict[str, Any]], language: str) -> None:
    cells = [_COLUMNS]
    for r in rows:
        name = r["name"].get(language) or r["name"].get("en", "")
        cells.append((r["id"], name, r["unit"], r["window"], " ".join(r["levels"]), r["status"]))
    wide = [max(_width(line[i]) for line in cells) for i in range(len(_COLUMNS))]
    for line in cells:
        padded = (text + " " * (wide[i] - _width(text)) for i, text in enumerate(line))
        click.echo("  ".join(padded).rstrip())


def _width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
