"""Parts of shards and frames of the board as bytes, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from citytwin.models.batch import Rejection
from citytwin.models.columns import Coded
from citytwin.models.frame import Delta, Frame, Values
from citytwin.models.part import Bunch, Part, Share, Told
from citytwin.streams.arrays import dump, load
from citytwin.streams.pack import CorruptRecord

PART, FRAME = 1, 2
_BUNCHES = ("sums", "extremes", "histograms", "keys", "panes")
_VALUES = ("rows", "value", "quality", "fresh", "expected", "restated", "closed")
Arrays = dict[str, "NDArray[Any] | Coded"]


@dataclass(frozen=True, slots=True, eq=False)
class BoardFrame:
    """A frame as the board has it.

    `final`: all shards said their part; else `missing` names those that did not. `key`: it holds everything, not
    what changed. `hash`: of the final state ("" where it was not asked for).
    """

    frame: Frame
    final: bool = True
    missing: tuple[int, ...] = ()
    key: bool = False
    hash: str = ""


def encode_part(part: Part) -> bytes:
    """A part as bytes."""
    arrays: Arrays = {f"newest.{n}": c for n, c in part.newest.items()}
    keys = {}
    for name in _BUNCHES:
        bunch: Bunch = getattr(part.share, name)
        keys[name] = bunch.keys
        arrays[f"{name}.counts"] = bunch.counts
        arrays |= {f"{name}.{i}": c for i, c in enumerate(bunch.columns)}
    rows = {}
    for key, told in part.share.rows.items():
        rows[key] = dump_told(key, told, arrays)
    return dump((part.shard, part.k, part.now, keys, rows, part.facts), arrays)


def decode_part(body: bytes) -> Part:
    """The part of `encode_part`. Raises CorruptRecord."""
    with _reading("a part"):
        return _part(body)


def _part(body: bytes) -> Part:
    (shard, k, now, keys, rows, facts), arrays = load(body)
    bunches = {}
    for name in _BUNCHES:
        n = sum(1 for a in arrays if a.startswith(f"{name}.")) - 1
        columns = tuple(_plain(arrays[f"{name}.{i}"]) for i in range(n))
        bunches[name] = Bunch(tuple(keys[name]), _plain(arrays[f"{name}.counts"]), columns)
    told = {key: load_told(key, columns, arrays) for key, columns in rows.items()}
    newest = {n[7:]: c for n, c in arrays.items() if n.startswith("newest.")}
    return Part(shard, k, now, Share(**bunches, rows=told), facts, newest)


def dump_told(key: str, told: Told, arrays: Arrays) -> tuple[str, ...]:
    """Put rows of a form into arrays; names of their columns."""
    columns: Arrays = {"a": told.key_a, "b": told.key_b, "scope": told.scope, "entity": told.entity}
    for name, found in told.columns.items():
        columns[f".{name}"] = found
    for name, found in columns.items():
        arrays[f"rows.{key}\t{name}"] = found
    return tuple(told.columns)


def load_told(key: str, columns: tuple[str, ...], arrays: Mapping[str, NDArray[Any] | Coded]) -> Told:
    """The rows that `dump_told` put there."""
    a, b, scope, entity = (_plain(arrays[f"rows.{key}\t{n}"]) for n in ("a", "b", "scope", "entity"))
    return Told(a, b, scope, entity, {n: arrays[f"rows.{key}\t.{n}"] for n in columns})


def encode_frame(told: BoardFrame) -> bytes:
    """A frame of the board as bytes."""
    frame = told.frame
    arrays: Arrays = {}
    ids, scaled = list(frame.values), []
    for i, values in enumerate(frame.values.values()):
        arrays |= {f"{i}.{name}": getattr(values, name) for name in _VALUES}
        if values.scale is not None:
            arrays[f"{i}.scale"] = values.scale
            scaled.append(i)
    twin = {}
    for kind, delta in frame.twin.items():
        arrays[f"twin.{kind}"] = delta.rows
        twin[kind] = dict(delta.columns)
    refused = msgspec.to_builtins(frame.refused)
    head = (frame.k, frame.now, frame.position, told.final, told.missing, told.key, told.hash)
    return dump((head, ids, scaled, twin, frame.cases, frame.ticker, frame.sys, refused, frame.desk), arrays)


def decode_frame(body: bytes) -> BoardFrame:
    """The frame of `encode_frame`. Raises CorruptRecord."""
    with _reading("a frame"):
        return _frame(body)


def _frame(body: bytes) -> BoardFrame:
    (head, ids, scaled, twin, cases, ticker, sys, refused, desk), arrays = load(body)
    k, now, position, final, missing, key, digest = head
    values = {}
    for i, id in enumerate(ids):
        columns = {name: _plain(arrays[f"{i}.{name}"]) for name in _VALUES}
        scale = _plain(arrays[f"{i}.scale"]) if i in scaled else None
        values[id] = Values(**columns, scale=scale)
    deltas = {kind: Delta(_plain(arrays[f"twin.{kind}"]), columns) for kind, columns in twin.items()}
    said = tuple(msgspec.convert(refused, list[Rejection]))
    rows = {part: tuple(told) for part, told in desk.items()}
    frame = Frame(k, now, position, values, deltas, tuple(cases), tuple(ticker), sys, said, rows)
    return BoardFrame(frame, final, tuple(missing), key, digest)


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except CorruptRecord:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        raise CorruptRecord(f"not {what} of this version: {type(error).__name__}: {error}") from error


def _plain(column: NDArray[Any] | Coded) -> NDArray[Any]:
    assert isinstance(column, np.ndarray)
    return column
