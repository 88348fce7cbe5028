"""The WebSocket protocol class that uvicorn runs: the stock one, with a close that a full buffer cannot hold up."""

from __future__ import annotations

import struct

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from citytwin.dashboards.protocol import Close

#: Key in the extensions of an ASGI scope under which an endpoint finds its protocol object.
EXTENSION = "citytwin.transport"
#: Seconds that a client has to read the close code before the connection is cut.
GRACE = 5.0
RETRY_MS = 2_000


def framed(text: str) -> bytes:
    """A WebSocket text frame, unmasked and whole (RFC 6455 section 5.2).

    >>> framed("hi").hex()
    '81026869'
    """
    data = text.encode()
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x81, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x81, 126, size)
    else:
        head = struct.pack("!BBQ", 0x81, 127, size)
    return head + data


class Transport(WebSocketsSansIOProtocol):
    """One connection; `kill` closes it even while its buffer is full, `shutdown` says when to come again."""

    async def run_asgi(self) -> None:
        """Run the application with this object in its scope."""
        self.scope["extensions"] = {**(self.scope.get("extensions") or {}), EXTENSION: self}  # type: ignore[dict-item]
        await super().run_asgi()

    async def send(self, message: ASGISendEvent) -> None:
        """Send as the stock class does; a connection that was killed meanwhile is a disconnect, not a mistake."""
        await self.writable.wait()
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)

    async def send_framed(self, frame: bytes) -> None:
        """Write a frame that was built before, once the client has read enough; one frame serves many clients."""
        await self.writable.wait()
        if self.close_sent or self.disconnected:
            raise ClientDisconnected
        self.transport.write(frame)

    def kill(self, code: int, reason: str) -> None:
        """Send a close code now and cut the connection after a short grace."""
        if self.close_sent or self.disconnected:
            return
        self.stop_keepalive()
        try:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        except InvalidState:
            self.transport.abort()
        self.close_sent = True
        self.writable.set()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_timer = self.loop.call_later(GRACE, self.transport.abort)

    def buffered(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self.transport.get_write_buffer_size()

    def shutdown(self) -> None:
        """Tell the client that the server goes down and when to come again."""
        if self.handshake_complete and not self.close_sent:
            self.kill(Close.DRAINING, f"retry_ms={RETRY_MS}")
        super().shutdown()
