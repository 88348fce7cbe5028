"""Rows of a ledger as the desk's single events."""

from __future__ import annotations

from typing import Any

from citytwin.models.desk.event import Event
from citytwin.models.vocabulary import Field, Kind
from citytwin.twin.growable import GrowText
from citytwin.twin.ledger import Ledger


def _value(ledger: Ledger, field: Field, at: int) -> Any:
    held = ledger.columns[field.name]
    if isinstance(held, GrowText):
        return held.strings[at] or None
    stored = held.data[at].item()
    if stored == held.fill:
        return None
    if field.kind is Kind.CODE:
        return ledger.names[field.name].names[stored]
    if field.kind is Kind.FLAG:
        return stored > 0
    return stored / field.per_unit if field.kind is Kind.NUMBER else stored


def event_at(ledger: Ledger, at: int) -> Event:
    """The event of an array index: what it told in units and ms, absent fields left out."""
    kind = ledger.types[int(ledger.move.data[at])]
    told = ((f.name, _value(ledger, f, at)) for f in kind.fields)
    return Event(
        kind.name, int(ledger.time.data[at]), ledger.sources.names[int(ledger.source.data[at])], ledger.id.strings[at],
        ledger.subject.strings[at], int(ledger.scope.data[at]), float(ledger.lon.data[at]), float(ledger.lat.data[at]),
        {name: value for name, value in told if value is not None},
    )  # fmt: skip
