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


class Threshold(Struct):
    """Bands in force in [valid_from, valid_to) ms UTC (null: no such end), with what stands behind them."""

    edition: str
    valid_from: int | None
    valid_to: int | None
    source: str
    status: str
    bands: dict[str, float]


class Parameter(Struct):
    """A parameter of a formula; `text` is the canonical declaration of its aggregate."""

    name: str
    kind: str
    table: str
    text: str


class Lineage(Struct):
    """What an indicator is made of: event types, aggregates (canonical texts), indicators read, its readers."""

    events: list[str]
    aggregates: list[str]
    reads: list[str]
    read_by: list[str]


class Indicator(Struct):
    """An indicator's definition; `status` V: from a standard, L: a local default.

    `of`: the parameter of which the bands are shares ("" = they are absolute). `hash` is that of the definition.
    """

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
    thresholds: list[Threshold] = []
    parameters: list[Parameter] = []
    examples: list[dict[str, Any]] = []
    lineage: Lineage | None = None
    code: str = ""
    hash: str = ""
    of: str = ""


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
    """Values by scope (`scopes`, `values`) or over time at one scope (`scope`, `series`).

    As of a time of the past: `asked` is that time, `at` the tick before it; `definitions_differ`: another definition
    was in force then than the one by which the values are worked out.
    """

    id: str
    scopes: Dictionary | None = None
    values: Columns | None = None
    scope: str | None = None
    series: Points | None = None
    asked: int | None = None
    definitions_differ: bool = False


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


class Span(Struct):
    """A window in force, ms UTC, end excluded; null: no bound. `closed`: the last closed one of a tumbling window."""

    text: str
    start: int | None
    end: int | None
    closed_start: int | None = None
    closed_end: int | None = None


class ExplainedParameter(Parameter):
    """A parameter with its value at the scope, and how many events and table rows make it up.

    `window` is the one in force; `id` names the indicator that a parameter of kind `ind` reads: explain that one next.
    `sums`: the value is a sum of the contributions that the events tell under `gives`.
    """

    value: float | None
    window: Span
    events: int
    rows: int
    sums: bool
    id: str = ""


class ReadIndicator(Struct):
    """An indicator that is read, as it stands at the scope."""

    id: str
    value: float | None
    quality: str
    fresh: int
    expected: int


class HeardSource(Struct):
    """A source that is expected, and the time of the newest event that it was heard by (null: never)."""

    id: str
    last: int | None


class Feed(Struct):
    """Inputs of one feed at the scope: in time, ever heard, expected; the sources, where they are the inputs."""

    table: str
    name: str
    fresh: int
    heard: int
    expected: int
    sources: list[HeardSource]


class ExplainedEntity(Struct):
    """An entity of a register that a value rests on: the attributes that were read, and what it contributes."""

    kind: str
    code: str
    scope: str
    attributes: dict[str, Any]
    gives: dict[str, float | None]


class ExplainedEvent(Struct):
    """An event that a value rests on; `fields` in units (times in ms), `gives` its contribution by parameter.

    Contributions to an indicator that is read stand under `indicator:parameter`. Empty `gives`: an expression reads
    the event, or it takes the place of an older one. `scope` is "" where none is known.
    """

    type: str
    id: str
    source: str
    time: int
    revision: int
    subject: str
    scope: str
    lon: float | None
    lat: float | None
    fields: dict[str, Any]
    gives: dict[str, float | None]


class Explanation(Answer):
    """Why a number is what it is, at one scope.

    `value` is the published one; `computed` what the formula gives before it is blanked for want of inputs that were
    ever heard. `entities` then `events` are one list in pages; `next` is given as `after` for the following page, "" at
    the end; the totals are of all pages. `complete` is false when events that count are no longer kept; `note` says so.
    """

    id: str
    scope: Scope
    asked: int | None
    definitions_differ: bool
    name: dict[str, str]
    unit: str
    decimals: int
    better: str
    value: float | None
    computed: float | None
    closed: float | None
    quality: str
    fresh: int
    expected: int
    band: str
    bands: dict[str, float]
    threshold: Threshold | None
    thresholds: list[Threshold]
    window: Span
    formula: str
    code: str
    hash: str
    of: str
    scale: float | None
    detail: dict[str, Any]
    parameters: list[ExplainedParameter]
    reads: list[ReadIndicator]
    feeds: list[Feed]
    entities_total: int
    events_total: int
    entities: list[ExplainedEntity]
    events: list[ExplainedEvent]
    next: str
    complete: bool
    note: str
    error: str


class LabItem(Struct):
    """An indicator in the workshop: where it comes from, when it was checked, what is wrong, what a tick of it costs.

    `origin`: builtin, package NAME or file NAME; `version`: hash of its definition; `bytes`: of the state it needs.
    """

    id: str
    origin: str
    version: str
    checked_at: int | None = None
    error: str = ""
    quarantined: bool = False
    cost_us: float | None = None
    bytes: int | None = None
    note: str = ""


class Lab(Answer):
    """The workshop: every indicator that it knows, and the files of its folder, taken or not."""

    items: list[LabItem]
    files: list[dict[str, Any]]


class LabEdits(Answer):
    """Edits of plugin files, newest first, with what each changed."""

    items: list[dict[str, Any]]


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
    known: dict[str, Any] = {}
