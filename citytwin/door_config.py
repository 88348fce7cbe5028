"""Settings of the doors: `[open311]` reports of citizens, `[cap]` public warnings, `[webhooks]` telling others."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from citytwin.sections import Count, Section


class Open311(Section):
    """Who may use the Open311 door besides those who are known: with `public` everybody, else whoever has a key.

    `keys`: api_key values, parted by blanks or lines.
    """

    public: bool = False
    keys: str = ""
    keys_file: str = ""


class Cap(Section):
    """Who warnings are from: `sender` is the identifier (default `citytwin.<pack>`), the names are for people."""

    sender: Annotated[str, Meta(pattern=r"^[^\s,<&]{0,100}$")] = ""
    name_zh: str = ""
    name_en: str = ""


class HookTarget(Section):
    """A `[[webhooks.targets]]`: who is told of events of these types, at or below these scopes (none: everywhere).

    `secret_file` holds the secret of the signature. `private`: it may lie in a private network. `texts`: it is told
    free texts of cases, and who at the desk did it.
    """

    name: str
    url: str
    types: list[str]
    secret_file: str
    scopes: list[str] = msgspec.field(default_factory=list)
    private: bool = False
    texts: bool = False


class Webhooks(Section):
    """How events are told: a delivery is a dead letter after `tries` tries of at most `timeout_s` seconds.

    Of each target at most `queue` deliveries wait, the oldest go first, counted. Events older than `max_age_hours` are
    not told: history that is brought in is no news.
    """

    tries: Annotated[int, Meta(ge=1, le=50)] = 15
    timeout_s: Annotated[float, Meta(ge=0.5, le=60)] = 10.0
    queue: Count = 10_000
    max_age_hours: Annotated[float, Meta(gt=0, le=8784)] = 24.0
    targets: list[HookTarget] = msgspec.field(default_factory=list)
