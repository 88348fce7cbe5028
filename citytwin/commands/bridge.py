"""citytwin bridge"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from citytwin.commands import options


@click.command()
@options.config_file
@options.city
@click.option("--host", help="Address of the door for HTTP; any but this machine needs bridge.token_file.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the door for HTTP; 0 takes a free one.")
def command(config_path: Path | None, city: str | None, host: str | None, port: int | None) -> int:
    """Take foreign events from Kafka, MQTT and HTTP into the city's topics.

    Sources are the [[bridge.kafka]] and [[bridge.mqtt]] of the settings file, and POST /ingest. A source is told that
    an event was taken once Kafka has it; what is refused goes to <prefix>.deadletters with its reason. Prints one line
    `ready http://...`. Ends gracefully on SIGINT and SIGTERM: exit code 0 if all that was taken is written, else 1
    (the sources still have the rest and send it again).
    """
    options.log_to_stderr()
    # what the client says while a broker is away is said by us in one sentence
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    flags = {"city__pack": city, "bridge__host": host, "bridge__port": port}
    config = options.settings(config_path, **flags).config
    from citytwin.bridge import load_codec, serve

    codec = load_codec(config)
    whole = asyncio.run(serve(config, codec, lambda address: click.echo(f"ready {address}")))
    if not whole:
        click.echo("stopped before Kafka had everything; the sources send the rest again", err=True)
    return 0 if whole else 1
