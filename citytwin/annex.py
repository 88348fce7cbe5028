"""Plugins in force: each file's aggregates of its own beside those of the built-in indicators, put in and taken out.

They share nothing with built-in ones, so a file comes and goes without touching any other number. What raises in a
plugin's own aggregates switches its indicators off; the step goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.line import Line
from citytwin.indicators.loading import Plugin
from citytwin.models.columns import Int32, Int64
from citytwin.twin.ledger import Ledger


@dataclass(eq=False)
class Annex:
    """One file in force. `filled_from`: ms UTC from which on events were counted in (0: all there are).

    `checked_at`: ms UTC at which it passed its check (0: not known).
    """

    plugin: Plugin
    aggregates: Aggregates
    lines: list[Line] = field(default_factory=list)
    filled_from: int = 0
    checked_at: int = 0
    #: Why its aggregates are counted no more; "" while they are.
    broken: str = ""

    def safely(self, step: Callable[[], None]) -> None:
        """Do a step; what raises ends the counting for good, and switches the file's indicators off."""
        if self.broken:
            return
        try:
            step()
        except Exception as error:  # a condition may meet a column that it was never tried on
            self.give_up(f"{type(error).__name__}: {error.args[0] if error.args else error}")

    def give_up(self, why: str) -> None:
        """Count no more."""
        self.broken = why
        for line in self.lines:
            line.off = why


class Annexes:
    """The aggregates of built-in indicators and of all plugins, as the engine moves them; `by_file` in order."""

    def __init__(self, main: Aggregates) -> None:
        self.main = main
        self.by_file: dict[str, Annex] = {}

    def every(self) -> Iterator[Aggregates]:
        """All aggregates that are counted."""
        yield self.main
        yield from (a.aggregates for a in self.by_file.values() if not a.broken)

    def apply(self, ledger: Ledger, index: Int64, sign: int, ancestors: Int32) -> None:
        """Ledger rows (array indices) that begin (+1) or cease (-1) to count."""
        self.main.apply(ledger, index, sign, ancestors)
        for annex in self.by_file.values():
            annex.safely(lambda a=annex.aggregates: a.apply(ledger, index, sign, ancestors))  # type: ignore[misc]

    def tick(self, now: int, rows_by_table: Mapping[str, Int64], ancestors: Int32) -> None:
        """Move windows and clocks to `now`, take in the changed table rows, roll up."""
        self.main.tick(now, rows_by_table, ancestors)
        for annex in self.by_file.values():
            annex.safely(lambda a=annex.aggregates: a.tick(now, rows_by_table, ancestors))  # type: ignore[misc]

    def mark_entities(self, rows: Int64) -> None:
        """Entities changed, or sent something."""
        for aggregates in self.every():
            aggregates.mark_entities(rows)

    def reach_ms(self, ledger: Ledger) -> int:
        """How far before the horizon the ledger must reach."""
        return max(a.reach_ms(ledger) for a in self.every())

    def next_due(self) -> int:
        """Earliest pane edge or deadline."""
        return min(a.next_due() for a in self.every())

    def relations(self) -> set[str]:
        """Relations through which an expression reads an attribute of another entity."""
        return set().union(*(a.relations for a in self.every()))

    def linked(self) -> set[str]:
        """Relations that tallies over a register read."""
        return set().union(*(a.linked for a in self.every()))
