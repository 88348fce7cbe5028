"""One POST to an address of others: bounded in time and bytes, redirects not followed, the address checked first."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from citytwin.streams.hooks import is_private


class NotPosted(Exception):
    """The call did not come to an answer; the text says why, without a secret."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Status of an answer and how many seconds it asks to wait (0: it does not)."""

    status: int
    retry_after: int = 0


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float, *, private: bool = False) -> Answered:
    """POST a body; the whole call takes at most about `seconds`, whatever the other side does. Raises NotPosted.

    The name is resolved once, and the address that was checked is the one that is connected to.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + seconds
    address = _resolve(parts, private)
    try:
        plain = socket.create_connection((address, parts.port or (443 if parts.scheme == "https" else 80)), seconds)
    except OSError as error:
        raise NotPosted(f"no connection: {error}") from error
    # the timeout of a socket is one of silence; a server that drips, also its handshake, is ended by this one
    live, late = [plain], threading.Event()
    cut = threading.Timer(max(0.05, deadline - time.monotonic()), _cut, (live, late))
    cut.daemon = True
    cut.start()
    try:
        if parts.scheme == "https":
            live[0] = secured = _context().wrap_socket(
                plain, server_hostname=parts.hostname, do_handshake_on_connect=False
            )
            secured.do_handshake()
        answer = _ask(parts, live[0], body, headers)
        if late.is_set():  # to the client a connection that is cut looks like the end of the heads
            raise NotPosted(f"no answer within {seconds:g} s")
        return answer
    except (OSError, http.client.HTTPException, ValueError) as error:
        ended = late.is_set() or time.monotonic() >= deadline
        raise NotPosted(f"no answer within {seconds:g} s" if ended else f"no answer: {type(error).__name__}") from error
    finally:
        cut.cancel()
        live[0].close()


def _resolve(parts: SplitResult, private: bool) -> str:
    """The address to connect to. Raises NotPosted for a private one that is not allowed."""
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotPosted(f"the name {host} is not known: {error}") from error
    addresses = [str(where[0]) for *_, where in found]
    if not private and any(map(is_private, addresses)):
        raise NotPosted(f"{host} lies in a private network; allow that for the target with private = true")
    if not addresses:
        raise NotPosted(f"the name {host} has no address")
    return addresses[0]


def _context() -> ssl.SSLContext:
    """What a server must prove, and how."""
    return ssl.create_default_context()


def _ask(parts: SplitResult, sock: socket.socket, body: bytes, headers: Mapping[str, str]) -> Answered:
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    connection = http.client.HTTPConnection(named)
    connection.sock = sock
    path = parts.path or "/"
    where = named if parts.port is None else f"{named}:{parts.port}"
    try:
        target = f"{path}?{parts.query}" if parts.query else path
        connection.request("POST", target, body, {**headers, "Host": where, "Connection": "close"})
        answer = connection.getresponse()
        wait = answer.headers.get("retry-after", "")
        return Answered(
            answer.status, min(int(wait), 3600) if wait.isascii() and wait.isdigit() and len(wait) < 9 else 0
        )
    finally:
        connection.close()


def _cut(live: list[socket.socket], late: threading.Event) -> None:
    late.set()
    try:
        live[0].shutdown(socket.SHUT_RDWR)
    except OSError:
        return
