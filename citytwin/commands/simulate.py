"""citytwin simulate"""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.city
@click.option("--to", "url", required=True, metavar="URL", help="Door of a city or bridge.")
@click.option("--token-file", type=click.Path(path_type=Path), metavar="FILE", help="File with the door's token.")
@click.option("--state", type=click.Path(path_type=Path), metavar="FILE", help="Remember here how far it is told.")
@click.option("--speed", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Pace of the story.")
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed is another city life.")
@click.option("--load", type=click.FloatRange(1), metavar="N", help="Readings a second [default: by period].")
@options.exit_after
def command(
    config_path: Path | None, city: str | None, url: str, token_file: Path | None, state: Path | None, speed: float,
    seed: int, load: float | None, exit_after: float | None,
) -> None:  # fmt: skip
    """Send the life of a simulated city to another one, over HTTP.

    Events go as Arrow to POST /ingest of `citytwin run` or `citytwin bridge`. Where the door is busy, full or away it
    waits and sends the same again: nothing is left out, and what was taken twice is counted once. With --state it goes
    on where it was after a restart, and tells what happened meanwhile (up to a day). Ends on SIGINT and SIGTERM.
    """
    options.log_to_stderr()
    found = options.settings(config_path, city__pack=city).config
    from citytwin.clock import SystemClock
    from citytwin.feeder import Stopped
    from citytwin.living import Options, live
    from citytwin.sending import Sender
    from citytwin.twin.pack import load_city

    stop = threading.Event()
    token = _token(token_file)
    pack = load_city(found.city.pack)

    def say(line: str) -> None:
        click.echo(f"citytwin: {line}", err=True)

    sender = Sender(url, pack.vocabulary, token=token, stop=stop, say=say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if exit_after is not None:
        timer = threading.Timer(exit_after, stop.set)
        timer.daemon = True
        timer.start()
    click.echo(f"sending to {url}")
    try:
        live(pack, sender, Options(seed, speed, load), file=state, clock=SystemClock(), stop=stop, say=say)
    except Stopped:
        say("stopped in the middle of a call; with --state it is sent again at the next start")
    finally:
        sender.close()
        total = sender.totals
        say(f"{total.events} events sent, {total.accepted} taken, {total.duplicates} known already, {total.rejected}")


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    token = path.read_text("utf-8").strip()
    if not token:
        raise click.UsageError(f"{path} is empty; write the door's token into it")
    return token
