"""The HTTP reads: values come from the hub (the frame that pages show), the rest through the ports."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin.dashboards import answers as a
from citytwin.dashboards import encode, problems
from citytwin.dashboards.asking import asked, box, chosen, millis, row_of, spec_of, whole
from citytwin.dashboards.definitions import definition
from citytwin.dashboards.hub import Hub
from citytwin.dashboards.people import Person, note_personal, person_of, scope_for
from citytwin.dashboards.ports import Board, CityReads, Health, Page, Workshop
from citytwin.dashboards.problems import Trouble
from citytwin.dashboards.seeing import CHUNK, at_scope, cut, page_of, shown
from citytwin.dashboards.whys import Whys
from citytwin.geo.scopes import LEVELS
from citytwin.indicators.api import Spec
from citytwin.models.lifecycle import STATES

Read = Callable[[Request], Awaitable[Response]]


class Api:
    """Handlers of the reads."""

    def __init__(
        self, hub: Hub, board: Board, reads: CityReads, health: Health, version: str, workshop: Workshop | None = None,
        more_metrics: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:  # fmt: skip
        self.hub, self.board, self.reads, self.health, self.version = hub, board, reads, health, version
        self.whys = Whys(hub, board, reads, workshop)
        self.tree, self.more_metrics = hub.tree, more_metrics
        self._zipped: dict[str, tuple[int, bytes]] = {}

    def routes(self) -> list[Route]:
        """All reads by their addresses."""
        v1: dict[str, Read] = {
            "/city": self.city,
            "/indicators": self.indicators,
            "/indicators/{id}": self.indicator,
            "/indicators/{id}/values": self.values,
            "/scopes": self.scopes,
            "/scopes/{code}": self.scope,
            "/entities/{kind}": self.entities,
            "/entities/{kind}/{code:path}": self.entity,
            "/cases": self.cases,
            "/search": self.search,
            "/layers": self.layers,
            "/layers/{name}": self.layer,
            "/deadletters/summary": self.deadletters,
        }
        plain: dict[str, Read] = {
            "/livez": self.livez,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
            "/version": self.about,
        }
        paths = {f"/api/v1{path}": read for path, read in v1.items()} | plain
        return [*(Route(path, read, methods=["GET"]) for path, read in paths.items()), *self.whys.routes()]

    def _when(self) -> tuple[int, int]:
        return self.hub.now, self.hub.position

    def _row(self, code: str | None) -> int | None:
        return None if code is None else row_of(self.tree, code)

    async def city(self, request: Request) -> Response:
        """The city."""
        asked(request)
        about, layers = await asyncio.to_thread(lambda: (dict(self.reads.about()), list(self.reads.layers())))
        known = {k: about.get(k) for k in ("bbox", "center")}
        words = (str(about.get("name", "")), dict(about.get("title", {})), str(about.get("timezone", "UTC")))
        kinds = list(self.board.kinds())
        return problems.json(
            a.City(*self._when(), *words, str(about.get("edition", "")), **known, layers=layers, kinds=kinds)  # type: ignore[arg-type]
        )

    async def indicators(self, request: Request) -> Response:
        """All definitions."""
        asked(request)
        specs, types, raised = self.board.specs(), self.board.types, self._errors()
        items = await asyncio.to_thread(lambda: [definition(s, specs, types, raised.get(s.id)) for s in specs])
        return problems.json(a.Indicators(*self._when(), self.hub.definitions, items))

    async def indicator(self, request: Request) -> Response:
        """One definition."""
        asked(request)
        spec = spec_of(self.board, request)
        found = definition(spec, self.board.specs(), self.board.types, self._errors().get(spec.id))
        return problems.json(a.OneIndicator(*self._when(), found))

    def _errors(self) -> Mapping[str, str]:
        """What indicators raised in the newest frame, by id."""
        return dict(self.hub.facts.values.get("errors") or {})

    async def values(self, request: Request) -> Response:
        """Newest values by scope, those of a time of the past, or values over time at one scope."""
        q = asked(request, "scope", "level", "depth", "from", "to", "step", "at")
        spec, person = spec_of(self.board, request), person_of(request)
        if "from" in q or "to" in q:
            if "at" in q:
                raise Trouble(400, "parameter", "give at, or from and to")
            return await self._series(spec, q, person)
        if self.whys.time_of(q) is not None:
            return await self.whys.values(spec, q, person)
        table = self.hub.tables[spec.id]
        mask = cut(person, "ind", chosen(q, self.tree), q.get("scope"))
        seq = table.seq[: len(mask)]
        rows = np.flatnonzero((seq > 0) & mask[: len(seq)])
        columns = encode.columns(rows, table, self.hub.bands[spec.id])
        known = encode.dictionary(self.tree, rows)
        at = millis(q["at"], "at") if "at" in q else None
        return problems.json(a.IndicatorValues(*self._when(), spec.id, scopes=known, values=columns, asked=at))

    async def _series(self, spec: Spec, q: dict[str, str], person: Person) -> Response:
        if "level" in q or "depth" in q:
            raise Trouble(400, "parameter", "values over time are of one scope: leave level and depth away")
        stop = millis(q["to"], "to") if "to" in q else self.hub.now + 1
        start = millis(q["from"], "from") if "from" in q else stop - 86_400_000
        step = whole(q, "step", 0, 0, 31 * 86_400_000)
        scope = q.get("scope", self.tree.code[0])
        row = self._row(scope)
        assert row is not None
        at_scope(person, "ind", row)
        found = await asyncio.to_thread(self.reads.series, spec.id, row, start, stop, step)
        points = a.Points(found.t.tolist(), found.v.tolist())
        return problems.json(a.IndicatorValues(*self._when(), spec.id, scope=scope, series=points))

    async def scopes(self, request: Request) -> Response:
        """Scopes as columns, of one level or below one scope."""
        q = asked(request, "level", "parent")
        if q.get("level") not in (None, *LEVELS):
            raise Trouble(400, "parameter", f"level is one of {', '.join(LEVELS)}")
        keep = np.ones(len(self.tree), np.bool_)
        if "level" in q:
            keep &= self.tree.level[: len(keep)] == LEVELS.index(q["level"])
        if "parent" in q:
            keep &= self.tree.parent[: len(keep)] == self._row(q["parent"])
        found = encode.dictionary(self.tree, np.flatnonzero(keep))
        return problems.tagged(
            request, msgspec.json.encode(found), lambda: problems.json(a.Scopes(*self._when(), found))
        )

    def _short(self, row: int) -> a.Scope:
        tree = self.tree
        return a.Scope(row, tree.code[row], tree.name[row], tree.name_en[row], int(tree.level[row]))

    async def scope(self, request: Request) -> Response:
        """One scope with its path and children."""
        asked(request)
        row = self._row(request.path_params["code"])
        assert row is not None
        path = [self._short(r) for r in reversed(self.tree.path(row))]
        children = [self._short(int(r)) for r in self.tree.children(row)]
        short = self._short(row)
        item = a.ScopeDetail(short.k, short.code, short.name, short.name_en, short.level, path, children)
        return problems.json(a.OneScope(*self._when(), item))

    async def entities(self, request: Request) -> Response:
        """A page of entities."""
        q = asked(request, "scope", "bbox", "limit", "after")
        kind, row, area = request.path_params["kind"], self._row(q.get("scope")), box(q)
        limit, person = whole(q, "limit", 100, 1, 10_000), person_of(request)
        row = scope_for(person, "twin", row)

        def read(most: int, after: str) -> Page | None:
            return self.reads.page(kind, row, area, most, after)

        page = await asyncio.to_thread(page_of, read, person, "twin", limit, q.get("after", ""))
        if page is None:
            raise Trouble(404, "unknown_kind", f"there is no kind {kind}")
        return problems.json(a.Entities(*self._when(), kind, [dict(i) for i in page.items], page.next))

    async def entity(self, request: Request) -> Response:
        """One entity."""
        asked(request)
        kind, code = request.path_params["kind"], request.path_params["code"]
        item = await asyncio.to_thread(self.reads.entity, kind, code)
        item = shown(person_of(request), "twin", item) if item is not None else None
        if item is None:  # also for who may not see it: that it is there is not told
            raise Trouble(404, "unknown_entity", f"there is no {kind} {code}")
        answer = a.OneEntity(*self._when(), dict(item))
        return problems.tagged(request, msgspec.json.encode(answer.item), lambda: problems.json(answer))

    async def cases(self, request: Request) -> Response:
        """A page of cases."""
        q = asked(request, "scope", "open", "state", "limit", "after")
        if q.get("open") not in (None, "true", "false"):
            raise Trouble(400, "parameter", "open is true or false")
        states = frozenset(filter(None, q.get("state", "").split(",")))
        if not states <= set(STATES[1:]):
            raise Trouble(400, "parameter", f"state is some of {', '.join(STATES[1:])}, parted by commas")
        only = q["open"] == "true" if "open" in q else None
        limit, person = whole(q, "limit", 100, 1, 10_000), person_of(request)
        row = self._row(q.get("scope"))
        if row is not None:
            scope_for(person, "case", row)

        def read(most: int, after: str) -> Page:
            return self.reads.cases(row, only, most, after, states)

        page = await asyncio.to_thread(page_of, read, person, "case", limit, q.get("after", ""))
        assert page is not None
        note_personal(request, "case", page.items)
        return problems.json(a.Items(*self._when(), [dict(i) for i in page.items], page.next))

    async def search(self, request: Request) -> Response:
        """Places, indicators and entities whose code or name (zh, en) holds the text."""
        q = asked(request, "q", "limit")
        text, limit = q.get("q", "").strip(), whole(q, "limit", 20, 1, 100)
        if not text or len(text) > 100:
            raise Trouble(400, "parameter", "q is what to look for, at most 100 characters")
        hits = self._places(text.casefold(), limit) + self._measures(text.casefold(), limit)
        if len(hits) < limit:
            person = person_of(request)
            # who sees but a part is given what is theirs among more
            most = limit - len(hits) if person.view("twin").whole else CHUNK
            near = await asyncio.to_thread(self.reads.find, text, most)
            found = [f for one in near if (f := shown(person, "twin", one)) is not None]
            known = set(a.Hit.__struct_fields__)
            hits += [a.Hit(what="entity", **{k: v for k, v in f.items() if k in known - {"what"}}) for f in found]
        return problems.json(a.Hits(*self._when(), hits[:limit]))

    def _places(self, text: str, limit: int) -> list[a.Hit]:
        tree, out = self.tree, []
        for row in range(len(tree)):
            if text in tree.name[row] or text in tree.name_en[row].casefold() or tree.code[row].startswith(text):
                short = self._short(row)
                out.append(a.Hit("scope", short.code, short.name, short.name_en, level=short.level, scope=row))
                if len(out) >= limit // 2 + 1:
                    break
        return out

    def _measures(self, text: str, limit: int) -> list[a.Hit]:
        hits = [
            a.Hit("indicator", s.id, s.name.get("zh", s.id), s.name.get("en", ""), kind=s.theme)
            for s in self.board.specs()
            if text in s.id or any(text in name.casefold() for name in s.name.values())
        ]
        return hits[: limit // 2 + 1]

    async def layers(self, request: Request) -> Response:
        """Names of the layers."""
        asked(request)
        return problems.json(a.Layers(*self._when(), list(await asyncio.to_thread(self.reads.layers))))

    async def layer(self, request: Request) -> Response:
        """One layer as GeoJSON, gzipped once."""
        asked(request)
        name = request.path_params["name"]
        raw = await asyncio.to_thread(self.reads.layer, name)
        if raw is None:
            raise Trouble(404, "unknown_layer", f"there is no layer {name}")
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return problems.tagged(request, raw, lambda: Response(raw, media_type="application/geo+json"))
        packed = await asyncio.to_thread(self._gzip, name, raw)
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return problems.tagged(request, packed, lambda: Response(packed, 200, headers, "application/geo+json"))

    def _gzip(self, name: str, raw: bytes) -> bytes:
        known = self._zipped.get(name)
        if known is None or known[0] != hash(raw):
            known = self._zipped[name] = (hash(raw), gzip.compress(raw, 6, mtime=0))
        return known[1]

    async def deadletters(self, request: Request) -> Response:
        """What was not taken, counted."""
        asked(request)
        found = await asyncio.to_thread(self.reads.deadletters)
        total, reasons, sources = int(found["total"]), dict(found["by_reason"]), dict(found["by_source"])
        return problems.json(a.DeadLetters(*self._when(), total, reasons, sources, [dict(i) for i in found["newest"]]))

    async def livez(self, _: Request) -> Response:
        """The loop is alive."""
        return problems.json({"live": True})

    async def readyz(self, _: Request) -> Response:
        """Whether the city can be served; 503 with the facts when not."""
        ok, facts = self.health.ready()
        return Response(msgspec.json.encode({"ready": ok, **facts}), 200 if ok else 503, media_type="application/json")

    async def about(self, _: Request) -> Response:
        """Name and version."""
        return problems.json({"name": "citytwin", "version": self.version, "epoch": self.hub.epoch})

    async def metrics(self, _: Request) -> Response:
        """Prometheus text: the hub's counts, then the application's own, then the state of operation."""
        registry = CollectorRegistry()
        gauges: Sequence[tuple[str, str, float]] = [
            ("citytwin_ws_clients", "connected clients", len(self.hub.clients)),
            ("citytwin_ws_selections", "distinct subscriptions", len(self.hub.selections)),
            *((f"citytwin_ws_{k}", f"{k} since the start", v) for k, v in sorted(self.hub.counts.items())),
        ]
        for name, text, value in gauges:
            Gauge(name, text, registry=registry).set(value)
        own = await asyncio.to_thread(self.health.metrics)
        more = await self.more_metrics() if self.more_metrics is not None else b""
        return Response(generate_latest(registry) + own + more, media_type="text/plain; version=0.0.4; charset=utf-8")
