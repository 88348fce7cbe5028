"""The one port: HTTP, WebSocket and pages as a Starlette application on uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, WebSocketRoute

from citytwin.dashboards import api, describe, ingest, pages
from citytwin.dashboards.access import Access, Gate, is_loopback
from citytwin.dashboards.desk import DeskApi
from citytwin.dashboards.desk_ports import Desk
from citytwin.dashboards.door_ports import Doors
from citytwin.dashboards.doors import DoorRoutes
from citytwin.dashboards.hub import Hub, Limits
from citytwin.dashboards.login import Login
from citytwin.dashboards.ops import Operations
from citytwin.dashboards.ports import Board, CityReads, Health, Ingest, Ops, Refused, Workshop
from citytwin.dashboards.problems import Trouble, on_error, on_http, on_refused, on_trouble
from citytwin.dashboards.protocol import MAX_MESSAGE
from citytwin.dashboards.reference import Reference
from citytwin.dashboards.session import SessionDoor
from citytwin.dashboards.signin import SignInPage
from citytwin.dashboards.sockets import DoorLimits, Gateway
from citytwin.dashboards.transport import Transport

_HANDLERS: Any = {Trouble: on_trouble, Refused: on_refused, HTTPException: on_http, Exception: on_error}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application gives: the ports, the rules of access, bounds, and where the built pages lie."""

    board: Board
    reads: CityReads
    ingest: Ingest
    health: Health
    access: Access = field(default_factory=Access)
    version: str = "0.1.0"
    limits: Limits = field(default_factory=Limits)
    door: DoorLimits = field(default_factory=DoorLimits)
    static: Path = Path(__file__).parent / "static"
    workshop: Workshop | None = None
    ops: Ops | None = None
    #: Cases, alarms and units for those who work with them; a server without a desk only shows them.
    desk: Desk | None = None
    #: Doors for other systems; a server without them has none of their addresses.
    doors: Doors | None = None
    #: Where several servers show one city: its epoch, and how many entries of each log channel came before.
    epoch: str = ""
    told: Mapping[str, int] | None = None


class Web:
    """The application: `app` for an ASGI server, `gateway.publish(frame)` for the engine's thread."""

    def __init__(self, parts: Parts) -> None:
        about = dict(parts.reads.about())
        city = {k: about[k] for k in ("name", "title", "timezone", "edition", "bbox", "center") if k in about}
        epoch = parts.epoch or secrets.token_hex(8)
        self.hub = Hub(parts.board, epoch, f"citytwin {parts.version}", parts.limits, city, parts.told)
        self.gateway = Gateway(self.hub, parts.board, parts.access, parts.door)
        operations = Operations(parts.ops)
        reads = api.Api(
            self.hub, parts.board, parts.reads, parts.health, parts.version, parts.workshop, operations.metrics
        )
        door = ingest.Door(parts.ingest)
        sessions = SessionDoor(parts.access.people)
        routes: Sequence[BaseRoute] = [
            WebSocketRoute("/ws", self.gateway.endpoint),
            *reads.routes(),
            *operations.routes(),
            *door.routes(),
            *(DoorRoutes(parts.doors).routes() if parts.doors is not None else ()),
            *(DeskApi(parts.desk, self.hub.tree).routes() if parts.desk is not None else ()),
            *sessions.routes(),
            *SignInPage(sessions, parts.access.sign_on is not None).routes(),
            *(Login(parts.access.sign_on).routes() if parts.access.sign_on is not None else ()),
            *Reference(parts.board, parts.board.types).routes(),
            *describe.routes(parts.version, parts.ingest.content_types),
            *pages.routes(parts.static),
        ]
        self.app = Starlette(
            routes=routes,
            middleware=[
                Middleware(Gate, access=parts.access, tree=self.hub.tree),
                Middleware(GZipMiddleware, minimum_size=1024),
            ],
            exception_handlers=_HANDLERS,
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[None]:
        beat = asyncio.create_task(self.gateway.run())
        try:
            yield
        finally:
            await self.gateway.drain()
            beat.cancel()


def check_bind(host: str, access: Access) -> None:
    """Raise ValueError when an address that others reach would be served to guests."""
    if not is_loopback(host) and access.guest() is not None:
        raise ValueError(f"{host} can be reached from other machines: make accounts or set a token first")


def config(app: Any, host: str, port: int) -> uvicorn.Config:
    """How uvicorn is to run the application."""
    return uvicorn.Config(
        app, host=host, port=port, ws=Transport, ws_max_size=MAX_MESSAGE, ws_ping_interval=20.0, ws_ping_timeout=60.0,
        ws_per_message_deflate=False, lifespan="on", access_log=False, log_level="warning", server_header=False,
        timeout_graceful_shutdown=5, loop="asyncio", http="httptools",
    )  # fmt: skip


class ServerThread:
    """A server in a thread of its own: `start()` gives the port, `stop()` ends it."""

    def __init__(self, web: Web, host: str = "127.0.0.1", port: int = 0) -> None:
        self.web, self.host, self.port = web, host, port
        self.server = uvicorn.Server(config(web.app, host, port))
        self.thread: threading.Thread | None = None

    def start(self, timeout: float = 20.0) -> int:
        """Begin to listen; the port. Raises OSError when the port is taken or the server does not come up."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=2048)
        self.port = int(listener.getsockname()[1])
        up = threading.Event()
        startup = self.server.startup

        async def announce(sockets: list[socket.socket] | None = None) -> None:
            await startup(sockets)
            up.set()

        self.server.startup = announce  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.server.run, args=([listener],), name="citytwin-web", daemon=True)
        self.thread.start()
        if not up.wait(timeout):
            raise OSError(f"the server on {self.host} port {self.port} did not come up; its log says why")
        return self.port

    def stop(self) -> None:
        """End the server and wait for it."""
        self.server.should_exit = True
        if self.thread is not None:
            self.thread.join(15)
