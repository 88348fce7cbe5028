"""OpenAPI 3.1 and AsyncAPI 3.0, generated from the types of the wire, and a plain page that shows them."""

from __future__ import annotations

import functools
import html
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from citytwin.dashboards import answers as a
from citytwin.dashboards import door_docs
from citytwin.dashboards import protocol as p
from citytwin.dashboards.session import Credentials, Me
from citytwin.models.ops import OpsState

REF = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_LEVEL = {"type": "string", "enum": ["city", "district", "street", "community", "grid"]}
_TIME = {"type": "string", "description": "milliseconds or RFC 3339", "examples": ["2026-11-22T22:00:00Z"]}
_PAGE = {"limit": {**_NUMBER, "minimum": 1, "maximum": 10_000, "default": 100}, "after": _TEXT}
_BBOX = {"type": "string", "description": "west,south,east,north", "examples": ["114.0,30.0,114.5,30.8"]}

#: Path, what it reads, answer, query parameters.
READS: list[tuple[str, str, type, dict[str, Any]]] = [
    ("/city", "The city", a.City, {}),
    ("/indicators", "All indicators in force", a.Indicators, {}),
    ("/indicators/{id}", "One indicator", a.OneIndicator, {}),
    (
        "/indicators/{id}/values",
        "Newest values by scope, or as of a time (at); with from or to, values over time at one scope",
        a.IndicatorValues,
        {
            "scope": _TEXT, "level": _LEVEL, "depth": {**_NUMBER, "minimum": 0, "maximum": 4}, "from": _TEXT,
            "to": _TEXT, "step": {**_NUMBER, "minimum": 0, "description": "milliseconds"}, "at": _TIME,
        },
    ),
    (
        "/indicators/{id}/explain", "Why a number is what it is: parameters, thresholds, the events behind it",
        a.Explanation,
        {
            "scope": _TEXT, "at": _TIME, "parameter": {**_TEXT, "description": "only what this parameter rests on"},
            "after": _TEXT, "limit": {**_NUMBER, "minimum": 1, "maximum": 1000, "default": 100},
        },
    ),
    ("/lab", "The workshop: where each indicator comes from, what is wrong, what it costs", a.Lab, {}),
    ("/lab/edits", "The newest edits of plugin files", a.LabEdits, {}),
    ("/ops", "How the system runs: shards, members, frames, sources, dead letters, and what is wrong", OpsState, {}),
    ("/scopes", "Scopes", a.Scopes, {"level": _LEVEL, "parent": _TEXT}),
    ("/scopes/{code}", "One scope with path and children", a.OneScope, {}),
    ("/entities/{kind}", "A page of entities", a.Entities, {"scope": _TEXT, "bbox": _BBOX, **_PAGE}),
    ("/entities/{kind}/{code}", "One entity with readings and relations", a.OneEntity, {}),
    (
        "/cases", "A page of cases, by code", a.Items,
        {
            "scope": _TEXT, "open": {"type": "boolean"},
            "state": {**_TEXT, "description": "one or more states, parted by commas"}, **_PAGE,
        },
    ),
    (
        "/search", "Places, entities and indicators by code or name", a.Hits,
        {"q": {**_TEXT, "minLength": 1, "maxLength": 100}, "limit": {**_NUMBER, "minimum": 1, "maximum": 100}},
    ),
    ("/layers", "Names of the map layers", a.Layers, {}),
    ("/layers/{name}", "A map layer as GeoJSON", dict, {}),
    ("/deadletters/summary", "What was not taken", a.DeadLetters, {}),
    ("/me", "Who asks and what they may", Me, {}),
]  # fmt: skip


