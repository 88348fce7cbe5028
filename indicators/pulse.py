"""The pulse of the sources: who says which types of events, and who is silent for two of its periods."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

import numpy as np

from citytwin.indicators.quality import DEFAULT_PERIOD_S, PERIODS
from citytwin.models.batch import EventBatch
from citytwin.models.columns import MISSING, Int64
from citytwin.models.vocabulary import EventType

_NEVER = 2**62


class Declared(Protocol):
    """A source as a city pack declares it: `types` are patterns of the event types that it says, as in `case.*`."""

    @property
    def id(self) -> str: ...

    @property
    def period_s(self) -> float: ...

    @property
    def types(self) -> Sequence[str]: ...


class Pulse:
    """Newest event time of every source that feeds an indicator: of event time, so that a replay sees the same.

    A feed is the name of a type or family. Its sources are those that the pack declares for a type of it, and any
    other that ever said one. A source counts as a whole: one that says calls and cases is alive by either.
    """

    def __init__(self, declared: Iterable[Declared], types: Iterable[EventType]) -> None:
        self._declared = {s.id: s for s in declared}
        self._types = list(types)
        self._feeds: dict[str, list[str]] = {}
        self._expected: dict[str, set[str]] = {}
        self.times: dict[str, int] = {}

    def want(self, feed: str) -> SourceInputs:
        """Watch the sources of a type or family. KeyError for an unknown one."""
        types = [t.name for t in self._types if feed in (t.name, t.family)]
        if not types:
            raise KeyError(f"no event type or family {feed!r} to feed an indicator")
        if feed not in self._expected:
            says = {i: [n for n in types for p in s.types if fnmatchcase(n, p)] for i, s in self._declared.items()}
            self._expected[feed] = {id for id, names in says.items() if names}
            for name in types:
                self._feeds.setdefault(name, []).append(feed)
        return SourceInputs(self, feed)

    def keep(self, feeds: Collection[str]) -> None:
        """Watch the sources of these feeds only."""
        self._expected = {f: s for f, s in self._expected.items() if f in feeds}
        for name, watched in self._feeds.items():
            self._feeds[name] = [f for f in watched if f in feeds]

    def note(self, batch: EventBatch) -> None:
        """Take in what was accepted of a batch."""
        feeds, names = self._feeds.get(batch.type, ()), batch.source.names
        newest = np.full(len(names) + 1, MISSING, np.int64)
        np.maximum.at(newest, batch.source.codes, batch.time)
        for name, time in zip(map(str, names), newest[:-1].tolist(), strict=True):
            if time == MISSING or not (feeds or name in self._declared):
                continue
            self.times[name] = max(self.times.get(name, MISSING), time)
            for feed in feeds:
                self._expected[feed].add(name)

    def hear(self, times: Mapping[str, int], feeds: Mapping[str, Iterable[str]]) -> None:
        """Take in what another pulse heard: newest times, and who says what feeds an indicator."""
        for source, time in times.items():
            self.times[source] = max(self.times.get(source, MISSING), time)
        for feed, sources in feeds.items():
            if feed in self._expected:
                self._expected[feed] |= set(sources)

    def _until(self, source: str) -> float:
        """When a source that was heard becomes stale (ms)."""
        declared = self._declared.get(source)
        return self.times[source] + (declared.period_s if declared else DEFAULT_PERIOD_S) * 1000 * PERIODS

    def count(self, feed: str, now: int) -> tuple[int, int, int]:
        """Sources of a feed that are in time, were ever heard, and are expected."""
        heard = [s for s in self._expected[feed] if s in self.times]
        return sum(now < self._until(s) for s in heard), len(heard), len(self._expected[feed])

    def next_due(self, now: int) -> int:
        """The earliest time after now at which a source becomes stale."""
        sources = {s for of in self._expected.values() for s in of if s in self.times}
        return min((int(np.ceil(t)) for t in map(self._until, sources) if t > now), default=_NEVER)

    def state(self) -> dict[str, dict[str, object]]:
        """Plain values for a snapshot."""
        return {"times": dict(self.times), "feeds": {f: sorted(s) for f, s in self._expected.items()}}

    def load(self, state: Mapping[str, Mapping[str, object]]) -> None:
        """Restore the feeds that the snapshot has."""
        self.times = {str(k): int(str(v)) for k, v in state["times"].items()}
        for feed, sources in state["feeds"].items():
            if feed in self._expected and isinstance(sources, list):
                self._expected[feed] |= set(map(str, sources))


class SourceInputs:
    """Sources as the inputs of a feed: they belong to the city, so every scope counts all of them."""

    blank = True

    def __init__(self, pulse: Pulse, feed: str) -> None:
        self._pulse, self._feed = pulse, feed
        self._now = 0
        self._counts, self._moved = (-1, -1, -1), True

    def look(self, now: int) -> None:
        """Count again at a time."""
        counts = self._pulse.count(self._feed, now)
        self._moved = counts != self._counts
        self._counts = counts

    def counts(self) -> tuple[Int64, Int64, Int64]:
        """Fresh, heard, expected: one number each, for all scopes."""
        fresh, heard, expected = np.array(self._counts, np.int64)[:, None]
        return fresh, heard, expected

    def moved(self) -> bool:
        """Whether a number differs since the last look."""
        return self._moved
