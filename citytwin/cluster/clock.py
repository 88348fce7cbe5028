"""The clock: it says when each segment ends, merges the parts, and puts frames on the board. One is active.

A standby reads and merges the same, and takes over when the board has been silent for too long: connecting fences the
other, which then stands by itself. All that a clock needs to come back is on disk and in the topics.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from citytwin.cluster.ahead import Ahead
from citytwin.cluster.board import INTENT, BoardReader, Pen, Seen
from citytwin.cluster.cities import Cities
from citytwin.cluster.health import Health
from citytwin.cluster.merge import Merge, Mixed
from citytwin.cluster.options import Options, wall_ms
from citytwin.cluster.pieces import Pieces
from citytwin.cluster.presence import tell
from citytwin.cluster.registers import RegisterLog
from citytwin.cluster.shard import Gap
from citytwin.models.frame import Frame
from citytwin.models.part import Marker
from citytwin.snapshot import DefinitionsChanged
from citytwin.streams.brokers import EARLIEST, BrokerError, Fenced
from citytwin.streams.parts import FRAME, BoardFrame
from citytwin.streams.snapshots import Snapshot, Snapshots
from citytwin.streams.store import StoreError

_log = logging.getLogger(__name__)
#: Markers whose final frame is open; beyond it no more are written until workers have caught up.
OPEN_MAX = 600
_AGAIN_S = 0.5
_PACE_MS = 20


class Clock:
    """One clock process. `fatal` is called with a sentence where it cannot go on."""

    def __init__(self, options: Options, fatal: Callable[[str], None]) -> None:
        self.options, self._fatal = options, fatal
        self._cities, self._registry = Cities(options.city), options.registry()
        self.registers = RegisterLog(options.cluster, options.prefix)
        self.health = Health(options)
        self._saves = Snapshots(options.place("clock"), options.keep)
        self._saved_at = time.monotonic()
        self._start()

    def _start(self) -> None:
        """Come back to the newest checkpoint that can be read, or begin."""
        self.merge, parts_from, board_from = self._restore()
        self.pieces = Pieces(self.options, parts_from)
        self.board = BoardReader(self.options, board_from)
        self.intents: dict[int, Marker] = {}
        self._intent_at: dict[int, int] = {}
        self.pen: Pen | None = None
        #: Newest final frame on the board, and finals that were merged here and are not known to be on it.
        self.final = 0
        self._made: deque[BoardFrame] = deque(maxlen=OPEN_MAX)
        self._key_due = True
        #: The newest marker of which this clock, being active, has told the desk.
        self._told = 0
        self.ahead: Ahead | None = None
        #: When the board was last written to (ms UTC), by whoever wrote it: not when it was read here.
        self._heard_ms = wall_ms()
        self._opened: dict[int, float] = {}

    def _restore(self) -> tuple[Merge, int, int]:
        options = self.options
        for saved in self._saves.valid():
            try:
                merge = Merge.restore(self._cities(), self._registry, saved.arrays, saved.meta, options.shards)
            except DefinitionsChanged:
                self._fatal(
                    "the clock's checkpoint was counted by other indicators, vocabulary or city pack; what is counted "
                    "anew is another epoch: `citytwin reshard` makes it, or run the version as before"
                )
                raise
            except (ValueError, KeyError) as error:
                _log.error("the clock's checkpoint at %d is passed over: %s", saved.position, error)
                if saved.meta.get("cluster", {}).get("shards") != options.shards:
                    self._fatal(str(error))
                continue
            return merge, int(saved.meta["parts"]), int(saved.meta["board"])
        # from the very first record on: where a topic begins later there is a gap, and no frame could be exact
        return Merge(self._cities(), self._registry, options.shards), 0, 0

    # The loop

    async def run(self, stop: asyncio.Event) -> None:
        """Merge, and tick while active, until `stop` is set. Broker trouble is waited out."""
        alive = asyncio.ensure_future(tell(self.options.cluster, self.options.prefix, self._standing_by))
        while not stop.is_set():
            try:
                await self._turn()
            except Fenced:
                _log.warning("another clock took over; this one stands by")
                await self._rest(deaf=True)
            except BrokerError as error:
                if not error.passing:
                    self._fatal(str(error))
                    return
                _log.warning("%s; trying again", error)
                await self._rest()
                await asyncio.sleep(_AGAIN_S)
            except (Gap, Mixed) as error:
                self._fatal(str(error))
                return
        alive.cancel()
        await self._save()
        await self._rest()
        await asyncio.gather(self.pieces.stop(), self.board.stop(), self.registers.stop())

    def _standing_by(self) -> dict[str, object] | None:
        return None if self.pen is not None else {"role": "clock", "id": self.name, "active": False}

    async def _rest(self, *, deaf: bool = False) -> None:
        """Be active no more. `deaf`: not to take over at once from who just did."""
        pen, self.pen = self.pen, None
        if pen is not None:
            await self.board.skip(pen.last)
            await pen.stop()
        if deaf:
            self._heard_ms = wall_ms()

    async def _turn(self) -> None:
        if self.pen is None:
            self._note(await self.board.take(_PACE_MS))
            if self._silent():
                self._note(await self.board.rest())  # a slow reader must not mistake what it has not read for silence
                if self._silent():
                    await self._take_over()
        else:
            await self._tick_if_due()
        for k, shard in await self.pieces.take(self.merge.engine.k, _PACE_MS):
            self.health.arrived(shard, k)
        await self._merge_what_is_in()
        await self._tell_desk()
        if time.monotonic() - self._saved_at > self.options.checkpoint_s:
            await self._save()

    def _silent(self) -> bool:
        return wall_ms() - self._heard_ms > self.options.takeover_ms * (1 + 0.2 * random.random())

    def _note(self, seen: list[Seen]) -> None:
        for each in seen:
            self._heard_ms = max(self._heard_ms, each.at)
            if each.sort == INTENT:
                try:
                    marker = msgspec.json.decode(each.body, type=Marker)
                except msgspec.MsgspecError as error:
                    _log.error("the board at %d is no intent: %s", each.offset, error)
                    continue
                self._learn(marker, each.offset)
            elif each.sort == FRAME:
                self.final = max(self.final, each.k)
        while self._made and self._made[0].frame.k <= self.final:
            self._made.popleft()

    def _learn(self, marker: Marker, offset: int) -> None:
        self._intent_at[marker.k] = offset
        if marker.k > self.merge.engine.k:
            self.intents[marker.k] = marker
            self._opened.setdefault(marker.k, time.monotonic())

    # Being active

    async def _take_over(self) -> None:
        """Fence the other clock, learn what it committed, and go on from there."""
        pen = Pen(self.options)
        await pen.start()
        self.pen = pen
        self._note(await self.board.rest())
        if not self.intents and self.merge.engine.k == 0 and self.final > 0:
            raise Gap("the board has frames and there is no checkpoint of the clock: restore its folder of checkpoints")
        _log.warning("this clock is active from marker %d on", self._last_k() + 1)
        await pen.mark(m for k, m in sorted(self.intents.items()))
        self._key_due, self._told = True, 0
        made, self._made = list(self._made), deque(maxlen=OPEN_MAX)
        for told in made:
            if told.frame.k > self.final:
                await self._publish(told)

    def _last_k(self) -> int:
        return max(self.intents, default=self.merge.engine.k)

    async def _tick_if_due(self) -> None:
        """Write the next marker when its time has come; time never goes back."""
        last = self.intents.get(self._last_k())
        before = last.now if last is not None else self.merge.engine.now
        step, now = self.options.tick_ms, self.options.now_ms()
        due = now // step * step
        if due <= before or len(self.intents) >= OPEN_MAX:
            return
        marker = Marker(self._last_k() + 1, due, await self.registers.end(), self.options.epoch)
        assert self.pen is not None
        async with self.pen.committed():
            at = await self.pen.intend(marker)
        self._learn(marker, at)
        await self.pen.mark([marker])

    async def _publish(self, told: BoardFrame) -> None:
        """Put a frame on the board; every so often all there is to know with it."""
        assert self.pen is not None
        key = told.final and (self._key_due or told.frame.k % self.options.key_every == 0)
        # what is whole is of the newest state: frames that only now reach the board do not bring it
        key = key and told.frame.k == self.merge.engine.k
        async with self.pen.committed():
            await self.pen.frame(told)
            if key:
                await self.pen.frame(BoardFrame(self.merge.whole(told.frame), key=True, hash=told.hash))
        if key:
            self._key_due = False
        if told.final:
            self.final = max(self.final, told.frame.k)

    # Merging

    async def _merge_what_is_in(self) -> None:
        """Close every marker of which all parts are in; look ahead when one is late."""
        wanted = self.merge.engine.k + 1
        if self.intents and min(self.intents) > wanted:
            raise Gap(
                f"the board begins with marker {min(self.intents)} and this clock needs {wanted}: restore a checkpoint "
                "of the clock that the topics still cover, or begin another epoch by `citytwin reshard`"
            )
        while (marker := self.intents.get(self.merge.engine.k + 1)) is not None:
            if len(self.pieces.held.get(marker.k, {})) < len(self.merge.members):
                break  # none is merged before all are in: what a checkpoint or a preview begins with is whole
            parts = [self.pieces.part(marker.k, shard) for shard in self.merge.members]
            if None in parts:
                break
            for part in filter(None, parts):
                self.merge.put(part)
                self.health.heard(part)
            await self._close(marker)
        await self._look_ahead()

    async def _close(self, marker: Marker) -> None:
        registers = await self.registers.between(self.merge.registers, marker.registers)
        frame = self.merge.close(marker, registers)
        digest = self.merge.engine.frame_hash() if self.options.hashes else ""
        if self.ahead is not None and frame.k >= self.ahead.k:
            self.ahead = None
        opened = self._opened.pop(marker.k, time.monotonic())
        self.health.final(marker, time.monotonic() - opened)
        told = BoardFrame(self._with_ops(frame), hash=digest)
        self.intents.pop(marker.k)
        self.pieces.done(marker.k)
        if self.pen is None:
            self._made.append(told)
        elif frame.k > self.final:
            try:
                await self._publish(told)
            except BrokerError:
                self._made.append(told)
                raise

    async def _tell_desk(self) -> None:
        """Tell the desk what was found at markers; all that it has not said to know, after another clock."""
        if self.pen is None:
            return
        fresh = [k for k in sorted(self.merge.tellings) if k > self._told]
        if fresh:
            await self.pen.tell(piece for k in fresh for piece in self.merge.tellings[k])
            self._told = fresh[-1]

    async def _look_ahead(self) -> None:
        """A provisional frame for each marker that has waited long enough for a part."""
        if self.pen is None or not self.intents:
            return
        patience, now = self.options.patience_ms / 1000, time.monotonic()
        for k in sorted(self.intents):
            if now - self._opened[k] < patience:
                break
            if self.ahead is not None and k <= self.ahead.k:
                continue
            if self.ahead is None:
                self.ahead = Ahead(self.merge)
            await self._provisional(self.ahead, self.intents[k])

    async def _provisional(self, ahead: Ahead, marker: Marker) -> None:
        for k in sorted(k for k in self.pieces.held if k <= marker.k):
            for shard in sorted(self.pieces.held[k]):
                if not ahead.heard(k, shard) and (part := self.pieces.part(k, shard)) is not None:
                    ahead.put(part)
        missing = [s for s in self.merge.members if s not in self.pieces.held.get(marker.k, {})]
        registers = await self.registers.between(ahead.registers, marker.registers)
        told = ahead.close(marker, registers, missing)
        self.health.provisional(marker, missing)
        await self._publish(BoardFrame(self._with_ops(told.frame), final=False, missing=told.missing))

    def _with_ops(self, frame: Frame) -> Frame:
        facts: dict[str, Any] = {**frame.sys, "ops": self.health.state(self, frame)}
        return dataclasses.replace(frame, sys=facts)

    # Checkpoints

    async def _save(self) -> None:
        """Write the state with the offsets from which on parts and board are needed; no room: it is tried again."""
        k = self.merge.engine.k
        self._saved_at = time.monotonic()
        if not k:
            return
        taken = self.merge.snapshot()
        at = min((n for j, n in self._intent_at.items() if j >= k), default=-1)
        meta = {**taken.meta, "parts": self.pieces.needed, "board": at if at >= 0 else EARLIEST}
        self._intent_at = {j: n for j, n in self._intent_at.items() if j >= k}
        try:
            await asyncio.to_thread(self._saves.save, Snapshot(k, taken.arrays, meta))
            self.health.saved(k)
        except (OSError, StoreError) as error:
            _log.error("no checkpoint of the clock could be written: %s", error)

    @property
    def name(self) -> str:
        """What pages call this clock."""
        return self.options.instance or f"clock-{os.getpid()}"
