"""Hashes of an engine: what two runs of one log must agree on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from citytwin import pending
from citytwin.models.frame import Quality
from citytwin.units import split_state

if TYPE_CHECKING:
    from citytwin.engine import Engine


def frame_hash(engine: Engine) -> str:
    """Hash of all values and qualities by scope, and of all cases."""
    digest = hashlib.blake2b(digest_size=16)
    for id in sorted(engine.board.lines):
        line = engine.board.lines[id]
        # a stale scope without a number differs from one without data
        rows = np.flatnonzero((line.quality != int(Quality.NODATA)) | ~np.isnan(line.closed))
        digest.update(id.encode())
        for part in (rows, line.value[rows], line.closed[rows], line.quality[rows]):
            digest.update((part + 0 if part.dtype != np.uint8 else part).tobytes())
    digest.update(str(engine.cases_digest()).encode())
    return digest.hexdigest()


def state_hash(engine: Engine) -> str:
    """Hash of the twin: entities, newest events, cases, ids, and the work that waits for the next tick."""
    digest = hashlib.blake2b(digest_size=16)
    for name, table in sorted(engine.newest.items()):
        digest.update(f"{name} {table.digest()}".encode())
    for family, journeys in sorted(engine.journeys.items()):
        digest.update(f"{family} {journeys.digest()}".encode())
    digest.update(str(engine.cases.digest() if engine.cases is not None else 0).encode())
    arrays, meta = split_state(engine.entities.state())
    for name in sorted(arrays):
        if not name.endswith("recorded"):
            digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    ids = [(ledger.key_a.data, ledger.live.data) for ledger in engine.ledgers.values()]
    sums = [(int(a[live].sum(dtype=np.uint64)), int(a.sum(dtype=np.uint64))) for a, live in ids]
    digest.update(repr((sorted(meta), sums)).encode() + pending.digest(engine))
    return digest.hexdigest()
