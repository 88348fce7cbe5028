"""citytwin deadletters"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click

from citytwin.commands import options


@click.group()
def command() -> None:
    """List, show and retry events that were not taken.

    An event that breaks a rule is kept with the reason, the field and its first bytes; its neighbours are taken.
    """


def _open(config_path: Path | None, data: Path | None) -> Any:
    from citytwin.streams.deadletters import DeadLetters

    found = options.settings(config_path, data__dir=data).config
    path = Path(found.data.dir) / "deadletters.db"
    if not path.is_file():
        raise click.ClickException(f"{path} is not there; name the city's data folder with --data")
    return DeadLetters(path, max_count=found.deadletters.max_count, max_bytes=found.deadletters.max_mb << 20)


def _time(ms: int | None) -> str:
    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@command.command("list")
@options.config_file
@options.data
@click.option("--reason", default="", help="Only letters of this reason.")
@click.option("--all", "every", is_flag=True, help="Retried and discarded ones too.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_letters(config_path: Path | None, data: Path | None, reason: str, every: bool, limit: int) -> None:
    """List letters, newest first, and how many there are of each reason."""
    with _open(config_path, data) as letters:
        for x in letters.list(state=None if every else "open", reason=reason, limit=limit):
            click.echo(
                f"{x.id:>7}  {_time(x.seen_ms)}  {x.state:<9}  {x.reason:<16}  {x.field:<12}  {x.source} {x.event}"
            )
        counts = letters.counts()
        click.echo(f"{sum(counts.values())} open" + "".join(f", {name} {n}" for name, n in counts.items()))
        if letters.dropped:
            click.echo(f"{letters.dropped} older ones were dropped, because there were too many")


@command.command()
@options.config_file
@options.data
@click.argument("number", type=int)
def show(config_path: Path | None, data: Path | None, number: int) -> None:
    """Show one letter with its first bytes."""
    from citytwin.models.batch import REASONS

    with _open(config_path, data) as letters:
        x = letters.show(number)
    facts = {
        "number": x.id, "state": x.state, "seen": _time(x.seen_ms), "retried": _time(x.retried_ms), "reason": x.reason,
        "means": REASONS.get(x.reason, ""), "field": x.field, "detail": x.detail, "source": x.source, "event": x.event,
        "came by": f"{x.door} {x.place}, row {x.row}", "begins": x.head.decode("utf-8", "replace"),
    }  # fmt: skip
    for name, value in facts.items():
        click.echo(f"{name:<8}  {value}")


@command.command()
@options.config_file
@options.data
@options.port
@click.argument("number", type=int)
@click.argument("event", type=click.File("rb"), default="-")
def retry(config_path: Path | None, data: Path | None, port: int | None, number: int, event: IO[bytes]) -> int:
    """Send the corrected EVENT (a CloudEvents JSON file, - for stdin) to the running city and close the letter.

    The letter stays open if the event is refused again. With the event's own id it counts once, however often it is
    sent.
    """
    import time

    loaded = options.settings(config_path, data__dir=data, server__port=port).config
    with _open(config_path, data) as letters:
        wrong = letters.retry(
            number, event.read(), lambda body: _send(loaded.server, body), time.time_ns() // 1_000_000
        )
    for rejection in wrong:
        click.echo(f"refused again: {rejection.reason} {rejection.field}: {rejection.detail}", err=True)
    if not wrong:
        click.echo(f"dead letter {number} was taken", err=False)
    sys.stdout.flush()
    return 1 if wrong else 0


def _send(server: Any, body: bytes) -> Sequence[Any]:
    import http.client
    import json

    from citytwin.models.batch import Rejection

    local = "127.0.0.1" if server.host in ("0.0.0.0", "::") else server.host
    headers = {"Content-Type": "application/cloudevents+json"}
    if server.token:
        headers["Authorization"] = f"Bearer {server.token}"
    connection = http.client.HTTPConnection(local, server.port, timeout=30)
    try:
        connection.request("POST", "/ingest", body, headers)
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except OSError as error:
        raise click.ClickException(
            f"no city answers at {local}:{server.port} ({error}); start it, or name --port"
        ) from error
    finally:
        connection.close()
    if answer.status >= 400 and not found.get("rejected"):
        raise click.ClickException(f"the city answered {answer.status}: {found.get('detail', found.get('title', ''))}")
    rejected = found.get("rejected", [])
    return [Rejection(0, r["reason"], r.get("field", ""), r.get("detail", "")) for r in rejected]
