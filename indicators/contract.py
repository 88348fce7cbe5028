"""The public contract of an indicator, the part that needs no city: metadata, examples, and the formula as a function.

`citytwin.conformance` adds the part that feeds events through an engine; `citytwin check` runs both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from citytwin.geo.scopes import LEVELS
from citytwin.indicators.api import Spec, evaluate
from citytwin.models.columns import Float64

_ORDER = ("blue", "yellow", "orange", "red")
_STATUSES = frozenset("VKLS")
_PROBES = 64
_UNIT_MAX = 24


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an indicator, and what to do about it."""

    indicator: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.indicator}: {self.rule}: {self.message}"


def check(spec: Spec) -> list[Problem]:
    """Problems of one indicator; empty when it keeps the contract."""
    found = [*_metadata(spec), *_bands(spec), *_examples(spec)]
    if spec.formula is not None and not any(a.kind == "ind" for a in spec.params.values()) | (not spec.params):
        found += _formula(spec)
    return [Problem(spec.id, rule, message) for rule, message in found]


def _metadata(spec: Spec) -> Iterator[tuple[str, str]]:
    for part, texts in (("name", spec.name), ("meaning", spec.meaning)):
        for language in ("zh", "en"):
            if not texts.get(language):
                yield "metadata", f'{part} lacks "{language}"; write {part}={{"zh": "...", "en": "..."}}'
    if spec.better not in ("up", "down", "band", "none"):
        yield "metadata", f'better={spec.better!r}; write "up", "down", "band" (between, bands above) or "none"'
    if len(spec.unit) > _UNIT_MAX or not spec.unit.isprintable() or spec.unit != spec.unit.strip():
        yield "metadata", f"unit={spec.unit!r:.40}; write a short one, as in %, km/h, ug/m3 or count"
    unknown = [level for level in spec.levels if level not in LEVELS]
    if unknown or not spec.levels:
        yield "metadata", f"levels {unknown or 'are empty'}; write some of: {' '.join(LEVELS)}"
    if not set(spec.status.replace("+", "")) <= _STATUSES:
        yield "metadata", f"status={spec.status!r}; write V (verified), K (known), S (seed) or L (local), joined by +"
    if spec.bands and not spec.source:
        yield "metadata", "bands need a source; name the standard, or say that they are a local default"
    if not spec.owner:
        yield "metadata", 'no owner; write owner="..." so that people know whom to ask'


def _bands(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.of and spec.of not in spec.params:
        yield "bands", f"of={spec.of!r} is no parameter; the bands are shares of one of {', '.join(spec.params)}"
    for threshold in spec.thresholds:
        yield from _edges(spec, threshold.bands)
        if not threshold.source:
            yield "bands", f"edition {threshold.edition!r} has no source; name the standard, or say local default"


def _edges(spec: Spec, bands: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    wrong = [name for name in bands if name not in _ORDER]
    if wrong:
        yield "bands", f"{wrong} are no levels; use {', '.join(_ORDER)}"
        return
    edges = [bands[name] for name in _ORDER if name in bands]
    ordered = sorted(edges, reverse=spec.better == "up")
    if spec.better != "none" and edges != ordered:
        yield "bands", f'with better="{spec.better}" the edges must go {ordered}, from blue to red; they are {edges}'


def _examples(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.formula is None:
        return
    if len(spec.examples) < 2:
        yield "examples", "give at least two worked examples; one of them for no data (gives=None)"
    for example in spec.examples:
        given = {k: v for k, v in example.items() if k != "gives"}
        if set(given) != set(spec.params) or "gives" not in example:
            yield "examples", f"{example} must name {', '.join((*spec.params, 'gives'))}"
            continue
        got, wanted = spec(**given), example["gives"]
        same = got is None if wanted is None else got is not None and math.isclose(got, wanted, rel_tol=1e-12)
        if not same:
            yield "examples", f"{given} gives {got}, not {wanted}"


def _arrays(spec: Spec, rng: np.random.Generator, gaps: bool) -> dict[str, Float64]:
    """Plausible inputs; with `gaps` awkward ones too: zeros and missing values."""
    out = {}
    for name in spec.params:
        values = np.floor(rng.random(_PROBES) * 1000) / rng.choice([1, 10])
        if gaps:
            values[:8] = 0.0
            values[8:12] = np.nan
        out[name] = values
    return out


def _formula(spec: Spec) -> Iterator[tuple[str, str]]:
    rng = np.random.Generator(np.random.Philox(key=7))
    for gaps in (False, True):  # a missing value can hide what a sum over scopes does
        found = list(_probe(spec, _arrays(spec, rng, gaps), rng))
        yield from found
        if found:
            return


def _probe(spec: Spec, arrays: dict[str, Float64], rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    try:
        whole = evaluate(spec, {k: v.copy() for k, v in arrays.items()}, _PROBES)
        again = evaluate(spec, {k: v.copy() for k, v in arrays.items()}, _PROBES)
    except Exception as error:  # any exception of the author's code is an answer here
        yield (
            "formula",
            f"raises {type(error).__name__} on arrays: {error}; use NumPy operations, np.where instead of if",
        )
        return
    if whole.shape != (_PROBES,):
        yield "formula", f"returns shape {whole.shape} for {_PROBES} scopes; return one value per scope"
        return
    if not np.array_equal(whole, again, equal_nan=True):
        yield "pure", "gives another result the second time; keep no state and use no randomness or clock"
    if any(not np.array_equal(arrays[k], v, equal_nan=True) for k, v in _mutated(spec, arrays).items()):
        yield "pure", "changes its input arrays; make a new array instead"
    order = rng.permutation(_PROBES)
    shuffled = evaluate(spec, {k: v[order] for k, v in arrays.items()}, _PROBES)
    half = evaluate(spec, {k: v[: _PROBES // 2] for k, v in arrays.items()}, _PROBES // 2)
    if not np.array_equal(whole[order], shuffled, equal_nan=True) or not np.array_equal(
        whole[: _PROBES // 2], half, equal_nan=True
    ):
        yield "independent", "the value of a scope depends on other scopes; use no sums, ranks or means over the array"


def _mutated(spec: Spec, arrays: dict[str, Float64]) -> dict[str, Float64]:
    copies = {k: v.copy() for k, v in arrays.items()}
    evaluate(spec, copies, _PROBES)
    return copies
