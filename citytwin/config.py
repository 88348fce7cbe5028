"""Settings: defaults < citytwin.toml < CITYTWIN_* in the environment < flags, each value with where it came from."""

from __future__ import annotations

import ipaddress
import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from citytwin.door_config import Cap, Open311, Webhooks
from citytwin.history_config import History, Influx
from citytwin.people_config import Accounts, Audit, Oidc
from citytwin.sections import Amount, Bridge, Cluster, Count, Kafka, Mqtt, Port, Section

PREFIX = "CITYTWIN_"
FILE = "citytwin.toml"


class ConfigError(ValueError):
    """A setting cannot be used; the text names it, where it stands, and what is allowed."""


class City(Section):
    """Which city: `pack` names a built-in pack or a folder with a city.toml; `plugins` a folder of indicators."""

    pack: str = "wuhan"
    plugins: str = ""


class Data(Section):
    """Where everything durable lies."""

    dir: str = "citytwin-data"


class Server(Section):
    """The one port. A host other than this machine needs a token."""

    host: str = "127.0.0.1"
    port: Port = 8080
    token: str = ""
    token_file: str = ""


class LogSettings(Section):
    """The log: retention (0 = for ever) never goes beyond what the oldest snapshot needs."""

    keep_days: Amount = 0.0
    max_gb: Amount = 0.0


class Engine(Section):
    """Pace of ticks and snapshots."""

    tick_ms: Annotated[int, Meta(ge=100, le=10_000)] = 500
    snapshot_minutes: Annotated[float, Meta(gt=0)] = 5.0
    snapshots: Count = 3
    health: bool = True


class Desk(Section):
    """Whether the desk says by itself what follows: alarms of rules, reminders, escalations, plans."""

    automatic: bool = True


class Ingest(Section):
    """What may wait before callers are told to come again, and what is committed together."""

    queue_events: Count = 200_000
    queue_mb: Count = 256
    group_events: Count = 50_000


class Keep(Section):
    """What is kept, and where: `telemetry_hours` is how long readings can be repeated, corrected and retracted.

    It changes what is refused, so it is part of the definitions that the log tells. Ids and contributions take
    `memory_mb` of memory; what is beyond lies in files of the data folder.
    """

    telemetry_hours: Annotated[float, Meta(ge=1, le=8784)] = 24.0
    memory_mb: Count = 2048


class Workshop(Section):
    """Indicators of the folder `city.plugins`: how they are looked at, checked, and what their code may take.

    With `watch` the folder is looked at every second. A saved file is checked in a process of its own, which may take
    `check_seconds` of a processor and `check_memory_mb`. In the running city one that takes more than `call_seconds` or
    `memory_mb` in a tick, or more than `average_ms` a tick on average for `slow_ticks` ticks, is switched off until its
    file changes.
    """

    watch: bool = True
    check_seconds: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    check_memory_mb: Annotated[int, Meta(ge=64)] = 1024
    call_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 2.0
    average_ms: Annotated[float, Meta(ge=1, le=10_000)] = 50.0
    slow_ticks: Count = 20
    memory_mb: Annotated[int, Meta(ge=64)] = 512


class DeadLetters(Section):
    """Bounds of the dead letters; beyond them the oldest go, counted."""

    max_count: Count = 100_000
    max_mb: Count = 64


class Privacy(Section):
    """Key of the hashes of personal numbers; without one a key is made in the data folder."""

    key: str = ""
    key_file: str = ""


class Config(Section):
    """All settings."""

    city: City = msgspec.field(default_factory=City)
    data: Data = msgspec.field(default_factory=Data)
    server: Server = msgspec.field(default_factory=Server)
    log: LogSettings = msgspec.field(default_factory=LogSettings)
    engine: Engine = msgspec.field(default_factory=Engine)
    desk: Desk = msgspec.field(default_factory=Desk)
    ingest: Ingest = msgspec.field(default_factory=Ingest)
    keep: Keep = msgspec.field(default_factory=Keep)
    workshop: Workshop = msgspec.field(default_factory=Workshop)
    deadletters: DeadLetters = msgspec.field(default_factory=DeadLetters)
    privacy: Privacy = msgspec.field(default_factory=Privacy)
    history: History = msgspec.field(default_factory=History)
    influx: Influx = msgspec.field(default_factory=Influx)
    kafka: Kafka = msgspec.field(default_factory=Kafka)
    cluster: Cluster = msgspec.field(default_factory=Cluster)
    mqtt: Mqtt = msgspec.field(default_factory=Mqtt)
    bridge: Bridge = msgspec.field(default_factory=Bridge)
    accounts: Accounts = msgspec.field(default_factory=Accounts)
    oidc: Oidc = msgspec.field(default_factory=Oidc)
    audit: Audit = msgspec.field(default_factory=Audit)
    open311: Open311 = msgspec.field(default_factory=Open311)
    cap: Cap = msgspec.field(default_factory=Cap)
    webhooks: Webhooks = msgspec.field(default_factory=Webhooks)
    language: Literal["zh", "en"] = "zh"


