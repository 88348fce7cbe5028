"""Answers of the HTTP reads as types; OpenAPI is generated from them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from citytwin.dashboards.protocol import Columns, Dictionary


class Answer(Struct):
    """Every answer says of when it is: `at` ms UTC and `position` of the log."""

    at: int
    position: int


class City(Answer):
    """The city and what can be asked about it."""

    name: str
    title: dict[str, str]
    timezone: str
    edition: str
    bbox: list[float] | None
    center: list[float] | None
    layers: list[str]
    kinds: list[str]


class Indicator(Struct):
    """An indicator's definition; `status` V: from a standard, L: a local default."""

    id: str
    theme: str
    name: dict[str, str]
    meaning: dict[str, str]
    unit: str
    better: str
    levels: list[str]
    window: str
    decimals: int
    bands: dict[str, float]
    source: str
    status: str
    owner: str
    formula: str
    inputs: list[str]
    error: str | None = None


class Indicators(Answer):
    """All indicators in force."""

    definitions: str
    items: list[Indicator]


class OneIndicator(Answer):
    """One indicator."""

    item: Indicator


class Points(Struct):
    """Values over time; null = no data."""

    t: list[int]
    v: list[float | None]


class IndicatorValues(Answer, omit_defaults=True):
    """Values by scope (`scopes`, `values`) or over time at one scope (`scope`, `series`)."""

    id: str
    scopes: Dictionary | None = None
    values: Columns | None = None
    scope: str | None = None
    series: Points | None = None


class Scopes(Answer):
    """Scopes as parallel columns."""

    scopes: Dictionary


class Scope(Struct):
    """A scope in short."""

    k: int
    code: str
    name: str
    name_en: str
    level: int


class ScopeDetail(Scope):
    """A scope with its path from the city and its children."""

    path: list[Scope]
    children: list[Scope]


class OneScope(Answer):
    """One scope."""

    item: ScopeDetail


class Entities(Answer):
    """A page of entities; `next` is given as `after` for the following one, "" at the end."""

    kind: str
    items: list[dict[str, Any]]
    next: str


class OneEntity(Answer):
    """An entity with attributes, readings and relations."""

    item: dict[str, Any]


class Items(Answer):
    """A page of cases; `next` is given as `after` for the following one, "" at the end."""

    items: list[dict[str, Any]]
    next: str


class Hit(Struct):
    """Something found: `what` is scope, entity or indicator."""

    what: str
    code: str
    name: str
    name_en: str = ""
    kind: str = ""
    level: int | None = None
    lon: float | None = None
    lat: float | None = None
    scope: int | None = None


class Hits(Answer):
    """What was found, best first."""

    items: list[Hit]


class Layers(Answer):
    """Names of the map layers."""

    items: list[str]


class DeadLetters(Answer):
    """What was not taken, counted."""

    total: int
    by_reason: dict[str, int]
    by_source: dict[str, int]
    newest: list[dict[str, Any]]


class Rejected(Struct):
    """An event that was not taken: its index in the call, why, which field, a sentence."""

    index: int
    reason: str
    field: str
    detail: str


class Ingested(Struct):
    """What became of an ingest call, told once the log has it."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]
    position: int


class Problem(Struct, omit_defaults=True):
    """An error in plain words (RFC 9457); `rejected`: the event that it is about, where a call was only that one."""

    type: str
    title: str
    status: int
    detail: str
    rejected: list[Rejected] = []
