"""Commands of people: an event of the log under an idempotency key, judged against the newest state.

A command is taken once: the same key of the same user again gives the first answer, another content is a conflict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from citytwin import desking
from citytwin.batching import Batches
from citytwin.clock import Clock
from citytwin.dashboards.desk_ports import Command, Done
from citytwin.dashboards.ports import Refused
from citytwin.engine import Engine
from citytwin.ingest import decode_body, refused
from citytwin.models.batch import Changes, Rejection
from citytwin.models.desk.event import DESK_SOURCE, DRILL
from citytwin.streams.codec import Codec
from citytwin.submissions import Busy, Desks, Unavailable

T = TypeVar("T")
#: Seconds until a command that is not yet committed is given up by who asked; it may still be taken.
PATIENCE_S = 20
_KIND = "application/cloudevents+json"
#: HTTP status of each reason for which the desk refuses.
STATUS = {
    "stale_rev": 409, "conflict": 409, "illegal_move": 422, "not_now": 422, "full": 422, "unknown_case": 404,
    "not_allowed": 403,
}  # fmt: skip
_TITLES = {
    409: "It was changed meanwhile", 422: "That is not possible now", 404: "There is no such thing",
    403: "That is not allowed",
}  # fmt: skip


class Commands:
    """The door for commands; each call waits until the log has the event and the engine has judged it."""

    def __init__(
        self, codec: Codec, runtime: Desks, engine: Engine, clock: Clock, mark: str = "", batches: Batches | None = None
    ) -> None:
        """`mark`: what tells the codes of cases that are made here from those of other gateways."""
        self.codec, self.runtime, self.engine, self.clock = codec, runtime, engine, clock
        self._mark = f"-{hashlib.blake2b(mark.encode(), digest_size=2).hexdigest()}" if mark else ""
        self._number = 0
        self._batches = batches

    def run(self, command: Command) -> Done:
        """Do it. Raises Refused, with what helps in `known`; then nothing was changed."""
        try:
            return self._run(command)
        except (Busy, Unavailable) as error:
            raise refused(error) from error
        except TimeoutError as error:
            detail = "there is no answer yet, it may still be taken: send the same again under the same key"
            raise Refused(503, "unavailable", "The desk is slow", detail, 5) from error

    def _run(self, command: Command) -> Done:
        subject, time, came = self._ask(lambda: self._first(command))
        if command.op == "case.filed" and "due_at" not in command.fields:
            due = self.runtime.call(lambda: desking.due_of(self.engine, subject, command.fields, time)).result(
                PATIENCE_S
            )
            command = replace(command, fields={**command.fields, "due_at": _text(due)})
        command = self._decided(command)
        changes = self._submit(command, subject, time)
        if changes.rejected and changes.rejected[0].reason == "conflict" and not came:
            # two calls under one key overtook each other: the one that came first has the time
            subject, time, _ = self._ask(lambda: self._first(command))
            command = self._decided(command)
            changes = self._submit(command, subject, time)
        if changes.rejected:
            raise _refusal(changes.rejected[0])
        rev = self._ask(lambda: desking.rev_of(self.engine, subject))
        return Done(subject, rev, self.runtime.position, duplicate=changes.duplicates > 0)

    def _decided(self, command: Command) -> Command:
        """A dispatch with the decision that it is: strategy, score and candidates as the desk has them, nobody else."""
        unit = command.fields.get("unit")
        if command.op != "case.dispatched" or not isinstance(unit, str):
            return command
        source = DESK_SOURCE + command.user
        batch = None
        if self._batches is not None and command.fields.get("strategy") == "batch":
            batch = self._batches.about(command.user, command.subject, unit)
        made = self._ask(lambda: desking.dispatch_of(self.engine, source, command.idem, command.subject, unit, batch))
        return replace(command, fields={**command.fields, **made})

    def _ask(self, read: Callable[[], T]) -> T:
        return self.runtime.call(read).result(PATIENCE_S)

    def _first(self, command: Command) -> tuple[str, int, bool]:
        """Subject and time of the event of this key, and whether it came before; else a new subject where one is made.

        A new event of a case comes after all that it had, so that it meets the state that it was judged by.
        """
        before = desking.said_before(self.engine, DESK_SOURCE + command.user, command.idem, command.op)
        if before is not None:
            return *before, True
        work = self.engine.casework
        file = work.file(command.subject) if work is not None and command.subject else None
        after = file.last[0] + 1 if file is not None else 0
        return command.subject or self._new_code(command), max(self.clock.now_ms(), after), False

    def _new_code(self, command: Command) -> str:
        if command.op.startswith("warning."):
            return f"{DRILL if command.drill else ''}W-{_digest(command)}"
        cases = self.engine.cases
        assert cases is not None
        self._number = max(self._number, cases.n) + 1
        while desking.has_case(self.engine, code := f"C-{10_000 + self._number}{self._mark}"):
            self._number += 1
        return f"{DRILL}{code}" if command.drill else code

    def _submit(self, command: Command, subject: str, time: int) -> Changes:
        kind = self.engine.vocabulary.types.get(command.op)
        names = {"actor"} if kind is None else {field.name for field in kind.fields}
        body = json.dumps(_event(command, subject, time, names), ensure_ascii=False).encode()
        decoded = decode_body(self.codec, body, _KIND)
        if decoded.rejections:
            raise _refusal(decoded.rejections[0])
        return self.runtime.submit(decoded.batches).result(PATIENCE_S)[0]


def _digest(command: Command) -> str:
    """Eight hex digits of who asks under which key: the same one asks for the same thing."""
    return hashlib.blake2b(f"{command.user}\n{command.idem}".encode(), digest_size=4).hexdigest()


def _text(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(command: Command, subject: str, time: int, names: Collection[str]) -> Mapping[str, Any]:
    """The event of a command; who says it, and under which role, is not theirs to say."""
    signed = {"actor": command.user, "under": command.role}
    data = {**command.fields, **{name: value for name, value in signed.items() if name in names}}
    if command.rev is not None:
        data["rev"] = command.rev
    event: dict[str, Any] = {
        "specversion": "1.0", "id": command.idem, "source": DESK_SOURCE + command.user, "type": command.op,
        "subject": subject, "time": _text(time), "data": data,
    }  # fmt: skip
    if command.lon is not None and command.lat is not None:
        event |= {"lon": command.lon, "lat": command.lat}
    return event | ({"gridid": command.scope} if command.scope else {})


def _refusal(rejection: Rejection) -> Refused:
    status = STATUS.get(rejection.reason, 400)
    detail = f"{rejection.field}: {rejection.detail}" if rejection.field and status == 400 else rejection.detail
    title = _TITLES.get(status, "The command cannot be understood")
    return Refused(status, rejection.reason, title, detail, known=rejection.known)
