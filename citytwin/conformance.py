"""The contract of an indicator, with events: what changes nothing, what must not move, and what it costs.

`indicators.contract` holds what needs no city. `citytwin.trial` runs both in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from citytwin import costs
from citytwin.costs import Facts
from citytwin.engine import Engine
from citytwin.indicators import contract
from citytwin.indicators.api import Spec, evaluate, finish
from citytwin.indicators.contract import Problem
from citytwin.indicators.loading import NotAnIndicator, load_text
from citytwin.indicators.registry import Registry, builtin, installed
from citytwin.indicators.view import View
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Bool, Float64, Int32
from citytwin.models.vocabulary import EventType
from citytwin.plugins import load_file
from citytwin.testing import START_MS, TinyCity, kinds_of, properties_of, random_events, types_of, words_of
from citytwin.tryout import needed

__all__ = ["Facts", "NotAnIndicator", "Problem", "check", "check_file", "load_text", "run"]

_EVENTS = 240
#: Events of a day, and of weeks for what must know the past before it says anything.
_SPANS = (26 * 3_600_000, 20 * 86_400_000)
#: Batches that a check splits the events of all types into, and ticks that it follows them by; a family of many types
#: is fed in fewer, for each of its types is a batch of its own.
_PARTS, _TICKS, _FEEDS = 7, 9, 80
#: Grids of the first district.
_FIRST = tuple(range(8))
Found = tuple[str, str]


class Bench:
    """One indicator, those that it reads, and random events of the types that they read."""

    def __init__(self, spec: Spec, known: Registry | None = None) -> None:
        self.spec = spec
        self.specs = [spec, *needed([spec], known or installed())]
        vocabulary = TinyCity().vocabulary
        self.words = list(dict.fromkeys(w for s in self.specs for w in words_of(s)))[:24]
        self.kinds = sorted({k for s in self.specs for k in kinds_of(s, vocabulary)})
        self.types = list({t.name: t for s in self.specs for t in types_of(s, vocabulary)}.values())
        self.properties = list(dict.fromkeys(p for s in self.specs for p in properties_of(s, vocabulary)))

    def city(self) -> TinyCity:
        """The tiny city with the kinds of entities that are read."""
        return TinyCity(kinds=self.kinds, words=self.words)

    def events(
        self, rng: np.random.Generator, n: int = _EVENTS, prefix: str = "", grids: Sequence[int] = (),
        span_ms: int = 7_200_000,
    ) -> list[EventBatch]:  # fmt: skip
        """n events of each type."""
        city = self.city()

        def batch(kind: EventType) -> EventBatch:
            return random_events(
                city, kind, n, rng, properties=self.properties, prefix=f"{prefix}{kind.name}/", words=self.words,
                grids=grids, span_ms=span_ms,
            )  # fmt: skip

        return [batch(k) for k in self.types]

    def engine(self) -> Engine:
        """An engine that has seen nothing."""
        return Engine(self.city(), Registry(self.specs))

    def run(self, batches: Sequence[EventBatch], ticks: Sequence[int] = (START_MS,)) -> Engine:
        """An engine that took the batches in, spread evenly over the ticks."""
        engine = self.engine()
        share = -(-len(batches) // len(ticks))
        for i, now in enumerate(ticks):
            for each in batches[i * share : (i + 1) * share]:
                engine.feed(each, 0)
            engine.tick(now, 0)
        return engine

    def values(self, engine: Engine) -> Float64:
        """The indicator's values by scope row. Raises Raised if it did."""
        line = engine.board.lines[self.spec.id]
        if line.error:
            raise Raised(line.error)
        return line.value


class Raised(Exception):
    """The indicator raised while events were there; the text is its error."""


def check(
    spec: Spec, known: Registry | None = None, facts: Facts | None = None, step: Callable[[str], None] = lambda _: None
) -> list[Problem]:
    """All problems of one indicator: the pure contract and, if that holds, the one with events.

    `known`: where indicators that it reads are found; installed ones by default. `facts` is filled in. `step` is told
    what is done next.
    """
    step("its formula is tried on numbers")
    problems = contract.check(spec)
    if problems:
        return problems
    facts = facts if facts is not None else Facts()
    step("it is fed events")
    try:
        found = list(_with_events(Bench(spec, known), facts))
    except Raised as error:
        found = [("formula", f"raised {error}")]
    except (KeyError, ValueError, TypeError) as error:
        found = [("declaration", str(error.args[0] if error.args else error))]
    except Exception as error:  # the author's code may raise anything
        found = [("formula", f"raised {type(error).__name__}: {error}")]
    return [Problem(spec.id, rule, message) for rule, message in found]


def check_file(path: Path) -> list[Problem]:
    """All problems of the indicators in a file, ids that are taken included; in this process. Raises NotAnIndicator."""
    specs, taken = load_file(path).specs, builtin()
    clashes = [
        Problem(s.id, "id", "this id is taken by a built-in indicator; choose another") for s in specs if s.id in taken
    ]
    known = Registry([*taken, *(s for s in specs if s.id not in taken)])
    return [*clashes, *(p for s in specs for p in check(s, known))]


