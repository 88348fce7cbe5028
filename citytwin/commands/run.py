"""citytwin run"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.data
@options.city
@options.host
@options.port
@options.plugins
@options.exit_after
def command(
    config_path: Path | None, data: Path | None, city: str | None, host: str | None, port: int | None,
    plugins: Path | None, exit_after: float | None,
) -> None:  # fmt: skip
    """Run a city: take events in at POST /ingest, keep them in the log, serve the pages.

    Comes back to the state of the last run from its newest snapshot and the log. Prints one line `ready http://...`
    once the first frame is out. Ends gracefully on SIGINT and SIGTERM; a kill -9 loses nothing that was acknowledged.
    """
    options.log_to_stderr()
    flags = {"data__dir": data, "city__pack": city, "server__host": host, "server__port": port}
    flags["city__plugins"] = plugins
    found = options.settings(config_path, **flags)
    from citytwin.app import Node, say, settle
    from citytwin.staffing import check

    check(found.config, Path(found.config.data.dir))
    with Node(found.config) as node:
        if node.recovered.records or node.recovered.snapshot:
            say(f"back {node.recovered.sentence()}")
        address = node.serve()
        settle()
        node.start()
        node.first_frame.wait()
        click.echo(f"ready {address}")
        options.until_told(exit_after)
        say("stopping ...")
