"""Files of cases that were asked for lately, which follow their cases event by event.

A command needs the file of its case. Folding it anew would cost as much as the case has events; so the file is kept and
takes in what came since, as long as that came in its order. After a correction, or a move that is dated before others,
it is folded again.
"""

from __future__ import annotations

from collections.abc import Callable

from citytwin.models.desk import casefile
from citytwin.models.desk.casebody import CaseFile, CaseLaw
from citytwin.twin.cases import CaseTable

#: Files that are kept; the ones that were not asked for the longest go first.
KEPT_MAX = 4096


class CaseFiles:
    """Files by code; each equals the fold of all events of its case."""

    def __init__(self, cases: CaseTable, law: CaseLaw, edition: Callable[[], str]) -> None:
        """`edition`: id of the calendar that stages are due by; with another one all files are folded again."""
        self._cases, self._law, self._edition = cases, law, edition
        self._kept: dict[str, CaseFile] = {}
        self._by = edition()
        #: How often a file was folded from its beginning.
        self.folds = 0

    def file(self, code: str) -> CaseFile | None:
        """The file of a case as it is now, None for an unknown code; it changes with its case."""
        rev = self._cases.rev(code)
        if rev == 0:
            return None
        if self._edition() != self._by:
            self._by = self._edition()
            self._kept.clear()
        file = self._kept.pop(code, None)
        if file is None or not self._follows(file, rev):
            file = self._fold(code, rev)
        self._kept[code] = file
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return file

    def _follows(self, file: CaseFile, rev: int) -> bool:
        events = self._cases.since(file.code, file.rev) if file.rev <= rev else None
        return events is not None and casefile.follow(file, events, self._law)

    def _fold(self, code: str, rev: int) -> CaseFile:
        self.folds += 1
        return casefile.fold(code, self._cases.events_of(code), self._law, rev=rev, newest=self._cases.newest(code))
