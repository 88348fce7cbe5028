"""Why a number is what it is: its parameters, the indicators that it reads, and the events and facts behind it.

The evidence is enough to get the number again: fed alone to an engine with the same registers, which has heard its
sources as `feeds` tell, and ticked at the same time, it gives `computed`. All that is told is of the last tick.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from citytwin.indicators.api import Aggregate, Spec, evaluate, finish
from citytwin.indicators.evidence import Evidence, cursor, place_of
from citytwin.indicators.line import Line
from citytwin.indicators.lineage import aggregate_text, window_text
from citytwin.indicators.params import TallyParam
from citytwin.indicators.pulse import SourceInputs
from citytwin.indicators.retell import events_of, facts_of, lost_of, placed
from citytwin.indicators.sight import Sight, span_ms
from citytwin.indicators.told import EventTold, Explanation, Fact, Feed, Heard, Reach, Read, Term, plain
from citytwin.indicators.view import View
from citytwin.indicators.witness import Witness
from citytwin.models.columns import Float64
from citytwin.models.frame import Quality

#: Most items of a page.
PAGE_MAX = 1000


def explain(
    sight: Sight, id: str, row: int, *, parameter: str = "", after: str = "", limit: int = 100
) -> Explanation:  # fmt: skip
    """Why indicator `id` has its value at a scope row, with a page of the evidence (of one parameter, if named).

    Raises KeyError for an unknown indicator or parameter, ValueError for an `after` that no page gave.
    """
    line = sight.board.lines[id]
    if parameter and parameter not in line.spec.params:
        raise KeyError(parameter)
    start = place_of(after) if after else None
    witness = Witness(sight, row)
    if not line.error:
        witness.indicator(line.spec)
        witness.complete()
    evidence, owner = witness.outlook.evidence, parameter or None
    entities, events, following = _page(sight, evidence, owner, start, min(max(limit, 1), PAGE_MAX))
    computed, error = _computed(sight, line, row)
    origin, notes = sight.aggregates.origin_ms, witness.outlook.notes
    return Explanation(
        id, row, sight.now, plain(line.value[row]), computed, plain(line.closed[row]),
        plain(line.scale[row]) if line.spec.of else None, _quality(line, row), int(line.fresh[row]),
        int(line.expected[row]), _reach(line.spec, Aggregate("count", ""), sight.now, origin),
        tuple(_term(sight, line, row, name, witness) for name in line.spec.params),
        tuple(_read(sight.board.lines[c], row) for c in dict.fromkeys(line.children)), _feeds(sight, line, row),
        len(evidence.entity_rows(owner)), evidence.total(owner), entities, events, following, not notes,
        "; ".join(notes), error, dict(line.detail.get(row, {})),
    )  # fmt: skip


def _page(
    sight: Sight, evidence: Evidence, owner: str | None, after: tuple[Any, ...] | None, limit: int
) -> tuple[tuple[Fact, ...], tuple[EventTold, ...], str]:
    """Facts of registers by kind and code, then events in order; and where the next page goes on."""
    rows = evidence.entity_rows(owner) if after is None or len(after) == 2 else np.zeros(0, np.int64)
    found = placed(sight, rows, after, limit + 1)
    chosen = found[:limit]
    facts = tuple(facts_of(sight, evidence, np.array([r for _, r in chosen], np.int64), owner))
    if len(found) > limit:
        return facts, (), cursor(chosen[-1][0])
    begin = after if after is not None and len(after) != 2 else None
    room = limit - len(facts)
    told = _events(sight, evidence, owner, begin, room + 1)
    events = tuple(event for _, event in told[:room])
    if len(told) <= room:
        return facts, events, ""
    return facts, events, cursor(told[room - 1][0] if room else chosen[-1][0])


def _events(
    sight: Sight, evidence: Evidence, owner: str | None, after: Any, limit: int
) -> list[tuple[Any, EventTold]]:  # fmt: skip
    out = []
    page = evidence.page(after, limit, owner)
    for place in sorted({p for _, p, _ in page}):
        index = np.array([i for _, p, i in page if p == place], np.int64)
        out += events_of(sight, evidence, place, index)
    for name in evidence.places(lost=True):
        lost = lost_of(sight, evidence, name, evidence.held(name, owner, lost=True))
        out += [item for item in lost if after is None or item[0] > after]
    return sorted(out, key=lambda item: item[0])[:limit]


# The value and what it is made of.


def _computed(sight: Sight, line: Line, row: int) -> tuple[float | None, str]:
    """What the formula gives now, before it is blanked for want of inputs; and what it raises."""
    if line.error:
        return None, line.error
    guard = sight.board.guard if line.guarded else None
    try:
        if line.spec.cls is not None and not line.spec.every_ms:
            return plain(line.value[row]), ""
        run = _by_formula if line.spec.cls is None else _by_class
        found = guard(line.spec.id, lambda: run(sight, line, row)) if guard is not None else run(sight, line, row)
        return plain(finish(found, line.spec.decimals)[0]) if len(found) else None, ""
    except Exception as error:  # a plugin may raise anything
        return None, f"{type(error).__name__}: {error}"


def _by_formula(sight: Sight, line: Line, row: int) -> Float64:
    arrays = {name: param.values()[row : row + 1] for name, param in line.params.items()}
    for name, agg in line.spec.params.items():
        if agg.kind == "ind":
            arrays[name] = sight.board.lines[agg.table].value[row : row + 1]
    return evaluate(line.spec, arrays, 1)


def _by_class(sight: Sight, line: Line, row: int) -> Float64:
    """By a fresh instance: asking must not change what the next period says."""
    assert line.spec.cls is not None
    rows, values = line.spec.cls().values(View(sight.board, line))
    found: Float64 = np.asarray(values, np.float64)[np.asarray(rows) == row]
    return found


def _quality(line: Line, row: int) -> str:
    return Quality(int(line.quality[row])).name.lower()


def _reach(spec: Spec, agg: Aggregate, now: int, origin: int) -> Reach:
    """The window of an aggregate in force at a time."""
    window = agg.window or spec.window
    span = span_ms(agg, spec, now, origin)
    if span is None:
        return Reach("instant")
    if window.kind != "tumbling":
        return Reach(window_text(window), *span)
    return Reach(window_text(window), *span, span[0] - window.length_ms, span[0])


def _term(sight: Sight, line: Line, row: int, name: str, witness: Witness) -> Term:
    """One parameter."""
    agg, param = line.spec.params[name], line.params.get(name)
    evidence, rows, value = witness.outlook.evidence, 0, float("nan")
    if agg.kind == "ind":
        value = sight.board.lines[agg.table].value[row]
    elif param is not None:
        value = param.values()[row]
    if isinstance(param, TallyParam):
        rows = param.state.counting(witness.outlook.below)
    elif agg.kind == "rows":
        found = sight.aggregates.rows(agg, sight.now)
        rows = int(np.count_nonzero(witness.outlook.below[found.scope]))
    adds = agg.kind in ("count", "total", "distinct", "tally") and agg.reduce == "sum"
    sums = param is not None and adds and not (line.spec.cls is not None and line.spec.cls.whole)
    events = evidence.total(name) if agg.kind == "ind" else evidence.counts(name)
    return Term(
        name, agg.kind, agg.table, aggregate_text(agg, line.spec.window), plain(value),
        _reach(line.spec, agg, sight.now, sight.aggregates.origin_ms), events, rows, sums,
        agg.table if agg.kind == "ind" else "",
    )  # fmt: skip


def _read(line: Line, row: int) -> Read:
    return Read(
        line.spec.id, plain(line.value[row]), _quality(line, row), int(line.fresh[row]), int(line.expected[row])
    )  # fmt: skip


def _feeds(sight: Sight, line: Line, row: int) -> tuple[Feed, ...]:
    """Inputs as they were counted; sources with the time of their last word."""
    out, known = [], sight.pulse.state()
    for (table, name), inputs in zip(line.spec.feeds, line.feeds, strict=True):
        fresh, heard, expected = (int(c[row if len(c) > 1 else 0]) for c in inputs.counts())
        sources: tuple[Heard, ...] = ()
        if isinstance(inputs, SourceInputs):
            times = known["times"]
            ids = [str(s) for s in known["feeds"][table]]  # type: ignore[attr-defined]
            sources = tuple(Heard(s, int(str(times[s])) if s in times else None) for s in ids)
        out.append(Feed(table, name, fresh, heard, expected, sources))
    return tuple(out)
