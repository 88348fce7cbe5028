"""A tiny city to try an indicator in: give it events as plain dictionaries, move its clock, read values.

The fixtures `city`, `feed` and `at` of the pytest plugin are this city; a notebook can use it as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from citytwin.engine import Engine
from citytwin.indicators.api import Indicator, Spec, describe_class, duration_ms
from citytwin.indicators.loading import NotAnIndicator, load_text
from citytwin.indicators.registry import Registry, installed
from citytwin.models.batch import Changes, Rejection
from citytwin.models.frame import Quality
from citytwin.models.vocabulary import Kind
from citytwin.streams.codec import Codec
from citytwin.testing import START_MS, TinyCity

_OFFSET = re.compile(r"([+-])(\d+(?:ms|s|m|h|d))")
_ENVELOPE = ("type", "id", "source", "subject", "time", "lon", "lat", "corrects", "revision", "retracted")

#: What `use` takes: a declared indicator, or a file of them.
Usable = Spec | type[Indicator] | Path | str


class RefusedEvent(AssertionError):
    """The city did not take an event of a test; the text says which and why."""


class SmallCity:
    """Two districts of two streets of two communities of two grids, 32 devices D00 to D31, and your indicators.

    It begins at START_MS, 2026-07-08 14:00 UTC. `districts`, `grids`: their codes; `code`: the city's.
    """

    def __init__(self) -> None:
        self.city = TinyCity()
        self.now = START_MS
        self.code = self.city.scopes.code[0]
        self.grids = self.city.grid_codes()
        self.districts = [self.city.scopes.code[r] for r in self.city.scopes.at_level(1).tolist()]
        #: Events that turned out to be illegal a minute after they were fed, as a case's move that it cannot make.
        self.refused: list[Rejection] = []
        self._registry = Registry()
        self._engine: Engine | None = None
        self._codec = Codec(self.city.vocabulary, b"a secret of tests")
        self._fed = 0
        self._stale = False

    @property
    def engine(self) -> Engine:
        """The engine behind it, made when first needed."""
        if self._engine is None:
            self._engine = Engine(self.city, self._registry)
            self._engine.tick(self.now, 0)
        return self._engine

    def use(self, *what: Usable) -> Spec:
        """Put indicators on the board, with those that they read; returns the last one.

        A file may declare several. Raises NotAnIndicator, FileNotFoundError; RuntimeError after the first event.
        """
        if self._engine is not None:
            raise RuntimeError("use(...) comes before the first event: make the board, then feed it")
        if not what:
            raise TypeError("name an indicator or a file of them, as in city.use('plugins/my_rate.py')")
        specs = [s for w in what for s in _specs(w)]
        self._registry.add(s for s in specs if s.id not in self._registry)
        self._registry.add(s for s in needed(specs, installed()) if s.id not in self._registry)
        return specs[-1]

    def feed(self, *events: Mapping[str, Any]) -> Changes:
        """Take events in, all at once. Raises RefusedEvent for one that a real city would refuse too.

        An event is {"type": ...} with the fields of its type beside it. Left out: `time` is now, `id` a new one,
        `source` "test", `scope` (any scope's code) the first grid. Times may be written "-10m", "+2h".
        """
        decoded = self._codec.decode(msgspec.json.encode([self._cloud(e) for e in events]), _BATCH)
        refused = [(r.index, r) for r in decoded.rejections]
        done: list[Changes] = []
        for batch, index in zip(decoded.batches, decoded.index, strict=True):
            found = self.engine.feed(batch, 0)
            refused += [(int(index[r.index]), r) for r in found.rejected]
            done.append(found)
        self._stale = True
        if refused:
            at, why = min(refused, key=lambda pair: pair[0])
            kind = events[at].get("type")
            raise RefusedEvent(f"event {at} ({kind}) is refused: {why.reason}: {why.detail} ({why.field})")
        names = ("accepted", "duplicates", "late", "corrected")
        return Changes(**{n: sum(getattr(c, n) for c in done) for n in names})

    def _cloud(self, event: Mapping[str, Any]) -> dict[str, Any]:
        kind = self.city.vocabulary.types.get(str(event.get("type")))
        if kind is None:
            known = sorted(self.city.vocabulary.types)
            raise RefusedEvent(f"there is no event type {event.get('type')!r}; there are {', '.join(known)}")
        self._fed += 1
        out: dict[str, Any] = {"specversion": "1.0", "source": "test", "id": f"t{self._fed}", "time": self._time(0)}
        out |= {k: v for k, v in event.items() if k in _ENVELOPE}
        out["time"] = self._time(out["time"])
        if "scope" in event or not ({"lon", "lat", "corrects"} & set(event) or self._placed(event)):
            out["gridid"] = event.get("scope", self.grids[0])
        times = {f.name for f in kind.fields if f.kind is Kind.TIME}
        rest = {k: v for k, v in event.items() if k not in (*_ENVELOPE, "scope")}
        out["data"] = {k: self._time(v) if k in times else v for k, v in rest.items()}
        return out

    def _placed(self, event: Mapping[str, Any]) -> bool:
        """Whether the event is about an entity that has a place."""
        return self.city.entities.row(str(event.get("subject", ""))) >= 0

    def _time(self, value: Any) -> Any:
        """A time as text: given in ms, as "-10m" from now, or as it is."""
        if isinstance(value, str) and (found := _OFFSET.fullmatch(value)):
            value = duration_ms(found[2]) * (-1 if found[1] == "-" else 1)
            value += self.now
        elif value == 0:
            value = self.now
        if isinstance(value, int):
            return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
        return value

    def at(self, when: str | int) -> int:
        """Move the clock and tick: "+5m" from now, or ms UTC; never back. Returns the time (ms UTC)."""
        found = _OFFSET.fullmatch(when) if isinstance(when, str) else None
        if isinstance(when, str) and (found is None or found[1] == "-"):
            raise ValueError(f"{when!r}: write how far to go on, as in +5m, or a time in ms UTC")
        then = self.now + duration_ms(found[2]) if found else int(when)
        if then < self.now:
            raise ValueError(f"the clock does not go back: it is {self.now} now")
        self.now, self._stale = then, False
        self.refused += self.engine.tick(then, 0).refused
        return then

    def value(self, id: str, scope: str = "") -> float | None:
        """Value of an indicator at a scope (its code, "" = the city); None where it has none.

        KeyError for an unknown indicator or scope. AssertionError with the error of an indicator that raised.
        """
        line, row = self._line(id), self.city.scopes.row(scope) if scope else 0
        if row < 0:
            raise KeyError(f"there is no scope {scope}; districts are {', '.join(self.districts)}")
        found = float(line.value[row])
        return None if np.isnan(found) else found

    def values(self, id: str) -> dict[str, float]:
        """All values of an indicator by the code of the scope."""
        value, codes = self._line(id).value, self.city.scopes.code
        return {codes[r]: float(value[r]) for r in np.flatnonzero(~np.isnan(value)).tolist()}

    def quality(self, id: str, scope: str = "") -> str:
        """Quality of a value: good, provisional, partial, stale, nodata, error."""
        row = self.city.scopes.row(scope) if scope else 0
        return Quality(int(self._line(id).quality[row])).name.lower()

    def _line(self, id: str) -> Any:
        if id not in self._registry:
            known = ", ".join(s.id for s in self._registry) or "none yet; call city.use(...) first"
            raise KeyError(f"{id} is not on the board: {known}")
        if self._stale:
            self.at(self.now)
        line = self.engine.board.lines[id]
        if line.error:
            raise AssertionError(f"{id} raised {line.error}")
        return line


_BATCH = "application/cloudevents-batch+json"


def _specs(what: Usable) -> Sequence[Spec]:
    if isinstance(what, Spec):
        return [what]
    if isinstance(what, type):
        return [describe_class(what)]
    path = Path(what)
    if not path.is_file():
        raise NotAnIndicator(f"{path}: no such file")
    return load_text(path.name, path.read_text("utf-8")).specs


def needed(specs: Sequence[Spec], known: Registry) -> list[Spec]:
    """Indicators that these read, directly or not, and that are not among them; unknown ones are left out."""
    here, out = {s.id for s in specs}, dict[str, Spec]()
    todo = list(specs)
    while todo:
        for agg in todo.pop().params.values():
            if agg.kind == "ind" and agg.table not in here and agg.table not in out and agg.table in known:
                out[agg.table] = known[agg.table]
                todo.append(known[agg.table])
    return list(out.values())
