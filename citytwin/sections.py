"""Settings of what lies beyond one machine, and the types of all settings; see citytwin.config."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[float, Meta(ge=0)]


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """A table of settings."""


class Kafka(Section):
    """How brokers are reached, and the topics of this city: `<prefix>.events` has `shards` partitions, for ever.

    Registers and the desk are kept always, the others so long; 0 = always.
    """

    bootstrap: str = "127.0.0.1:9092"
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-256"
    username: str = ""
    password: str = ""
    password_file: str = ""
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,200}$")] = "citytwin"
    shards: Annotated[int, Meta(ge=1, le=1024)] = 64
    replication: Annotated[int, Meta(ge=1, le=15)] = 1
    min_isr: Annotated[int, Meta(ge=1, le=15)] = 1
    events_hours: Amount = 168.0
    parts_hours: Amount = 24.0
    board_hours: Amount = 24.0
    deadletters_hours: Amount = 720.0


class Cluster(Section):
    """Members of a city beyond one machine: `checkpoints` is a folder that every worker and clock reaches.

    `instance` names a member; a worker that comes back under its name within six seconds takes its shards at once.
    `epoch` is told in markers. A frame that lacks a part goes out provisional after `patience_ms`; a clock that is
    silent for `takeover_ms` is replaced by a standby. `hashes`: final frames carry a hash of all state.
    """

    checkpoints: str = "citytwin-checkpoints"
    instance: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = ""
    epoch: str = ""
    checkpoint_seconds: Annotated[float, Meta(gt=0)] = 20.0
    keep: Count = 3
    tick_ms: Annotated[int, Meta(ge=100, le=10_000)] = 1000
    patience_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1000
    takeover_ms: Annotated[int, Meta(ge=500, le=60_000)] = 2500
    key_every: Annotated[int, Meta(ge=1, le=3600)] = 60
    hashes: bool = False


class Mqtt(Section):
    """The MQTT broker of the bridge; `client_id` is fixed, so that the broker keeps what comes while we are away.

    `inflight`: how many messages the broker may send before the first is in Kafka.
    """

    host: str = "127.0.0.1"
    port: Port = 1883
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password: str = ""
    password_file: str = ""
    client_id: str = "citytwin-bridge"
    version: Literal[3, 5] = 5
    session_hours: Annotated[float, Meta(gt=0, le=8784)] = 168.0
    inflight: Annotated[int, Meta(ge=1, le=65535)] = 2000


class FromKafka(Section):
    """A `[[bridge.kafka]]`: foreign topics whose records are single events, CloudEvents or by a mapping file."""

    topics: list[str]
    mapping: str = ""
    group: str = ""
    bootstrap: str = ""


class FromMqtt(Section):
    """A `[[bridge.mqtt]]`: topic filters, and how their messages are read (CloudEvents where nothing is given)."""

    filters: list[str]
    mapping: str = ""
    observations: str = ""


class Bridge(Section):
    """Foreign events into the city's topics: sources, the door of its own, and what may be on the way.

    Records hold at most `batch_events` events and `batch_kb`; what comes within `linger_ms` goes together. At most
    `inflight_mb` of events (as they came) may be on the way, then sources wait and callers are told to come again.
    """

    host: str = "127.0.0.1"
    port: Port = 8090
    token: str = ""
    token_file: str = ""
    group: str = "citytwin-bridge"
    instance: str = ""
    linger_ms: Annotated[int, Meta(ge=0, le=1000)] = 50
    batch_events: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    batch_kb: Annotated[int, Meta(ge=16, le=4096)] = 900
    inflight_mb: Annotated[int, Meta(ge=1, le=4096)] = 64
    take_records: Annotated[int, Meta(ge=1, le=100_000)] = 20_000
    kafka: list[FromKafka] = msgspec.field(default_factory=list)
    mqtt: list[FromMqtt] = msgspec.field(default_factory=list)
