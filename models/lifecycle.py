"""The life of a case as one literal table: states, moves, clocks.

A case is the fold of its events in the order (event time, source, id, revision). `MOVES[state, move]` is the next
state, or -1: the case cannot make that move, the event is answered with `illegal_move` and the fold goes on as if it
were not there. Only `case.reported` and `case.history` begin a case. Sources: GB/T 30428 (seven stages), CJ/T 292
(two centres).

What a move does to the clocks, besides setting `<state>_at` to its event time:

* filed: `due_at` is the event's; the case is open (counts in the backlog) until a finishing state.
* extended: `due_at` is the event's; the state stays. Not while deferred: resume first.
* deferred: hold = max(0, until - time) is added to `due_at` and to `deferred_ms`; the case is on hold in [time, until).
* the next move out of `deferred` (or another deferral) at time t before `until` ends the hold early: until - t is taken
  back from `due_at` and `deferred_ms`. So the deferred time is never part of the elapsed time (`elapsed_ms`).
* escalated: nothing but a count; the state and every clock stay, also a hold.
* returned: waits for another dispatch, `returns` + 1. verified with passed = 0 (the pseudo-move `FAILED`): the same,
  with `rework` + 1 instead.
* closed: `closed_at` is set; on time when closed_at <= due_at. evaluated: leaves `closed_at` alone.
* reopened: the same case again: the state is filed, `closed_at` is empty, `reopened` + 1, `due_at` is the event's where
  it names one.
* merged: a child never counts in closing rates, its parent does; voided and rejected ones do not count either.
* history: the record of another system, closed if it has `closed_at` (the pseudo-move `HISTORY_OPEN` if not):
  `reported_at` and `filed_at` are its `created_at`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import MISSING, Bool, Int64

#: States in the order of their codes; 0 is a case that no event has begun yet.
STATES: tuple[str, ...] = (
    "new",
    "reported",
    "accepted",
    "filed",
    "dispatched",
    "received",
    "arrived",
    "handled",
    "verified",
    "closed",
    "evaluated",
    "deferred",
    "returned",
    "rejected",
    "merged",
    "voided",
)

#: Event types in the order of their move codes; the two pseudo-moves follow them.
MOVE_TYPES: tuple[str, ...] = (
    "case.reported",
    "case.accepted",
    "case.rejected",
    "case.filed",
    "case.dispatched",
    "case.received",
    "case.arrived",
    "case.handled",
    "case.returned",
    "case.verified",
    "case.closed",
    "case.reopened",
    "case.deferred",
    "case.extended",
    "case.escalated",
    "case.merged",
    "case.voided",
    "case.evaluated",
    "case.history",
)

#: Column of `MOVES` for case.verified with passed = 0.
FAILED: int = len(MOVE_TYPES)
#: Column of `MOVES` for case.history without closed_at.
HISTORY_OPEN: int = len(MOVE_TYPES) + 1

# move: (states it is legal in, state it leads to; "=" stays)
_LAW: dict[str, tuple[str, str]] = {
    "case.reported": ("new", "reported"),
    "case.accepted": ("reported", "accepted"),
    "case.rejected": ("reported accepted", "rejected"),
    "case.filed": ("accepted", "filed"),
    "case.dispatched": ("filed dispatched received arrived returned deferred", "dispatched"),
    "case.received": ("dispatched", "received"),
    "case.arrived": ("dispatched received", "arrived"),
    "case.handled": ("received arrived", "handled"),
    "case.returned": ("dispatched received arrived", "returned"),
    "case.verified": ("handled", "verified"),
    "case.closed": ("verified", "closed"),
    "case.reopened": ("closed evaluated", "filed"),
    "case.deferred": ("filed dispatched received arrived returned deferred", "deferred"),
    "case.extended": ("filed dispatched received arrived returned handled", "="),
    "case.escalated": ("reported accepted filed dispatched received arrived handled verified returned deferred", "="),
    "case.merged": ("reported accepted filed dispatched received arrived returned deferred", "merged"),
    "case.voided": ("filed dispatched received arrived handled returned deferred", "voided"),
    "case.evaluated": ("closed", "evaluated"),
    "case.history": ("new", "closed"),
    "FAILED": ("handled", "returned"),
    "HISTORY_OPEN": ("new", "filed"),
}


def _table() -> NDArray[np.int8]:
    moves = np.full((len(STATES), len(MOVE_TYPES) + 2), -1, np.int8)
    for column, name in enumerate((*MOVE_TYPES, "FAILED", "HISTORY_OPEN")):
        states, target = _LAW[name]
        for state in states.split():
            code = STATES.index(state)
            moves[code, column] = code if target == "=" else STATES.index(target)
    moves.flags.writeable = False
    return moves


def _mask(states: str) -> Bool:
    mask = np.isin(np.array(STATES), states.split())
    mask.flags.writeable = False
    return mask


#: int8[states, moves + 2]: the next state, -1 where the move is illegal.
MOVES: NDArray[np.int8] = _table()

#: bool[states]: filed and not finished: the backlog, what can be overdue.
OPEN: Bool = _mask("filed dispatched received arrived handled verified deferred returned")
#: bool[states]: finished; exactly one such state ends a case, unless it is reopened.
TERMINAL: Bool = _mask("closed evaluated rejected merged voided")
#: bool[states]: handled to the end: what closing rates count as closed.
DONE: Bool = _mask("closed evaluated")
#: bool[states]: in the denominator of closing rates: open or done; not merged children, voided or rejected cases.
COUNTED: Bool = OPEN | DONE

TITLES: dict[str, dict[str, str]] = {
    "new": {"zh": "未建", "en": "New"},
    "reported": {"zh": "上报", "en": "Reported"},
    "accepted": {"zh": "受理", "en": "Accepted"},
    "filed": {"zh": "立案", "en": "Filed"},
    "dispatched": {"zh": "派遣", "en": "Dispatched"},
    "received": {"zh": "签收", "en": "Received"},
    "arrived": {"zh": "到场", "en": "On site"},
    "handled": {"zh": "处置完成", "en": "Handled"},
    "verified": {"zh": "核查通过", "en": "Verified"},
    "closed": {"zh": "结案", "en": "Closed"},
    "evaluated": {"zh": "评价", "en": "Evaluated"},
    "deferred": {"zh": "缓办", "en": "Deferred"},
    "returned": {"zh": "退回", "en": "Returned"},
    "rejected": {"zh": "不予受理", "en": "Rejected"},
    "merged": {"zh": "已合并", "en": "Merged"},
    "voided": {"zh": "作废", "en": "Voided"},
}


def next_state(state: str, event_type: str, *, passed: bool = True, closed: bool = True) -> str | None:
    """The state that an event leads to, None if the case cannot make that move.

    `passed` is the field of case.verified, `closed` says that a case.history has closed_at. KeyError for other types.

    >>> next_state("handled", "case.verified", passed=False)
    'returned'
    >>> next_state("reported", "case.closed") is None
    True
    """
    if event_type not in MOVE_TYPES:
        raise KeyError(f"{event_type!r} is no move of a case; known are {', '.join(MOVE_TYPES)}")
    move = MOVE_TYPES.index(event_type)
    if event_type == "case.verified" and not passed:
        move = FAILED
    if event_type == "case.history" and not closed:
        move = HISTORY_OPEN
    code = int(MOVES[STATES.index(state), move])
    return None if code < 0 else STATES[code]


def move_codes(move: NDArray[np.integer], passed: NDArray[np.int8], closed_at: Int64) -> NDArray[np.int8]:
    """Columns of `MOVES` for events (int8[n]): `move` indexes MOVE_TYPES, `passed` is 0 for a failed check.

    `closed_at` int64[n], MISSING where a record of history is still open.
    """
    codes = move.astype(np.int8)
    codes[(codes == MOVE_TYPES.index("case.verified")) & (passed == 0)] = FAILED
    codes[(codes == MOVE_TYPES.index("case.history")) & (closed_at == MISSING)] = HISTORY_OPEN
    return codes


def hold_ms(time: int, until: int) -> int:
    """Length of a hold from `time` to `until`: what a deferral adds, or what an early move out of it takes back."""
    return max(0, until - time)


def elapsed_ms(filed_at: int, end: int, deferred_ms: int) -> int:
    """Time on the handling clock from filing to `end`: the deferred time is not part of it."""
    return end - filed_at - deferred_ms
