"""Options that several verbs share, and the settings that they make."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from citytwin.config import Loaded, load

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

config_file: Decorator = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), envvar="CITYTWIN_CONFIG", metavar="FILE",
    help="Settings file [default: citytwin.toml here, if there is one].",
)  # fmt: skip
data: Decorator = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the log, snapshots, dead letters.",
)
port: Decorator = click.option("--port", type=click.IntRange(0, 65535), help="Port to serve on; 0 takes a free one.")
host: Decorator = click.option("--host", help="Address to serve on; any but this machine needs a token.")
city: Decorator = click.option(
    "--city", metavar="PACK", help="A built-in city pack (wuhan, new_york) or a folder with a city.toml."
)
plugins: Decorator = click.option(
    "--plugins",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of indicators of your own, watched while the city runs.",
)
exit_after: Decorator = click.option(
    "--exit-after", type=click.FloatRange(0), metavar="SECONDS", help="Stop by itself so long after the first frame."
)


def settings(config_path: Path | None, **flags: Any) -> Loaded:
    """The settings in force; flags by dotted name with `__` for the dot."""
    return load(
        config_path, flags={k.replace("__", "."): str(v) if isinstance(v, Path) else v for k, v in flags.items()}
    )


def log_to_stderr() -> None:
    """Let warnings and errors of the running program be seen."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def until_told(seconds: float | None = None) -> None:
    """Wait for SIGINT or SIGTERM, or for so many seconds."""
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    done.wait(seconds)
