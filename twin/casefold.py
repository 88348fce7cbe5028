"""The fold of cases by the table of models.lifecycle: columns of a case, and the kernel that fills them.

All live events of a case in the order (time, source, id, revision); nothing depends on the order of arrival.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from citytwin.models.columns import MISSING
from citytwin.models.lifecycle import BEFORE, HELD, MOVE_TYPES, STATES
from citytwin.twin.ledger import comes_after

#: States and moves that the kernels below are compiled with. numba keeps what it compiled until this file changes, so
#: whoever changes the table of lifecycle changes these, and no old kernel folds by a new table.
_COMPILED = (20, 39)
if (len(STATES), len(MOVE_TYPES)) != _COMPILED:
    raise ImportError(f"casefold: {len(STATES)} states and {len(MOVE_TYPES)} moves; write them into _COMPILED")

_S = len(STATES)
#: Whole-number columns after the `<state>_at` times.
_EXTRA = (
    "due_at", "deferred_ms", "until", "returns", "rework", "reopened", "escalations", "first_at", "last_at", "moves",
    "illegal", "state_code", "since", "merges",
)  # fmt: skip
COLUMNS: tuple[str, ...] = (*(f"{s}_at" for s in STATES), *_EXTRA)
(
    _DUE, _HELD, _UNTIL, _RETURNS, _REWORK, _REOPENED, _ESC, _FIRST, _LAST, _MOVES, _ILLEGAL, STATE, _SINCE, _MERGES
) = range(_S, _S + len(_EXTRA))  # fmt: skip
_CODE = {
    name: MOVE_TYPES.index(f"case.{name}")
    for name in ("reopened", "deferred", "extended", "escalated", "history", "parked", "merged")
}
_REOPEN, _DEFER, _EXTEND, _ESCALATE, _HISTORY, _PARK, _MERGE = (
    _CODE[n] for n in ("reopened", "deferred", "extended", "escalated", "history", "parked", "merged")
)
_FAILED, _HISTORY_OPEN = len(MOVE_TYPES), len(MOVE_TYPES) + 1
_RETURNED_STATE, _CLOSED_STATE = STATES.index("returned"), STATES.index("closed")
_REPORTED_STATE, _FILED_STATE = STATES.index("reported"), STATES.index("filed")
_MERGED_STATE = STATES.index("merged")
_BEFORE, _ON_HOLD = BEFORE, HELD
_NOTHING = MISSING


@njit(cache=True, nogil=True)
def sorted_rows(head, prev, live, order, rows):  # type: ignore[no-untyped-def]
    """Live rows of the list that begins at `head`, in the order of the fold: (rows, made longer if need be; count)."""
    n = 0
    i = head
    while i >= 0:
        if live[i]:
            if n == len(rows):
                bigger = np.empty(2 * n, np.int64)
                bigger[:n] = rows
                rows = bigger
            rows[n] = i
            n += 1
        i = prev[i]
    # the list begins with the newest: turned around it is in order, or nearly, and little is left to sort
    for k in range(n // 2):
        rows[k], rows[n - 1 - k] = rows[n - 1 - k], rows[k]
    for k in range(1, n):
        i, j = rows[k], k
        while j > 0 and comes_after(order, rows[j - 1], i):
            rows[j] = rows[j - 1]
            j -= 1
        rows[j] = i
    return rows, n


@njit(cache=True, nogil=True)
def _clocks(case, m, t, state, nxt, keeps, times):  # type: ignore[no-untyped-def]
    """What one legal move does to the clocks and counts of its case: the law of models.lifecycle."""
    due, until, created, closed = times
    if _ON_HOLD[state] and not keeps and case[_UNTIL] > t:
        back = case[_UNTIL] - t
        if case[_DUE] != _NOTHING:
            case[_DUE] -= back
        case[_HELD] -= back
        case[_UNTIL] = _NOTHING
    if m == _EXTEND:
        case[_DUE] = due
    elif m == _ESCALATE:
        case[_ESC] += 1
    elif keeps:
        return
    elif m in (_DEFER, _PARK):
        hold = max(0, until - t)
        if case[_DUE] != _NOTHING:
            case[_DUE] += hold
        case[_HELD] += hold
        case[_UNTIL] = until
        case[nxt] = t
    elif m == _REOPEN:
        case[_REOPENED] += 1
        case[_CLOSED_STATE] = _NOTHING
        if due != _NOTHING:
            case[_DUE] = due
    elif m in (_HISTORY, _HISTORY_OPEN):
        case[_REPORTED_STATE] = created
        case[_FILED_STATE] = created
        case[_CLOSED_STATE] = closed
        case[_DUE] = due
    else:
        case[nxt] = t
        if due != _NOTHING:
            case[_DUE] = due
        if nxt == _RETURNED_STATE:
            case[_REWORK if m == _FAILED else _RETURNS] += 1


@njit(cache=True, nogil=True)
def _hear(r, told, place_of, picked, spots):  # type: ignore[no-untyped-def]
    """Keep what event r says of the case: fields, and (place, row of the last event with a position, of the merge)."""
    for f in range(len(picked)):
        if told[r] >> f & 1:
            picked[f] = r
    if place_of[0][r] >= 0:
        spots[0] = place_of[0][r]
    if not np.isnan(place_of[1][r]):
        spots[1] = r


@njit(cache=True, nogil=True)
def _take_back(case, saved, t):  # type: ignore[no-untyped-def]
    """Be as if the merge had never been, but for what is counted of the moves themselves."""
    for c in (_MOVES, _ILLEGAL, _LAST, _MERGES):
        saved[c] = case[c]
    case[:] = saved
    case[_MOVES] += 1
    case[_LAST] = t


@njit(cache=True, nogil=True)
def fold_cases(slots, links, order, law, move, fields, told, place_of, out, picked, spots, bad):  # type: ignore[no-untyped-def]
    """Fold each case; `law` = (MOVES, KEEPS), `fields` = (due_at, until, created_at, closed_at), `place_of` = (scope,
    lon) by event.

    Bit f of `told` says that an event has field f; `picked` is the event whose value of it holds. `spots` has the scope
    of each case, its event with a position, and the event that merged it (-1 none).
    """
    moves, keeping = law
    due, until, created, closed = fields
    head, prev, live = links
    rows = np.empty(64, np.int64)
    time = order[0]
    # what the case was before its merge
    saved, saved_picks, saved_spots = np.empty_like(out[0]), np.empty_like(picked[0]), np.empty_like(spots[0])
    for k in range(len(slots)):
        s = slots[k]
        rows, n = sorted_rows(head[s], prev, live, order, rows)
        case = out[s]
        case[:] = _NOTHING
        for c in (_HELD, _RETURNS, _REWORK, _REOPENED, _ESC, _MOVES, _ILLEGAL, STATE, _MERGES):
            case[c] = 0
        picked[s, :] = -1
        spots[s, :] = -1
        for r in rows[:n]:
            m, t, state = move[r], time[r], case[STATE]
            nxt = moves[state, m]
            bad[r] = nxt < 0
            if nxt < 0:
                case[_ILLEGAL] += 1
                continue
            if nxt == _BEFORE:
                _take_back(case, saved, t)
                picked[s], spots[s] = saved_picks, saved_spots
                continue
            if m == _MERGE:
                saved[:], saved_picks[:], saved_spots[:] = case, picked[s], spots[s]
                case[_MERGES] += 1
                spots[s, 2] = r
            _clocks(case, m, t, state, nxt, keeping[state, m], (due[r], until[r], created[r], closed[r]))
            if nxt != state:
                case[_SINCE] = t
            case[STATE] = nxt
            case[_MOVES] += 1
            if case[_FIRST] == _NOTHING:
                case[_FIRST] = t
            case[_LAST] = t
            _hear(r, told, place_of, picked[s], spots[s])
            if state == _MERGED_STATE:
                _hear(r, told, place_of, saved_picks, saved_spots)
