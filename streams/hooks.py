"""Webhooks, the pure part: who is told what, the signature, when to try again, when to leave a target alone.

A receiver checks `X-CityTwin-Signature: t=<unix seconds>,v1=<hex>`: v1 is the HMAC-SHA-256, under the target's secret,
of the bytes `<t>.<body>`. It drops what is older than some minutes, and what it has seen: `Idempotency-Key` is the same
each time an event is sent.
"""

from __future__ import annotations

import fnmatch
import hmac
import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Strings
from citytwin.models.desk.columns import values_of
from citytwin.models.desk.event import AUTO, DESK_SOURCE
from citytwin.models.vocabulary import EventType, Field, Kind, Vocabulary
from citytwin.streams.secrets import Blanker, keyed_hash

SIGNATURE, KEY = "X-CityTwin-Signature", "Idempotency-Key"
#: First delay before another try, and the longest, in ms.
BASE_MS, MOST_MS = 1000, 3_600_000
#: Failures in a row after which a target is left alone, for how long at first, and at most (ms).
TOLERATED, REST_MS, LONGEST_REST_MS = 5, 30_000, 600_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATTERN = re.compile(r"[a-z0-9_.*?-]{1,100}")
_BLANK = Blanker(())


@dataclass(frozen=True, slots=True)
class Target:
    """An address that is told of events whose type fits one of `types` (`case.*`), at or below one of `scopes`.

    Without scopes: of the whole city. `private`: it may lie in a private network. `texts`: it is told free texts about
    cases and who at the desk did it, too.
    """

    name: str
    url: str
    types: tuple[str, ...]
    secret: str
    scopes: tuple[str, ...] = ()
    private: bool = False
    texts: bool = False

    def __repr__(self) -> str:
        return f"Target({self.name}, {self.url}, types={self.types}, scopes={self.scopes})"

    def wants(self, kind: str) -> bool:
        """Whether it is told of events of this type."""
        return any(fnmatch.fnmatchcase(kind, pattern) for pattern in self.types)

    def problem(self) -> str:
        """Why it cannot be used, "" when it can."""
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            return f"the address of {self.name} is none: {error}"
        if not _NAME.fullmatch(self.name):
            return "a name has up to 64 letters, digits, dots, dashes and underscores"
        if parts.scheme not in ("http", "https") or not host or parts.username or len(self.url) > 2000:
            return f"the address of {self.name} is http or https with a host, and without a user"
        if not (self.url.isascii() and self.url.isprintable()) or " " in self.url:
            return f"the address of {self.name} holds characters that an address may not have"
        if not self.types or not all(map(_PATTERN.fullmatch, self.types)):
            return f"{self.name} names no event types; give patterns such as case.* or alarm.raised"
        return "" if len(self.secret) >= 16 else f"the secret of {self.name} is shorter than 16 characters"


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The signature header of a body sent at a time (unix seconds)."""
    digest = hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hex()
    return f"t={timestamp},v1={digest}"


def verify(secret: str, header: str, body: bytes, now: int, tolerance: int = 300) -> bool:
    """Whether a signature header is right and at most `tolerance` seconds off: what a receiver does."""
    parts = dict(p.partition("=")[::2] for p in header.split(","))
    stamp = parts.get("t", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16) or abs(now - int(stamp)) > tolerance:
        return False
    return hmac.compare_digest(sign(secret, int(stamp), body).encode(), f"t={stamp},v1={parts.get('v1', '')}".encode())


def delay_ms(tries: int, chance: float) -> int:
    """How long to wait after so many failed tries (>= 1): doubled each time, half of it by chance (0 <= chance < 1).

    >>> delay_ms(1, 0.0), delay_ms(3, 1.0), delay_ms(60, 0.5)
    (500, 4000, 2700000)
    """
    whole = min(MOST_MS, BASE_MS << min(tries - 1, 32))
    return round(whole * (0.5 + chance / 2))


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether a target is left alone: after `TOLERATED` failures in a row, until one try at `open_until` goes well."""

    failures: int = 0
    open_until: int = 0

    def waits(self, now: int) -> bool:
        """Whether nothing is to be sent now (ms)."""
        return now < self.open_until

    def after(self, now: int, chance: float, *, well: bool) -> Breaker:
        """The breaker after a try that ended now (ms)."""
        if well:
            return Breaker()
        failures = self.failures + 1
        if failures < TOLERATED:
            return replace(self, failures=failures)
        rest = min(LONGEST_REST_MS, REST_MS << min(failures - TOLERATED, 16))
        return Breaker(failures, now + round(rest * (0.5 + chance / 2)))


