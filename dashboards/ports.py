"""What the way out asks of the application: small protocols, so that this room knows no stream and no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.api import Spec
from citytwin.indicators.told import Explanation
from citytwin.models.columns import Float64, Int32, Int64
from citytwin.models.frame import Delta, Values
from citytwin.models.ops import OpsState
from citytwin.models.vocabulary import EventType


class Board(Protocol):
    """Current state, for snapshots. `current`, `cases`, `desk`, `ticker` are read once, before the first frame.

    `entities` without rows is read on a worker thread when somebody first asks for the kind; it may be newer than the
    last frame, never older.
    """

    now: int
    position: int

    @property
    def scopes(self) -> ScopeTree:
        """The scope tree; append-only, so that it may be read while it grows."""

    @property
    def types(self) -> Mapping[str, EventType]:
        """Event types of the vocabulary by name."""

    def specs(self) -> Sequence[Spec]:
        """Every indicator that is in force."""

    def current(self, indicator: str) -> Values:
        """Newest values of one indicator at every scope that has one."""

    def kinds(self) -> Sequence[str]:
        """Twin tables that may be subscribed as `twin/<kind>`."""

    def entities(self, kind: str, rows: Int32 | None = None) -> Delta:
        """All rows of a twin table, or some, with what pages show: code, name, name_en, lon, lat, scope (row) ...

        A column `gone` that is true takes the row away. Called with rows on the thread that publishes frames, for
        the deltas of a frame that come without columns.
        """

    def cases(self) -> Sequence[Mapping[str, Any]]:
        """The open cases as frames tell them: `code`, `scope` (row), `state` (or `open`), and what pages show."""

    def desk(self, part: str) -> Sequence[Mapping[str, Any]]:
        """What is open of a part of the desk (`alarm`, `unit`): rows as frames tell them."""

    def ticker(self) -> Sequence[Mapping[str, Any]]:
        """The newest ticker entries, oldest first: `t`, `scope` (row) and what pages show."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; `next` is given as `after` for the following one, "" at the end."""

    items: Sequence[Mapping[str, Any]]
    next: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time: `t` int64 ms ascending, `v` float64 (NaN = no data)."""

    t: Int64
    v: Float64


@dataclass(frozen=True, slots=True)
class Past:
    """What was found out as of a tick: its time, its log position, whether definitions were others then."""

    now: int
    position: int
    differ: bool = False


class CityReads(Protocol):
    """Reads for HTTP; each is called on a worker thread and may be of any tick."""

    def about(self) -> Mapping[str, Any]:
        """`name`, `title` {zh, en}, `timezone`, `edition`, `bbox`, `center` and what else pages need of the city."""

    def page(
        self, kind: str, scope: int | None, bbox: tuple[float, float, float, float] | None, limit: int, after: str
    ) -> Page | None:
        """Entities of a kind ordered by code; None for a kind that does not exist."""

    def entity(self, kind: str, code: str) -> Mapping[str, Any] | None:
        """One entity with `attributes`, `readings` and `relations`; None if there is none."""

    def cases(
        self, scope: int | None, open: bool | None, limit: int, after: str, states: frozenset[str] = frozenset()
    ) -> Page:
        """Cases ordered by code; of these states only, where any is named."""

    def find(self, text: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """Entities whose code or name holds the text: `kind`, `code`, `name`, `name_en`, `lon`, `lat`, `scope`."""

    def series(self, indicator: str, scope: int, start: int, stop: int, step: int) -> Series:
        """An indicator's values over time at a scope row: start <= t < stop, about `step` ms apart (0 = as kept)."""

    def explain(
        self, indicator: str, scope: int, at: int | None, parameter: str, after: str, limit: int
    ) -> tuple[Past, Explanation]:
        """Why an indicator has its value at a scope row, now or at a time of the past (ms UTC).

        Raises ValueError for an `after` that no page gave, Refused.
        """

    def as_of(self, indicator: str, at: int) -> tuple[Past, Values]:
        """Values of an indicator at a time of the past (ms UTC). Raises Refused."""

    def layers(self) -> Sequence[str]:
        """Names of the map layers."""

    def layer(self, name: str) -> bytes | None:
        """A map layer as GeoJSON bytes; None if there is none."""

    def deadletters(self) -> Mapping[str, Any]:
        """`total`, `by_reason`, `by_source`, `newest`."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one ingest call; `rejected`: index, reason, field, detail of each event not taken."""

    accepted: int
    duplicates: int
    position: int
    rejected: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


class Refused(Exception):
    """The whole call was refused: an HTTP status, a short code, a title and a sentence; `retry_after` in seconds.

    `known`: what helps whoever asked, by name.
    """

    def __init__(
        self, status: int, code: str, title: str, detail: str, retry_after: int = 0,
        known: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status, self.code, self.title, self.detail, self.retry_after = status, code, title, detail, retry_after
        self.known = dict(known or {})


class Ingest(Protocol):
    """The door for events."""

    content_types: Sequence[str]
    max_bytes: int

    def submit(self, body: bytes, content_type: str) -> Future[Taken]:
        """Decode on the calling (worker) thread and hand over; resolves once the log has it. Raises Refused."""


class Health(Protocol):
    """How the application is."""

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether it can serve, and facts in plain words."""

    def metrics(self) -> bytes:
        """Own metrics as Prometheus text."""


class Workshop(Protocol):
    """The modeler's workshop; each call is made on a worker thread."""

    def state(self) -> Sequence[Mapping[str, Any]]:
        """Every indicator: `id`, `origin`, `version`, `checked_at`, `error`, `quarantined`, `cost_us`, `bytes`."""

    def files(self) -> Sequence[Mapping[str, Any]]:
        """Files of the plugins folder: what they are now, what of them is in force, what is wrong with them."""

    def edits(self) -> Sequence[Mapping[str, Any]]:
        """The newest edits of plugin files, newest first."""


class Ops(Protocol):
    """How the running system is, of one process or of a cluster."""

    def state(self) -> OpsState:
        """The state now with its verdicts; called on a worker thread, not to be changed."""
