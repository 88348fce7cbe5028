"""The case table against a second, spelled-out list of every legal pair; all others must be refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.case_events import CASE_FIELDS
from citytwin.models.columns import MISSING
from citytwin.models.events import VOCABULARY
from citytwin.models.lifecycle import (
    BEFORE,
    COUNTED,
    DONE,
    FAILED,
    HELD,
    HISTORY_OPEN,
    KEEPS,
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

# written by hand from the rules of the closed loop, state by state, not from the table; "!" keeps state and clocks
_SAID = "noted! evidence! called_back!"
_PRESSED = f"{_SAID} escalated! urged! supervised! instructed! unlike!"
_ENDED_EARLY = "rejected>rejected answered>answered transferred>transferred withdrawn>withdrawn merged>merged"
_FREED = "unassigned! cleared!"
_ASKED = "extension_asked! extension_refused!"
_SENT_ON = "dispatched>dispatched designated>dispatched parked>parked merged>merged voided>voided"
_WORKED = f"{_PRESSED} {_FREED} {_ASKED} {_SENT_ON} extended! deferred>deferred"
_MANNED = f"{_WORKED} assigned! enroute! returned>returned"
LEGAL = {
    "new": "reported>reported history>closed HISTORY_OPEN>filed",
    "reported": f"accepted>accepted {_ENDED_EARLY} {_PRESSED}",
    "accepted": f"filed>filed {_ENDED_EARLY} {_PRESSED}",
    "filed": f"{_WORKED} assigned! enroute!",
    "dispatched": f"{_MANNED} received>received arrived>arrived",
    "received": f"{_MANNED} received! arrived>arrived handled>handled",
    "arrived": f"{_MANNED} received! arrived! handled>handled",
    "handled": f"verified>verified FAILED>returned extended! voided>voided {_ASKED} {_PRESSED} {_FREED}",
    "verified": f"closed>closed {_PRESSED} {_FREED}",
    "closed": f"evaluated>evaluated reopened>filed {_SAID}",
    "evaluated": f"reopened>filed {_SAID}",
    "deferred": f"{_SENT_ON} deferred>deferred {_ASKED} {_PRESSED} {_FREED}",
    "returned": _WORKED,
    "rejected": _SAID,
    "merged": f"unmerged>< {_SAID}",
    "voided": _SAID,
    "answered": _SAID,
    "transferred": f"{_SAID} acknowledged!",
    "withdrawn": _SAID,
    "parked": f"{_SENT_ON} {_PRESSED} {_FREED}",
}
COLUMNS = [t.removeprefix("case.") for t in MOVE_TYPES] + ["FAILED", "HISTORY_OPEN"]


@pytest.mark.parametrize("state", STATES)
def test_every_pair_of_state_and_move_is_legal_or_refused_as_listed(state: str) -> None:
    pairs = [(word if ">" in word else word.replace("!", f">{state}")).split(">") for word in LEGAL[state].split()]
    allowed, kept = dict(pairs), {word[:-1] for word in LEGAL[state].split() if word.endswith("!")}
    assert len(allowed) == len(pairs)
    for column, move in enumerate(COLUMNS):
        code = int(MOVES[STATES.index(state), column])
        assert (None if code < 0 else "<" if code == BEFORE else STATES[code]) == allowed.get(move), (state, move)
        assert KEEPS[STATES.index(state), column] == (move in kept), (state, move)


def test_moves_are_the_case_types_of_the_vocabulary() -> None:
    family = [t.name for t in VOCABULARY().types.values() if t.family == "case"]
    assert tuple(family) == MOVE_TYPES
    assert {f"case.{name}" for name in CASE_FIELDS} == set(family) - {"case.history"}
    assert MOVES.shape == (len(STATES), len(MOVE_TYPES) + 2)
    assert (len(MOVE_TYPES), len(MOVE_TYPES) + 1) == (FAILED, HISTORY_OPEN)


def test_masks_split_the_states() -> None:
    early = np.isin(np.array(STATES), ["new", "reported", "accepted"])
    assert (early.astype(int) + OPEN + TERMINAL == 1).all()
    assert (DONE <= TERMINAL).all()
    assert (COUNTED == (OPEN | DONE)).all()
    assert [s for s, held in zip(STATES, HELD, strict=True) if held] == ["deferred", "parked"]
    assert set(TITLES) == set(STATES)


def test_dead_ends_are_terminal_and_every_open_state_can_finish() -> None:
    reach = {s: {s} for s in range(len(STATES))}
    for _ in STATES:
        for s, column in itertools.product(reach, range(MOVES.shape[1])):
            if 0 <= MOVES[s, column] < BEFORE:
                reach[s] |= reach[int(MOVES[s, column])]
    for s, found in reach.items():
        assert TERMINAL[list(found)].any()
        if not TERMINAL[s]:
            assert (MOVES[s] >= 0).any()


@given(st.lists(st.sampled_from(range(len(MOVE_TYPES) + 2)), max_size=60))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_walks_have_one_terminal_state_until_reopened(walk: list[int]) -> None:
    state, finished, before = 0, None, 0
    for move in walk:
        code = int(MOVES[state, move])
        if code < 0:
            continue
        if finished is not None:
            assert KEEPS[state, move] or COLUMNS[move] in ("evaluated", "reopened", "unmerged")
        before = state if COLUMNS[move] == "merged" else before
        state = before if code == BEFORE else code
        finished = state if TERMINAL[state] else None
        assert (finished is None) or not OPEN[state]
    assert 0 <= state < len(STATES)


def test_what_may_be_said_of_a_merged_case_may_be_said_of_it_before() -> None:
    """So that a merge that is taken back is as if it had never been."""
    merged, mergeable = STATES.index("merged"), MOVES[:, MOVE_TYPES.index("case.merged")] >= 0
    for column in np.flatnonzero(MOVES[merged] == merged):
        assert KEEPS[mergeable, column].all()
        assert COLUMNS[column] not in ("extended", "escalated")


def test_states_and_moves_keep_their_codes() -> None:
    assert (STATES.index("voided"), STATES.index("parked")) == (15, 19)
    assert (MOVE_TYPES.index("case.history"), MOVE_TYPES.index("case.answered")) == (18, 19)


def test_names_give_the_same_answers_as_codes() -> None:
    assert next_state("new", "case.history", closed=False) == "filed"
    assert next_state("new", "case.history") == "closed"
    assert next_state("handled", "case.verified") == "verified"
    assert next_state("new", "case.closed") is None
    assert next_state("merged", "case.unmerged", before="arrived") == "arrived"
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
