"""Snapshots: the whole of a selection in parts, or the difference between two selections of one subscription."""

from __future__ import annotations

from typing import Any

import numpy as np

from citytwin.dashboards import encode
from citytwin.dashboards.mirror import Indicators
from citytwin.dashboards.protocol import Snap
from citytwin.dashboards.select import BadFilter, Selection, split
from citytwin.dashboards.state import State
from citytwin.models.columns import Bool, Int64

Payloads = list[dict[str, Any]]


def whole(state: State, sel: Selection, most: int) -> Payloads:
    """Payloads of the parts of a full snapshot. Raises BadFilter when a twin channel has more than `most` rows."""
    if sel.base == "ind":
        return encode.ind_parts(sel, state.wanted(sel), state.bands, sel.scopes())
    if sel.base == "twin":
        table = state.twins[sel.channel[5:]]
        slots = np.flatnonzero(sel.twin(table))
        if len(slots) > most:
            raise BadFilter("too_large", f"{len(slots)} rows are too many; ask for a scope or a bbox")
        return encode.twin_parts(sel, table, slots)
    return encode.sys_parts(state.facts) if sel.base == "sys" else encode.log_parts(sel, state.rings[sel.base])


def difference(state: State, new: Selection, old: Selection, prev: int, known: int) -> tuple[Payloads, dict[str, Any]]:
    """Payloads of what `new` has more than `old` or what changed after `prev`, and what is to be dropped.

    `known`: scopes that the client has heard of.
    """
    if new.base == "sys":
        return encode.sys_parts(state.facts), {}
    if new.base == "twin":
        return _twin_difference(state, new, old, prev)
    return _ind_difference(state, new, old, prev, known)


def _ind_difference(
    state: State, new: Selection, old: Selection, prev: int, known: int
) -> tuple[Payloads, dict[str, Any]]:
    had, wants = old.scopes().copy(), new.scopes()
    had[known:] = False
    ids, before = state.wanted(new), state.wanted(old)
    drop = {"drop": np.flatnonzero(had & ~wants).tolist(), "drop_ids": sorted(set(before) - set(ids))}
    payloads = encode.ind_parts(new, ids, state.bands, wants & ~had)
    kept: Bool = wants & had
    for name, table in ids.items():
        rows = _after(table, kept, prev if name in before else 0)
        for run in split(rows, encode.VALUE_ROWS):
            payloads.append({"values": {name: encode.columns(run, table, state.bands.get(name, encode.Bands()))}})
    return payloads or [{}], drop


def _after(table: Indicators, keep: Bool, prev: int) -> Int64:
    seq = table.seq[: len(keep)]
    return np.flatnonzero((seq > prev) & keep[: len(seq)])


def _twin_difference(state: State, new: Selection, old: Selection, prev: int) -> tuple[Payloads, dict[str, Any]]:
    table = state.twins[new.channel[5:]]
    n = len(table)
    had, wants = old.twin(table), new.twin(table)
    moved, changed = table.moved[:n] > prev, table.changed[:n] > prev
    drop = table.keys[:n][~wants & (had | moved)].tolist()
    return encode.twin_parts(new, table, np.flatnonzero(wants & (~had | changed | moved))), {"drop": drop}


def texts(state: State, sel: Selection, payloads: Payloads, reason: str | None, mode: Any, drop: Any) -> list[str]:
    """Snap messages of these payloads, without their heads (see `encode.tail`)."""
    head, of, out = state.head(sel.channel), len(payloads), []
    for i, payload in enumerate(payloads):
        more = {**payload, **(drop if i == 0 else {})}
        snap = Snap(0, sel.channel, sel.epoch, head, state.now, state.position, i + 1, of, mode, reason, **more)
        out.append(encode.tail(snap))
    return out
