"""The body of a request, read within a bound: every door reads it here."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from citytwin.dashboards.problems import Trouble

#: Bytes beyond the bound that are read and thrown away: a client that still sends would find its connection reset, and
#: never read why it was refused.
DRAINED = 32 << 20


async def body_of(request: Request, most: int, what: str, hint: str = "") -> bytes:
    """All of it. Raises Trouble: 413 for more than `most` bytes of `what`, 400 when it was cut off."""
    body, size = bytearray(), 0
    try:
        async for part in request.stream():
            size += len(part)
            if size <= most:
                body += part
            elif size > most + DRAINED:
                break
    except ClientDisconnect as gone:
        raise Trouble(400, "cut", "the connection ended before the body did") from gone
    if size > most:
        raise Trouble(413, "too_large", f"{what} may have {most} bytes{hint}")
    return bytes(body)
