"""The life of a case as one literal table: states, moves, clocks.

A case is the fold of its events in the order (event time, source, id, revision). `MOVES[state, move]` is the next
state, or -1: the case cannot make that move, the event is answered with `illegal_move` and the fold goes on as if it
were not there. Only `case.reported` and `case.history` begin a case. Sources: GB/T 30428 (seven stages), CJ/T 292
(two centres).

What a move does to the clocks, besides setting `<state>_at` to its event time:

* filed: `due_at` is the event's; the case is open (counts in the backlog) until a finishing state.
* extended: `due_at` is the event's; the state stays. Not while deferred: resume first.
* deferred, parked: hold = max(0, until - time) is added to `due_at` and to `deferred_ms`; the case is on hold in
  [time, until).
* the next move out of a hold (or another one) at time t before `until` ends it early: until - t is taken back from
  `due_at` and `deferred_ms`. So the deferred time is never part of the elapsed time (`elapsed_ms`).
* moves that `KEEPS` marks leave the state and every clock as they are, also a hold: notes, assignments, requests,
  urging, and what a second unit says that the first one has said. escalated is counted.
* returned: waits for another dispatch, `returns` + 1. verified with passed = 0 (the pseudo-move `FAILED`): the same,
  with `rework` + 1 instead. designated: a supervisor says who has to take it; else as dispatched.
* closed: `closed_at` is set; on time when closed_at <= due_at. evaluated: leaves `closed_at` alone.
* reopened: the same case again: the state is filed, `closed_at` is empty, `reopened` + 1, `due_at` is the event's where
  it names one.
* answered, transferred, withdrawn: the report ends before it becomes a case; later a case can be voided. What was
  transferred without a receipt waits for `acknowledged`, which keeps the state.
* merged: a child never counts in closing rates, its parent does; voided and rejected ones do not count either.
* unmerged: the state is that before the merge (`BEFORE` in the table), and so is everything but the count of moves, the
  time of the last one and the count of merges: as if the merge and this had never been said.
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
    "answered",
    "transferred",
    "withdrawn",
    "parked",
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
    "case.answered",
    "case.transferred",
    "case.withdrawn",
    "case.parked",
    "case.unmerged",
    "case.designated",
    "case.assigned",
    "case.unassigned",
    "case.enroute",
    "case.cleared",
    "case.extension_asked",
    "case.extension_refused",
    "case.urged",
    "case.supervised",
    "case.instructed",
    "case.noted",
    "case.evidence",
    "case.unlike",
    "case.called_back",
    "case.acknowledged",
)

#: Column of `MOVES` for case.verified with passed = 0.
FAILED: int = len(MOVE_TYPES)
#: Column of `MOVES` for case.history without closed_at.
HISTORY_OPEN: int = len(MOVE_TYPES) + 1

#: In place of a state in `MOVES`: the state before the merge.
BEFORE: int = len(STATES)

_SENT = "dispatched received arrived"
_WORKING = f"filed {_SENT} returned"
_OPEN = f"{_WORKING} handled verified deferred parked"
_ALIVE = f"reported accepted {_OPEN}"
_KNOWN = " ".join(STATES[1:])

# move: states it is legal in, state it leads to; "=" stays and leaves the clocks alone, "<" the state before the merge
_LAW: dict[str, tuple[tuple[str, str], ...]] = {
    "case.reported": (("new", "reported"),),
    "case.accepted": (("reported", "accepted"),),
    "case.rejected": (("reported accepted", "rejected"),),
    "case.filed": (("accepted", "filed"),),
    "case.dispatched": ((f"{_WORKING} deferred parked", "dispatched"),),
    "case.received": (("dispatched", "received"), ("received arrived", "=")),
    "case.arrived": (("dispatched received", "arrived"), ("arrived", "=")),
    "case.handled": (("received arrived", "handled"),),
    "case.returned": ((_SENT, "returned"),),
    "case.verified": (("handled", "verified"),),
    "case.closed": (("verified", "closed"),),
    "case.reopened": (("closed evaluated", "filed"),),
    "case.deferred": ((f"{_WORKING} deferred", "deferred"),),
    "case.extended": ((f"{_WORKING} handled", "="),),
    "case.escalated": ((_ALIVE, "="),),
    "case.merged": ((f"reported accepted {_WORKING} deferred parked", "merged"),),
    "case.voided": ((f"{_WORKING} handled deferred parked", "voided"),),
    "case.evaluated": (("closed", "evaluated"),),
    "case.history": (("new", "closed"),),
    "case.answered": (("reported accepted", "answered"),),
    "case.transferred": (("reported accepted", "transferred"),),
    "case.withdrawn": (("reported accepted", "withdrawn"),),
    "case.parked": ((f"{_WORKING} deferred parked", "parked"),),
    "case.unmerged": (("merged", "<"),),
    "case.designated": ((f"{_WORKING} deferred parked", "dispatched"),),
    "case.assigned": ((f"filed {_SENT}", "="),),
    "case.unassigned": ((_OPEN, "="),),
    "case.enroute": ((f"filed {_SENT}", "="),),
    "case.cleared": ((_OPEN, "="),),
    "case.extension_asked": ((f"{_WORKING} handled deferred", "="),),
    "case.extension_refused": ((f"{_WORKING} handled deferred", "="),),
    "case.urged": ((_ALIVE, "="),),
    "case.supervised": ((_ALIVE, "="),),
    "case.instructed": ((_ALIVE, "="),),
    "case.noted": ((_KNOWN, "="),),
    "case.evidence": ((_KNOWN, "="),),
    "case.unlike": ((_ALIVE, "="),),
    "case.called_back": ((_KNOWN, "="),),
    "case.acknowledged": (("transferred", "="),),
    "FAILED": (("handled", "returned"),),
    "HISTORY_OPEN": (("new", "filed"),),
}


def _tables() -> tuple[NDArray[np.int8], Bool]:
    moves = np.full((len(STATES), len(MOVE_TYPES) + 2), -1, np.int8)
    keeps = np.zeros(moves.shape, np.bool_)
    for column, name in enumerate((*MOVE_TYPES, "FAILED", "HISTORY_OPEN")):
        for states, target in _LAW[name]:
            for state in states.split():
                code = STATES.index(state)
                keeps[code, column] = target == "="
                moves[code, column] = code if target == "=" else BEFORE if target == "<" else STATES.index(target)
    moves.flags.writeable = keeps.flags.writeable = False
    return moves, keeps


def _mask(states: str) -> Bool:
    mask = np.isin(np.array(STATES), states.split())
    mask.flags.writeable = False
    return mask


#: int8[states, moves + 2]: the next state, -1 where the move is illegal, BEFORE where it takes a merge back.
MOVES: NDArray[np.int8]
#: bool[states, moves + 2]: the move changes neither the state nor `<state>_at` nor a hold.
KEEPS: Bool
MOVES, KEEPS = _tables()

#: Event types that never lead to another state: notes, requests, what is said of units.
WORDS: frozenset[str] = frozenset(name for name in MOVE_TYPES if all(target == "=" for _, target in _LAW[name]))
#: Events that a case may have: words up to the first, moves up to the second, so that a case full of words can end.
WORDS_MAX, EVENTS_MAX = 10_000, 20_000

#: bool[states]: filed and not finished: the backlog, what can be overdue.
OPEN: Bool = _mask(_OPEN)
#: bool[states]: finished; exactly one such state ends a case, unless it is reopened.
TERMINAL: Bool = _mask("closed evaluated rejected merged voided answered transferred withdrawn")
#: bool[states]: handled to the end: what closing rates count as closed.
DONE: Bool = _mask("closed evaluated")
#: bool[states]: on hold until a time, in which the handling clock stands still.
HELD: Bool = _mask("deferred parked")
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
    "answered": {"zh": "直接答复", "en": "Answered at once"},
    "transferred": {"zh": "已转办", "en": "Transferred"},
    "withdrawn": {"zh": "已撤销", "en": "Withdrawn"},
    "parked": {"zh": "挂账", "en": "Parked"},
}


def next_state(
    state: str, event_type: str, *, passed: bool = True, closed: bool = True, before: str = "reported"
) -> str | None:
    """The state that an event leads to, None if the case cannot make that move.

    `passed` is the field of case.verified, `closed` says that a case.history has closed_at, `before` is the state that
    a merged case had. KeyError for other types.

    >>> next_state("handled", "case.verified", passed=False)
    'returned'
    >>> next_state("reported", "case.closed") is None
    True
    """
    code = int(MOVES[STATES.index(state), move_of(event_type, passed=passed, closed=closed)])
    return None if code < 0 else before if code == BEFORE else STATES[code]


def move_of(event_type: str, *, passed: bool = True, closed: bool = True) -> int:
    """Column of `MOVES` for an event, see `next_state`. KeyError for other types."""
    if event_type not in MOVE_TYPES:
        raise KeyError(f"{event_type!r} is no move of a case; known are {', '.join(MOVE_TYPES)}")
    if event_type == "case.verified" and not passed:
        return FAILED
    if event_type == "case.history" and not closed:
        return HISTORY_OPEN
    return MOVE_TYPES.index(event_type)


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
