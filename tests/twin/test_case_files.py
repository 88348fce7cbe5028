"""Files of cases against the table of cases and the reference, for many histories at once; merges taken back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.desk.casebody import CaseFile
from citytwin.models.desk.casefile import fold
from citytwin.models.desk.event import Event
from citytwin.twin.casefold import COLUMNS
from citytwin.twin.cases import CaseTable
from tests.conftest import proving
from tests.indicators.oracle_law import MOVES
from tests.models.desk.casework import DAY, HOUR, LAW, MINUTE, START
from tests.twin.case_reference import clocks, order
from tests.twin.casebook import file_in, of_file, of_table, table_of

Raw = dict[str, Any]
#: Moves that end a case early, or change nothing, come seldom, so that walks are long.
_SELDOM = frozenset({"rejected", "answered", "transferred", "withdrawn", "voided", "merged"})


def raw(move: str, time: int, id: str, code: str = "K1") -> Raw:
    """An event of a case as it comes in."""
    return {"type": f"case.{move}", "time": time, "source": "s", "id": id, "subject": code}


def events_of_walk(code: str, chance: random.Random) -> list[Raw]:
    """A case that walks through its table, with moves that it cannot make now and then."""
    state, before, time, out = "new", "new", START + chance.randrange(DAY), list[Raw]()
    for k in range(chance.randrange(4, 30)):
        said = {m: s for m, s in MOVES[state].items() if not m.startswith("history")}
        moving = [m for m, s in said.items() if s != "=" and (m not in _SELDOM or chance.random() < 0.3)]
        move = chance.choice(moving or list(said)) if chance.random() < 0.7 else chance.choice(list(said))
        if chance.random() < 0.1:
            move = chance.choice([m for s in MOVES.values() for m in s if not m.startswith("history")])
        out.append(raw(move.rstrip("-"), time, f"{code}.{k}", code) | told(move, time, chance))
        after = MOVES[state].get(move, "=")
        before = state if after == "merged" else before
        state = state if after == "=" else before if after == "<" else after
        time += chance.choice((0, 1, MINUTE, HOUR, 9 * HOUR, 3 * DAY))
    return out


def told(move: str, time: int, chance: random.Random) -> Raw:
    """What a move has to say."""
    later, unit = time + chance.choice((-HOUR, HOUR, DAY, 5 * DAY)), chance.choice(("U1", "U2"))
    fields: Raw = {"actor": chance.choice("abc")}
    if move in ("filed", "extended", "extension_asked") or (move == "reopened" and chance.random() < 0.5):
        fields["due_at"] = later
    if move in ("deferred", "parked"):
        fields["until"] = later
    if move.startswith("verified"):
        fields["passed"] = not move.endswith("-")
    if move in ("dispatched", "assigned", "unassigned", "arrived", "received", "cleared"):
        fields["unit"] = unit
    names = {"merged": "into", "unlike": "other", "transferred": "to", "designated": "to"}
    return fields | ({names[move]: "K0"} if move in names else {})


@given(st.integers(0, 2**32))
@settings(max_examples=200 if proving() else 6, deadline=None, derandomize=True)
def test_file_table_and_reference_agree_on_every_history(seed: int) -> None:
    chance = random.Random(seed)
    by_code = {f"K{n}": events_of_walk(f"K{n}", chance) for n in range(60)}
    cases = table_of([e for events in by_code.values() for e in events], chance)
    for code, events in by_code.items():
        file = file_in(cases, code)
        assert of_table(cases, cases.slot(code)) == of_file(file) == clocks(events), code
        assert [e.id for e in file.shaped] == [e["id"] for e in sorted(events, key=order) if _shapes(file, e["id"])]
        assert file.rev == len(events)
        assert (cases.parent(code) == "K0") == (file.state == "merged")
    assert set(cases.children("K0")) == {c for c in by_code if file_in(cases, c).state == "merged"}


def _shapes(file: CaseFile, id: str) -> bool:
    return any(e.id == id for e in file.shaped)


#: What a merge that was taken back leaves in the file.
_COUNTED = {"rev", "by", "at", "last", "moves", "merges", "timeline"}


def desk_events(events: list[Raw]) -> list[Event]:
    """Raw events of one case as the desk has them."""
    head = ("type", "time", "source", "id", "subject", "scope")
    return [
        Event(
            *(str(e["type"]), int(e["time"]), str(e["source"]), str(e["id"]), str(e["subject"])),
            fields={k: v for k, v in e.items() if k not in head},
        )
        for e in sorted(events, key=order)
    ]


def test_a_merge_taken_back_leaves_the_columns_as_if_it_had_never_been() -> None:
    """In every state, also on hold: all but the counts of moves and merges and the time of the last move."""
    chance, counted = random.Random(7), {"moves", "merges", "last_at", "illegal"}
    seen = set[str]()
    for n in range(400):
        walk = [e for e in events_of_walk("K1", chance) if e["type"] != "case.merged"]
        state = clocks(walk).state
        if "merged" not in MOVES[state]:
            continue
        seen.add(state)
        time = walk[-1]["time"] + MINUTE
        merge = raw("merged", time, "m") | {"into": "K0", "actor": "z", "scope": "C1"}
        note, back = raw("noted", time + 1, "n"), raw("unmerged", time + HOUR, "u") | {"actor": "z"}
        if n < 150:
            assert _row(table_of([*walk, note]), counted) == _row(table_of([*walk, merge, note, back]), counted)
        whole, other = (fold("K1", desk_events(e), LAW) for e in ([*walk, note], [*walk, merge, note, back]))
        assert other.merges == 1
        for name in (f for f in CaseFile.__slots__ if f not in _COUNTED):
            mine, theirs = getattr(whole, name), getattr(other, name)
            assert mine == theirs or mine != mine, name  # noqa: PLR0124
    assert seen >= {"reported", "filed", "dispatched", "received", "deferred", "parked", "returned"}


def _row(cases: CaseTable, without: set[str]) -> Raw:
    names = [c for c in (*COLUMNS, "actor", "state", "lon") if c not in without]
    row = np.array([cases.slot("K1")])
    return {"scope": int(cases.scopes(row)[0])} | {name: str(cases.column(name, row)[0]) for name in names}
