"""What the doors for other systems ask of the application: bytes in, bytes out, in the form of each standard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Asked:
    """A call: the path below the door, the query, the body; `key` of an Idempotency-Key, "" without one.

    `known`: whether who asks is known and may use the door without a key of its own.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    key: str = ""
    language: Literal["zh", "en"] = "zh"
    known: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `retry_after` in seconds where it helps."""

    status: int
    media: str
    body: bytes
    retry_after: int = 0


class Doors(Protocol):
    """The doors; each call is made on a worker thread and answered once the log has what came in."""

    #: Largest body that any of them takes.
    max_bytes: int

    def open311(self, asked: Asked) -> Reply:
        """Open311 GeoReport v2; errors are told in its own form."""

    def open311_error(self, path: str, status: int, detail: str) -> Reply:
        """What went wrong before the door was asked, in the form of Open311."""

    def cap(self, asked: Asked) -> Reply:
        """CAP 1.2: a message in, or the messages of this city out. Raises Refused."""

    def gb28181(self, asked: Asked) -> Reply:
        """An alarm of GB/T 28181; answered by its Response, also when it is refused."""
