"""The page docs/cases.md: the life of a case in words and as tables made from the code."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from citytwin.models.desk.casebody import ON_HOLD, OWNERS, CaseLaw
from citytwin.models.desk.limits import HANDLING, STAGE_OF
from citytwin.models.desk.reports import CASES, REPORTS, case_of, report_of
from citytwin.models.desk.roles import PERMISSIONS, ROLES
from citytwin.models.events import TITLES as EVENTS
from citytwin.models.lifecycle import (
    BEFORE,
    EVENTS_MAX,
    FAILED,
    KEEPS,
    MOVE_TYPES,
    MOVES,
    OPEN,
    STATES,
    TERMINAL,
    TITLES,
    WORDS_MAX,
)
from citytwin.twin.desk.transfers import EMERGENCY_MS, OTHERS_MS

Table = Callable[[Iterable[str], Iterable[Iterable[object]]], str]
_LAW = CaseLaw()

_HEAD = """# The life of a case

{note}
A case is the fold of its events in the order of time, source, id and revision: nothing depends on the order in which
they came. `models/lifecycle.py` is the only law of its states. A move that the table does not allow changes nothing;
one that a person commands is refused before it is taken, and the refusal names the legal ones.

"""
_STATES = """
## States

The responsible one is exactly one until the case is over. Of `handler` it is the leading unit; without one it is the
dispatcher, and the supervisor once the case was returned too often. Each stage has a clock of its own that begins with
the stage; the case as a whole has `due_at`. The seven stages of GB/T 30428 are: information collection (acceptance),
case creation (filing), task dispatch (dispatch, receipt), handling, feedback (verification), checking and closing
(closing), evaluation.

"""
_MOVES = """
## Moves

`=` keeps the state and leaves every clock alone, also a hold; `case.extended` alone has a new `due_at`. *Before* is the
state before the merge.

"""
_WORDS = """
## Clocks

* **Backfill** (补录). A report that is taken in after an outage says `backfilled` and, in `happened_at`, when it
  happened by the form. Duplicates are sought by that time; no clock begins with it: acceptance begins when the report
  is taken in, handling when the case is filed.
* **Hold.** `case.deferred` (缓办) and `case.parked` (挂账) stop the handling clock until a time: the length of the hold
  is added to `due_at` and `deferred_ms`. The next move out of it ends it early and takes the rest back, so that the
  time on hold is never part of the elapsed time. Notes, evidence, urging and requests do not end it.
* **Extension.** A unit asks with `case.extension_asked`: `due_at` for a later deadline, `until` for a hold.
  `case.extended` or `case.deferred` grants it, `case.extension_refused` refuses it. Nobody decides on what they asked
  for. What nobody can grant any more is asked for no longer.
* **Merge.** `case.unmerged` makes the case what it would be if the merge had never been said: state, deadlines, hold,
  units, requests. Only the timeline, the revision, the counts of moves and merges and the time of the last move tell
  of it. What was said of the case meanwhile (notes, evidence, calls back) stays.

## Units

One unit leads (主办), any number support (协办); each has its own times: sent, received, en route, on scene, clear. The
first on site is `arrived` for the case; what a second one says moves only the second. A hold, a merge and an end of the
case free all units, `case.handled` and `case.returned` the lead.

What a unit says goes one way, received, en route, on scene; what lies behind it is refused with what it can still say.
Nobody who is off duty is sent, and a unit with a case does not go off duty: the refusal names those that are ready, or
its cases.

A unit that was sent says that it has the case (`case.received`) within the limit of the stage `receipt`, counted from
its own sending. If it does not, the desk reminds the dispatcher once, and another one may be sent, see
[desk.md](desk.md).

After {returns} returns (a local default) `case.dispatched` is legal no more: a supervisor names the unit by
`case.designated` (指定管辖), and that unit cannot return it.

## Commands

