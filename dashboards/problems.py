"""Errors as application/problem+json, and JSON answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from citytwin.dashboards.answers import Problem, Rejected
from citytwin.dashboards.ports import Refused


class Trouble(Exception):
    """A request that could not be met: status, a short code, a sentence; `retry_after` in seconds where it helps."""

    def __init__(
        self, status: int, code: str, detail: str, retry_after: int = 0, title: str = "",
        known: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.known = dict(known or {})
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after
        self.title = title or HTTPStatus(status).phrase
        self.rejected: list[Rejected] = []


def problem(trouble: Trouble) -> Response:
    """The answer that tells of a trouble."""
    body = Problem(
        f"urn:citytwin:problem:{trouble.code}",
        trouble.title,
        trouble.status,
        trouble.detail,
        trouble.rejected,
        trouble.known,
    )
    headers = {"Retry-After": str(trouble.retry_after)} if trouble.retry_after else {}
    if trouble.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body), trouble.status, headers, "application/problem+json")


def json(answer: Any, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON."""
    return Response(msgspec.json.encode(answer), 200, headers, "application/json")


def tagged(request: Request, etag_of: bytes, make: Any) -> Response:
    """An answer with an ETag of `etag_of`; 304 when the client has it."""
    etag = f'"{hashlib.blake2b(etag_of, digest_size=12).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    known = [t.strip().removeprefix("W/") for t in request.headers.get("if-none-match", "").split(",")]
    if etag in known:
        return Response(status_code=304, headers=headers)
    response: Response = make()
    response.headers.update(headers)
    return response


async def on_trouble(_: Request, error: Exception) -> Response:
    """Answer for a Trouble."""
    assert isinstance(error, Trouble)
    return problem(error)


async def on_refused(_: Request, error: Exception) -> Response:
    """Answer for what a port does not give."""
    assert isinstance(error, Refused)
    return problem(Trouble(error.status, error.code, error.detail, error.retry_after, error.title, error.known))


async def on_http(_: Request, error: Exception) -> Response:
    """Answer for what the router itself refuses."""
    assert isinstance(error, HTTPException)
    words = {
        404: "there is nothing at this address; /docs lists what there is",
        405: "this address does not take that method",
    }
    return problem(Trouble(error.status_code, "http", words.get(error.status_code, error.detail)))


async def on_error(_: Request, error: Exception) -> Response:
    """Answer for a fault of ours; the traceback goes to the server's log, not to the client."""
    return problem(Trouble(500, "internal", f"the server made a mistake ({type(error).__name__}); its log says more"))
