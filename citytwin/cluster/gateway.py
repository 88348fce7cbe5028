"""A gateway: reads what is committed on the board and serves pages and clients. Any number of them show one city."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from citytwin.clock import SystemClock
from citytwin.cluster.board import INTENT, KEY, BoardReader, Seen, newest_key
from citytwin.cluster.deskcopy import DeskCopy
from citytwin.cluster.options import Options
from citytwin.cluster.presence import tell
from citytwin.cluster.reads import Desk, GatewayBoard, GatewayOps, GatewayViews, NoIngest
from citytwin.cluster.registers import RegisterLog
from citytwin.cluster.shown import ShownCity
from citytwin.config import Config, privacy_key
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.deskdoor import DeskDoor
from citytwin.doors import CityDoors, Intake
from citytwin.engine import Engine
from citytwin.evidence import Evidence
from citytwin.historian import Historian
from citytwin.history import historian
from citytwin.models.frame import Frame
from citytwin.staffing import Staffed, staffed
from citytwin.streams.brokers import BrokerError
from citytwin.streams.codec import Codec
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.parts import BoardFrame, decode_frame

_log = logging.getLogger(__name__)
#: Keyframes before the newest from which a gateway begins, so that clients of others can go on here without a gap.
BACK = 2
Say = Callable[[str], None]
_AGAIN_S = 0.5
_ALIVE_S = 5.0


class GatewayNode:
    """One gateway. `say` gets one line with the address once the first frame is shown."""

    def __init__(
        self, config: Config, options: Options, fatal: Callable[[str], None], say: Callable[[str], None]
    ) -> None:
        self.config, self.options, self._fatal, self._say = config, options, fatal, say
        self.city = ShownCity(options.city(), options.registry())
        self.desk, self.copy = Desk(self.city), DeskCopy(options)
        scopes, vocabulary = self.city.engine.scopes, self.city.engine.vocabulary
        self.history: Historian | None = historian(config, Path(config.data.dir).absolute(), scopes, vocabulary)
        self.views = GatewayViews(self.desk, self.city, self.history, self.copy)
        self.registers = RegisterLog(options.cluster, options.prefix)
        self.web: ServerThread | None = None
        self._board: BoardReader | None = None
        self._waiting: deque[Seen] = deque()
        self._stack = ExitStack()
        self.people: Staffed | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Show frames until `stop` is set; broker trouble is waited out."""
        alive = asyncio.ensure_future(
            tell(
                self.options.cluster,
                self.options.prefix,
                lambda: {"role": "gateway", "id": self.name, "k": self.city.k},
            )
        )
        reading = asyncio.ensure_future(self.copy.run(stop))
        try:
            while not stop.is_set():
                try:
                    await self._turn()
                except BrokerError as error:
                    if not error.passing:
                        self._fatal(str(error))
                        return
                    _log.warning("%s; trying again", error)
                    await asyncio.sleep(_AGAIN_S)
        finally:
            alive.cancel()
            if self.web is not None:
                await asyncio.to_thread(self.web.stop)
            if self.history is not None:
                await asyncio.to_thread(self.history.close)
            await asyncio.to_thread(self._stack.close)
            await self.registers.stop()
            await asyncio.wait({reading})
            if self._board is not None:
                await self._board.stop()

    async def _turn(self) -> None:
        if self._board is None:
            start = await newest_key(self.options, BACK)
            if start < 0:
                await asyncio.sleep(_AGAIN_S)  # no clock has put anything on the board yet
                return
            board = BoardReader(self.options, start)
            # nobody is served before all that is on the board is shown: who comes from another gateway has seen it
            await self._take(await board.rest())
            self._board = board
        await self._take(await self._board.take())
        if self.web is not None and self.web.thread is None:
            await asyncio.to_thread(self._listen, self.web)

    async def _take(self, found: list[Seen]) -> None:
        """Show what was read; what broker trouble keeps back is shown in the next turn, before what comes then."""
        self._waiting += found
        while self._waiting:
            await self._one(self._waiting[0])
            self._waiting.popleft()

    async def _one(self, seen: Seen) -> None:
        if seen.sort == INTENT or (seen.sort == KEY) == bool(self.city.final):
            return
        try:
            told = decode_frame(seen.body)
        except CorruptRecord as error:
            _log.error("the board at %d is passed over: %s", seen.offset, error)
            return
        await self._show(told)
        if self.web is None:  # what follows the keyframe goes to the log channels, for who comes from elsewhere
            await self.copy.restored.wait()
            await asyncio.to_thread(self._make)

    async def _show(self, told: BoardFrame) -> None:
        upto = int(told.frame.sys.get("registers", 0))
        records = await self.registers.between(self.city.registers, upto)
        with self.desk.lock:
            if records:
                self.city.put_in_force(records, upto)
            first, before = not self.city.final, self.city.final
            shown = self.city.take(told)
            self.views.note_frame()
        if self.history is not None and self.city.final > before:
            self._record(told.frame, first)
        if shown is not None and self.web is not None:
            await asyncio.to_thread(self._publish, shown)

    def _record(self, frame: Frame, first: bool) -> None:
        """Final frames go to the history, in order; a keyframe says what the first of them change."""
        assert self.history is not None
        if first:
            self.history.prime(frame.now, frame.values)
            self.history.start()
        else:
            self.history.note(frame)

    def _publish(self, frame: Frame) -> None:
        assert self.web is not None
        with self.desk.lock:
            self.web.web.gateway.publish(frame)

    def _make(self) -> None:
        server = self.config.server
        self.people = staffed(self.config, Path(self.config.data.dir).absolute(), self._stack)
        told = dict(self.city.sys.get("told", {}))
        epoch = f"{self.options.prefix}-{self.options.epoch or 'e1'}"
        ops = GatewayOps(self.city, self.views, self.name, self.options.checkpoint_s)
        codec = self._codec(Path(self.config.data.dir).absolute())
        door = self._door(codec) if codec is not None else None
        doors = self._doors(codec) if codec is not None else None
        with self.desk.lock:
            parts = Parts(
                GatewayBoard(self.views), self.views, NoIngest(), self.views, self.people.access, ops=ops,
                epoch=epoch, told=told, desk=door, doors=doors,
            )  # fmt: skip
            web = Web(parts)
        self.web = ServerThread(web, server.host, server.port)

    def _codec(self, folder: Path) -> Codec | None:
        """What reads events for the desk; None where the desk cannot be read here."""
        if (engine := self.copy.engine) is None:
            return None
        return Codec(engine.vocabulary, privacy_key(self.config, folder), engine.city.box)

    def _door(self, codec: Codec) -> DeskDoor:
        """The way of people to the desk."""
        engine, evidence = self._engine(), Evidence(self.options.place("evidence"))
        return DeskDoor(codec, self.copy, engine, SystemClock(), evidence, mark=self.name)

    def _doors(self, codec: Codec) -> CityDoors:
        """The doors for other systems."""
        config = self.config
        intake = Intake(codec, self.copy, self._engine(), SystemClock())
        return CityDoors(intake, config.open311, config.cap, privacy_key(config, Path(config.data.dir).absolute()))

    def _engine(self) -> Engine:
        engine = self.copy.engine
        assert engine is not None  # there is a codec
        return engine

    def _listen(self, web: ServerThread) -> None:
        port, host = web.start(), self.config.server.host
        shown = f"[{host}]" if ":" in host else host
        self._say(f"ready http://{shown}:{port}")

    @property
    def name(self) -> str:
        """What pages call this gateway."""
        return self.options.instance or f"gateway-{os.getpid()}"
