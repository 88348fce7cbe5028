"""Columns to messages: newest rows of a mirror as the payloads of the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from citytwin.dashboards.mirror import NAMES, Facts, Indicators, Ring, Twins
from citytwin.dashboards.protocol import CHUNK_BYTES, Columns, Dictionary, Names, Qualities, Told, Twin
from citytwin.dashboards.select import Selection, split
from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import Bool, Float64, Int64
from citytwin.models.frame import Quality, Values

#: Colours of bands from the mildest to the worst.
SEVERITY = ("blue", "yellow", "orange", "red")
#: Rows to a part: 100 bytes a value, 250 a scope, at most.
VALUE_ROWS, SCOPE_ROWS = 2_400, 1_000

_encoder = msgspec.json.Encoder()


class Bands:
    """Edges of the bands of an indicator and on which side of them the trouble lies."""

    def __init__(self, better: str = "up", edges: Mapping[str, float] | None = None) -> None:
        self.up = better not in ("down", "band")
        self.edges = [(c, float((edges or {})[c])) for c in SEVERITY if c in (edges or {})]

    def of(self, keys: Int64, value: Float64, scale: Float64 | None = None) -> dict[str, list[int]]:
        """Keys by the worst band that their value (or its share of `scale`) is in; NaN is in none."""
        if scale is not None:
            with np.errstate(all="ignore"):
                value = value / scale
        rank = np.full(len(value), -1)
        for i, (_, edge) in enumerate(self.edges):
            rank[value < edge if self.up else value >= edge] = i
        return {c: keys[rank == i].tolist() for i, (c, _) in enumerate(self.edges) if (rank == i).any()}


def _flags(keys: Int64, mask: Bool) -> list[int] | bool:
    if mask.all():
        return bool(len(keys))
    return keys[mask].tolist() if mask.any() else False


def columns(rows: Int64, source: Values | Indicators, bands: Bands, at: Any = None) -> Columns:
    """Columns of the wire; `at` indexes the source's arrays (default: the rows themselves)."""
    pick = rows if at is None else at
    value, closed, quality = source.value[pick], source.closed[pick], source.quality[pick]
    quality = np.where(np.isnan(value) & (quality == Quality.GOOD), np.uint8(Quality.NODATA), quality)
    part = quality == Quality.PARTIAL
    counts = np.column_stack((rows, source.fresh[pick], source.expected[pick]))[part].tolist() if part.any() else []
    return Columns(
        rows.tolist(),
        value.tolist(),
        c=None if np.isnan(closed).all() else closed.tolist(),
        r=rows[source.restated[pick]].tolist(),
        q=None
        if not quality.any()
        else Qualities(
            provisional=_flags(rows, quality == Quality.PROVISIONAL),
            partial=[tuple(c) for c in counts],
            stale=_flags(rows, quality == Quality.STALE),
            nodata=_flags(rows, quality == Quality.NODATA),
            error=_flags(rows, quality == Quality.ERROR),
        ),
        b=bands.of(rows, value, None if source.scale is None else source.scale[pick]),
    )


def dictionary(tree: ScopeTree, rows: Int64) -> Dictionary:
    """Scopes behind these rows."""
    k = rows.tolist()
    return Dictionary(
        k,
        [tree.code[r] for r in k],
        [tree.name[r] for r in k],
        [tree.name_en[r] for r in k],
        tree.parent[rows].tolist(),
        tree.level[rows].tolist(),
        synthetic=_flags(rows, tree.synthetic[rows]),
        unlocated=_flags(rows, tree.unlocated[rows]),
    )


def twin(table: Twins, slots: Int64, fields: list[str] | None, named: Bool, gone: list[int]) -> Twin:
    """Rows of a twin table; names for those in `named` (bool per slot given)."""
    k = slots.tolist()
    cols = {
        name: [column[s] for s in k]
        for name, column in table.columns.items()
        if name not in NAMES and (fields is None or name in fields)
    }
    some = slots[named]
    blank: list[Any] = []
    text = {n: [str(table.columns.get(n, blank)[s] or "") if n in table.columns else "" for s in some] for n in NAMES}
    names = Names(table.keys[some].tolist(), **text) if len(some) else None
    return Twin(table.keys[slots].tolist(), cols, names, gone)


