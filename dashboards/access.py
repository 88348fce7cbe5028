"""Who may come in: people and tokens, Host and Origin checks, and the headers that keep pages to themselves."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from citytwin.dashboards.people import COOKIE, LOCAL, PERSON, TOKEN, TRAIL, People, Person, SignOn, Trail, forbidden
from citytwin.dashboards.problems import Trouble, problem
from citytwin.geo.scopes import ScopeTree

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
    "Permissions-Policy": "geolocation=(self), camera=(), microphone=()",
}
#: Addresses that are for people who are known.
GUARDED = ("/api/", "/ingest", "/metrics")
#: Where one signs in, so that nobody is known yet.
OPEN = ("/api/v1/session",)
#: What an address needs besides being known; the first that fits. Handlers look at the scopes.
NEEDS = (
    ("/ingest", "ingest"), ("/metrics", "read.ops"), ("/api/v1/ops", "read.ops"), ("/api/v1/lab", "read.lab"),
    ("/api/v1/deadletters", "read.deadletters"), ("/api/v1/entities", "read.twin"), ("/api/v1/cases", "read.case"),
    ("/api/v1/alarms", "read.alarm"), ("/api/v1/units", "read.unit"), ("/api/v1/plans", "read.plan"),
    ("/api/v1/duty", "read.duty"), ("/api/v1/handover", "read.handover"), ("/api/v1/rules", "read.rules"),
    ("/api/v1/warnings", "read.warning"), ("/api/v1/transfers", "read.case"), ("/api/v1/dispatch", "read.case"),
    ("/api/v1/audit", "read.audit"), ("/api/v1/indicators", "read.ind"), ("/api/v1/", "read.city"),
)  # fmt: skip
#: What everybody who is signed in may ask, whatever their rights.
ABOUT_ME = ("/api/v1/me",)


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
    """The rules: who comes without being known may ask for loopback names only; `origins` may embed us."""

    token: str | None = None
    origins: frozenset[str] = frozenset()
    people: People | None = None
    trail: Trail | None = None
    sign_on: SignOn | None = None

    def __repr__(self) -> str:
        return f"Access(token={'set' if self.token else 'none'}, origins={sorted(self.origins)})"

    def guest(self) -> Person | None:
        """Who comes without any credentials; None: nobody."""
        if self.token is not None:
            return None
        return LOCAL if self.people is None else self.people.guest()

    def host_ok(self, headers: Mapping[str, str]) -> bool:
        """Where guests come in the Host must be loopback, so that a foreign name bound to 127.0.0.1 gets nothing."""
        return self.guest() is None or is_loopback(urlsplit(f"//{headers.get('host', '')}").hostname or "")

    def origin_ok(self, headers: Mapping[str, str]) -> bool:
        """A browser's Origin must be our own address or one of the allowed; programs send none."""
        origin = headers.get("origin")
        if origin is None or origin in self.origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc == headers.get("host", "")

    def token_ok(self, given: str | None) -> bool:
        """Whether it is the token of the settings."""
        return self.token is not None and hmac.compare_digest(self.token.encode(), (given or "").encode())

    def quick(self, given: str | None, cookie: str | None) -> Person | None:
        """Who it is by a bearer token or a cookie, as far as that is known without waiting; else the guest."""
        if given is not None:
            if self.token_ok(given):
                return TOKEN
            found = self.people.by_bearer(given) if self.people is not None else None
            return found or self.guest()
        found = self.people.by_cookie(cookie) if self.people is not None and cookie else None
        return found or self.guest()

    async def person(self, given: str | None, cookie: str | None) -> Person | None:
        """Who it is by a bearer token or a cookie; a provider of identities may be asked."""
        found = self.quick(given, cookie)
        unknown = given is not None and (found is None or found.how in ("local", "demo"))
        if unknown and self.people is not None and given is not None:
            found = await asyncio.to_thread(self.people.check, given) or found
        return found


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def cookie_of(headers: Mapping[str, str]) -> str | None:
    """The token of the session's cookie."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None else None


def set_cookie(token: str, seconds: int, scheme: str) -> str:
    """A Set-Cookie header; with 0 seconds the cookie is taken away. Behind TLS it stays with TLS."""
    secure = "; Secure" if scheme in ("https", "wss") else ""
    return f"{COOKIE}={token}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"


class Gate:
    """ASGI middleware: finds out who asks, checks requests by the rules, sets the security headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access, tree: ScopeTree | None = None) -> None:
        self.app, self.access, self.tree = app, access, tree or ScopeTree()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, more = Headers(scope=scope), dict(SECURITY)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.update(more)
                if person is not None and person.renewed > 0 and "set-cookie" not in answer:
                    answer["set-cookie"] = set_cookie(cookie_of(headers) or "", person.renewed, scope["scheme"])
            await send(message)

        person: Person | None = None
        trouble = self._foreign(headers)
        if trouble is None:
            person = await self.access.person(bearer(headers), cookie_of(headers))
            scope[PERSON] = None if person is None else person.at(self.tree)
            scope[TRAIL] = self.access.trail
            trouble = self._trouble(scope["path"], person)
        await (problem(trouble) if trouble else self.app)(scope, receive, guarded)

    def _foreign(self, headers: Headers) -> Trouble | None:
        if not self.access.host_ok(headers):
            return Trouble(403, "host", "without a token this server answers on 127.0.0.1 and localhost only")
        if not self.access.origin_ok(headers):
            return Trouble(403, "origin", "pages of other origins may not ask this server")
        return None

    def _trouble(self, path: str, person: Person | None) -> Trouble | None:
        if not path.startswith(GUARDED) or path in OPEN:
            return None
        if person is None:
            return Trouble(401, "token", "sign in, or send the token as Authorization: Bearer <token>")
        if path in ABOUT_ME:
            return None
        need = next((need for start, need in NEEDS if path.startswith(start)), "read.city")
        return None if person.holds(need) else forbidden(f"do what {path} is for ({need})")
