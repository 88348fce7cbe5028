"""The desk over HTTP: what a dispatcher reads, and commands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin.dashboards import problems
from citytwin.dashboards.asking import asked
from citytwin.dashboards.desk_ports import Command, Desk
from citytwin.dashboards.problems import Trouble

#: A command may have this many bytes.
MAX_COMMAND = 64 * 1024
#: Commands that may be in work at once; more are told to come again.
AT_ONCE = 64
#: Types of events that are commands: people say them; everything else comes in at /ingest.
FAMILIES = ("case.", "alarm.", "warning.", "unit.", "plan.", "duty.", "shift.", "calendar.")
_TAG = re.compile(r'^(?:W/)?"?(\d{1,12})"?$')


class Ask(Struct, forbid_unknown_fields=True):
    """A command as it comes in."""

    op: Annotated[str, Meta(max_length=100)]
    idem: Annotated[str, Meta(min_length=8, max_length=200)]
    subject: Annotated[str, Meta(max_length=200)] = ""
    fields: dict[str, Any] = {}
    rev: Annotated[int, Meta(ge=0)] | None = None
    lon: Annotated[float, Meta(ge=-180, le=180)] | None = None
    lat: Annotated[float, Meta(ge=-90, le=90)] | None = None
    scope: Annotated[str, Meta(max_length=100)] = ""
    drill: bool = False


class Answer(Struct):
    """What became of a command."""

    subject: str
    rev: int
    position: int
    duplicate: bool


class Who:
    """Who asks, and what of it they may: given by the rules of access."""

    user: str

    def may(self, op: str, place: int, lent: Sequence[int] = ()) -> bool:
        """Whether a command of a type is allowed at a scope row."""
        raise NotImplementedError

    def shown(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What is shown of a row: None where nothing is, with personal fields emptied where they are not for them."""
        raise NotImplementedError


class DeskApi:
    """Handlers of the desk."""

    def __init__(self, desk: Desk, who: Callable[[Request, str], Who]) -> None:
        """`who`: the person behind a request, who must hold a permission; raises Trouble 401 or 403."""
        self.desk, self.who = desk, who
        self.busy = 0

    def routes(self) -> list[Route]:
        """All addresses of the desk."""
        reads = {"alarms": "alarm", "units": "unit", "plans/running": "plan"}
        tables = ("rules", "plans", "categories", "duty")
        return [
            Route("/api/v1/commands", self.command, methods=["POST"]),
            Route("/api/v1/handover", self.handover, methods=["GET"]),
            Route("/api/v1/cases/{code:path}", self.case, methods=["GET"]),
            *(Route(f"/api/v1/{path}", self._rows(part), methods=["GET"]) for path, part in reads.items()),
            *(Route(f"/api/v1/{name}", self._table(name), methods=["GET"]) for name in tables),
        ]

    async def command(self, request: Request) -> Response:
        """Do what a person wants, once."""
        ask = await self._ask(request)
        who = self.who(request, ask.op)
        if ask.subject and not who.may(ask.op, *await asyncio.to_thread(self.desk.place, ask.subject)):
            raise Trouble(403, "forbidden", f"{ask.op} for {ask.subject} is not among your rights")
        command = Command(
            ask.op, ask.subject, ask.idem, who.user, ask.fields, self._rev(request, ask), ask.lon, ask.lat, ask.scope,
            ask.drill,
        )  # fmt: skip
        if self.busy >= AT_ONCE:
            raise Trouble(429, "busy", f"{AT_ONCE} commands are in work; come again", retry_after=1)
        self.busy += 1
        try:
            done = await asyncio.to_thread(self.desk.run, command)
        finally:
            self.busy -= 1
        answer = Answer(done.subject, done.rev, done.position, done.duplicate)
        return problems.json(answer, {"ETag": f'"{done.rev}"'})

    async def _ask(self, request: Request) -> Ask:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Trouble(415, "content_type", "send a command as application/json")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_COMMAND:
                raise Trouble(413, "too_large", f"a command may have {MAX_COMMAND} bytes")
        try:
            ask = msgspec.json.decode(bytes(body), type=Ask)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Trouble(400, "bad_command", f"this is no command: {error}") from error
        if not ask.op.startswith(FAMILIES):
            raise Trouble(400, "unknown_op", f"{ask.op} is no command; commands are events of {', '.join(FAMILIES)}")
        return ask

    @staticmethod
    def _rev(request: Request, ask: Ask) -> int | None:
        given = request.headers.get("if-match", "").strip()
        if not given or given == "*":
            return ask.rev
        found = _TAG.match(given)
        if found is None:
            raise Trouble(412, "if_match", "If-Match is the revision in quotes, as the ETag of the case has it")
        if ask.rev is not None and ask.rev != int(found[1]):
            raise Trouble(400, "if_match", "If-Match and rev name different revisions; give one of them")
        return int(found[1])

    async def case(self, request: Request) -> Response:
        """One case with everything that hangs on it."""
        asked(request)
        who, code = self.who(request, "read.case"), request.path_params["code"]
        found = await asyncio.to_thread(self.desk.case, code)
        shown = None if found is None else who.shown(found)
        if found is None or shown is None:
            raise Trouble(404, "unknown_case", f"there is no case {code}, or it is not yours to see")
        return problems.json(shown, {"ETag": f'"{found["rev"]}"', "Cache-Control": "no-cache"})

    def _rows(self, part: str) -> Callable[[Request], Any]:
        async def read(request: Request) -> Response:
            """What is open of a part of the desk."""
            asked(request)
            who = self.who(request, f"read.{part}")
            rows = await asyncio.to_thread(self.desk.rows, part)
            return problems.json({"items": [seen for row in rows if (seen := who.shown(row)) is not None]})

        return read

    def _table(self, name: str) -> Callable[[Request], Any]:
        async def read(request: Request) -> Response:
            """A table of the desk."""
            q = asked(request, "q")
            self.who(request, "read.duty" if name == "duty" else "read.case")
            items = await asyncio.to_thread(self.desk.tables, name, q.get("q", "")[:200])
            return problems.json({"items": list(items)})

        return read

    async def handover(self, request: Request) -> Response:
        """What goes from one shift to the next."""
        asked(request)
        self.who(request, "read.handover")
        return problems.json(await asyncio.to_thread(self.desk.handover))
