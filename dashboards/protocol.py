"""The words on the wire: every message of the WebSocket and every answer of the HTTP reads as a msgspec type.

AsyncAPI, OpenAPI and the TypeScript types are generated from here; docs/protocol.md explains them with examples.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

SUBPROTOCOL = "citytwin.v1+json"
#: A snapshot is sent in parts of at most this many bytes.
CHUNK_BYTES = 256 * 1024
#: A message of a client may have this many bytes.
MAX_MESSAGE = 64 * 1024

STATE_CHANNELS = ("ind", "twin", "sys")
#: Log channels of the desk: who begins gets what is open, then every change.
DESK_CHANNELS = ("alarm", "unit")
LOG_CHANNELS = ("case", "ticker", *DESK_CHANNELS)

SubId = Annotated[int, Meta(ge=0, le=2**31 - 1, description="number that the client chose for its subscription")]
Keys = Annotated[list[int], Meta(description="keys: rows of the dictionary")]
Flags = Annotated[list[int] | bool, Meta(description="keys, or true for every key of this message")]
Millis = Annotated[int, Meta(description="milliseconds since 1970-01-01 UTC")]


class Close(IntEnum):
    """Codes with which the server closes a connection."""

    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    HELLO_TIMEOUT = 4408
    DUPLICATE_ID = 4409
    TOO_MANY = 4429
    DRAINING = 4503
    SLOW = 4508


class Resume(Struct, forbid_unknown_fields=True):
    """Where a client was: the epoch and the last `seq` that it has of this subscription."""

    epoch: str
    seq: int


class Filter(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What of a channel is wanted; what is not given does not restrict.

    `ids`: indicators (`ind`) or codes (`twin`). `scope`: code of a scope; `depth` levels below it (`ind`, default
    0: the scope alone) or all of one `level` inside it. `bbox`: west, south, east, north (`twin`). `fields`: columns.
    """

    scope: str | None = None
    depth: Annotated[int, Meta(ge=0, le=4)] | None = None
    level: Literal["city", "district", "street", "community", "grid"] | None = None
    ids: Annotated[list[str], Meta(max_length=1000)] | None = None
    bbox: tuple[float, float, float, float] | None = None
    fields: Annotated[list[str], Meta(max_length=64)] | None = None


class Said(Struct, tag_field="type", forbid_unknown_fields=True, omit_defaults=True):
    """A message of a client."""


class Hello(Said, tag="hello"):
    """First message, within 5 seconds: the token where one is needed."""

    id: SubId = 0
    token: str | None = None
    client: Annotated[str, Meta(max_length=200)] | None = None


class Sub(Said, tag="sub"):
    """Subscribe to a channel under an id of the client's choice."""

    id: SubId
    channel: Annotated[str, Meta(max_length=100)]
    filter: Filter = msgspec.field(default_factory=Filter)
    max_hz: Annotated[float, Meta(gt=0, le=20)] = 5.0
    resume: Resume | None = None


class Resub(Said, tag="resub"):
    """Change filter or rate of a subscription; only the difference is sent."""

    id: SubId
    filter: Filter = msgspec.field(default_factory=Filter)
    max_hz: Annotated[float, Meta(gt=0, le=20)] | None = None


class Unsub(Said, tag="unsub"):
    """End a subscription."""

    id: SubId


class Look(Said, tag="look"):
    """Which case is open on the page ("": none), and whether a command about it is being typed; see `presence`."""

    id: SubId = 0
    case: Annotated[str, Meta(max_length=200)] = ""
    typing: bool = False


ClientMessage = Hello | Sub | Resub | Unsub | Look


class Dictionary(Struct, omit_defaults=True):
    """Scopes behind the keys: parallel columns; `parent` -1 at the top, `level` 0 city .. 4 grid."""

    k: Keys
    code: list[str]
    name: list[str]
    name_en: list[str]
    parent: list[int]
    level: list[int]
    synthetic: Flags = False
    unlocated: Flags = False


class Qualities(Struct, omit_defaults=True):
    """Keys whose value is not simply good; a key is in one of them at most."""

    provisional: Flags = False
    partial: Annotated[list[tuple[int, int, int]], Meta(description="[key, fresh, expected]")] = []
    stale: Flags = False
    nodata: Flags = False
    error: Flags = False