def _schemas(types: Sequence[Any]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(types, ref_template=REF)
    return components


def _parameters(path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    inside = [{"name": n, "in": "path", "required": True, "schema": _TEXT} for n in names]
    return inside + [{"name": n, "in": "query", "required": n == "q", "schema": s} for n, s in query.items()]


def _answer(kind: type, media: str = "application/json") -> dict[str, Any]:
    schema = {"type": "object"} if kind is dict else {"$ref": REF.format(name=kind.__name__)}
    return {"description": "OK", "content": {media: {"schema": schema}}}


_PROBLEM = {"$ref": REF.format(name="Problem")}
_TROUBLE = {
    "description": "What went wrong, in plain words",
    "content": {"application/problem+json": {"schema": _PROBLEM}},
}


def _read(path: str, summary: str, kind: type, query: dict[str, Any]) -> dict[str, Any]:
    media = "application/geo+json" if kind is dict else "application/json"
    name = "read" + "".join(part.strip("{}").title() for part in path.split("/"))
    codes = {"200": _answer(kind, media), "default": _TROUBLE}
    return {
        "get": {
            "operationId": name, "summary": summary, "parameters": _parameters(path, query), "responses": codes,
            "security": [{}, {"token": []}],
        }
    }  # fmt: skip


def _ingest(content_types: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {kind: {"schema": {}} for kind in content_types}
    codes = {str(code): _TROUBLE for code in (400, 401, 413, 415, 429, 503)}
    return {
        "post": {
            "operationId": "ingest",
            "summary": "Take events in; answered once the log has them",
            "requestBody": {"required": True, "content": body},
            "responses": {"200": _answer(a.Ingested), **codes},
            "security": [{}, {"token": []}],
        }
    }


def _session() -> dict[str, Any]:
    body = {"application/json": {"schema": {"$ref": REF.format(name=Credentials.__name__)}}}
    codes = {str(code): _TROUBLE for code in (400, 401, 413, 415, 429)}
    return {
        "post": {
            "operationId": "signIn",
            "summary": "Sign in; the answer sets a cookie",
            "requestBody": {"required": True, "content": body},
            "responses": {"200": _answer(Me), **codes},
        },
        "delete": {
            "operationId": "signOut",
            "summary": "Sign out",
            "responses": {"204": {"description": "The session is over"}, "default": _TROUBLE},
        },
    }


def openapi(version: str, content_types: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the HTTP side."""
    plain = {
        "/livez": "The server is alive", "/readyz": "The city can be served", "/version": "Name and version",
        "/metrics": "Prometheus text", "/openapi.json": "This document", "/asyncapi.json": "The WebSocket side",
    }  # fmt: skip
    paths: dict[str, Any] = {f"/api/v1{r[0]}": _read(*r) for r in READS}
    paths["/ingest"] = _ingest(content_types)
    paths["/api/v1/session"] = _session()
    paths |= door_docs.paths(_TROUBLE)
    for path, words in plain.items():
        codes = {"200": {"description": "OK"}, "default": _TROUBLE}
        paths[path] = {"get": {"operationId": "get" + path[1:].partition(".")[0], "summary": words, "responses": codes}}
    types = [r[2] for r in READS if r[2] is not dict] + [a.Ingested, a.Problem, Credentials]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CityTwin", "version": version,
            "description": "Reads answer for now, values and explain also as of a time; at, position: when.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": _schemas(types), "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }  # fmt: skip


def _words(union: Any) -> list[type]:
    return list(get_args(union))


def asyncapi(version: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the WebSocket side."""
    said, told = _words(p.ClientMessage), _words(p.ServerMessage)
    messages = {t.__name__: {"payload": {"$ref": REF.format(name=t.__name__)}} for t in said + told}
    frame = {"type": "array", "items": {"oneOf": [{"$ref": REF.format(name=t.__name__)} for t in told]}}
    refs = {n: {"$ref": f"#/components/messages/{n}"} for n in ["Frame", *(t.__name__ for t in said)]}
    channel = {"$ref": "#/channels/ws"}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "CityTwin", "version": version, "description": f"Subprotocol {p.SUBPROTOCOL}"},
        "defaultContentType": "application/json",
        "channels": {"ws": {"address": "/ws", "messages": refs}},
        "operations": {
            "tell": {"action": "send", "channel": channel, "messages": [{"$ref": "#/channels/ws/messages/Frame"}]},
            "hear": {
                "action": "receive", "channel": channel,
                "messages": [{"$ref": f"#/channels/ws/messages/{t.__name__}"} for t in said],
            },
        },
        "components": {
            "messages": {**messages, "Frame": {"payload": {"$ref": REF.format(name="Frame")}}},
            "schemas": {**_schemas([*said, *told]), "Frame": frame},
        },
    }  # fmt: skip


def page(document: dict[str, Any]) -> str:
    """The documents as one plain page, with nothing foreign in it."""
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(op['summary'])}</td>"
        f"<td>{html.escape(', '.join(x['name'] for x in op.get('parameters', [])))}</td></tr>"
        for path, methods in document["paths"].items()
        for method, op in methods.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>CityTwin: the interface</title>'
        '<link rel="icon" href="data:,"><style>body{font:15px/1.6 sans-serif;max-width:70em;margin:2em auto}'
        "td{padding:.2em 1em .2em 0;vertical-align:top}</style><h1>The interface</h1>"
        '<p><a href="/openapi.json">openapi.json</a> (HTTP) · <a href="/asyncapi.json">asyncapi.json</a> (WebSocket at '
        f"<code>/ws</code>, subprotocol <code>{p.SUBPROTOCOL}</code>)</p><table>{rows}</table></html>"
    )


def routes(version: str, content_types: Sequence[str]) -> list[Route]:
    """The documents and the page."""

    @functools.cache
    def documents() -> tuple[bytes, bytes, str]:
        http = openapi(version, content_types)
        return msgspec.json.encode(http), msgspec.json.encode(asyncapi(version)), page(http)

    async def http_side(_: Request) -> Response:
        return Response(documents()[0], media_type="application/json")

    async def ws_side(_: Request) -> Response:
        return Response(documents()[1], media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(documents()[2])

    return [Route("/openapi.json", http_side), Route("/asyncapi.json", ws_side), Route("/docs", docs)]