A command carries `rev`, the number of events ever taken for the case, corrections and retractions among them. Another
number is refused with `stale_rev` and with who changed it and when. Its time lies after the last event of the case, so
that it meets the state that was judged. Further refusals: nobody verifies their own work; a closed case can be reopened
for {days} days (a local default); a case is merged into another one that is open, and not into one that somebody said
to be no duplicate.

## Transfer

A report goes to somebody else (转办) before it is filed, with `to` (110, 119, 120, a department) and their `receipt` if
there is one. Without it the report waits for `case.acknowledged` with the receipt: `transfer.waits` of the case, the
list `/api/v1/transfers`, and after {soon} minutes for the lines of emergency, {late} hours for others (local defaults),
the alarm `transfer_waiting@<case>` until it comes. A case that was filed stays ours: others are sent to it as units
(`case.assigned`), and their `case.received` is the acknowledgement.

## Account

Every report is in one part: {reports}.

The opened ones are cases: {cases}. What a rule found (channel `rule`) has an account of its own, drills are in
none. Each report that was merged into a case keeps its own reply, call back and satisfaction.

## How many events a case may have

A command costs the same for a case of ten events and of ten thousand: the file of a case follows it event by event, and
is folded from its beginning only after a correction, an event that is dated before others, or another edition of the
calendar. A case takes {words:,} events; from then on words (`=` in the table for all states: notes, photos, urging,
units) are refused with the reason `full`, while the moves of its life are taken up to {events:,}, so that a case full
of words can still be ended. Whatever came before is a duplicate all the same.

"""


#: Sets of states that have a name; the longest lists of the table are one of them.
_SETS = {
    "any": frozenset(STATES[1:]),
    "any that is not over": frozenset(s for s, over in zip(STATES[1:], TERMINAL[1:], strict=True) if not over),
    "any in which the case is open": frozenset(s for s, open in zip(STATES, OPEN, strict=True) if open),
}


def _named(states: list[str]) -> str:
    return next((name for name, known in _SETS.items() if known == set(states)), ", ".join(states))


def _moves(table: Table) -> str:
    columns = [(name, i) for i, name in enumerate(MOVE_TYPES)]
    columns.insert(MOVE_TYPES.index("case.verified") + 1, ("case.verified, not passed", FAILED))
    rows = []
    for name, column in columns:
        goes: dict[str, list[str]] = {}
        for code, state in enumerate(STATES):
            to = int(MOVES[code, column])
            if to >= 0:
                word = "=" if KEEPS[code, column] else "*before*" if to == BEFORE else STATES[to]
                goes.setdefault(word, []).append(state)
        kind = name.split(",", maxsplit=1)[0]
        who = ", ".join(role for role in ROLES if role in PERMISSIONS.get(kind, ()))
        words = f"{EVENTS[kind]['en']} {EVENTS[kind]['zh']}"
        rows += [(f"`{name}`", words, _named(states), to, who) for to, states in goes.items()]
    return table(("move", "name", "from", "to", "who may"), rows)


def _states(table: Table) -> str:
    rows = []
    for state in STATES[1:]:
        stage = HANDLING if state in ON_HOLD else STAGE_OF.get(state, "")
        words = f"{TITLES[state]['en']} {TITLES[state]['zh']}"
        rows.append((f"`{state}`", words, OWNERS.get(state, ""), stage, report_of(state), case_of(state)))
    return table(("state", "name", "responsible", "stage", "the report is", "the case is"), rows)


def cases(note: str, table: Table) -> str:
    """The page; `table` writes a table of a head and rows."""
    words = _WORDS.format(
        words=WORDS_MAX, events=EVENTS_MAX,
        returns=_LAW.returns_max, days=_LAW.reopen_ms // 86_400_000, soon=EMERGENCY_MS // 60_000,
        late=OTHERS_MS // 3_600_000,
        reports=", ".join(f"{t['en']} ({t['zh']})" for t in REPORTS.values()),
        cases=", ".join(f"{t['en']} ({t['zh']})" for t in CASES.values()),
    )  # fmt: skip
    return _HEAD.format(note=note) + _STATES.lstrip() + _states(table) + _MOVES + _moves(table) + words.rstrip() + "\n"