#: Settings that are never printed, with the one that names a file for each.
SECRETS = {
    "server.token": "server.token_file", "privacy.key": "privacy.key_file", "kafka.password": "kafka.password_file",
    "mqtt.password": "mqtt.password_file", "bridge.token": "bridge.token_file",
    "influx.token": "influx.token_file", "influx.password": "influx.password_file",
    "open311.keys": "open311.keys_file",
    "oidc.client_secret": "oidc.client_secret_file",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force and where each that is no default came from (by dotted name)."""

    config: Config
    origin: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, value, where from, of every setting; a secret's value is not told."""
        for name in names():
            value = _get(self.config, name)
            shown = ("(set)" if value else "(not set)") if name in SECRETS else msgspec.json.encode(value).decode()
            yield name, shown, self.origin.get(name, "default")


def names() -> list[str]:
    """Dotted names of all settings."""
    found: list[str] = []
    for name, kind in get_type_hints(Config).items():
        if isinstance(kind, type) and issubclass(kind, Section):
            found += [f"{name}.{inner}" for inner in kind.__struct_fields__]
        else:
            found.append(name)
    return found


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read the settings; `flags` by dotted name, None = not given. `file` None: citytwin.toml here, if there is one.

    Raises ConfigError.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for found, where in (
        (_file(file), str(file or FILE)),
        (_environment(os.environ if environ is None else environ), "environment"),
        ({k: v for k, v in (flags or {}).items() if v is not None}, "flag"),
    ):
        for name, value in found.items():
            values[name] = value
            origin[name] = f"{PREFIX}{name.upper().replace('.', '__')}" if where == "environment" else where
    config = _checked(values, origin)
    return Loaded(_with_secrets(config), origin)


def _file(file: Path | None) -> dict[str, Any]:
    path = file or Path(FILE)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if file is None:
            return {}
        raise ConfigError(f"there is no settings file {file}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        tree = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    flat = dict(_flat(tree))
    for name in flat:
        _known(name, str(path))
    return flat


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {k: v for k, v in environ.items() if k.startswith(PREFIX) and not k.startswith(_NO_SETTINGS)}
    flat = {k.removeprefix(PREFIX).lower().replace("__", "."): v for k, v in found.items()}
    for key, name in zip(found, flat, strict=True):
        _known(name, key)
    return flat


#: Variables of that prefix that are no settings: the settings file, and what the tests read.
_NO_SETTINGS = ("CITYTWIN_CONFIG", "CITYTWIN_TEST_")


def _known(name: str, where: str) -> None:
    if name not in names():
        near = [
            n
            for n in names()
            if n.split(".")[-1] == name.rsplit(".", maxsplit=1)[-1]
            or n.startswith(name.split(".", maxsplit=1)[0] + ".")
        ]
        hint = ", ".join(near or names())
        raise ConfigError(f"{where}: there is no setting {name}; there is {hint}")


def _checked(values: Mapping[str, Any], origin: Mapping[str, str]) -> Config:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        # Each is checked alone first, so that the error can name it and where it stands.
        one = _convert(_nested({}, name, value), name, value, origin[name])
        _nested(tree, name, _get(one, name))
    return msgspec.convert(tree, Config)


def _convert(tree: Mapping[str, Any], name: str, value: Any, where: str) -> Config:
    try:
        # Text of the environment and of flags is read as the type that the setting has.
        return msgspec.convert(tree, Config, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        said = str(error).split(" - at ")[0]
        shown = "" if name in SECRETS else f" (it is {value!r})"
        raise ConfigError(f"{where}: {name} cannot be used: {said}{shown}") from error


def _nested(tree: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    *outer, last = name.split(".")
    at = tree
    for part in outer:
        at = at.setdefault(part, {})
    at[last] = value
    return tree


def _get(config: Config, name: str) -> Any:
    found: Any = config
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _with_secrets(config: Config) -> Config:
    for name, file_name in SECRETS.items():
        path, section = str(_get(config, file_name)), name.split(".")[0]
        if not path:
            continue
        if _get(config, name):
            raise ConfigError(f"{name} and {file_name} are both given; keep one of them")
        try:
            text = Path(path).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file_name}: {path} cannot be read: {error}") from error
        if not text:
            raise ConfigError(f"{file_name}: {path} is empty")
        changed = msgspec.structs.replace(getattr(config, section), **{name.split(".")[1]: text})
        config = msgspec.structs.replace(config, **{section: changed})
    return config


def is_local(host: str) -> bool:
    """Whether only this machine can reach that host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(server: Server, *, known: bool = False) -> None:
    """Raise ConfigError where others could reach the port and nobody is asked who they are.

    `known`: there are accounts, or a provider of identities. A token alone will do, for programs.
    """
    if not is_local(server.host) and not server.token and not known:
        raise ConfigError(
            f"server.host {server.host} can be reached from other machines and anybody could come in: make accounts "
            "(`citytwin users add NAME --role dispatcher`), or name a provider of identities (oidc.issuer), or for "
            "programs set server.token_file to a file that holds a token; or use 127.0.0.1"
        )


def privacy_key(config: Config, folder: Path) -> bytes:
    """Key of the hashes of personal numbers; one is made in the data folder the first time. Raises ConfigError."""
    if config.privacy.key:
        return config.privacy.key.encode()
    path = folder / "privacy.key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(secrets.token_hex(32))
                out.flush()
                os.fsync(out.fileno())
        key = path.read_text("ascii").strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read or made: {error.strerror}") from error
    if not key:
        raise ConfigError(f"{path} is empty: restore it from a backup, or old and new personal numbers will not match")
    return key.encode()
