"""The WebSocket door: one reader and one writer task a client, around the hub that decides what is said."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import threading
import time
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from citytwin.dashboards.access import Access, cookie_of
from citytwin.dashboards.hub import Hub
from citytwin.dashboards.people import Person
from citytwin.dashboards.ports import Board
from citytwin.dashboards.protocol import MAX_MESSAGE, SUBPROTOCOL, ClientMessage, Close, Hello, Sub
from citytwin.dashboards.transport import EXTENSION, RETRY_MS, Transport, framed
from citytwin.indicators.api import Spec
from citytwin.models.desk.rights import Rights
from citytwin.models.frame import Frame, Values

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ClientMessage)


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Bounds of the door: connections, seconds for hello, messages a second and at once, frames on their way in.

    `pushes`: of so many messages at most it is known how long they took, until somebody asks.
    """

    clients: int = 5_000
    hello_s: float = 5.0
    per_s: float = 50.0
    burst: float = 200.0
    frames: int = 256
    pushes: int = 4096


@dataclass(slots=True, eq=False)
class Connection:
    """One client's socket and the event that wakes its writer."""

    key: int
    socket: WebSocket
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    allowance: float = 200.0
    heard: float = 0.0
    #: Publication (ms UTC) of the newest frame that it was told of.
    told: int = 0
    person: Person | None = None

    @property
    def transport(self) -> Transport | None:
        """The protocol object below, when uvicorn runs ours."""
        return cast("Transport | None", (self.socket.scope.get("extensions") or {}).get(EXTENSION))

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code, whether or not the client reads."""
        if self.transport is not None:
            self.transport.kill(code, reason)
            return
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(1.0):
                await self.socket.close(code, reason)


class Gateway:
    """All connections of a server. `publish` may be called from any thread; everything else runs in the loop."""

    def __init__(self, hub: Hub, board: Board, access: Access, limits: DoorLimits | None = None) -> None:
        self.hub, self.board, self.access, self.limits = hub, board, access, limits or DoorLimits()
        self.connections: dict[int, Connection] = {}
        self.draining = False
        self._keys = itertools.count(1)
        self._seeding: dict[str, asyncio.Task[None]] = {}
        self._frames: dict[str, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = threading.BoundedSemaphore(self.limits.frames)
        self._published_ms = 0
        self._pushes: deque[tuple[int, int]] = deque(maxlen=self.limits.pushes)
        self._rights = 0 if access.people is None else access.people.version()

    # -- frames in -------------------------------------------------------------------------------------------------

    def publish(self, frame: Frame) -> None:
        """Hand a frame over, from the engine's thread; waits only when hundreds of frames were not folded yet."""
        published_ms = _now_ms()
        frame = self._filled(frame)
        loop = self._loop
        while loop is not None and not loop.is_closed() and not self.draining:
            if self._room.acquire(timeout=0.2):
                with contextlib.suppress(RuntimeError):  # the loop was closed between the check and the call
                    loop.call_soon_threadsafe(self._fold, frame, published_ms)
                return
        if loop is None:
            self.hub.publish(frame, _ms())

    def redefine(self, specs: Sequence[Spec], current: Mapping[str, Values]) -> None:
        """Other definitions are in force, with these values; from any thread."""
        if self._loop is None:
            self.hub.adopt(specs, current)
        else:
            self._loop.call_soon_threadsafe(self._adopt, specs, current)

    def _adopt(self, specs: Sequence[Spec], current: Mapping[str, Values]) -> None:
        self.hub.adopt(specs, current)
        self._wake()

    def _filled(self, frame: Frame) -> Frame:
        """The frame with columns for those twin rows that came without, of kinds that somebody follows."""
        twin = {k: d for k, d in frame.twin.items() if k in self.hub.twins and self.hub.twins[k].head}
        full = {k: d if d.columns else self.board.entities(k, d.rows) for k, d in twin.items()}
        return dataclasses.replace(frame, twin=full)

    def pushes(self) -> list[tuple[int, int]]:
        """(published, taken by the socket) in ms UTC of what was sent since the last call; from any thread."""
        found = list(itertools.islice(self._pushes, len(self._pushes)))
        self._pushes.clear()
        return found

    def _fold(self, frame: Frame, published_ms: int) -> None:
        self._room.release()
        self._reright()
        self._published_ms = published_ms
        self.hub.publish(frame, _ms())
        self._wake()

    def _wake(self) -> None:
        for connection in self.connections.values():
            connection.wake.set()

    def _stir(self) -> None:
        """Wake those whom another one's message concerns."""
        for key in self.hub.looking.stirred():
            if key in self.connections:
                self.connections[key].wake.set()

    async def run(self) -> None:
        """Heartbeats and the search for clients that are too slow, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            self._reright(over=True)
            self.hub.beat(_now_ms())
            for key in self.hub.slow(_ms()):
                await self._end(key, Close.SLOW, "too far behind on a log channel; resume")
            self._wake()

    def _reright(self, *, over: bool = False) -> None:
        """Before anything new is told: look at everybody where rights changed, or (`over`) sessions may have ended."""
        people = self.access.people
        if people is None:
            return
        version = people.version()
        if version == self._rights and not over:
            return
        now, moved, self._rights = _now_ms(), version != self._rights, version
        for key, connection in list(self.connections.items()):
            person = connection.person
            if person is not None and (moved or 0 < person.until <= now):
                self._again(key, connection, person, people.again(person))

    def _again(self, key: int, connection: Connection, before: Person, person: Person | None) -> None:
        """Go on with the rights of now, or end a connection whose person may no longer be here."""
        if person is None:
            connection.person = None
            self.hub.leave(key)
            self.hub.join(key, Rights())
            asyncio.ensure_future(self._end(key, Close.UNAUTHORIZED, "sign in again")).add_done_callback(_quiet)
            return
        connection.person = person
        if person.rights != before.rights:
            self.hub.reright(key, person.rights, _ms())
            connection.wake.set()

    async def _end(self, key: int, code: int, reason: str) -> None:
        if key in self.connections:
            await self.connections[key].close(code, reason)

    async def drain(self) -> None:
        """Send every client away with the advice to come again."""
        self.draining = True
        for key in list(self.connections):
            await self._end(key, Close.DRAINING, f"retry_ms={RETRY_MS}")

    # -- one client ------------------------------------------------------------------------------------------------

    async def endpoint(self, socket: WebSocket) -> None:
        """Serve one client from handshake to close."""
        offered = SUBPROTOCOL in socket.scope.get("subprotocols", ())
        await socket.accept(SUBPROTOCOL if offered else None)
        connection = Connection(next(self._keys), socket, allowance=self.limits.burst, heard=_ms())
        refusal = self._refusal(socket, offered)
        if refusal:
            await connection.close(*refusal)
            return
        hello = await self._hello(connection)
        if hello is None:
            return
        person = connection.person
        assert person is not None
        self.connections[connection.key] = connection
        self.hub.join(connection.key, person.rights, (person.user, person.name))
        self.hub.handle(connection.key, hello, _ms())
        try:
            await self._both(self._read(connection), self._write(connection))
        finally:
            self.hub.leave(connection.key)
            del self.connections[connection.key]
            self._stir()

    def _refusal(self, socket: WebSocket, offered: bool) -> tuple[int, str] | None:
        if not self.access.host_ok(socket.headers) or not self.access.origin_ok(socket.headers):
            return Close.FORBIDDEN, "foreign origin"
        if not offered:
            return Close.BAD_MESSAGE, f"offer the subprotocol {SUBPROTOCOL}"
        if self.draining:
            return Close.DRAINING, f"retry_ms={RETRY_MS}"
        return (Close.TOO_MANY, "too many connections") if len(self.connections) >= self.limits.clients else None

    async def _hello(self, connection: Connection) -> Hello | None:
        try:
            async with asyncio.timeout(self.limits.hello_s):
                message = await self._next(connection)
        except TimeoutError:
            await connection.close(Close.HELLO_TIMEOUT, "no hello")
            return None
        except WebSocketDisconnect:
            return None
        if not isinstance(message, Hello):
            await connection.close(Close.BAD_MESSAGE, "the first message is hello")
            return None
        connection.person = await self.access.person(message.token, cookie_of(connection.socket.headers))
        if connection.person is None:
            await connection.close(Close.UNAUTHORIZED, "no or wrong token")
            return None
        return message

    async def _next(self, connection: Connection) -> Any:
        """The next message; None for one that is none."""
        event = await connection.socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        text = event.get("text")
        try:
            return None if text is None or len(text) > MAX_MESSAGE else _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            self.hub.counts["bad_messages"] += 1
            return str(error)

    async def _both(self, *work: Any) -> None:
        """Run reader and writer until one ends, then end the other."""
        tasks = [asyncio.ensure_future(w) for w in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | ClientDisconnected):
                raise result

    async def _read(self, connection: Connection) -> None:
        while True:
            message = await self._next(connection)
            code, reason = await self._act(connection, message)
            if code is not None:
                await connection.close(code, reason)
                return
            connection.wake.set()

    async def _act(self, connection: Connection, message: Any) -> tuple[int | None, str]:
        if not self._allowed(connection):
            return Close.TOO_MANY, "too many messages"
        if message is None or isinstance(message, str):
            return Close.BAD_MESSAGE, (message or "messages are JSON texts of at most 64 KB")[:100]
        if isinstance(message, Hello):
            return Close.BAD_MESSAGE, "hello comes once"
        self._reright()  # what is asked for now is judged by the rights of now, not those of the last frame
        if isinstance(message, Sub) and connection.person is not None:
            self._note(connection.person, message)
        kind = self.hub.unseeded(message)
        if kind is not None:
            await self._seed(kind)
        code = self.hub.handle(connection.key, message, _ms())
        self._stir()
        return code, "" if code is None else code.name.lower().replace("_", " ")

    def _note(self, person: Person, message: Sub) -> None:
        """Into the audit trail: from here on this person is shown personal data of a log channel."""
        view, trail = person.view(message.channel), self.access.trail
        if trail is not None and view.scopes and view.personal and message.channel in self.hub.rings:
            detail = {"channel": message.channel, "way": "subscription"}
            trail.note(person, "read.personal", "", message.filter.scope or "", detail)

    def _allowed(self, connection: Connection) -> bool:
        at = _ms()
        gained = (at - connection.heard) / 1000 * self.limits.per_s
        connection.allowance = min(self.limits.burst, connection.allowance + gained) - 1
        connection.heard = at
        return connection.allowance >= 0

    def _seed(self, kind: str) -> Awaitable[None]:
        """Read a twin table from the board on a worker thread, once for all who ask."""

        async def seed() -> None:
            self.hub.open(kind)
            try:
                self.hub.seed(kind, await asyncio.to_thread(self.board.entities, kind))
            finally:
                del self._seeding[kind]

        task = self._seeding.get(kind)
        if task is None:
            task = self._seeding[kind] = asyncio.create_task(seed())
        return asyncio.shield(task)

    async def _write(self, connection: Connection) -> None:
        """Write what is owed, as fast as the client reads; wait for news otherwise."""
        hub, key, wake, transport = self.hub, connection.key, connection.wake, connection.transport
        while True:
            wake.clear()
            at = _ms()
            wait = hub.due(key, at)
            if wait is None:
                await wake.wait()
            elif wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait / 1000):
                        await wake.wait()
            else:
                published = self._published_ms
                text = hub.take(key, at)
                if text is None:
                    continue
                if transport is None:
                    await connection.socket.send({"type": "websocket.send", "text": text})
                else:
                    await transport.send_framed(self._framed(text))
                self._sent(connection, text, published)

    def _sent(self, connection: Connection, text: str, published_ms: int) -> None:
        """Note how long the frame of a message took; heartbeats carry none."""
        if published_ms > connection.told and '"delta"' in text:
            connection.told = published_ms
            self._pushes.append((published_ms, max(_now_ms(), published_ms)))

    def _framed(self, text: str) -> bytes:
        """The WebSocket frame of a text; clients that are told the same share it."""
        frame = self._frames.get(text)
        if frame is None:
            if len(self._frames) >= 16:
                self._frames.pop(next(iter(self._frames)))
            frame = self._frames[text] = framed(text)
        return frame


def _quiet(done: asyncio.Future[None]) -> None:
    """A connection that broke while it was ended is what was wanted."""
    if not done.cancelled():
        done.exception()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _ms() -> float:
    return time.monotonic() * 1000