def is_private(address: str) -> bool:
    """Whether an IP address lies in no public network; also one that stands for a private IPv4 address.

    >>> is_private("10.1.2.3"), is_private("::ffff:127.0.0.1"), is_private("8.8.8.8")
    (True, True, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_private(str(ip.ipv4_mapped))
        inner = ip.sixtofour or (ip.teredo or (None, None))[1]
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return not ip.is_global or ip.is_multicast or (inner is not None and not inner.is_global)


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


# What is told.


def key_of(source: str, id: str) -> str:
    """The idempotency key of an event, in ASCII: its source and id, which together are its identity (CloudEvents)."""
    return f"{quote(source, safe='/:.-_~')}#{quote(id, safe='/:.-_~')}"


#: Fields of cases, calls and commands in which people may be spoken of.
ABOUT_PEOPLE = frozenset({"text", "address", "reason", "evidence", "actor"})


def source_of(batch: EventBatch, row: int, target: Target) -> str:
    """The source of an event as a target is told it: who at the desk did it is a keyed hash, the same each time."""
    source = batch.source[row] or ""
    if target.texts or source == AUTO or not source.startswith(DESK_SOURCE):
        return source
    return DESK_SOURCE + keyed_hash(target.secret.encode(), source)[:16]


def bodies_of(batch: EventBatch, vocabulary: Vocabulary, rows: Sequence[int], target: Target) -> list[bytes]:
    """Rows of a batch as CloudEvents in JSON. Fields that are hashes of personal numbers are left out.

    Without `target.texts` also those in which people may be spoken of, and the names of users; with it numbers of
    people in texts are blanked. Codes, ids and subjects are told as they are.
    """
    kind = vocabulary.types[batch.type]
    hidden = (
        frozenset[str]() if target.texts else ABOUT_PEOPLE if kind.family in ("case", "call") else frozenset({"actor"})
    )
    told = {f.name: values_of(batch.fields[f.name], f) for f in kind.fields if _is_told(f, batch, hidden)}
    if kind.name == "obs":
        told["value"] = _readings(batch, vocabulary)
    words = {f.name for f in kind.fields if f.kind is Kind.TEXT}
    out = []
    for row in rows:
        data = {n: _shown(f.kind, v[row]) for f in kind.fields if (v := told.get(n := f.name)) and v[row] is not None}
        data |= {n: _BLANK.text(v) for n, v in data.items() if n in words and isinstance(v, str)}
        out.append(
            json.dumps(_event(batch, row, source_of(batch, row, target), data), ensure_ascii=False).encode(
                "utf-8", "replace"
            )
        )
    return out


def _is_told(field: Field, batch: EventBatch, hidden: frozenset[str]) -> bool:
    return field.kind is not Kind.SECRET and field.name in batch.fields and field.name not in hidden


def _shown(kind: Kind, value: Any) -> Any:
    return _instant(value) if kind is Kind.TIME else value


def _readings(batch: EventBatch, vocabulary: Vocabulary) -> list[float | None]:
    """Values of observations in the unit of their property."""
    field = vocabulary.types["obs"].field("value")
    steps = values_of(batch.fields["value"], field)
    names = batch.fields["property"].tolist()
    known = vocabulary.properties
    return [
        None if s is None or n not in known else s * field.per_unit / known[n].per_unit
        for s, n in zip(steps, names, strict=True)
    ]


def _instant(ms: int) -> str:
    try:
        text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        return str(ms)
    return text.replace("+00:00", "Z")


def _event(batch: EventBatch, row: int, source: str, data: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {
        "specversion": "1.0", "type": batch.type, "source": source, "id": batch.id[row],
        "time": _instant(int(batch.time[row])), "datacontenttype": "application/json",
    }  # fmt: skip
    optional: tuple[tuple[str, Strings], ...] = (
        ("subject", batch.subject), ("gridid", batch.scope), ("corrects", batch.corrects),
    )  # fmt: skip
    event |= {name: column[row] for name, column in optional if column[row]}
    lon, lat = float(batch.lon[row]), float(batch.lat[row])
    if lon == lon and lat == lat:  # noqa: PLR0124
        event |= {"lon": lon, "lat": lat}
    if batch.revision[row]:
        event["revision"] = int(batch.revision[row])
    if batch.retracted[row]:
        event["retracted"] = True
    return {**event, "data": data}


def types_wanted(targets: Sequence[Target], types: Sequence[EventType]) -> frozenset[str]:
    """Event types that some target is told of."""
    return frozenset(k.name for k in types if any(t.wants(k.name) for t in targets))