def run(spec: Spec, batches: Sequence[EventBatch], ticks: Sequence[int] = (START_MS,)) -> tuple[Float64, str]:
    """Values by scope row after the batches, spread evenly over the ticks; and the error if the indicator raised."""
    line = Bench(spec).run(batches, ticks).board.lines[spec.id]
    return line.value, line.error


Rule = Callable[[Bench, list[EventBatch], Engine], Iterator[Found]]


def _with_events(bench: Bench, facts: Facts) -> Iterator[Found]:
    rng = np.random.Generator(np.random.Philox(key=11))
    batches = bench.events(rng)
    engine = bench.run(batches)
    found = [*_shape(bench, engine)]
    yield from found
    if found:
        return
    for rule in (_something, _repeats, _orders, _grows, _apart, _adds_up):
        yield from rule(bench, batches, engine)
    yield from costs.check(bench.spec, engine, facts)


def _same(a: Float64, b: Float64) -> Bool:
    same: Bool = (a == b) | (np.isnan(a) & np.isnan(b))
    return same


def _place(engine: Engine, row: int) -> str:
    level = ("city", "district", "street", "community", "grid")[int(engine.scopes.level[row])]
    return f"{level} {engine.scopes.code[row]}"


def _shape(bench: Bench, engine: Engine) -> Iterator[Found]:
    """What a class form gives back: rows that exist, each once, a value each."""
    line = engine.board.lines[bench.spec.id]
    if line.instance is not None:
        given = line.instance.values(View(engine.board, line))
        wrong = _misshaped(given, len(engine.scopes))
        if wrong:
            yield "shape", wrong
            return
    bench.values(engine)


def _misshaped(given: object, n: int) -> str:
    """What is wrong with the answer of `values(ctx)` in a city of n scopes; "" if nothing is."""
    if not isinstance(given, tuple) or len(given) != 2:
        return "values(ctx) must return two arrays: scope rows and their values"
    rows, values = np.asarray(given[0]), np.asarray(given[1])
    if rows.ndim != 1 or rows.shape != values.shape:
        return f"values(ctx) returns {rows.shape} rows and {values.shape} values; return one value a row"
    if values.dtype.kind not in "fiub":
        return f"values(ctx) returns values of type {values.dtype}; return numbers"
    if len(rows) and (rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n):
        return f"values(ctx) names scope rows outside 0..{n - 1}; take them from ctx.scopes"
    if len(np.unique(rows)) < len(rows):
        return "values(ctx) names a scope row twice; give each scope one value"
    return ""


