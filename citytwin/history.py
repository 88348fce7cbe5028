"""From settings to a historian: which stores there are, where they lie, what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from citytwin.config import Config, ConfigError
from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.historian import Historian
from citytwin.metrics import HistoryMetrics
from citytwin.models.vocabulary import Vocabulary
from citytwin.streams.history import History

if TYPE_CHECKING:
    from citytwin.streams.influx import Server


def historian(
    config: Config, folder: Path, scopes: ScopeTree, vocabulary: Vocabulary, metrics: HistoryMetrics | None = None
) -> Historian | None:
    """The historian that the settings want, not started; None if nothing is to be kept.

    Raises ConfigError, StoreError.
    """
    wanted = config.history
    kept, properties = levels(wanted.levels), telemetry(wanted.telemetry, vocabulary)
    found = stores(config, folder)
    if not found:
        return None
    return Historian(
        found, scopes, levels=kept, every_ms=round(wanted.every_s * 1000), queue_values=wanted.queue_values,
        metrics=metrics, properties=properties,
    )  # fmt: skip


def stores(config: Config, folder: Path) -> list[History]:
    """The stores of the settings; the first answers reads. Raises ConfigError, StoreError."""
    wanted, found = config.history, list[History]()
    beat_ms = max(1000, round(wanted.every_s * 1000))
    if wanted.parquet:
        from citytwin.streams.parquet import ParquetStore

        where = Path(wanted.dir).absolute() if wanted.dir else folder / "history"
        flush_ms = round(wanted.flush_s * 1000)
        found.append(
            ParquetStore(
                where, flush_ms=flush_ms, flush_rows=wanted.flush_rows, keep_days=wanted.keep_days, beat_ms=beat_ms
            )
        )
    if config.influx.url:
        from citytwin.streams.influx import InfluxStore

        given = config.influx
        spool = given.spool_mb << 20
        found.append(
            InfluxStore(server(config), folder / "influx", spool_bytes=spool, batch=given.batch_rows, beat_ms=beat_ms)
        )
    return found


def server(config: Config) -> Server:
    """The InfluxDB of the settings. Raises ConfigError."""
    given = config.influx
    if not given.url:
        raise ConfigError("no InfluxDB is named: set influx.url, like http://127.0.0.1:8086")
    if given.token and given.user:
        raise ConfigError("influx.token and influx.user are both given; keep one of them")
    if bool(given.user) != bool(given.password):
        raise ConfigError("influx.user and influx.password belong together: give both, the password by password_file")
    try:
        from citytwin.streams.influx import Server
    except ModuleNotFoundError as error:
        raise ConfigError(
            "influx.url is set and the client is not installed: pip install 'citytwin[influx]'"
        ) from error
    return Server(
        given.url, given.bucket, given.org, given.token, given.user, given.password, given.ca_file, given.timeout_s
    )


def levels(text: str) -> tuple[int, ...]:
    """Numbers of the levels in a text like "city district". Raises ConfigError."""
    unknown = [n for n in text.split() if n not in LEVELS]
    if unknown or not text.split():
        raise ConfigError(f"history.levels: {unknown[0] if unknown else 'nothing'} is no level; {' '.join(LEVELS)} are")
    return tuple(LEVELS.index(n) for n in text.split())


def telemetry(text: str, vocabulary: Vocabulary) -> Mapping[str, int]:
    """Steps per unit of the properties in a text. Raises ConfigError for one that the city does not know."""
    for name in text.split():
        if name not in vocabulary.properties:
            near = [n for n in vocabulary.properties if n.split(".")[0] == name.split(".")[0]]
            known = ", ".join(near or sorted(vocabulary.properties)[:20])
            raise ConfigError(f"history.telemetry: there is no property {name}; there is {known}")
    return {name: vocabulary.properties[name].per_unit for name in text.split()}
