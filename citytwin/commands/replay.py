"""citytwin replay"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from citytwin.commands import options

if TYPE_CHECKING:
    from citytwin.app import Node
    from citytwin.values import ValuesFile


class Speed(click.ParamType):
    """`60x`, `60` or `max`."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Events' seconds per second; None for max."""
        if value in ("max", 0.0):
            return 0.0
        try:
            speed = float(str(value).removesuffix("x"))
        except ValueError:
            speed = -1.0
        if not 0 < speed <= 1e6:
            self.fail(f"{value} is no speed; give 1x, 60x ... or max", param, ctx)
        return speed


class Every(click.ParamType):
    """`1h`, `15m`, `1d`: a minute or more, in ms."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds."""
        from citytwin.indicators.api import duration_ms

        try:
            found = duration_ms(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if found < 60_000:
            self.fail(f"{value} is less than a minute; give 1m, 15m, 1h, 1d ...", param, ctx)
        return found


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--mapping", metavar="TOML", help="How columns become events: a file, or air_quality, service_requests_311, job_w."
)
@click.option(
    "--speed", type=Speed(), default="max", show_default=True, help="60x = a minute a second; max = as it goes."
)
@options.city
@options.data
@options.config_file
@click.option(
    "--values",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the values of all places, as they stand at the end: .csv, or .ndjson.",
)
@click.option(
    "--every",
    type=Every(),
    metavar="DURATION",
    help="Write them also as they stood at each full 15m, 1h, 1d ... of the events' time, with all events up to then.",
)
@click.option("--indicator", "only", multiple=True, metavar="ID", help="Write only this one; may be given again.")
@click.option("--serve", is_flag=True, help="Show it on the pages meanwhile and afterwards, until stopped.")
@options.port
def command(
    file: Path, mapping: str | None, speed: float, city: str | None, data: Path | None, config_path: Path | None,
    values: Path | None, every: int | None, only: tuple[str, ...], serve: bool, port: int | None,
) -> None:  # fmt: skip
    """Replay FILE (NDJSON of CloudEvents, or rows with --mapping) into a log and an event-time clock of its own.

    At max speed ticks fall only on pane edges, deadlines and data. Prints what was taken, what was refused and why,
    and the city's indicators at the end. Without --data the log is temporary.

    The rows of --values say indicator, place, value, the value of the last closed window, quality, how many sources are
    fresh of how many expected, the time (ms UTC), and as JSON what an indicator adds to its number, such as the
    primary pollutants. Cases are read with --serve under /api/v1/cases.

    \b
    The official hours of the air stations, hour by hour:
      citytwin replay air.csv --mapping air_quality --values aqi.csv --every 1h --indicator aqi_hourly
    """
    options.log_to_stderr()
    if values is None and (every or only):
        raise click.UsageError("--every and --indicator say what --values FILE is to hold; give it too")
    with ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="citytwin-replay-")))
        elif (data / "log.db").exists():
            raise click.ClickException(f"{data} has a log already; a replay begins with an empty one")
        flags = {"data__dir": data, "city__pack": city, "server__port": port, "engine__health": False}
        found = options.settings(config_path, **flags)
        from citytwin.app import Node
        from citytwin.replay import Replay, sources

        node = stack.enter_context(Node(found.config))
        out = stack.enter_context(_values(node, values, only)) if values is not None else None
        address = node.serve() if serve else ""
        node.start(live=False)
        replay = Replay(node, every_ms=every or 0, at_mark=out.write if out and every else lambda: None)
        replay.read(sources(file, node, mapping), file.name)
        if serve:
            click.echo(f"ready {address}")
        _print(replay.run(speed or None))
        if out is not None:
            out.write()
            click.echo(f"{out.count} values in {values}")
        if serve:
            options.until_told()


def _values(node: Node, path: Path, only: tuple[str, ...]) -> ValuesFile:
    from citytwin.values import ValuesFile

    known = [s.id for s in node.engine.registry]
    if unknown := [id for id in only if id not in known]:
        raise click.ClickException(f"there is no indicator {', '.join(unknown)}; there are {', '.join(known)}")
    return ValuesFile(node, path, only)


def _print(done: object) -> None:
    from datetime import UTC, datetime

    from citytwin.replay import Summary

    assert isinstance(done, Summary)
    span = " to ".join(
        datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for ms in (done.first_ms, done.last_ms)
    )
    click.echo(f"{done.rows} rows, {done.events} events of {span}, {done.ticks} ticks, {done.seconds:.1f} s")
    click.echo(f"{done.accepted} accepted, {done.duplicates} duplicates, {sum(done.rejected.values())} rejected")
    for reason, count in done.rejected.items():
        click.echo(f"  {count:>8}  {reason}")
    for name, value in done.values.items():
        if value is not None:
            click.echo(f"{name:<36} {value:g}")
