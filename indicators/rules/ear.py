"""The ear of a shard: the events that some rule looks at, and where vehicles are, kept until the next marker.

What fires and who is sent is decided at the desk, from the events of all shards; here is only looked which of them
matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.rules.book import RuleBook
from citytwin.indicators.rules.matchers import Told
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Int64, Strings
from citytwin.models.hashing import hash_strings
from citytwin.models.telling import Heard
from citytwin.models.vocabulary import EventType, Kind
from citytwin.twin.ledger import Ledger


class Ear:
    """Hears for the desk; `take` gives what came since it was last asked. Bound: what came in one segment."""

    def __init__(self, book: RuleBook | None, scopes: ScopeTree, newest: frozenset[str] = frozenset()) -> None:
        """`book`: whose rules look at events. `newest`: types of which the desk needs the last one of each subject."""
        self._book, self._scopes, self._newest = book, scopes, newest
        self._heard: list[Heard] = []

    def hears(self, kind: EventType) -> bool:
        """Whether events of a type are of any concern."""
        return kind.name in self._newest or (self._book is not None and self._book.hears(kind))

    def note(self, told: Told, sign: int) -> None:
        """Events of one type begin (+1) or cease (-1) to count."""
        if self._book is not None and self._book.hears(told.kind):
            self._keep(told, told.index[self._book.matching(told)], sign)
        if told.kind.name in self._newest and sign > 0:
            self._keep(told, _last_of_each(told.ledger, told.index), 0)

    def _keep(self, told: Told, index: Int64, sign: int) -> None:
        if len(index):
            self._heard.append(Heard(sign, of_ledger(told.kind, told.ledger, index, self._scopes)))

    def take(self) -> tuple[Heard, ...]:
        """What was heard, in the order in which it was fed; it is forgotten here."""
        heard, self._heard = tuple(self._heard), []
        return heard


def _last_of_each(ledger: Ledger, index: Int64) -> Int64:
    """Of ledger rows (array indices int64[n]) the newest of each subject, in order of time."""
    index = index[np.argsort(ledger.time.data[index], kind="stable")[::-1]]
    keys = hash_strings(ledger.subject.strings.take(index))
    _, first = np.unique(keys.a, return_index=True)
    return index[np.sort(first)[::-1]]


def of_ledger(kind: EventType, ledger: Ledger, index: Int64, scopes: ScopeTree) -> EventBatch:
    """Rows of a ledger (array indices int64[n]) as a batch again; each names the scope that it was counted at.

    Secrets are left out: no rule reads them.
    """
    fields = {f.name: _column(ledger, f.name, f.kind, index) for f in kind.fields if f.kind is not Kind.SECRET}
    names = scopes.code
    scope = Strings.of([names[row] if row >= 0 else "" for row in ledger.scope.data[index].tolist()])
    n = len(index)
    return EventBatch(
        kind.name, ledger.time.data[index], _coded(ledger.source.data[index], ledger.sources.names),
        ledger.id.strings.take(index), ledger.subject.strings.take(index), ledger.lon.data[index],
        ledger.lat.data[index], scope, Strings.empty(n), ledger.revision.data[index], np.zeros(n, np.bool_), fields,
    )  # fmt: skip


def _column(ledger: Ledger, name: str, kind: Kind, index: Int64) -> Strings | Coded | NDArray[np.int64]:
    held = ledger.columns[name]
    if kind is Kind.CODE:
        return _coded(held.data[index], ledger.names[name].names)  # type: ignore[union-attr]
    if kind is Kind.TEXT:
        return held.strings.take(index)  # type: ignore[union-attr]
    return held.data[index]  # type: ignore[union-attr]


def _coded(codes: NDArray[np.int32], names: tuple[str, ...]) -> Coded:
    """The codes with only those names that are among them."""
    some, at = np.unique(codes, return_inverse=True)
    absent = int(np.count_nonzero(some < 0))
    return Coded((at - absent).astype(np.int32), tuple(names[c] for c in some[absent:].tolist()))
