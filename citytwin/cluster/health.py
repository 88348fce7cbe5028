"""What the clock knows of the cluster, for /ops and `citytwin status`: shards by parts, members by signs of life."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from citytwin.cluster.options import Options
from citytwin.models.frame import Frame
from citytwin.models.ops import FramesState, MemberState, OpsState, ShardState
from citytwin.models.part import Marker, Part
from citytwin.models.shards import name_of
from citytwin.ops import heard

if TYPE_CHECKING:
    from citytwin.cluster.clock import Clock

#: A shard without a part for so long is missing, one for longer than the clock's patience is late.
_MISSING_S = 5.0
#: Rates are told of so many parts.
_PARTS = 20
_Name = int | Literal["desk"]


class Health:
    """Notes parts and frames as they go by; `state` makes the document of them."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._shards: dict[int, tuple[Marker, Mapping[str, Any], float]] = {}
        self._arrived: dict[int, tuple[int, float]] = {}
        self._rates: dict[int, deque[tuple[int, int]]] = {}
        self._marks = Marker(0, 0)
        self._finals = self._provisionals = self._saved_k = 0
        self._final_at = self._saved_at = time.monotonic()
        self._missing: list[int] = []
        self._opened: float | None = None

    def arrived(self, shard: int, k: int) -> None:
        """A part came, which may wait for those of others."""
        if k > self._arrived.get(shard, (0, 0.0))[0]:
            self._arrived[shard] = (k, time.monotonic())

    def heard(self, part: Part) -> None:
        """A part was merged."""
        self._shards[part.shard] = (Marker(part.k, part.now), part.facts.get("member", {}), time.monotonic())
        rates = self._rates.setdefault(part.shard, deque(maxlen=_PARTS))
        rates.append((part.now, part.facts["stats"]["accepted"]))

    def final(self, marker: Marker, waited_s: float) -> None:
        """A frame became final `waited_s` after its marker."""
        del waited_s
        self._marks, self._final_at, self._missing, self._opened = marker, time.monotonic(), [], None

    def provisional(self, marker: Marker, missing: list[int]) -> None:
        """A frame went out without these shards."""
        del marker
        self._provisionals += 1
        self._missing = missing
        self._opened = self._opened or time.monotonic()

    def saved(self, k: int) -> None:
        """The clock wrote a checkpoint."""
        self._saved_k, self._saved_at = k, time.monotonic()

    def state(self, clock: Clock, frame: Frame) -> dict[str, Any]:
        """The document, without verdicts: who reads it makes those, for it knows the time."""
        now, last = time.monotonic(), max(clock.intents, default=frame.k)
        newest = clock.intents.get(last)
        shards = [self._shard(s, last, newest.now if newest else frame.now, now) for s in clock.merge.members]
        owners: dict[str, list[_Name]] = {}
        for shard in shards:
            owners.setdefault(shard.owner, []).append(shard.shard)
        members = [MemberState(role="clock", id=clock.name)]
        members += [
            MemberState(role="worker", id=owner, shards=held, seen_s=self._seen(held, now))
            for owner, held in sorted(owners.items()) if owner
        ]  # fmt: skip
        signs = clock.pieces.presence.values()
        members += [self._member(t) for t in signs if (t["role"], t["id"]) != ("clock", clock.name)]
        sources, more = heard(
            clock.merge.engine.watermarks.times, getattr(clock.merge.engine.city, "sources", ()), frame.now
        )
        final = clock.merge.engine.k
        frames = FramesState(
            final=final, provisional=self._provisionals, open=sorted(k for k in clock.intents if k > final)[:50],
            missing=[name_of(s) for s in self._missing],
            waiting_s=round(now - self._opened, 1) if self._opened else 0.0, still_s=round(now - self._final_at, 1),
        )  # fmt: skip
        found = OpsState(
            mode="cluster", now=frame.now, k=last, shards=shards, members=members, frames=frames, sources=sources,
            more_sources=more,
        )  # fmt: skip
        document: dict[str, Any] = msgspec.to_builtins(found)
        return document

    def _shard(self, shard: int, last: int, now_ms: int, now: float) -> ShardState:
        if shard not in self._shards:
            return ShardState(shard=name_of(shard), state="missing")
        part, told, at = self._shards[shard]
        k, came = self._arrived.get(shard, (part.k, at))
        rates = self._rates[shard]
        span = (rates[-1][0] - rates[0][0]) / 1000
        silent = now - came if k < last else 0.0
        state: Literal["ok", "late", "missing"] = "ok"
        if silent > self._options.patience_ms / 1000:
            state = "missing" if silent > _MISSING_S else "late"
        return ShardState(
            shard=name_of(shard), owner=str(told.get("owner", "")), k=k, lag_records=max(0, last - k),
            lag_ms=max(0, now_ms - part.now), events=int(told.get("events", 0)),
            rate=round((rates[-1][1] - rates[0][1]) / span, 1) if span else 0.0,
            checkpoint_k=int(told.get("checkpoint_k", 0)), checkpoint_age_s=told.get("checkpoint_age_s"),
            next=int(told.get("next", 0)), state=state,
        )  # fmt: skip

    def _seen(self, shards: list[_Name], now: float) -> float:
        times = [at for s, (_, at) in self._arrived.items() if name_of(s) in shards]
        return round(now - max(times, default=now), 1)

    @staticmethod
    def _member(told: Mapping[str, Any]) -> MemberState:
        seen = max(0.0, time.time() - int(told["at"]) / 1000)
        return MemberState(
            role=told["role"], id=told["id"], seen_s=round(seen, 1), active=bool(told.get("active", True))
        )