def _something(bench: Bench, batches: list[EventBatch], engine: Engine) -> Iterator[Found]:
    """NaN everywhere, whatever happens, is no indicator."""
    spec = bench.spec
    if spec.formula is not None:
        rng = np.random.Generator(np.random.Philox(key=12))
        given = (np.floor(rng.random((len(spec.params), 64)) * m) for m in (1000, 10, 2))
        if all(np.isnan(finish(evaluate(spec, dict(zip(spec.params, g, strict=True)), 64), 9)).all() for g in given):
            yield "nothing", "the formula gives no value (NaN) whatever it is given; return one number a scope"
        return
    # a composite has no number where its parts have none, and random events seldom give all of them one
    if not spec.every_ms or not np.isnan(bench.values(engine)).all():
        return
    rng = np.random.Generator(np.random.Philox(key=12))
    engine = bench.run(bench.events(rng, 40_000 // max(1, len(bench.types)), span_ms=26 * 3_600_000))
    line = engine.board.lines[spec.id]
    assert line.instance is not None
    named = line.instance.values(View(engine.board, line))[0]
    # one that names no scopes has found nothing to measure: random events are not always what it waits for
    if np.isnan(bench.values(engine)).all() and len(named):
        yield "nothing", "values(ctx) gives no value (NaN) at any of the scopes that it names, whatever happens"


def _repeats(bench: Bench, batches: list[EventBatch], engine: Engine) -> Iterator[Found]:
    """A class form that is asked twice says the same, and leaves what it was given alone."""
    line = engine.board.lines[bench.spec.id]
    if line.instance is None or not line.spec.every_ms:
        return
    before = {id: other.value.copy() for id, other in engine.board.lines.items()}
    first, second = (_spread(engine, *line.instance.values(View(engine.board, line))) for _ in range(2))
    if not _same(first, second).all():
        yield "pure", "values(ctx) gives another result the second time; keep no state and use no chance or clock"
    if any(not _same(before[id], other.value).all() for id, other in engine.board.lines.items()):
        yield "pure", "values(ctx) changes arrays that belong to others; make a new array instead"


def _spread(engine: Engine, rows: Int32, values: Float64) -> Float64:
    out = np.full(len(engine.scopes), np.nan)
    out[rows] = values
    return out


def _orders(bench: Bench, batches: list[EventBatch], engine: Engine) -> Iterator[Found]:
    """Order, lateness, duplicates and the sizes of batches change nothing."""
    rng = np.random.Generator(np.random.Philox(key=13))
    plain = bench.values(engine)
    shuffled = [b.take(rng.permutation(len(b))) for b in reversed(batches)]
    split = _pieces(_PARTS, batches)
    parts = [b.take(rows) for b in batches for rows in np.array_split(rng.permutation(len(b)), split)]
    late = (START_MS - 2000, START_MS - 1000, START_MS)
    for name, other, words in (
        ("order", bench.run(shuffled), "the same events in another order"),
        ("late", bench.run(parts, late), "the same events late and in small batches"),
        ("duplicates", bench.run([*batches, *batches]), "the same events twice"),
    ):
        yield from _differs(name, words, plain, bench.values(other), engine)


def _pieces(wanted: int, batches: Sequence[EventBatch]) -> int:
    """Pieces of each batch, three at least, so that there are not more than some dozens of them."""
    return max(3, min(wanted, _FEEDS // max(1, len(batches))))


def _differs(rule: str, words: str, plain: Float64, other: Float64, engine: Engine) -> Iterator[Found]:
    wrong = np.flatnonzero(~_same(plain, other))
    if len(wrong):
        row = int(wrong[0])
        yield rule, f"{words} give {other[row]:g} instead of {plain[row]:g} at the {_place(engine, row)}"


def _grows(bench: Bench, batches: list[EventBatch], engine: Engine) -> Iterator[Found]:
    """Followed for two hours, tick by tick, it says what it says when everything is counted at once."""
    ticks = np.linspace(START_MS - 7_200_000, START_MS, _pieces(_TICKS, batches)).astype(np.int64)
    slow = bench.engine()
    before = -(2**62)
    for now in ticks.tolist():
        slow.tick(now, 0)
        for each in batches:
            fresh = np.flatnonzero((each.time > before) & (each.time <= now))
            if len(fresh):
                slow.feed(each.take(fresh), 0)
        before = now
    # by then every class form has been worked out again, however seldom that is
    end = START_MS + max(1000, *(s.every_ms for s in bench.specs))
    slow.tick(end, 0)
    words = "followed tick by tick, the same events"
    yield from _differs("batch", words, bench.values(bench.run(batches, (end,))), bench.values(slow), engine)


def _apart(bench: Bench, batches: list[EventBatch], engine: Engine) -> Iterator[Found]:
    """More events in one district leave every value of the other where it was."""
    rng = np.random.Generator(np.random.Philox(key=14))
    both = bench.events(rng, prefix="p", grids=range(16))
    more = bench.events(rng, 120, prefix="q", grids=_FIRST)
    first, second = bench.run(both), bench.run([*both, *more])
    up = first.scopes.ancestors()[:, 1]
    other = first.scopes.at_level(1)[1]
    plain, moved = bench.values(first), bench.values(second)
    wrong = np.flatnonzero((up == other) & ~_same(plain, moved))
    if len(wrong):
        row = int(wrong[0])
        yield (
            "independent",
            f"events in district {first.scopes.code[int(first.scopes.at_level(1)[0])]} move the value of the "
            f"{_place(first, row)} from {plain[row]:g} to {moved[row]:g}: it reads other scopes; use no sums, ranks or "
            "means over all of them",
        )


def _adds_up(bench: Bench, batches: list[EventBatch], engine: Engine) -> Iterator[Found]:
    """The parts of a scope add up to it, where the indicator is a sum (or says so by `additive = True`)."""
    spec = bench.spec
    if not is_additive(spec):
        return
    value, tree = bench.values(engine), engine.scopes
    # a value is rounded once, the sum of its parts once a part
    slack = 0.5 * 10.0**-spec.decimals
    for row in np.flatnonzero((tree.level < spec.finest) & ~np.isnan(value)).tolist():
        below = tree.children(row)
        parts = np.where(np.isnan(value[below]) & tree.unlocated[below], 0.0, value[below])
        if not np.isnan(parts).any() and abs(parts.sum() - value[row]) > slack * (len(parts) + 1) * (1 + 1e-9):
            yield "roll-up", f"the parts of the {_place(engine, row)} add up to {parts.sum():g}, it says {value[row]:g}"
            return


def is_additive(spec: Spec) -> bool:
    """Whether the value of a scope is the sum of its parts: a linear formula over counts and sums."""
    if spec.cls is not None:
        return bool(getattr(spec.cls, "additive", False))
    sums = all(a.kind in ("count", "total") or (a.kind == "tally" and a.reduce == "sum") for a in spec.params.values())
    if not sums or not spec.params:
        return False
    rng = np.random.Generator(np.random.Philox(key=15))
    a, b = ({n: np.floor(rng.random(16) * 1000) for n in spec.params} for _ in range(2))
    zero = {n: np.zeros(16) for n in spec.params}
    with np.errstate(all="ignore"):
        try:
            of = [np.asarray(spec.formula(**x), np.float64) for x in (a, b, {n: a[n] + b[n] for n in a}, zero)]  # type: ignore[misc]
        except Exception:  # the contract has told already what it raises
            return False
    return bool(np.allclose(of[0] + of[1], of[2], rtol=1e-9) and not of[3].any())