def tail(message: Told, id: int = 0) -> str:
    """JSON of a message without its `{"type":..,"id":0,` head, so that clients with other ids share it."""
    head = f'{{"type":"{message.__struct_config__.tag}","id":{id},'
    text = _encoder.encode(message).decode()
    assert text.startswith(head)
    return text[len(head) :]


def text_of(message: Told) -> str:
    """JSON of a whole message."""
    return _encoder.encode(message).decode()


def ind_parts(
    sel: Selection, tables: Mapping[str, Indicators], bands: Mapping[str, Bands], keep: Bool
) -> list[dict[str, Any]]:
    """Payloads of a snapshot: the dictionary first, then values; `keep` masks scope rows."""
    scopes = split(np.flatnonzero(keep), SCOPE_ROWS)
    parts: list[dict[str, Any]] = [{"scopes": dictionary(sel.tree, rows)} for rows in scopes]
    room = 0
    for name, table in tables.items():
        known = table.seq[: len(keep)] > 0
        for rows in split(np.flatnonzero(known & keep[: len(known)]), VALUE_ROWS):
            if room < len(rows):
                parts.append({"values": {}})
                room = VALUE_ROWS
            parts[-1]["values"][name] = columns(rows, table, bands.get(name, Bands()))
            room -= len(rows) + 8
    return parts or [{}]


def ind_changes(
    sel: Selection, tables: Mapping[str, Indicators], bands: Mapping[str, Bands], prev: int
) -> dict[str, Columns]:
    """Columns of every wanted row that changed after `prev`, by indicator."""
    mask = sel.scopes()
    out = {}
    for name, table in tables.items():
        if table.head > prev:
            seq = table.seq[: len(mask)]
            rows = np.flatnonzero((seq > prev) & mask[: len(seq)])
            if len(rows):
                out[name] = columns(rows, table, bands.get(name, Bands()))
    return out


def new_scopes(sel: Selection, known: int) -> Dictionary | None:
    """Wanted scopes that came after the first `known` ones; None when there are none."""
    rows = np.flatnonzero(sel.scopes())
    rows = rows[rows >= known]
    return dictionary(sel.tree, rows) if len(rows) else None


def twin_changes(sel: Selection, table: Twins, prev: int) -> Twin | None:
    """Rows of the table that changed after `prev`, and those that left the filter."""
    n = len(table)
    mask = sel.twin(table)
    changed, moved = table.changed[:n] > prev, table.moved[:n] > prev
    slots = np.flatnonzero(changed & mask)
    gone = table.keys[:n][moved & ~mask].tolist()
    if not len(slots) and not gone:
        return None
    return twin(table, slots, sel.fields(table.columns), moved[slots], gone)


def twin_parts(sel: Selection, table: Twins, slots: Int64) -> list[dict[str, Any]]:
    """Payloads of a snapshot of these slots, each well under the size of a part."""
    parts: list[dict[str, Any]] = []
    for run in split(slots, 1_000):
        parts += _fitting(sel, table, run)
    return parts or [{"twin": Twin([], {})}]


def _fitting(sel: Selection, table: Twins, run: Int64) -> list[dict[str, Any]]:
    payload = twin(table, run, sel.fields(table.columns), np.ones(len(run), np.bool_), [])
    if len(run) > 1 and len(_encoder.encode(payload)) > CHUNK_BYTES - 1024:
        half = len(run) // 2
        return _fitting(sel, table, run[:half]) + _fitting(sel, table, run[half:])
    return [{"twin": payload}]


def log_parts(sel: Selection, ring: Ring, newest: int = 200) -> list[dict[str, Any]]:
    """Payloads of a snapshot of a log channel: its open or newest entries."""
    parts: list[dict[str, Any]] = [{"items": []}]
    size = 0
    for entry in ring.newest(newest):
        text = sel.entry(entry)
        if text is None or text is entry.gone:
            continue
        length = len(bytes(text)) + 1
        if size and size + length > CHUNK_BYTES - 1024:
            parts.append({"items": []})
            size = 0
        parts[-1]["items"].append(text)
        size += length
    return parts


def sys_parts(facts: Facts) -> list[dict[str, Any]]:
    """Payload of a snapshot of the channel `sys`."""
    return [{"sys": dict(facts.values)}]
