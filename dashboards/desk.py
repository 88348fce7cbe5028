"""The desk over HTTP: what a dispatcher reads, and commands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin.dashboards import problems
from citytwin.dashboards.asking import asked, row_of
from citytwin.dashboards.bodies import body_of
from citytwin.dashboards.desk_ports import Command, Desk, Done
from citytwin.dashboards.people import Person, forbidden, note, note_personal, person_of
from citytwin.dashboards.ports import Refused
from citytwin.dashboards.problems import Trouble
from citytwin.dashboards.seeing import shown
from citytwin.geo.scopes import ScopeTree
from citytwin.models.desk.callers import plain_number

#: A command may have this many bytes.
MAX_COMMAND = 64 * 1024
MAX_PICTURE = 8 << 20
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


class Called(Struct, forbid_unknown_fields=True):
    """Whose earlier cases are asked for: the number as it is typed."""

    caller: Annotated[str, Meta(min_length=5, max_length=200)]

    def __repr__(self) -> str:
        return "Called()"


class Answer(Struct):
    """What became of a command."""

    subject: str
    rev: int
    position: int
    duplicate: bool


class DeskApi:
    """Handlers of the desk."""

    def __init__(self, desk: Desk, tree: ScopeTree) -> None:
        self.desk, self.tree = desk, tree
        self.busy = 0

    def _who(self, request: Request, op: str) -> Person:
        """The person behind a request, who must hold a permission somewhere. Raises Trouble 401, 403."""
        person = person_of(request).at(self.tree)
        if not person.holds(op):
            raise forbidden(op)
        return person

    def routes(self) -> list[Route]:
        """All addresses of the desk."""
        reads = {
            "alarms": "alarm",
            "units": "unit",
            "plans/running": "plan",
            "warnings": "warning",
            "transfers": "transfer",
        }
        tables = ("rules", "plans", "categories", "duty")
        return [
            Route("/api/v1/commands", self.command, methods=["POST"]),
            Route("/api/v1/callers", self.callers, methods=["POST"]),
            Route("/api/v1/evidence", self.keep, methods=["POST"]),
            Route("/api/v1/evidence/{name}", self.picture, methods=["GET"]),
            Route("/api/v1/dispatch/batch", self.batch, methods=["GET"]),
            Route("/api/v1/handover", self.handover, methods=["GET"]),
            Route("/api/v1/cases/{code:path}", self.case, methods=["GET"]),
            *(Route(f"/api/v1/{path}", self._rows(part), methods=["GET"]) for path, part in reads.items()),
            *(Route(f"/api/v1/{name}", self._table(name), methods=["GET"]) for name in tables),
        ]

    async def command(self, request: Request) -> Response:
        """Do what a person wants, once."""
        ask = await self._ask(request)
        try:
            done = await self._do(request, ask)
        except (Trouble, Refused) as no:
            if no.status == HTTPStatus.FORBIDDEN:
                note(request, "command.refused", ask.subject, detail={"op": ask.op, "idem": ask.idem, "why": no.code})
            raise
        note(request, ask.op, done.subject, detail={"idem": ask.idem, "rev": done.rev, "duplicate": done.duplicate})
        answer = Answer(done.subject, done.rev, done.position, done.duplicate)
        return problems.json(answer, {"ETag": f'"{done.rev}"'})

    async def _do(self, request: Request, ask: Ask) -> Done:
        """Ask for the rights, then have it done. Raises Trouble, Refused."""
        who = self._who(request, ask.op)
        command = Command(
            ask.op, ask.subject, ask.idem, who.user, _plain(ask.fields), self._rev(request, ask), ask.lon, ask.lat,
            ask.scope, ask.drill,
        )  # fmt: skip
        place, lent = await asyncio.to_thread(self.desk.place, command)
        who.require(ask.op, place, lent)
        if self.busy >= AT_ONCE:
            raise Trouble(429, "busy", f"{AT_ONCE} commands are in work; come again", retry_after=1)
        self.busy += 1
        try:
            return await asyncio.to_thread(self.desk.run, replace(command, role=who.under(ask.op, place)))
        finally:
            self.busy -= 1

    async def _ask(self, request: Request) -> Ask:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Trouble(415, "content_type", "send a command as application/json")
        body = await body_of(request, MAX_COMMAND, "a command")
        try:
            ask = msgspec.json.decode(body, type=Ask)
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
        who, code = self._who(request, "read.case"), request.path_params["code"]
        found = await asyncio.to_thread(self.desk.case, code)
        seen = None if found is None else shown(who, "case", found)
        if found is None or seen is None:
            raise Trouble(404, "unknown_case", f"there is no case {code}, or it is not yours to see")
        note_personal(request, "case", [seen])
        return problems.json(seen, {"ETag": f'"{found["rev"]}"', "Cache-Control": "no-cache"})

    async def callers(self, request: Request) -> Response:
        """Earlier cases of a caller; asking is written down whatever is found, and the number is in no address."""
        self._who(request, "case.reported")
        who = self._who(request, "read.personal")
        body = await body_of(request, 1024, "the number of a caller")
        try:
            given = msgspec.json.decode(body, type=Called)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # what it says could quote the number
            raise Trouble(400, "body", 'send {"caller": "..."}') from None
        found = await asyncio.to_thread(self.desk.callers, given.caller)
        seen = [r for row in found if (r := shown(who, "case", row)) is not None and r.get("caller")]
        codes = ",".join(str(row["code"]) for row in seen)
        note(request, "read.personal", codes, detail={"channel": "callers", "rows": len(seen)})
        items = [{name: value for name, value in row.items() if name != "caller"} for row in seen]
        return problems.json({"items": items}, {"Cache-Control": "no-store"})

    def _rows(self, part: str) -> Callable[[Request], Any]:
        async def read(request: Request) -> Response:
            """What is open of a part of the desk."""
            asked(request)
            channel = "case" if part == "transfer" else part
            who = self._who(request, f"read.{channel}")
            rows = await asyncio.to_thread(self.desk.rows, part)
            # a public warning is public: whoever may read any reads all
            seen = rows if part == "warning" else [r for row in rows if (r := shown(who, channel, row)) is not None]
            note_personal(request, part, seen)
            return problems.json({"items": list(seen)})

        return read

    def _table(self, name: str) -> Callable[[Request], Any]:
        async def read(request: Request) -> Response:
            """A table of the desk."""
            q = asked(request, "q")
            self._who(request, "read.duty" if name == "duty" else "read.case")
            items = await asyncio.to_thread(self.desk.tables, name, q.get("q", "")[:200])
            return problems.json({"items": list(items)})

        return read

    async def batch(self, request: Request) -> Response:
        """Which units to send to all cases that wait, where one may send; of one scope, or of all."""
        q = asked(request, "scope")
        who = self._who(request, "case.dispatched")
        place = row_of(self.tree, q["scope"]) if "scope" in q else -1

        def mine(row: int) -> bool:
            within = place < 0 or (row >= 0 and place in self.tree.path(row))
            return within and who.may("case.dispatched", row) and who.sees("case", row)

        return problems.json(await asyncio.to_thread(self.desk.batch, who.user, mine), {"Cache-Control": "no-store"})

    async def handover(self, request: Request) -> Response:
        """What goes from one shift to the next."""
        asked(request)
        self._who(request, "read.handover")
        return problems.json(await asyncio.to_thread(self.desk.handover))

    async def keep(self, request: Request) -> Response:
        """Keep a picture of the scene; an event then names it by its hash."""
        self._who(request, "case.evidence")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await body_of(request, MAX_PICTURE, "a picture")
        return problems.json({"hash": await asyncio.to_thread(self.desk.keep, body, kind)})

    async def picture(self, request: Request) -> Response:
        """A picture by its hash; the browser shows it and runs nothing of it."""
        asked(request)
        self._who(request, "read.case")
        found = await asyncio.to_thread(self.desk.picture, request.path_params["name"])
        if found is None:
            raise Trouble(404, "unknown_picture", "there is no picture of that hash")
        return Response(
            found[0], media_type=found[1], headers={"Cache-Control": "private, max-age=31536000, immutable"}
        )


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a command with the caller's number as it is written everywhere: a hash tells nothing of how it was."""
    caller = fields.get("caller")
    return fields | {"caller": plain_number(caller)} if isinstance(caller, str) else fields
