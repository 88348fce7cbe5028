"""citytwin rules"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from citytwin.commands import options

if TYPE_CHECKING:
    from citytwin.asof import Supply
    from citytwin.config import Config
    from citytwin.models.desk.rules import Rule


class Moment(click.ParamType):
    """A time with its offset, in ms UTC."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds."""
        if isinstance(value, int):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value} is no time; write 2026-07-08T14:00:00+08:00", param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value} has no offset; write 2026-07-08T14:00:00+08:00", param, ctx)
        return round(found.timestamp() * 1000)


_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
def command() -> None:
    """Check rules of alarms, and rehearse them on the log before they are in force."""


@command.command()
@_FILE
@options.city
@options.config_file
def check(file: Path, city: str | None, config_path: Path | None) -> int:
    """Check a FILE of rules (TOML) against a city: fields, event types, expressions, indicators.

    Each problem is one line: file, line, rule, field, what to do. Leaves with 1 if there is any.
    """
    from citytwin.engine import Engine
    from citytwin.rulerun import check as checked

    rules = _read(file)
    if rules is None:
        return 1
    supply = _supply(options.settings(config_path, city__pack=city).config)
    if not _sound(file, lambda: checked(rules, Engine(supply.city(), supply.registry()))):
        return 1
    click.echo(f"{file}: {len(rules)} rules can be put in force")
    return 0


@command.command()
@_FILE
@options.data
@options.city
@options.config_file
@click.option("--from", "since", type=Moment(), metavar="TIME", help="Count alarms from here on [default: the log].")
@click.option("--to", "until", type=Moment(), metavar="TIME", help="Count alarms before this [default: the log's end].")
@click.option("--json", "as_json", is_flag=True, help="Print the figures and the alarms as JSON.")
def rehearse(
    file: Path, data: Path | None, city: str | None, config_path: Path | None, since: int | None, until: int | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Replay the log under the rules of FILE, beside those in force: alarms a day, overlap, operator minutes, places.

    They fire as they would have in the running city. Needs as long as a replay of the log; the city may run meanwhile.
    """
    from citytwin.rulerun import CannotRehearse
    from citytwin.rulerun import rehearse as replayed

    rules = _read(file)
    if rules is None:
        return 1
    found = options.settings(config_path, data__dir=data, city__pack=city).config
    folder, supply, done = Path(found.data.dir), _supply(found), list[Any]()
    if not (folder / "log.db").is_file():
        raise click.ClickException(f"there is no log in {folder}; name the data folder of a city with --data")
    try:
        if not _sound(file, lambda: done.append(replayed(folder, supply, rules, since, until))):
            return 1
    except CannotRehearse as error:
        raise click.ClickException(str(error)) from error
    report = done[0].report()
    if as_json:
        alarms = [
            {"time": d.time, "alarm": d.subject, "scope": d.scope, "text": d.fields["text_en"]} for d in done[0].raised
        ]
        click.echo(json.dumps({**report, "raised": alarms}, ensure_ascii=False))
    else:
        _print(report)
    return 0


def _read(file: Path) -> list[Rule] | None:
    from citytwin.models.desk.rules import RuleError
    from citytwin.models.desk.ruletoml import parse_rules

    try:
        return parse_rules(file.read_text("utf-8-sig"), str(file))
    except UnicodeDecodeError as error:
        click.echo(f"{file}: the file is no UTF-8: byte {error.start}")
    except RuleError as error:
        click.echo(str(error))
    return None


def _sound(file: Path, run: Any) -> bool:
    """Run it; whether its rules fit the city."""
    from citytwin.models.desk.rules import RuleError
    from citytwin.rulerun import named

    try:
        run()
    except RuleError as error:
        for line in named(error.problems, str(file)):
            click.echo(line)
        return False
    return True


def _supply(config: Config) -> Supply:
    from citytwin.asof import from_settings

    return from_settings({"pack": config.city.pack, "telemetry_hours": config.keep.telemetry_hours, "texts": {}})


def _print(report: dict[str, Any]) -> None:
    def stamp(ms: int) -> str:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    click.echo(f"{stamp(report['since'])} to {stamp(report['until'])}, {report['days']:g} days")
    click.echo(f"{report['alarms']} alarms, {report['alarms_per_day']:g} a day; {report['cases']} cases")
    click.echo(f"  very likely acceptable for one operator: {report['acceptable_per_day']} a day (EEMUA 191)")
    for rule, n in report["by_rule"].items():
        click.echo(f"  {n:>8}  {rule}")
    assumed = ", ".join(f"{'notice' if k == '0' else k}: {v:g}" for k, v in report["assumed_minutes"].items())
    click.echo(f"{report['operator_minutes_per_day']:g} operator minutes a day; by priority {assumed} (local default)")
    click.echo(f"{report['overlap']} of them overlap alarms of rules in force (same entity or grid, within 10 min)")
    for rule, n in report["overlap_by_rule"].items():
        click.echo(f"  {n:>8}  {rule}")
    for place in report["top"]:
        name = place["name"]
        click.echo(f"  {place['alarms']:>8}  {place['scope']} {name['zh'] if name else ''}")
    if report["late"] or report["dropped"]:
        click.echo(f"{report['late']} events came too late for a rule, {report['dropped']} had no room")
