"""What the way out asks of the desk: commands, and what a dispatcher reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Command:
    """What a person wants: `op` is an event type, `rev` the revision that the page showed (None: not told).

    `idem` makes it happen once; `subject` "" has a code made. `lon`, `lat` degrees or `scope` a code: of a new case.
    `role`: under which it is said, written down where the type has a field for it.
    """

    op: str
    subject: str
    idem: str
    user: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    rev: int | None = None
    lon: float | None = None
    lat: float | None = None
    scope: str = ""
    drill: bool = False
    role: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a command: the subject, its revision now, the log's position, whether it was done before."""

    subject: str
    rev: int
    position: int
    duplicate: bool = False


class Desk(Protocol):
    """The desk as pages use it; each call is made on a worker thread."""

    def run(self, command: Command) -> Done:
        """Do a command. Raises Refused; then nothing was changed."""

    def place(self, command: Command) -> tuple[int, Sequence[int]]:
        """Scope row of what a command is about (-1: unknown), and those that it was lent to."""

    def case(self, code: str) -> Mapping[str, Any] | None:
        """All that is known of one case; None for an unknown one."""

    def callers(self, number: str) -> Sequence[Mapping[str, Any]]:
        """Earlier cases of whoever has this number, the newest first, each with `caller`, which is personal."""

    def rows(self, part: str) -> Sequence[Mapping[str, Any]]:
        """What is open of a part of the desk: `alarm`, `unit`, `plan`, `warning`, `transfer`."""

    def tables(self, name: str, text: str) -> Sequence[Mapping[str, Any]]:
        """Tables of the desk: `rules`, `plans`, `categories`, `duty`; those that the text finds, all for ""."""

    def keep(self, body: bytes, kind: str) -> str:
        """Keep a picture of this content type; its name. Raises Refused."""

    def picture(self, name: str) -> tuple[bytes, str] | None:
        """A picture and its content type; None for a name that there is not."""

    def batch(self, user: str, mine: Callable[[int], bool]) -> Mapping[str, Any]:
        """Units for all cases that wait, the least cost altogether; `mine`: whether one may send at a scope row."""

    def handover(self) -> Mapping[str, Any]:
        """What goes from one shift to the next."""
