"""What the way out reads of the running city: the board for the hub, plain facts for HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin import desking
from citytwin.dashboards.ports import Page, Past, Refused, Series
from citytwin.engine import Engine
from citytwin.facts import OVER, case_facts
from citytwin.geo.scopes import ScopeTree
from citytwin.historian import Historian, HistoryError
from citytwin.indicators.api import Spec
from citytwin.indicators.evidence import place_of
from citytwin.indicators.explain import explain
from citytwin.indicators.told import Explanation
from citytwin.indicators.trend import MINUTE_MS
from citytwin.models.columns import MISSING, Coded, Int32, Int64, Strings
from citytwin.models.entities import KINDS
from citytwin.models.frame import Delta, Frame, Values
from citytwin.models.vocabulary import EventType
from citytwin.past import Past as PastCity
from citytwin.questions import Questions
from citytwin.runtime import Runtime
from citytwin.streams.deadletters import DeadLetters

_EXTRA = {
    "device": ("properties", "observes"),
    "facility": ("facility_kind",),
    "grid": ("population",),
    "house": (),
    "map": ("map_kind", "height_m"),
}


class Views:
    """Reads of one runtime; each runs between two steps of the engine, in its thread."""

    def __init__(
        self, runtime: Runtime, engine: Engine, letters: DeadLetters | None, past: PastCity | None = None,
        history: Historian | None = None,
    ) -> None:  # fmt: skip
        self.runtime, self.engine, self.letters, self._past = runtime, engine, letters, past
        self._history = history
        self._questions = Questions(runtime, engine, time.monotonic)
        self.city: Any = engine.city  # a pack, or a test's city that has no layers
        #: The newest ticker entries, oldest first.
        self.ticker: tuple[Mapping[str, Any], ...] = ()

    def entities(self, kind: str, rows: Int32 | None = None) -> Delta:
        """Rows of a twin table with what pages show: given rows in the engine's thread, all from another."""
        if rows is not None:
            return self._delta(rows, kind)
        return self.runtime.call(lambda: self._delta(self.engine.entities.of_kind(kind), kind)).result()

    def note(self, frame: Frame) -> None:
        """Remember what is shown to who comes later; runs in the engine's thread."""
        self.ticker = (*self.ticker, *frame.ticker)[-200:]

    def ticked(self, frame: Frame) -> None:
        """Answer what was asked about this tick, after its frame was handed on; runs in the engine's thread."""
        self._questions.ticked(frame)

    def _delta(self, rows: Int32, kind: str) -> Delta:
        entities = self.engine.entities
        columns: dict[str, list[Any]] = {
            "code": [entities.code(r) for r in rows.tolist()],
            "name": [entities.name(r) for r in rows.tolist()],
            "lon": _plain(entities.lon, rows),
            "lat": _plain(entities.lat, rows),
            "scope": entities.scope[rows].tolist(),
        }
        for name in _EXTRA.get(kind, ()):
            try:
                columns[name] = _plain(entities.attr(name), rows)
            except KeyError:
                continue
        if kind == "device":
            self.engine.last_seen.resize(entities.n)
            columns["seen"] = _plain(self.engine.last_seen.data, rows)
            columns["value"] = self._newest(rows)
        gone = ~entities.alive(self.engine.now)[rows]
        if gone.any():
            columns["gone"] = gone.tolist()
        return Delta(rows, columns)

    def _newest(self, rows: Int32) -> list[dict[str, float] | None]:
        """Newest reading of each property of each entity, in physical units."""
        table = self.engine.newest.get("obs")
        if table is None:
            return [None] * len(rows)
        found: dict[int, dict[str, float]] = {}
        wanted = np.zeros(self.engine.entities.n + 1, np.bool_)
        wanted[rows] = True
        slots = np.flatnonzero(wanted[table.entity.data])
        owners = table.entity.data[slots].tolist()
        values, names = table.column("value", slots), table.column("property", slots)
        assert isinstance(values, np.ndarray)
        assert isinstance(names, Coded)
        for owner, name, value in zip(owners, names.tolist(), values.tolist(), strict=True):
            if value == value:  # noqa: PLR0124
                found.setdefault(owner, {})[str(name)] = value
        return [found.get(r) for r in rows.tolist()]

    # Reads

    def about(self) -> Mapping[str, Any]:
        """What pages need of the city."""
        city = self.city
        box = getattr(city, "box", None)
        center = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2] if box else None
        return {
            "name": city.name, "title": city.title, "timezone": city.timezone, "edition": city.edition,
            "bbox": list(box) if box else None, "center": center,
        }  # fmt: skip

    def page(
        self, kind: str, scope: int | None, bbox: tuple[float, float, float, float] | None, limit: int, after: str
    ) -> Page | None:
        """Entities of a kind ordered by code; None for a kind that does not exist."""
        if kind not in KINDS:
            return None
        return self.runtime.call(lambda: self._page(kind, scope, bbox, limit, after)).result()

    def _page(
        self, kind: str, scope: int | None, bbox: tuple[float, float, float, float] | None, limit: int, after: str
    ) -> Page:
        entities = self.engine.entities
        rows = entities.of_kind(kind)
        rows = rows[entities.alive(self.engine.now)[rows]]
        if scope is not None:
            rows = rows[self._inside(entities.scope[rows], scope)]
        if bbox is not None:
            lon, lat = entities.lon[rows], entities.lat[rows]
            rows = rows[(lon >= bbox[0]) & (lon <= bbox[2]) & (lat >= bbox[1]) & (lat <= bbox[3])]
        ordered = sorted((c, r) for r in rows.tolist() if (c := entities.code(r)) > after)[: limit + 1]
        items = _rows(self._delta(np.array([r for _, r in ordered[:limit]], np.int32), kind))
        return Page(items, ordered[limit - 1][0] if len(ordered) > limit else "")

    def _inside(self, scopes: Int32, scope: int) -> NDArray[np.bool_]:
        level = int(self.engine.scopes.level[scope])
        found: NDArray[np.bool_] = (scopes >= 0) & (
            self.engine.scopes.ancestors()[np.maximum(scopes, 0), level] == scope
        )
        return found

    def entity(self, kind: str, code: str) -> Mapping[str, Any] | None:
        """One entity with `attributes`, `readings` and `relations`; None if there is none."""
        return self.runtime.call(lambda: self._entity(kind, code)).result()

    def _entity(self, kind: str, code: str) -> Mapping[str, Any] | None:
        entities = self.engine.entities
        row = entities.row(code)
        if row < 0 or kind not in KINDS or row not in entities.of_kind(kind):
            return None
        rows = np.array([row], np.int32)
        attributes, relations = {}, {}
        for field in KINDS[kind].fields:
            attributes[field.name] = _plain(entities.attr(field.name), rows)[0]
        for name in KINDS[kind].relations:
            other = int(np.asarray(entities.attr(name))[row])
            relations[name] = entities.code(other) if other >= 0 else None
        readings = (self._newest(rows)[0] or {}) if kind == "device" else {}
        facts = _rows(self._delta(rows, kind))[0]
        return {**facts, "attributes": attributes, "relations": relations, "readings": readings}

    def cases(
        self, scope: int | None, open: bool | None, limit: int, after: str, states: frozenset[str] = frozenset()
    ) -> Page:
        """Cases ordered by code."""
        return self.runtime.call(lambda: self._case_page(scope, open, limit, after, states)).result()

    def open_cases(self) -> list[dict[str, Any]]:
        """Every case that is not over."""
        return desking.open_rows(self.engine, self._cases(None, True))

    def desk_rows(self, part: str) -> Sequence[Mapping[str, Any]]:
        """What is open of a part of the desk; none where it has no such part."""
        return desking.rows(self.engine, part)

    def _case_page(self, scope: int | None, open: bool | None, limit: int, after: str, states: frozenset[str]) -> Page:
        some = (c for c in self._cases(scope, open, states) if c["code"] > after)
        found = sorted(some, key=lambda c: str(c["code"]))
        page = desking.open_rows(self.engine, found[:limit])
        return Page(page, str(found[limit - 1]["code"]) if len(found) > limit else "")

    def _cases(
        self, scope: int | None, open: bool | None, states: frozenset[str] = frozenset()
    ) -> list[dict[str, Any]]:
        table = self.engine.cases
        if table is None:
            return []
        rows: Int64 = np.arange(len(table.code.strings), dtype=np.int64)
        if scope is not None:
            rows = rows[self._inside(table.scopes(rows), scope)]
        state = table.column("state", rows)
        assert isinstance(state, Coded)
        over = np.isin(state.codes, [i for i, n in enumerate(state.names) if n in OVER]) | (state.codes < 0)
        if open is not None:
            rows = rows[~over if open else over]
        if states:
            wanted = np.isin(state.codes, [i for i, n in enumerate(state.names) if n in states])
            rows = rows[wanted if open is None else wanted[~over if open else over]]
        return [{**c, "open": c["state"] not in OVER} for c in case_facts(table, rows)]

    def find(self, text: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """Entities whose code or name holds the text."""
        return self.runtime.call(lambda: self._find(text.casefold(), limit)).result()

    def _find(self, text: str, limit: int) -> list[Mapping[str, Any]]:
        entities = self.engine.entities
        found: list[Mapping[str, Any]] = []
        kinds = tuple(KINDS)
        for row in range(entities.n):
            code, name = entities.code(row), entities.name(row)
            if text in code.casefold() or text in name.casefold():
                rows, kind = np.array([row], np.int32), kinds[int(entities.kind[row])]
                found.append({"kind": kind, **_rows(self._delta(rows, kind))[0]})
                if len(found) >= limit:
                    break
        return found

    def series(self, indicator: str, scope: int, start: int, stop: int, step: int) -> Series:
        """An indicator's values over time at a scope row, about `step` ms apart; 0: each minute, older ones as kept.

        The last day of the city and its districts is in memory; what is older, or of other scopes, the history has.
        """
        t, v = self.runtime.call(lambda: self.engine.trend.series(indicator, scope, start, stop - 1)).result()
        since = int(t[0]) if len(t) else stop
        if self._history is not None and start < since:
            try:
                older = self._history.series(indicator, scope, start, since, max(step, MINUTE_MS) if step else 0)
            except HistoryError as error:
                raise Refused(503, "no_history", "Service Unavailable", str(error), 10) from error
            t, v = np.concatenate([older.time, t]), np.concatenate([older.value, v])
        if step > 0 and len(t):
            _, last = np.unique(t[::-1] // step, return_index=True)
            pick = np.sort(len(t) - 1 - last)
            t, v = t[pick], v[pick]
        return Series(t, v)

    def explain(
        self, indicator: str, scope: int, at: int | None, parameter: str, after: str, limit: int
    ) -> tuple[Past, Explanation]:
        """Why an indicator has its value at a scope row, now or at a time of the past (ms UTC).

        Raises ValueError for an `after` that no page gave, Refused.
        """
        given = {"parameter": parameter, "after": after, "limit": limit}
        if at is not None:
            now, position, differ, told = self._ask_past(at, "explain", indicator, {**given, "row": scope})
            return Past(now, position, differ), told
        engine = self.engine

        def run() -> tuple[Past, Explanation]:
            return Past(engine.now, engine.position), explain(engine, indicator, scope, **given)  # type: ignore[arg-type]

        return self._questions.ask(run)

    def as_of(self, indicator: str, at: int) -> tuple[Past, Values]:
        """Values of an indicator at a time of the past (ms UTC). Raises Refused."""
        now, position, differ, values = self._ask_past(at, "values", indicator, {})
        return Past(now, position, differ), values

    def _ask_past(self, at: int, question: str, indicator: str, given: Mapping[str, Any]) -> tuple[int, int, bool, Any]:
        if self._past is None:
            detail = "this city keeps no log that could be replayed; leave `at` away"
            raise Refused(404, "no_past", "Not Found", detail)
        if after := given.get("after"):
            place_of(after)
        return self._past.ask(at, self.engine.registry.hash(), question, indicator, given)

    def layers(self) -> Sequence[str]:
        """Names of the map layers."""
        names = getattr(self.city, "layer_names", None)
        return list(names()) if names else []

    def layer(self, name: str) -> bytes | None:
        """A map layer as GeoJSON bytes."""
        if name not in self.layers():
            return None
        return bytes(self.city.layer(name))

    def deadletters(self) -> Mapping[str, Any]:
        """Open dead letters: how many, why, the newest."""
        if self.letters is None:
            return {"total": 0, "by_reason": {}, "by_source": {}, "newest": []}
        newest = [
            {"id": x.id, "t": x.seen_ms, "reason": x.reason, "field": x.field, "detail": x.detail, "source": x.source}
            for x in self.letters.list(limit=50)
        ]
        counts = self.letters.counts()
        sources = self.letters.sources()
        return {"total": sum(counts.values()), "by_reason": counts, "by_source": sources, "newest": newest}

    # Health

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether the city can serve: the engine runs, the log takes records, a frame was made."""
        status = self.runtime.status
        ok = not status["failed"] and status["log"] == "ok" and self.engine.k > 0
        return ok, {
            **status,
            "position": self.runtime.position,
            "now": self.engine.now,
            "waiting": self.runtime.waiting,
        }

    def metrics(self) -> bytes:
        """Own metrics as Prometheus text."""
        return self.runtime.metrics.text()


class CityBoard:
    """The state as the hub takes it before the first frame, and the twin tables when somebody asks for one."""

    def __init__(self, views: Views) -> None:
        self._views, self._engine = views, views.engine
        #: Time and log position of the state that the hub begins with.
        self.now, self.position = self._engine.now, self._engine.position

    @property
    def scopes(self) -> ScopeTree:
        """The scope tree."""
        return self._engine.scopes

    @property
    def types(self) -> Mapping[str, EventType]:
        """Event types of the vocabulary by name."""
        return self._engine.vocabulary.types

    def specs(self) -> Sequence[Spec]:
        """Every indicator that is in force."""
        return list(self._engine.registry)

    def current(self, indicator: str) -> Values:
        """Newest values of one indicator."""
        return self._engine.current(indicator)

    def kinds(self) -> Sequence[str]:
        """Twin tables that may be subscribed."""
        return tuple(KINDS)

    def entities(self, kind: str, rows: Int32 | None = None) -> Delta:
        """Rows of a twin table, all by default, with the columns of its frame deltas."""
        return self._views.entities(kind, rows)

    def cases(self) -> Sequence[Mapping[str, Any]]:
        """The open cases."""
        return self._views.open_cases()

    def desk(self, part: str) -> Sequence[Mapping[str, Any]]:
        """What is open of a part of the desk."""
        return self._views.desk_rows(part)

    def ticker(self) -> Sequence[Mapping[str, Any]]:
        """The newest ticker entries; before the first frame there are none."""
        return self._views.ticker


def _plain(column: Any, rows: NDArray[np.integer[Any]]) -> list[Any]:
    if isinstance(column, Coded):
        return column.take(rows).tolist()
    if isinstance(column, Strings):
        return [column[r] or None for r in rows.tolist()]
    values = np.asarray(column)[rows]
    if values.dtype.kind == "f":
        return [None if v != v else v for v in values.tolist()]  # noqa: PLR0124
    return [None if v == MISSING else v for v in values.tolist()]


def _rows(delta: Delta) -> list[dict[str, Any]]:
    names = list(delta.columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*delta.columns.values(), strict=True)]
