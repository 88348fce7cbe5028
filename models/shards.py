"""Which shard an event belongs to: a pure function of its subject's code, never of a place or a register.

So a duplicate, a correction with other coordinates, or a bus that crosses a district line reaches the shard that holds
the entity. Registers are in every shard, each of which counts those that it owns; cases live at the desk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numba import njit

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Bool, Int32, Int64, Strings
from citytwin.models.vocabulary import EventType

#: Digits of a community's code: entities of one community that are coded by it lie in one shard.
COMMUNITY_DIGITS = 12
#: Families that have one owner for the whole city: what is decided between two of their subjects is decided there.
DESK_FAMILIES = frozenset({
    "case", "alarms", "alarm.health", "warning", "plan", "plan.started",
    "plan.step_done", "plan.step_undone", "plan.level_changed", "plan.draft_discarded", "plan.report",
    "plan.receipt", "duty.set", "shift.handed", "shift.taken", "calendar.edition", "unit.state", "cap.alert",
})  # fmt: skip
#: Most shards of a city.
SHARDS_MAX = 1024
#: The number of the desk in parts, and that of who owns nothing, as the one who merges.
DESK, NOBODY = -1, -2


def name_of(shard: int) -> int | Literal["desk"]:
    """A shard as pages call it."""
    return "desk" if shard == DESK else shard


@njit(cache=True, nogil=True)
def _murmur2(data, lo, hi):  # type: ignore[no-untyped-def]
    """Murmur2 over data[lo:hi] as clients of Kafka have it (32 bit, seed 0x9747b28c)."""
    m = np.uint32(0x5BD1E995)
    h = np.uint32(np.uint32(0x9747B28C) ^ np.uint32(hi - lo))
    i = lo
    while hi - i >= 4:
        k = np.uint32(data[i]) | np.uint32(data[i + 1]) << np.uint32(8)
        k |= np.uint32(data[i + 2]) << np.uint32(16) | np.uint32(data[i + 3]) << np.uint32(24)
        k = np.uint32(k * m)
        k ^= k >> np.uint32(24)
        k = np.uint32(k * m)
        h = np.uint32(h * m)
        h ^= k
        i += 4
    left = hi - i
    if left >= 3:
        h ^= np.uint32(data[i + 2]) << np.uint32(16)
    if left >= 2:
        h ^= np.uint32(data[i + 1]) << np.uint32(8)
    if left >= 1:
        h ^= np.uint32(data[i])
        h = np.uint32(h * m)
    h ^= h >> np.uint32(13)
    h = np.uint32(h * m)
    return h ^ (h >> np.uint32(15))


@njit(cache=True, nogil=True)
def _shards(data, offsets, digits, shards, out):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        lo, hi = offsets[row], offsets[row + 1]
        if hi - lo >= digits:
            community = True
            for i in range(lo, lo + digits):
                community &= 48 <= data[i] <= 57
            if community:
                hi = lo + digits
        out[row] = np.int32((_murmur2(data, lo, hi) & np.uint32(0x7FFFFFFF)) % np.uint32(shards))


def shards_of(codes: Strings, shards: int) -> Int32:
    """Shard of each code (int32[n], 0 <= shard < shards): by its community prefix where it has one, else by all of it.

    >>> shards_of(Strings.of(["420106001001007", "420106001001008"]), 8).tolist()
    [3, 3]
    """
    out = np.zeros(len(codes), np.int32)
    _shards(codes.data, codes.offsets, COMMUNITY_DIGITS, shards, out)
    return out


def route(batch: EventBatch, kind: EventType, shards: int) -> Int32:
    """Shard of each event of a batch (int32[n]); DESK for the desk's families.

    What has no subject goes by its id, a correction of it by the id of its original; but where the newest event or the
    fold of a subject is kept, those without one are one subject too, in one shard. Registers go nowhere: see module.
    """
    if (kind.family or kind.name) in DESK_FAMILIES:
        return np.full(len(batch), DESK, np.int32)
    found = shards_of(batch.subject, shards)
    if kind.key or kind.folded:
        return found
    bare = np.flatnonzero(batch.subject.lengths() == 0)
    if len(bare):
        ids = batch.id.take(bare)
        corrects = batch.corrects.take(bare)
        by_original = corrects.lengths() > 0
        found[bare] = np.where(by_original, shards_of(corrects, shards), shards_of(ids, shards))
    return found


@dataclass(slots=True)
class Ownership:
    """What one of `shards` counts of the registers that all of them hold; DESK and NOBODY own nothing."""

    shard: int
    shards: int
    _mine: list[Bool] = field(default_factory=list)

    def of_codes(self, codes: Strings) -> Bool:
        """Which of the codes are its own."""
        mine: Bool = shards_of(codes, self.shards) == self.shard
        return mine

    def pick(self, codes: Strings, index: Int64) -> Int64:
        """Those of the indices whose code (in `codes`, at the index) is its own."""
        return index[self.of_codes(codes.take(index))] if len(index) else index
