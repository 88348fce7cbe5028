"""citytwin demo"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.data
@options.city
@options.port
@options.plugins
@click.option("--speed", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Pace of the story.")
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed is another city life.")
@click.option("--days", type=click.IntRange(1, 60), default=30, show_default=True, help="Days of history before now.")
@options.exit_after
def command(
    config_path: Path | None, data: Path | None, city: str | None, port: int | None, plugins: Path | None, speed: float,
    seed: int, days: int, exit_after: float | None,
) -> None:  # fmt: skip
    """Show a simulated city: a rainy evening over Wuhan, with 30 days of history behind it.

    Rain falls, water rises, people call, cases are opened, units drive out. The history comes in within the first
    minute. Without --data everything lies in a temporary folder and is gone afterwards; with it the demo goes on
    where it was. Prints one line `ready http://...` once the first frame is out.
    """
    options.log_to_stderr()
    with ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="citytwin-demo-")))
        flags = {"data__dir": data, "city__pack": city, "server__port": port, "city__plugins": plugins}
        found = options.settings(config_path, **flags)
        from citytwin.app import Node, say, settle
        from citytwin.demo import Demo, Options

        node = stack.enter_context(Node(found.config, demo=True))
        address = node.serve()
        say(f"pages  {address}/")
        say(f"events {address}/ingest   metrics {address}/metrics   data {data}")
        settle()
        node.start(live=False)
        demo = Demo(node, Options(seed, speed, days))
        stack.callback(demo.close)
        demo.start()
        node.first_frame.wait()
        click.echo(f"ready {address}")
        options.until_told(exit_after)
        say("stopping ...")
