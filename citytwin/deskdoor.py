"""The desk of one city as the way out asks for it: commands, files of cases, rows and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from citytwin import desking
from citytwin.batching import Batches
from citytwin.caserows import path
from citytwin.clock import Clock
from citytwin.commanding import PATIENCE_S, Commands
from citytwin.dashboards.desk_ports import Command, Done
from citytwin.engine import Engine
from citytwin.evidence import Evidence
from citytwin.ingest import refused
from citytwin.models.desk import handover, roster
from citytwin.models.desk.callers import plain_number
from citytwin.models.desk.rules import Rule
from citytwin.streams.codec import Codec
from citytwin.streams.secrets import keyed_hash
from citytwin.submissions import Busy, Desks, Unavailable

T = TypeVar("T")
#: Categories that are found by what was typed.
FOUND = 20
#: Earlier cases of a caller that are looked at.
CALLED = 50


class DeskDoor:
    """Each call is made on a worker thread, and answered between two steps of the engine."""

    def __init__(
        self, codec: Codec, runtime: Desks, engine: Engine, clock: Clock, evidence: Evidence, mark: str = ""
    ) -> None:
        """`mark`: see Commands."""
        self.runtime, self.engine, self.evidence = runtime, engine, evidence
        self._secret = codec.rules.secret
        self._batches = Batches(runtime, engine, PATIENCE_S)
        self._commands = Commands(codec, runtime, engine, clock, mark, self._batches)

    def run(self, command: Command) -> Done:
        """Do a command. Raises Refused; then nothing was changed."""
        return self._commands.run(command)

    def place(self, command: Command) -> tuple[int, Sequence[int]]:
        """Scope row of what a command is about (-1: unknown), and those that it was lent to."""
        return self._ask(lambda: self._place(command))

    def _ask(self, read: Callable[[], T]) -> T:
        try:
            return self.runtime.call(read).result(PATIENCE_S)
        except (Busy, Unavailable) as error:
            raise refused(error) from error

    def _place(self, command: Command) -> tuple[int, Sequence[int]]:
        engine = self.engine
        if command.subject and (desking.has_case(engine, command.subject) or desking.has_row(engine, command.subject)):
            return desking.place_of(engine, command.subject)
        if command.scope:
            return engine.scopes.row(command.scope), ()
        if command.lon is not None and command.lat is not None and engine.city.box is not None:
            found = engine.city.locator.locate(np.array([command.lon]), np.array([command.lat]))
            return int(found[0]), ()
        return -1, ()

    def case(self, code: str) -> Mapping[str, Any] | None:
        """All that is known of one case; None for an unknown one."""
        found: Mapping[str, Any] | None = self._ask(
            lambda: self.engine.casework.whole(code) if self.engine.casework is not None else None
        )
        return found

    def callers(self, number: str) -> Sequence[Mapping[str, Any]]:
        """Earlier cases of whoever has this number, the newest first, with `caller`: the keyed hash of it."""
        caller = keyed_hash(self._secret, plain_number(number))
        found: Sequence[Mapping[str, Any]] = self._ask(lambda: self._called(caller))
        return found

    def _called(self, caller: str) -> Sequence[Mapping[str, Any]]:
        work, cases = self.engine.casework, self.engine.cases
        if work is None or cases is None:
            return ()
        codes = [cases.code.strings[row] for row in cases.callers.slots(caller)[:CALLED].tolist()]
        files = [file for code in codes if (file := work.file(code)) is not None]
        # an event that named the caller may have been corrected
        return [{**work.short(file), "caller": caller} for file in files if file.told.get("caller") == caller]

    def rows(self, part: str) -> Sequence[Mapping[str, Any]]:
        """What is open of a part of the desk."""
        found: Sequence[Mapping[str, Any]] = self._ask(lambda: self._rows(part))
        return found

    def _rows(self, part: str) -> Sequence[Mapping[str, Any]]:
        rows = desking.rows(self.engine, part)
        if part != "plan":
            return rows
        return [{**row, "notify": [self._reached(told, row["area"]) for told in row["notify"]]} for row in rows]

    def _reached(self, told: Mapping[str, Any], area: str) -> Mapping[str, Any]:
        """A line of the notify list of a plan with who is on duty for it now: in the area of the run, else above it."""
        work, scopes, role = self.engine.casework, self.engine.scopes, str(told.get("role", ""))
        areas = reversed(path(scopes, scopes.row(area)))
        who = roster.find(work.roster, areas, role, role, self.engine.now).who if work is not None else None
        return {**told, "person": who.person if who is not None else None}

    def tables(self, name: str, text: str) -> Sequence[Mapping[str, Any]]:
        """Tables of the desk; those that the text finds, all for ""."""
        found: Sequence[Mapping[str, Any]] = self._ask(lambda: self._table(name, text))
        return found

    def _table(self, name: str, text: str) -> Sequence[Mapping[str, Any]]:
        work, rules = self.engine.casework, self.engine.rules
        if work is None:
            return ()
        if name == "categories":
            return [c.plain() for c in (work.categories.search(text, FOUND) if text else work.categories)]
        items: Sequence[Mapping[str, Any]] = ()
        if name == "plans":
            items = work.plans.catalogue()
        elif name == "duty":
            items = desking.rows(self.engine, "duty")
        elif name == "rules" and rules is not None:
            items = [_rule(rule) for rule in rules.rules]
        typed = text.lower()
        return [item for item in items if not typed or typed in str(item).lower()]

    def keep(self, body: bytes, kind: str) -> str:
        """Keep a picture of this content type; its name. Raises Refused."""
        return self.evidence.put(body, kind)

    def picture(self, name: str) -> tuple[bytes, str] | None:
        """A picture and its content type; None for a name that there is not."""
        return self.evidence.get(name)

    def batch(self, user: str, mine: Callable[[int], bool]) -> Mapping[str, Any]:
        """What is best for all cases to which somebody may send."""
        try:
            return self._batches.propose(user, mine)
        except (Busy, Unavailable) as error:
            raise refused(error) from error

    def handover(self) -> Mapping[str, Any]:
        """What goes from one shift to the next."""
        found: Mapping[str, Any] = self._ask(self._handover)
        return found

    def _handover(self) -> Mapping[str, Any]:
        engine, work = self.engine, self.engine.casework
        if work is None:
            return {}
        cases = [work.short(file) for file in work.files.values()]
        notes = [
            {"t": note.time, "actor": note.actor, "text": note.text, "code": file.code}
            for file in work.files.values()
            for note in file.notes
        ]
        parts = {name: desking.rows(engine, name) for name in ("alarm", "plan", "duty")}
        return handover.handover(engine.now, cases, parts["alarm"], parts["plan"], notes, parts["duty"])


def _rule(rule: Rule) -> dict[str, Any]:
    names = ("id", "version", "theme", "priority", "notice", "confidence", "source", "status")
    return {
        **{name: getattr(rule, name) for name in names}, "title": dict(rule.title), "opens_case": rule.case is not None,
    }  # fmt: skip
