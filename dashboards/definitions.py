"""Definitions of indicators as they are told: metadata, thresholds, parameters, lineage, source text."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast

from citytwin.dashboards import answers as a
from citytwin.indicators.api import Spec, source_text
from citytwin.indicators.lineage import aggregate_text, lineage
from citytwin.indicators.registry import definition_hash
from citytwin.models.vocabulary import ALWAYS, EventType


@functools.lru_cache(maxsize=1024)
def code(thing: Any) -> str:
    """Source text of a formula or class; kept, for it is looked up in files."""
    return source_text(thing)


def parameters(spec: Spec) -> list[a.Parameter]:
    """The parameters of its formula, or the aggregates of its class."""
    return [a.Parameter(n, p.kind, p.table, aggregate_text(p, spec.window)) for n, p in spec.params.items()]


def thresholds(spec: Spec) -> list[a.Threshold]:
    """All editions of its bands, oldest first; none for one without bands."""
    known = ((t, {band: float(edge) for band, edge in t.bands.items()}) for t in spec.thresholds)
    return [
        a.Threshold(t.edition, _bound(t.valid_from), _bound(t.valid_to), t.source, t.status, bands)
        for t, bands in known
    ]  # fmt: skip


def _bound(ms: int) -> int | None:
    return None if abs(ms) >= ALWAYS else ms


def docstring(spec: Spec) -> str:
    """What its author says of the formula, on one line."""
    thing = spec.formula or spec.cls
    return " ".join(((thing.__doc__ if thing else "") or "").split())


def definition(
    spec: Spec, specs: Sequence[Spec], types: Mapping[str, EventType], error: str | None = None
) -> a.Indicator:
    """An indicator's definition; `specs` are all that are in force, `types` the vocabulary, `error` what it raises."""
    made, thing = lineage(spec, specs, types), cast(Any, spec.cls or spec.formula)
    inputs = [f"{name} = {p.kind}({p.table})" for name, p in spec.params.items()]
    return a.Indicator(
        spec.id, spec.theme, dict(spec.name), dict(spec.meaning), spec.unit, spec.better, list(spec.levels),
        spec.window_text or "instant", spec.decimals, dict(spec.bands), spec.source, spec.status, spec.owner,
        docstring(spec), inputs, error, thresholds=thresholds(spec), parameters=parameters(spec),
        examples=[dict(e) for e in spec.examples],
        lineage=a.Lineage(list(made.events), list(made.aggregates), list(made.reads), list(made.read_by)),
        code=code(thing), hash=definition_hash(spec), of=spec.of,
    )  # fmt: skip
