"""Who may come in: token or loopback, Host and Origin checks, and the headers that keep pages to themselves."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from citytwin.dashboards.problems import Trouble, problem

CSP = (
    "default-src 'self'; worker-src 'self' blob:; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}
#: Addresses that need a token when one is set.
GUARDED = ("/api/", "/ingest", "/metrics")


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """The rules: without a token only loopback names may be asked for; `origins` may embed us besides our own."""

    token: str | None = None
    origins: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Access(token={'set' if self.token else 'none'}, origins={sorted(self.origins)})"

    def host_ok(self, headers: Mapping[str, str]) -> bool:
        """Without a token the Host must be loopback, so that a foreign name bound to 127.0.0.1 gets nothing."""
        return self.token is not None or is_loopback(urlsplit(f"//{headers.get('host', '')}").hostname or "")

    def origin_ok(self, headers: Mapping[str, str]) -> bool:
        """A browser's Origin must be our own address or one of the allowed; programs send none."""
        origin = headers.get("origin")
        if origin is None or origin in self.origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc == headers.get("host", "")

    def token_ok(self, given: str | None) -> bool:
        """Whether the token is right, or none is needed."""
        return self.token is None or hmac.compare_digest(self.token.encode(), (given or "").encode())


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class Gate:
    """ASGI middleware: checks HTTP requests by the rules and sets the security headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY)
            await send(message)

        trouble = self._trouble(scope["path"], Headers(scope=scope))
        await (problem(trouble) if trouble else self.app)(scope, receive, guarded)

    def _trouble(self, path: str, headers: Headers) -> Trouble | None:
        if not self.access.host_ok(headers):
            return Trouble(403, "host", "without a token this server answers on 127.0.0.1 and localhost only")
        if not self.access.origin_ok(headers):
            return Trouble(403, "origin", "pages of other origins may not ask this server")
        if path.startswith(GUARDED) and not self.access.token_ok(bearer(headers)):
            return Trouble(401, "token", "send the token as Authorization: Bearer <token>")
        return None
