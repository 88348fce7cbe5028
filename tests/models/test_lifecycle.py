"""The case table against a second, spelled-out list of every legal pair; all others must be refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.columns import MISSING
from citytwin.models.events import CASE_FIELDS, VOCABULARY
from citytwin.models.lifecycle import (
    COUNTED,
    DONE,
    FAILED,
    HISTORY_OPEN,
    MOVE_TYPES,
    MOVES,
    OPEN,
    STATES,
    TERMINAL,
    TITLES,
    elapsed_ms,
    hold_ms,
    move_codes,
    next_state,
)

# written by hand from the rules of the closed loop, state by state, not from the table
LEGAL = {
    "new": "reported>reported history>closed HISTORY_OPEN>filed",
    "reported": "accepted>accepted rejected>rejected merged>merged escalated>reported",
    "accepted": "filed>filed rejected>rejected merged>merged escalated>accepted",
    "filed": "dispatched>dispatched deferred>deferred extended>filed escalated>filed merged>merged voided>voided",
    "dispatched": "received>received arrived>arrived returned>returned dispatched>dispatched deferred>deferred "
    "extended>dispatched escalated>dispatched merged>merged voided>voided",
    "received": "arrived>arrived handled>handled returned>returned dispatched>dispatched deferred>deferred "
    "extended>received escalated>received merged>merged voided>voided",
    "arrived": "handled>handled returned>returned dispatched>dispatched deferred>deferred extended>arrived "
    "escalated>arrived merged>merged voided>voided",
    "handled": "verified>verified FAILED>returned extended>handled escalated>handled voided>voided",
    "verified": "closed>closed escalated>verified",
    "closed": "evaluated>evaluated reopened>filed",
    "evaluated": "reopened>filed",
    "deferred": "dispatched>dispatched deferred>deferred escalated>deferred merged>merged voided>voided",
    "returned": "dispatched>dispatched deferred>deferred extended>returned escalated>returned merged>merged "
    "voided>voided",
    "rejected": "",
    "merged": "",
    "voided": "",
}
COLUMNS = [t.removeprefix("case.") for t in MOVE_TYPES] + ["FAILED", "HISTORY_OPEN"]


@pytest.mark.parametrize("state", STATES)
def test_every_pair_of_state_and_move_is_legal_or_refused_as_listed(state: str) -> None:
    allowed = dict(pair.split(">") for pair in LEGAL[state].split())
    for column, move in enumerate(COLUMNS):
        code = int(MOVES[STATES.index(state), column])
        assert (STATES[code] if code >= 0 else None) == allowed.get(move), (state, move)


def test_moves_are_the_case_types_of_the_vocabulary() -> None:
    family = {t.name for t in VOCABULARY().types.values() if t.family == "case"}
    assert family == set(MOVE_TYPES)
    assert {f"case.{name}" for name in CASE_FIELDS} == family - {"case.history"}
    assert MOVES.shape == (len(STATES), len(MOVE_TYPES) + 2)
    assert (len(MOVE_TYPES), len(MOVE_TYPES) + 1) == (FAILED, HISTORY_OPEN)


def test_masks_split_the_states() -> None:
    early = np.isin(np.array(STATES), ["new", "reported", "accepted"])
    assert (early.astype(int) + OPEN + TERMINAL == 1).all()
    assert (DONE <= TERMINAL).all()
    assert (COUNTED == (OPEN | DONE)).all()
    assert set(TITLES) == set(STATES)


def test_dead_ends_are_terminal_and_every_open_state_can_finish() -> None:
    reach = {s: {s} for s in range(len(STATES))}
    for _ in STATES:
        for s, column in itertools.product(reach, range(MOVES.shape[1])):
            if MOVES[s, column] >= 0:
                reach[s] |= reach[int(MOVES[s, column])]
    for s, found in reach.items():
        assert TERMINAL[list(found)].any()
        if not TERMINAL[s]:
            assert (MOVES[s] >= 0).any()


@given(st.lists(st.sampled_from(range(len(MOVE_TYPES) + 2)), max_size=60))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_walks_have_one_terminal_state_until_reopened(walk: list[int]) -> None:
    state, finished = 0, None
    for move in walk:
        code = int(MOVES[state, move])
        if code < 0:
            continue
        if finished is not None:
            assert COLUMNS[move] in ("evaluated", "reopened")
        state = code
        finished = state if TERMINAL[state] else None
        assert (finished is None) or not OPEN[state]
    assert 0 <= state < len(STATES)


def test_names_give_the_same_answers_as_codes() -> None:
    assert next_state("new", "case.history", closed=False) == "filed"
    assert next_state("new", "case.history") == "closed"
    assert next_state("handled", "case.verified") == "verified"
    assert next_state("new", "case.closed") is None
    with pytest.raises(KeyError, match="no move of a case"):
        next_state("new", "case.flown")


def test_move_codes_tell_failed_checks_and_open_records() -> None:
    verified, history, closed = (MOVE_TYPES.index(f"case.{m}") for m in ("verified", "history", "closed"))
    got = move_codes(
        np.array([verified, verified, history, history, closed]),
        np.array([1, 0, -1, -1, 0], np.int8),
        np.array([MISSING, MISSING, 5, MISSING, MISSING]),
    )
    assert got.tolist() == [verified, FAILED, history, HISTORY_OPEN, closed]


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_hold_is_no_part_of_elapsed_time(start: int, length: int, back: int) -> None:
    until, end = start + length, start + back
    held = hold_ms(start, until) - hold_ms(end, until)
    assert held == min(length, back)
    assert elapsed_ms(0, end, held) == end - min(length, back)


def test_the_table_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        MOVES[0, 0] = 1
