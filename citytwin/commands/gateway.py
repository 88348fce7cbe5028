"""citytwin gateway"""

from __future__ import annotations

from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.city
@options.host
@options.port
@click.option("--instance", metavar="NAME", help="Name of this member, the same after each restart.")
def command(
    config_path: Path | None, city: str | None, host: str | None, port: int | None, instance: str | None
) -> None:
    """Serve pages and clients of a city beyond one machine, from what is committed on the board.

    Run as many as there are clients for; a client of one may go on at another one. Prints one line `ready http://...`
    when it shows the city. Ends gracefully on SIGINT and SIGTERM. Exit code 70: it cannot go on; the last line says
    why and what to do.
    """
    options.log_to_stderr()
    flags = {"city__pack": city, "cluster__instance": instance, "server__host": host, "server__port": port}
    config = options.settings(config_path, **flags).config
    from citytwin.cluster.serving import quiet, run_gateway, until_told
    from citytwin.staffing import check

    check(config, Path(config.data.dir))
    quiet()
    until_told(lambda stop: run_gateway(config, stop, click.echo))
