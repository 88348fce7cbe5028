"""HTTP of the doors for other systems: addresses, bounds, who may; what is said there is the application's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin.dashboards.bodies import body_of
from citytwin.dashboards.door_ports import Asked, Doors, Reply
from citytwin.dashboards.people import forbidden, person_of, person_or_none
from citytwin.dashboards.problems import Trouble

#: Calls that may be in work at once; more are told to come again.
AT_ONCE = 32
_LONGEST_KEY = 200


class DoorRoutes:
    """Handlers of the doors."""

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.busy = 0

    def routes(self) -> list[Route]:
        """All addresses."""
        return [
            Route("/open311/v2/{path:path}", self.open311, methods=["GET", "POST"]),
            Route("/api/v1/cap", self.take_cap, methods=["POST"]),
            Route("/api/v1/cap/{path:path}", self.read_cap, methods=["GET"]),
            Route("/api/v1/gb28181/alarm", self.gb28181, methods=["POST"]),
        ]

    async def open311(self, request: Request) -> Response:
        """Open311: who is known may come in, others need a key where the settings ask for one."""
        person = person_or_none(request)
        need = "ingest" if request.method == "POST" else "read.case"
        known, path = person is not None and person.holds(need), request.path_params["path"]
        try:
            return await self._through(self.doors.open311, request, path, known)
        except Trouble as trouble:
            return _answer(self.doors.open311_error(path, trouble.status, trouble.detail))

    async def take_cap(self, request: Request) -> Response:
        """A message of others."""
        person_of(request).require("ingest")
        return await self._through(self.doors.cap, request, "", True)

    async def read_cap(self, request: Request) -> Response:
        """Messages of this city, those of others that are in force, and drafts for who may issue them."""
        person, path = person_of(request), request.path_params["path"]
        need = "warning.issued" if path.startswith("draft/") else "read.city"
        if not person.holds(need):  # what is public holds no places that are not everybody's
            raise forbidden(need)
        return await self._through(self.doors.cap, request, path, True)

    async def gb28181(self, request: Request) -> Response:
        """An alarm of a video platform."""
        person_of(request).require("ingest")
        return await self._through(self.doors.gb28181, request, "alarm", True)

    async def _through(self, door: Callable[[Asked], Reply], request: Request, path: str, known: bool) -> Response:
        if self.busy >= AT_ONCE:
            raise Trouble(429, "busy", f"{AT_ONCE} calls are in work; come again", retry_after=1)
        self.busy += 1
        try:
            asked = await self._asked(request, path, known)
            reply = await asyncio.shield(asyncio.to_thread(door, asked))
        finally:
            self.busy -= 1
        return _answer(reply)

    async def _asked(self, request: Request, path: str, known: bool) -> Asked:
        headers = request.headers
        if headers.get("content-encoding", "identity") != "identity":
            raise Trouble(415, "content_encoding", "send the body without Content-Encoding")
        key = headers.get("idempotency-key", "").strip()
        if len(key) > _LONGEST_KEY:
            raise Trouble(400, "parameter", f"an Idempotency-Key has at most {_LONGEST_KEY} characters")
        english = headers.get("accept-language", "").strip().lower().startswith("en")
        body = b"" if request.method == "GET" else await body_of(request, self.doors.max_bytes, "a call")
        return Asked(
            request.method, path, dict(request.query_params), body,
            headers.get("content-type", "").strip(), key, "en" if english else "zh", known,
        )  # fmt: skip


def _answer(reply: Reply) -> Response:
    headers = {"Retry-After": str(reply.retry_after)} if reply.retry_after else {}
    return Response(reply.body, reply.status, headers, reply.media)
