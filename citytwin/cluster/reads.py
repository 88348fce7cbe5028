"""What a gateway answers: the reads of one city in one process, over what the board told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar, cast

import msgspec

from citytwin.cluster.deskcopy import DeskCopy
from citytwin.cluster.shown import ShownCity
from citytwin.dashboards.ports import Page, Past, Refused, Taken
from citytwin.historian import Historian
from citytwin.indicators.told import Explanation
from citytwin.ingest import refused
from citytwin.metrics import Metrics
from citytwin.models.columns import Int32
from citytwin.models.diagnosis import Limits
from citytwin.models.ops import LettersState, MemberState, OpsState
from citytwin.ops import Watch
from citytwin.runtime import Runtime
from citytwin.submissions import Unavailable, done_now
from citytwin.views import CityBoard, Views

T = TypeVar("T")
#: Without a frame for so long a gateway says that it is not ready.
SILENT_S = 10.0
_ELSEWHERE = (
    "a gateway shows what the board tells; {0}. One process that holds the log answers it: `citytwin run`, or a replay"
)


class Desk:
    """Does what is asked between two frames, in the thread that asks; stands where one process has its runtime."""

    def __init__(self, city: ShownCity) -> None:
        self.lock = threading.RLock()
        self.metrics = Metrics()
        self.status: dict[str, Any] = {"log": "ok", "log_reason": "", "clock": "ok", "live": True, "failed": ""}
        self.waiting = 0
        self._city = city

    @property
    def position(self) -> int:
        """Sequence of what is shown."""
        return self._city.number

    def call(self, run: Callable[[], T]) -> Future[T]:
        """Run it now."""
        return done_now(self.lock, run)


class GatewayViews(Views):
    """Reads over frames of the board."""

    def __init__(
        self, desk: Desk, city: ShownCity, history: Historian | None = None, copy: DeskCopy | None = None
    ) -> None:
        """`copy`: the desk's topic folded here, where there is one."""
        # the desk has of a runtime what reads ask for
        super().__init__(cast(Runtime, desk), city.engine, None, None, history)
        self._shown, self._copy = city, copy
        self._heard_at = time.monotonic()

    def note_frame(self) -> None:
        """A frame came."""
        self._heard_at = time.monotonic()
        self.ticker = self._shown.ticker

    def _newest(self, rows: Int32) -> list[dict[str, float] | None]:
        held = [self._shown.devices.get(r, (0, None))[1] for r in rows.tolist()]
        return [None if values is None else dict(values) for values in held]

    def _cases(
        self, scope: int | None, open: bool | None, states: frozenset[str] = frozenset()
    ) -> list[dict[str, Any]]:
        if open is not True:
            return self._of_the_desk(scope, open, states)
        found = [{**case, "open": True} for case in self._shown.open_cases.values()]
        if states:
            found = [c for c in found if c["state"] in states]
        if scope is None:
            return found
        return [c for c in found if c["scope"] is not None and scope in self.engine.scopes.path(int(c["scope"]))]

    def _of_the_desk(self, scope: int | None, open: bool | None, states: frozenset[str]) -> list[dict[str, Any]]:
        """Cases that are over are not on the board; the desk has them."""
        if self._copy is None or (engine := self._copy.engine) is None:
            raise Refused(404, "not_here", "Not Found", _ELSEWHERE.format("cases that are over are not among it"))
        desk = Views(cast(Runtime, self._copy), engine, None, None)
        try:
            return self._copy.call(lambda: desk._cases(scope, open, states)).result()
        except Unavailable as error:
            raise refused(error) from error

    def open_cases(self) -> list[dict[str, Any]]:
        """Every case that is not over, as the board told it."""
        return self._cases(None, True)

    def desk_rows(self, part: str) -> Sequence[Mapping[str, Any]]:
        """What is open of a part of the desk, as the board told it."""
        return tuple(self._shown.desk.get(part, {}).values())

    def explain(
        self, indicator: str, scope: int, at: int | None, parameter: str, after: str, limit: int
    ) -> tuple[Past, Explanation]:
        """Raises Refused: the events behind a number are with the shards."""
        raise Refused(404, "not_here", "Not Found", _ELSEWHERE.format("the events behind a number are with the shards"))

    def deadletters(self) -> Mapping[str, Any]:
        """Dead letters lie in their topic; here is how many the shards refused."""
        counts = dict(self._shown.sys.get("rejected", {}))
        return {"total": sum(counts.values()), "by_reason": counts, "by_source": {}, "newest": []}

    def cases(
        self, scope: int | None, open: bool | None, limit: int, after: str, states: frozenset[str] = frozenset()
    ) -> Page:
        """Cases ordered by code. Raises Refused for those that are over where there is no desk."""
        return super().cases(scope, open, limit, after, states)

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether frames come."""
        silent = time.monotonic() - self._heard_at
        facts = {"k": self._shown.k, "final": self._shown.final, "silent_s": round(silent, 1)}
        return self._shown.final > 0 and silent < SILENT_S, {**facts, "missing": list(self._shown.missing)}


class GatewayBoard(CityBoard):
    """The state as the hub takes it before the first frame."""


class NoIngest:
    """Events go to the bridge, not to a gateway."""

    content_types: Sequence[str] = ("application/cloudevents+json",)
    max_bytes = 0

    def submit(self, body: bytes, content_type: str) -> Future[Taken]:
        """Raises Refused."""
        raise Refused(
            404, "not_here", "Not Found", "a gateway takes no events; send them to the port of `citytwin bridge`"
        )


class GatewayOps:
    """The state of the cluster as the clock told it last, and this gateway."""

    def __init__(self, city: ShownCity, views: GatewayViews, name: str, checkpoint_s: float) -> None:
        self._city, self._views, self._name = city, views, name
        self._watch = Watch(Limits(checkpoint_s=3 * checkpoint_s))

    def state(self) -> OpsState:
        """The state now, with verdicts."""
        told = self._city.sys.get("ops") or {"mode": "cluster", "now": self._city.engine.now}
        state = msgspec.convert(told, OpsState)
        _, facts = self._views.ready()
        silent = float(facts["silent_s"])
        state.frames.still_s = max(state.frames.still_s, silent if silent > 1 else 0.0)
        for member in state.members:
            member.seen_s += silent if silent > SILENT_S / 2 else 0.0
        state.members = [m for m in state.members if (m.role, m.id) != ("gateway", self._name)]
        state.members.append(MemberState(role="gateway", id=self._name))
        counts = dict(self._city.sys.get("rejected", {}))
        state.deadletters = LettersState(total=sum(counts.values()), by_reason=counts, ever=sum(counts.values()))
        return self._watch.look(state, round(time.time() * 1000))
