"""How the running system is: one document for a city in one process and for a cluster, as `/api/v1/ops` answers."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

#: The state holds at most so many sources and reasons; `more` counts the others.
SOURCES_MAX = 200


class ShardState(Struct, kw_only=True):
    """A share of the events with the process that works on it; times in ms UTC, ages in seconds.

    `owner` "" = nobody. `k`: last tick marker that it told its part of; `lag_*`: how far it is behind the newest one;
    `events`: taken in since the log began; `rate` events/s; `bytes`: its newest checkpoint on disk, of the marker
    `checkpoint_k` (0: not known, or none yet); `checkpoint_age_s`: since then, or since the process began; `next`: the
    position that it reads next.
    """

    shard: int | Literal["desk"]
    owner: str = ""
    k: int = 0
    lag_records: int = 0
    lag_ms: int = 0
    events: int = 0
    rate: float = 0.0
    bytes: int = 0
    checkpoint_k: int = 0
    checkpoint_age_s: float | None = None
    next: int = 0
    state: Literal["ok", "late", "missing"] = "ok"


class MemberState(Struct, kw_only=True):
    """A process; `seen_s`: seconds since it last gave a sign of life; a standby is not `active`."""

    role: Literal["worker", "clock", "gateway", "bridge", "city"]
    id: str
    seen_s: float = 0.0
    active: bool = True
    shards: list[int | Literal["desk"]] = []


class FramesState(Struct, kw_only=True):
    """The frames: newest final one; how many went out provisional since the start; those that are open, and why.

    `open`: markers whose final frame is still to come; `missing`: shards whose part is waited for; `waiting_s`: how
    long the oldest open one has waited; `still_s`: how long no final frame came (seconds).
    """

    final: int = 0
    provisional: int = 0
    open: list[int] = []
    missing: list[int | Literal["desk"]] = []
    waiting_s: float = 0.0
    still_s: float = 0.0


class SourceState(Struct, kw_only=True):
    """A source of events: newest event time (ms UTC), its age, how often it should come; null = never, not said."""

    source: str
    watermark: int | None = None
    age_s: float | None = None
    period_s: float | None = None
    state: Literal["ok", "late", "stale"] = "ok"


class LettersState(Struct, kw_only=True):
    """Events that were not taken and wait; `ever`: with those that went at the bound; `recent`: of the last minute."""

    total: int = 0
    by_reason: dict[str, int] = {}
    ever: int = 0
    recent: int = 0


class StoreState(Struct, kw_only=True):
    """The log: `ok` or why it takes nothing; null bytes = not known here (the broker's own disks)."""

    state: str = "ok"
    bytes: int | None = None
    free_bytes: int | None = None


class HistoryState(Struct, kw_only=True):
    """The store of past values, the one in trouble where there are several: `spilled_bytes` wait on disk meanwhile.

    `dropped`: points that are lost, at a bound or because the store never takes them; `recent`: of the last minute.
    """

    store: str = ""
    written: int = 0
    errors: int = 0
    spilled_bytes: int = 0
    dropped: int = 0
    recent: int = 0
    lag_s: float = 0.0
    error: str = ""


class Verdict(Struct, kw_only=True):
    """What is wrong, or that nothing is, in plain words, and what to do about it."""

    level: Literal["ok", "warn", "alarm"]
    code: str
    zh: str
    en: str
    do_zh: str = ""
    do_en: str = ""


class OpsState(Struct, kw_only=True):
    """The whole state at `now` (ms UTC); `k`: newest tick marker. `more_sources`: left out of `sources`."""

    mode: Literal["single", "cluster"]
    now: int
    k: int = 0
    shards: list[ShardState] = []
    members: list[MemberState] = []
    frames: FramesState = field(default_factory=FramesState)
    sources: list[SourceState] = []
    more_sources: int = 0
    deadletters: LettersState = field(default_factory=LettersState)
    log: StoreState = field(default_factory=StoreState)
    history: HistoryState | None = None
    verdicts: list[Verdict] = []

    @property
    def level(self) -> Literal["ok", "warn", "alarm"]:
        """The gravest level of the verdicts."""
        levels = {v.level for v in self.verdicts}
        return "alarm" if "alarm" in levels else "warn" if "warn" in levels else "ok"
