"""The modeler's workshop: what is known of each indicator, of each file of the plugins folder, of the newest edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: So many of the newest edits are kept for the lab page.
EDITS_KEPT = 20


@dataclass(frozen=True, slots=True)
class IndicatorState:
    """One indicator in force.

    `origin`: "builtin", "package <name>" or "file <name>"; `version`: hash of its definition (16 hex digits);
    `checked_at`: ms UTC of the check of a file, None for others; `error`: why it has no number now, "" if it has;
    `quarantined`: it is off until its file changes or it is released; `cost_us`: moving average of the time its
    formula takes in a tick; `bytes`: state of its aggregates, shared ones counted whole; `note`: what else to know.
    """

    id: str
    origin: str
    version: str
    checked_at: int | None = None
    error: str = ""
    quarantined: bool = False
    cost_us: float = 0.0
    bytes: int = 0
    note: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FileState:
    """One file of the plugins folder: what it is now, and what of it is in force.

    `version`: hash of its text as last read; `in_force`: hash of the text that counts ("" for none): another one than
    `version` after a save that did not pass; `ids`: indicators in force; `problems`: sentences, one each, empty if it
    passed; `checked_at` ms UTC, None while the first check runs; `status`: "checking", "in force", "refused" or
    "removed"; `notes`: what else the check found out.
    """

    file: str
    version: str
    in_force: str = ""
    ids: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    checked_at: int | None = None
    status: str = "checking"
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Edit:
    """One swap: what a file's indicators said before and after it, at the city and its districts.

    `at` ms UTC and log `position` of the swap; `scopes`: codes; `before`, `after`: id to values in their order (None =
    no data); an indicator that is new has no `before`, one that went has no `after`. `after` is of the first tick with
    the new definition, empty until then. `filled_from` ms UTC: events from then on were counted in, 0 = all there are.
    """

    file: str
    at: int
    position: int
    version: str
    replaced: str = ""
    scopes: tuple[str, ...] = ()
    before: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    after: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    filled_from: int = 0

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
