"""What feeds an indicator: datastreams of a property, entities of a register, or the sources of a type of event."""

from __future__ import annotations

from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.api import Aggregate, Window, row
from citytwin.indicators.expr import Expr, lift
from citytwin.indicators.pulse import Pulse
from citytwin.indicators.quality import DEFAULT_PERIOD_S, PERIODS, Inputs
from citytwin.indicators.tally import Tally
from citytwin.models.columns import Int64

_INSTANT = Window("instant")
_SERVES = (row.in_service == 1) & ~row.valid_to.known()


class RegisterInputs:
    """Entities of a kind that are in service, by the newest event of any type that each of them sent."""

    blank = True

    def __init__(self, aggregates: Aggregates, kind: str) -> None:
        period = row.period_s.where(row.period_s.known(), DEFAULT_PERIOD_S)
        heard = _SERVES & row.last_seen.known()
        self._fresh = _tally(aggregates, kind, heard, row.last_seen + period * (1000 * PERIODS))
        self._heard = _tally(aggregates, kind, heard, None)
        self._expected = _tally(aggregates, kind, _SERVES, None)

    def look(self, now: int) -> None:
        """Nothing to do: tallies move with the tick."""

    def counts(self) -> tuple[Int64, Int64, Int64]:
        """Fresh, heard, expected (int64[n])."""
        fresh, heard, expected = (t.rolled.total.data for t in (self._fresh, self._heard, self._expected))
        return fresh, heard, expected

    def moved(self) -> bool:
        """Whether a total differs since flags were last cleared."""
        return any(t.moved_now() for t in (self._fresh, self._heard, self._expected))


def _tally(aggregates: Aggregates, kind: str, where: Expr, end: Expr | None) -> Tally:
    return aggregates.tally(Aggregate("tally", kind, lift(1), where, end=end), _INSTANT)


def inputs_of(feed: tuple[str, str], aggregates: Aggregates, pulse: Pulse) -> Inputs:
    """Inputs of a feed.

    ("obs", property): datastreams of it, ("obs", ""): of all; ("device", ""): entities of that kind; ("case", ""):
    sources of that type or family of events. KeyError for anything else.
    """
    table, prop = feed
    if table == "obs":
        return aggregates.datastreams().want(prop)
    if table in aggregates.entity_kinds():
        return RegisterInputs(aggregates, table)
    return pulse.want(table)
