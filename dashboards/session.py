"""Where people sign in and out, and learn who they are: /api/v1/session and /api/v1/me."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin.dashboards import problems
from citytwin.dashboards.access import cookie_of, set_cookie
from citytwin.dashboards.asking import asked
from citytwin.dashboards.bodies import body_of
from citytwin.dashboards.people import People, Person, SignedIn, person_of
from citytwin.dashboards.problems import Trouble
from citytwin.models.desk.roles import ROLES

#: Attempts to sign in that may be worked at at once: each takes a processor 0.3 s.
AT_ONCE = 4
BODY_MAX = 4096


class Credentials(msgspec.Struct, forbid_unknown_fields=True):
    """What one signs in with."""

    user: str
    password: str = ""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


class RoleTitle(msgspec.Struct):
    """A role with its titles and the scopes at which it is held; `*` is the whole city."""

    code: str
    title: dict[str, str]
    scopes: list[str]


class Me(msgspec.Struct):
    """Who asks and what they may: `may` lists permissions held somewhere; `until` ms UTC or null."""

    user: str
    name: str
    roles: list[RoleTitle]
    scopes: list[str]
    may: list[str]
    demo: bool
    how: str
    unit: str | None = None
    until: int | None = None


def me(person: Person) -> Me:
    """A person as they see themselves."""
    held: dict[str, list[str]] = {}
    for role, scope in sorted(person.rights.grants):
        held.setdefault(role, []).append(scope)
    roles = [
        RoleTitle(r, {"zh": ROLES[r].zh, "en": ROLES[r].en}, held[r]) for r in person.rights.roles()
    ]  # fmt: skip
    scopes = sorted({scope for _, scope in person.rights.grants})
    return Me(
        person.user, person.name, roles, scopes, person.rights.ops(), person.how == "demo", person.how,
        person.unit or None, person.until or None,
    )  # fmt: skip


class SessionDoor:
    """Handlers of the session; without a port that knows people nobody can sign in."""

    def __init__(self, people: People | None) -> None:
        self.people = people
        self.busy = 0

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/api/v1/session", self.sign_in, methods=["POST"]),
            Route("/api/v1/session", self.sign_out, methods=["DELETE"]),
            Route("/api/v1/me", self.read, methods=["GET"]),
        ]

    async def read(self, request: Request) -> Response:
        """Who asks."""
        asked(request)
        return problems.json(me(person_of(request)), {"Cache-Control": "no-store"})

    async def sign_in(self, request: Request) -> Response:
        """Begin a session: the answer sets a cookie that scripts cannot read."""
        self._people()
        found = await self.begin(request, await self._given(request))
        cookie = set_cookie(found.token, found.seconds, request.url.scheme)
        return problems.json(me(found.person), {"Set-Cookie": cookie, "Cache-Control": "no-store"})

    async def begin(self, request: Request, given: Credentials) -> SignedIn:
        """Begin a session. Raises Trouble: 401 wrong, 429 too many attempts, 404 no accounts."""
        people = self._people()
        if self.busy >= AT_ONCE:
            raise Trouble(429, "busy", "too many sign in at once; try again", retry_after=1)
        self.busy += 1
        try:
            address = request.client.host if request.client is not None else ""
            return await asyncio.to_thread(people.sign_in, given.user, given.password, address)
        finally:
            self.busy -= 1

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        cookie = cookie_of(request.headers)
        if cookie and self.people is not None:
            await asyncio.to_thread(self.people.sign_out, cookie)
        return Response(status_code=204, headers={"Set-Cookie": set_cookie("", 0, request.url.scheme)})

    def _people(self) -> People:
        if self.people is None:
            raise Trouble(404, "no_accounts", "this server has no accounts; `citytwin users add` makes the first")
        return self.people

    async def _given(self, request: Request) -> Credentials:
        # a form of a foreign page can send no JSON
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Trouble(415, "content_type", "send application/json")
        body = await body_of(request, BODY_MAX, "user and password")
        try:
            return msgspec.json.decode(body, type=Credentials)
        except msgspec.DecodeError:
            # what it says could quote the password
            raise Trouble(400, "body", 'send {"user": "...", "password": "..."}') from None
