"""The contract of an indicator, with events: order, duplicates, batch sizes and lateness change nothing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from citytwin.engine import Engine
from citytwin.indicators import contract
from citytwin.indicators.api import Indicator, Spec, describe_class
from citytwin.indicators.contract import Problem
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Float64
from citytwin.testing import START_MS, TinyCity, properties_of, random_events, types_of

_EVENTS = 240


class NotAnIndicator(Exception):
    """The file could not be used; the message says why and what to do."""


def load_file(path: Path) -> list[Spec]:
    """Indicators that a Python file declares at its top level. Raises NotAnIndicator."""
    if not path.is_file():
        raise NotAnIndicator(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"citytwin_checked_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise NotAnIndicator(f"{path}: is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the author's code may raise anything
        raise NotAnIndicator(f"{path}: {type(error).__name__} while it was loaded: {error}") from error
    found = [v for v in vars(module).values() if isinstance(v, Spec)]
    own = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Indicator) and v is not Indicator]
    found += [describe_class(c) for c in own if c.__module__ == module.__name__]
    if not found:
        raise NotAnIndicator(f"{path}: declares no indicator; decorate a function with @indicator(...)")
    return found


def check(spec: Spec) -> list[Problem]:
    """All problems of one indicator: the pure contract and, if that holds, the one with events."""
    problems = contract.check(spec)
    if problems or any(a.kind == "ind" for a in spec.params.values()):
        return problems
    try:
        return [Problem(spec.id, rule, message) for rule, message in _with_events(spec)]
    except (KeyError, ValueError, TypeError) as error:
        return [Problem(spec.id, "declaration", str(error.args[0] if error.args else error))]


def check_file(path: Path) -> list[Problem]:
    """All problems of the indicators in a file, ids that are taken included."""
    specs, taken = load_file(path), builtin()
    clashes = [
        Problem(s.id, "id", "this id is taken by a built-in indicator; choose another") for s in specs if s.id in taken
    ]
    return [*clashes, *(p for s in specs for p in check(s))]


def _batches(spec: Spec, city: TinyCity, rng: np.random.Generator) -> list[EventBatch]:
    properties = properties_of(spec, city.vocabulary)
    kinds = types_of(spec, city.vocabulary)
    return [random_events(city, k, _EVENTS, rng, properties=properties, prefix=f"{k.name}/") for k in kinds]


def run(spec: Spec, batches: Sequence[EventBatch], ticks: Sequence[int] = (START_MS,)) -> tuple[Float64, str]:
    """Values by scope row after the batches, spread evenly over the ticks; and the error if the indicator raised."""
    engine = Engine(TinyCity(), Registry([spec]))
    share = -(-len(batches) // len(ticks))
    for i, now in enumerate(ticks):
        for batch in batches[i * share : (i + 1) * share]:
            engine.feed(batch, 0)
        engine.tick(now, 0)
    line = engine.board.lines[spec.id]
    return line.value, line.error


def _with_events(spec: Spec) -> list[tuple[str, str]]:
    rng = np.random.Generator(np.random.Philox(key=11))
    batches = _batches(spec, TinyCity(), rng)
    plain, error = run(spec, batches)
    if error:
        return [("formula", f"raised {error}")]
    shuffled, _ = run(spec, [b.take(rng.permutation(len(b))) for b in reversed(batches)])
    parts = [b.take(rows) for b in batches for rows in np.array_split(rng.permutation(len(b)), 7)]
    late, _ = run(spec, parts, (START_MS - 2000, START_MS - 1000, START_MS))
    twice, _ = run(spec, [*batches, *batches])
    found = []
    for name, other, words in (
        ("order", shuffled, "the same events in another order"),
        ("late", late, "the same events late and in small batches"),
        ("duplicates", twice, "the same events twice"),
    ):
        if not np.array_equal(plain, other, equal_nan=True):
            row = int(np.flatnonzero(~((plain == other) | (np.isnan(plain) & np.isnan(other))))[0])
            found.append((name, f"{words} give {other[row]} instead of {plain[row]} at scope row {row}"))
    if np.isinf(plain).any():
        found.append(("finite", "gives infinity; return NaN where there is no data"))
    return found
