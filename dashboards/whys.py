"""The reads that say why: explanations, values as of a time of the past, the modeler's workshop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin.dashboards import answers as a
from citytwin.dashboards import encode, problems
from citytwin.dashboards.asking import asked, chosen, millis, row_of, spec_of, whole
from citytwin.dashboards.definitions import code, docstring, thresholds
from citytwin.dashboards.hub import Hub
from citytwin.dashboards.people import Person, person_of
from citytwin.dashboards.ports import Board, CityReads, Past, Refused, Workshop
from citytwin.dashboards.problems import Trouble
from citytwin.dashboards.seeing import at_scope, cut
from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.api import Spec
from citytwin.indicators.registry import definition_hash
from citytwin.indicators.told import Explanation
from citytwin.models.desk.rights import masked

T = TypeVar("T")
#: Events and facts on a page, at most.
PAGE_MAX = 1000


class Whys:
    """Handlers of `explain`, of values as of a time, and of the workshop."""

    def __init__(self, hub: Hub, board: Board, reads: CityReads, workshop: Workshop | None) -> None:
        self.hub, self.board, self.reads, self.workshop = hub, board, reads, workshop

    def routes(self) -> list[Route]:
        """The reads by their addresses."""
        paths = {"/indicators/{id}/explain": self.explain, "/lab": self.lab, "/lab/edits": self.edits}
        return [Route(f"/api/v1{path}", read, methods=["GET"]) for path, read in paths.items()]

    async def explain(self, request: Request) -> Response:
        """Why a number is what it is."""
        q = asked(request, "scope", "at", "parameter", "after", "limit")
        spec, tree = spec_of(self.board, request), self.hub.tree
        row, at = row_of(tree, q.get("scope", tree.code[0])), self.time_of(q)
        person = person_of(request)
        at_scope(person, "ind", row)
        parameter, limit = q.get("parameter", ""), whole(q, "limit", 100, 1, PAGE_MAX)
        if parameter and parameter not in spec.params:
            has = f"it has: {', '.join(spec.params)}" if spec.params else "it has none"
            raise Trouble(400, "parameter", f"{spec.id} has no parameter {parameter}; {has}")
        past, found = await self._ask(
            lambda: self.reads.explain(spec.id, row, at, parameter, q.get("after", ""), limit)
        )  # fmt: skip
        told = explanation(spec, tree, past, found, millis(q["at"], "at") if "at" in q else None)
        if not person.view("case").reveals(row, tree):
            for event in told.events:
                event.fields = masked(event.fields)
        return problems.json(told)

    def time_of(self, q: dict[str, str]) -> int | None:
        """The time of the past that is asked for; None for now and what is to come."""
        at = millis(q["at"], "at") if "at" in q else None
        return None if at is None or at >= self.hub.now else at

    async def values(self, spec: Spec, q: dict[str, str], person: Person) -> Response:
        """Values by scope as of a time of the past."""
        at, tree = self.time_of(q), self.hub.tree
        assert at is not None
        mask = cut(person, "ind", chosen(q, tree), q.get("scope"))
        past, found = await self._ask(lambda: self.reads.as_of(spec.id, at))
        pick = np.flatnonzero((found.rows < len(mask)) & mask[np.minimum(found.rows, len(mask) - 1)])
        rows, bands = found.rows[pick].astype(np.int64), encode.Bands(spec.better, spec.bands_at(past.now))
        answer = a.IndicatorValues(
            past.now, past.position, spec.id, scopes=encode.dictionary(tree, rows),
            values=encode.columns(rows, found, bands, at=pick), asked=millis(q["at"], "at"),
            definitions_differ=past.differ,
        )  # fmt: skip
        return problems.json(answer)

    async def _ask(self, read: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(read)
        except Refused as error:
            raise Trouble(error.status, error.code, error.detail, error.retry_after, error.title) from error
        except ValueError as error:
            raise Trouble(400, "parameter", str(error)) from error

    async def lab(self, request: Request) -> Response:
        """What the workshop knows of each indicator."""
        asked(request)
        shop = self.workshop
        found, files = await asyncio.to_thread(lambda: (shop.state(), shop.files()) if shop is not None else ((), ()))
        items = [msgspec.convert(dict(i), a.LabItem) for i in found]
        return problems.json(a.Lab(self.hub.now, self.hub.position, items, [dict(f) for f in files]))

    async def edits(self, request: Request) -> Response:
        """The newest edits."""
        asked(request)
        found = await asyncio.to_thread(self.workshop.edits) if self.workshop is not None else ()
        return problems.json(a.LabEdits(self.hub.now, self.hub.position, [dict(i) for i in found]))


def explanation(spec: Spec, tree: ScopeTree, past: Past, told: Explanation, asked_ms: int | None) -> a.Explanation:
    """The answer: what was told, with what the definition says."""
    row, edges = np.array([told.row]), spec.bands_at(past.now)
    scale = None if told.scale is None else np.array([told.scale])
    value = np.array([np.nan if told.value is None else told.value])
    band = next(iter(encode.Bands(spec.better, edges).of(row, value, scale)), "")
    known = thresholds(spec)
    thing: Any = spec.cls or spec.formula
    mine: dict[str, Any] = {
        "at": past.now, "position": past.position, "asked": asked_ms, "definitions_differ": past.differ,
        "scope": a.Scope(
            told.row, tree.code[told.row], tree.name[told.row], tree.name_en[told.row], int(tree.level[told.row])
        ),
        "name": dict(spec.name), "unit": spec.unit, "decimals": spec.decimals, "better": spec.better, "band": band,
        "bands": dict(edges), "threshold": next((t for t in known if in_force(t, past.now)), None),
        "thresholds": known, "formula": docstring(spec), "code": code(thing), "hash": definition_hash(spec),
        "of": spec.of,
    }  # fmt: skip
    rest = {name: getattr(told, name) for name in a.Explanation.__struct_fields__ if name not in mine}
    return msgspec.convert({**rest, **mine}, a.Explanation, from_attributes=True)


def in_force(threshold: a.Threshold, time: int) -> bool:
    """Whether an edition holds at a time (ms UTC)."""
    begun = threshold.valid_from is None or threshold.valid_from <= time
    return begun and (threshold.valid_to is None or time < threshold.valid_to)
