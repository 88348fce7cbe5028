"""The `citytwin` command. Each verb is imported when it is used, so that `--help` answers at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

#: Verb to its module and one line about it; groups hold verbs of their own.
_VERBS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Show a simulated city: one command, nothing to prepare."),
    "run": ("run", "Run a city: take events in, serve the pages."),
    "simulate": ("simulate", "Send the life of a simulated city to another one, over HTTP."),
    "replay": ("replay", "Replay a file of events at its own time, or as fast as it goes."),
    "city": ("city", "Make city packs."),
    "new": ("new", "Write an indicator of your own, with a test, that passes at once."),
    "check": ("check", "Check a file of indicators against the public contract."),
    "indicators": ("indicators", "List what is measured."),
    "rules": ("rules", "Check rules of alarms, and rehearse them on the log."),
    "docs": ("docs", "Write a reference page for each indicator."),
    "status": ("status", "Say how a running city or cluster is, and what is wrong."),
    "doctor": ("doctor", "Look for what is wrong here and say what to do."),
    "deadletters": ("deadletters", "List, show and retry events that were not taken."),
    "webhooks": ("webhooks", "Tell other systems of events; list, add, remove, retry."),
    "influx": ("influx", "Make the database or bucket of an InfluxDB for the history."),
    "users": ("users", "Make accounts, give and take roles."),
    "audit": ("audit", "Read the audit trail and verify it."),
    "backup": ("backup", "Copy a data folder, also while it is in use."),
    "restore": ("restore", "Bring a backup back into an empty folder, verified."),
    "topics": ("topics", "Make and list the Kafka topics of a city."),
    "reshard": ("reshard", "Move a city to another number of shards, into topics of another prefix."),
    "worker": ("worker", "Count the shards of a city that Kafka deals out."),
    "clock": ("clock", "Say when segments end, merge the parts, put frames on the board."),
    "gateway": ("gateway", "Serve pages and clients of a city beyond one machine."),
    "bridge": ("bridge", "Take foreign events from Kafka, MQTT and HTTP into the city's topics."),
    "config": ("config", "Show the settings and where each comes from."),
    "bench": ("bench", "Measure the way from bytes to frames on this machine."),
}


class LazyGroup(click.Group):
    """A group that knows names and summaries of its verbs without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order in which people meet them."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, imported now."""
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"citytwin.commands.{_VERBS[cmd_name][0]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs in `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="citytwin", message="%(version)s")
def cli() -> None:
    """CityTwin: events in, exact operating indicators out, live on the wall.

    Begin with `citytwin demo`. Settings come from defaults, citytwin.toml, CITYTWIN_* and flags, in this order;
    `citytwin config show` tells which won.
    """


def main(arguments: list[str] | None = None, environ: Mapping[str, Any] | None = None) -> None:
    """Run the command and leave with its code: 0 done, 1 it could not be done, 2 it was asked for wrongly, 130 ended.

    What a user can set right is said in one sentence, without a traceback.
    """
    del environ
    try:
        code = cli.main(arguments, prog_name="citytwin", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _EXTRAS:
            raise
        extra = _EXTRAS[(error.name or "").split(".")[0]]
        click.echo(f"citytwin: {error.name} is not installed: pip install 'citytwin[{extra}]'", err=True)
        sys.exit(1)
    except Exception as error:
        if not is_plain(error):
            raise
        click.echo(f"citytwin: {error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


#: Packages that only some verbs need, and the extra that brings each.
_EXTRAS = {
    "aiokafka": "kafka",
    "faust": "kafka",
    "aiomqtt": "mqtt",
    "paho": "mqtt",
    "influxdb_client": "influx",
    "jwt": "oidc",
}

#: Errors whose text is a sentence for the user, by the module and name of the class: naming imports nothing.
_PLAIN = {
    "citytwin.config.ConfigError",
    "citytwin.accounts.AccountError",
    "citytwin.streams.store.StoreError",
    "citytwin.twin.pack.PackError",
    "citytwin.indicators.loading.NotAnIndicator",
    "citytwin.streams.mapping.MappingError",
    "citytwin.sending.NotTaken",
    "citytwin.submissions.Unavailable",
    "citytwin.recovery.ReplayFailed",
    "citytwin.streams.brokers.BrokerError",
}


def is_plain(error: Exception) -> bool:
    """Whether the error's text is meant for the user; also what the system says about a file or an address."""
    kinds = {f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__}
    return bool(kinds & _PLAIN) or isinstance(error, OSError)
