"""A receiver of webhooks on a real port, whose manners a test sets: well, ill, hanging, dripping, moved."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Call:
    """One call that came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Receiver:
    """`answer(call)` gives a status, or None for a call that is never answered; `calls` are all that came."""

    answer: Callable[[Call], int | None] = lambda _: 204
    calls: list[Call] = field(default_factory=list)
    #: Bytes that are sent one by one instead of an answer, until the other side leaves.
    drip: bytes = b""
    location: str = ""
    port: int = 0
    _server: Any = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Receiver:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                call = Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                receiver.take(self, call)

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def take(self, handler: BaseHTTPRequestHandler, call: Call) -> None:
        """Note a call and answer it."""
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        status = self.answer(call)
        if self.drip:
            self._drip(handler)
        elif status is None:
            self._ended.wait(30)
        else:
            handler.send_response(status)
            if self.location:
                handler.send_header("Location", self.location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        try:
            while not self._ended.wait(0.05):
                handler.wfile.write(self.drip)
                handler.wfile.flush()
        except OSError:
            return

    def wait(self, done: Callable[[list[Call]], bool], seconds: float = 20.0) -> list[Call]:
        """The calls, as soon as they are so."""
        with self._changed:
            assert self._changed.wait_for(lambda: done(self.calls), seconds), f"{len(self.calls)} calls came"
            return list(self.calls)

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hook?x=1"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request, client_address