class Columns(Struct, omit_defaults=True):
    """Values of one indicator; whatever is said about a key replaces all that was said before.

    `v` null = no data; `c` the last closed window, where there is one; `r` keys whose closed window was restated; `b`
    keys by band (blue, yellow, orange, red); keys not in `q` are good, keys not in `b` are normal.
    """

    k: Keys
    v: list[float | None]
    c: list[float | None] | None = None
    r: list[int] = []
    q: Qualities | None = None
    b: dict[str, list[int]] = {}


class Names(Struct, omit_defaults=True):
    """Codes and names behind the keys of a twin channel, for keys that may be new to the client."""

    k: Keys
    code: list[str]
    name: list[str]
    name_en: list[str]


class Twin(Struct, omit_defaults=True):
    """Rows of one twin table: `columns[name][i]` belongs to `k[i]`; `gone` left the filter or the city."""

    k: Keys
    columns: dict[str, list[Any]]
    names: Names | None = None
    gone: list[int] = []


class Told(Struct, tag_field="type", omit_defaults=True):
    """A message of the server; a WebSocket frame holds a JSON array of them."""


class Welcome(Told, tag="welcome"):
    """Answer to hello: who speaks, and where the log stands."""

    id: SubId
    server: str
    epoch: str
    now: Millis
    position: int
    definitions: Annotated[str, Meta(description="hash: read /api/v1/indicators again when it changes")]
    city: dict[str, Any]
    channels: list[str]
    limits: dict[str, int]


class Snap(Told, tag="snap"):
    """One part of a snapshot; `mode` full replaces what the client had under this id, diff adds to it (see `drop`).

    `reason`: why a resume could not be served (`expired`, `epoch`), `resub`, or `large`: too much for one delta.
    One of `values` (channel `ind`), `twin`, `items` (log channels) or `sys` is there.
    """

    id: SubId
    channel: str
    epoch: str
    seq: int
    t: Millis
    position: int
    part: int
    of: int
    mode: Literal["full", "diff"] = "full"
    reason: str | None = None
    scopes: Dictionary | None = None
    values: dict[str, Columns] | None = None
    twin: Twin | None = None
    items: list[Any] | None = None
    sys: dict[str, Any] | None = None
    drop: list[int] = []
    drop_ids: list[str] = []


class Live(Told, tag="live"):
    """From here on only changes: the snapshot is complete, or the resume was granted (`resumed`)."""

    id: SubId
    channel: str
    epoch: str
    seq: int
    resumed: bool = False


class Delta(Told, tag="delta"):
    """Newest values of what changed after `prev`, up to `seq` (state channels)."""

    id: SubId
    channel: str
    seq: int
    prev: int
    t: Millis
    position: int
    scopes: Dictionary | None = None
    values: dict[str, Columns] | None = None
    twin: Twin | None = None
    sys: dict[str, Any] | None = None


class Entries(Told, tag="log"):
    """Entries of a log channel after `prev`, up to `seq`, complete and in order; each carries its own `seq`."""

    id: SubId
    channel: str
    seq: int
    prev: int
    items: list[Any]


class Heartbeat(Told, tag="hb"):
    """Once a second: the engine's time, how far behind the frames are, the log position, the head of each channel."""

    now: Millis
    wall: Millis
    lag_ms: int
    position: int
    seqs: dict[str, int]


class Conflated(Told, tag="conflated"):
    """The client was slow: `n` frames were merged into the next delta of this subscription."""

    id: SubId
    n: int


class Done(Told, tag="done"):
    """Answer to unsub."""

    id: SubId


class Onlooker(Struct, omit_defaults=True):
    """Somebody who looks at a case; `name` "" where names of people are not for the one who is told."""

    user: str
    name: str = ""
    typing: bool = False


class Presence(Told, tag="presence"):
    """Who else looks at the case that this client looks at: all of them, and how many `more` beyond those named."""

    case: str
    who: list[Onlooker]
    more: int = 0


class Error(Told, tag="error"):
    """A request that could not be met, in plain words; the connection stays open."""

    code: int
    reason: str
    detail: str
    id: SubId | None = None


ServerMessage = Welcome | Snap | Live | Delta | Entries | Heartbeat | Conflated | Done | Presence | Error
