"""The HTTP door for events: bounds and refusals here, decoding and the log behind the port."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin.dashboards import problems
from citytwin.dashboards.answers import Ingested, Rejected
from citytwin.dashboards.bodies import body_of
from citytwin.dashboards.ports import Ingest, Refused
from citytwin.dashboards.problems import Trouble

#: Calls that may be in work at once; more are told to come again.
AT_ONCE = 64
#: A call of one event: refusing it is refusing the call.
SINGLE = "application/cloudevents+json"


class Door:
    """POST /ingest."""

    def __init__(self, ingest: Ingest) -> None:
        self.ingest = ingest
        self.busy = 0

    def routes(self) -> list[Route]:
        """The one address."""
        return [Route("/ingest", self.take, methods=["POST", "GET", "PUT", "PATCH", "DELETE"])]

    async def take(self, request: Request) -> Response:
        """Take events in; answered once the log has them."""
        if request.method != "POST":
            raise Trouble(405, "method", "events come in by the method POST")
        kind = request.headers.get("content-type", "").strip()
        if kind.partition(";")[0].strip().lower() not in self.ingest.content_types:
            raise Trouble(415, "content_type", f"send one of {', '.join(self.ingest.content_types)}")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Trouble(415, "content_encoding", "send the body without Content-Encoding")
        if self.busy >= AT_ONCE:
            raise Trouble(429, "busy", f"{AT_ONCE} calls are in work; come again", retry_after=1)
        self.busy += 1
        try:
            return await self._take(request, kind)
        except Refused as no:
            raise Trouble(no.status, no.code, no.detail, no.retry_after, no.title) from no
        finally:
            self.busy -= 1

    async def _take(self, request: Request, kind: str) -> Response:
        body = await body_of(request, self.ingest.max_bytes, "a call", "; send several")
        if not body:
            raise Trouble(400, "empty", "the body is empty")
        future = await asyncio.to_thread(self.ingest.submit, body, kind)
        taken = await asyncio.shield(asyncio.wrap_future(future))
        rejected = [
            Rejected(int(r["index"]), str(r["reason"]), str(r["field"]), str(r["detail"])) for r in taken.rejected
        ]
        if rejected and not (taken.accepted or taken.duplicates) and kind.partition(";")[0].strip().lower() == SINGLE:
            raise _refusal(rejected)
        return problems.json(Ingested(taken.accepted, taken.duplicates, rejected, taken.position))


def _refusal(rejected: list[Rejected]) -> Trouble:
    first = rejected[0]
    trouble = Trouble(400, first.reason, f"{first.field}: {first.detail}" if first.field else first.detail)
    trouble.rejected = rejected
    return trouble
